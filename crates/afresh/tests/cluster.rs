//! Objects of a real API server, with the least permission that each strategy needs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::time::Duration;

use afresh::{Cluster as Access, Config, Live, Source, Strategy};
use afresh_testbed::Cluster;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

/// Only so that what never comes is a failure and not a hang.
const LONG: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Settings {
    message: String,
}

fn objects(message: &str) -> [Value; 2] {
    let metadata = json!({ "name": "web" });
    [
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "message": message } }),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": { "message": message } }),
    ]
}

/// A ServiceAccount that may do `verbs` with the objects called `web` and nothing else.
fn permission(verbs: &[&str]) -> [Value; 3] {
    let metadata = json!({ "name": "reader" });
    let rule = json!({
        "apiGroups": [""], "resources": ["configmaps", "secrets"], "resourceNames": ["web"], "verbs": verbs,
    });
    let subject = json!({ "kind": "ServiceAccount", "name": "reader" });
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" });
    let rbac = "rbac.authorization.k8s.io/v1";
    [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({ "apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": [rule] }),
        json!({ "apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject] }),
    ]
}

/// `kubectl apply` in the namespace.
async fn apply(cluster: &Cluster, namespace: &str, objects: impl IntoIterator<Item = Value>) {
    let in_it = |mut object: Value| {
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    let items: Vec<_> = objects.into_iter().map(in_it).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    cluster.apply(&list.to_string()).await.unwrap();
}

/// Follows both kinds by `strategy` until they have seen a change.
async fn follows(prefix: &str, verbs: &[&str], strategy: Strategy) {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace(prefix).await.unwrap();
    apply(cluster, &namespace, permission(verbs)).await;
    let account = cluster.service_account(&namespace, "reader").await.unwrap();
    for source in [Source::config_map("web"), Source::secret("web")] {
        apply(cluster, &namespace, objects("one")).await;
        let object = source.namespace(&namespace).strategy(strategy);
        let config = Config::new(object).cluster(Access::kubeconfig(account.kubeconfig()));
        let live: Live<Settings> = config.load_async().await.unwrap();
        assert_eq!(live.get().message, "one");

        let mut changes = live.stream();
        apply(cluster, &namespace, objects("two")).await;
        if strategy == Strategy::Get {
            live.refresh();
        }
        let change = timeout(LONG, changes.next()).await.unwrap().unwrap();
        assert_eq!(change.new.message, "two");
        assert!(live.health().degraded.is_none(), "{:?}", live.health());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn watching_needs_list_and_watch_of_the_one_object() {
    follows("watch", &["list", "watch"], Strategy::Watch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn caching_needs_get_of_the_one_object() {
    let ttl = Duration::from_millis(50);
    follows("cached", &["get"], Strategy::Cached { ttl }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn getting_needs_get_of_the_one_object() {
    follows("get", &["get"], Strategy::Get).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_permission_that_is_missing_is_told_at_the_first_load() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace("denied").await.unwrap();
    apply(cluster, &namespace, permission(&["get"])).await;
    apply(cluster, &namespace, objects("one")).await;
    let account = cluster.service_account(&namespace, "reader").await.unwrap();
    let object = Source::secret("web").namespace(&namespace);
    let config = Config::<Settings>::new(object).cluster(Access::kubeconfig(account.kubeconfig()));
    let error = config.load_async().await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("secret/{namespace}/web: ")) && error.contains("403"),
        "{error}"
    );
}
