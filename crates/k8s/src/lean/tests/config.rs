//! ConfigMaps and Secrets.

use afresh_model::content::{Content, Entry};
use afresh_model::convention::Conventions;
use afresh_model::digest::{DigestKey, EntryHasher, KeyHash};
use afresh_model::object::ConfigObject;
use afresh_model::time::{Revision, UnixSeconds};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::{Value, json};

use crate::lean::{LeanConfigMap, LeanSecret, Watched};

fn digest_key() -> DigestKey {
    DigestKey::new(&[7; 32]).unwrap()
}

fn config_map(object: &Value) -> ConfigObject {
    LeanConfigMap::decode(&object.to_string())
        .unwrap()
        .into_object(&Conventions::default())
        .1
}

fn secret(object: &Value) -> ConfigObject {
    let lean = LeanSecret::decode(&object.to_string()).unwrap();
    lean.into_object(&digest_key(), &Conventions::default()).1
}

fn named(rest: Value) -> Value {
    let mut object = json!({"metadata": {"namespace": "prod", "name": "web", "resourceVersion": "17"}});
    object.as_object_mut().unwrap().extend(match rest {
        Value::Object(fields) => fields,
        _ => unreachable!(),
    });
    object
}

fn plain(key: &str, value: &[u8], binary: bool) -> Entry {
    let mut hasher = EntryHasher::new(key);
    hasher.update(value);
    Entry {
        key: KeyHash::of(key),
        digest: hasher.finish().plain(),
        binary,
    }
}

fn sealed(key: &str, value: &[u8]) -> Entry {
    let mut hasher = EntryHasher::new(key);
    hasher.update(value);
    Entry {
        key: KeyHash::of(key),
        digest: digest_key().seal(&hasher.finish()),
        binary: false,
    }
}

#[test]
fn a_config_map_is_its_name_and_digests() {
    let object = json!({
        "kind": "ConfigMap", "apiVersion": "v1", "unknown": {"field": [1, 2.5, null]},
        "metadata": {
            "name": "web", "namespace": "prod", "uid": "u-1", "resourceVersion": "42", "creationTimestamp": "2026-11-21T10:00:00Z",
            "labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "afresh.dev/ignore": "true"},
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "time": "2026-11-21T10:00:05Z", "fieldsV1": {"f:data": {"f:a": {}}}},
                {"manager": "other", "time": "2026-11-21T10:00:09Z", "fieldsV1": {"f:metadata": {"f:labels": {"f:data": {}}}}}
            ]
        },
        "data": {"a": "1\n", "b": "schön \"x\" \u{1F600}"}, "binaryData": {"c": "AAEC"}, "immutable": true
    });
    let (key, seen, problem) = LeanConfigMap::decode(&object.to_string())
        .unwrap()
        .into_object(&Conventions::default());
    assert_eq!((key.to_string().as_str(), problem), ("configmap/prod/web", None));
    let entries = vec![
        plain("a", b"1\n", false),
        plain("b", "schön \"x\" \u{1F600}".as_bytes(), false),
        plain("c", &[0, 1, 2], true),
    ];
    let expected = ConfigObject {
        content: Content::new(entries),
        immutable: true,
        ignored: true,
        sha1: None,
        matched: false,
        created: Some("2026-11-21T10:00:00Z".parse().unwrap()),
        written: Some("2026-11-21T10:00:05Z".parse().unwrap()),
        rewritten: false,
        revision: Some(Revision(42)),
    };
    assert_eq!(seen, expected);
}

#[rstest]
#[case::absent(json!({}))]
#[case::empty(json!({"data": {}, "binaryData": {}}))]
#[case::null(json!({"data": null, "binaryData": null, "immutable": null}))]
fn no_data_is_empty_content(#[case] rest: Value) {
    let object = config_map(&named(rest.clone()));
    assert_eq!((object.content, object.immutable), (Content::default(), false));
    assert_eq!(secret(&named(rest)).content, Content::default());
}

#[test]
fn null_metadata_fields_read_as_absent() {
    let object = config_map(&json!({"metadata": {
        "namespace": "prod", "name": "web", "resourceVersion": null, "creationTimestamp": null, "annotations": null,
        "managedFields": null, "labels": null
    }}));
    assert_eq!((object.revision, object.created, object.written), (None, None, None));
}

#[test]
fn a_mebibyte_with_escapes_is_hashed_as_it_is() {
    let text = "line \"one\"\n\t\\\u{7}".repeat(75_000);
    let object = config_map(&named(json!({"data": {"big": text}})));
    assert_eq!(object.content, Content::new(vec![plain("big", text.as_bytes(), false)]));
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(3071)]
#[case(3072)]
#[case(3073)]
#[case(1 << 20)]
fn a_secret_is_hashed_by_its_bytes(#[case] length: usize) {
    let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let object = secret(&named(json!({"data": {"key": STANDARD.encode(&bytes)}})));
    assert_eq!(object.content, Content::new(vec![sealed("key", &bytes)]));
}

