//! The Lease, against a server that guards it by its resource version.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use afresh_k8s::lease::LeaseClient;
use afresh_k8s::write::{WriteError, Writer};
use serde_json::{Value, json};

use crate::script::{Answer, Script, Seen, status};

const TERM: Duration = Duration::from_secs(15);

/// A server with one Lease, or none yet.
fn server() -> (Script, Arc<Mutex<Option<Value>>>) {
    let stored: Arc<Mutex<Option<Value>>> = Arc::default();
    let mut version = 0;
    let shared = stored.clone();
    let script = Script::new(move |seen: &Seen| {
        let mut stored = shared.lock().unwrap();
        let current = stored
            .as_ref()
            .map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (seen.method.as_str(), current) {
            ("GET", None) | ("PUT", None) => return Answer::Json(404, status(404, "NotFound")),
            ("GET", Some(_)) => return Answer::Json(200, stored.clone().unwrap()),
            ("POST", Some(_)) => return Answer::Json(409, status(409, "AlreadyExists")),
            ("PUT", Some(current)) if seen.body["metadata"]["resourceVersion"] != current => {
                return Answer::Json(409, status(409, "Conflict"));
            }
            _ => {}
        }
        version += 1;
        let mut lease = seen.body.clone();
        lease["metadata"]["resourceVersion"] = version.to_string().into();
        *stored = Some(lease.clone());
        Answer::Json(200, lease)
    });
    (script, stored)
}

fn client(script: &Script) -> LeaseClient {
    let writer = Writer::new(script.client()).with_limit(Duration::from_secs(5));
    LeaseClient::new(writer, "afresh".parse().unwrap(), "afresh-controller".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_created_renewed_taken_over_and_released() {
    let (script, stored) = server();
    let lease = client(&script);
    assert_eq!(lease.get().await, Ok(None));

    let view = lease.create("a", TERM).await.unwrap();
    assert_eq!(
        (
            view.seen.holder.as_deref(),
            view.seen.duration,
            view.seen.version.as_str()
        ),
        (Some("a"), TERM, "1")
    );
    let acquired = stored.lock().unwrap().clone().unwrap()["spec"]["acquireTime"].clone();

    let view = lease.update(&view, "a", TERM).await.unwrap();
    assert_eq!((view.transitions, view.seen.version.as_str()), (0, "2"));
    let spec = stored.lock().unwrap().clone().unwrap()["spec"].clone();
    assert_eq!(spec["acquireTime"], acquired, "a renewal is no new acquisition");

    let view = lease.update(&view, "b", TERM).await.unwrap();
    assert_eq!((view.seen.holder.as_deref(), view.transitions), (Some("b"), 1));

    let view = lease.release(&view).await.unwrap();
    assert_eq!((view.seen.holder, view.seen.duration), (None, Duration::from_secs(1)));
    assert_eq!(lease.get().await.unwrap().unwrap().seen.holder, None);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_write_the_same_version_one_loses() {
    let (script, _) = server();
    let (one, two) = (client(&script), client(&script));
    one.create("one", TERM).await.unwrap();
    assert!(matches!(two.create("two", TERM).await, Err(WriteError::Conflict(_))));

    let view = two.get().await.unwrap().unwrap();
    one.update(&view, "one", TERM).await.unwrap();
    assert!(matches!(
        two.update(&view, "two", TERM).await,
        Err(WriteError::Conflict(_))
    ));
    assert!(matches!(two.release(&view).await, Err(WriteError::Conflict(_))));
}

#[tokio::test(start_paused = true)]
async fn what_others_put_on_the_lease_stays() {
    let (script, stored) = server();
    let lease = client(&script);
    *stored.lock().unwrap() = Some(json!({
        "metadata": {"namespace": "afresh", "name": "afresh-controller", "resourceVersion": "7", "labels": {"team": "a"}},
        "spec": {"preferredHolder": "x"}
    }));
    let view = lease.get().await.unwrap().unwrap();
    assert_eq!((view.seen.holder.clone(), view.seen.duration), (None, Duration::ZERO));
    lease.update(&view, "a", TERM).await.unwrap();
    let seen = stored.lock().unwrap().clone().unwrap();
    assert_eq!(
        (&seen["metadata"]["labels"]["team"], &seen["spec"]["preferredHolder"]),
        (&json!("a"), &json!("x"))
    );
}

#[tokio::test(start_paused = true)]
async fn times_are_written_with_microseconds() {
    let (script, stored) = server();
    client(&script).create("a", TERM).await.unwrap();
    let time = stored.lock().unwrap().clone().unwrap()["spec"]["renewTime"]
        .as_str()
        .unwrap()
        .to_owned();
    // 2026-11-21T10:00:00.000000Z
    assert_eq!(
        (time.len(), &time[10..11], &time[19..20], &time[26..]),
        (27, "T", ".", "Z"),
        "{time}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_none_is_an_error() {
    for answer in [
        json!([]),
        json!({"spec": {}}),
        json!({"metadata": {"resourceVersion": ""}}),
    ] {
        let script = Script::new(move |_| Answer::Json(200, answer.clone()));
        assert!(matches!(client(&script).get().await, Err(WriteError::Unreadable(_))));
    }
}
