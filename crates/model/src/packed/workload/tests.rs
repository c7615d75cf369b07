use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::convention::Conventions;
use crate::policy::Reload;
use crate::reloader::marks::Strategy as MarkStrategy;
use crate::reloader::pause::State;
use crate::template::PodTemplate;

const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn uid() -> impl Strategy<Value = Box<str>> {
    prop_oneof![
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9A-F]{8}-[0-9a-f]{24}",
        "\\PC{0,40}",
    ]
    .prop_map(Into::into)
}

fn time() -> impl Strategy<Value = UnixSeconds> {
    any::<i64>().prop_map(UnixSeconds)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 16]>().prop_map(Digest::from_bytes)
}

fn template_hash() -> impl Strategy<Value = TemplateHash> {
    any::<[u8; 8]>().prop_map(TemplateHash::from_bytes)
}

fn object() -> impl Strategy<Value = ConfigRef> {
    (0..3usize, "[a-d]{1,3}").prop_map(|(kind, name)| ConfigRef {
        kind: ConfigKind::ALL[kind],
        name: name.parse().unwrap(),
    })
}

fn keys() -> impl Strategy<Value = Vec<KeyHash>> {
    prop::collection::vec(any::<[u8; 8]>().prop_map(KeyHash::from_bytes), 0..4)
}

fn selection() -> impl Strategy<Value = Selection> {
    let some = keys().prop_map(Selection::keys);
    let text = keys().prop_map(|keys| Selection::text().union(&Selection::keys(keys)));
    prop_oneof![Just(Selection::default()), Just(Selection::all()), some, text]
}

