//! What is read of a template, and what its hash is made of.

use proptest::prelude::*;

use super::variables::Variable;
use super::*;

#[test]
fn of_the_variables_only_those_that_can_matter_are_kept() {
    let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let text = format!(
        r#"{{"spec":{{"containers":[{{"name":"a","env":null}},{{"name":"b","env":[
            {{"name":"PLAIN","value":"x"}},{{"name":"NONE"}},{{"name":"HASH","value":"{hash}"}},
            {{"name":"K\u0045Y","valueFrom":{{"configMapKeyRef":{{"name":"web","key":"a"}}}}}}]}}]}}}}"#
    );
    let template: PodTemplate = serde_json::from_str(&text).unwrap();
    let names = |place: usize| -> Vec<&str> {
        let variables = &template.spec.containers[place].env;
        variables.iter().map(|variable| &*variable.name).collect()
    };
    assert_eq!((names(0), names(1)), (vec![], vec!["HASH", "KEY"]));
}

#[test]
fn the_marks_of_reloader_do_not_count() {
    let hash_of = |env: &str, annotations: &str| {
        let text = format!(
            r#"{{"metadata":{{{annotations}}},"spec":{{"containers":[{{"name":"a"{env},"image":"b"}}],"initContainers":[{{"name":"i"}}]}}}}"#
        );
        hash(&text).unwrap()
    };
    let mark = r#"{"name":"STAKATER_WEB_CONFIGMAP","value":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0"}"#;
    let bare = hash_of("", "");
    assert_eq!(bare, hash_of(&format!(r#","env":[{mark}]"#), ""));
    assert_eq!(
        bare,
        hash_of("", r#""annotations":{"reloader.stakater.com/last-reloaded-from":"x"}"#)
    );
    let own = r#"{"name":"OWN","value":"1"}"#;
    let with_own = hash_of(&format!(r#","env":[{own}]"#), "");
    assert_ne!(bare, with_own);
    assert_eq!(with_own, hash_of(&format!(r#","env":[{mark},{own},{mark}]"#), ""));
    for other in [
        r#"{"name":"STAKATER_WEB_CONFIGMAP","value":"by hand"}"#,
        r#"{"name":"X","value":"dc30e0faa89a70dec1033016a2309bbeb9efcbd0"}"#,
    ] {
        assert_ne!(with_own, hash_of(&format!(r#","env":[{own},{other}]"#), ""), "{other}");
    }
}

#[test]
fn a_variable_keeps_no_value_but_a_hash() {
    let read = |value: &str| {
        let text = format!(r#"{{"value":{value},"name":"A"}}"#);
        let variable: Variable<'_> = serde_json::from_str(&text).unwrap();
        variable.marker
    };
    assert!(read(r#""dc30e0faa89a70dec1033016a2309bbeb9efcbd0""#).is_some());
    for other in [
        r#""secret""#,
        "null",
        "1",
        "-1",
        "1.5",
        "true",
        "[1,[2]]",
        r#"{"a":{}}"#,
        "\"\"",
    ] {
        assert!(read(other).is_none(), "{other}");
    }
}

#[test]
fn the_digest_that_afresh_writes_does_not_count() {
    let without = hash(r#"{"metadata":{"labels":{"a":"b"}},"spec":{}}"#).unwrap();
    let ours = hash(r#"{"metadata":{"labels":{"a":"b"},"annotations":{"afresh.dev/config":"x"}},"spec":{}}"#).unwrap();
    let other = hash(r#"{"metadata":{"labels":{"a":"b"},"annotations":{"other":"x"}},"spec":{}}"#).unwrap();
    assert_eq!(without, ours);
    assert_ne!(without, other);
}

#[test]
fn the_same_key_elsewhere_counts() {
    let one = hash(r#"{"spec":{"annotations":{"afresh.dev/config":"x"}}}"#).unwrap();
    let two = hash(r#"{"spec":{"annotations":{"afresh.dev/config":"y"}}}"#).unwrap();
    assert_ne!(one, two);
}

#[test]
fn anything_else_that_changes_counts() {
    let texts = [
        r#"{"spec":{"containers":[{"image":"a"}]}}"#,
        r#"{"spec":{"containers":[{"image":"b"}]}}"#,
        r#"{"spec":{"containers":[{"image":"a"},{}]}}"#,
        r#"{"spec":{"x":1}}"#,
        r#"{"spec":{"x":-1}}"#,
        r#"{"spec":{"x":1.5}}"#,
        r#"{"spec":{"x":"1"}}"#,
        r#"{"spec":{"x":true}}"#,
        r#"{"spec":{"x":null}}"#,
        r#"{"spec":{"x":[]}}"#,
    ];
    let hashes: Vec<_> = texts.iter().map(|text| hash(text).unwrap()).collect();
    for (n, one) in hashes.iter().enumerate() {
        assert!(!hashes[..n].contains(one), "{}", texts[n]);
    }
}

#[test]
fn the_golden_value_never_changes() {
    assert_eq!(
        hash(r#"{"metadata":{"labels":{"a":"b"}},"spec":{}}"#)
            .unwrap()
            .to_string(),
        "016fe87c39f7c595"
    );
}

#[test]
fn an_escape_that_could_hide_a_mark_changes_nothing_else() {
    let env = |env: &str| hash(&format!(r#"{{"spec":{{"containers":[{{"name":"a","env":{env}}}]}}}}"#)).unwrap();
    // Each pair is the same, written so that the entries are read together, and one by one.
    for (plain, escaped) in [
        (r#"[{"name":"A","value":"b"}]"#, r#"[{"name":"A","value":"\u0062"}]"#),
        (
            r#"[{"name":"A","value":"b"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"c","key":"d"}}}]"#,
            r#"[{"name":"\u0041","value":"b"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"c","key":"d"}}}]"#,
        ),
        ("[]", "null"),
    ] {
        assert_eq!(env(plain), env(escaped), "{plain}");
    }
    let marked = r#"[{"name":"\u0053TAKATER_WEB_CONFIGMAP","value":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}]"#;
    assert_eq!(env(marked), env("[]"), "a mark that hides behind an escape is one");
}

#[test]
fn null_reads_as_nothing() {
    let template: PodTemplate = serde_json::from_str(
        r#"{"metadata":{"annotations":null},"spec":{"containers":[{"name":"a","env":null}],"volumes":null}}"#,
    )
    .unwrap();
    assert_eq!(template.spec.containers.len(), 1);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = hash(&text);
    }
}
