//! Create, update and patch.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Server, key};
use crate::convert;
use crate::managed::{self, Manager};
use crate::object;
use crate::patch::{self, Patch};
use crate::resource::Resource;
use crate::status::ApiError;
use crate::strategy::{self, Door};
use crate::validate;

/// The options of a write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) door: Door,
}

impl Write {
    /// A write through the main door.
    pub(crate) fn by(manager: &str) -> Self {
        Self {
            manager: manager.to_owned(),
            dry_run: false,
            door: Door::Main,
        }
    }

    /// The same write through the status subresource.
    pub(crate) fn through_status(mut self) -> Self {
        self.door = Door::Status;
        self
    }
}

impl Server {
    /// Creates an object.
    pub(crate) fn create(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        body: Value,
        write: &Write,
    ) -> Result<Arc<Value>, ApiError> {
        expect_kind(resource, &body)?;
        validate::shape(resource, &body)?;
        let mut value = body;
        place(resource, namespace, &mut value)?;
        strategy::decode(resource, &mut value);
        let asked = object::text(&value, &["metadata", "generateName"]).to_owned();
        if object::name(&value).is_empty() && !asked.is_empty() {
            let name = format!("{asked}{}", self.random.suffix());
            object::set(&mut value, &["metadata", "name"], json!(name));
        }
        // Before the server's own additions, which nobody owns.
        self.record(resource, None, &mut value, write);
        strategy::prepare_create(resource, &mut value);
        let name = object::name(&value).to_owned();
        let causes = validate::created(resource, &value);
        if !causes.is_empty() {
            return Err(ApiError::invalid(resource, &name, &causes));
        }
        self.check_namespace(resource, namespace, &name)?;
        let key = key(resource, namespace, &name);
        if let Some(there) = self.store.get(resource.storage(), &key) {
            return Err(ApiError::already_exists(resource, &name, object::is_deleting(there)));
        }
        object::remove(&mut value, &["metadata", "resourceVersion"]);
        let uid = self.random.uid();
        object::set(&mut value, &["metadata", "uid"], json!(uid));
        object::set(
            &mut value,
            &["metadata", "creationTimestamp"],
            json!(self.clock.stamp()),
        );
        strategy::finish_create(resource, &mut value);
        let value = convert::to_stored(resource, value);
        if write.dry_run {
            return Ok(Arc::new(value));
        }
        Ok(self.put(resource, key, value))
    }

