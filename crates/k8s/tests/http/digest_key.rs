//! The digest key, made once.

use std::sync::{Arc, Mutex};

use afresh_k8s::digest_key::{InstallationKey, KeyError, get_or_create, get_or_create_in_config_map, read};
use afresh_k8s::write::Writer;
use afresh_model::digest::DigestKey;
use rstest::rstest;
use serde_json::{Value, json};

use crate::script::{Answer, Script, Seen, status};

const CREATED: &str = "2026-11-21T10:00:00Z";
/// 32 bytes of 7.
const SEVENS: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

type Store = Arc<Mutex<Option<Value>>>;

fn secret(version: u64, data: &Value) -> Value {
    json!({"metadata": {"resourceVersion": version.to_string(), "creationTimestamp": CREATED}, "data": data})
}

/// A server that keeps one Secret.
fn server(stored: &Store) -> Script {
    let stored = stored.clone();
    Script::new(move |seen: &Seen| {
        let mut stored = stored.lock().unwrap();
        match (seen.method.as_str(), stored.clone()) {
            ("GET", Some(secret)) => Answer::Json(200, secret),
            ("POST", Some(_)) => Answer::Json(409, status(409, "AlreadyExists")),
            ("POST", None) => {
                assert_eq!(seen.path, "/api/v1/namespaces/afresh/secrets");
                *stored = Some(secret(1, &seen.body["data"]));
                Answer::Json(201, stored.clone().unwrap())
            }
            ("PATCH", Some(current)) => {
                if seen.body["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"] {
                    return Answer::Json(409, status(409, "Conflict"));
                }
                *stored = Some(secret(2, &seen.body["data"]));
                Answer::Json(200, stored.clone().unwrap())
            }
            _ => Answer::Json(404, status(404, "NotFound")),
        }
    })
}

async fn key(script: &Script) -> Result<InstallationKey, KeyError> {
    let (namespace, name) = ("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
    get_or_create(&Writer::new(script.client()), &namespace, &name).await
}

#[tokio::test(start_paused = true)]
async fn the_key_that_is_there_is_used() {
    let stored = Arc::new(Mutex::new(Some(secret(1, &json!({"key": SEVENS})))));
    let script = server(&stored);
    let found = key(&script).await.unwrap();
    assert_eq!(found.key.id(), DigestKey::new(&[7; 32]).unwrap().id());
    assert_eq!(found.created, Some(CREATED.parse().unwrap()));
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_only_reads_the_key_never_makes_it() {
    let stored = Store::default();
    let script = server(&stored);
    let writer = Writer::new(script.client());
    let (namespace, name) = ("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
    assert!(read(&writer, &namespace, &name).await.unwrap().is_none());
    assert!(stored.lock().unwrap().is_none());
    let made = key(&script).await.unwrap();
    let found = read(&writer, &namespace, &name).await.unwrap().unwrap();
    assert_eq!((found.key.id(), found.created), (made.key.id(), made.created));
}

#[rstest]
#[case::absent(None)]
#[case::no_data(Some(secret(1, &Value::Null)))]
#[case::other_data(Some(secret(1, &json!({"other": "QQ=="}))))]
#[tokio::test(start_paused = true)]
async fn where_there_is_none_it_is_made_and_stays(#[case] before: Option<Value>) {
    let stored = Arc::new(Mutex::new(before));
    let script = server(&stored);
    let made = key(&script).await.unwrap();
    assert_eq!(made.created, Some(CREATED.parse().unwrap()));
    let again = key(&script).await.unwrap();
    assert_eq!(made.key.id(), again.key.id());
    // and another installation gets another one
    let other = key(&server(&Store::default())).await.unwrap();
    assert_ne!(made.key.id(), other.key.id());
}

#[tokio::test(start_paused = true)]
async fn of_two_that_make_it_at_once_both_use_the_same() {
    let stored = Store::default();
    let script = server(&stored);
    let (one, two) = futures::join!(key(&script), key(&script));
    assert_eq!(one.unwrap().key.id(), two.unwrap().key.id());
    assert!(
        script.seen().iter().filter(|seen| seen.method == "POST").count() == 2,
        "both tried"
    );
}

#[rstest]
#[case::short(json!({"key": "QQ=="}))]
#[case::not_base64(json!({"key": "!"}))]
#[case::not_text(json!({"key": 7}))]
#[tokio::test(start_paused = true)]
async fn a_key_that_is_none_is_never_replaced(#[case] data: Value) {
    let stored = Arc::new(Mutex::new(Some(secret(1, &data))));
    let script = server(&stored);
    let error = key(&script).await.unwrap_err();
    assert!(matches!(error, KeyError::Invalid(_)));
    assert!(
        error
            .to_string()
            .contains("afresh/afresh-digest-key does not hold 32 bytes"),
        "{error}"
    );
    assert!(script.seen().iter().all(|seen| seen.method == "GET"));
}

#[rstest]
#[case("GET", "get")]
#[case("POST", "create")]
#[tokio::test(start_paused = true)]
async fn a_missing_rule_is_named(#[case] method: &'static str, #[case] verb: &str) {
    let script = Script::new(move |seen| {
        let code = if seen.method == method { 403 } else { 404 };
        Answer::Json(code, status(code, "Forbidden"))
    });
    let error = key(&script).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("may not {verb} the Secret afresh/afresh-digest-key")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_not_there_is_named() {
    let script = Script::new(|_| Answer::Json(404, status(404, "NotFound")));
    let error = key(&script).await.unwrap_err();
    assert!(matches!(error, KeyError::NoNamespace(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_never_holds_still_is_given_up() {
    let script = Script::new(|seen| match seen.method.as_str() {
        "GET" => Answer::Json(404, status(404, "NotFound")),
        _ => Answer::Json(409, status(409, "AlreadyExists")),
    });
    let error = key(&script).await.unwrap_err();
    assert!(matches!(error, KeyError::Contended(_)), "{error}");
    assert_eq!(script.seen().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn where_no_secret_may_be_written_a_config_map_keeps_the_key() {
    let stored = Store::default();
    let kept = stored.clone();
    let script = Script::new(move |seen: &Seen| {
        let mut kept = kept.lock().unwrap();
        match (seen.method.as_str(), seen.path.contains("/configmaps"), kept.clone()) {
            ("POST", false, _) => Answer::Json(403, status(403, "Forbidden")),
            ("POST", true, None) => {
                *kept = Some(secret(1, &seen.body["data"]));
                Answer::Json(201, kept.clone().unwrap())
            }
            ("GET", true, Some(object)) => Answer::Json(200, object),
            _ => Answer::Json(404, status(404, "NotFound")),
        }
    });
    assert!(matches!(
        key(&script).await,
        Err(KeyError::Forbidden { verb: "create", .. })
    ));
    let writer = Writer::new(script.client());
    let (namespace, name) = ("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
    let made = get_or_create_in_config_map(&writer, &namespace, &name).await.unwrap();
    let again = get_or_create_in_config_map(&writer, &namespace, &name).await.unwrap();
    assert_eq!((made.key.id(), made.created), (again.key.id(), again.created));
}
