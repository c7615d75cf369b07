//! Kinds of one's own (`--workload`).

use anyhow::Result;
use serde_json::{Value, json};

use super::{Defined, applied, uid, world};
use crate::manifests::{config_map, deployment, files, variables};
use crate::program::until;
use crate::world::World;

/// Reloader looks for definitions once, when it starts.
#[tokio::test]
async fn reloader_defect_a11_a_definition_that_comes_goes_and_comes_again_needs_no_restart() -> Result<()> {
    let world = world("late").await?;
    let own = Defined::own();
    own.grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&[deployment("web", variables("settings"))]).await?;
    let controller = world.only_controller(&["--workload", &own.flag()]).await?;
    // Nobody waits for what is not there.
    world.adopted("Deployment", "web").await?;

    for round in 1..=2 {
        own.define(world.cluster).await?;
        world.apply(&[own.object("web", "settings")]).await?;
        let before = own.adopted(&world, "web").await?;
        world
            .config_map("settings", json!({ "level": round.to_string() }))
            .await?;
        own.rolled(&world, "web", &before).await?;
        world.rolled("Deployment", "web", round).await?;
        own.undefine(world.cluster).await?;
        let watches = async || Ok(controller.state().await?["watches"].take());
        let is_absent = |watches: &Value| {
            let mut watches = watches.as_array().into_iter().flatten();
            watches.any(|watch| watch["kind"] == "web" && watch["phase"] == "absent")
        };
        until("a kind that is gone", watches, is_absent).await?;
    }
    assert_eq!(world.rolls("Deployment", "web").await?, 2);
    Ok(())
}

/// A pod of an object of the kind, as its operator would make it. No node runs it.
async fn pod_of(world: &World<'_>, kind: &Defined, name: &str) -> Result<()> {
    let owner = kind.get(world, name).await?;
    let owner = json!([{ "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name, "uid": uid(&owner),
        "controller": true }]);
    let metadata = json!({ "name": name, "labels": { "app": name }, "ownerReferences": owner });
    let spec = variables("settings").pod_spec();
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    world.apply(&[pod]).await
}

/// One object for each word of `afresh.dev/reload`, and one with its own word for hot.
async fn one_of_each(world: &World<'_>, kind: &Defined) -> Result<()> {
    let mounted = || files(&[("settings", config_map("settings"))]).pod_spec();
    let reload = |word: &str| json!({ "afresh.dev/reload": word });
    let hot = json!({ "afresh.dev/reload": "auto", "afresh.dev/hot": "true" });
    let all = [
        ("auto", reload("auto"), None),
        ("roll", reload("roll"), Some(mounted())),
        ("touch", reload("touch"), Some(mounted())),
        ("hot", hot, Some(mounted())),
        ("evict", reload("evict"), None),
        ("off", reload("off"), None),
    ];
    for (name, annotations, spec) in all {
        let mut object = kind.object(name, "settings");
        object["metadata"]["annotations"] = annotations;
        if let Some(spec) = spec {
            object["spec"]["template"]["spec"] = spec;
        }
        // How many there are its operator knows; nobody else has to.
        object["spec"]["replicas"] = Value::Null;
        world.apply(&[object]).await?;
        pod_of(world, kind, name).await?;
    }
    // Without a selector nobody finds its pods: a roll needs none.
    let mut blind = kind.object("blind", "settings");
    blind["spec"]["selector"] = Value::Null;
    world.apply(&[blind]).await
}

#[tokio::test]
async fn a_kind_of_ones_own_is_rolled_touched_evicted_or_left_alone_by_its_word_and_its_selector() -> Result<()> {
    let world = world("words").await?;
    let own = Defined::own();
    own.define(world.cluster).await?;
    own.grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    one_of_each(&world, &own).await?;
    let controller = world.only_controller(&["--workload", &own.flag()]).await?;
    let mut before = Vec::new();
    for name in ["auto", "roll", "touch", "hot", "evict", "blind"] {
        before.push((name, own.adopted(&world, name).await?));
    }
    world.rest(&controller).await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    for (name, before) in before
        .iter()
        .filter(|(name, _)| ["auto", "roll", "blind"].contains(name))
    {
        own.rolled(&world, name, before).await?;
    }
    for name in ["touch", "hot"] {
        let pod = async || world.get(&world.core("pods", name)).await;
        let is_touched = |pod: &Value| pod["metadata"]["annotations"]["afresh.dev/touched"].is_string();
        until(&format!("the pod of {name} touched"), pod, is_touched).await?;
    }
    world.pods_made("evict", 0).await?;
    for (name, before) in &before {
        let after = own.get(&world, name).await?;
        let rolled = super::config(&after) != super::config(before);
        assert_eq!(rolled, ["auto", "roll", "blind"].contains(name), "{name}");
    }
    let off = own.get(&world, "off").await?;
    assert_eq!((applied(&off), super::config(&off)), (&Value::Null, &Value::Null));
    for name in ["auto", "roll", "off"] {
        let pods = world.pods(name).await?;
        assert_eq!(pods.len(), 1, "{name}: its operator replaces it");
        assert_eq!(
            pods[0]["metadata"]["annotations"]["afresh.dev/touched"],
            Value::Null,
            "{name}"
        );
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

/// Reloader writes the whole of a typed object, less what its types do not know.
#[tokio::test]
async fn reloader_defect_b15_a_definition_that_drops_annotations_of_its_template_is_told_and_never_taken_as_rolled()
-> Result<()> {
    let world = world("pruned").await?;
    let own = Defined::own();
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let template = json!({ "type": "object", "properties": { "metadata": { "type": "object" }, "spec": open } });
    let replicas = json!({ "type": "integer" });
    let spec =
        json!({ "type": "object", "properties": { "template": template, "selector": open, "replicas": replicas } });
    own.define_with(world.cluster, &json!({ "spec": spec })).await?;
    own.grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    let mut web = own.object("web", "settings");
    web["spec"]["template"]["metadata"] = json!({});
    world.apply(&[web, deployment("other", variables("settings"))]).await?;
    let controller = world.only_controller(&["--workload", &own.flag()]).await?;
    let before = own.adopted(&world, "web").await?;
    world.adopted("Deployment", "other").await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    world.rolled("Deployment", "other", 1).await?;
    controller.logs("drops annotations of spec.template").await?;
    assert_eq!(
        applied(&own.get(&world, "web").await?),
        applied(&before),
        "it is not done"
    );
    Ok(())
}
