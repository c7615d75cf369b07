//! What a roll writes into the pod template for Reloader's sake.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::reloader::marker::LAST_RELOADED_FROM;
use crate::reloader::sha1::Sha1;

/// The marks of one roll. Written twice they are the same template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marking {
    /// The `env-vars` strategy. Empty where there is nothing to set or to remove.
    Variables(Box<[Variable]>),
    /// The `annotations` strategy: the value of [`LAST_RELOADED_FROM`].
    LastReloadedFrom(Box<str>),
}

/// One variable of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// The container.
    pub container: Box<str>,
    /// The variable's name.
    pub name: Box<str>,
    /// Its value; `None` takes the variable out.
    pub value: Option<Hash>,
}

/// A hash as the text that it is in a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(Box<str>);

impl From<Sha1> for Hash {
    fn from(hash: Sha1) -> Self {
        Self(hash.to_string().into())
    }
}

impl Hash {
    /// The 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Marking {
    /// The value of [`LAST_RELOADED_FROM`] that is written.
    #[must_use]
    pub fn annotation(&self) -> Option<&str> {
        match self {
            Self::LastReloadedFrom(text) => Some(text),
            Self::Variables(_) => None,
        }
    }

    /// The `spec` of the pod template in a strategic merge patch, if it takes one: lists by name, so that what others
    /// changed meanwhile stays, and a variable that is taken out is found by its name, never by its place.
    #[must_use]
    pub fn spec(&self) -> Option<Value> {
        let Self::Variables(variables) = self else { return None };
        let mut containers: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for variable in variables {
            containers
                .entry(&variable.container)
                .or_default()
                .push(match &variable.value {
                    Some(hash) => json!({"name": variable.name, "value": hash.as_str()}),
                    None => json!({"name": variable.name, "$patch": "delete"}),
                });
        }
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, env)| json!({"name": name, "env": env}))
            .collect();
        (!containers.is_empty()).then(|| json!({"containers": containers}))
    }

    /// Makes the marks in a whole pod template, for kinds that no strategic merge patch can change. A container that
    /// is not there any more gets none.
    pub fn edit(&self, template: &mut Value) {
        if !template.is_object() {
            return;
        }
        match self {
            Self::LastReloadedFrom(text) => annotate(template, text),
            Self::Variables(variables) => variables.iter().for_each(|variable| edit(template, variable)),
        }
    }
}

fn annotate(template: &mut Value, text: &str) {
    if !template["metadata"]["annotations"].is_object() {
        if !template["metadata"].is_object() {
            template["metadata"] = json!({});
        }
        template["metadata"]["annotations"] = json!({});
    }
    template["metadata"]["annotations"][LAST_RELOADED_FROM] = text.into();
}

