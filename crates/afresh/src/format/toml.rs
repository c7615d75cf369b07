//! TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Broken;
use super::lines::Lines;
use crate::tree::{At, Entry, Kind, Map, Node};

pub(super) fn parse(text: &str, at: At) -> Result<Node, Broken> {
    let lines = Lines::new(text, at.source);
    let document = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        lines.broken(offset, error.message())
    })?;
    Ok(Node::new(at, table(document.get_ref(), &lines)))
}

// How deep values nest, and that no key is there twice, the parser has seen to.
fn table(table: &DeTable<'_>, lines: &Lines<'_>) -> Kind {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
        at: lines.at(key.span().start),
        relaxed: false,
        value: node(value, lines),
    };
    let entries = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), entry((key, value))));
    Kind::Map(entries.collect::<Map>())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let kind = match value.get_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) => {
            let prefix = match number.radix() {
                16 => "0x",
                8 => "0o",
                2 => "0b",
                _ => "",
            };
            Kind::Number(format!("{prefix}{}", number.as_str()))
        }
        DeValue::Float(number) => Kind::Number(number.as_str().to_owned()),
        DeValue::Boolean(value) => Kind::Bool(*value),
        DeValue::Datetime(time) => Kind::Text(time.to_string()),
        DeValue::Array(items) => Kind::List(items.iter().map(|item| node(item, lines)).collect()),
        DeValue::Table(values) => table(values, lines),
    };
    Node::new(lines.at(value.span().start), kind)
}
