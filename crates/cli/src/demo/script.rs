//! What is done, step by step, and what has to come of it. As data, so that a test can show that a wrong one is found.

use std::collections::BTreeMap;

use serde_json::json;

use super::reads::Kind;
use super::stage::Write;

/// One step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) acts: Vec<Act>,
    pub(super) expect: Expect,
    /// What to notice.
    pub(super) remark: &'static str,
}

/// Something that the demo does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// The controller starts.
    Start,
    /// The controller dies.
    Kill,
    /// A person writes objects, one right after the other.
    Write(Vec<Write>),
    /// Time passes, in which nothing may happen.
    Wait,
}

/// What Afresh has to do: exactly this, and nothing to any other workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expect {
    pub(super) rolls: BTreeMap<&'static str, usize>,
    pub(super) touches: BTreeMap<&'static str, usize>,
}

impl Expect {
    fn nothing() -> Self {
        Self::default()
    }

    fn roll(workload: &'static str) -> Self {
        Self {
            rolls: BTreeMap::from([(workload, 1)]),
            ..Self::default()
        }
    }

    fn touch(workload: &'static str) -> Self {
        Self {
            touches: BTreeMap::from([(workload, 1)]),
            ..Self::default()
        }
    }
}

/// The whole play.
pub(super) fn script() -> Vec<Step> {
    vec![
        step(
            "Afresh starts in a cluster where everything runs already",
            vec![Act::Start],
            Expect::nothing(),
            "Installing, upgrading or restarting it restarts nothing.",
        ),
        step(
            "A file changes, and the application rereads its files",
            vec![set("web", "motd", "Hello Grandma")],
            Expect::touch("web"),
            "The kubelet alone takes 60 to 90 s: plain has the same file, and still the old text.",
        ),
        step(
            "A variable changes",
            vec![set("api", "log-level", "debug")],
            Expect::roll("api"),
            "Without Afresh no running process would ever see it.",
        ),
        step(
            "One ConfigMap used both ways: a key that is a file",
            vec![set("shop", "prices", "tea 3, coffee 5")],
            Expect::touch("shop"),
            "report uses another key of this ConfigMap, so it is left alone.",
        ),
        step(
            "The same ConfigMap: a key that is a variable",
            vec![set("shop", "currency", "CHF")],
            Expect::roll("shop"),
            "report is left alone again.",
        ),
        step(
            "A certificate in a Secret is renewed",
            vec![Act::Write(vec![certificate()])],
            Expect::touch("web"),
            "Afresh keeps a keyed digest of a Secret, never its bytes.",
        ),
        step(
            "Ten ConfigMaps change at once",
            vec![Act::Write((0..10).map(flag).collect())],
            Expect::roll("api"),
            "One roll, not ten.",
        ),
        step(
            "A change while the controller is dead",
            vec![Act::Kill, set("shop", "currency", "EUR"), Act::Wait, Act::Start],
            Expect::roll("shop"),
            "It compares states, so it need not have seen the event.",
        ),
        step(
            "Writes that matter to nobody: a label, a key that no container uses",
            vec![Act::Write(vec![
                map("web", json!({"metadata": {"labels": {"team": "shop"}}})),
                map("api", json!({"data": {"comment": "written by a program"}})),
            ])],
            Expect::nothing(),
            "",
        ),
    ]
}

const fn step(title: &'static str, acts: Vec<Act>, expect: Expect, remark: &'static str) -> Step {
    Step {
        title,
        acts,
        expect,
        remark,
    }
}

fn certificate() -> Write {
    Write {
        kind: Kind::Secret,
        name: "web-tls".into(),
        patch: json!({"stringData": {"tls.crt": "certificate 2"}}),
    }
}

fn set(name: &str, key: &str, value: &str) -> Act {
    Act::Write(vec![map(name, json!({"data": {key: value}}))])
}

fn flag(number: usize) -> Write {
    map(
        &format!("flags-{number}"),
        json!({"data": {format!("FLAG_{number}"): "on"}}),
    )
}

fn map(name: &str, patch: serde_json::Value) -> Write {
    Write {
        kind: Kind::ConfigMap,
        name: name.to_owned(),
        patch,
    }
}
