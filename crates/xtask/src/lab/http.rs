//! One small GET in the clear, for what listens inside a lab.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

/// More than this is not read: a dump of a whole Envoy is some hundred kilobytes.
const LIMIT: u64 = 16 << 20;

/// GETs a path: status and body, or why there is none. Each step takes two seconds at most.
///
/// # Errors
///
/// In words for a log: refused, no HTTP.
pub fn get(server: SocketAddrV4, path: &str) -> Result<(u16, String), String> {
    let said = |error: std::io::Error| error.to_string();
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&server.into(), limit).map_err(said)?;
    stream.set_read_timeout(Some(limit)).map_err(said)?;
    stream.set_write_timeout(Some(limit)).map_err(said)?;
    // Envoy refuses HTTP/1.0, so the answer may come in chunks.
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    .map_err(said)?;
    let mut answer = Vec::new();
    stream.take(LIMIT).read_to_end(&mut answer).map_err(said)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked { joined(body) } else { body.into() };
    Ok((status.ok_or("no HTTP status")?, body))
}

/// The content of chunks (RFC 9112, 7.1); of a torn answer what is there. Text of one byte a
/// character is assumed, which the answers here are.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let (Some(chunk), true) = (rest.get(..size.min(rest.len())), size > 0) else {
            break;
        };
        body.push_str(chunk);
        chunks = rest.get(size + 2..).unwrap_or_default();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn chunks_are_joined_and_a_torn_one_counts() {
        assert_eq!(
            joined("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
            "abc0123456789"
        );
        assert_eq!(joined("5\r\nab"), "ab");
        assert_eq!(joined(""), "");
    }
}
