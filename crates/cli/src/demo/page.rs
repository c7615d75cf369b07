//! What a person sees: aligned lines, coloured where somebody looks, wrapped where the terminal ends.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::observer::{By, Seen};
use super::reads::{Content, Object, Place};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BUSY: Style = AnsiColor::Yellow.on_default();
const CALM: Style = AnsiColor::Cyan.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const PLAIN: Style = Style::new();

/// The columns before the text: time, verb, subject.
const TIME: usize = 9;
const VERB: usize = 6;
const SUBJECT: usize = 14;
const INDENT: usize = TIME + 2 + VERB + 2 + SUBJECT + 2;
/// Text gets at least so many columns, however narrow the terminal is.
const NARROWEST: usize = 24;
/// And the page is never wider than one can read.
const WIDEST: usize = 120;
/// So many values are shown in one line, so many objects in one burst.
const MOST: usize = 2;

/// What is at the left of a line.
#[derive(Debug, Clone)]
pub(super) enum When {
    /// So long after the change.
    After(Duration),
    /// At this time of day.
    Clock(String),
    /// Not said.
    Unsaid,
}

/// The page.
pub(super) struct Page {
    out: Box<dyn Write + Send>,
    width: usize,
}

impl Page {
    /// A page on a stream that takes colours, of so many columns.
    pub(super) fn new(out: Box<dyn Write + Send>, width: usize) -> Self {
        Self {
            out,
            width: width.min(WIDEST),
        }
    }

    /// Paragraphs as they are, each wrapped.
    pub(super) fn text(&mut self, style: Style, indent: usize, text: &str) -> io::Result<()> {
        for paragraph in text.lines() {
            let gap = " ".repeat(indent);
            for line in wrap(paragraph, self.width.saturating_sub(indent)) {
                writeln!(self.out, "{gap}{}", paint(style, &line))?;
            }
        }
        self.out.flush()
    }

    /// A line that is never wrapped, because it is to be copied.
    pub(super) fn verbatim(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    pub(super) fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        self.blank()?;
        self.text(BOLD, 0, text)
    }

    pub(super) fn plain(&mut self, text: &str) -> io::Result<()> {
        self.text(PLAIN, 0, text)
    }

    pub(super) fn dim(&mut self, text: &str) -> io::Result<()> {
        self.text(DIM, 0, text)
    }

    /// A name and what it means, for lists.
    pub(super) fn entry(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.columns(&format!("  {name:<8}  "), 12, text)
    }

    /// Whether something came out as it should, and what to notice.
    pub(super) fn verdict(&mut self, good: bool, text: &str, remark: &str) -> io::Result<()> {
        let mark = if good { paint(GOOD, "ok") } else { paint(BAD, "WRONG") };
        let gap = if good { TIME - 2 } else { TIME - 5 };
        self.columns(&format!("{}{mark}  ", " ".repeat(gap)), TIME + 2, text)?;
        if remark.is_empty() {
            Ok(())
        } else {
            self.text(DIM, TIME + 2, remark)
        }
    }

    /// Something that the demo itself did.
    pub(super) fn deed(&mut self, when: &When, verb: &str, subject: &str, text: &str) -> io::Result<()> {
        self.line(when, (BOLD, verb), subject, text)
    }

    /// Something that was seen: `start` is what stands in front of what has no time of its own.
    pub(super) fn seen(&mut self, start: &When, seen: &Seen) -> io::Result<()> {
        let when = |after: &Option<Duration>| after.map_or_else(|| start.clone(), When::After);
        match seen {
            Seen::Written { object, keys } => self.line(start, (BOLD, "write"), &object.to_string(), &changes(keys)),
            Seen::Removed { object } => self.line(start, (BOLD, "delete"), &object.to_string(), "is gone"),
            Seen::Adopted { workload } => self.line(
                start,
                (GOOD, "adopt"),
                workload,
                "what it runs on is written down; no restart",
            ),
            Seen::Touched { workload, after } => self.line(
                &when(after),
                (CALM, "touch"),
                workload,
                "its kubelet is told to refresh the files now",
            ),
            Seen::Rolled {
                workload,
                by_afresh: true,
                after,
            } => self.line(
                &when(after),
                (BUSY, "roll"),
                workload,
                "new pods, by the Deployment's own strategy",
            ),
            Seen::Rolled {
                workload,
                by_afresh: false,
                after,
            } => self.line(
                &when(after),
                (BUSY, "roll"),
                workload,
                "not by Afresh: somebody changed the template",
            ),
            Seen::Fresh {
                workload,
                pods,
                values,
                by,
                after,
            } => self.line(&when(after), (GOOD, "fresh"), workload, &fresh(*pods, values, *by)),
            Seen::Warned(warning) => {
                let text = format!("{}: {}", warning.reason, warning.note);
                self.line(start, (BAD, "event"), &warning.about, &text)
            }
        }
    }

