//! Server-sent events (WHATWG HTML, "Server-sent events", parsing an event stream). Pure.

use std::time::Duration;

/// The largest line, and the most data of one event, that is kept. What is longer is cut, so that
/// a server that never ends its line cannot fill the memory.
pub const LARGEST_EVENT: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; empty where there was none.
    pub name: String,
    /// The `data` lines, joined by line feeds.
    pub data: String,
    /// When its first byte came.
    pub began: Duration,
    /// When its last byte came: the stamp of the read that completed it.
    pub at: Duration,
}

/// Reads events from bytes, however they are split.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The line before ended with a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// Past the place where a byte order mark may stand.
    past_mark: bool,
    began: Option<Duration>,
    name: String,
    data: Option<String>,
}

impl Parser {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that were read at this time; gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8], at: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            let feed_of_return = std::mem::take(&mut self.after_return) && *byte == b'\n';
            if feed_of_return {
                continue;
            }
            match byte {
                b'\r' | b'\n' => {
                    self.after_return = *byte == b'\r';
                    events.extend(self.end_of_line(at));
                }
                _ => {
                    self.began.get_or_insert(at);
                    if self.line.len() < LARGEST_EVENT {
                        self.line.push(*byte);
                    }
                    if !self.past_mark && self.line.len() == BYTE_ORDER_MARK.len() {
                        self.past_mark = true;
                        if self.line == BYTE_ORDER_MARK {
                            self.line.clear();
                            self.began = None;
                        }
                    }
                }
            }
        }
        events
    }

    /// The stream ended: the event that no blank line ended, if there is one.
    ///
    /// The standard throws such an event away. Here it counts, because a server that ends with
    /// `data: [DONE]` and one line feed did say that it was done.
    pub fn finish(&mut self, at: Duration) -> Option<Event> {
        if !self.line.is_empty() {
            self.field();
        }
        self.dispatch(at)
    }

    fn end_of_line(&mut self, at: Duration) -> Option<Event> {
        self.past_mark = true;
        if self.line.is_empty() {
            return self.dispatch(at);
        }
        self.field();
        None
    }

    fn field(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) if data.len() + value.len() < LARGEST_EVENT => {
                    data.push('\n');
                    data.push_str(value);
                }
                Some(_) => {}
            },
            // A comment has an empty field name. `id` and `retry` are for reconnecting.
            _ => {}
        }
    }

    fn dispatch(&mut self, at: Duration) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let began = self.began.take().unwrap_or(at);
        let data = self.data.take()?;
        Some(Event {
            name,
            data,
            began,
            at,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::new();
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(parser.push(chunk, Duration::ZERO));
        }
        events.extend(parser.finish(Duration::ZERO));
        events
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect()
    }

    fn pair(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn fields_comments_and_line_ends() {
        let text =
            b"\xEF\xBB\xBFdata: 0\r\n: hello\r\n\r\nevent: a\r\ndata: 1\r\ndata:2\r\nid: 7\r\n\r\n\
            data\n\ndata:  two spaces\r\rignored: x\n\nevent: lost\n\ndata: [DONE]";
        assert_eq!(
            read(&[text]),
            [
                pair("", "0"),
                pair("a", "1\n2"),
                pair("", ""),
                pair("", " two spaces"),
                pair("", "[DONE]"),
            ]
        );
    }

    #[test]
    fn an_event_is_stamped_by_the_read_that_completes_it() {
        let mut parser = Parser::new();
        let ms = Duration::from_millis;
        assert!(parser.push(b"data: a", ms(1)).is_empty());
        assert!(parser.push(b"b\n", ms(2)).is_empty());
        let events = parser.push(b"\ndata: c\n\n", ms(3));
        let stamps: Vec<_> = events.iter().map(|event| (event.began, event.at)).collect();
        assert_eq!(stamps, [(ms(1), ms(3)), (ms(3), ms(3))]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut parser = Parser::new();
        parser.push(b"data: ", Duration::ZERO);
        for _ in 0..3 {
            parser.push(&vec![b'x'; LARGEST_EVENT / 2], Duration::ZERO);
        }
        let events = parser.push(b"\n\n", Duration::ZERO);
        assert!(events[0].data.len() < LARGEST_EVENT);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            text in proptest::collection::vec(
                prop_oneof![
                    Just("\r"), Just("\n"), Just("\r\n"), Just("data: x"), Just("data:é"),
                    Just("event: e"), Just(":"), Just(" "), Just("\u{feff}"), Just("data"),
                    Just("[DONE]"), Just("id: 1"),
                ],
                0..40,
            ),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let text = text.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&text[from..cut]);
                from = cut;
            }
            chunks.push(&text[from..]);
            prop_assert_eq!(read(&chunks), read(&[&text]));
        }
    }
}
