//! Where a kind is served: the name of its collection, which for a kind of one's own only the API server knows.

use afresh_model::name::{Name, WorkloadKind};
use serde::Deserialize;
use thiserror::Error;

/// Why a kind has no collection that could be watched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unserved {
    /// Its group and version are served, without it.
    #[error("{0} has no kind {1}")]
    NoKind(&'static str, &'static str),
    /// Its objects are in no namespace, and config objects are.
    #[error("{1} of {0} is not namespaced, so it can use no ConfigMap and no Secret")]
    NotNamespaced(&'static str, &'static str),
    /// The answer is not a list of resources.
    #[error("the list of the kinds in {0} cannot be read")]
    Unreadable(&'static str),
}

/// `APIResourceList`, as much of it as is used.
#[derive(Deserialize)]
struct Wire {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: Box<str>,
    kind: Box<str>,
    #[serde(default)]
    namespaced: bool,
}

/// Where the kinds of a kind's group and version are listed.
pub(crate) fn path(kind: WorkloadKind) -> String {
    let version = kind.api_version();
    let root = if version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{version}")
}

/// The path of a collection: of one namespace, or of all.
pub(crate) fn collection(kind: WorkloadKind, plural: &str, namespace: Option<&Name>) -> String {
    let version = path(kind);
    match namespace {
        Some(namespace) => format!("{version}/namespaces/{namespace}/{plural}"),
        None => format!("{version}/{plural}"),
    }
}

/// The name of the kind's collection, from what the server answered.
///
/// # Errors
/// See [`Unserved`].
pub(crate) fn plural(kind: WorkloadKind, answer: &[u8]) -> Result<Box<str>, Unserved> {
    let (version, name) = (kind.api_version(), kind.api_kind());
    let Wire { resources } = serde_json::from_slice(answer).map_err(|_| Unserved::Unreadable(version))?;
    // Subresources are listed too, some with the same kind.
    let found = resources
        .into_iter()
        .find(|resource| &*resource.kind == name && !resource.name.contains('/'));
    match found {
        Some(resource) if resource.namespaced => Ok(resource.name),
        Some(_) => Err(Unserved::NotNamespaced(version, name)),
        None => Err(Unserved::NoKind(version, name)),
    }
}

#[cfg(test)]
mod tests {
    use afresh_model::name::CustomKind;
    use serde_json::json;

    use super::*;

    fn web() -> WorkloadKind {
        let web: CustomKind = "apps.example.org/v1/Web=spec.template".parse().unwrap();
        WorkloadKind::Custom(web.intern())
    }

    fn answer(resources: &serde_json::Value) -> Vec<u8> {
        json!({"kind": "APIResourceList", "groupVersion": "apps.example.org/v1", "resources": resources})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn the_collection_of_a_kind_is_what_the_server_calls_it() {
        let listed = answer(&json!([
            {"name": "webs/status", "kind": "Web", "namespaced": true},
            {"name": "others", "kind": "Other", "namespaced": true},
            {"name": "webs", "kind": "Web", "namespaced": true},
        ]));
        assert_eq!(&*plural(web(), &listed).unwrap(), "webs");
        assert_eq!(collection(web(), "webs", None), "/apis/apps.example.org/v1/webs");
        let prod = "prod".parse().unwrap();
        assert_eq!(
            collection(WorkloadKind::Pod, "pods", Some(&prod)),
            "/api/v1/namespaces/prod/pods"
        );
    }

    #[test]
    fn a_kind_that_cannot_be_watched_is_told_by_its_name() {
        let message = |listed: &[u8]| plural(web(), listed).unwrap_err().to_string();
        assert_eq!(message(&answer(&json!([]))), "apps.example.org/v1 has no kind Web");
        let cluster = answer(&json!([{"name": "webs", "kind": "Web", "namespaced": false}]));
        assert!(message(&cluster).contains("is not namespaced"));
        assert!(message(b"<html>").contains("cannot be read"));
    }
}
