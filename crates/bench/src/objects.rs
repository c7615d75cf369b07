//! What clusters are filled with: ordinary objects, of ordinary size, as kubectl writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The annotation of the pod template whose change makes an action visible.
pub(crate) const CONFIG: &str = "afresh.dev/config";
/// The record.
pub(crate) const APPLIED: &str = "afresh.dev/applied";
/// Where the bare loop works.
pub(crate) const BARE: &str = "bare";
/// The controller's own namespace.
pub(crate) const OWN: &str = "afresh";

const VALUES: usize = 4;
const VALUE_BYTES: usize = 512;
const VARIABLES: usize = 15;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    /// ConfigMaps, and as many Secrets.
    pub(crate) objects: usize,
    pub(crate) deployments: usize,
    pub(crate) namespaces: usize,
}

impl Size {
    pub(crate) fn namespace(&self, number: usize) -> String {
        format!("team-{:03}", number % self.namespaces)
    }
}

/// The ConfigMap or Deployment of a number: one ConfigMap, one Secret and one Deployment share a name.
pub(crate) fn name(number: usize) -> String {
    format!("service-{number:05}")
}

pub(crate) fn maps_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

pub(crate) fn workload_path(namespace: &str, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
}

fn value(seed: usize, key: usize, bytes: usize) -> String {
    let line = format!(
        "setting.{key}.of.{seed} = \"{}\"\n",
        seed.wrapping_mul(2_654_435_761).wrapping_add(key)
    );
    line.chars().cycle().take(bytes).collect()
}

/// Four values of 512 bytes.
pub(crate) fn config_map(number: usize) -> Value {
    let data = (0..VALUES).map(|key| {
        (
            format!("key{key}.properties"),
            Value::from(value(number, key, VALUE_BYTES)),
        )
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name(number), "labels": labels(number)},
        "data": serde_json::Map::from_iter(data),
    })
}

/// Four values of 512 bytes in base64.
pub(crate) fn secret(number: usize) -> Value {
    let raw = VALUE_BYTES / 4 * 3;
    let data = (0..VALUES).map(|key| {
        (
            format!("token{key}"),
            Value::from(STANDARD.encode(value(number, key, raw))),
        )
    });
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name(number), "labels": labels(number)},
        "data": serde_json::Map::from_iter(data),
    })
}

fn labels(number: usize) -> Value {
    json!({
        "app.kubernetes.io/name": name(number), "app.kubernetes.io/part-of": "benchmark",
        "app.kubernetes.io/managed-by": "kubectl", "app.kubernetes.io/version": "1.4.2",
    })
}

/// Two containers of 15 variables each; the ConfigMap by `envFrom`, the Secret by a variable, and where there are ConfigMaps
/// enough a second one as a volume.
pub(crate) fn deployment(number: usize, files: Option<usize>, opted_in: bool) -> Value {
    let mut annotations = json!({"team.example.com/owner": "platform", "team.example.com/runbook": "https://runbooks.example.com/service"});
    if opted_in {
        annotations["afresh.dev/reload"] = "auto".into();
    }
    let mut volumes = vec![json!({"name": "scratch", "emptyDir": {}})];
    if let Some(files) = files {
        volumes.push(json!({"name": "files", "configMap": {"name": name(files)}}));
    }
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name(number), "labels": labels(number), "annotations": annotations},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app.kubernetes.io/name": name(number)}},
            "template": {
                "metadata": {"labels": labels(number), "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}},
                "spec": {
                    "serviceAccountName": "default",
                    "containers": [container("main", number, files.is_some()), container("proxy", number, false)],
                    "volumes": volumes,
                },
            },
        },
    });
    // kubectl keeps what it applied in an annotation.
    object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = object.to_string().into();
    object
}

fn container(role: &str, number: usize, mounts_files: bool) -> Value {
    let mut env: Vec<Value> = (1..VARIABLES)
        .map(|n| json!({"name": format!("{}_SETTING_{n}", role.to_uppercase()), "value": format!("value-{n}-of-{number}")}))
        .collect();
    env.push(json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": name(number), "key": "token1"}}}));
    let mut mounts = vec![json!({"name": "scratch", "mountPath": "/scratch"})];
    if mounts_files {
        mounts.push(json!({"name": "files", "mountPath": "/etc/service"}));
    }
    json!({
        "name": role, "image": format!("registry.example.com/platform/{role}:1.4.2"),
        "args": ["--listen=:8080", "--log-level=info"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": name(number)}}],
        "env": env, "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "http"}, "periodSeconds": 10},
    })
}
