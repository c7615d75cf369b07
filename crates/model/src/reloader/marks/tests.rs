use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Strategy, *};
use crate::name::ConfigRef;
use crate::template;
use crate::usage::Use;

fn sha1(text: &str) -> Sha1 {
    Sha1::of([("key", text.as_bytes())])
}

fn named(object: &str) -> ConfigRef {
    object.parse().unwrap()
}

fn taking(name: &str, map: &str, env: &Value) -> Value {
    json!({"name": name, "envFrom": [{"configMapRef": {"name": map}}], "env": env})
}

fn stamp(variable: &str, text: &str) -> Value {
    json!({"name": variable, "value": sha1(text).to_string()})
}

fn read(template: &Value, strategy: Strategy, uses: &[&str]) -> Marks {
    let bare = template::hash(&template.to_string()).unwrap();
    let template: PodTemplate = serde_json::from_value(template.clone()).unwrap();
    let uses: Vec<Use> = uses.iter().map(|object| Use::included(named(object))).collect();
    Marks::read(&template, bare, strategy, &uses).unwrap()
}

/// Container `a` takes `configmap/one`, container `b` takes `configmap/web`.
fn two(env_a: &Value, env_b: &Value) -> Value {
    json!({"metadata": {}, "spec": {"containers": [taking("a", "one", env_a), taking("b", "web", env_b)]}})
}

fn changed(object: &ConfigRef, text: Option<&str>, written: i64) -> Changed<'static> {
    Changed {
        object: Box::leak(Box::new(object.clone())),
        hash: text.map(sha1),
        written: text.map(|_| UnixSeconds(written)),
    }
}

#[test]
fn the_mark_is_read_from_the_bearer_first_and_from_any_container_then() {
    let web = named("configmap/web");
    let both = two(
        &json!([stamp("STAKATER_WEB_CONFIGMAP", "old")]),
        &json!([stamp("STAKATER_WEB_CONFIGMAP", "new")]),
    );
    let marks = read(&both, Strategy::EnvVars, &["configmap/web"]);
    assert_eq!((marks.bearer(&web), marks.of(&web, [])), ("b", Mark::At(sha1("new"))));
    let moved = two(&json!([stamp("STAKATER_WEB_CONFIGMAP", "old")]), &json!([]));
    assert_eq!(
        read(&moved, Strategy::EnvVars, &["configmap/web"]).of(&web, []),
        Mark::At(sha1("old"))
    );
    assert_eq!(
        read(&both, Strategy::EnvVars, &[]).of(&named("secret/web"), []),
        Mark::None
    );
}

#[test]
fn what_is_no_hash_is_no_mark() {
    let env = json!([{"name": "STAKATER_WEB_CONFIGMAP", "value": "by hand"}, {"name": "STAKATER_WEB_CONFIGMAP"}, {"name": "STAKATER_X", "value": 7}]);
    let marks = read(&two(&json!([]), &env), Strategy::EnvVars, &["configmap/web"]);
    assert_eq!(marks.of(&named("configmap/web"), []), Mark::None);
}

#[test]
fn reloader_defect_b9_a_variable_that_two_objects_share_speaks_for_neither() {
    let (dash, dot) = (named("configmap/my-app"), named("configmap/my.app"));
    let template = two(&json!([stamp("STAKATER_MY_APP_CONFIGMAP", "1")]), &json!([]));
    let marks = read(&template, Strategy::EnvVars, &["configmap/my-app", "configmap/my.app"]);
    assert_eq!(marks.of(&dash, [&dash, &dot]), Mark::Unsure);
    assert_eq!(marks.of(&dot, [&dash, &dot]), Mark::Unsure);
    assert_eq!(marks.of(&dash, [&dash]), Mark::At(sha1("1")));
}

#[test]
fn last_reloaded_from_speaks_of_the_object_that_it_names() {
    let last = |hash| LastReloadedFrom {
        object: named("secret/db"),
        hash,
        observed_at: UnixSeconds(77),
    };
    let marked = |hash| {
        let text = last(hash).write("prod", "a");
        json!({"metadata": {"annotations": {LAST_RELOADED_FROM: text}}, "spec": {"containers": [{"name": "a"}]}})
    };
    let marks = read(&marked(sha1("1")), Strategy::Annotations, &[]);
    assert_eq!(marks.of(&named("secret/db"), []), Mark::At(sha1("1")));
    assert_eq!(marks.of(&named("configmap/db"), []), Mark::None);
    assert_eq!(marks.observed_at(), Some(UnixSeconds(77)));
    assert_eq!(
        read(&marked(DELETED), Strategy::Annotations, &[]).of(&named("secret/db"), []),
        Mark::Deleted
    );
}

