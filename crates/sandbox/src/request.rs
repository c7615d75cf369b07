//! What a request asks for: its verb, and the resource, subresource and object it names.

use std::sync::Arc;

use crate::http::uri::Parameters;
use crate::resource::Resource;

/// The verb of a request, as RBAC and the audit log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change part of an object.
    Patch,
    /// Delete an object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
    /// Anything that names no resource: discovery, version, health.
    Other,
}

impl Verb {
    /// Whether the verb changes objects.
    #[must_use]
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection
        )
    }

    /// The name in RBAC, such as `deletecollection`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "other",
        }
    }
}

/// Which requests are meant; the empty filter means all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    verb: Option<Verb>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    user_agent: Option<String>,
}

impl Filter {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of this verb.
    #[must_use]
    pub fn verb(verb: Verb) -> Self {
        Self {
            verb: Some(verb),
            ..Self::default()
        }
    }

    /// Also: for this resource, by its plural, such as `configmaps`.
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        self.resource = Some(plural.to_owned());
        self
    }

    /// Also: for this subresource; the empty one means the object itself.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.subresource = Some(name.to_owned());
        self
    }

    /// Also: in this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Also: for the object of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Also: from clients whose User-Agent begins so.
    #[must_use]
    pub fn user_agent(mut self, prefix: &str) -> Self {
        self.user_agent = Some(prefix.to_owned());
        self
    }

    /// Whether a request is meant.
    #[must_use]
    pub fn matches(&self, request: &Attributes) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        self.verb.is_none_or(|verb| verb == request.verb)
            && same(&self.resource, &request.resource)
            && same(&self.subresource, &request.subresource)
            && same(&self.namespace, &request.namespace)
            && same(&self.name, &request.name)
            && self
                .user_agent
                .as_ref()
                .is_none_or(|prefix| request.user_agent.starts_with(prefix))
    }
}

/// What a request asks for; fields that do not apply are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The verb.
    pub verb: Verb,
    /// API group, empty for the core group.
    pub group: String,
    /// The resource's plural.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The client's User-Agent.
    pub user_agent: String,
    /// Path and query as sent.
    pub uri: String,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// A resource of the table.
    Resource {
        group: String,
        version: String,
        plural: String,
        namespace: String,
        name: String,
        subresource: String,
    },
    /// Everything else.
    Path,
}

impl Target {
    /// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
    pub(crate) fn of(path: &str) -> Self {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let (group, version) = match segments.next() {
            Some("api") => ("", segments.next()),
            Some("apis") => (segments.next().unwrap_or_default(), segments.next()),
            _ => return Self::Path,
        };
        let rest: Vec<&str> = segments.collect();
        let Some(version) = version else { return Self::Path };
        let (namespace, rest) = match rest.as_slice() {
            // These two are subresources of a namespace, not resources in it.
            ["namespaces", _, "status" | "finalize"] => ("", rest.as_slice()),
            ["namespaces", namespace, more @ ..] if !more.is_empty() => (*namespace, more),
            all => ("", all),
        };
        let mut rest = rest.iter().map(|part| decoded(part));
        let Some(plural) = rest.next() else { return Self::Path };
        Self::Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural,
            namespace: decoded(namespace),
            name: rest.next().unwrap_or_default(),
            subresource: rest.next().unwrap_or_default(),
        }
    }
}

fn decoded(text: &str) -> String {
    crate::http::uri::percent_decode(text)
}

/// The verb of a method on a target.
pub(crate) fn verb(method: &str, has_name: bool, parameters: &Parameters) -> Option<Verb> {
    let watch = matches!(parameters.get("watch"), Some("true" | "1"));
    Some(match (method, has_name) {
        // With a name in the path, the real server answers with the object and follows nothing.
        ("GET", true) => Verb::Get,
        ("GET", false) if watch => Verb::Watch,
        ("GET", false) => Verb::List,
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return None,
    })
}

/// A request for a resource of the table.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) resource: Arc<Resource>,
    pub(crate) attributes: Attributes,
    pub(crate) parameters: Parameters,
    pub(crate) accept: String,
    pub(crate) content_type: String,
}

impl Call {
    /// `fieldManager`, else what the User-Agent says before its version.
    pub(crate) fn manager(&self) -> &str {
        let agent = self
            .attributes
            .user_agent
            .split(['/', ' '])
            .next()
            .filter(|name| !name.is_empty());
        self.parameters
            .get("fieldManager")
            .filter(|name| !name.is_empty())
            .or(agent)
            .unwrap_or("unknown")
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.parameters.get("dryRun") == Some("All")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(path: &str) -> [String; 5] {
        match Target::of(path) {
            Target::Resource {
                group,
                plural,
                namespace,
                name,
                subresource,
                ..
            } => [group, plural, namespace, name, subresource],
            Target::Path => Default::default(),
        }
    }

    #[test]
    fn paths_are_read_as_the_real_server_reads_them() {
        assert_eq!(parts("/api/v1/configmaps"), ["", "configmaps", "", "", ""]);
        assert_eq!(parts("/api/v1/namespaces"), ["", "namespaces", "", "", ""]);
        assert_eq!(parts("/api/v1/namespaces/a"), ["", "namespaces", "", "a", ""]);
        assert_eq!(
            parts("/api/v1/namespaces/a/status"),
            ["", "namespaces", "", "a", "status"]
        );
        assert_eq!(
            parts("/api/v1/namespaces/a/pods/p/status"),
            ["", "pods", "a", "p", "status"]
        );
        assert_eq!(
            parts("/apis/apps/v1/namespaces/a/deployments/w"),
            ["apps", "deployments", "a", "w", ""]
        );
        assert_eq!(parts("/api/v1/nodes/n%2Fx"), ["", "nodes", "", "n/x", ""]);
        assert_eq!(Target::of("/apis/apps/v1"), Target::Path);
        assert_eq!(Target::of("/version"), Target::Path);
    }
}
