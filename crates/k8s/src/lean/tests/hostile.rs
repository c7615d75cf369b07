//! Nothing that looks like JSON may panic, whatever is in it.

use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use proptest::prelude::*;
use serde_json::Value;

use crate::lean::{
    LeanClass, LeanConfigMap, LeanDaemonSet, LeanDeployment, LeanMount, LeanNamespace, LeanPod, LeanPodMeta,
    LeanReplica, LeanSecret, LeanStatefulSet, Page, Undecodable, Watched,
};

/// Field names the decoders look at.
const FIELDS: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "data",
    "binaryData",
    "immutable",
    "items",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "annotations",
    "labels",
    "managedFields",
    "fieldsV1",
    "f:data",
    "time",
    "subresource",
    "ownerReferences",
    "controller",
    "kind",
    "replicas",
    "paused",
    "selector",
    "matchLabels",
    "matchExpressions",
    "operator",
    "values",
    "key",
    "template",
    "updateStrategy",
    "type",
    "rollingUpdate",
    "partition",
    "conditions",
    "reason",
    "phase",
    "containers",
    "env",
    "volumes",
    "continue",
    "afresh.dev/ignore",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["web", "In", "OnDelete", "AAEC", "2026-11-21T10:00:00Z", ""]).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(FIELDS), inner, 0..8)
                .prop_map(|map| map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

fn decode_as_everything(text: &str) {
    let key = DigestKey::new(&[7; 32]).unwrap();
    let _ = LeanConfigMap::decode(text).map(|map| map.into_object(&Conventions::default()));
    let _ = LeanSecret::decode(text).map(|secret| secret.into_object(&key, &Conventions::default()));
    let _ = LeanDeployment::decode(text);
    let _ = LeanStatefulSet::decode(text);
    let _ = LeanDaemonSet::decode(text);
    let _ = LeanPod::decode(text);
    let _ = LeanPodMeta::decode(text);
    let _ = LeanReplica::decode(text);
    let _ = LeanClass::decode(text);
    let _ = LeanMount::decode(text);
    let _ = LeanNamespace::decode(text);
    let _ = Page::<LeanPod>::decode(text.as_bytes());
    if let Err(error) = LeanDeployment::decode(text) {
        let _ = Undecodable::new(text, false, error);
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,64}") {
        decode_as_everything(&text);
    }

    #[test]
    fn no_json_panics(value in any_json()) {
        decode_as_everything(&value.to_string());
    }

    #[test]
    fn no_metadata_panics(value in any_json()) {
        let object = serde_json::json!({"metadata": {"namespace": "a", "name": "b", "annotations": value}, "spec": value, "data": value});
        decode_as_everything(&object.to_string());
    }
}
