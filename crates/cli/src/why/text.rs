//! The explanation as text, with colours; whoever prints it takes them out where they are not wanted.

use std::fmt::Write as _;

use afresh_model::reference::Freshness;
use afresh_model::time::UnixSeconds;
use anstyle::{AnsiColor, Style};

use super::explanation::{
    ContentView, Explanation, MarkState, MarkView, Named, ObjectState, ObjectView, Origin, PolicyView, RecordView,
    ReferenceView, Setting, Takes, Verdict,
};
use super::words::{ago, count};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BUSY: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Enough of a digest to tell two apart by eye.
const DIGITS: usize = 12;

/// Writes the whole answer.
pub(crate) fn text(told: &Explanation) -> String {
    let mut page = Page {
        out: String::new(),
        now: told.at.parse().unwrap_or(UnixSeconds(0)),
    };
    page.headline(told);
    page.policy(&told.policy);
    page.objects(told);
    page.record(told);
    page.pods(told);
    page.list("Annotations that say nothing clear", BAD, &told.problems);
    page.list("To be known", BUSY, &told.notes);
    page.out
}

struct Page {
    out: String,
    now: UnixSeconds,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn title(&mut self, text: &str) {
        self.line("");
        self.line(&paint(BOLD, text));
    }

    fn headline(&mut self, told: &Explanation) {
        let style = match told.verdict {
            Verdict::Current | Verdict::Adopt | Verdict::Record => GOOD,
            Verdict::LeftAlone | Verdict::Unused => DIM,
            Verdict::Touch | Verdict::Roll | Verdict::Evict | Verdict::Held => BUSY,
            Verdict::Blocked | Verdict::Missing | Verdict::Stale | Verdict::Unknown => BAD,
        };
        let subject = format!("{}/{} in {}", told.kind, told.name, told.namespace);
        self.line(&format!("{}: {}", paint(BOLD, &subject), paint(style, &told.summary)));
        let whose = format!(
            "decided as by afresh {}, {}",
            told.controller.program, told.controller.known
        );
        self.line(&paint(DIM, &whose));
    }

    fn policy(&mut self, policy: &PolicyView) {
        self.title("Policy");
        let listed = |setting: &Setting<Vec<String>>| Setting {
            value: setting.value.join(", "),
            from: setting.from,
        };
        self.setting("reload", policy.reload.value, policy.reload.from, "the default");
        let hot = match &*policy.hot.value {
            "agent" => "an afresh agent in the pod rereads what it watches".to_owned(),
            "true" => "every container rereads its files by itself".to_owned(),
            "false" => "no container rereads its files by itself".to_owned(),
            names => format!("these containers reread their files by themselves: {names}"),
        };
        let default = if policy.hot.value == "agent" {
            "by its command line; afresh.dev/hot would count instead"
        } else {
            "the default"
        };
        self.setting("hot", &hot, policy.hot.from, default);
        if let Some(settle) = &policy.settle.value {
            self.setting("settle", settle, policy.settle.from, "");
        }
        for (name, setting) in [
            ("include", listed(&policy.include)),
            ("exclude", listed(&policy.exclude)),
        ] {
            if !setting.value.is_empty() {
                self.setting(name, &setting.value, setting.from, "");
            }
        }
        for asked in &policy.others {
            let from = format!("({})", origin(asked.from, ""));
            self.line(&format!(
                "  {}: {} {}",
                asked.annotation,
                asked.value,
                paint(DIM, &from)
            ));
        }
    }

    fn setting(&mut self, name: &str, value: &str, from: Origin, default: &str) {
        let from = origin(from, default);
        self.line(&format!("  {name:<8} {value} {}", paint(DIM, &format!("({from})"))));
    }

    fn objects(&mut self, told: &Explanation) {
        if told.objects.is_empty() {
            return;
        }
        self.title("Objects it uses");
        for object in &told.objects {
            self.object(object);
        }
    }

    fn object(&mut self, object: &ObjectView) {
        let mut line = format!(
            "  {}  {}",
            paint(BOLD, &object.object),
            paint(style(object.state), &object.says)
        );
        if let Some(written) = &object.written {
            let _ = write!(
                line,
                " {}",
                paint(DIM, &format!("(data last written {})", self.time(written)))
            );
        }
        self.line(&line);
        if object.immutable {
            self.line("    immutable: its content never changes while it is there");
        }
        if let Some(Named { annotation, pattern }) = &object.named_by {
            self.line(&format!(
                "    named by {annotation}: {pattern}; any change of it takes new pods"
            ));
        }
        if let Some(mark) = &object.mark {
            self.mark(mark);
        }
        for reference in &object.references {
            self.reference(reference);
        }
        for content in &object.content {
            self.content(content);
        }
    }

    fn mark(&mut self, mark: &MarkView) {
        let (applied, current) = (short(mark.applied.as_ref()), short(mark.current.as_ref()));
        let says = match (mark.state, applied, current) {
            (MarkState::Current, Some(applied), _) => paint(GOOD, &format!("{applied}, which is current")),
            (MarkState::Current, None, _) => paint(GOOD, "what it says is current"),
            (MarkState::Older, Some(applied), Some(current)) => {
                paint(BUSY, &format!("{applied}, current is {current}"))
            }
            (MarkState::Older, ..) => paint(BUSY, "what it says is not current"),
            (MarkState::Unsure, ..) => "it may be that of another object".to_owned(),
        };
        self.line(&format!("    marked by {}: {says}", mark.by));
    }

