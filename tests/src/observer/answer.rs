//! The HTTP/1.1 answer in the bytes that a server sent (RFC 9112).

use super::pcap::{Close, Conversation};

/// What of a body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it, by its own length or its last chunk, or up to a FIN where neither is given.
    Whole,
    /// Less.
    Cut,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body without transfer coding, as far as it came.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub whole: Body,
    /// Whether it is server-sent events.
    pub stream: bool,
    /// Whether the events ended with `data: [DONE]`.
    pub done: bool,
}

impl Answer {
    /// The answer in a conversation; none where no whole head came.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Option<Self> {
        let bytes = &conversation.received;
        let end = find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let field = |name: &str| {
            head.split("\r\n")
                .skip(1)
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        let rest = &bytes[end + 4..];
        let chunked = field("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
        let (body, whole) = if chunked {
            chunks(rest)
        } else if let Some(length) = length {
            let body = rest[..rest.len().min(length)].to_vec();
            let whole = body.len() == length;
            (body, whole)
        } else {
            (rest.to_vec(), conversation.close == Close::Fin)
        };
        let stream =
            field("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        Some(Self {
            status,
            done: stream && find(&body, b"data: [DONE]").is_some(),
            stream,
            whole: if whole { Body::Whole } else { Body::Cut },
            body,
        })
    }
}

/// The chunks' content, and whether the last chunk came.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(rest, b"\r\n") else {
            return (body, false);
        };
        let size = String::from_utf8_lossy(&rest[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            return (body, false);
        };
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[..rest.len().min(size)]);
        match rest.get(size + 2..) {
            Some(next) => rest = next,
            None => return (body, false),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::time::Duration;

    fn answer(received: &str, close: Close) -> Option<Answer> {
        Answer::of(&Conversation {
            client: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            began: Duration::ZERO,
            first_byte: None,
            last_byte: None,
            last_sent: None,
            sent: Vec::new(),
            received: received.into(),
            missing: false,
            refused: false,
            close,
        })
    }

    #[test]
    fn a_body_is_whole_by_its_length_its_last_chunk_or_the_end() {
        let whole = |text: &str, close| answer(text, close).unwrap().whole;
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(whole(sized, Close::Open), Body::Whole);
        assert_eq!(whole(&sized[..sized.len() - 1], Close::Fin), Body::Cut);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(whole(chunked, Close::Open), Body::Whole);
        assert_eq!(whole(&chunked[..chunked.len() - 5], Close::Fin), Body::Cut);
        let plain = "HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(whole(plain, Close::Fin), Body::Whole);
        assert_eq!(whole(plain, Close::Reset), Body::Cut);
        assert_eq!(answer("HTTP/1.1 200 OK\r\nA: b\r\n", Close::Fin), None);
    }

    #[test]
    fn a_stream_is_done_when_it_says_so() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let cut = answer(&format!("{head}9\r\ndata: x\n\n\r\n"), Close::Fin).unwrap();
        assert_eq!((cut.done, cut.stream, cut.whole), (false, true, Body::Cut));
        let done = answer(
            &format!("{head}e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
            Close::Fin,
        )
        .unwrap();
        assert_eq!((done.done, done.whole), (true, Body::Whole));
    }
}
