//! Reloader's decision, row by row: one changed object, one workload, rolled or not.

use rstest::rstest;
use serde_json::json;

use crate::annotation::Annotations;
use crate::convention::Conventions;
use crate::name::{ConfigKind, ConfigRef, WorkloadKey, WorkloadKind};
use crate::policy::Reload;
use crate::template::{self, PodTemplate};
use crate::usage::Needs;
use crate::workload::{Observed, Reading, Replace, Rollout};

type Pairs<'a> = &'a [(&'a str, &'a str)];

const AUTO: &str = "reloader.stakater.com/auto";
const MAP_AUTO: &str = "configmap.reloader.stakater.com/auto";
const SECRET_AUTO: &str = "secret.reloader.stakater.com/auto";
const MAPS: &str = "configmap.reloader.stakater.com/reload";
const SECRETS: &str = "secret.reloader.stakater.com/reload";
const SEARCH: &str = "reloader.stakater.com/search";
const NOT_MAPS: &str = "configmaps.exclude.reloader.stakater.com/reload";
const NOT_SECRETS: &str = "secrets.exclude.reloader.stakater.com/reload";

fn annotations(pairs: Pairs<'_>) -> Annotations {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn named_web(kind: WorkloadKind) -> WorkloadKey {
    WorkloadKey {
        kind,
        namespace: "prod".parse().unwrap(),
        name: "web".parse().unwrap(),
    }
}

/// A workload that takes configmap/cfg and secret/db whole, and nothing else.
fn read(conventions: &Conventions, workload: Pairs<'_>, template: Pairs<'_>) -> Reading {
    let body = json!({
        "metadata": {"annotations": annotations(template)},
        "spec": {"containers": [{"name": "app", "envFrom": [
            {"configMapRef": {"name": "cfg"}}, {"secretRef": {"name": "db"}}]}]},
    });
    let observed = Observed {
        uid: "u".into(),
        annotations: annotations(workload),
        template: serde_json::from_value::<PodTemplate>(body.clone()).unwrap(),
        template_hash: template::hash(&body.to_string()).unwrap(),
        created: None,
        revision: None,
        selector: "app=web".into(),
        replace: Replace::Template,
        owner: None,
        aside: None,
        paused: false,
        rollout: Rollout::Complete,
    };
    observed.read(&named_web(WorkloadKind::Deployment), conventions)
}

/// Whether a change of the object counts for the workload; `matched` is what the object says.
fn counts(reading: &Reading, object: &str, matched: bool) -> bool {
    let object: ConfigRef = object.parse().unwrap();
    let Some(workload) = &reading.workload else {
        return false;
    };
    let own = workload.uses.iter().find(|usage| usage.object == object);
    own.is_some_and(|usage| matched || !usage.only_matched) || workload.includes(object.kind, &object.name)
}

fn all() -> Conventions {
    Conventions {
        default: Reload::Auto,
        ..Conventions::default()
    }
}

/// The objects that count, of: the referenced ones, an unreferenced one of each kind, and the referenced ones again if
/// they say `match`.
fn counting(conventions: &Conventions, workload: Pairs<'_>, template: Pairs<'_>) -> String {
    let reading = read(conventions, workload, template);
    let mut all = Vec::new();
    for object in ["configmap/cfg", "secret/db", "configmap/other", "secret/other"] {
        match (counts(&reading, object, false), counts(&reading, object, true)) {
            (true, _) => all.push(object.to_owned()),
            (false, true) => all.push(format!("{object} if matched")),
            (false, false) => {}
        }
    }
    all.join(", ")
}

const BOTH: &str = "configmap/cfg, secret/db";
const FOUND: &str = "configmap/cfg if matched, secret/db if matched";

