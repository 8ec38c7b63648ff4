//! The chapter's exercise: two llama-server replicas behind NGINX, one killed under a GET, a POST
//! and a stream, watched with `curl -v`, then by `drill`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;
use xtask::lab::exercise::{Exercise, NGINX_NAMESPACE, Wanted};
use xtask::lab::{self, Lab, Level, Options};
use xtask::{Error, Result, say, workspace};

const NAMESPACE: &str = "exercise";
/// Long enough to be under way when the server is killed.
const TOKENS: u32 = 900;

pub(super) fn run() -> Result<i32> {
    say::heading("8. The chapter's exercise, on a throw-away node");
    super::super::lab::build_own_programs()?;
    let mut options = Options::new(Level::L3);
    options.directory = Some(workspace::root());
    let command: [OsString; 2] = [workspace::own_program()?.into(), "inside-demo-crash".into()];
    let code = match lab::run(&options, &command) {
        Err(Error::PartMissing(what)) if !workspace::requires(Level::L3) => {
            say::line(&format!("skipped: {what}"));
            0
        }
        ended => ended?,
    };
    say::heading("Next");
    say::line(
        "cargo xtask lab l1 -- bash     a shell beside a throw-away API server\n\
         cargo xtask lab l3 -- bash     the same with a real node (root)\n\
         cargo xtask test               every test, on real Kubernetes too",
    );
    Ok(code)
}

/// The part that runs in the lab.
pub(super) fn inside() -> Result<i32> {
    let lab = Lab::current().ok_or_else(|| {
        Error::Failed("not in a lab (a hidden command of `cargo xtask demo`)".into())
    })?;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    lab.kubectl_ok(&["apply", "-f", "-"], &namespace.to_string())?;
    let exercise = Exercise::apply(&lab, NAMESPACE, &Wanted::default())?;
    exercise.until_ready(Duration::from_secs(60))?;
    super::kubectl(&["get", "pods,ingress", "-n", NAMESPACE], &[0])?;

    say::heading("9. What `curl -v` shows of a crash");
    say::line(
        "Two completions and two streams are under way, one of each on either replica. Then\n\
         `kill -9` of one server, and GETs.\n",
    );
    let answers = lab.state.join("demo");
    fs::create_dir_all(&answers).map_err(Error::io("making a directory for answers"))?;
    let mut running = Vec::new();
    for (name, stream) in [
        ("post-1", false),
        ("post-2", false),
        ("stream-1", true),
        ("stream-2", true),
    ] {
        running.push((name, ask(&exercise, &answers, name, stream)?));
        // Round robin: one after the other, so that each replica gets one of each kind.
        thread::sleep(Duration::from_millis(150));
    }
    kill_one_server(&lab)?;
    for number in 1..=6 {
        let output = exercise.curl(&["-v", "-s", "-m", "5"], "/health")?;
        if number == 1 {
            say::result(String::from_utf8_lossy(&output.stderr).trim_end());
        }
        say::result(&format!(
            "GET {number}: {} (curl exit code {})",
            String::from_utf8_lossy(&output.stdout).trim(),
            output.status.code().unwrap_or(-1)
        ));
        thread::sleep(Duration::from_millis(150));
    }
    for (name, child) in running {
        report(&answers, name, child)?;
    }
    say::heading("10. What NGINX did meanwhile");
    say::line("A status list such as `502, 200` is a retry that the client never saw.\n");
    let log = lab.kubectl_ok(
        &[
            "-n",
            NGINX_NAMESPACE,
            "logs",
            "deployment/nginx",
            "--tail=30",
        ],
        "",
    )?;
    for line in log.lines().filter(|line| line.contains("HTTP/1.1\"")) {
        say::result(line);
    }

    say::heading("11. The same as a drill");
    thread::sleep(Duration::from_secs(3));
    super::kubectl(
        &[
            "infer",
            "drill",
            "ingress/llama",
            "-n",
            NAMESPACE,
            "--fault=crash",
            "--yes",
            "--baseline=5s",
            "--duration=15s",
            "--max-lost-streams=0",
        ],
        // Streams are lost, and that is over the budget.
        &[0, 2],
    )?;
    super::canary::run(&exercise)?;
    Ok(0)
}

/// A completion by `curl -v`, its words in NAME.err and its answer in NAME.out.
fn ask(exercise: &Exercise, answers: &Path, name: &str, stream: bool) -> Result<Child> {
    let body = json!({
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "max_tokens": TOKENS, "stream": stream,
    });
    let file = |end: &str| {
        let path = answers.join(format!("{name}.{end}"));
        File::create(&path).map_err(Error::io(format!("making {}", path.display())))
    };
    Command::new("curl")
        .args([
            "-v",
            "-s",
            "-S",
            "-N",
            "-m",
            "60",
            "-H",
            "content-type: application/json",
            "-d",
        ])
        .arg(body.to_string())
        .args(exercise.curl_target("/v1/chat/completions"))
        .stdin(Stdio::null())
        .stdout(file("out")?)
        .stderr(file("err")?)
        .spawn()
        .map_err(Error::io("starting curl"))
}

/// Kills the server of one pod, from inside its container. It is not PID 1 there: the kernel would
/// drop the signal (pid_namespaces(7)).
fn kill_one_server(lab: &Lab) -> Result<()> {
    let first = "jsonpath={.items[0].metadata.name}";
    let pods = [
        "-n",
        NAMESPACE,
        "get",
        "pods",
        "-l",
        "app=llama",
        "-o",
        first,
    ];
    let pod = lab.kubectl_ok(&pods, "")?;
    let script = "for p in /proc/[0-9]*; do case \"$(cat $p/cmdline 2>/dev/null | tr '\\0' ' ')\" in \
                  *catatonit*) ;; *llama-server*-m*) kill -9 ${p#/proc/} && echo killed ${p#/proc/} ;; esac; done";
    super::shown("kubectl", &["exec", &pod, "--", "kill", "-9", "SERVER"]);
    let said = lab.kubectl_ok(
        &["-n", NAMESPACE, "exec", &pod, "--", "/bin/sh", "-c", script],
        "",
    )?;
    if said.contains("killed") {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "no server was found in {pod}: {said:?}"
    )))
}

/// How a completion ended.
fn report(answers: &Path, name: &str, mut child: Child) -> Result<()> {
    let status = child.wait().map_err(Error::io("waiting for curl"))?;
    let read =
        |end: &str| fs::read_to_string(answers.join(format!("{name}.{end}"))).unwrap_or_default();
    let (out, err) = (read("out"), read("err"));
    let answer = err
        .lines()
        .find(|line| line.starts_with("< HTTP/"))
        .unwrap_or("no answer");
    let last = err.lines().rev().find(|line| line.starts_with("curl: "));
    let done = match name.starts_with("stream") {
        true if out.contains("data: [DONE]") => ", with data: [DONE]",
        true => ", without data: [DONE]",
        false => "",
    };
    say::result(&format!(
        "{name}: {answer}, {} bytes{done}, curl exit code {}{}",
        out.len(),
        status.code().unwrap_or(-1),
        last.map(|line| format!(": {line}")).unwrap_or_default()
    ));
    Ok(())
}
