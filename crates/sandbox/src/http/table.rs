//! Tables: what `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::convert;
use crate::object;
use crate::resource::Resource;

/// A column: its name, JSON type, and whether it is shown only by `-o wide`.
type Column = (&'static str, &'static str, bool);

const NAME: Column = ("Name", "string", false);
const AGE: Column = ("Age", "string", false);

/// The table of some stored objects.
pub(crate) fn of(resource: &Resource, stored: &[&Value], now: Timestamp) -> Value {
    let kind = Kind::of(resource);
    let columns: Vec<_> = kind.columns().into_iter().map(column).collect();
    let row = |stored: &&Value| json!({"cells": kind.cells(stored, now), "object": convert::to_partial(stored)});
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": columns, "rows": stored.iter().map(row).collect::<Vec<_>>(),
    })
}

fn column((name, kind, wide): Column) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    json!({"name": name, "type": kind, "format": format, "description": name, "priority": i64::from(wide)})
}

/// Kinds that are printed in their own way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ConfigMap,
    Secret,
    Pod,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Namespace,
    Node,
    Event,
    Lease,
    Other,
}

impl Kind {
    fn of(resource: &Resource) -> Self {
        match (resource.group.as_str(), resource.kind.as_str()) {
            ("", "ConfigMap") => Self::ConfigMap,
            ("", "Secret") => Self::Secret,
            ("", "Pod") => Self::Pod,
            ("", "Namespace") => Self::Namespace,
            ("", "Node") => Self::Node,
            (_, "Event") => Self::Event,
            ("apps", "Deployment") => Self::Deployment,
            ("apps", "ReplicaSet") => Self::ReplicaSet,
            ("apps", "StatefulSet") => Self::StatefulSet,
            ("apps", "DaemonSet") => Self::DaemonSet,
            ("coordination.k8s.io", "Lease") => Self::Lease,
            _ => Self::Other,
        }
    }

    fn columns(self) -> Vec<Column> {
        let text = |name| (name, "string", false);
        let number = |name| (name, "integer", false);
        let wide = |name| (name, "string", true);
        let containers = [wide("Containers"), wide("Images")];
        let mut columns = match self {
            Self::Event => {
                let [seen, kind, reason, about] = ["Last Seen", "Type", "Reason", "Object"].map(text);
                let [part, source, first, count, name] =
                    ["Subobject", "Source", "First Seen", "Count", "Name"].map(wide);
                return vec![
                    seen,
                    kind,
                    reason,
                    about,
                    part,
                    source,
                    text("Message"),
                    first,
                    count,
                    name,
                ];
            }
            Self::ConfigMap => vec![text("Data")],
            Self::Secret => vec![text("Type"), text("Data")],
            Self::Pod => vec![text("Ready"), text("Status"), text("Restarts")],
            Self::Deployment => ["Ready", "Up-to-date", "Available"].map(text).to_vec(),
            Self::ReplicaSet => ["Desired", "Current", "Ready"].map(number).to_vec(),
            Self::StatefulSet => vec![text("Ready")],
            Self::DaemonSet => {
                let counts = ["Desired", "Current", "Ready", "Up-to-date", "Available"].map(number);
                [&counts[..], &[text("Node Selector")]].concat()
            }
            Self::Namespace => vec![text("Status")],
            Self::Node => vec![text("Status"), text("Roles")],
            Self::Lease => vec![text("Holder")],
            Self::Other => Vec::new(),
        };
        columns.insert(0, NAME);
        columns.push(AGE);
        match self {
            Self::Pod => columns.extend([
                wide("IP"),
                wide("Node"),
                wide("Nominated Node"),
                wide("Readiness Gates"),
            ]),
            Self::Node => columns.push(text("Version")),
            Self::StatefulSet => columns.extend(containers),
            Self::Deployment | Self::ReplicaSet | Self::DaemonSet => {
                columns.extend(containers);
                columns.push(wide("Selector"));
            }
            _ => {}
        }
        columns
    }

    fn cells(self, value: &Value, now: Timestamp) -> Vec<Value> {
        let status = |key: &str| json!(object::integer(value, &["status", key]).unwrap_or(0));
        let text = |path: &[&str]| json!(object::text(value, path));
        let ready = |key: &str| {
            let wanted = object::integer(value, &["spec", "replicas"]).unwrap_or(0);
            json!(format!(
                "{}/{wanted}",
                object::integer(value, &["status", key]).unwrap_or(0)
            ))
        };
        let mut cells = match self {
            Self::Event => return event(value, now),
            Self::ConfigMap => vec![json!(size(value, "data") + size(value, "binaryData"))],
            Self::Secret => vec![text(&["type"]), json!(size(value, "data"))],
            Self::Pod => pod(value),
            Self::Deployment => {
                vec![
                    ready("readyReplicas"),
                    status("updatedReplicas"),
                    status("availableReplicas"),
                ]
            }
            Self::ReplicaSet => vec![
                value["spec"]["replicas"].clone(),
                status("replicas"),
                status("readyReplicas"),
            ],
            Self::StatefulSet => vec![ready("readyReplicas")],
            Self::DaemonSet => {
                let counts = [
                    "desiredNumberScheduled",
                    "currentNumberScheduled",
                    "numberReady",
                    "updatedNumberScheduled",
                    "numberAvailable",
                ];
                let selector = pairs(object::at(value, &["spec", "template", "spec", "nodeSelector"]));
                [&counts.map(status)[..], &[json!(selector)]].concat()
            }
            Self::Namespace => vec![text(&["status", "phase"])],
            Self::Node => vec![json!("Ready"), json!("<none>")],
            Self::Lease => vec![text(&["spec", "holderIdentity"])],
            Self::Other => Vec::new(),
        };
        cells.insert(0, json!(object::name(value)));
        cells.push(json!(since(
            object::text(value, &["metadata", "creationTimestamp"]),
            now
        )));
        cells.extend(self.wide_cells(value));
        cells
    }

