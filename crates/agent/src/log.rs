//! Log lines on standard error, for people or as JSON: a few kilobytes instead of a logging framework's hundreds.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// The flags of logging.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug or trace
    #[arg(long, env = "AFRESH_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = level)]
    log_level: Level,
    /// How it looks
    #[arg(
        long,
        env = "AFRESH_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        value_enum
    )]
    log_format: Format,
}

fn level(text: &str) -> Result<Level, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no log level: write error, warn, info, debug or trace"))
}

impl LogArgs {
    /// Begins logging. A second call changes nothing.
    pub fn begin(&self) {
        let lines = Lines {
            level: self.log_level,
            format: self.log_format,
            spans: AtomicU64::new(1),
        };
        // It fails only where logging has begun already.
        let _ = tracing::subscriber::set_global_default(lines);
    }
}

/// Writes a line of last words on standard error. Where that cannot be written (a full disk, a reader that is gone) the
/// exit status says enough.
pub fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes each event as one line. Spans are not kept: the crate makes none.
#[derive(Debug)]
struct Lines {
    level: Level,
    format: Format,
    spans: AtomicU64,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed).max(1))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = match self.format {
            Format::Text => text(&now(), *event.metadata().level(), &fields),
            Format::Json => json(now(), *event.metadata().level(), fields),
        };
        // One write, so that lines of several processes do not mix. Nobody is left to tell if it fails.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What an event says.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// Now, in UTC, to the millisecond.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::from("-"), |time| format!("{time:.3}"))
}

fn text(time: &str, level: Level, fields: &Fields) -> String {
    let mut line = format!("{time} {level:>5} {}", one_line(&fields.message));
    for (name, value) in &fields.others {
        line.push(' ');
        line.push_str(name);
        line.push('=');
        match value {
            Value::String(text) if is_plain(text) => line.push_str(text),
            other => line.push_str(&other.to_string()),
        }
    }
    line.push('\n');
    line
}

fn json(time: String, level: Level, fields: Fields) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), time.into());
    line.insert("level".to_owned(), level.as_str().into());
    line.insert("message".to_owned(), fields.message.into());
    line.extend(fields.others);
    format!("{}\n", Value::Object(line))
}

/// Whether a value needs no quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let mut fields = Fields {
            message: "the check failed".to_owned(),
            ..Fields::default()
        };
        fields.others.insert("attempt".to_owned(), 3.into());
        fields.others.insert("path".to_owned(), "/etc/app".into());
        fields.others.insert("reason".to_owned(), "line 1\nline 2".into());
        fields
    }

    #[test]
    fn a_line_of_text_is_one_line() {
        assert_eq!(
            text("2026-11-21T10:00:00.000Z", Level::WARN, &fields()),
            "2026-11-21T10:00:00.000Z  WARN the check failed attempt=3 path=/etc/app reason=\"line 1\\nline 2\"\n"
        );
    }

    #[test]
    fn a_line_of_json_is_an_object_with_the_fields() {
        let line = json("2026-11-21T10:00:00.000Z".to_owned(), Level::WARN, fields());
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line.lines().count(), 1);
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["message"], "the check failed");
        assert_eq!(value["attempt"], 3);
        assert_eq!(value["reason"], "line 1\nline 2");
    }
}
