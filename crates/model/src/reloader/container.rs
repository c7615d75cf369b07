//! Which container bears the mark of an object: Reloader's own order of search (its upgrade.go, `getContainerUsingResource`).

use crate::name::{ConfigKind, ConfigRef};
use crate::template::{Container, EnvFrom, EnvVarSource, PodSpec, Volume};

/// The container that bears the object's mark: the one that Reloader finds using it, else the first one. `None` only
/// where there is no container.
#[must_use]
pub fn bearer<'a>(spec: &'a PodSpec, object: &ConfigRef) -> Option<&'a Container> {
    user(spec, object).or(spec.containers.first())
}

/// The container that Reloader finds using the object; the first one where only an init container does. Volumes come
/// before variables, and of the volumes only the first one of the object counts.
#[must_use]
pub fn user<'a>(spec: &'a PodSpec, object: &ConfigRef) -> Option<&'a Container> {
    by_volume(spec, object).or_else(|| by_variable(spec, object))
}

fn by_volume<'a>(spec: &'a PodSpec, object: &ConfigRef) -> Option<&'a Container> {
    let volume = spec.volumes.iter().find(|volume| is_of(volume, object))?;
    let mounts = |container: &&Container| container.volume_mounts.iter().any(|mount| mount.name == volume.name);
    first_or_init(spec, mounts)
}

fn by_variable<'a>(spec: &'a PodSpec, object: &ConfigRef) -> Option<&'a Container> {
    let takes = |container: &&Container| {
        let sources = container.env.iter().filter_map(|variable| variable.value_from.as_ref());
        sources
            .map(|from| by_key(from, object.kind))
            .any(|name| name == Some(object.name.as_str()))
            || container
                .env_from
                .iter()
                .any(|from| whole(from, object.kind) == Some(object.name.as_str()))
    };
    first_or_init(spec, takes)
}

fn first_or_init(spec: &PodSpec, uses: impl Fn(&&Container) -> bool) -> Option<&Container> {
    let init = || spec.init_containers.iter().find(&uses).and(spec.containers.first());
    spec.containers.iter().find(&uses).or_else(init)
}

fn is_of(volume: &Volume, object: &ConfigRef) -> bool {
    let name = object.name.as_str();
    let mut projected = volume.projected.iter().flat_map(|projected| &projected.sources);
    match object.kind {
        ConfigKind::ConfigMap => {
            volume.config_map.as_ref().is_some_and(|source| &*source.name == name)
                || projected.any(|source| source.config_map.as_ref().is_some_and(|source| &*source.name == name))
        }
        ConfigKind::Secret => {
            volume
                .secret
                .as_ref()
                .is_some_and(|source| &*source.secret_name == name)
                || projected.any(|source| source.secret.as_ref().is_some_and(|source| &*source.name == name))
        }
        ConfigKind::SecretProviderClass => {
            let attributes = volume.csi.as_ref().and_then(|csi| csi.volume_attributes.as_ref());
            attributes.is_some_and(|attributes| attributes.secret_provider_class.as_deref() == Some(name))
        }
    }
}

fn by_key(from: &EnvVarSource, kind: ConfigKind) -> Option<&str> {
    let key = match kind {
        ConfigKind::ConfigMap => &from.config_map_key_ref,
        ConfigKind::Secret => &from.secret_key_ref,
        ConfigKind::SecretProviderClass => return None,
    };
    key.as_ref().map(|key| &*key.name)
}