#[test]
fn a_roll_sets_the_variables_of_what_changed_and_puts_right_what_is_stale() {
    let (one, web, db) = (named("configmap/one"), named("configmap/web"), named("secret/db"));
    let template = two(&json!([stamp("STAKATER_ONE_CONFIGMAP", "stale")]), &json!([]));
    let marks = read(
        &template,
        Strategy::EnvVars,
        &["configmap/one", "configmap/web", "secret/db"],
    );
    let current = [changed(&one, Some("1"), 5), changed(&db, Some("2"), 5)];
    let marking = marks.marking("prod", &[changed(&web, Some("3"), 9)], &current, UnixSeconds(0));
    let expected = Marking::Variables(
        [
            Variable {
                container: "a".into(),
                name: "STAKATER_ONE_CONFIGMAP".into(),
                value: Some(sha1("1").into()),
            },
            Variable {
                container: "b".into(),
                name: "STAKATER_WEB_CONFIGMAP".into(),
                value: Some(sha1("3").into()),
            },
        ]
        .into(),
    );
    assert_eq!(marking, expected);
}

#[test]
fn reloader_defect_a8_a_deleted_object_loses_its_variable_wherever_it_is() {
    let web = named("configmap/web");
    let template = two(&json!([stamp("STAKATER_WEB_CONFIGMAP", "old")]), &json!([]));
    let marks = read(&template, Strategy::EnvVars, &["configmap/web"]);
    let marking = marks.marking("prod", &[changed(&web, None, 0)], &[], UnixSeconds(0));
    let gone = Variable {
        container: "a".into(),
        name: "STAKATER_WEB_CONFIGMAP".into(),
        value: None,
    };
    assert_eq!(marking, Marking::Variables([gone].into()));
}

#[test]
fn reloader_defect_b6_the_annotation_of_a_repeated_roll_is_the_same() {
    let web = named("configmap/web");
    let marks = read(&two(&json!([]), &json!([])), Strategy::Annotations, &["configmap/web"]);
    let both = [changed(&web, Some("1"), 9), changed(&named("secret/db"), Some("2"), 8)];
    let marking = marks.marking("prod", &both, &[], UnixSeconds(3));
    let Marking::LastReloadedFrom(text) = &marking else {
        panic!("{marking:?}")
    };
    assert_eq!(
        **text,
        *format!(
            r#"{{"type":"CONFIGMAP","name":"web","namespace":"prod","hash":"{}","containerRefs":["b"],"observedAt":9}}"#,
            sha1("1")
        )
    );
    let deleted = marks.marking("prod", &[changed(&web, None, 0)], &[], UnixSeconds(3));
    let Marking::LastReloadedFrom(text) = &deleted else {
        panic!("{deleted:?}")
    };
    assert!(
        text.contains(&DELETED.to_string()) && text.contains(r#""observedAt":3"#),
        "{text}"
    );
}

#[test]
fn the_marks_of_somebody_else_are_a_change_of_the_template_and_bare_it_is_the_same() {
    let plain = two(&json!([]), &json!([]));
    let marked = two(&json!([]), &json!([stamp("STAKATER_WEB_CONFIGMAP", "1")]));
    let (plain, marked) = (
        read(&plain, Strategy::EnvVars, &[]),
        read(&marked, Strategy::EnvVars, &[]),
    );
    assert_eq!(plain.bare, marked.bare);
    assert_ne!(plain.template(), marked.template());
}

proptest! {
    /// What the record says the template will be is what it is: else our own roll would look like somebody else's.
    #[test]
    fn the_template_after_a_roll_is_foreseen(
        before in prop::collection::vec(("[ab]", "(one|web|my-app|my[.]app)", "[xy]"), 0..4),
        now in prop::collection::btree_map("(one|web|my-app|my[.]app)", prop::option::of("[xyz]"), 0..4),
        annotations: bool,
    ) {
        let strategy = if annotations { Strategy::Annotations } else { Strategy::EnvVars };
        let env = |container: &str| {
            let own = before.iter().filter(|(own, ..)| own == container);
            let mut names: Vec<String> = Vec::new();
            let all: Vec<Value> = own.filter_map(|(_, object, text)| {
                let name = marker::variable(&named(&format!("configmap/{object}")));
                (!names.contains(&name)).then(|| { names.push(name.clone()); stamp(&name, text) })
            }).collect();
            json!(all)
        };
        let mut template = two(&env("a"), &env("b"));
        let uses = ["configmap/one", "configmap/web", "configmap/my-app", "configmap/my.app"];
        let marks = read(&template, strategy, &uses);
        let objects: Vec<(ConfigRef, Option<String>)> =
            now.iter().map(|(object, text)| (named(&format!("configmap/{object}")), text.clone())).collect();
        let changed: Vec<Changed<'_>> = objects.iter().map(|(object, text)| Changed {
            object, hash: text.as_deref().map(sha1), written: Some(UnixSeconds(1)),
        }).collect();
        let marking = marks.marking("prod", &changed, &[], UnixSeconds(0));
        marking.edit(&mut template);
        prop_assert_eq!(read(&template, strategy, &uses).template(), marks.template_after(&marking));
    }
}
