//! Rows of Reloader's behaviour (sections 2.2, 2.3, 5.2 and 5.3) that need an API server; those about annotations alone are
//! with `model::reloader::policy`.

use std::time::Duration;

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_sandbox::{Filter, RequestFault, Verb};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::csi::{install_driver, mounts, pass_for, says};
use crate::world::{World, configmap, deployment, env_from};

fn asking(name: &str, spec: Value, annotations: Value) -> Value {
    let mut object = deployment(name, spec);
    object["metadata"]["annotations"] = annotations;
    object
}

const AUTO: &str = "reloader.stakater.com/auto";
const SEARCH: &str = "reloader.stakater.com/search";
const MAPS: &str = "configmap.reloader.stakater.com/reload";

#[tokio::test(start_paused = true)]
async fn an_object_that_is_ignored_triggers_nothing_however_it_is_named() {
    let world = World::with(|config| config.reloader = Some(Reloader::default())).await;
    let mut map = configmap("web", json!({"a": "1"}));
    map["metadata"]["annotations"] =
        json!({"reloader.stakater.com/ignore": "true", "reloader.stakater.com/match": "true"});
    world.create(map);
    let rows = [
        ("auto", AUTO, "true"),
        ("search", SEARCH, "true"),
        ("named", MAPS, "web"),
        ("regex", MAPS, "w.*"),
    ];
    for (name, key, value) in rows {
        world.create(asking(name, env_from("web"), json!({ key: value })));
    }
    world.settle().await;
    let change = |value: &str| world.patch("configmaps", "web", json!({"data": {"a": value}}));
    change("2");
    world.settle().await;
    assert_eq!(rows.map(|(name, ..)| world.revision(name)), [1; 4]);

    let heeded = json!({"metadata": {"annotations": {"reloader.stakater.com/ignore": null}}});
    world.patch("configmaps", "web", heeded);
    change("3");
    world.settle().await;
    assert_eq!(
        rows.map(|(name, ..)| world.revision(name)),
        [2; 4],
        "without it they do"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_in_another_namespace_is_another_object() {
    let world = World::with(|config| config.reloader = Some(Reloader::default())).await;
    let elsewhere = |value: &str| {
        let mut map = configmap("web", json!({"a": value}));
        map["metadata"]["namespace"] = json!("elsewhere");
        map
    };
    world.create(elsewhere("1"));
    world.configmap("web", json!({"a": "1"}));
    world.create(asking("auto", env_from("web"), json!({AUTO: "true"})));
    world.create(asking("named", env_from("web"), json!({MAPS: ".*"})));
    world.settle().await;
    world.sandbox.apply(elsewhere("2")).unwrap();
    world.settle().await;
    assert_eq!(["auto", "named"].map(|name| world.revision(name)), [1, 1]);
}

/// A comma parts items wherever it stands, so this is two of them.
#[tokio::test(start_paused = true)]
async fn a_comma_within_a_pattern_parts_it_and_that_is_told() {
    let world = World::with(|config| config.reloader = Some(Reloader::default())).await;
    world.configmap("web", json!({"a": "1"}));
    world.create(asking("web", env_from("web"), json!({MAPS: "w{1,2}eb"})));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);
    let told = world.told("InvalidAnnotation", "web");
    assert!(
        told.len() == 1 && told[0].contains("\"w{1\" is no regular expression"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_period_on_the_pod_template_is_none() {
    let world = World::with(|config| config.reloader = Some(Reloader::default())).await;
    world.configmap("web", json!({"a": "1"}));
    let mut web = asking("web", env_from("web"), json!({AUTO: "true"}));
    web["spec"]["template"]["metadata"]["annotations"] = json!({"deployment.reloader.stakater.com/pause-period": "1h"});
    world.create(web);
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(
        (
            world.revision("web"),
            &world.get("deployments", "web")["spec"]["paused"]
        ),
        (2, &Value::Null)
    );
}

/// The same annotations about a SecretProviderClass, whose own object says `match`.
#[tokio::test(start_paused = true)]
async fn a_class_is_asked_for_as_any_other_object() {
    const CLASS_AUTO: &str = "secretproviderclass.reloader.stakater.com/auto";
    const CLASSES: &str = "secretproviderclass.reloader.stakater.com/reload";
    const NOT_CLASSES: &str = "secretproviderclasses.exclude.reloader.stakater.com/reload";
    let rows = [
        ("auto", json!({AUTO: "true"}), 2),
        ("typed", json!({CLASS_AUTO: "true"}), 2),
        ("other-type", json!({"secret.reloader.stakater.com/auto": "true"}), 1),
        ("both", json!({AUTO: "true", CLASS_AUTO: "false"}), 2),
        ("both-2", json!({AUTO: "false", CLASS_AUTO: "true"}), 2),
        ("named", json!({CLASSES: "d."}), 2),
        ("named-other", json!({CLASSES: "mq"}), 1),
        ("excluded", json!({AUTO: "true", CLASSES: "db", NOT_CLASSES: "db"}), 1),
        ("search", json!({SEARCH: "true"}), 2),
        ("off", json!({}), 1),
    ];
    let mut world = World::empty(&afresh_sandbox::Options::default(), |config| {
        config.reloader = Some(Reloader::default());
        config.csi = true;
    });
    install_driver(&world);
    let metadata = json!({"namespace": "prod", "name": "db", "annotations": {"reloader.stakater.com/match": "true"}});
    world.create(
        json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": metadata, "spec": {"provider": "vault"}}),
    );
    world.restart();
    for (name, annotations, _) in &rows {
        world.create(asking(name, mounts(&["db"]), annotations.clone()));
    }
    let mounted = |version: &'static str| rows.each_ref().map(|(name, ..)| (*name, "db", version));
    pass_for(&world, 30, &mounted("1")).await;
    for (name, ..) in &rows {
        for pod in world.pods(name) {
            says(&world, &pod, "db", "2");
        }
    }
    pass_for(&world, 120, &mounted("2")).await;
    let found = rows.each_ref().map(|(name, ..)| (*name, world.revision(name)));
    assert_eq!(found, rows.each_ref().map(|(name, _, revision)| (*name, *revision)));
}

/// What happens to `configmap/web`, or around it. It is there from the beginning unless it is said to appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happens {
    Changes,
    IsLabelledOnly,
    IsWrittenAgain,
    Appears,
    Vanishes,
    IsBackTheSame,
    IsBackChanged,
    LeavesTheSelection,
    EntersTheSelection,
    ItsWorkloadIsAnnotatedLater,
    ChangesWhileNobodyRuns,
    AppearsWhileNobodyRuns,
    VanishesWhileNobodyRuns,
    ChangesJustBeforeACrash,
    ChangesWhileTheWatchIsBroken,
    IsBackChangedWhileTheWatchIsBroken,
}

use Happens::{
    Appears, AppearsWhileNobodyRuns, Changes, ChangesJustBeforeACrash, ChangesWhileNobodyRuns,
    ChangesWhileTheWatchIsBroken, EntersTheSelection, IsBackChanged, IsBackChangedWhileTheWatchIsBroken, IsBackTheSame,
    IsLabelledOnly, IsWrittenAgain, ItsWorkloadIsAnnotatedLater, LeavesTheSelection, Vanishes, VanishesWhileNobodyRuns,
};

impl Happens {
    const fn is_there_before(self) -> bool {
        !matches!(self, Appears | AppearsWhileNobodyRuns | EntersTheSelection)
    }

    const fn while_nobody_runs(self) -> bool {
        matches!(
            self,
            ChangesWhileNobodyRuns | AppearsWhileNobodyRuns | VanishesWhileNobodyRuns
        )
    }

    const fn while_the_watch_is_broken(self) -> bool {
        matches!(self, ChangesWhileTheWatchIsBroken | IsBackChangedWhileTheWatchIsBroken)
    }

    /// To the object itself, between what happens to the controller and to its watch.
    async fn to_the_object(self, world: &World) {
        let label = |value: &str| world.patch("configmaps", "web", json!({"metadata": {"labels": {"watch": value}}}));
        let vanish = async || {
            world.delete("configmaps", "web");
            world.settle().await;
        };
        match self {
            Changes | ChangesWhileNobodyRuns | ChangesJustBeforeACrash | ChangesWhileTheWatchIsBroken => {
                put(world, "2");
            }
            IsLabelledOnly => world.patch("configmaps", "web", json!({"metadata": {"labels": {"more": "1"}}})),
            IsWrittenAgain => world.patch("configmaps", "web", json!({"data": {"a": "1"}})),
            Appears | AppearsWhileNobodyRuns => put(world, "1"),
            Vanishes | VanishesWhileNobodyRuns => vanish().await,
            IsBackTheSame => {
                vanish().await;
                put(world, "1");
            }
            IsBackChanged | IsBackChangedWhileTheWatchIsBroken => {
                vanish().await;
                put(world, "2");
            }
            LeavesTheSelection => label("no"),
            EntersTheSelection => label("yes"),
            ItsWorkloadIsAnnotatedLater => {
                put(world, "2");
                world.settle().await;
                let asks = json!({"metadata": {"annotations": {AUTO: "true"}}});
                world.patch("deployments", "web", asks);
            }
        }
    }
}

fn put(world: &World, value: &str) {
    let mut map = configmap("web", json!({"a": value}));
    map["metadata"]["labels"] = json!({"watch": "yes"});
    world.sandbox.apply(map).unwrap();
}

async fn before(happens: Happens, on_create: bool, on_delete: bool) -> World {
    let world = World::with(|config: &mut Config| {
        config.selector = Some("watch=yes".to_owned());
        config.reloader = Some(Reloader {
            on_create,
            on_delete,
            ..Reloader::default()
        });
    })
    .await;
    if happens.is_there_before() {
        put(&world, "1");
    }
    if happens == EntersTheSelection {
        world.configmap("web", json!({"a": "1"}));
    }
    let from = json!([{"configMapRef": {"name": "web", "optional": true}}]);
    let spec = json!({"containers": [{"name": "app", "image": "app", "envFrom": from}]});
    let asks = if happens == ItsWorkloadIsAnnotatedLater {
        json!({})
    } else {
        json!({AUTO: "true"})
    };
    world.create(asking("web", spec, asks));
    world.settle().await;
    world
}

/// How many rollouts there were, with the default flags, `--reload-on-create`, and `--reload-on-delete`.
#[rstest]
#[case(Changes, [1, 1, 1])]
#[case(IsLabelledOnly, [0, 0, 0])]
#[case(IsWrittenAgain, [0, 0, 0])]
#[case(Appears, [0, 1, 0])]
#[case(Vanishes, [0, 0, 1])]
#[case(IsBackTheSame, [0, 0, 1])]
// Reloader sees nothing of this by default.
#[case(IsBackChanged, [1, 1, 1])]
// A label that comes or goes is to Reloader as if the object did.
#[case(LeavesTheSelection, [0, 0, 1])]
#[case(EntersTheSelection, [0, 1, 0])]
#[case(ItsWorkloadIsAnnotatedLater, [0, 0, 0])]
// Reloader misses what follows.
#[case(ChangesWhileNobodyRuns, [1, 1, 1])]
#[case(AppearsWhileNobodyRuns, [0, 1, 0])]
#[case(VanishesWhileNobodyRuns, [0, 0, 1])]
#[case(ChangesJustBeforeACrash, [1, 1, 1])]
#[case(ChangesWhileTheWatchIsBroken, [1, 1, 1])]
#[case(IsBackChangedWhileTheWatchIsBroken, [1, 1, 1])]
#[tokio::test(start_paused = true)]
async fn a_row_of_what_happens(#[case] happens: Happens, #[case] expected: [u64; 3]) {
    let mut found = [0; 3];
    for (rollouts, (on_create, on_delete)) in found.iter_mut().zip([(false, false), (true, false), (false, true)]) {
        let mut world = before(happens, on_create, on_delete).await;
        let faults = world.sandbox.faults().clone();
        if happens.while_nobody_runs() {
            world.kill();
        }
        if happens.while_the_watch_is_broken() {
            for verb in [Verb::List, Verb::Watch] {
                let asks = Filter::verb(verb).resource("configmaps");
                faults.next_requests(usize::MAX, asks, RequestFault::ConnectionError);
            }
            faults.break_watches();
            world.settle().await;
        }
        happens.to_the_object(&world).await;
        if happens == ChangesJustBeforeACrash {
            sleep(Duration::from_millis(20)).await;
            world.kill();
            sleep(Duration::from_secs(5)).await;
        }
        if happens.while_nobody_runs() || happens.while_the_watch_is_broken() {
            world.sandbox.compact();
        }
        faults.quiet();
        if world.controller.is_none() {
            world.restart();
        }
        world.settle_for(Duration::from_secs(180)).await;
        *rollouts = world.revision("web") - 1;
    }
    assert_eq!(
        found, expected,
        "by default, with --reload-on-create, with --reload-on-delete"
    );
}
