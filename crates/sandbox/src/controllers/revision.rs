//! Template hashes, and the ControllerRevisions of StatefulSets and DaemonSets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::actor::Actor;
use super::pods;
use crate::object;
use crate::random::{fnv, safe_encode};

/// The label that names a Deployment's template.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";
/// The label that names the revision a StatefulSet's or DaemonSet's pod was made from.
pub(super) const REVISION_HASH: &str = "controller-revision-hash";

/// The hash of a template; `collisions` tells apart templates that share one.
pub(super) fn hash(template: &Value, collisions: i64) -> String {
    // The low 32 bits, because the real one is 32 bits wide as well. serde_json's maps are sorted, so this is stable.
    let salted = format!(
        "{template}{}",
        if collisions > 0 {
            collisions.to_string()
        } else {
            String::new()
        }
    );
    safe_encode(fnv(salted.as_bytes()) & 0xffff_ffff)
}

/// The revision of a set's current template, made if it is new, and brought to the front if it is old.
pub(super) fn current(actor: &mut Actor<'_>, set: &Value) -> Option<Arc<Value>> {
    let template = &set["spec"]["template"];
    let known = actor.controlled("controllerrevisions.apps", set);
    let number = |revision: &Value| object::integer(revision, &["revision"]).unwrap_or(0);
    let newest = known.iter().map(|revision| number(revision)).max().unwrap_or(0);
    let same = known
        .iter()
        .find(|revision| revision["data"]["spec"]["template"] == *template);
    match same {
        Some(found) if number(found) == newest => Some(found.clone()),
        Some(found) => actor.patch("controllerrevisions", found, json!({"revision": newest + 1})),
        None => {
            let hash = hash(template, 0);
            let labels = object::at(template, &["metadata", "labels"])
                .cloned()
                .unwrap_or_else(|| json!({}));
            let mut body = json!({
                "metadata": {
                    "name": format!("{}-{hash}", object::name(set)), "labels": labels,
                    "ownerReferences": [pods::owner_reference(set)],
                },
                "data": {"spec": {"template": template}}, "revision": newest + 1,
            });
            object::set(&mut body, &["metadata", "labels", REVISION_HASH], json!(hash));
            trim(actor, set, known);
            actor.create("controllerrevisions", object::namespace(set), body)
        }
    }
}

/// Deletes the oldest revisions beyond the history limit.
fn trim(actor: &mut Actor<'_>, set: &Value, mut known: Vec<Arc<Value>>) {
    let limit = object::integer(set, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
    let limit = usize::try_from(limit).unwrap_or(0);
    known.sort_by_key(|revision| object::integer(revision, &["revision"]));
    let surplus = known.len().saturating_sub(limit);
    for revision in known.iter().take(surplus) {
        actor.delete("controllerrevisions", revision);
    }
}

/// The hash in the name of a revision, which is also the value of the label on its pods.
pub(super) fn label(revision: &Value) -> &str {
    object::text(revision, &["metadata", "labels", REVISION_HASH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_template_and_on_collisions() {
        let one = json!({"a": 1, "b": 2});
        assert_eq!(hash(&one, 0), hash(&json!({"b": 2, "a": 1}), 0));
        assert_ne!(hash(&one, 0), hash(&json!({"a": 2}), 0));
        assert_ne!(hash(&one, 0), hash(&one, 1));
    }
}
