//! Which kinds exist, as data: the resource table.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What makes `metadata.generation` grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    None,
    /// A change of `spec`.
    Spec,
    /// A change of `spec` or of the annotations: Deployments (pkg/registry/apps/deployment/strategy.go).
    SpecAndAnnotations,
}

/// One resource of the API: a row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// The name in paths, such as `deployments`.
    pub plural: String,
    /// The name for one, such as `deployment`.
    pub singular: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// Abbreviations for kubectl.
    pub short_names: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is a subresource that main writes cannot change.
    pub status: bool,
    /// Other subresources, such as `scale` or `eviction`.
    pub subresources: Vec<String>,
    /// What makes `metadata.generation` grow.
    pub generation: Generation,
    /// Whether the resource was registered at runtime, as a CustomResourceDefinition does.
    pub custom: bool,
    storage: Arc<str>,
}

impl Resource {
    /// A namespaced custom resource with a status subresource, as after installing a CustomResourceDefinition.
    #[must_use]
    pub fn custom(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        let mut resource = Self::new(group, version, plural, kind)
            .namespaced()
            .with_status(Generation::Spec);
        resource.custom = true;
        resource
    }

    fn new(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            short_names: Vec::new(),
            namespaced: false,
            status: false,
            subresources: Vec::new(),
            generation: Generation::None,
            custom: false,
            storage: storage_key(group, plural),
        }
    }

    fn namespaced(mut self) -> Self {
        self.namespaced = true;
        self
    }

    fn with_status(mut self, generation: Generation) -> Self {
        self.status = true;
        self.generation = generation;
        self
    }

    fn with(mut self, subresource: &str) -> Self {
        self.subresources.push(subresource.to_owned());
        self
    }

    fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Objects of this resource are those of another one, shown in another shape.
    fn stored_as(mut self, group: &str, plural: &str) -> Self {
        self.storage = storage_key(group, plural);
        self
    }

    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The name in messages: `deployments.apps`, or `configmaps` for the core group.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    pub(crate) fn storage(&self) -> &Arc<str> {
        &self.storage
    }

    /// `events.k8s.io/v1` shows the core group's Events in another shape.
    pub(crate) fn is_new_event(&self) -> bool {
        self.group == "events.k8s.io"
    }
}

/// The key under which objects of a resource are stored; versions of one group share it.
pub(crate) fn storage_key(group: &str, plural: &str) -> Arc<str> {
    if group.is_empty() {
        plural.into()
    } else {
        format!("{plural}.{group}").into()
    }
}

/// The resource table: what is built in, and what was registered since.
#[derive(Debug)]
pub(crate) struct Registry {
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    /// The table of the built-in resources.
    #[must_use]
    pub(crate) fn built_in() -> Self {
        let mut registry = Self {
            resources: BTreeMap::new(),
        };
        core()
            .into_iter()
            .chain(workloads())
            .chain(others())
            .for_each(|resource| registry.register(resource));
        registry
    }

    /// Adds a resource, replacing one of the same group, version and plural.
    pub(crate) fn register(&mut self, resource: Resource) {
        let key = (
            resource.group.clone(),
            resource.version.clone(),
            resource.plural.clone(),
        );
        self.resources.insert(key, Arc::new(resource));
    }

    /// The resource served under a path.
    #[must_use]
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .cloned()
    }

    /// Whether anything is served under a group and version.
    #[must_use]
    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        self.resources.keys().any(|(g, v, _)| g == group && v == version)
    }

    /// The resource of a kind, by `apiVersion` and `kind`.
    #[must_use]
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        self.all()
            .find(|resource| resource.kind == kind && resource.api_version() == api_version)
            .cloned()
    }

    /// The resource by its plural, singular or short name, or `plural.group`.
    #[must_use]
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Resource>> {
        let matches = |r: &&Arc<Resource>| {
            r.plural == name || r.singular == name || r.qualified() == name || r.short_names.iter().any(|s| s == name)
        };
        self.all().find(matches).cloned()
    }

    /// All resources, in order of group, version and plural.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }
}

fn core() -> Vec<Resource> {
    let core = |plural, kind| Resource::new("", "v1", plural, kind);
    vec![
        core("namespaces", "Namespace")
            .short(&["ns"])
            .with_status(Generation::None)
            .with("finalize"),
        core("nodes", "Node").short(&["no"]).with_status(Generation::None),
        core("configmaps", "ConfigMap").short(&["cm"]).namespaced(),
        core("secrets", "Secret").namespaced(),
        core("pods", "Pod")
            .short(&["po"])
            .namespaced()
            .with_status(Generation::Spec)
            .with("eviction"),
        core("events", "Event").short(&["ev"]).namespaced(),
        core("serviceaccounts", "ServiceAccount").short(&["sa"]).namespaced(),
    ]
}

fn workloads() -> Vec<Resource> {
    let apps = |plural, kind| Resource::new("apps", "v1", plural, kind).namespaced();
    let batch = |plural, kind| Resource::new("batch", "v1", plural, kind).namespaced();
    vec![
        apps("deployments", "Deployment")
            .short(&["deploy"])
            .with_status(Generation::SpecAndAnnotations)
            .with("scale"),
        apps("replicasets", "ReplicaSet")
            .short(&["rs"])
            .with_status(Generation::Spec)
            .with("scale"),
        apps("statefulsets", "StatefulSet")
            .short(&["sts"])
            .with_status(Generation::Spec)
            .with("scale"),
        apps("daemonsets", "DaemonSet")
            .short(&["ds"])
            .with_status(Generation::Spec),
        apps("controllerrevisions", "ControllerRevision"),
        batch("jobs", "Job").with_status(Generation::Spec),
        batch("cronjobs", "CronJob")
            .short(&["cj"])
            .with_status(Generation::Spec),
    ]
}

fn others() -> Vec<Resource> {
    vec![
        Resource::new("coordination.k8s.io", "v1", "leases", "Lease").namespaced(),
        Resource::new("events.k8s.io", "v1", "events", "Event")
            .short(&["ev"])
            .namespaced()
            .stored_as("", "events"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_kind_is_found_by_path_kind_and_name() {
        let mut registry = Registry::built_in();
        assert!(registry.get("example.org", "v1", "widgets").is_none());
        registry.register(Resource::custom("example.org", "v1", "widgets", "Widget"));
        assert!(registry.get("example.org", "v1", "widgets").is_some());
        assert_eq!(
            registry.by_kind("example.org/v1", "Widget").unwrap().qualified(),
            "widgets.example.org"
        );
        assert_eq!(registry.by_name("cm").unwrap().kind, "ConfigMap");
    }

    #[test]
    fn both_event_groups_share_one_storage() {
        let registry = Registry::built_in();
        let (old, new) = (
            registry.get("", "v1", "events"),
            registry.get("events.k8s.io", "v1", "events"),
        );
        assert_eq!(old.unwrap().storage(), new.unwrap().storage());
    }
}
