//! What a ServiceAccount may do, by the API server's own word.

use afresh_testbed::Access;
use anyhow::Result;
use kube::Client;
use serde_json::{Value, json};

use crate::program::until;

/// What the installation may do with its own objects, wherever it is installed.
pub(crate) const OWN: &str = "update coordination.k8s.io/leases=afresh";

/// One right of each further role that `deploy/` binds.
pub(crate) const ROLE: &str = "list /secrets";
pub(crate) const WORK: [&str; 2] = ["create batch/jobs", "patch batch/cronjobs"];

/// `verb group/resource/subresource`, with `=name` for one object.
pub(crate) async fn may(client: &Client, what: &str, namespace: Option<&str>) -> Result<bool> {
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    let (resource, name) = rest.split_once('=').unwrap_or((rest, ""));
    let mut parts = resource.split('/');
    let mut next = || parts.next().unwrap_or_default();
    let (group, resource, subresource) = (next(), next(), next());
    let attributes = json!({
        "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name,
        "namespace": namespace.unwrap_or_default(),
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())?;
    let answer: Value = client.request(request).await?;
    Ok(answer["status"]["allowed"] == true)
}

/// Waits until the API server knows that the account has these rights. It learns of a binding a moment after that is
/// written, and whoever asks earlier is refused what it may do.
pub(crate) async fn granted(access: &Access, rights: &[&str], namespace: Option<&str>) -> Result<()> {
    let client = access.client().await?;
    for right in rights {
        let look = async || may(&client, right, namespace).await;
        until(&format!("the right to {right} in {namespace:?}"), look, |may| *may).await?;
    }
    Ok(())
}

/// The ServiceAccount, Role and metadata Role of Reloader's chart 2.2.16 (`templates/role.yaml`).
pub(crate) fn of_reloader(namespace: &str) -> Value {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({ "apiGroups": groups, "resources": resources, "verbs": verbs });
    let rules = json!([
        rule(&[""], &["secrets", "configmaps"], &["list", "get", "watch"]),
        rule(
            &["apps"],
            &["deployments", "daemonsets", "statefulsets"],
            &["list", "get", "update", "patch"]
        ),
        rule(&["batch"], &["cronjobs"], &["list", "get"]),
        rule(&["batch"], &["jobs"], &["create", "delete", "list", "get"]),
        rule(&[""], &["events"], &["create", "patch"]),
    ]);
    let metadata = json!([rule(
        &[""],
        &["configmaps"],
        &["list", "get", "watch", "create", "update"]
    )]);
    let object = |kind: &str, name: &str| {
        let group = if kind == "ServiceAccount" {
            "v1"
        } else {
            "rbac.authorization.k8s.io/v1"
        };
        json!({ "apiVersion": group, "kind": kind, "metadata": { "name": name, "namespace": namespace } })
    };
    let role = |name: &str, rules: Value| {
        let mut role = object("Role", name);
        role["rules"] = rules;
        let mut binding = object("RoleBinding", name);
        binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name });
        binding["subjects"] = json!([{ "kind": "ServiceAccount", "name": "afresh", "namespace": namespace }]);
        [role, binding]
    };
    let roles = [role("reloader", rules), role("reloader-metadata", metadata)].concat();
    let items = [vec![object("ServiceAccount", "afresh")], roles].concat();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}
