//! A client that takes an answer as it came: when its body began, and whether it is whole.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Version;

/// The header by which each version says its name.
pub const VERSION_HEADER: &str = "x-lab-version";
/// For one request.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    path: &'static str,
    /// None for a GET.
    completion: Option<Completion>,
}

#[derive(Clone, Debug)]
struct Completion {
    tokens: u32,
    stream: bool,
    words: usize,
}

impl Ask {
    /// `GET /v1/models`.
    #[must_use]
    pub fn list() -> Ask {
        Ask {
            path: "/v1/models",
            completion: None,
        }
    }

    /// A chat completion of so many tokens, as one body.
    #[must_use]
    pub fn completion(tokens: u32) -> Ask {
        Ask::chat(tokens, false)
    }

    /// A chat completion of so many tokens, as a stream.
    #[must_use]
    pub fn stream(tokens: u32) -> Ask {
        Ask::chat(tokens, true)
    }

    /// The same with so many words of prompt, no two alike: the server takes time for each. A word is
    /// five tokens for tiny, whose slots take 1024.
    #[must_use]
    pub fn with_prompt(mut self, words: usize) -> Ask {
        if let Some(completion) = &mut self.completion {
            completion.words = words;
        }
        self
    }

    fn chat(tokens: u32, stream: bool) -> Ask {
        Ask {
            path: "/v1/chat/completions",
            completion: Some(Completion {
                tokens,
                stream,
                words: 3,
            }),
        }
    }

    fn body(&self) -> String {
        let Some(Completion {
            tokens,
            stream,
            words,
        }) = &self.completion
        else {
            return String::new();
        };
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let number = ASKED.fetch_add(1, Ordering::Relaxed);
        // The number comes first: what follows a difference is in no cache of prompts.
        let prompt = format!("{number:06} {}", "tell ".repeat(*words));
        json!({
            "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "stream": stream,
        })
        .to_string()
    }
}

/// What a client got.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0 where none came.
    pub status: u16,
    /// What [`VERSION_HEADER`] said.
    pub version: Option<String>,
    /// From the request to the first byte of the body; none where there was none.
    pub first: Option<Duration>,
    /// The body, without the lengths of its chunks.
    pub body: String,
    /// Whether the body ended as its head said: by its length or its last chunk.
    pub whole: bool,
}

impl Answer {
    /// A 200 whose body is whole, and of a stream has its terminator.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let is_stream = self.body.starts_with("data: ");
        self.status == 200 && self.whole && (!is_stream || self.body.contains("data: [DONE]"))
    }

    /// Whether this version gave it.
    #[must_use]
    pub fn is_of(&self, version: Version) -> bool {
        self.version.as_deref() == Some(version.name)
    }
}

pub(super) fn send(to: SocketAddrV4, host: &str, ask: &Ask) -> Answer {
    let method = if ask.completion.is_some() {
        "POST"
    } else {
        "GET"
    };
    let (path, body) = (ask.path, ask.body());
    exchange(
        to,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

/// One request on a connection of its own, and what came until its end.
pub(super) fn exchange(to: SocketAddrV4, request: &str) -> Answer {
    let Ok(mut stream) = TcpStream::connect_timeout(&to.into(), PATIENCE) else {
        return Answer::default();
    };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let began = Instant::now();
    if stream.write_all(request.as_bytes()).is_err() {
        return Answer::default();
    }
    let (mut bytes, mut first) = (Vec::new(), None);
    let mut buffer = [0; 1 << 14];
    // An error ends it as the end of the connection does: the body then is not whole.
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..read]);
        let has_body = || head_length(&bytes).is_some_and(|length| bytes.len() > length);
        if first.is_none() && has_body() {
            first = Some(began.elapsed());
        }
    }
    read_answer(&bytes, first)
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    Some(end + 4)
}

fn read_answer(bytes: &[u8], first: Option<Duration>) -> Answer {
    let Some(length) = head_length(bytes) else {
        return Answer::default();
    };
    let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.to_owned())
    };
    let rest = &bytes[length..];
    let (body, whole) = if header("transfer-encoding").is_some() {
        unchunked(rest)
    } else {
        let wanted = header("content-length").and_then(|it| it.parse().ok());
        (
            rest.to_vec(),
            wanted.is_none_or(|it: usize| it == rest.len()),
        )
    };
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        version: header(VERSION_HEADER),
        first,
        body: String::from_utf8_lossy(&body).into_owned(),
        whole,
    }
}

/// The data of a chunked body (RFC 9112, 7.1), and whether its last chunk came.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(line) = rest.windows(2).position(|it| it == b"\r\n") {
        let length = std::str::from_utf8(&rest[..line]).unwrap_or_default();
        let Ok(length) = usize::from_str_radix(length.trim(), 16) else {
            return (data, false);
        };
        if length == 0 {
            return (data, true);
        }
        rest = &rest[line + 2..];
        data.extend_from_slice(&rest[..length.min(rest.len())]);
        if rest.len() < length + 2 {
            return (data, false);
        }
        rest = &rest[length + 2..];
    }
    (data, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flawed::{GOOD, STABLE};

    fn read(text: &str) -> Answer {
        read_answer(text.as_bytes(), None)
    }

    #[test]
    fn a_stream_is_good_with_its_last_chunk_and_its_terminator() {
        let head = "HTTP/1.1 200 OK\r\nX-Lab-Version: good\r\nTransfer-Encoding: chunked\r\n\r\n";
        let event = "9\r\ndata: 1\n\n\r\n";
        let done = "e\r\ndata: [DONE]\n\n\r\n";
        let good = read(&format!("{head}{event}{done}0\r\n\r\n"));
        assert!(
            good.is_good() && good.is_of(GOOD) && !good.is_of(STABLE),
            "{good:?}"
        );
        for cut in [
            format!("{head}{event}"),
            format!("{head}{event}{done}"),
            format!("{head}{event}0\r\n\r\n"),
            format!("{head}9\r\ndata"),
            head.to_owned(),
            "HTTP/1.1 200".to_owned(),
        ] {
            assert!(!read(&cut).is_good(), "{cut:?}");
        }
    }

    #[test]
    fn a_body_is_whole_by_its_length() {
        let of = |status: u16, body: &str| {
            read(&format!(
                "HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\n{body}"
            ))
        };
        assert!(of(200, "full").is_good());
        assert!(!of(200, "cut").is_good() && !of(500, "full").is_good());
        assert_eq!(of(500, "full").status, 500);
    }
}
