//! After any order of events the index equals one built from what there is.

use std::collections::BTreeMap;

use afresh_model::name::WorkloadKind;
use afresh_model::time::Revision;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fixture::{Build, config_key, deployment, object};

#[derive(Debug, Clone)]
enum Event {
    Object(u8, u8),
    ObjectGone(u8),
    Workload(u8, u8, Vec<u8>, bool),
    WorkloadGone(u8),
    ListObjects,
    ListWorkloads,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..4u8, 0..3u8).prop_map(|(object, content)| Event::Object(object, content)),
        (0..4u8).prop_map(Event::ObjectGone),
        (0..4u8, 0..2u8, prop::collection::vec(0..4u8, 0..3), any::<bool>())
            .prop_map(|(workload, uid, uses, glob)| Event::Workload(workload, uid, uses, glob)),
        (0..4u8).prop_map(Event::WorkloadGone),
        Just(Event::ListObjects),
        Just(Event::ListWorkloads),
    ]
}

fn object_key(n: u8) -> ConfigKey {
    config_key(&format!("configmap/o{n}"))
}

fn workload_key(n: u8) -> WorkloadKey {
    deployment(&format!("w{n}"))
}

fn workload(uid: u8, uses: &[u8], glob: bool) -> Workload {
    let from: Vec<_> = uses
        .iter()
        .map(|n| json!({"configMapRef": {"name": format!("o{n}")}}))
        .collect();
    let mut build = Build::new(json!({"containers": [{"name": "app", "envFrom": from}]}));
    build.uid = format!("uid-{uid}");
    if glob {
        build
            .with("afresh.dev/include", "configmap/o?")
            .with("afresh.dev/exclude", "configmap/o3")
    } else {
        build
    }
    .done()
}

fn contents(n: u8) -> ConfigObject {
    object(&[("k", &n.to_string())], 1, 1)
}

const OBJECTS: Source = Source {
    kind: SourceKind::Config(ConfigKind::ConfigMap),
    namespace: None,
};
const WORKLOADS: Source = Source {
    kind: SourceKind::Workload(WorkloadKind::Deployment),
    namespace: None,
};

/// What there is.
#[derive(Default)]
struct World {
    objects: BTreeMap<u8, u8>,
    workloads: BTreeMap<u8, (u8, Vec<u8>, bool)>,
}

impl World {
    fn happen(&mut self, event: &Event) {
        match event {
            Event::Object(n, content) => drop(self.objects.insert(*n, *content)),
            Event::ObjectGone(n) => drop(self.objects.remove(n)),
            Event::Workload(n, uid, uses, glob) => drop(self.workloads.insert(*n, (*uid, uses.clone(), *glob))),
            Event::WorkloadGone(n) => drop(self.workloads.remove(n)),
            Event::ListObjects | Event::ListWorkloads => {}
        }
    }

    fn list_objects(&self, index: &mut Index) {
        index.begin_list(&OBJECTS);
        for (&n, &content) in &self.objects {
            index.apply_object(&object_key(n), contents(content), Sight::Listed);
        }
        index.end_list(&OBJECTS);
    }

    fn list_workloads(&self, index: &mut Index) {
        index.begin_list(&WORKLOADS);
        for (&n, (uid, uses, glob)) in &self.workloads {
            index.apply_workload(workload_key(n), workload(*uid, uses, *glob), Sight::Listed);
        }
        index.end_list(&WORKLOADS);
    }
}

fn deliver(index: &mut Index, event: &Event, world: &World) {
    match event {
        Event::Object(n, content) => drop(index.apply_object(&object_key(*n), contents(*content), Sight::Live)),
        Event::ObjectGone(n) => drop(index.delete_object(&object_key(*n))),
        Event::Workload(n, uid, uses, glob) => {
            let _ = index.apply_workload(workload_key(*n), workload(*uid, uses, *glob), Sight::Live);
        }
        Event::WorkloadGone(n) => drop(index.delete_workload(&workload_key(*n))),
        Event::ListObjects => world.list_objects(index),
        Event::ListWorkloads => world.list_workloads(index),
    }
}

/// Everything derived, in names.
fn facts(index: &Index) -> Vec<String> {
    let names = |ids: Vec<WorkloadId>| -> Vec<String> {
        let mut names: Vec<String> = ids.iter().map(|&id| index.key(id).unwrap().to_string()).collect();
        names.sort();
        names
    };
    let mut facts: Vec<String> = index
        .objects()
        .map(|(key, tracked)| format!("{key} {:?}", tracked.object.content))
        .collect();
    facts.extend(
        index
            .workloads_of(WorkloadKind::Deployment)
            .map(|(_, known)| format!("{} {:?}", known.key, known.workload)),
    );
    facts.extend((0..4).map(|n| format!("{} is used by {:?}", object_key(n), names(index.users(&object_key(n))))));
    facts.push(format!("{} entries", index.objects.len()));
    facts
}

