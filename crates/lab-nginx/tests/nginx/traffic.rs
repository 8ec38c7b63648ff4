//! What a client and the observer see of a rendered configuration, without a cluster.

use crate::objects::{ingress, ingress_at, object, objects, slice};
use crate::real::{arguments, program, settings_in};
use lab_nginx::observed::Observed;
use lab_nginx::render::{Objects, Settings, render};
use lab_nginx::status::SPLITS_PATH;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// NGINX with one configuration. Ends with this.
pub(crate) struct Running {
    settings: Settings,
    master: Child,
    _directory: tempfile::TempDir,
}

impl Running {
    /// None where there is no nginx.
    pub(crate) fn start(objects: &Objects) -> Option<Running> {
        let program = program()?;
        // A free port may be taken by another test in the meantime.
        let started = (0..3).find_map(|_| Running::try_start(&program, objects));
        Some(started.expect("nginx does not start; its ports are free"))
    }

    fn try_start(program: &Path, objects: &Objects) -> Option<Running> {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            http_port: free_port(),
            status_port: free_port(),
            ..settings_in(directory.path())
        };
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, render(objects, &settings).text).unwrap();
        let master = Command::new(program)
            .env_remove("NGINX")
            .args(arguments(&path, directory.path()))
            .args(["-g", "daemon off;"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Running {
            settings,
            master,
            _directory: directory,
        };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", running.settings.http_port)).is_err() {
            assert!(Instant::now() < until, "nginx does not listen");
            if running.master.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(running)
    }

    /// Status, body and our port.
    pub(crate) fn ask(&self, method: &str, host: &str, path: &str) -> (u16, String, u16) {
        ask(self.settings.http_port, method, host, path)
    }

    /// What the status server says of canaries.
    pub(crate) fn splits(&self) -> String {
        ask(self.settings.status_port, "GET", "any", SPLITS_PATH).1
    }

    /// Ends NGINX, so that its logs are whole, and returns both: its stdout, the observer's.
    pub(crate) fn logs(mut self) -> (Vec<String>, Vec<Observed>) {
        self.stop(Signal::QUIT);
        let stdout = BufReader::new(self.master.stdout.take().unwrap());
        let access = stdout.lines().map(Result::unwrap).collect();
        let path = self.settings.observer_log.clone().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let observed = text.lines().map(|line| Observed::parse(line).unwrap());
        (access, observed.collect())
    }

    fn stop(&mut self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.master.id()).unwrap()).unwrap();
        let _ = kill_process(pid, signal);
        let _ = self.master.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.master.try_wait(), Ok(None)) {
            self.stop(Signal::TERM);
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn ask(port: u16, method: &str, host: &str, path: &str) -> (u16, String, u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let own = stream.local_addr().unwrap().port();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    write!(
        stream,
        "{head}User-Agent: t\"est\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
    (status, body.to_owned(), own)
}

/// An address that refuses while what comes with it lives: a client's own port, which nobody else
/// gets and nobody listens on.
fn refusing() -> (SocketAddr, (TcpListener, TcpStream)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client.local_addr().unwrap(), (listener, client))
}

/// How an endpoint behaves.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    /// 200, with the head that it received as the body.
    Echo,
    /// Reads the request and closes.
    Close,
}

/// An endpoint that lives as long as the test's process.
pub(crate) fn endpoint(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut head = String::new();
            let mut reader = BufReader::new(&stream);
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            if let Behaviour::Echo = behaviour {
                let length = head.len();
                // One request a connection, and said so: else NGINX may send the next one after it.
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{head}"
                );
                let _ = (&stream).write_all(answer.as_bytes());
            }
        }
    });
    address
}

/// `models/llama` with these endpoints, each in a slice of its own port.
fn behind(endpoints: &[SocketAddr]) -> Objects {
    let mut all = objects(vec![
        ingress("chat", "llm.example", &[]),
        ingress_at("v1", "api.example", "/v1", &[]),
    ]);
    let slices = endpoints.iter().enumerate().map(|(index, address)| {
        let ip = address.ip().to_string();
        object(slice(
            &format!("s{index}"),
            address.port(),
            &[(&ip, Some(true))],
        ))
    });
    all.slices = slices.collect();
    all
}

#[test]
fn hosts_and_paths_find_their_way_and_the_rest_is_404() {
    let echo = endpoint(Behaviour::Echo);
    let Some(nginx) = Running::start(&behind(&[echo])) else {
        return;
    };
    let status = |host, path| nginx.ask("GET", host, path).0;
    assert_eq!(status("llm.example", "/anything?x=1"), 200);
    assert_eq!(status("api.example", "/v1"), 200);
    assert_eq!(status("api.example", "/v1/models"), 200);
    assert_eq!(status("api.example", "/v10"), 404);
    assert_eq!(status("api.example", "/"), 404);
    assert_eq!(status("unknown.example", "/"), 404);
    let port = nginx.settings.status_port;
    assert_eq!(ask(port, "GET", "any", "/healthz").0, 200);
    let (_, digest, _) = ask(port, "GET", "any", "/configuration");
    assert_eq!(digest, render(&behind(&[echo]), &nginx.settings).digest);
}

