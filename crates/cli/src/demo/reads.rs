//! What the containers of a pod template read, and from where: enough of it for a demo.
//!
//! Deliberately not the controller's own reading of templates: this is the other side, by which it is judged.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A ConfigMap or a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::ConfigMap, Self::Secret];

    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::ConfigMap => "configmap",
            Kind::Secret => "secret",
        };
        write!(f, "{kind}/{}", self.name)
    }
}

/// A value as processes see it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// Of a Secret: never shown, not even here.
    pub(super) secret: bool,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 40;
        if self.secret {
            return write!(f, "(not shown)");
        }
        let text = String::from_utf8_lossy(&self.bytes);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() > MOST {
            let start: String = line.chars().take(MOST).collect();
            return write!(f, "\"{start}…\"");
        }
        write!(f, "\"{line}\"")
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Everything that the objects of a namespace hold, by object and key.
pub(super) type Configs = BTreeMap<Object, BTreeMap<String, Content>>;

/// The keys and values of a ConfigMap or Secret.
pub(super) fn contents(kind: Kind, object: &Value) -> BTreeMap<String, Content> {
    let entries = |field: &str| object[field].as_object().cloned().unwrap_or_default();
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    let plain = |value: &Value| value.as_str().unwrap_or_default().as_bytes().to_vec();
    let secret = kind == Kind::Secret;
    let content = |bytes| Content { bytes, secret };
    let data = entries("data").into_iter().map(|(key, value)| {
        let bytes = if secret { decode(&value) } else { plain(&value) };
        (key, content(bytes))
    });
    let binary = entries("binaryData")
        .into_iter()
        .map(|(key, value)| (key, content(decode(&value))));
    data.chain(binary).collect()
}

/// Where a process finds a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    File { volume: String, path: String },
    Variable { container: String, name: String },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => f.write_str(path),
            Self::Variable { name, .. } => f.write_str(name),
        }
    }
}

/// What a process should find at each place, by the objects as they are now.
pub(super) fn reads(template: &Value, configs: &Configs) -> BTreeMap<Place, Content> {
    let mut found = BTreeMap::new();
    for volume in list(&template["spec"]["volumes"]) {
        files(volume, configs, &mut found);
    }
    for container in list(&template["spec"]["containers"]) {
        variables(container, configs, &mut found);
    }
    found
}

fn files(volume: &Value, configs: &Configs, found: &mut BTreeMap<Place, Content>) {
    let (kind, source, name) = if volume["configMap"].is_object() {
        (Kind::ConfigMap, &volume["configMap"], "name")
    } else {
        (Kind::Secret, &volume["secret"], "secretName")
    };
    let Some(keys) = look_up(configs, kind, &source[name]) else {
        return;
    };
    let mut add = |key: &str, path: &str| {
        if let Some(content) = keys.get(key) {
            let place = Place::File {
                volume: text(&volume["name"]),
                path: path.to_owned(),
            };
            found.insert(place, content.clone());
        }
    };
    match source["items"].as_array() {
        Some(items) => items
            .iter()
            .for_each(|item| add(&text(&item["key"]), &text(&item["path"]))),
        None => keys.keys().for_each(|key| add(key, key)),
    }
}

fn variables(container: &Value, configs: &Configs, found: &mut BTreeMap<Place, Content>) {
    let mut add = |name: String, content: &Content| {
        let place = Place::Variable {
            container: text(&container["name"]),
            name,
        };
        found.insert(place, content.clone());
    };
    for source in list(&container["envFrom"]) {
        for (kind, field) in [(Kind::ConfigMap, "configMapRef"), (Kind::Secret, "secretRef")] {
            for (key, content) in look_up(configs, kind, &source[field]["name"]).into_iter().flatten() {
                add(format!("{}{key}", text(&source["prefix"])), content);
            }
        }
    }
    for variable in list(&container["env"]) {
        for (kind, field) in [(Kind::ConfigMap, "configMapKeyRef"), (Kind::Secret, "secretKeyRef")] {
            let source = &variable["valueFrom"][field];
            let keys = look_up(configs, kind, &source["name"]);
            if let Some(content) = keys.and_then(|keys| keys.get(&text(&source["key"]))) {
                add(text(&variable["name"]), content);
            }
        }
    }
}

fn look_up<'a>(configs: &'a Configs, kind: Kind, name: &Value) -> Option<&'a BTreeMap<String, Content>> {
    configs.get(&Object {
        kind,
        name: name.as_str()?.to_owned(),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configs() -> Configs {
        let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "Mw=="}});
        let secret = json!({"data": {"password": "aHVudGVyMg=="}});
        let object = |kind, name: &str| Object {
            kind,
            name: name.to_owned(),
        };
        Configs::from([
            (object(Kind::ConfigMap, "web"), contents(Kind::ConfigMap, &map)),
            (object(Kind::Secret, "db"), contents(Kind::Secret, &secret)),
        ])
    }

    fn shown(template: &Value) -> Vec<String> {
        reads(template, &configs())
            .iter()
            .map(|(place, content)| format!("{place}={content}"))
            .collect()
    }

    #[test]
    fn files_are_all_keys_of_a_volume_or_its_items() {
        let all = json!({"spec": {"volumes": [{"name": "v", "configMap": {"name": "web"}}, {"name": "tmp", "emptyDir": {}}]}});
        assert_eq!(shown(&all), ["a=\"1\"", "b=\"2\"", "c=\"3\""]);
        let items = json!({"spec": {"volumes": [{"name": "v", "configMap": {"name": "web", "items": [{"key": "b", "path": "x/y"}]}}]}});
        assert_eq!(shown(&items), ["x/y=\"2\""]);
    }

    #[test]
    fn variables_are_single_keys_or_whole_objects_and_secrets_are_not_shown() {
        let template = json!({"spec": {"containers": [{"name": "app",
            "envFrom": [{"prefix": "WEB_", "configMapRef": {"name": "web"}}, {"configMapRef": {"name": "gone"}}],
            "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                    {"name": "PLAIN", "value": "x"}]}]}});
        assert_eq!(
            shown(&template),
            ["PASSWORD=(not shown)", "WEB_a=\"1\"", "WEB_b=\"2\"", "WEB_c=\"3\""]
        );
    }

    #[test]
    fn a_long_value_is_cut_to_one_short_line() {
        let content = Content {
            bytes: "word \n".repeat(50).into_bytes(),
            secret: false,
        };
        let line = content.to_string();
        assert!(
            line.ends_with("…\"") && line.chars().count() == 43 && !line.contains('\n'),
            "{line}"
        );
    }
}
