//! Reloader's and wave's annotations under the controller.

use afresh_model::convention::Conventions;
use afresh_model::policy::Reload;
use serde_json::{Value, json};

use crate::world::{World, configmap, deployment, env_from};

fn theirs(name: &str, annotations: Value) -> Value {
    let mut object = deployment(name, env_from("web"));
    object["metadata"]["annotations"] = annotations;
    object
}

#[tokio::test(start_paused = true)]
async fn workloads_that_reloader_or_wave_kept_current_are_kept_current() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.configmap("other-1", json!({"a": "1"}));
    world.create(theirs("auto", json!({"reloader.stakater.com/auto": "true"})));
    world.create(theirs("off", json!({"reloader.stakater.com/auto": "false"})));
    world.create(theirs(
        "named",
        json!({"configmap.reloader.stakater.com/reload": "other-[0-9]"}),
    ));
    world.create(theirs(
        "wave",
        json!({"wave.pusher.com/update-on-config-change": "true"}),
    ));
    world.settle().await;

    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    let revisions = || ["auto", "off", "named", "wave"].map(|name| world.revision(name));
    assert_eq!(revisions(), [2, 1, 1, 2]);

    world.configmap("other-1", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(revisions(), [2, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_searches_follows_what_says_match_and_what_it_missed_meanwhile() {
    let world = World::start().await;
    let mut object = configmap("web", json!({"a": "1"}));
    object["metadata"]["annotations"] = json!({"reloader.stakater.com/match": "true"});
    world.create(object);
    world.create(theirs("web", json!({"reloader.stakater.com/search": "true"})));
    world.settle().await;
    let says = |value: Value| {
        let body = json!({"metadata": {"annotations": {"reloader.stakater.com/match": value}}});
        world.patch("configmaps", "web", body);
    };

    says(Value::Null);
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);

    says(json!("true"));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_annotation_of_theirs_is_told_and_the_rest_applies() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(theirs(
        "web",
        json!({"reloader.stakater.com/auto": "true", "configmap.reloader.stakater.com/reload": "web("}),
    ));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    let told = world.told("InvalidAnnotation", "web");
    assert!(
        told.len() == 1 && told[0].contains("\"web(\" is no regular expression"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn their_annotations_say_nothing_where_they_are_not_honoured() {
    let world = World::with(|config| config.conventions = Conventions::native(Reload::Off)).await;
    world.configmap("web", json!({"a": "1"}));
    world.create(theirs("web", json!({"reloader.stakater.com/auto": "true"})));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);
}