    /// Many objects written at once, as one line.
    pub(super) fn burst(&mut self, start: &When, objects: &[&Object]) -> io::Result<()> {
        let (first, last) = (
            objects.first().map(ToString::to_string),
            objects.last().map(|last| &*last.name),
        );
        let text = format!("{} to {}", first.unwrap_or_default(), last.unwrap_or_default());
        self.line(start, (BOLD, "write"), &format!("{} objects", objects.len()), &text)
    }

    fn line(&mut self, when: &When, verb: (Style, &str), subject: &str, text: &str) -> io::Result<()> {
        let when = match when {
            When::After(time) => duration(*time),
            When::Clock(time) => time.clone(),
            When::Unsaid => String::new(),
        };
        let verb = paint(verb.0, &format!("{:<VERB$}", verb.1));
        self.columns(&format!("{when:>TIME$}  {verb}  {subject:<SUBJECT$}  "), INDENT, text)
    }

    /// Text beside a head of a known width, wrapped under itself.
    fn columns(&mut self, head: &str, indent: usize, text: &str) -> io::Result<()> {
        for (n, line) in wrap(text, self.width.saturating_sub(indent)).iter().enumerate() {
            if n == 0 {
                writeln!(self.out, "{head}{line}")?;
            } else {
                writeln!(self.out, "{}{line}", " ".repeat(indent))?;
            }
        }
        self.out.flush()
    }
}

fn changes(keys: &[(String, Option<Content>, Option<Content>)]) -> String {
    let one = |(key, old, new): &(String, Option<Content>, Option<Content>)| match (old, new) {
        (Some(old), Some(_)) if old.secret => format!("{key}: another value (not shown)"),
        (Some(old), Some(new)) => format!("{key}: {old} → {new}"),
        (None, Some(new)) => format!("{key}: {new}, which is new"),
        _ => format!("{key} is gone"),
    };
    let mut parts: Vec<String> = keys.iter().take(MOST).map(one).collect();
    if keys.len() > MOST {
        parts.push(format!("and {} more keys", keys.len() - MOST));
    }
    parts.join(", ")
}

fn fresh(pods: usize, values: &[(Place, Content)], by: By) -> String {
    let whose = match (by, pods) {
        (By::Roll, 1) => "the new pod sees".to_owned(),
        (By::Roll, _) => format!("{pods} of {pods} new pods see"),
        (_, 1) => "the pod sees".to_owned(),
        _ => format!("{pods} of {pods} pods see"),
    };
    let mut parts: Vec<String> = values
        .iter()
        .take(MOST)
        .map(|(place, content)| format!("{place} = {content}"))
        .collect();
    if values.len() > MOST {
        parts.push(format!("and {} more", values.len() - MOST));
    }
    let what = if parts.is_empty() {
        "what there is now".to_owned()
    } else {
        parts.join(", ")
    };
    let how = match by {
        By::Touch => "; same pods",
        By::Roll => "",
        By::Kubelet => "; by the kubelet's own timer",
    };
    format!("{whose} {what}{how}")
}

/// For people: milliseconds while they matter.
pub(super) fn duration(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Breaks between words; a word that is longer than a line stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(NARROWEST);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let size = word.chars().count();
        if used > 0 && used + 1 + size > width {
            lines.push(String::new());
            used = 0;
        }
        let Some(line) = lines.last_mut() else { continue };
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += size;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_between_words_and_keeps_long_ones_whole() {
        assert_eq!(
            wrap("one two three four five six", 24),
            ["one two three four five", "six"]
        );
        let long = "x".repeat(40);
        assert_eq!(wrap(&format!("a {long} b"), 24), ["a", &long, "b"]);
        assert_eq!(wrap("", 80), [""]);
    }

    #[test]
    fn times_are_milliseconds_until_seconds_are_enough() {
        assert_eq!(duration(Duration::from_micros(1_900)), "1 ms");
        assert_eq!(duration(Duration::from_millis(9_999)), "9999 ms");
        assert_eq!(duration(Duration::from_millis(72_340)), "72.3 s");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = |text: &str| {
            Some(Content {
                bytes: text.into(),
                secret: true,
            })
        };
        let text = changes(&[
            ("password".into(), secret("hunter1"), secret("hunter2")),
            ("token".into(), None, secret("hunter3")),
        ]);
        assert!(!text.contains("hunter"), "{text}");
        assert!(text.contains("password") && text.contains("token"), "{text}");
    }
}
