//! Traffic without a cluster: real servers behind real NGINX, on the loopback of a lab of level `t`.
//! `cargo xtask test` runs it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::lab::session::Lab;

/// llama-server, which sends chunks, and a server whose body ends with its connection.
const CHUNKS: u16 = 18080;
const UNTIL_CLOSE: u16 = 18081;
/// NGINX before llama-server, with `proxy_buffering on`. It hands chunks on as they come all the
/// same: curl saw one event a read.
const BEFORE_CHUNKS: u16 = 18082;
/// NGINX before the other, with `proxy_buffering off` and `on`. The last one holds events back until
/// a buffer of 4 KiB is full.
const FLOWING: u16 = 18083;
const BUFFERING: u16 = 18084;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str], port: u16) -> Running {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            Instant::now() < until,
            "{program} does not listen on {port}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

fn nginx(directory: &Path) -> Running {
    let server = |port: u16, to: u16, buffering: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{to};\n\
             proxy_buffering {buffering}; proxy_ignore_headers X-Accel-Buffering; }} }}\n"
        )
    };
    let configuration = format!(
        "worker_processes 1; daemon off; pid {d}/pid; error_log {d}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p;\n\
         fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\";\n{}{}{}}}\n",
        server(BEFORE_CHUNKS, CHUNKS, "on"),
        server(FLOWING, UNTIL_CLOSE, "off"),
        server(BUFFERING, UNTIL_CLOSE, "on"),
        d = directory.display()
    );
    let file = directory.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let (directory, file) = (directory.display().to_string(), file.display().to_string());
    let log = format!("{directory}/error.log");
    start(
        "nginx",
        &["-p", &directory, "-c", &file, "-e", &log],
        BUFFERING,
    )
}

/// Answers every request with 100 events of 300 bytes, one each 25 ms, then closes.
fn server_until_close() {
    let listener = TcpListener::bind(("127.0.0.1", UNTIL_CLOSE)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
                let mut sent = stream.write_all(head.as_bytes());
                for number in 0..100 {
                    let delta =
                        json!({"choices": [{"delta": {"content": format!("{number:>200}")}}]});
                    sent = sent
                        .and_then(|()| stream.write_all(format!("data: {delta}\n\n").as_bytes()));
                    std::thread::sleep(Duration::from_millis(25));
                }
                let _ = sent.and_then(|()| stream.write_all(b"data: [DONE]\n\n"));
            });
        }
    });
}

/// What `kubectl infer test --stream` says of a stream through this port.
fn stream_through(lab: &Lab, port: u16) -> Value {
    let body = json!({
        "messages": [{"role": "user", "content": "Tell me a story."}],
        "max_tokens": 60, "stream": true,
    });
    let file = lab.state.join("stream.json");
    std::fs::write(&file, body.to_string()).unwrap();
    let output = Command::new("kubectl-infer")
        .args([
            "test",
            &format!("http://127.0.0.1:{port}/v1/chat/completions"),
        ])
        .args(["--stream", "--timeout=60s", "-o", "json", "--data"])
        .arg(&file)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let stream = report["requests"][0]["stream"].clone();
    assert_eq!(stream["terminated"], true, "{report:#}");
    assert!(stream["contentEvents"].as_u64().unwrap() > 50, "{report:#}");
    stream
}

#[test]
fn a_stream_through_a_buffering_nginx_is_told_from_a_flowing_one() {
    let Some(lab) = Lab::current().filter(|lab| lab.level == "t") else {
        eprintln!("skipped: needs the lab's NGINX and llama-server; run `cargo xtask test`");
        return;
    };
    let model = lab.models.join("mid.gguf").display().to_string();
    let port = CHUNKS.to_string();
    let _server = start(
        "llama-server",
        &[
            "-m", &model, "--port", &port, "-c", "1024", "-np", "1", "-t", "1",
        ],
        CHUNKS,
    );
    let until = Instant::now() + Duration::from_secs(30);
    let health = format!("http://127.0.0.1:{CHUNKS}/health");
    while !Command::new("curl")
        .args(["-sf", "-m", "2", "-o", "/dev/null", &health])
        .status()
        .unwrap()
        .success()
    {
        assert!(Instant::now() < until, "the model is not loaded in 30 s");
        std::thread::sleep(Duration::from_millis(100));
    }
    let directory = lab.state.join("nginx");
    std::fs::create_dir_all(&directory).unwrap();
    server_until_close();
    let _nginx = nginx(&directory);
    for _ in 0..3 {
        let stream = stream_through(&lab, BUFFERING);
        assert_eq!(stream["buffered"], true, "{stream}");
        // Never accused: what flows.
        for port in [CHUNKS, BEFORE_CHUNKS, UNTIL_CLOSE, FLOWING] {
            let stream = stream_through(&lab, port);
            assert_eq!(stream["buffered"], false, "port {port}: {stream}");
        }
    }
}