    fn wide_cells(self, value: &Value) -> Vec<Value> {
        let or_none = |text: &str| json!(if text.is_empty() { "<none>" } else { text });
        let containers = object::list(value, &["spec", "template", "spec", "containers"]);
        let joined = |key: &str| {
            let texts: Vec<_> = containers
                .iter()
                .map(|container| object::text(container, &[key]))
                .collect();
            json!(texts.join(","))
        };
        let selector = json!(pairs(object::at(value, &["spec", "selector", "matchLabels"])));
        match self {
            Self::Pod => {
                let (address, node) = (
                    object::text(value, &["status", "podIP"]),
                    object::text(value, &["spec", "nodeName"]),
                );
                vec![or_none(address), or_none(node), json!("<none>"), json!("<none>")]
            }
            Self::Node => vec![json!(object::text(value, &["status", "nodeInfo", "kubeletVersion"]))],
            Self::StatefulSet => vec![joined("name"), joined("image")],
            Self::Deployment | Self::ReplicaSet | Self::DaemonSet => vec![joined("name"), joined("image"), selector],
            _ => Vec::new(),
        }
    }
}

fn size(value: &Value, bag: &str) -> usize {
    object::map_at(value, &[bag]).map_or(0, serde_json::Map::len)
}

fn pairs(map: Option<&Value>) -> String {
    let pairs: Vec<_> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

fn pod(value: &Value) -> Vec<Value> {
    let statuses = object::list(value, &["status", "containerStatuses"]);
    let ready = statuses
        .iter()
        .filter(|status| object::flag(status, &["ready"]))
        .count();
    let total = object::list(value, &["spec", "containers"]).len();
    let restarts: i64 = statuses
        .iter()
        .filter_map(|status| object::integer(status, &["restartCount"]))
        .sum();
    let waiting = statuses
        .iter()
        .map(|status| object::text(status, &["state", "waiting", "reason"]));
    let reason = waiting.rev().find(|reason| !reason.is_empty());
    let phase = if object::is_deleting(value) {
        "Terminating"
    } else {
        reason.unwrap_or_else(|| object::text(value, &["status", "phase"]))
    };
    vec![
        json!(format!("{ready}/{total}")),
        json!(phase),
        json!(restarts.to_string()),
    ]
}

fn event(value: &Value, now: Timestamp) -> Vec<Value> {
    let first = |paths: &[&[&str]]| {
        let time = paths
            .iter()
            .map(|path| object::text(value, path))
            .find(|time| !time.is_empty());
        json!(since(time.unwrap_or_default(), now))
    };
    let text = |path: &[&str]| object::text(value, path);
    let source = match [text(&["source", "component"]), text(&["source", "host"])] {
        ["", ""] => [text(&["reportingComponent"]), text(&["reportingInstance"])],
        given => given,
    };
    let source: Vec<_> = source.into_iter().filter(|part| !part.is_empty()).collect();
    let series = object::integer(value, &["series", "count"]);
    let count = series
        .or_else(|| object::integer(value, &["count"]).filter(|count| *count > 0))
        .unwrap_or(1);
    let about = format!(
        "{}/{}",
        text(&["involvedObject", "kind"]).to_lowercase(),
        text(&["involvedObject", "name"])
    );
    vec![
        first(&[&["series", "lastObservedTime"], &["lastTimestamp"], &["eventTime"]]),
        json!(text(&["type"])),
        json!(text(&["reason"])),
        json!(about),
        json!(text(&["involvedObject", "fieldPath"])),
        json!(source.join(", ")),
        json!(text(&["message"]).trim()),
        first(&[&["firstTimestamp"], &["eventTime"]]),
        json!(count),
        json!(object::name(value)),
    ]
}

/// How long ago, as `duration.HumanDuration` writes it.
fn since(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else {
        return "<unknown>".to_owned();
    };
    let seconds = now.duration_since(then).as_secs();
    // A second of disagreement between clocks is no age.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: i64, unit: char, small: i64, sub: char| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{sub}")
        }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Registry;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let now: Timestamp = "2030-01-10T00:00:00Z".parse().unwrap();
        let age = |seconds: i64| {
            since(
                &crate::clock::seconds(now - jiff::SignedDuration::from_secs(seconds)),
                now,
            )
        };
        let ages = [
            5,
            119,
            125,
            660,
            3 * 3_600,
            5 * 3_600 + 60,
            9 * 3_600,
            3 * 86_400 + 3_600,
            20 * 86_400,
        ];
        assert_eq!(
            ages.map(age),
            ["5s", "119s", "2m5s", "11m", "3h", "5h1m", "9h", "3d1h", "20d"]
        );
    }

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        let now: Timestamp = "2030-01-10T00:00:00Z".parse().unwrap();
        for resource in Registry::built_in().all() {
            let table = of(resource, &[&json!({"metadata": {"name": "n"}})], now);
            let columns = table["columnDefinitions"].as_array().unwrap().len();
            assert_eq!(
                table["rows"][0]["cells"].as_array().unwrap().len(),
                columns,
                "{}",
                resource.qualified()
            );
        }
    }
}