    fn reference(&mut self, reference: &ReferenceView) {
        let optional = if reference.optional { ", optional" } else { "" };
        let takes = match reference.takes {
            None => String::new(),
            Some(takes) => format!("; {}", a_change(takes)),
        };
        let whose = match &*reference.user {
            "pod" => String::new(), // a volume that no container mounts
            user => format!(" of {user}: {}", reference.keys),
        };
        self.line(&format!("    {}{whose}{optional}", reference.via));
        let fresh = match (reference.freshness, reference.hot) {
            (Freshness::Frozen, _) => "frozen",
            (Freshness::Live, false) => "live",
            (Freshness::Live, true) => "live and hot",
        };
        let agent = match &reference.reread_by {
            Some(container) => format!(", and an afresh agent in container {container} rereads them"),
            None => String::new(),
        };
        self.line(&format!("      {fresh}: {}{agent}{takes}", reference.why));
    }

    fn content(&mut self, content: &ContentView) {
        let (applied, current) = (short(content.applied.as_ref()), short(content.current.as_ref()));
        let text = match (applied, current) {
            (Some(applied), Some(current)) if applied == current => {
                paint(GOOD, &format!("brought up to {applied}, which is current"))
            }
            (Some(applied), Some(current)) => paint(BUSY, &format!("brought up to {applied}, current is {current}")),
            (None, Some(current)) => format!("nothing recorded, current is {current}"),
            (Some(applied), None) => format!("brought up to {applied}, now not there"),
            (None, None) => "nothing recorded, and not there".to_owned(),
        };
        let takes = match content.takes {
            Takes::Roll => "new pods",
            Takes::Touch => "a touch",
            Takes::Unreachable | Takes::Nothing => "out of reach",
        };
        self.line(&format!("    {} ({takes}): {text}", content.keys));
    }

    fn record(&mut self, told: &Explanation) {
        if told.verdict == Verdict::LeftAlone {
            return;
        }
        self.title("Last brought up to date");
        match &told.record {
            None if told.objects.iter().any(|object| object.mark.is_some()) => {
                self.line("  by Reloader: its marks count as the record until the workload is adopted");
            }
            None => self.line("  never: it has not been adopted yet"),
            Some(record) => {
                let at = self.time(&record.at);
                self.line(&format!("  {at}{}", self.rolls(record)));
            }
        }
    }

    fn rolls(&self, record: &RecordView) -> String {
        match &record.rolled_at {
            Some(at) => {
                let rolls = count(usize::try_from(record.streak).unwrap_or(usize::MAX), "roll");
                format!("; {rolls} in quick succession, the last {}", self.time(at))
            }
            None => "; never rolled by Afresh".to_owned(),
        }
    }

    fn pods(&mut self, told: &Explanation) {
        let Some(pods) = &told.pods else { return };
        self.title("Pods");
        let mut line = format!("  {}", count(pods.count, "pod"));
        if let Some(oldest) = &pods.oldest {
            let _ = write!(line, ", the oldest from {}", self.time(oldest));
        }
        if let Some(touched) = pods.touched {
            let _ = write!(line, "; {touched} of them touched for this content already");
        }
        self.line(&line);
    }

    fn list(&mut self, title: &str, style: Style, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.title(title);
        for line in lines {
            self.line(&format!("  {} {line}", paint(style, "!")));
        }
    }

    fn time(&self, text: &str) -> String {
        match text.parse() {
            Ok(time) => format!("{text}, {}", ago(self.now, time)),
            Err(_) => text.to_owned(),
        }
    }
}

const fn origin(from: Origin, default: &str) -> &str {
    match from {
        Origin::Workload => "annotation of the workload",
        Origin::Template => "annotation of the pod template",
        Origin::Reloader => "by annotations of Reloader's",
        Origin::Wave => "by an annotation of wave's",
        Origin::Default => default,
    }
}

fn short(digest: Option<&String>) -> Option<String> {
    digest.map(|digest| digest.chars().take(DIGITS).collect())
}

const fn a_change(takes: Takes) -> &'static str {
    match takes {
        Takes::Roll => "a change takes new pods",
        Takes::Touch => "a change takes a touch",
        Takes::Unreachable => "a change reaches it by nothing that is allowed",
        Takes::Nothing => "a change of it alone takes nothing",
    }
}

const fn style(state: ObjectState) -> Style {
    match state {
        ObjectState::Current | ObjectState::Adopted | ObjectState::Covered => GOOD,
        ObjectState::NotCompared
        | ObjectState::Excluded
        | ObjectState::Uncounted
        | ObjectState::Unselected
        | ObjectState::Ignored
        | ObjectState::Unmatched
        | ObjectState::Absent => DIM,
        ObjectState::Touch | ObjectState::Roll | ObjectState::Uncertain | ObjectState::Arriving => BUSY,
        ObjectState::Unreachable
        | ObjectState::Missing
        | ObjectState::MissingKey
        | ObjectState::Unread
        | ObjectState::NoDigestKey => BAD,
    }
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
