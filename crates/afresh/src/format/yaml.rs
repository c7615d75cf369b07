//! YAML, from the events of serde-saphyr's own parser: they tell where every value stands and how it was written.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Broken, small};
use crate::tree::{At, Entry, Kind, MAX_DEPTH, Map, Node};

/// Values that a document may have once its aliases are followed: far above any configuration, far below what nested
/// aliases can make of a few lines.
const MAX_VALUES: usize = 1 << 18;

type Events<'a> = Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>;

pub(super) fn parse(text: &str, at: At) -> Result<Node, Broken> {
    let mut composer = Composer {
        events: Parser::new_from_str(text),
        source: at.source,
        anchors: HashMap::new(),
        values: 0,
    };
    composer.document(at)
}

struct Composer<'a> {
    events: Events<'a>,
    source: u32,
    /// What an anchor stands for, and how many values that are.
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
}

impl<'a> Composer<'a> {
    fn document(&mut self, at: At) -> Result<Node, Broken> {
        let mut document = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(document.unwrap_or_else(|| Node::new(at, Kind::Null))),
                Event::DocumentStart(..) if document.is_some() => {
                    return Err(broken(span.start, "there is a second document"));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => document = Some(self.node(event, span, 0)?),
            }
        }
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), Broken> {
        loop {
            match self.events.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(scan_error(&error)),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Broken> {
        let before = self.values;
        self.count(1, span.start)?;
        if depth > MAX_DEPTH {
            return Err(broken(span.start, "nested too deeply"));
        }
        let at = self.at(span.start);
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(text.into_owned(), style, tag.as_deref(), span.start)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse(tag.as_deref(), &["seq"], span.start)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse(tag.as_deref(), &["map"], span.start)?;
                (self.map(depth)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, span.start),
            _ => return Err(broken(span.start, "a value is missing")),
        };
        let node = Node::new(at, kind);
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, mark: Marker) -> Result<Node, Broken> {
        let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
            return Err(broken(mark, "an alias within what it stands for"));
        };
        self.count(values, mark)?;
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Broken> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let mark = span.start;
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = match event {
                Event::MappingEnd => break,
                event => self.node(event, span, depth + 1)?,
            };
            let (Kind::Scalar(name) | Kind::Text(name)) = key.kind else {
                return Err(broken(mark, "a key must be text"));
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if is_merge {
                merged.push((value, mark));
                continue;
            }
            let entry = Entry {
                at: key.at,
                relaxed: false,
                value,
            };
            if map.insert(name.clone(), entry).is_some() {
                return Err(broken(mark, format!("key `{name}` is there twice")));
            }
        }
        for (value, mark) in merged {
            merge(&mut map, value, mark)?;
        }
        Ok(Kind::Map(map))
    }

    fn count(&mut self, values: usize, mark: Marker) -> Result<(), Broken> {
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            return Err(broken(mark, format!("more than {MAX_VALUES} values, aliases followed")));
        }
        Ok(())
    }

    fn at(&self, mark: Marker) -> At {
        At {
            source: self.source,
            line: small(mark.line()),
            column: small(mark.col() + 1),
        }
    }
}

/// `<<: *defaults`, or a list of such: what is not there already, the first one first.
fn merge(map: &mut Map, value: Node, mark: Marker) -> Result<(), Broken> {
    match value.kind {
        Kind::Map(more) => {
            for (key, entry) in more {
                map.entry(key).or_insert(entry);
            }
            Ok(())
        }
        Kind::List(items) => items.into_iter().try_for_each(|item| merge(map, item, mark)),
        _ => Err(broken(mark, "`<<` needs a map, or a list of maps")),
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>, mark: Marker) -> Result<Kind, Broken> {
    refuse(tag, &["str", "int", "float", "bool", "null"], mark)?;
    let is_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
    Ok(match style {
        ScalarStyle::Plain if !is_text => Kind::Scalar(text),
        _ => Kind::Text(text),
    })
}

/// A tag that would mean something else than what is read.
fn refuse(tag: Option<&Tag>, known: &[&str], mark: Marker) -> Result<(), Broken> {
    let is_known = |tag: &Tag| tag.core_suffix().is_some_and(|suffix| known.contains(&suffix));
    match tag {
        // `!` alone says that a scalar is text, a list a list.
        Some(tag) if !is_known(tag) && tag.original() != "!" => Err(broken(mark, "this tag is not supported")),
        _ => Ok(()),
    }
}

fn broken(mark: Marker, message: impl Into<String>) -> Broken {
    Broken {
        line: small(mark.line().max(1)),
        column: small(mark.col() + 1),
        message: message.into(),
    }
}

fn scan_error(error: &ScanError) -> Broken {
    broken(*error.marker(), error.info())
}
