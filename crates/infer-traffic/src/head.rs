//! The heads of request and answer, as they are on the wire. Pure.
//!
//! hyper reads and judges them; it is not asked for what they looked like, because it folds names
//! to lower case and does not say which read brought the first byte.

use std::time::Duration;

/// The largest head that is read, request's or answer's.
pub(crate) const LARGEST_HEAD: usize = 64 * 1024;

const LOWEST_FINAL_STATUS: u16 = 200;
const SWITCHING_PROTOCOLS: u16 = 101;

/// A head, read apart for showing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: String,
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Collects the bytes of one head.
#[derive(Debug, Default)]
struct Collector {
    bytes: Vec<u8>,
    complete: bool,
}

impl Collector {
    /// Takes what belongs to the head and gives back how much that was.
    fn push(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            if self.complete {
                return index;
            }
            // Past the bound hyper has given up; the rest is looked at and not kept.
            if self.bytes.len() < LARGEST_HEAD {
                self.bytes.push(*byte);
            }
            self.complete = *byte == b'\n'
                && (self.bytes.ends_with(b"\r\n\r\n") || self.bytes.ends_with(b"\n\n"));
        }
        bytes.len()
    }

    /// The lines that ended, so that a cut head shows nothing that is half.
    fn lines(&self) -> impl Iterator<Item = String> {
        String::from_utf8_lossy(&self.bytes)
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| line.trim_end_matches(['\r', '\n']).to_owned())
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn headers(lines: impl Iterator<Item = String>) -> Vec<(String, String)> {
        lines
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect()
    }
}

/// What was written of a request.
#[derive(Debug)]
pub(crate) struct Written {
    head: Collector,
    body_left: u64,
}

impl Written {
    pub(crate) fn new(body: u64) -> Self {
        Self {
            head: Collector::default(),
            body_left: body,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let body = bytes.len() - self.head.push(bytes);
        self.body_left = self.body_left.saturating_sub(body as u64);
    }

    pub(crate) fn started(&self) -> bool {
        !self.head.bytes.is_empty()
    }

    /// Head and body were written to their last byte.
    pub(crate) fn complete(&self) -> bool {
        self.head.complete && self.body_left == 0
    }

    /// The headers, in order.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        Collector::headers(self.head.lines().skip(1))
    }
}

/// What came of an answer, up to the end of its final head.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    head: Collector,
    /// When the first byte of the head that is being read came.
    pub(crate) first_byte: Option<Duration>,
}

impl Answer {
    pub(crate) fn push(&mut self, mut bytes: &[u8], at: Duration) {
        while !bytes.is_empty() && !self.head.complete {
            self.first_byte.get_or_insert(at);
            let taken = self.head.push(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            // RFC 9110, 15.2: any number of interim answers, then the final one. 101 is final.
            let interim = self.head.complete
                && self.head().status.is_some_and(|status| {
                    status < LOWEST_FINAL_STATUS && status != SWITCHING_PROTOCOLS
                });
            if interim {
                *self = Self::default();
            }
        }
    }

    pub(crate) fn complete(&self) -> bool {
        self.head.complete
    }

    /// The head as far as it came. Without a whole status line of a final answer: no status.
    pub(crate) fn head(&self) -> Head {
        let mut lines = self.head.lines().skip_while(String::is_empty);
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, ' ');
        Head {
            version: words.next().unwrap_or_default().to_owned(),
            status: words.next().and_then(|word| word.parse().ok()),
            reason: words.next().unwrap_or_default().to_owned(),
            headers: Collector::headers(lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_millis(1);
    const LATER: Duration = Duration::from_millis(2);

    #[test]
    fn an_interim_answer_is_not_the_first_byte() {
        let mut answer = Answer::default();
        answer.push(b"HTTP/1.1 100 Continue\r\n\r\n", AT);
        assert_eq!(answer.first_byte, None);
        answer.push(b"HTTP/1.1 200 O", LATER);
        answer.push(b"K\r\nA: b\r\n\r\nbody", LATER + AT);
        assert_eq!(answer.first_byte, Some(LATER));
        let head = answer.head();
        assert_eq!((head.status, head.reason.as_str()), (Some(200), "OK"));
        assert_eq!(head.headers, [("A".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn an_interim_answer_and_the_final_one_in_one_read() {
        let mut answer = Answer::default();
        answer.push(
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            AT,
        );
        assert!(answer.complete());
        assert_eq!(answer.first_byte, Some(AT));
        assert_eq!(answer.head().status, Some(204));
    }

    #[test]
    fn a_head_without_end_is_not_kept_without_end() {
        let mut answer = Answer::default();
        for _ in 0..3 {
            answer.push(&[b'x'; LARGEST_HEAD], AT);
        }
        assert_eq!(answer.head.bytes.len(), LARGEST_HEAD);
    }

    #[test]
    fn a_request_is_written_when_its_last_body_byte_is() {
        let mut written = Written::new(4);
        written.push(b"POST / HTTP/1.1\r\nhost: a\r\n\r");
        written.push(b"\nbod");
        assert!(!written.complete());
        written.push(b"y");
        assert!(written.complete());
        assert_eq!(written.headers(), [("host".to_owned(), "a".to_owned())]);
    }
}
