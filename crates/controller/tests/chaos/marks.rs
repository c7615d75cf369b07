//! Reloader's marks, as the test knows them by itself.

use std::collections::{BTreeMap, BTreeSet};

use afresh_model::reloader::marks::Strategy;
use afresh_model::reloader::sha1::Sha1;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::model::{Contents, Data, Object, ObjectKind, Use, Workload, is_binary};

const LAST: &str = "reloader.stakater.com/last-reloaded-from";

/// Every content that an object ever had.
#[derive(Debug, Default)]
pub(crate) struct History(BTreeMap<Object, Vec<Data>>);

impl History {
    pub(crate) fn note(&mut self, contents: &Contents) {
        for (&object, data) in contents {
            let known = self.0.entry(object).or_default();
            if known.last() != Some(data) {
                known.push(data.clone());
            }
        }
    }

    /// Whether the mark is that of a content which differs from the current one at most in what the workload is not
    /// rolled for: files that are refreshed, keys that nobody uses.
    fn explains(&self, workload: &Workload, contents: &Contents, object: Object, mark: &str) -> bool {
        let current = workload.frozen_view(contents);
        self.0[&object].iter().any(|data| {
            let mut then = contents.clone();
            then.insert(object, data.clone());
            sha1(object, data) == mark && workload.frozen_view(&then) == current
        })
    }
}

fn sha1(object: Object, data: &Data) -> String {
    let lines: Vec<(&str, Vec<u8>)> = data
        .iter()
        .map(|(key, value)| match object.kind {
            ObjectKind::ConfigMap if is_binary(key) => (key.as_str(), STANDARD.encode(value).into_bytes()),
            _ => (key.as_str(), value.clone().into_bytes()),
        })
        .collect();
    Sha1::of(lines.iter().map(|(key, value)| (*key, value.as_slice()))).to_string()
}

const fn type_word(object: Object) -> &'static str {
    match object.kind {
        ObjectKind::ConfigMap => "CONFIGMAP",
        ObjectKind::Secret => "SECRET",
    }
}

fn variable(object: Object) -> String {
    format!("STAKATER_{}_{}", object.name().to_ascii_uppercase(), type_word(object))
}

fn objects(workload: &Workload) -> BTreeSet<Object> {
    let uses = workload.uses.iter();
    uses.flat_map(|usage| match usage {
        Use::Projected(first, second) => vec![*first, *second],
        other => vec![other.object()],
    })
    .collect()
}

/// The marks that Reloader left when it brought the workload up to these contents.
pub(crate) fn leave(object: &mut Value, workload: &Workload, contents: &Contents, strategy: Strategy) {
    let Some(template) = object.pointer_mut("/spec/template").filter(|_| workload.is_rolled()) else {
        return;
    };
    match strategy {
        Strategy::EnvVars => {
            let env = template["spec"]["containers"][0]["env"].as_array_mut().unwrap();
            let marks = objects(workload).into_iter();
            env.extend(
                marks.map(|object| json!({"name": variable(object), "value": sha1(object, &contents[&object])})),
            );
        }
        Strategy::Annotations => {
            let object = workload.uses[0].object();
            let last = json!({"type": type_word(object), "name": object.name(), "namespace": "prod",
                "hash": sha1(object, &contents[&object]), "containerRefs": ["app"], "observedAt": 1_000_000_000});
            template["metadata"]["annotations"][LAST] = json!(last.to_string());
        }
    }
}

/// The marks in a template, each with the object that it speaks of.
fn marks(template: &Value, workload: &Workload, strategy: Strategy) -> Vec<(Object, String)> {
    match strategy {
        Strategy::EnvVars => {
            let env: Vec<&Value> = template["spec"]["containers"][0]["env"]
                .as_array()
                .into_iter()
                .flatten()
                .collect();
            let mark = |object: Object| {
                let found = env.iter().find(|entry| entry["name"] == variable(object))?;
                Some((object, found["value"].as_str()?.to_owned()))
            };
            objects(workload).into_iter().filter_map(mark).collect()
        }
        Strategy::Annotations => {
            let text = template["metadata"]["annotations"][LAST].as_str().unwrap_or("{}");
            let last: Value = serde_json::from_str(text).unwrap();
            let named = |object: &Object| last["name"] == object.name() && last["type"] == type_word(*object);
            let object = objects(workload).into_iter().find(named);
            object
                .map(|object| (object, last["hash"].as_str().unwrap().to_owned()))
                .into_iter()
                .collect()
        }
    }
}

/// What is wrong with the marks of a workload that was, or was not, rolled since it bears none of its owner's.
pub(crate) fn check(
    template: &Value,
    workload: &Workload,
    strategy: Strategy,
    (contents, history): (&Contents, &History),
    rolled: bool,
) -> Result<(), String> {
    let (name, marks) = (&workload.name, marks(template, workload, strategy));
    if rolled && marks.is_empty() {
        return Err(format!("{name} was rolled and bears no mark: {template}"));
    }
    for (object, mark) in marks {
        if !history.explains(workload, contents, object, &mark) {
            return Err(format!(
                "{name} bears {mark} for {object:?}, which is none that it could have now"
            ));
        }
    }
    Ok(())
}
