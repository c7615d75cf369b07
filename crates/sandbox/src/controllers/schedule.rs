//! The scheduler: gives each pending pod to the node that has fewest.

use serde_json::{Value, json};

use super::actor::Actor;
use crate::object;

pub(super) fn reconcile(actor: &mut Actor<'_>, pod: &Value) {
    if !object::text(pod, &["spec", "nodeName"]).is_empty() || object::is_deleting(pod) {
        return;
    }
    let store = &actor.server.store;
    let load = |node: &str| {
        store
            .list("pods")
            .filter(|(_, pod)| object::text(pod, &["spec", "nodeName"]) == node)
            .count()
    };
    let nodes = store.list("nodes").filter(|(_, node)| fits(pod, node));
    let Some(node) = nodes
        .map(|((_, name), _)| name.clone())
        .min_by_key(|name| (load(name), name.clone()))
    else {
        return;
    };
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": actor.stamp()});
    if let Some(bound) = actor.patch("pods", pod, json!({"spec": {"nodeName": node}})) {
        actor.patch_status("pods", &bound, json!({"status": {"conditions": [scheduled]}}));
    }
}

/// Whether the node bears the labels of the pod's `nodeSelector`.
pub(super) fn fits(pod: &Value, node: &Value) -> bool {
    let mut wanted = object::map_at(pod, &["spec", "nodeSelector"]).into_iter().flatten();
    wanted.all(|(key, value)| object::at(node, &["metadata", "labels", key]) == Some(value))
}
