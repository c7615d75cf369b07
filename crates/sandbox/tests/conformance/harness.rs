//! Sends requests, writes down what came back without what differs from run to run, and compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Differences that are known and meant: the step, the path in its answer, and why.
pub(crate) const KNOWN: &[(&str, &str, &str)] = &[
    ("create another kind", "/body/message", "names Go's types"),
    (
        "only JSON is served",
        "/body/message",
        "the real server offers YAML and protobuf as well",
    ),
    (
        "from no version",
        "",
        "the real server takes a broken number for a failure of its own, 500",
    ),
];

/// No answer of these scripts takes longer, watches included.
const LIMIT: Duration = Duration::from_secs(240);

/// A server, a namespace in it, and what it said so far.
pub(crate) struct World {
    client: Client,
    pub(crate) namespace: String,
    uids: BTreeMap<String, usize>,
    pub(crate) steps: Vec<(String, Value)>,
}

/// How a body is meant.
#[derive(Clone, Copy)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Merge,
    Json,
    Strategic,
    Delete,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn version(&self) -> String {
        self.body["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn uid(&self) -> String {
        self.body["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            uids: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// The path of a core resource in the namespace.
    pub(crate) fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// The path of an apps resource in the namespace.
    pub(crate) fn apps(&self, rest: &str) -> String {
        format!("/apis/apps/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// Sends a request without writing the answer down.
    pub(crate) async fn send(&self, method: Method, path: &str, accept: &str, body: &Value) -> (u16, String) {
        let (verb, media) = match method {
            Method::Get => ("GET", ""),
            Method::Post => ("POST", "application/json"),
            Method::Put => ("PUT", "application/json"),
            Method::Merge => ("PATCH", "application/merge-patch+json"),
            Method::Json => ("PATCH", "application/json-patch+json"),
            Method::Strategic => ("PATCH", "application/strategic-merge-patch+json"),
            Method::Delete => ("DELETE", "application/json"),
        };
        let mut request = http::Request::builder()
            .method(verb)
            .uri(path)
            .header("User-Agent", "conformance/1.0");
        if !accept.is_empty() {
            request = request.header("Accept", accept);
        }
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        if !media.is_empty() && !bytes.is_empty() {
            request = request.header("Content-Type", media);
        }
        let request = request.body(Body::from(bytes)).unwrap();
        let answer = async {
            let response = self.client.send(request).await.unwrap();
            let code = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (code, String::from_utf8(bytes.to_vec()).unwrap())
        };
        tokio::time::timeout(LIMIT, answer)
            .await
            .unwrap_or_else(|_| panic!("{path}: no answer"))
    }

    /// Sends a request and writes the answer down.
    pub(crate) async fn call(&mut self, step: &str, method: Method, path: &str, body: Value) -> Answer {
        self.call_as(step, method, path, "", body).await
    }

    /// The same with an `Accept` header.
    pub(crate) async fn call_as(
        &mut self,
        step: &str,
        method: Method,
        path: &str,
        accept: &str,
        body: Value,
    ) -> Answer {
        let (code, text) = self.send(method, path, accept, &body).await;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let mut shown = body.clone();
        self.normalise(&mut shown, "");
        self.note(step, json!({"code": code, "body": shown}));
        Answer { code, body }
    }

    /// Follows watches, all at once, to their ends and writes their events down: steps, paths and `Accept` headers.
    pub(crate) async fn watch(&mut self, steps: &[(&str, String, &str)]) {
        let answers = steps
            .iter()
            .map(|(_, path, accept)| self.send(Method::Get, path, accept, &Value::Null));
        let answers = futures::future::join_all(answers).await;
        for ((step, ..), (code, text)) in steps.iter().zip(answers) {
            self.watched(step, code, &text);
        }
    }

    fn watched(&mut self, step: &str, code: u16, text: &str) {
        let mut events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // How many bookmarks come, and what typed zero values they bear, is the server's own affair.
        events.retain(|event| event["type"] != "BOOKMARK" || !event["object"]["metadata"]["annotations"].is_null());
        for event in &mut events {
            if event["type"] == "BOOKMARK" {
                let annotations = event["object"]["metadata"]["annotations"].clone();
                event["object"] = json!({"kind": event["object"]["kind"], "annotations": annotations});
            }
            self.normalise(event, "");
        }
        self.note(step, json!({"code": code, "events": events}));
    }

    /// Writes down the table that kubectl would print, without ages.
    pub(crate) async fn table(&mut self, step: &str, path: &str) {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let (code, text) = self.send(Method::Get, path, accept, &Value::Null).await;
        let table: Value = serde_json::from_str(&text).unwrap();
        let column = |column: &Value| json!([column["name"], column["type"], column["format"], column["priority"]]);
        let columns: Vec<_> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(column)
            .collect();
        let is_age = |index: usize| ["Age", "Last Seen"].iter().any(|name| columns[index][0] == *name);
        let cells = |row: &Value| -> Vec<Value> {
            let cells = row["cells"].as_array().unwrap().iter().enumerate();
            cells
                .filter(|(index, _)| !is_age(*index))
                .map(|(_, cell)| cell.clone())
                .collect()
        };
        let rows: Vec<_> = table["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| json!([cells(row), row["object"]["kind"]]))
            .collect();
        let mut rows = json!(rows);
        self.normalise(&mut rows, "");
        self.note(step, json!([code, table["kind"], columns, rows]));
    }

    /// Writes down whatever else is to be compared.
    pub(crate) fn note(&mut self, step: &str, value: Value) {
        assert!(
            self.steps.iter().all(|(name, _)| name != step),
            "two steps are called {step:?}"
        );
        self.steps.push((step.to_owned(), value));
    }

    pub(crate) fn normalise(&mut self, value: &mut Value, key: &str) {
        match value {
            Value::Object(map) => {
                if key == "fieldsV1" {
                    drop_markers(map);
                }
                if key == "f:ownerReferences" {
                    let owners = std::mem::take(map).into_iter().enumerate();
                    *map = owners
                        .map(|(number, (_, fields))| (format!("owner {number}"), fields))
                        .collect();
                }
                map.iter_mut().for_each(|(key, value)| self.normalise(value, key));
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.normalise(item, ""));
                if key == "causes" {
                    // The real server repeats some, and walks its maps in no order.
                    items.sort_by_key(ToString::to_string);
                    items.dedup();
                }
                if key == "managedFields" {
                    items.sort_by_key(|entry| format!("{}/{}", entry["manager"], entry["subresource"]));
                }
            }
            Value::String(text) => *text = self.normal_text(text, key),
            _ => {}
        }
    }

    fn normal_text(&mut self, text: &str, key: &str) -> String {
        let text = text.replace(&self.namespace, "NAMESPACE");
        match key {
            "uid" | "controller-uid" | "batch.kubernetes.io/controller-uid" if text.len() == 36 => {
                let next = self.uids.len();
                format!("UID {}", self.uids.entry(text).or_insert(next))
            }
            "resourceVersion" if !["", "0"].contains(&text.as_str()) => "VERSION".to_owned(),
            "time" | "creationTimestamp" | "deletionTimestamp" | "lastTransitionTime" | "lastUpdateTime" => {
                "TIME".to_owned()
            }
            "continue" if !text.is_empty() => "TOKEN".to_owned(),
            "message" => {
                let known = self
                    .uids
                    .iter()
                    .fold(text, |text, (uid, n)| text.replace(uid, &format!("UID {n}")));
                hide_versions(&known)
            }
            _ => text,
        }
    }
}

/// Which parents are owned besides their children depends on the schema of each type: `.` is not compared.
fn drop_markers(set: &mut serde_json::Map<String, Value>) {
    set.remove(".");
    set.values_mut().filter_map(Value::as_object_mut).for_each(drop_markers);
}

/// Numbers that follow "resource version" or "current" are resource versions.
fn hide_versions(text: &str) -> String {
    let is_about_versions = text.contains("esource version") || text.contains("ResourceVersion");
    if !is_about_versions {
        return text.to_owned();
    }
    let mut hidden = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if hidden.ends_with('#') => {}
            '0'..='9' => hidden.push('#'),
            other => hidden.push(other),
        }
    }
    hidden
}

/// Fails with every difference, step by step.
pub(crate) fn compare(script: &str, real: &World, mock: &World) {
    assert!(!real.steps.is_empty(), "the script did nothing");
    let mut report = String::new();
    for (index, (step, expected)) in real.steps.iter().enumerate() {
        let Some((name, found)) = mock.steps.get(index) else {
            let _ = writeln!(report, "{step}: the sandbox's run ended before");
            break;
        };
        assert_eq!(step, name, "the runs took different ways");
        let mut differences = Vec::new();
        differ("", expected, found, &mut differences);
        let known = |path: &str| KNOWN.iter().any(|(s, p, _)| s == step && path.starts_with(p));
        for (s, p, why) in KNOWN.iter().filter(|(s, _, _)| s == step) {
            if !differences.iter().any(|(path, _)| path.starts_with(p)) {
                let _ = writeln!(report, "{s} {p}: no difference any more ({why})");
            }
        }
        for (path, text) in differences.into_iter().filter(|(path, _)| !known(path)) {
            let _ = writeln!(report, "{step} {path}\n{text}");
        }
    }
    assert!(
        report.is_empty(),
        "{script}: the sandbox differs from the real API server\n{report}"
    );
}

fn differ(path: &str, real: &Value, mock: &Value, found: &mut Vec<(String, String)>) {
    match (real, mock) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let missing = Value::String("(absent)".to_owned());
                differ(
                    &format!("{path}/{key}"),
                    a.get(key).unwrap_or(&missing),
                    b.get(key).unwrap_or(&missing),
                    found,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}/{index}"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push((path.to_owned(), format!("    real:    {a}\n    sandbox: {b}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(sandbox: &afresh_sandbox::Sandbox, answer: Value) -> World {
        let mut world = World::new(Client::new(sandbox.service(), "n"), "n");
        world.note("step", answer);
        world
    }

    async fn compared(real: Value, mock: Value) -> std::thread::Result<()> {
        let sandbox = afresh_sandbox::Sandbox::start(&afresh_sandbox::Options::api_server_only());
        let (real, mock) = (world(&sandbox, real), world(&sandbox, mock));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compare("script", &real, &mock)))
    }

    #[tokio::test]
    async fn a_comparison_fails_for_another_a_missing_and_an_additional_value() {
        let real = json!({"code": 200, "body": {"items": [1, 2]}});
        assert!(compared(real.clone(), real.clone()).await.is_ok());
        for other in [
            json!({"code": 201, "body": {"items": [1, 2]}}),
            json!({"code": 200, "body": {"items": [1]}}),
            json!({"code": 200, "body": {}}),
            json!({"code": 200, "body": {"items": [1, 2], "more": null}}),
        ] {
            assert!(compared(real.clone(), other.clone()).await.is_err(), "{other}");
        }
    }

    #[tokio::test]
    async fn only_what_differs_from_run_to_run_is_hidden() {
        let sandbox = afresh_sandbox::Sandbox::start(&afresh_sandbox::Options::api_server_only());
        let mut world = World::new(Client::new(sandbox.service(), "here"), "here");
        let uid = "0123456789-0123456789-0123456789-012";
        let mut shown = json!({"metadata": {"namespace": "here", "uid": uid, "resourceVersion": "17", "name": "a"}, "time": "x", "data": {"k": "v"}});
        world.normalise(&mut shown, "");
        let hidden = json!({"metadata": {"namespace": "NAMESPACE", "uid": "UID 0", "resourceVersion": "VERSION", "name": "a"}, "time": "TIME", "data": {"k": "v"}});
        assert_eq!(shown, hidden);
        assert_eq!(
            hide_versions("too old resource version: 17 (23)"),
            "too old resource version: # (#)"
        );
    }
}
