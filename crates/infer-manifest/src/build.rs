//! Events of one document -> a JSON value and the places of all that is in it.
//!
//! Frames on the heap instead of recursion: the depth of a text is the sender's choice.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, Span as Marked, StrInput, StructureStyle, Tag,
};
use serde_json::{Map, Value};

use crate::place::{Children, Node, Span, position};
use crate::scalar::{resolve, shortened};

/// Collections inside of collections. serde_json's reader, and so the webhook, stops here too.
const DEEPEST: usize = 128;

/// What one text may cost, in values; long strings count for more. Aliases spend from it each time
/// they are used, or a few lines could unfold into gigabytes.
pub(crate) struct Budget(usize);

impl Budget {
    /// A dense text of 10 MB has about two million values; a usual one a tenth of that.
    pub(crate) fn of_one_text() -> Self {
        Self(4_000_000)
    }

    fn spend(&mut self, values: usize, at: usize) -> Result<(), Failure> {
        match self.0.checked_sub(values) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Failure::new(at, "too many values, or too many aliases")),
        }
    }
}

/// Why a document cannot be read, and where (byte offset into the whole text).
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// What the parser itself says, for help that depends on it.
    pub(crate) scan: Option<Box<ErrorKind>>,
}

impl Failure {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            help: None,
            scan: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

struct Entry {
    value: Value,
    node: Node,
}

enum Frame {
    List {
        start: usize,
        flow: bool,
        anchor: usize,
        end: usize,
        values: Vec<Value>,
        nodes: Vec<Node>,
    },
    Map {
        start: usize,
        flow: bool,
        anchor: usize,
        end: usize,
        object: Map<String, Value>,
        nodes: Vec<(Box<str>, Node)>,
        /// The key whose value comes next.
        pending: Option<Key>,
        /// Keys that a merge (`<<`) brought, which may be written once more.
        merged: HashSet<String>,
    },
}

enum Key {
    Plain { name: String, span: Span },
    Merge { span: Span },
}

impl Key {
    fn span(&self) -> Span {
        match self {
            Key::Plain { span, .. } | Key::Merge { span } => *span,
        }
    }
}

/// Builds one document. `text` is the whole text; the parser sees it from `base` on.
pub(crate) struct Builder<'t, 'b> {
    text: &'t str,
    base: usize,
    budget: &'b mut Budget,
    /// Where the last event ended: what lies between it and the next one is indicators, comments
    /// and white space.
    cursor: usize,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Entry>,
    root: Option<Entry>,
}

impl<'t, 'b> Builder<'t, 'b> {
    pub(crate) fn new(text: &'t str, base: usize, budget: &'b mut Budget) -> Self {
        Self {
            text,
            base,
            budget,
            cursor: base,
            frames: Vec::new(),
            anchors: HashMap::new(),
            root: None,
        }
    }

