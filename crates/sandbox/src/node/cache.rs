//! The node's view of ConfigMaps and Secrets, which lags behind the API server's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::object;
use crate::store::{Change, Kind, Store};

/// A ConfigMap or Secret: its storage, namespace and name.
pub(super) type Name = (&'static str, String, String);

/// What the pods of the node use, as the node knows it.
#[derive(Debug, Default)]
pub(super) struct Cache {
    objects: BTreeMap<Name, Option<Arc<Value>>>,
    coming: VecDeque<(Instant, Name, Option<Arc<Value>>)>,
}

impl Cache {
    /// Begins to follow what a pod uses; what was unknown is read at once.
    pub(super) fn follow(&mut self, store: &Store, names: &BTreeSet<Name>) {
        for name in names {
            let (storage, namespace, object) = name;
            let read = || store.get(storage, &(namespace.clone(), object.clone())).cloned();
            self.objects.entry(name.clone()).or_insert_with(read);
        }
    }

    /// Forgets what no pod uses any more.
    pub(super) fn retain(&mut self, used: &BTreeSet<Name>) {
        self.objects.retain(|name, _| used.contains(name));
        self.coming.retain(|(_, name, _)| used.contains(name));
    }

    /// Takes note of a change, which becomes visible after the lag.
    pub(super) fn note(&mut self, change: &Change, lag: Duration) {
        let storage = match &*change.storage {
            "configmaps" => "configmaps",
            "secrets" => "secrets",
            _ => return,
        };
        let value = &change.after;
        let name = (
            storage,
            object::namespace(value).to_owned(),
            object::name(value).to_owned(),
        );
        let Some(known) = self.objects.get(&name) else { return };
        // The kubelet stops watching an immutable object, so it sees neither its deletion nor its successor.
        if known.as_ref().is_some_and(|known| object::flag(known, &["immutable"])) {
            return;
        }
        let content = (change.kind != Kind::Deleted).then(|| value.clone());
        self.coming.push_back((Instant::now() + lag, name, content));
    }

    /// Makes visible what has arrived by now.
    pub(super) fn arrive(&mut self) {
        let now = Instant::now();
        while self.coming.front().is_some_and(|(at, _, _)| *at <= now) {
            if let Some((_, name, content)) = self.coming.pop_front() {
                self.objects.insert(name, content);
            }
        }
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Arc<Value>> {
        self.objects.get(name)?.as_ref()
    }
}

/// The ConfigMaps and Secrets that a pod names anywhere.
pub(super) fn used_by(pod: &Value) -> BTreeSet<Name> {
    let namespace = object::namespace(pod);
    let mut names = BTreeSet::new();
    let mut add = |storage: &'static str, name: &str| {
        if !name.is_empty() {
            names.insert((storage, namespace.to_owned(), name.to_owned()));
        }
    };
    let mut source = |source: &Value| {
        add("configmaps", object::text(source, &["configMap", "name"]));
        add("secrets", object::text(source, &["secret", "secretName"]));
        add("secrets", object::text(source, &["secret", "name"]));
        add("configmaps", object::text(source, &["configMapRef", "name"]));
        add("secrets", object::text(source, &["secretRef", "name"]));
        add(
            "configmaps",
            object::text(source, &["valueFrom", "configMapKeyRef", "name"]),
        );
        add("secrets", object::text(source, &["valueFrom", "secretKeyRef", "name"]));
    };
    for volume in object::list(pod, &["spec", "volumes"]) {
        source(volume);
        object::list(volume, &["projected", "sources"])
            .iter()
            .for_each(&mut source);
    }
    for containers in ["containers", "initContainers"] {
        for container in object::list(pod, &["spec", containers]) {
            for field in ["env", "envFrom"] {
                object::list(container, &[field]).iter().for_each(&mut source);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_way_to_name_an_object_is_found() {
        let pod = json!({"metadata": {"namespace": "n"}, "spec": {
            "volumes": [{"configMap": {"name": "a"}}, {"projected": {"sources": [{"secret": {"name": "b"}}]}}, {"secret": {"secretName": "c"}}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "d", "key": "k"}}}], "envFrom": [{"configMapRef": {"name": "e"}}]}],
            "initContainers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "f", "key": "k"}}}], "envFrom": [{"secretRef": {"name": "g"}}]}],
        }});
        let names: Vec<_> = used_by(&pod)
            .into_iter()
            .map(|(storage, _, name)| format!("{storage}/{name}"))
            .collect();
        assert_eq!(
            names,
            [
                "configmaps/a",
                "configmaps/e",
                "configmaps/f",
                "secrets/b",
                "secrets/c",
                "secrets/d",
                "secrets/g"
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn changes_arrive_late_and_those_of_immutable_objects_never() {
        let mut store = Store::new(100);
        let maps: Arc<str> = "configmaps".into();
        let key = |name: &str| ("n".to_owned(), name.to_owned());
        let value = |name: &str, k: &str, fixed: bool| json!({"metadata": {"namespace": "n", "name": name}, "data": {"k": k}, "immutable": fixed});
        store.put(&maps, key("a"), value("a", "1", false));
        store.put(&maps, key("b"), value("b", "1", true));
        let names: BTreeSet<Name> = ["a", "b"]
            .map(|name| ("configmaps", "n".to_owned(), name.to_owned()))
            .into();
        let mut cache = Cache::default();
        cache.follow(&store, &names);
        let from = store.revision();
        store.put(&maps, key("a"), value("a", "2", false));
        store.put(&maps, key("b"), value("b", "2", false));
        let lag = Duration::from_millis(50);
        store.since(from).unwrap().for_each(|change| cache.note(change, lag));
        let seen = |cache: &Cache| {
            names
                .iter()
                .map(|name| cache.get(name).unwrap()["data"]["k"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        cache.arrive();
        assert_eq!(seen(&cache), ["1", "1"]);
        tokio::time::advance(lag).await;
        cache.arrive();
        assert_eq!(seen(&cache), ["2", "1"]);
    }
}
