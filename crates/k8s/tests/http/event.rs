//! Events: aside, bounded, repeated as counts.

use std::time::Duration;

use afresh_k8s::event::{EventCounts, Notice, Recorder, Regarding, Severity, recorder};
use afresh_k8s::write::Writer;
use afresh_model::name::{ConfigKey, ConfigKind, WorkloadKey, WorkloadKind};
use serde_json::{Value, json};

use crate::script::{Answer, Script, status};

fn web() -> Regarding {
    let key = WorkloadKey {
        kind: WorkloadKind::Deployment,
        namespace: "prod".parse().unwrap(),
        name: "web".parse().unwrap(),
    };
    Regarding::workload(&key, "u-1")
}

fn rolled(note: &str) -> Notice {
    Notice {
        regarding: web(),
        severity: Severity::Normal,
        reason: "Rolled",
        action: "Roll",
        note: note.to_owned(),
    }
}

fn accepting() -> Script {
    Script::new(|seen| Answer::Json(if seen.method == "POST" { 201 } else { 200 }, seen.body.clone()))
}

fn start(script: &Script) -> (Recorder, tokio::task::JoinHandle<()>) {
    let (recorder, task) = recorder(Writer::new(script.client()), "afresh-0");
    (recorder, tokio::spawn(task.run()))
}

#[tokio::test(start_paused = true)]
async fn a_notice_becomes_an_event_on_its_object() {
    let script = accepting();
    let (recorder, task) = start(&script);
    recorder.publish(rolled("configmap/web changed"));
    let counting = recorder.clone();
    drop(recorder);
    drop(counting);
    task.await.unwrap();

    let asked = &script.seen()[0];
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/apis/events.k8s.io/v1/namespaces/prod/events")
    );
    let event = &asked.body;
    let fields = [
        "type",
        "reason",
        "action",
        "note",
        "reportingController",
        "reportingInstance",
    ];
    let seen: Vec<&str> = fields.iter().map(|&field| event[field].as_str().unwrap()).collect();
    assert_eq!(
        seen,
        [
            "Normal",
            "Rolled",
            "Roll",
            "configmap/web changed",
            "afresh.dev/controller",
            "afresh-0"
        ]
    );
    let regarding =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "prod", "name": "web", "uid": "u-1"});
    assert_eq!(event["regarding"], regarding);
    assert!(event["metadata"]["name"].as_str().unwrap().starts_with("web."));
    assert_eq!(event["eventTime"].as_str().unwrap().len(), 27);
}

#[tokio::test(start_paused = true)]
async fn one_more_of_the_same_is_a_count() {
    let script = accepting();
    let (recorder, task) = start(&script);
    for _ in 0..3 {
        recorder.publish(rolled("a"));
    }
    recorder.publish(rolled("b"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        recorder.counts(),
        EventCounts {
            created: 2,
            repeated: 2,
            ..EventCounts::default()
        }
    );
    drop(recorder);
    task.await.unwrap();

    let seen = script.seen();
    let name = seen[0].body["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        seen[2].path,
        format!("/apis/events.k8s.io/v1/namespaces/prod/events/{name}")
    );
    assert_eq!(seen[2].body["series"]["count"], 3);
    assert!(seen[2].body["series"]["lastObservedTime"].is_string());
}

#[tokio::test(start_paused = true)]
async fn the_same_after_a_long_time_is_news() {
    let script = accepting();
    let (recorder, _task) = start(&script);
    for _ in 0..2 {
        recorder.publish(rolled("a"));
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    assert_eq!(recorder.counts().created, 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_server_forgot_is_written_anew() {
    let script = Script::new(|seen| match seen.method.as_str() {
        "PATCH" => Answer::Json(404, status(404, "NotFound")),
        _ => Answer::Json(201, Value::Null),
    });
    let (recorder, _task) = start(&script);
    recorder.publish(rolled("a"));
    recorder.publish(rolled("a"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        recorder.counts(),
        EventCounts {
            created: 2,
            ..EventCounts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_delays_nobody_and_too_many_are_dropped() {
    let script = Script::new(|_| Answer::Hang);
    let (recorder, task) = start(&script);
    for n in 0..300 {
        recorder.publish(rolled(&n.to_string()));
    }
    assert_eq!(recorder.counts().dropped, 300 - 256);
    drop(recorder);
    // then everything that waited was tried, each within its limit
    task.await.unwrap();
    assert_eq!(script.seen().len(), 256);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_take_is_counted() {
    let script = Script::new(|_| Answer::Json(403, status(403, "Forbidden")));
    let (recorder, _task) = start(&script);
    recorder.publish(rolled("a"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        recorder.counts(),
        EventCounts {
            failed: 1,
            ..EventCounts::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn the_uid_of_a_config_object_is_read_when_it_is_needed() {
    let script = Script::new(|seen| match seen.method.as_str() {
        "GET" => Answer::Json(200, json!({"metadata": {"uid": "u-7"}})),
        _ => Answer::Json(201, Value::Null),
    });
    let (recorder, task) = start(&script);
    let key = ConfigKey {
        kind: ConfigKind::Secret,
        namespace: "prod".parse().unwrap(),
        name: "db".parse().unwrap(),
    };
    recorder.publish(Notice {
        regarding: Regarding::config(&key),
        severity: Severity::Warning,
        ..rolled("a")
    });
    drop(recorder);
    task.await.unwrap();
    let seen = script.seen();
    assert_eq!(seen[0].path, "/api/v1/namespaces/prod/secrets/db");
    assert!(
        seen[0].headers["accept"]
            .to_str()
            .unwrap()
            .contains("PartialObjectMetadata"),
        "no data is asked for"
    );
    assert_eq!(
        (&seen[1].body["regarding"]["uid"], &seen[1].body["type"]),
        (&json!("u-7"), &json!("Warning"))
    );
}
