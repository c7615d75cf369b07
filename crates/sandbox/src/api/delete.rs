//! Delete: at once, with grace for pods, or held up by finalizers.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Server, key};
use crate::clock;
use crate::object;
use crate::resource::Resource;
use crate::status::ApiError;

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

/// The options of a deletion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removal {
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) grace: Option<u64>,
    pub(crate) propagation: Propagation,
    pub(crate) dry_run: bool,
}

impl Removal {
    /// At once, whatever the kind.
    pub(crate) fn now() -> Self {
        Self {
            grace: Some(0),
            ..Self::default()
        }
    }

    /// Options as in a `DeleteOptions` body.
    pub(crate) fn from_body(body: &Value) -> Self {
        let precondition = |key: &str| {
            object::at(body, &["preconditions", key])
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Self {
            uid: precondition("uid"),
            version: precondition("resourceVersion"),
            grace: object::at(body, &["gracePeriodSeconds"]).and_then(Value::as_u64),
            propagation: Propagation::named(object::text(body, &["propagationPolicy"])),
            dry_run: !object::list(body, &["dryRun"]).is_empty(),
        }
    }
}

impl Propagation {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "Foreground" => Self::Foreground,
            "Orphan" => Self::Orphan,
            _ => Self::Background,
        }
    }

    fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some("foregroundDeletion"),
            Self::Orphan => Some("orphan"),
        }
    }
}

/// What a deletion led to.
#[derive(Clone, Debug)]
pub(crate) enum Deleted {
    /// The object is gone; this is its last content.
    Gone(Arc<Value>),
    /// The object stays until its grace or its finalizers are over.
    Going(Arc<Value>),
}

impl Server {
    /// Deletes an object.
    pub(crate) fn delete(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        options: &Removal,
    ) -> Result<Deleted, ApiError> {
        let old = self.get(resource, namespace, name)?;
        check_preconditions(resource, &old, options)?;
        let grace = grace(resource, &old, options);
        let mut new = Value::clone(&old);
        let mut finalizers = object::list(&old, &["metadata", "finalizers"]).to_vec();
        if let Some(finalizer) = options.propagation.finalizer().map(|name| json!(name))
            && !finalizers.contains(&finalizer)
        {
            finalizers.push(finalizer);
            object::set(&mut new, &["metadata", "finalizers"], json!(finalizers));
        }
        // A namespace is emptied before it goes: its own finalizer stands in spec.
        let is_namespace =
            resource.storage().as_ref() == "namespaces" && !object::list(&old, &["spec", "finalizers"]).is_empty();
        if finalizers.is_empty() && grace.is_zero() && !is_namespace {
            if options.dry_run {
                return Ok(Deleted::Gone(old));
            }
            let gone = self.remove(resource, &key(resource, namespace, name));
            return gone
                .map(Deleted::Gone)
                .ok_or_else(|| ApiError::not_found(resource, name));
        }
        self.mark(&old, &mut new, grace);
        if is_namespace {
            object::remove(&mut new, &["metadata", "deletionGracePeriodSeconds"]);
            object::set(&mut new, &["status", "phase"], json!("Terminating"));
        }
        if new == *old || options.dry_run {
            return Ok(Deleted::Going(old));
        }
        Ok(Deleted::Going(self.put(resource, key(resource, namespace, name), new)))
    }

    fn mark(&self, old: &Value, new: &mut Value, grace: Duration) {
        let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let shorter = object::integer(old, &["metadata", "deletionGracePeriodSeconds"]).is_none_or(|s| seconds < s);
        if !object::is_deleting(old) || shorter {
            let until = self.clock.now().checked_add(SignedDuration::from_secs(seconds));
            let until = until.unwrap_or_else(|_| self.clock.now());
            object::set(new, &["metadata", "deletionTimestamp"], json!(clock::seconds(until)));
            object::set(new, &["metadata", "deletionGracePeriodSeconds"], json!(seconds));
            // Deletion counts as a change of what is wanted (registry/rest/delete.go).
            if let Some(generation) = object::integer(old, &["metadata", "generation"]).filter(|g| *g > 0)
                && !object::is_deleting(old)
            {
                object::set(new, &["metadata", "generation"], json!(generation + 1));
            }
        }
    }
}

/// Pods that were given to a node have time to stop; everything else goes at once.
fn grace(resource: &Resource, old: &Value, options: &Removal) -> Duration {
    let is_running_pod = resource.storage().as_ref() == "pods"
        && !object::text(old, &["spec", "nodeName"]).is_empty()
        && !["Succeeded", "Failed"].contains(&object::text(old, &["status", "phase"]));
    if !is_running_pod {
        return Duration::ZERO;
    }
    let own = object::at(old, &["spec", "terminationGracePeriodSeconds"])
        .and_then(Value::as_u64)
        .unwrap_or(30);
    Duration::from_secs(options.grace.unwrap_or(own))
}

fn check_preconditions(resource: &Resource, old: &Value, options: &Removal) -> Result<(), ApiError> {
    let name = object::name(old);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object::uid(old)) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            object::uid(old)
        );
        return Err(ApiError::precondition(resource, name, &why));
    }
    let current = object::text(old, &["metadata", "resourceVersion"]);
    if let Some(version) = options.version.as_deref().filter(|version| *version != current) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
             ({current}). The object might have been modified"
        );
        return Err(ApiError::precondition(resource, name, &why));
    }
    Ok(())
}