#[rstest]
// Nothing said.
#[case(&[], &[], "")]
// auto, as Go writes a boolean.
#[case(&[(AUTO, "true")], &[], BOTH)]
#[case(&[(AUTO, "1")], &[], BOTH)]
#[case(&[(AUTO, "T")], &[], BOTH)]
#[case(&[(AUTO, "false")], &[], "")]
#[case(&[(AUTO, "yes")], &[], "")]
#[case(&[(AUTO, " true")], &[], "")]
// Typed auto.
#[case(&[(MAP_AUTO, "true")], &[], "configmap/cfg")]
#[case(&[(SECRET_AUTO, "true")], &[], "secret/db")]
#[case(&[(AUTO, "true"), (MAP_AUTO, "false")], &[], BOTH)]
#[case(&[(AUTO, "false"), (MAP_AUTO, "true")], &[], "configmap/cfg")]
// Named lists, referenced or not; named before auto.
#[case(&[(MAPS, "other")], &[], "configmap/other")]
#[case(&[(MAPS, "cfg, other"), (SECRETS, "db")], &[], "configmap/cfg, secret/db, configmap/other")]
#[case(&[(AUTO, "false"), (MAPS, "other")], &[], "configmap/other")]
#[case(&[(AUTO, "true"), (MAPS, "other")], &[], "configmap/cfg, secret/db, configmap/other")]
#[case(&[(SECRETS, "o.*")], &[], "secret/other")]
#[case(&[(SECRETS, "")], &[], "")]
#[case(&[(MAPS, "cfg(")], &[], "")]
#[case(&[(MAPS, "cfg(,other")], &[], "configmap/other")]
// search.
#[case(&[(SEARCH, "true")], &[], FOUND)]
#[case(&[(SEARCH, "True")], &[], "")]
#[case(&[(SEARCH, "true"), (AUTO, "true")], &[], BOTH)]
#[case(&[(SEARCH, "true"), (MAP_AUTO, "true")], &[], "configmap/cfg, secret/db if matched")]
#[case(&[(SEARCH, "true"), (MAPS, "cfg")], &[], "configmap/cfg, secret/db if matched")]
// exclude beats named, search and auto; from the workload only, exact names only.
#[case(&[(AUTO, "true"), (NOT_MAPS, "cfg")], &[], "secret/db")]
#[case(&[(MAPS, "cfg, other"), (NOT_MAPS, "cfg")], &[], "configmap/other")]
#[case(&[(MAPS, ".*"), (NOT_MAPS, "other")], &[], "configmap/cfg")]
#[case(&[(SEARCH, "true"), (NOT_SECRETS, "db")], &[], "configmap/cfg if matched")]
#[case(&[(AUTO, "true"), (NOT_MAPS, "c.*")], &[], BOTH)]
#[case(&[(AUTO, "true")], &[(NOT_MAPS, "cfg")], BOTH)]
// The pod template, all or nothing, by kind.
#[case(&[], &[(AUTO, "true")], BOTH)]
#[case(&[], &[(SEARCH, "true")], FOUND)]
#[case(&[], &[(MAPS, "other")], "configmap/other")]
#[case(&[(AUTO, "false")], &[(AUTO, "true")], "")]
#[case(&[(AUTO, "")], &[(AUTO, "true")], "")]
#[case(&[(SECRET_AUTO, "true")], &[(AUTO, "true")], BOTH)]
#[case(&[(SECRET_AUTO, "false")], &[(AUTO, "true")], "configmap/cfg")]
#[case(&[(SEARCH, "true")], &[(AUTO, "true")], FOUND)]
#[case(&[(NOT_MAPS, "cfg")], &[(AUTO, "true")], "secret/db")]
fn a_row_of_the_decision(#[case] workload: Pairs<'_>, #[case] template: Pairs<'_>, #[case] expected: &str) {
    assert_eq!(counting(&Conventions::default(), workload, template), expected);
}

#[rstest]
#[case(&[], BOTH)]
#[case(&[(AUTO, "")], BOTH)]
#[case(&[(AUTO, "false")], "")]
#[case(&[(AUTO, "nonsense")], "")]
#[case(&[(MAP_AUTO, "false")], "secret/db")]
#[case(&[(SEARCH, "true")], BOTH)]
#[case(&[(MAPS, "other")], "configmap/cfg, secret/db, configmap/other")]
#[case(&[(AUTO, "false"), (MAPS, "other")], "configmap/other")]
#[case(&[(NOT_MAPS, "cfg")], "secret/db")]
fn a_row_with_auto_reload_all(#[case] workload: Pairs<'_>, #[case] expected: &str) {
    assert_eq!(counting(&all(), workload, &[]), expected);
}

#[rstest]
#[case(
    AUTO,
    "yes",
    "annotation reloader.stakater.com/auto on the workload: \"yes\" is neither true nor false, and counts as false"
)]
#[case(
    SEARCH,
    "True",
    "annotation reloader.stakater.com/search on the workload: \"True\" counts as false: only the word true, so written, is true"
)]
#[case(
    NOT_MAPS,
    "c.*",
    "annotation configmaps.exclude.reloader.stakater.com/reload on the workload: "
)]
#[case(
    MAPS,
    "cfg(",
    "annotation configmap.reloader.stakater.com/reload on the workload: \"cfg(\" is no regular expression: "
)]
fn a_wrong_value_is_told_once_and_the_rest_applies(#[case] key: &str, #[case] value: &str, #[case] message: &str) {
    let reading = read(&Conventions::default(), &[(key, value), (SECRET_AUTO, "true")], &[]);
    let told: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(message), "{told:?}");
    assert!(counts(&reading, "secret/db", false));
}

