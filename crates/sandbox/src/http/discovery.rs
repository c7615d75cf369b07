//! Discovery, version and health: what kubectl asks before it does anything.

use std::collections::BTreeSet;

use http::{Response, header};
use serde_json::{Value, json};

use super::Body;
use super::handler::{answer, json_answer};
use crate::resource::Resource;
use crate::sandbox::Sandbox;
use crate::status::ApiError;

/// Answers a path that names no resource.
pub(crate) fn answer_path(sandbox: &Sandbox, path: &str) -> Result<Response<Body>, ApiError> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["healthz" | "readyz" | "livez", ..] => Ok(plain(200, "ok")),
        ["version"] => Ok(json_answer(200, &version())),
        ["api"] => Ok(json_answer(
            200,
            &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        )),
        ["apis"] => Ok(json_answer(
            200,
            &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(sandbox)}),
        )),
        ["apis", group] => {
            let found = groups(sandbox).into_iter().find(|found| found["name"] == *group);
            let mut group = found.ok_or_else(ApiError::no_such_path)?;
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Ok(json_answer(200, &group))
        }
        ["api", version] => resources(sandbox, "", version),
        ["apis", group, version] => resources(sandbox, group, version),
        ["openapi", "v3"] => Ok(json_answer(200, &openapi_index(sandbox))),
        ["openapi", "v3", "api", version] => openapi(sandbox, "", version),
        ["openapi", "v3", "apis", group, version] => openapi(sandbox, group, version),
        _ => Ok(plain(404, "404 page not found\n")),
    }
}

pub(super) fn plain(code: u16, text: &'static str) -> Response<Body> {
    let mut answer = answer(code, Body::whole(text));
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.3+afresh-sandbox", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "in-process",
    })
}

fn group_versions(sandbox: &Sandbox) -> BTreeSet<(String, String)> {
    sandbox
        .server()
        .registry
        .all()
        .map(|resource| (resource.group.clone(), resource.version.clone()))
        .collect()
}

fn groups(sandbox: &Sandbox) -> Vec<Value> {
    let versions = group_versions(sandbox);
    let names: BTreeSet<&String> = versions
        .iter()
        .map(|(group, _)| group)
        .filter(|group| !group.is_empty())
        .collect();
    let group = |name: &&String| {
        let served = versions.iter().filter(|(group, _)| group == *name);
        let served: Vec<_> = served
            .map(|(_, version)| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
            .collect();
        json!({"name": name, "preferredVersion": served.last(), "versions": served})
    };
    names.iter().map(group).collect()
}

fn resources(sandbox: &Sandbox, group: &str, version: &str) -> Result<Response<Body>, ApiError> {
    let server = sandbox.server();
    let here = server
        .registry
        .all()
        .filter(|resource| resource.group == group && resource.version == version);
    let list: Vec<Value> = here.flat_map(|resource| rows(resource)).collect();
    if list.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let name = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let body = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": list});
    Ok(json_answer(200, &body))
}

/// The resource and its subresources.
fn rows(resource: &Resource) -> Vec<Value> {
    let verbs = [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    ];
    let mut main = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": verbs,
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if [
        "pods",
        "deployments",
        "replicasets",
        "statefulsets",
        "daemonsets",
        "jobs",
        "cronjobs",
    ]
    .contains(&resource.plural.as_str())
    {
        main["categories"] = json!(["all"]);
    }
    let sub = |name: &str, kind: &str, verbs: &[&str]| {
        json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
            "kind": kind, "verbs": verbs,
        })
    };
    let mut rows = vec![main];
    if resource.status {
        rows.push(sub("status", &resource.kind, &["get", "patch", "update"]));
    }
    for name in &resource.subresources {
        let mut row = match name.as_str() {
            "scale" => sub("scale", "Scale", &["get", "patch", "update"]),
            "eviction" => sub("eviction", "Eviction", &["create"]),
            _ => continue,
        };
        let (group, version) = if name == "scale" {
            ("autoscaling", "v1")
        } else {
            ("policy", "v1")
        };
        row["group"] = json!(group);
        row["version"] = json!(version);
        rows.push(row);
    }
    rows.sort_by_key(|row| row["name"].as_str().map(str::to_owned));
    rows
}

fn openapi_index(sandbox: &Sandbox) -> Value {
    let path = |(group, version): &(String, String)| match group.as_str() {
        "" => format!("api/{version}"),
        _ => format!("apis/{group}/{version}"),
    };
    let paths: serde_json::Map<String, Value> = group_versions(sandbox)
        .iter()
        .map(|key| {
            (
                path(key),
                json!({"serverRelativeURL": format!("/openapi/v3/{}?hash=sandbox", path(key))}),
            )
        })
        .collect();
    json!({"paths": paths})
}

/// Just enough for kubectl to see that `fieldValidation` is understood, so that it leaves validation to the server.
fn openapi(sandbox: &Sandbox, group: &str, version: &str) -> Result<Response<Body>, ApiError> {
    let server = sandbox.server();
    let here = server
        .registry
        .all()
        .filter(|resource| resource.group == group && resource.version == version);
    let paths: serde_json::Map<String, Value> = here
        .map(|resource| {
            let prefix = if group.is_empty() {
                format!("/api/{version}")
            } else {
                format!("/apis/{group}/{version}")
            };
            let scope = if resource.namespaced {
                "/namespaces/{namespace}"
            } else {
                ""
            };
            let operation = json!({
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": resource.kind},
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "OK"}},
            });
            (
                format!("{prefix}{scope}/{}/{{name}}", resource.plural),
                json!({"patch": operation}),
            )
        })
        .collect();
    if paths.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let info = json!({"title": "Kubernetes", "version": "v1.36.3"});
    Ok(json_answer(
        200,
        &json!({"openapi": "3.0.0", "info": info, "paths": paths}),
    ))
}