fn edit(template: &mut Value, variable: &Variable) {
    let containers = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let container = containers.and_then(|containers| {
        let mut all = containers.iter_mut();
        all.find(|container| container["name"] == *variable.container && container.is_object())
    });
    let Some(container) = container else { return };
    let env = container["env"].take();
    let mut env = if let Value::Array(env) = env { env } else { Vec::new() };
    let known = env.iter().position(|entry| entry["name"] == *variable.name);
    match (&variable.value, known) {
        (Some(hash), Some(place)) => env[place] = json!({"name": variable.name, "value": hash.as_str()}),
        (Some(hash), None) => env.push(json!({"name": variable.name, "value": hash.as_str()})),
        (None, Some(place)) => drop(env.remove(place)),
        (None, None) => {}
    }
    if env.is_empty() {
        drop(container.as_object_mut().map(|fields| fields.remove("env")));
    } else {
        container["env"] = env.into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(text: &str) -> Hash {
        Sha1::of([("key", text.as_bytes())]).into()
    }

    fn variable(container: &str, name: &str, value: Option<&str>) -> Variable {
        Variable {
            container: container.into(),
            name: name.into(),
            value: value.map(hash),
        }
    }

    fn template() -> Value {
        json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [
            {"name": "a", "image": "i", "env": [{"name": "OWN", "value": "1"}, {"name": "STAKATER_WEB_CONFIGMAP", "value": "old"}]},
            {"name": "b", "image": "i"},
        ]}})
    }

    #[test]
    fn variables_are_patched_by_name_so_that_nothing_else_moves() {
        let marking = Marking::Variables(
            [
                variable("a", "STAKATER_WEB_CONFIGMAP", Some("1")),
                variable("a", "STAKATER_DB_SECRET", None),
            ]
            .into(),
        );
        let expected = json!({"containers": [{"name": "a", "env": [
            {"name": "STAKATER_WEB_CONFIGMAP", "value": hash("1").as_str()},
            {"name": "STAKATER_DB_SECRET", "$patch": "delete"},
        ]}]});
        assert_eq!((marking.spec(), marking.annotation()), (Some(expected), None));
    }

    #[test]
    fn a_whole_template_is_edited_in_place_and_twice_is_once() {
        let marking = Marking::Variables(
            [
                variable("a", "STAKATER_WEB_CONFIGMAP", Some("1")),
                variable("b", "STAKATER_DB_SECRET", Some("2")),
                variable("gone", "STAKATER_DB_SECRET", Some("2")),
            ]
            .into(),
        );
        let mut edited = template();
        marking.edit(&mut edited);
        let once = edited.clone();
        marking.edit(&mut edited);
        assert_eq!(edited, once);
        assert_eq!(edited["spec"]["containers"][0]["env"][1]["value"], hash("1").as_str());
        assert_eq!(edited["spec"]["containers"][0]["env"][0]["value"], "1");
        assert_eq!(
            edited["spec"]["containers"][1]["env"],
            json!([{"name": "STAKATER_DB_SECRET", "value": hash("2").as_str()}])
        );
        assert_eq!(edited["spec"]["containers"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_variable_that_is_taken_out_leaves_the_others() {
        let marking = Marking::Variables([variable("a", "STAKATER_WEB_CONFIGMAP", None)].into());
        let mut edited = template();
        marking.edit(&mut edited);
        assert_eq!(
            edited["spec"]["containers"][0]["env"],
            json!([{"name": "OWN", "value": "1"}])
        );
        let mut alone =
            json!({"spec": {"containers": [{"name": "a", "env": [{"name": "STAKATER_WEB_CONFIGMAP", "value": "x"}]}]}});
        marking.edit(&mut alone);
        assert_eq!(alone, json!({"spec": {"containers": [{"name": "a"}]}}));
    }

    #[test]
    fn the_annotation_stands_beside_others() {
        let marking = Marking::LastReloadedFrom("{}".into());
        for before in [
            json!({}),
            json!({"metadata": null}),
            template(),
            json!({"metadata": {"annotations": {"x": "y"}}}),
        ] {
            let mut edited = before.clone();
            marking.edit(&mut edited);
            assert_eq!(edited["metadata"]["annotations"][LAST_RELOADED_FROM], "{}");
            assert_eq!(edited["metadata"]["labels"], before["metadata"]["labels"]);
            assert_eq!(
                edited["metadata"]["annotations"]["x"],
                before["metadata"]["annotations"]["x"]
            );
        }
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "[\\[\\]{}\":,a-z0-9]{0,40}", container in "[a-c]", name in "[a-c]") {
            let odd = [json!(null), json!([]), json!("x"), json!({"spec": []}), json!({"spec": {"containers": {}}}),
                json!({"spec": {"containers": [null, 1, "a", {"name": "a", "env": "x"}]}}), json!({"metadata": 1})];
            let typed = serde_json::from_str(&text).unwrap_or(Value::Null);
            for mut template in odd.into_iter().chain([typed]) {
                Marking::Variables([variable(&container, &name, Some("1"))].into()).edit(&mut template);
                Marking::LastReloadedFrom("{}".into()).edit(&mut template);
            }
        }
    }
}