#[test]
fn what_is_wrong_on_the_template_says_so() {
    let told = read(&Conventions::default(), &[], &[(AUTO, "yes")]).problems;
    assert!(told[0].to_string().contains("on the pod template"), "{told:?}");
}

#[test]
fn our_own_mode_wins_and_their_lists_add_to_it() {
    let conventions = Conventions::default();
    assert_eq!(
        counting(&conventions, &[("afresh.dev/reload", "off"), (AUTO, "true")], &[]),
        ""
    );
    let rolls = &[
        ("afresh.dev/reload", "roll"),
        (AUTO, "false"),
        (MAPS, "other"),
        (NOT_SECRETS, "db"),
    ];
    assert_eq!(counting(&conventions, rolls, &[]), "configmap/cfg, configmap/other");
    assert_eq!(read(&conventions, rolls, &[]).policy.reload, Some(Reload::Roll));
    // One that cannot be understood wins nothing.
    assert_eq!(
        counting(&conventions, &[("afresh.dev/reload", "yes"), (AUTO, "true")], &[]),
        BOTH
    );
}

#[test]
fn our_hot_and_include_are_honoured_beside_their_auto() {
    let reading = read(
        &Conventions::default(),
        &[
            (AUTO, "true"),
            ("afresh.dev/hot", "true"),
            ("afresh.dev/include", "secret/other"),
        ],
        &[],
    );
    assert!(reading.policy.hot.covers("app") && counts(&reading, "secret/other", false));
}

#[test]
fn a_named_object_counts_whole_and_keeps_what_its_reference_needs() {
    let reading = read(&Conventions::default(), &[(MAPS, "c[f]g")], &[]);
    let usage = &reading.workload.unwrap().uses[0];
    assert!(matches!(usage.needs, Needs::Object(_)) && !usage.only_matched);
}

#[test]
fn keys_of_ones_own_replace_the_usual_ones() {
    let mut conventions = Conventions::default();
    conventions.reloader.as_mut().unwrap().auto = "my.company/auto".into();
    assert_eq!(counting(&conventions, &[("my.company/auto", "true")], &[]), BOTH);
    assert_eq!(counting(&conventions, &[(AUTO, "true")], &[]), "");
}

#[test]
fn a_kind_that_is_left_out_says_nothing() {
    let conventions = Conventions {
        objects: [ConfigKind::ConfigMap].into(),
        ..Conventions::default()
    };
    assert_eq!(
        counting(&conventions, &[(AUTO, "true"), (SECRETS, "other")], &[]),
        "configmap/cfg"
    );
}

#[test]
fn nothing_of_it_is_read_where_it_is_not_honoured_or_on_a_pod() {
    let native = Conventions::native(Reload::Off);
    assert_eq!(counting(&native, &[(AUTO, "true")], &[]), "");
    let pod = named_web(WorkloadKind::Pod);
    let (policy, _) = Conventions::default().policy(&pod, &annotations(&[(AUTO, "true")]), &Annotations::new());
    assert_eq!(policy.reload, None);
}

#[rstest]
#[case(&[], (false, false))]
#[case(&[("reloader.stakater.com/ignore", "true")], (true, false))]
#[case(&[("reloader.stakater.com/match", "true")], (false, true))]
#[case(&[("reloader.stakater.com/ignore", "True")], (false, false))]
#[case(&[("afresh.dev/ignore", "true"), ("reloader.stakater.com/match", "true")], (true, true))]
#[case(&[("afresh.dev/ignore", "false"), ("reloader.stakater.com/ignore", "true")], (true, false))]
fn an_object_says_whether_it_is_ignored_or_to_be_found(#[case] said: Pairs<'_>, #[case] expected: (bool, bool)) {
    let marks = Conventions::default().marks(&annotations(said));
    assert_eq!((marks.ignored, marks.matched), expected);
    let wrong = said.iter().any(|(_, value)| *value == "True");
    assert_eq!(marks.problem.is_some(), wrong);
}