    /// Reads the events to their end. `None` if there is no content at all.
    pub(crate) fn build(
        mut self,
        parser: &mut Parser<'t, StrInput<'t>>,
    ) -> Result<Option<(Value, Node)>, Failure> {
        let mut ended = false;
        while let Some(next) = parser.next_event() {
            let (event, marked) = next.map_err(|error| {
                let at = self.base + error.marker().byte_offset().unwrap_or(0);
                match error.kind() {
                    // The parser looks ahead, and has a limit of its own.
                    ErrorKind::RecursionLimitExceeded => too_deep(at),
                    kind => Failure {
                        scan: Some(Box::new(kind.clone())),
                        ..Failure::new(at, kind.to_string())
                    },
                }
            })?;
            let (start, end) = self.place(&marked);
            match event {
                Event::DocumentStart(..) if ended => {
                    return Err(
                        Failure::new(start, "kubectl does not read what follows `...`")
                            .help("separate documents with `---`"),
                    );
                }
                Event::DocumentEnd => ended = true,
                Event::Scalar(text, style, anchor, tag) => {
                    let tag_start = marked.tag_span().map(|tag| self.place(&tag).0);
                    let start = tag_start.map_or(start, |tag| tag.min(start));
                    self.scalar(text, style, anchor, tag.as_deref(), (start, end))?;
                }
                Event::Alias(id) => self.alias(id, start, end)?,
                Event::SequenceStart(style, anchor, _) => {
                    self.open(start)?;
                    let flow = style == StructureStyle::Flow;
                    let start = if flow { start } else { self.dash(start) };
                    self.frames.push(Frame::List {
                        start,
                        flow,
                        anchor,
                        end: start,
                        values: Vec::new(),
                        nodes: Vec::new(),
                    });
                }
                Event::MappingStart(style, anchor, _) => {
                    self.open(start)?;
                    self.frames.push(Frame::Map {
                        start,
                        flow: style == StructureStyle::Flow,
                        anchor,
                        end: start,
                        object: Map::new(),
                        nodes: Vec::new(),
                        pending: None,
                        merged: HashSet::new(),
                    });
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(end)?,
                _ => {}
            }
            self.cursor = self.cursor.max(end);
        }
        Ok(self.root.map(|entry| (entry.value, entry.node)))
    }

    fn place(&self, marked: &Marked) -> (usize, usize) {
        let range = marked.byte_range().unwrap_or(0..0);
        (self.base + range.start, self.base + range.end)
    }

    /// The key whose value comes next, if we are there.
    fn pending(&self) -> Option<&Key> {
        match self.frames.last() {
            Some(Frame::Map { pending, .. }) => pending.as_ref(),
            _ => None,
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Map { pending: None, .. }))
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        (start, end): (usize, usize),
    ) -> Result<(), Failure> {
        self.budget.spend(1 + text.len() / 64, start)?;
        let plain = style == ScalarStyle::Plain;
        if self.expects_key() && plain && tag.is_none() && text == "<<" {
            self.set_pending(Key::Merge {
                span: Span::new(start, end),
            });
            return Ok(());
        }
        let scalar = resolve(text, plain, tag).map_err(|why| Failure::new(start, why))?;
        if self.expects_key() {
            let name = scalar.into_key().map_err(|why| {
                Failure::new(start, why).help("write the key in quotes to make it text")
            })?;
            if anchor != 0 {
                let entry = Entry {
                    value: Value::String(name.clone()),
                    node: leaf(Span::new(start, end)),
                };
                self.anchors.insert(anchor, entry);
            }
            return self.key(name, Span::new(start, end));
        }
        let span = match style {
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let header = self.indicator(start, b"|>").unwrap_or(start);
                Span::new(header, self.last_line(start, end))
            }
            _ if start == end => {
                let start = start.max(self.after_colon(start));
                Span::new(start, start)
            }
            _ => Span::new(start, end),
        };
        let value = scalar.into_value().map_err(|why| {
            Failure::new(start, why).help("write the value in quotes to make it text")
        })?;
        let entry = Entry {
            value,
            node: leaf(span),
        };
        self.remember(anchor, &entry)?;
        self.attach(entry)
    }