proptest! {
    #[test]
    fn any_order_of_events_gives_the_index_of_a_rebuild(
        events in prop::collection::vec(event(), 0..40),
        missed in prop::collection::vec(any::<bool>(), 40),
    ) {
        let (mut world, mut index, mut lossy) = (World::default(), Index::default(), Index::default());
        for (event, missed) in events.iter().zip(missed) {
            world.happen(event);
            deliver(&mut index, event, &world);
            if !missed {
                deliver(&mut lossy, event, &world);
                deliver(&mut lossy, event, &world); // and once more
            }
        }
        let mut rebuilt = Index::default();
        for index in [&mut lossy, &mut rebuilt] {
            world.list_workloads(index);
            world.list_objects(index);
        }
        prop_assert_eq!(facts(&index), facts(&rebuilt));
        prop_assert_eq!(facts(&lossy), facts(&rebuilt));
    }
}

#[test]
fn an_old_event_behind_the_answer_to_our_own_write_is_left_out() {
    let mut index = Index::default();
    let at = |revision| {
        Build::env()
            .at(revision)
            .with("afresh.dev/settle", &format!("{revision}s"))
            .done()
    };
    index.apply_workload(deployment("web"), at(5), Sight::Live);
    assert_eq!(
        index.apply_workload(deployment("web"), at(4), Sight::Live),
        Applied::Outdated
    );
    assert!(matches!(
        index.apply_workload(deployment("web"), at(4), Sight::Listed),
        Applied::Changed(..)
    ));
}

/// A list may have been asked for before our write and be told after its answer; but one that begins later and is older
/// is of a cluster that was restored.
#[test]
fn an_old_list_behind_the_answer_to_our_own_write_is_left_out_once() {
    let source = Source {
        kind: SourceKind::Workload(WorkloadKind::Deployment),
        namespace: None,
    };
    let at = |revision| Build::env().at(revision).done();
    let web = || deployment("web");
    let revision = |index: &Index| index.id(&web()).map(|id| index.workload(id).unwrap().workload.revision);
    for write_first in [true, false] {
        let mut index = Index::default();
        index.apply_workload(web(), at(3), Sight::Listed);
        if write_first {
            index.apply_answer(web(), at(5));
        }
        index.begin_list(&source);
        if !write_first {
            index.apply_answer(web(), at(5));
        }
        assert_eq!(index.apply_workload(web(), at(4), Sight::Listed), Applied::Outdated);
        assert_eq!(index.end_list(&source), (vec![], vec![]), "it is there");
        assert_eq!(revision(&index), Some(Some(Revision(5))));

        index.begin_list(&source);
        assert_ne!(index.apply_workload(web(), at(4), Sight::Listed), Applied::Outdated);
    }
}

#[test]
fn what_the_watch_has_told_of_our_own_write_makes_no_list_old() {
    let source = Source {
        kind: SourceKind::Workload(WorkloadKind::Deployment),
        namespace: None,
    };
    let at = |revision| Build::env().at(revision).done();
    let mut index = Index::default();
    index.apply_answer(deployment("web"), at(5));
    index.apply_workload(deployment("web"), at(5), Sight::Live);
    index.begin_list(&source);
    assert_ne!(
        index.apply_workload(deployment("web"), at(4), Sight::Listed),
        Applied::Outdated
    );
}

#[test]
fn only_another_content_is_news() {
    let mut index = Index::default();
    index.apply_workload(deployment("web"), Build::env().done(), Sight::Live);
    let key = config_key("configmap/web");
    let news = |index: &mut Index, data, revision| {
        !index
            .apply_object(&key, object(data, 1, revision), Sight::Live)
            .is_empty()
    };
    assert!(news(&mut index, &[("a", "1")], 1));
    assert!(!news(&mut index, &[("a", "1")], 2));
    assert!(news(&mut index, &[("a", "2")], 3));
    assert!(!index.delete_object(&key).is_empty());
    assert!(index.delete_object(&key).is_empty());
}

#[test]
fn a_relist_takes_out_only_what_its_own_watch_covers() {
    let mut index = Index::default();
    index.apply_object(&config_key("configmap/web"), contents(1), Sight::Listed);
    index.apply_object(&config_key("secret/web"), contents(1), Sight::Listed);
    let elsewhere = Source {
        namespace: Some("other".parse().unwrap()),
        ..OBJECTS
    };
    index.begin_list(&elsewhere);
    index.end_list(&elsewhere);
    assert_eq!(index.objects().count(), 2);
    index.begin_list(&OBJECTS);
    index.end_list(&OBJECTS);
    assert_eq!(
        index.objects().map(|(key, _)| key.to_string()).collect::<Vec<_>>(),
        ["secret/prod/web"]
    );
}

#[test]
fn what_cannot_be_read_in_a_list_is_not_gone() {
    let mut index = Index::default();
    index.apply_object(&config_key("configmap/web"), contents(1), Sight::Listed);
    index.begin_list(&OBJECTS);
    index.keep(OBJECTS.kind, &"prod".parse().unwrap(), &"web".parse().unwrap());
    index.end_list(&OBJECTS);
    assert_eq!(index.objects().count(), 1);
}
