//! SecretProviderClasses and what their volumes hold.

use afresh_model::convention::Conventions;
use afresh_model::time::UnixSeconds;
use rstest::rstest;
use serde_json::{Value, json};

use crate::lean::{DecodeError, LeanClass, LeanMount, Watched};

fn status(objects: &Value) -> Value {
    json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
        "metadata": {
            "namespace": "prod", "name": "web-1-prod-vault", "resourceVersion": "44", "uid": "u-9",
            "creationTimestamp": "2026-11-21T10:00:00Z",
            "labels": {"internal.secrets-store.csi.k8s.io/node-name": "node-1"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": "u-2"}],
            "managedFields": [
                {"manager": "secrets-store-csi-driver", "operation": "Update", "time": "2026-11-21T10:05:00Z",
                 "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:status": {".": {}, "f:objects": {}}}},
                {"manager": "kubectl", "operation": "Update", "time": "2026-11-21T11:00:00Z",
                 "fieldsV1": {"f:metadata": {"f:annotations": {}}}}]
        },
        "status": {"mounted": true, "podName": "web-1", "secretProviderClassName": "vault",
            "targetPath": "/var/lib/kubelet/pods/u-2/volumes/x/mount", "objects": objects}
    })
}

fn decode(objects: &Value) -> LeanMount {
    LeanMount::decode(&status(objects).to_string()).unwrap()
}

#[test]
fn a_mount_is_its_class_its_pod_and_when_its_versions_were_written() {
    let seen = decode(&json!([{"id": "password", "version": "1"}]));
    assert_eq!((seen.key.0.as_str(), seen.key.1.as_str()), ("prod", "web-1-prod-vault"));
    assert_eq!(seen.mount.class.to_string(), "secretproviderclass/prod/vault");
    assert_eq!(seen.mount.pod.as_deref(), Some("u-2"));
    let minutes = |time: Option<UnixSeconds>| time.unwrap().to_string();
    assert_eq!(
        (minutes(seen.mount.created), minutes(seen.mount.written)),
        ("2026-11-21T10:00:00Z".to_owned(), "2026-11-21T10:05:00Z".to_owned()),
        "an annotation is no version"
    );
    assert_eq!(seen.mount.revision.map(|revision| revision.0), Some(44));
}

#[rstest]
#[case(json!(1), false)]
#[case(json!(2), true)]
#[case(json!(null), false)]
fn a_mount_of_a_later_generation_was_written_to_after_it_was_made(#[case] generation: Value, #[case] rewritten: bool) {
    let mut seen = status(&json!([{"id": "password", "version": "1"}]));
    seen["metadata"]["generation"] = generation;
    assert_eq!(LeanMount::decode(&seen.to_string()).unwrap().mount.rewritten, rewritten);
}

#[rstest]
#[case(json!([{"id": "b", "version": "2"}, {"id": "a", "version": "1"}]), true)]
#[case(json!([{"id": "a", "version": "1"}, {"id": "b", "version": "3"}]), false)]
#[case(json!([{"id": "a", "version": "1"}]), false)]
#[case(json!([]), false)]
#[case(json!(null), false)]
fn the_content_is_the_versions_in_any_order(#[case] objects: Value, #[case] same: bool) {
    let base = decode(&json!([{"id": "a", "version": "1"}, {"id": "b", "version": "2"}]));
    let other = decode(&objects);
    assert_eq!(
        (
            base.mount.content == other.mount.content,
            base.mount.sha1 == other.mount.sha1
        ),
        (same, same)
    );
}

#[test]
fn the_lines_of_its_hash_are_sorted_whole_whatever_the_names_of_the_secrets_hold() {
    // printf %s 'SecretProviderClassName=vault;a=b=1;a=z' | sha1sum
    let seen = decode(&json!([{"id": "a", "version": "z"}, {"id": "a=b", "version": "1"}]));
    assert_eq!(
        seen.mount.sha1.map(|sha1| sha1.to_string()).as_deref(),
        Some("2f8b7ccf2919976be6bd013e96ac83134a935c7e")
    );
}

#[test]
fn the_hash_is_that_of_reloader_with_the_name_of_the_class_as_one_line_more() {
    // printf %s 'SecretProviderClassName=vault;password=1' | sha1sum
    let seen = decode(&json!([{"id": "password", "version": "1"}]));
    assert_eq!(
        seen.mount.sha1.map(|sha1| sha1.to_string()).as_deref(),
        Some("69c61371d47b9994155cfe9c0b5ce9d3a4380311")
    );
}

#[test]
fn a_mount_without_a_class_cannot_be_read() {
    let object = json!({"metadata": {"namespace": "prod", "name": "x"}});
    assert!(matches!(
        LeanMount::decode(&object.to_string()),
        Err(DecodeError::Name(_))
    ));
}

#[test]
fn a_class_is_its_name_and_whether_it_counts() {
    let class = |ignore: Value| {
        let metadata = json!({"namespace": "prod", "name": "vault", "resourceVersion": "7",
            "annotations": {"afresh.dev/ignore": ignore}});
        LeanClass::decode(&json!({"metadata": metadata}).to_string()).unwrap()
    };
    let seen = class(json!("true"));
    assert_eq!(
        (seen.key.to_string().as_str(), seen.resource_version()),
        ("secretproviderclass/prod/vault", "7")
    );
    assert!(seen.manner(&Conventions::default()).0.ignored);
    assert!(!class(json!(null)).manner(&Conventions::default()).0.ignored);
    let (manner, problem) = class(json!("maybe")).manner(&Conventions::default());
    assert!(!manner.ignored && problem.is_some());
}