    fn alias(&mut self, id: usize, start: usize, end: usize) -> Result<(), Failure> {
        let site = Span::new(start, end);
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Failure::new(start, "an anchor whose value contains itself"));
        };
        if self.expects_key() {
            let name = match &anchored.value {
                Value::String(text) => text.clone(),
                Value::Bool(truth) => truth.to_string(),
                Value::Number(number) => number.to_string(),
                _ => return Err(Failure::new(start, "a key must be a scalar")),
            };
            return self.key(name, site);
        }
        let (cost, depth) = measure(&anchored.value);
        self.budget.spend(cost, start)?;
        if self.frames.len() + depth > DEEPEST {
            return Err(too_deep(start));
        }
        let entry = Entry {
            value: anchored.value.clone(),
            node: Node {
                site,
                ..anchored.node.clone()
            },
        };
        self.attach(entry)
    }

    /// A collection may start here.
    fn open(&mut self, start: usize) -> Result<(), Failure> {
        self.budget.spend(1, start)?;
        if self.frames.len() >= DEEPEST {
            return Err(too_deep(start));
        }
        if self.expects_key() {
            return Err(Failure::new(
                start,
                "a key must be a scalar, not a list or a map",
            ));
        }
        Ok(())
    }

    fn close(&mut self, event_end: usize) -> Result<(), Failure> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let (anchor, entry) = match frame {
            Frame::List {
                start,
                flow,
                anchor,
                end,
                values,
                nodes,
            } => {
                let mut node = leaf(Span::new(start, if flow { event_end } else { end }));
                node.children = Children::List(nodes.into_boxed_slice());
                let value = Value::Array(values);
                (anchor, Entry { value, node })
            }
            Frame::Map {
                start,
                flow,
                anchor,
                end,
                object,
                mut nodes,
                ..
            } => {
                // Only merges bring a key twice. What came last is what counts.
                nodes.sort_by(|(left, _), (right, _)| left.cmp(right));
                nodes.dedup_by(|later, earlier| {
                    let same = later.0 == earlier.0;
                    if same {
                        std::mem::swap(later, earlier);
                    }
                    same
                });
                let mut node = leaf(Span::new(start, if flow { event_end } else { end }));
                node.children = Children::Map(nodes.into_boxed_slice());
                let value = Value::Object(object);
                (anchor, Entry { value, node })
            }
        };
        self.remember(anchor, &entry)?;
        self.attach(entry)
    }

    /// Keeps a copy of an anchored value.
    fn remember(&mut self, anchor: usize, entry: &Entry) -> Result<(), Failure> {
        if anchor != 0 {
            let (cost, _) = measure(&entry.value);
            self.budget.spend(cost, entry.node.value.range().start)?;
            let copy = Entry {
                value: entry.value.clone(),
                node: entry.node.clone(),
            };
            self.anchors.insert(anchor, copy);
        }
        Ok(())
    }

    fn set_pending(&mut self, key: Key) {
        if let Some(Frame::Map { pending, end, .. }) = self.frames.last_mut() {
            *end = (*end).max(key.span().range().end);
            *pending = Some(key);
        }
    }

    fn key(&mut self, name: String, span: Span) -> Result<(), Failure> {
        if let Some(Frame::Map {
            object,
            merged,
            nodes,
            ..
        }) = self.frames.last_mut()
            && object.contains_key(&name)
            && !merged.remove(&name)
        {
            let first = nodes.iter().find(|(key, _)| key.as_ref() == name);
            let line = first
                .and_then(|(_, node)| node.key)
                .map(|key| position(self.text, key.range().start).0);
            let mut message = format!("the key `{}` is given twice", shortened(&name));
            if let Some(line) = line {
                message.push_str(&format!(", first in line {line}"));
            }
            return Err(Failure::new(span.range().start, message)
                .help("remove one: kubectl would use the last and drop the first without a word"));
        }
        self.set_pending(Key::Plain { name, span });
        Ok(())
    }

    /// Gives a finished value to the collection around it.
    fn attach(&mut self, mut entry: Entry) -> Result<(), Failure> {
        let site = entry.node.site.range();
        match self.frames.last_mut() {
            None => self.root = Some(entry),
            Some(Frame::List {
                values, nodes, end, ..
            }) => {
                *end = (*end).max(site.end);
                values.push(entry.value);
                nodes.push(entry.node);
            }
            Some(Frame::Map {
                object,
                nodes,
                end,
                pending,
                merged,
                ..
            }) => {
                *end = (*end).max(site.end);
                match pending.take() {
                    Some(Key::Plain { name, span }) => {
                        entry.node.key = Some(span);
                        nodes.push((name.as_str().into(), entry.node));
                        object.insert(name, entry.value);
                    }
                    Some(Key::Merge { .. }) => {
                        merge(object, nodes, merged, entry).map_err(|()| {
                            Failure::new(site.start, "`<<` needs a map or a list of maps")
                        })?;
                    }
                    // Not reached: a key comes before every value.
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// The start of a block list. The parser gives the first item's where the dash stands no
    /// deeper than the key of the list.
    fn dash(&self, start: usize) -> usize {
        match self.pending() {
            Some(_) => self.indicator(start, b"-").unwrap_or(start),
            None => start,
        }
    }

    /// The position after the colon behind the key whose value is absent.
    fn after_colon(&self, otherwise: usize) -> usize {
        let Some(key) = self.pending() else {
            return otherwise;
        };
        let end = key.span().range().end;
        let rest = self.text.get(end..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start().len();
        match rest.as_bytes().get(blank) {
            Some(b':') => end + blank + 1,
            _ => otherwise,
        }
    }

    /// The first of the wanted indicators between the last event and `end`, past comments,
    /// anchors and tags.
    fn indicator(&self, end: usize, wanted: &[u8]) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.cursor;
        while at < end {
            let byte = *bytes.get(at)?;
            let past = |stop: fn(&u8) -> bool| {
                let rest = bytes.get(at..end).unwrap_or_default();
                rest.iter().position(stop).unwrap_or(rest.len())
            };
            at += match byte {
                _ if wanted.contains(&byte) => return Some(at),
                b'#' => past(|byte| *byte == b'\n'),
                b'&' | b'!' => past(u8::is_ascii_whitespace),
                _ => 1,
            };
        }
        None
    }

    /// Where the last line of a block scalar ends, without its line break.
    fn last_line(&self, start: usize, end: usize) -> usize {
        let block = self.text.get(start..end).unwrap_or_default();
        let mut kept = block;
        while let Some((before, line)) = kept.rsplit_once('\n')
            && line.trim().is_empty()
        {
            kept = before;
        }
        start + kept.trim_end_matches('\r').len()
    }
}

fn leaf(span: Span) -> Node {
    Node {
        key: None,
        value: span,
        site: span,
        children: Children::None,
    }
}

fn too_deep(at: usize) -> Failure {
    Failure::new(at, format!("nested deeper than {DEEPEST} lists and maps"))
}

/// kubectl's order: a merge overwrites what stands before it and is overwritten by what follows;
/// of a list of maps the first wins.
fn merge(
    object: &mut Map<String, Value>,
    nodes: &mut Vec<(Box<str>, Node)>,
    merged: &mut HashSet<String>,
    entry: Entry,
) -> Result<(), ()> {
    match (entry.value, entry.node.children) {
        (Value::Object(values), Children::Map(places)) => {
            // Both are sorted by key.
            for ((name, value), (key, node)) in values.into_iter().zip(places) {
                if !object.contains_key(&name) {
                    merged.insert(name.clone());
                }
                nodes.push((key, node));
                object.insert(name, value);
            }
            Ok(())
        }
        (Value::Array(values), Children::List(places)) => {
            for (value, node) in values.into_iter().zip(places).rev() {
                if !value.is_object() {
                    return Err(());
                }
                merge(object, nodes, merged, Entry { value, node })?;
            }
            Ok(())
        }
        _ => Err(()),
    }
}

/// What a copy of a value costs, and how deep it is. Recursion ends at `DEEPEST`.
fn measure(value: &Value) -> (usize, usize) {
    let below = |cost: usize, depth: usize, value: &Value| {
        let (more, deeper) = measure(value);
        (cost + more, depth.max(deeper))
    };
    let (cost, depth) = match value {
        Value::String(text) => return (1 + text.len() / 64, 0),
        Value::Array(items) => items
            .iter()
            .fold((1, 0), |(cost, depth), item| below(cost, depth, item)),
        Value::Object(map) => map.iter().fold((1, 0), |(cost, depth), (key, item)| {
            below(cost + key.len() / 64, depth, item)
        }),
        _ => return (1, 0),
    };
    (cost, depth + 1)
}
