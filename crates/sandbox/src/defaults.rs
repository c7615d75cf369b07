//! The defaults that the real server writes into objects on the way in, for the kinds the sandbox acts on.

use serde_json::{Value, json};

use crate::object;
use crate::resource::Resource;

/// Fills in what the client left out.
pub(crate) fn fill(resource: &Resource, value: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Secret") => object::default(value, &["type"], json!("Opaque")),
        ("", "Pod") => {
            let mut spec = value.get("spec").cloned().unwrap_or_default();
            pod_spec(&mut spec);
            object::default(&mut spec, &["enableServiceLinks"], json!(true));
            value["spec"] = spec;
        }
        ("apps", kind @ ("Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")) => workload(kind, value),
        ("batch", "Job") => job(value),
        ("batch", "CronJob") => {
            template(value, &["spec", "jobTemplate", "spec", "template"]);
            object::default(value, &["spec", "concurrencyPolicy"], json!("Allow"));
            object::default(value, &["spec", "suspend"], json!(false));
            object::default(value, &["spec", "failedJobsHistoryLimit"], json!(1));
            object::default(value, &["spec", "successfulJobsHistoryLimit"], json!(3));
            object::default(value, &["spec", "jobTemplate", "metadata"], json!({}));
        }
        _ => {}
    }
}

fn workload(kind: &str, value: &mut Value) {
    let mut put = |path: &[&str], default: Value| object::default(value, path, default);
    if kind != "DaemonSet" {
        put(&["spec", "replicas"], json!(1));
    }
    match kind {
        "Deployment" => {
            put(&["spec", "revisionHistoryLimit"], json!(10));
            put(&["spec", "progressDeadlineSeconds"], json!(600));
            put(&["spec", "strategy", "type"], json!("RollingUpdate"));
        }
        "StatefulSet" => {
            put(&["spec", "revisionHistoryLimit"], json!(10));
            put(&["spec", "podManagementPolicy"], json!("OrderedReady"));
            put(&["spec", "updateStrategy", "type"], json!("RollingUpdate"));
            put(
                &["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"],
                json!("Retain"),
            );
            put(
                &["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"],
                json!("Retain"),
            );
        }
        "DaemonSet" => {
            put(&["spec", "revisionHistoryLimit"], json!(10));
            put(&["spec", "updateStrategy", "type"], json!("RollingUpdate"));
        }
        _ => {}
    }
    rolling(kind, value);
    template(value, &["spec", "template"]);
}

fn job(value: &mut Value) {
    let unset = |key: &str| object::at(value, &["spec", key]).is_none();
    let mut defaults = vec![
        ("parallelism", json!(1)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("manualSelector", json!(false)),
    ];
    if unset("parallelism") && unset("completions") {
        defaults.push(("completions", json!(1)));
    }
    if unset("backoffLimitPerIndex") {
        defaults.push(("backoffLimit", json!(6)));
    }
    for (key, default) in defaults {
        object::default(value, &["spec", key], default);
    }
    template(value, &["spec", "template"]);
}

fn rolling(kind: &str, value: &mut Value) {
    let field = if kind == "Deployment" {
        "strategy"
    } else {
        "updateStrategy"
    };
    if object::text(value, &["spec", field, "type"]) != "RollingUpdate" {
        return;
    }
    let mut put = |key: &str, default: Value| object::default(value, &["spec", field, "rollingUpdate", key], default);
    match kind {
        "Deployment" => {
            put("maxSurge", json!("25%"));
            put("maxUnavailable", json!("25%"));
        }
        "DaemonSet" => {
            put("maxSurge", json!(0));
            put("maxUnavailable", json!(1));
        }
        "StatefulSet" => put("partition", json!(0)),
        _ => {}
    }
}

fn template(value: &mut Value, path: &[&str]) {
    let spec_path: Vec<_> = path.iter().copied().chain(["spec"]).collect();
    let mut spec = object::at(value, &spec_path).cloned().unwrap_or_else(|| json!({}));
    pod_spec(&mut spec);
    object::set(value, &spec_path, spec);
    let metadata: Vec<_> = path.iter().copied().chain(["metadata"]).collect();
    object::default(value, &metadata, json!({}));
}

fn pod_spec(spec: &mut Value) {
    for (key, default) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        object::default(spec, &[key], default);
    }
    for list in ["containers", "initContainers"] {
        spec.get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(container);
    }
    spec.get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .for_each(volume);
    let account = object::text(spec, &["serviceAccountName"]).to_owned();
    if !account.is_empty() {
        object::default(spec, &["serviceAccount"], json!(account));
    }
}

fn container(container: &mut Value) {
    let image = object::text(container, &["image"]);
    // The tag is what follows the last colon of the last path element.
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'))
        .map_or("latest", |(_, tag)| tag);
    let policy = if tag == "latest" && !image.contains('@') {
        "Always"
    } else {
        "IfNotPresent"
    };
    for (key, default) in [
        ("imagePullPolicy", json!(policy)),
        ("resources", json!({})),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
    ] {
        object::default(container, &[key], default);
    }
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        object::default(port, &["protocol"], json!("TCP"));
    }
    for env in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if object::at(env, &["valueFrom", "fieldRef"]).is_some() {
            object::default(env, &["valueFrom", "fieldRef", "apiVersion"], json!("v1"));
        }
    }
}

fn volume(volume: &mut Value) {
    for source in ["configMap", "secret", "projected", "downwardAPI"] {
        if volume.get(source).is_some() {
            // 0644.
            object::default(volume, &[source, "defaultMode"], json!(420));
        }
    }
}
