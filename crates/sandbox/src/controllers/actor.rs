//! The hands of a controller: short forms of what it reads and writes.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{Removal, Server, Write};
use crate::object;
use crate::patch::Patch;
use crate::resource::Resource;

/// What controllers sign their writes with.
const MANAGER: &str = "kube-controller-manager";

/// A controller's view of the server.
///
/// Writes that are refused are dropped: the state they answered to has changed, and a change brings the next step.
pub(super) struct Actor<'a> {
    pub(super) server: &'a mut Server,
}

impl<'a> Actor<'a> {
    pub(super) fn new(server: &'a mut Server) -> Self {
        Self { server }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.server.clock.now()
    }

    pub(super) fn stamp(&self) -> String {
        self.server.clock.stamp()
    }

    /// The objects of a resource that `owner` controls, in order of name.
    pub(super) fn controlled(&self, storage: &str, owner: &Value) -> Vec<Arc<Value>> {
        let uid = object::uid(owner);
        let own = |value: &Arc<Value>| object::controller_of(value).is_some_and(|owner| object::uid_of(owner) == uid);
        self.server
            .store
            .list_in(storage, object::namespace(owner))
            .filter(|value| own(value))
            .cloned()
            .collect()
    }

    pub(super) fn create(&mut self, resource: &str, namespace: &str, body: Value) -> Option<Arc<Value>> {
        let resource = self.resource(resource)?;
        self.server.create(&resource, namespace, body, &Write::by(MANAGER)).ok()
    }

    pub(super) fn patch(&mut self, resource: &str, object: &Value, patch: Value) -> Option<Arc<Value>> {
        self.write(resource, object, patch, &Write::by(MANAGER))
    }

    pub(super) fn patch_status(&mut self, resource: &str, object: &Value, patch: Value) -> Option<Arc<Value>> {
        self.write(resource, object, patch, &Write::by(MANAGER).through_status())
    }

    fn write(&mut self, resource: &str, object: &Value, patch: Value, write: &Write) -> Option<Arc<Value>> {
        let resource = self.resource(resource)?;
        let (namespace, name) = (object::namespace(object), object::name(object));
        self.server
            .patch(&resource, namespace, name, &Patch::Merge(patch), write)
            .ok()
    }

    pub(super) fn delete(&mut self, resource: &str, object: &Value) {
        if let Some(resource) = self.resource(resource) {
            let options = Removal {
                uid: Some(object::uid(object).to_owned()),
                ..Removal::default()
            };
            // Gone or replaced already is what was wanted.
            drop(
                self.server
                    .delete(&resource, object::namespace(object), object::name(object), &options),
            );
        }
    }

    /// Lets a namespace go that is empty.
    pub(super) fn finalize_namespace(&mut self, namespace: &Value) {
        self.patch("namespaces", namespace, json!({"spec": {"finalizers": null}}));
        self.delete("namespaces", namespace);
    }

    fn resource(&self, name: &str) -> Option<Arc<Resource>> {
        self.server.registry.by_name(name)
    }
}
