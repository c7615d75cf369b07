//! The status of a pod, as the node reports it.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::pod::Pod;
use crate::clock::{Clock, seconds};
use crate::object;

/// The status to report.
pub(super) fn of(pod: &Pod, clock: &Clock) -> Value {
    let object = &pod.object;
    let now = Instant::now();
    let stamp = clock.stamp();
    let lists = ["initContainers", "containers"].map(|list| object::list(object, &["spec", list]));
    let [init, main] = lists.map(|specs| specs.iter().map(|spec| container(pod, spec, now)).collect::<Vec<_>>());
    let is_started = main.iter().all(|status| status["state"].get("running").is_some());
    let is_ready = is_started && main.iter().all(|status| status["ready"] == true) && !object::is_deleting(object);
    let is_initialized = init.iter().all(|status| status["state"].get("waiting").is_none());
    let is_mounted = !pod.waiting.values().any(|(reason, _)| *reason == "ContainerCreating");
    let conditions = [
        ("PodReadyToStartContainers", is_mounted),
        ("Initialized", is_initialized),
        ("Ready", is_ready),
        ("ContainersReady", is_ready),
        ("PodScheduled", true),
    ];
    let old = object::list(object, &["status", "conditions"]);
    let conditions = conditions.map(|(kind, holds)| {
        let status = if holds { "True" } else { "False" };
        let same = old
            .iter()
            .find(|condition| condition["type"] == kind && condition["status"] == status);
        let since = same.map_or_else(|| json!(stamp), |condition| condition["lastTransitionTime"].clone());
        json!({"type": kind, "status": status, "lastTransitionTime": since})
    });
    let start = object::at(object, &["status", "startTime"])
        .cloned()
        .unwrap_or_else(|| json!(stamp));
    let mut status = json!({
        "phase": if is_started { "Running" } else { "Pending" }, "conditions": conditions, "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}], "startTime": start, "containerStatuses": main,
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(init);
    }
    status
}

fn container(pod: &Pod, spec: &Value, now: Instant) -> Value {
    let name = object::text(spec, &["name"]);
    let restarts = pod.restarts.get(name).copied().unwrap_or(0);
    let image = object::text(spec, &["image"]);
    let mut status = json!({
        "name": name, "image": image, "imageID": "", "ready": false, "started": false, "restartCount": restarts,
        "lastState": {},
    });
    match pod.containers.get(name) {
        Some(running) if running.finished => {
            let time = seconds(running.process.started_at);
            status["ready"] = json!(true);
            status["state"] = json!({"terminated": {
                "exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time,
            }});
        }
        Some(running) => {
            status["ready"] = json!(running.ready_at <= now);
            status["started"] = json!(true);
            status["containerID"] = json!(format!("sandbox://{}/{name}/{restarts}", object::uid(&pod.object)));
            status["state"] = json!({"running": {"startedAt": seconds(running.process.started_at)}});
        }
        None => {
            let waiting = pod.waiting.get(name);
            let (reason, message) = waiting.map_or(("PodInitializing", ""), |(reason, why)| (*reason, why.as_str()));
            status["state"] = json!({"waiting": {"reason": reason}});
            if !message.is_empty() {
                status["state"]["waiting"]["message"] = json!(message);
            }
        }
    }
    status
}
