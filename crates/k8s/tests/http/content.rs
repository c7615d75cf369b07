//! Reading one object with its values.

use std::time::Duration;

use afresh_k8s::content::{ConfigMapContent, SecretContent, get};
use afresh_k8s::request::CallError;
use serde_json::json;

use crate::script::{Answer, Script, config_map, status};

const LIMIT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_object_is_read_by_its_path() {
    let script = Script::new(|_| Answer::Json(200, config_map("web", 7)));
    let (namespace, name) = ("prod".parse().unwrap(), "web".parse().unwrap());
    let read = get::<ConfigMapContent>(&script.client(), &namespace, &name, LIMIT).await;
    assert_eq!(read.unwrap().unwrap().0.entries["a"], b"7");
    assert_eq!(script.seen()[0].path, "/api/v1/namespaces/prod/configmaps/web");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_there_is_none_and_a_refusal_is_an_error() {
    let (namespace, name) = ("prod".parse().unwrap(), "web".parse().unwrap());
    let script = Script::new(|_| Answer::Json(404, status(404, "NotFound")));
    let read = get::<SecretContent>(&script.client(), &namespace, &name, LIMIT).await;
    assert_eq!(read, Ok(None));

    let script = Script::new(|_| Answer::Json(403, status(403, "Forbidden")));
    let read = get::<SecretContent>(&script.client(), &namespace, &name, LIMIT).await;
    assert!(matches!(read, Err(CallError::Refused(refusal)) if refusal.code == 403));

    let script = Script::new(|_| Answer::Hang);
    let read = get::<SecretContent>(&script.client(), &namespace, &name, LIMIT).await;
    assert_eq!(read, Err(CallError::Timeout(LIMIT)));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_decoded_is_not_quoted() {
    let object = json!({"metadata": {"namespace": "prod", "name": "web"}, "data": {"password": "hunter2!"}});
    let script = Script::new(move |_| Answer::Json(200, object.clone()));
    let (namespace, name) = ("prod".parse().unwrap(), "web".parse().unwrap());
    let error = get::<SecretContent>(&script.client(), &namespace, &name, LIMIT)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("password") && !text.contains("hunter2"), "{text}");
}