fn whole(from: &EnvFrom, kind: ConfigKind) -> Option<&str> {
    let object = match kind {
        ConfigKind::ConfigMap => &from.config_map_ref,
        ConfigKind::Secret => &from.secret_ref,
        ConfigKind::SecretProviderClass => return None,
    };
    object.as_ref().map(|object| &*object.name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, map: &str) -> Value {
        json!({"name": name, "configMap": {"name": map}})
    }

    fn mounting(name: &str, volume: &str) -> Value {
        json!({"name": name, "volumeMounts": [{"name": volume, "mountPath": "/x"}]})
    }

    fn plain(name: &str) -> Value {
        json!({"name": name})
    }

    fn taking(name: &str) -> Value {
        json!({"name": name, "envFrom": [{"configMapRef": {"name": "web"}}]})
    }

    fn keyed(name: &str) -> Value {
        json!({"name": name, "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}}]})
    }

    /// Section 4 of the behaviour to match, row by row, for `configmap/web`: who uses it, and who bears its mark.
    #[rstest]
    #[case::a_mount_of_its_volume(
        json!({"containers": [plain("a"), mounting("b", "v")], "volumes": [volume("v", "web")]}), Some("b"), Some("b"))]
    #[case::a_mount_of_a_projected_volume(
        json!({"containers": [plain("a"), mounting("b", "v")],
               "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "web"}}, {"configMap": {"name": "web"}}]}}]}),
        Some("b"), Some("b"))]
    #[case::a_volume_comes_before_a_variable(
        json!({"containers": [taking("a"), mounting("b", "v")], "volumes": [volume("v", "web")]}), Some("b"), Some("b"))]
    #[case::an_init_container_that_mounts_stands_for_the_first(
        json!({"containers": [plain("a"), taking("b")], "initContainers": [mounting("i", "v")], "volumes": [volume("v", "web")]}),
        Some("a"), Some("a"))]
    #[case::of_two_volumes_only_the_first_counts_so_a_variable_is_next(
        json!({"containers": [mounting("a", "w"), taking("b")], "volumes": [volume("v", "web"), volume("w", "web")]}),
        Some("b"), Some("b"))]
    #[case::a_volume_of_another_object(
        json!({"containers": [plain("a"), mounting("b", "v")], "volumes": [volume("v", "other")]}), None, Some("a"))]
    #[case::the_secret_of_the_same_name(
        json!({"containers": [plain("a"), mounting("b", "v")], "volumes": [{"name": "v", "secret": {"secretName": "web"}}]}),
        None, Some("a"))]
    #[case::env_from(json!({"containers": [plain("a"), taking("b"), keyed("c")]}), Some("b"), Some("b"))]
    #[case::one_key(json!({"containers": [plain("a"), keyed("b"), taking("c")]}), Some("b"), Some("b"))]
    #[case::a_container_before_an_init_container(
        json!({"containers": [plain("a"), keyed("b")], "initContainers": [taking("i")]}), Some("b"), Some("b"))]
    #[case::an_init_container_that_takes_stands_for_the_first(
        json!({"containers": [plain("a"), plain("b")], "initContainers": [taking("i")]}), Some("a"), Some("a"))]
    #[case::nobody_uses_it(json!({"containers": [plain("a"), plain("b")]}), None, Some("a"))]
    #[case::no_container(json!({"initContainers": [taking("i")]}), None, None)]
    fn the_bearer_is_found_in_reloaders_order(
        #[case] spec: Value,
        #[case] uses: Option<&str>,
        #[case] bears: Option<&str>,
    ) {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let object = "configmap/web".parse().unwrap();
        let name = |container: Option<&Container>| container.map(|container| container.name.to_string());
        assert_eq!(name(user(&spec, &object)).as_deref(), uses);
        assert_eq!(name(bearer(&spec, &object)).as_deref(), bears);
    }

    #[rstest]
    #[case(json!({"name": "b", "envFrom": [{"secretRef": {"name": "web"}}]}), json!([]))]
    #[case(json!({"name": "b", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "web", "key": "a"}}}]}), json!([]))]
    #[case(mounting("b", "v"), json!([{"name": "v", "secret": {"secretName": "web"}}]))]
    #[case(mounting("b", "v"), json!([{"name": "v", "projected": {"sources": [{"secret": {"name": "web"}}]}}]))]
    fn a_secret_is_found_in_the_same_places(#[case] container: Value, #[case] volumes: Value) {
        let spec = json!({"containers": [plain("a"), container], "volumes": volumes});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let found = user(&spec, &"secret/web".parse().unwrap()).map(|container| &*container.name);
        assert_eq!(found, Some("b"));
    }
}