#[rstest]
#[case("not base64!")]
#[case("AAA")]
#[case("QUJD=")]
fn base64_that_is_none_is_hashed_as_text(#[case] text: &str) {
    let object = secret(&named(json!({"data": {"key": text}})));
    assert_eq!(object.content, Content::new(vec![sealed("key", text.as_bytes())]));
}

#[test]
fn padding_in_the_middle_is_no_base64() {
    let text = format!("{}AA=={}", "A".repeat(4092), "AAAA");
    let object = secret(&named(json!({"data": {"key": text}})));
    assert_eq!(object.content, Content::new(vec![sealed("key", text.as_bytes())]));
}

#[test]
fn a_config_map_and_a_secret_of_the_same_bytes_share_no_digest() {
    let map = config_map(&named(json!({"data": {"a": "1"}})));
    let secret = secret(&named(json!({"data": {"a": STANDARD.encode("1")}})));
    assert_ne!(map.content, secret.content);
}

#[test]
fn written_is_the_newest_time_that_data_was_written() {
    let entry = |time: &str, fields: Value| json!({"time": time, "fieldsV1": fields});
    let object = config_map(
        &json!({"metadata": {"namespace": "prod", "name": "web", "managedFields": [
            entry("2026-11-21T10:00:05Z", json!({"f:binaryData": {}})),
            entry("2026-11-21T10:00:07Z", json!({"f:data": {".": {}, "f:a": {}}})),
            {"time": "2026-11-21T10:00:08Z", "subresource": "status", "fieldsV1": {"f:data": {}}},
            {"time": "nonsense", "fieldsV1": {"f:data": {}}},
            {"fieldsV1": null},
        ]}}),
    );
    assert_eq!(
        object.written,
        Some("2026-11-21T10:00:07Z".parse::<UnixSeconds>().unwrap())
    );
}

#[test]
fn an_ignore_annotation_that_cannot_be_read_is_a_problem_and_the_object_counts() {
    let object = json!({"metadata": {"namespace": "prod", "name": "web", "annotations": {"afresh.dev/ignore": "yes"}}});
    let (_, seen, problem) = LeanConfigMap::decode(&object.to_string())
        .unwrap()
        .into_object(&Conventions::default());
    assert!(!seen.ignored);
    assert_eq!(problem.unwrap().key, "afresh.dev/ignore");
}

#[rstest]
#[case("Web")]
#[case("")]
#[case("a_b")]
fn a_name_that_no_object_has_is_refused(#[case] name: &str) {
    let object = json!({"metadata": {"namespace": "prod", "name": name}}).to_string();
    assert!(LeanConfigMap::decode(&object).is_err());
    assert!(LeanSecret::decode(&object).is_err());
}

#[test]
fn odd_names_that_the_api_allows_are_read() {
    let object = json!({"metadata": {"namespace": "0", "name": "kube-root-ca.crt"}}).to_string();
    let key = LeanConfigMap::decode(&object).unwrap().key();
    assert_eq!(key.to_string(), "configmap/0/kube-root-ca.crt");
}

#[test]
fn no_debug_output_shows_a_secret() {
    const CANARY: &str = "canary-7Fq9";
    let encoded = STANDARD.encode(CANARY);
    let mut hasher = EntryHasher::new("password");
    hasher.update(CANARY.as_bytes());
    let unkeyed = format!("{:?}", hasher.finish().plain());

    let lean = LeanSecret::decode(&named(json!({"data": {"password": encoded}})).to_string()).unwrap();
    let debug = format!("{lean:?}");
    let (_, object, _) = lean.into_object(&digest_key(), &Conventions::default());
    let shown = [
        debug,
        format!("{object:?}"),
        // What goes wrong must not quote it either.
        format!(
            "{:?}",
            LeanSecret::decode(&named(json!({"data": encoded})).to_string()).unwrap_err()
        ),
        format!(
            "{:?}",
            LeanSecret::decode(&named(json!({"immutable": encoded})).to_string()).unwrap_err()
        ),
        format!(
            "{:?}",
            LeanSecret::decode(&format!("{{\"data\":{{\"a\":\"{encoded}")).unwrap_err()
        ),
    ];
    for text in shown {
        assert!(
            !text.contains(CANARY) && !text.contains(&encoded) && !text.contains(&unkeyed),
            "{text}"
        );
    }
}