#[test]
fn an_endpoint_sees_the_request_as_ingress_nginx_passes_it() {
    let Some(nginx) = Running::start(&behind(&[endpoint(Behaviour::Echo)])) else {
        return;
    };
    let (_, head, _) = nginx.ask("POST", "llm.example", "/v1/x?y=%20z");
    assert!(head.starts_with("POST /v1/x?y=%20z HTTP/1.1"), "{head}");
    let port = nginx.settings.http_port.to_string();
    for line in [
        "Host: llm.example",
        "X-Real-IP: 127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        &format!("X-Forwarded-Port: {port}"),
        "X-Request-ID: ",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!head.contains("Connection:"), "kept open: {head}");
}

#[test]
fn nobody_ready_is_503_and_a_post_that_was_sent_is_not_tried_again() {
    let Some(nginx) = Running::start(&behind(&[])) else {
        return;
    };
    assert_eq!(nginx.ask("GET", "llm.example", "/").0, 503);
    assert_eq!(nginx.ask("GET", "unknown.example", "/").0, 404);
    drop(nginx);
    let [closes, echoes] = [Behaviour::Close, Behaviour::Echo].map(endpoint);
    let mut objects = behind(&[closes, echoes]);
    let mut patient = behind(&[closes, echoes]);
    let nginx = Running::start(&objects).unwrap();
    let statuses = |nginx: &Running, method| {
        let mut all = [0; 2].map(|_| nginx.ask(method, "llm.example", "/").0);
        all.sort_unstable();
        all
    };
    assert_eq!(statuses(&nginx, "POST"), [200, 502]);
    assert_eq!(statuses(&nginx, "GET"), [200, 200]);
    drop(nginx);
    let replay = &[("proxy-next-upstream", "error timeout non_idempotent")];
    patient.ingresses = vec![ingress("chat", "llm.example", replay)];
    objects = patient;
    let nginx = Running::start(&objects).unwrap();
    assert_eq!(
        statuses(&nginx, "POST"),
        [200, 200],
        "the annotation is what made it"
    );
}

#[test]
fn both_logs_tell_of_each_attempt() {
    let (refuses, _held) = refusing();
    let echoes = endpoint(Behaviour::Echo);
    let Some(nginx) = Running::start(&behind(&[refuses, echoes])) else {
        return;
    };
    let mut ports = Vec::new();
    for _ in 0..2 {
        let (status, _, port) = nginx.ask("GET", "llm.example", "/x");
        assert_eq!(status, 200);
        ports.push(port);
    }
    let (own_status, _, own_port) = nginx.ask("GET", "unknown.example", "/");
    assert_eq!(own_status, 404);
    let (access, observed) = nginx.logs();
    assert_eq!((access.len(), observed.len()), (3, 3), "{access:?}");
    let line = |port: u16| observed.iter().find(|it| it.remote_port == port).unwrap();
    let attempts = ports
        .iter()
        .map(|port| line(*port).attempts())
        .max_by_key(Vec::len);
    let attempts = attempts.unwrap();
    let seen: Vec<_> = attempts
        .iter()
        .map(|it| (it.address.clone(), it.status.as_str()))
        .collect();
    assert_eq!(
        seen,
        [(refuses.to_string(), "502"), (echoes.to_string(), "200")]
    );
    let retried = format!("[models-llama-80] [] {refuses}, {echoes} 0, ");
    let matching: Vec<_> = access.iter().filter(|it| it.contains(&retried)).collect();
    let [retried] = matching[..] else {
        panic!("{retried}: {access:?}")
    };
    // $upstream_status and $req_id end the line.
    let words: Vec<_> = retried.split(' ').rev().collect();
    assert_eq!(
        (words[1], words[2], words[0].len()),
        ("200", "502,", 32),
        "{retried}"
    );
    assert!(
        retried.starts_with("127.0.0.1 - - [") && retried.contains("] \"GET /x HTTP/1.1\" 200 ")
    );
    let own = line(own_port);
    assert!(own.attempts().is_empty() && own.status == "404");
    assert_eq!(
        (own.user_agent.as_str(), own.upstream_name.as_str()),
        ("t\"est", "upstream-default-backend")
    );
    assert!(
        access
            .iter()
            .any(|it| it.contains("[upstream-default-backend] [] - - - - ")),
        "{access:?}"
    );
}

#[test]
fn an_answer_that_breaks_off_is_200_and_short() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    let Some(nginx) = Running::start(&behind(&[address])) else {
        return;
    };
    let (status, body, port) = nginx.ask("GET", "llm.example", "/");
    assert_eq!((status, body.as_str()), (200, "half"));
    let (_, observed) = nginx.logs();
    assert_eq!(
        (observed[0].remote_port, observed[0].body_bytes_sent),
        (port, 4)
    );
    assert_eq!(
        (
            observed[0].status.as_str(),
            observed[0].content_length.as_str()
        ),
        ("200", "100")
    );
    // The field that seems to tell does not.
    assert_eq!(observed[0].request_completion, "OK");
}

#[test]
fn a_client_s_own_request_id_is_passed_on() {
    let all = behind(&[endpoint(Behaviour::Echo)]);
    let Some(nginx) = Running::start(&all) else {
        return;
    };
    let mut stream = TcpStream::connect(("127.0.0.1", nginx.settings.http_port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        "GET / HTTP/1.1\r\nHost: llm.example\r\nX-Request-ID: mine\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("X-Request-ID: mine\r\n"), "{answer}");
    assert_eq!(json!(nginx.logs().1[0].request_id), json!("mine"));
}