    /// Replaces an object; Leases and Events are created where missing, as the real server does. Says whether it was.
    pub(crate) fn update(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        body: Value,
        write: &Write,
    ) -> Result<(Arc<Value>, bool), ApiError> {
        expect_kind(resource, &body)?;
        validate::shape(resource, &body)?;
        let mut value = body;
        if object::name(&value) != name {
            let why = format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                object::name(&value)
            );
            return Err(ApiError::bad_request(why));
        }
        place(resource, namespace, &mut value)?;
        let creates = ["leases", "events"].contains(&resource.plural.as_str());
        match self.get(resource, namespace, name) {
            Ok(old) => {
                let (asked, found) = (object::uid(&value), object::uid(&old));
                if !asked.is_empty() && asked != found {
                    return Err(ApiError::other_incarnation(resource, namespace, name, asked, found));
                }
                self.replace(resource, &old, value, write).map(|stored| (stored, false))
            }
            Err(_) if creates && write.door == Door::Main => self
                .create(resource, namespace, value, write)
                .map(|stored| (stored, true)),
            Err(missing) => Err(missing),
        }
    }

    /// Applies a patch to an object.
    pub(crate) fn patch(
        &mut self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        patch: &Patch,
        write: &Write,
    ) -> Result<Arc<Value>, ApiError> {
        if resource.custom && matches!(patch, Patch::Strategic(_)) {
            return Err(ApiError::unsupported_media(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
        let old = self.get(resource, namespace, name)?;
        if let Patch::Merge(body) = patch
            && body.is_object()
            && !resource.is_new_event()
            && patch::is_merged(&old, body)
        {
            return Ok(old);
        }
        let mut value = patch.apply(&convert::to_shown(resource, &old))?;
        validate::shape(resource, &value).map_err(|error| ApiError::unprocessable(error.message))?;
        place(resource, namespace, &mut value)?;
        if object::name(&value) != name {
            let why = format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                object::name(&value)
            );
            return Err(ApiError::bad_request(why));
        }
        self.replace(resource, &old, value, write)
    }

    fn replace(
        &mut self,
        resource: &Arc<Resource>,
        old: &Arc<Value>,
        mut new: Value,
        write: &Write,
    ) -> Result<Arc<Value>, ApiError> {
        let shown = convert::to_shown(resource, old);
        let name = object::name(&shown).to_owned();
        match object::text(&new, &["metadata", "resourceVersion"]) {
            "" | "0" if needs_version(resource) => {
                return Err(ApiError::version_required(resource, &name));
            }
            "" | "0" => {}
            given if given != object::text(&shown, &["metadata", "resourceVersion"]) => {
                return Err(ApiError::modified(resource, &name));
            }
            _ => {}
        }
        strategy::decode(resource, &mut new);
        strategy::prepare_update(resource, write.door, &shown, &mut new);
        let causes = validate::updated(resource, &shown, &new);
        if !causes.is_empty() {
            return Err(ApiError::invalid(resource, &name, &causes));
        }
        object::copy(&mut new, &shown, &["metadata", "resourceVersion"]);
        if new == *shown {
            return Ok(old.clone());
        }
        self.record(resource, Some(&shown), &mut new, write);
        strategy::finish_update(resource, write.door, &shown, &mut new);
        let value = convert::to_stored(resource, new);
        if write.dry_run {
            return Ok(Arc::new(value));
        }
        let key = key(resource, object::namespace(&value), &name);
        let is_released = object::is_deleting(&value)
            && object::list(&value, &["metadata", "finalizers"]).is_empty()
            && !object::list(old, &["metadata", "finalizers"]).is_empty()
            && object::integer(&value, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0;
        if is_released {
            self.remove(resource, &key);
            return Ok(Arc::new(value));
        }
        Ok(self.put(resource, key, value))
    }

    fn record(&self, resource: &Resource, old: Option<&Value>, new: &mut Value, write: &Write) {
        let (api_version, time) = (resource.api_version(), self.clock.stamp());
        let subresource = write.door.subresource();
        let manager = Manager {
            name: &write.manager,
            api_version: &api_version,
            subresource,
            time: &time,
            has_status: resource.status,
            keyed_lists: !resource.custom,
        };
        managed::record(old, new, &manager);
    }

    fn check_namespace(&self, resource: &Resource, namespace: &str, name: &str) -> Result<(), ApiError> {
        if !resource.namespaced {
            return Ok(());
        }
        let namespaces = self.resource("", "v1", "namespaces")?;
        let home = self.get(&namespaces, "", namespace)?;
        if object::is_deleting(&home) {
            return Err(ApiError::terminating(resource, name, namespace));
        }
        Ok(())
    }
}

/// `AllowUnconditionalUpdate` is false for Leases and custom resources.
fn needs_version(resource: &Resource) -> bool {
    resource.custom || resource.plural == "leases"
}

fn expect_kind(resource: &Resource, body: &Value) -> Result<(), ApiError> {
    let (version, kind) = (object::text(body, &["apiVersion"]), object::text(body, &["kind"]));
    if !kind.is_empty() && (kind != resource.kind || version != resource.api_version()) {
        return Err(ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}: the object provided is unrecognized",
            resource.kind
        )));
    }
    Ok(())
}

/// Puts the request's namespace into the object, refusing another one.
fn place(resource: &Resource, namespace: &str, value: &mut Value) -> Result<(), ApiError> {
    if !resource.namespaced {
        object::remove(value, &["metadata", "namespace"]);
        return Ok(());
    }
    match object::namespace(value) {
        "" => {
            object::set(value, &["metadata", "namespace"], json!(namespace));
            Ok(())
        }
        same if same == namespace => Ok(()),
        _ => Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}