fn usage() -> impl Strategy<Value = Use> {
    let needs = prop_oneof![
        Just(Needs::Nothing),
        Just(Needs::Unknown),
        keys().prop_map(|keys| Needs::Object(keys.into())),
    ];
    (object(), selection(), selection(), selection(), needs, any::<bool>()).prop_map(
        |(object, frozen, hot, cold, needs, only_matched)| Use {
            object,
            frozen,
            hot,
            cold,
            needs,
            only_matched,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let print = (any::<[u8; 4]>(), digest()).prop_map(|(basis, digest)| Fingerprint {
        basis: Basis::from_bytes(basis),
        digest,
    });
    let applied = prop::collection::vec((object(), print), 0..4).prop_map(|prints| {
        let mut applied = Applied::default();
        for (object, print) in &prints {
            applied.set(object, *print);
        }
        applied
    });
    let rolls = (any::<u32>(), prop::option::of(time())).prop_map(|(streak, last)| Rolls { streak, last });
    let evicting = prop::option::of((digest(), time()));
    (
        uid(),
        time(),
        prop::option::of(template_hash()),
        rolls,
        evicting,
        applied,
    )
        .prop_map(|(uid, at, template, rolls, evicting, applied)| Record {
            uid,
            at,
            template,
            rolls,
            evicting: evicting.map(|(config, since)| Box::new(Evicting { config, since })),
            applied,
        })
}

fn rare() -> impl Strategy<Value = Rare> {
    let patterns = || prop::collection::vec(object().prop_map(Pattern::Exact), 0..2);
    let template: PodTemplate = serde_json::from_value(json!({"spec": {"containers": [{"name": "app"}]}})).unwrap();
    let bare = TemplateHash::from_bytes([1; 8]);
    let marks = Marks::read(&template, bare, MarkStrategy::EnvVars, &[]).map(Box::new);
    let pause = Box::new(Pause {
        period: None,
        state: State::ByPerson,
    });
    (patterns(), patterns(), any::<bool>(), any::<bool>()).prop_map(move |(include, exclude, marked, paused)| Rare {
        include: include.into(),
        exclude: exclude.into(),
        marks: marks.clone().filter(|_| marked),
        pause: Some(pause.clone()).filter(|_| paused),
    })
}

prop_compose! {
    fn workload()(
        (uid, owner) in (uid(), prop::option::of(uid())),
        (mode, rollout, replace) in (0..4u8, 0..4u8, 0..5u8),
        settle in prop::option::of((any::<u64>(), 0..1_000_000_000u32)),
        mut uses in prop::collection::vec(usage(), 0..4),
        (record, own, same) in (prop::option::of(record()), any::<bool>(), any::<bool>()),
        template in template_hash(),
        (created, revision) in (prop::option::of(time()), prop::option::of(any::<u64>())),
        selector in "\\PC{0,40}",
        rare in rare(),
    ) -> Workload {
        uses.sort_by(|a, b| a.object.cmp(&b.object));
        let record = record.map(|record| Box::new(Record {
            uid: if own { uid.clone() } else { record.uid },
            template: if same { Some(template) } else { record.template },
            ..record
        }));
        Workload {
            uid,
            mode: mode_of_bits(mode),
            settle: settle.map(|(seconds, nanos)| Duration::new(seconds, nanos)),
            uses: uses.into(),
            include: rare.include,
            exclude: rare.exclude,
            record,
            template,
            marks: rare.marks,
            pause: rare.pause,
            created,
            revision: revision.map(Revision),
            selector: selector.into(),
            replace: replace_of_bits(replace),
            owner,
            rollout: rollout_of_bits(rollout),
        }
    }
}

proptest! {
    #[test]
    fn what_was_packed_comes_back_whole(workload in workload()) {
        let mut packer = Packer::default();
        packer.text("before");
        let rare = pack(workload.clone(), &mut packer);
        packer.text("after");
        let bytes = packer.finish();
        let mut unpacker = Unpacker::new(&bytes);
        prop_assert_eq!(unpacker.text(), "before");
        let Head { rollout, evicting } = head(unpacker.clone());
        prop_assert_eq!(rollout, workload.rollout);
        prop_assert_eq!(evicting, workload.record.as_ref().is_some_and(|record| record.evicting.is_some()));
        prop_assert_eq!(unpack(&mut unpacker, rare.as_deref()), workload);
        prop_assert_eq!(unpacker.text(), "after");
    }

    #[test]
    fn bytes_that_nobody_packed_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = unpack(&mut Unpacker::new(&bytes), None);
    }

    #[test]
    fn only_what_is_written_as_a_uuid_is_one(text in "[0-9a-fA-F-]{30,40}") {
        if let Some(bytes) = uuid(&text) {
            prop_assert_eq!(written(&bytes), text);
        }
    }
}

#[test]
fn a_uuid_is_one() {
    assert!(uuid(UUID).is_some());
    assert_eq!(uuid(&UUID.to_uppercase()), None);
    assert_eq!(uuid(&UUID.replace('-', "")), None);
}

/// The size of the Deployments in `cargo xtask bench`: it is what memory is made of.
#[test]
fn an_ordinary_workload_takes_less_than_a_quarter_of_a_kilobyte() {
    let template: PodTemplate = serde_json::from_value(json!({"spec": {
        "containers": [{
            "name": "main",
            "envFrom": [{"configMapRef": {"name": "service-00001"}}],
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "service-00001", "key": "token1"}}}],
            "volumeMounts": [{"name": "files", "mountPath": "/etc/service"}],
        }],
        "volumes": [{"name": "files", "configMap": {"name": "service-05001"}}],
    }}))
    .unwrap();
    let observed = crate::workload::Observed {
        uid: UUID.into(),
        annotations: [("afresh.dev/reload".to_owned(), "auto".to_owned())].into(),
        template,
        template_hash: TemplateHash::from_bytes([1; 8]),
        created: Some(UnixSeconds(1_800_000_000)),
        revision: Some(Revision(100_000)),
        selector: "app.kubernetes.io/name=service-00001".into(),
        replace: Replace::Template,
        paused: false,
        aside: None,
        owner: None,
        rollout: Rollout::InProgress,
    };
    let key = crate::name::WorkloadKey {
        kind: crate::name::WorkloadKind::Deployment,
        namespace: "prod".parse().unwrap(),
        name: "web".parse().unwrap(),
    };
    let reading = observed.read(&key, &Conventions::native(Reload::Off));
    let mut workload = reading.workload.unwrap();
    let mut applied = Applied::default();
    for usage in &workload.uses {
        let print = Fingerprint {
            basis: Basis::from_bytes([1; 4]),
            digest: Digest::from_bytes([2; 16]),
        };
        applied.set(&usage.object, print);
    }
    workload.record = Some(Box::new(Record {
        uid: UUID.into(),
        at: UnixSeconds(1_800_000_100),
        template: Some(workload.template),
        rolls: Rolls::default(),
        evicting: None,
        applied,
    }));
    assert_eq!(workload.uses.len(), 3);
    let mut packer = Packer::default();
    assert_eq!(pack(workload, &mut packer), None);
    let length = packer.finish().len();
    assert!(length < 256, "{length}");
}
