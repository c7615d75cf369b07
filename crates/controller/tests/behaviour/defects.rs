//! Reloader's defects that have no place elsewhere, by their number in its behaviour catalogue.

use std::time::Duration;

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_model::reloader::marks::Strategy;
use afresh_sandbox::{Delivery, Filter, Options, RequestFault, Verb};
use rstest::rstest;
use serde_json::json;
use tokio::time::sleep;

use crate::csi::{install_driver, mounts, pass_for, says};
use crate::kinds::{Means, of_all_kinds};
use crate::logged::Logged;
use crate::world::{World, annotated, ask, configmap, deployment, env_from, env_key, free_address};

fn reloader(config: &mut Config) {
    config.reloader = Some(Reloader::default());
}

fn on_create(config: &mut Config) {
    config.reloader = Some(Reloader {
        on_create: true,
        ..Reloader::default()
    });
}

async fn web(choose: impl FnOnce(&mut Config)) -> World {
    let world = World::with(choose).await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world
}

#[rstest]
#[case(403)]
#[case(429)]
#[case(500)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_a3_a_list_that_is_refused_is_not_taken_for_nothing(#[case] code: u16) {
    let mut world = web(reloader).await;
    let refused = RequestFault::Status {
        code,
        retry_after: None,
    };
    let refuse = |world: &World| {
        for verb in [Verb::List, Verb::Watch] {
            let asks = Filter::verb(verb).resource("deployments");
            world.sandbox.faults().next_requests(usize::MAX, asks, refused);
        }
    };
    // While it runs: what is known of the workloads stands.
    refuse(&world);
    world.sandbox.faults().break_watches();
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    world.sandbox.faults().quiet();
    world.settle_for(Duration::from_secs(120)).await;

    // When it starts: nothing is done, and nothing is lost.
    refuse(&world);
    world.restart();
    world.settle().await;
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    world.sandbox.faults().quiet();
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!(world.revision("web"), 3);
}

/// Reloader asks at once for what it was told in a form that it does not expect, about an object without a name.
#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_a6_a_deletion_that_a_new_list_tells_counts_for_its_own_workloads_only(
    #[case] strategy: Strategy,
) {
    let world = web(|config| {
        config.exclude_namespaces = ["out".parse().unwrap()].into();
        config.reloader = Some(Reloader {
            strategy,
            on_delete: true,
            ..Reloader::default()
        });
    })
    .await;
    world.configmap("other", json!({"a": "1"}));
    world.create(deployment("other", env_from("other")));
    for mut object in [configmap("web", json!({"a": "1"})), deployment("web", env_from("web"))] {
        object["metadata"]["namespace"] = json!("out");
        world.create(object);
    }
    world.settle().await;
    let faults = world.sandbox.faults();
    for verb in [Verb::List, Verb::Watch] {
        let asks = Filter::verb(verb).resource("configmaps");
        faults.next_requests(usize::MAX, asks, RequestFault::ConnectionError);
    }
    faults.break_watches();
    world.settle().await;
    for namespace in ["prod", "out"] {
        world.sandbox.delete("configmaps", namespace, "web").unwrap();
    }
    world.sandbox.compact();
    faults.quiet();
    world.settle_for(Duration::from_secs(120)).await;
    let out = world.sandbox.get("deployments", "out", "web").unwrap();
    let out = &out["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!(
        (world.revision("web"), world.revision("other"), out),
        (2, 1, &json!("1"))
    );
    for name in ["web", "other"] {
        assert!(world.told("ReloadFail", name).is_empty(), "{name}");
    }
}

/// In Reloader a kind that cannot be listed makes the other one miss what appears and vanishes, and nobody sees it.
#[tokio::test(start_paused = true)]
async fn reloader_defect_a7_a_kind_that_cannot_be_listed_is_told_by_readiness_and_nothing_is_lost_meanwhile() {
    let address = free_address();
    let mut world = World::empty(&Options::default(), |config| {
        on_create(config);
        config.metrics_addr = Some(address);
    });
    let from = json!([{"configMapRef": {"name": "web", "optional": true}}]);
    world.create(deployment(
        "web",
        json!({"containers": [{"name": "app", "image": "app", "envFrom": from}]}),
    ));
    world.restart();
    world.settle().await;
    world.kill();
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    for verb in [Verb::List, Verb::Watch] {
        let asks = Filter::verb(verb).resource("secrets");
        world.sandbox.faults().next_requests(usize::MAX, asks, forbidden);
    }
    world.restart();
    world.settle().await;
    world.configmap("web", json!({"a": "1"}));
    world.settle().await;
    let (code, body) = ask(address, "/readyz").await;
    assert_eq!((code, body.contains("secret")), (503, true), "{body}");
    world.sandbox.faults().quiet();
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!((ask(address, "/readyz").await.0, world.revision("web")), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_b3_with_namespaces_of_its_own_the_first_list_of_one_is_no_creation_for_another() {
    let all = ["one", "two", "three"];
    let mut world = World::empty(&Options::default(), |config| {
        on_create(config);
        config.namespaces = all.map(|name| name.parse().unwrap()).into();
    });
    let from = json!([{"configMapRef": {"name": "web", "optional": true}}]);
    let spec = json!({"containers": [{"name": "app", "image": "app", "envFrom": from}]});
    for namespace in all {
        for mut object in [configmap("web", json!({"a": "1"})), deployment("web", spec.clone())] {
            object["metadata"]["namespace"] = json!(namespace);
            world.create(object);
        }
    }
    world.settle().await;
    let late = |seconds| Delivery {
        delay: Duration::from_secs(seconds),
        ..Delivery::default()
    };
    // The first time, and when everything is recorded.
    for _ in 0..2 {
        for (namespace, seconds) in [("two", 10), ("three", 20)] {
            let objects = Filter::any().resource("configmaps").namespace(namespace);
            world.sandbox.faults().deliver(objects, late(seconds));
        }
        world.restart();
        world.settle_for(Duration::from_secs(60)).await;
        world.sandbox.faults().quiet();
        for namespace in all {
            let web = world.sandbox.get("deployments", namespace, "web").unwrap();
            assert_eq!(
                web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1",
                "{namespace}"
            );
        }
    }
}

/// In Reloader a try that is repeated has another time in it, or another random name.
#[rstest]
#[tokio::test(start_paused = true)]
async fn reloader_defect_b6_a_write_whose_answer_is_lost_replaces_pods_once(
    #[values(
        Means::Deployment,
        Means::Rollout,
        Means::RestartedRollout,
        Means::Custom,
        Means::CronJob,
        Means::Job
    )]
    means: Means,
    #[values(Strategy::EnvVars, Strategy::Annotations)] strategy: Strategy,
) {
    let world = of_all_kinds(Some(Reloader {
        strategy,
        ..Reloader::default()
    }))
    .await;
    world.configmap("web", json!({"a": "1"}));
    world.create(means.object("web", "web"));
    world.settle().await;
    let before = means.replaced_by(&world, "web");
    let (verb, resource) = match means {
        Means::CronJob | Means::Job => (Verb::Create, "jobs"),
        _ => (Verb::Patch, means.resource()),
    };
    let writes = Filter::verb(verb).resource(resource);
    world.sandbox.faults().next_requests(2, writes, RequestFault::ReplyLost);
    world.configmap("web", json!({"a": "2"}));
    // The answers are lost, and what was done stands.
    let mut seen = vec![before];
    for _ in 0..1_200 {
        sleep(Duration::from_millis(500)).await;
        if world.sandbox.get(resource, "prod", "web").is_some() || means == Means::CronJob {
            let now = means.replaced_by(&world, "web");
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_b11_a_key_that_the_workload_does_not_use_rolls_nothing() {
    let world = World::with(reloader).await;
    world.configmap("web", json!({"a": "1", "b": "1"}));
    world.create(deployment("web", env_key("web", "a")));
    world.settle().await;
    world.configmap("web", json!({"b": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[rstest]
#[case(Means::Deployment)]
#[case(Means::StatefulSet)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_b11_a_workload_that_is_scaled_to_zero_is_not_rolled(#[case] means: Means) {
    let mut world = of_all_kinds(Some(Reloader::default())).await;
    world.configmap("web", json!({"a": "1"}));
    let mut web = means.object("web", "web");
    web["spec"]["replicas"] = json!(0);
    world.create(web);
    world.settle().await;
    let before = means.replaced_by(&world, "web");
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert!(world.told("Reloaded", "web").is_empty());

    world.patch(means.resource(), "web", json!({"spec": {"replicas": 2}}));
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(means.replaced_by(&world, "web"), before);
    assert_eq!(world.env("web", "a"), ["2", "2"]);
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(world.env("web", "a"), ["3", "3"]);
}

#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_b12_two_that_both_act_write_one_and_the_same_template(#[case] strategy: Strategy) {
    let by = Reloader {
        strategy,
        ..Reloader::default()
    };
    let world = web(|config| config.reloader = Some(by)).await;
    let _second = world.run(world.config.clone());
    world.settle().await;
    for round in 2..5_u64 {
        world.configmap("web", json!({"a": round.to_string()}));
        world.settle_for(Duration::from_secs(120)).await;
        assert_eq!(world.revision("web"), round);
    }
    assert!(world.tries("web") > 4, "both did act");
}

/// A tool that keeps the template as it is written elsewhere takes out the mark: that is its rollout, not a change.
#[tokio::test(start_paused = true)]
async fn reloader_defect_b15_a_mark_that_somebody_takes_out_is_not_put_back() {
    let world = web(reloader).await;
    let written = world.get("deployments", "web")["spec"]["template"].clone();
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    let mut body = json!({"spec": {"template": written}});
    body["spec"]["template"]["metadata"]["annotations"] = json!({"afresh.dev/config": null});
    world.patch("deployments", "web", body);
    world.settle_for(Duration::from_secs(3_600)).await;
    let web = world.get("deployments", "web");
    assert_eq!(web["spec"]["template"]["spec"], written["spec"]);
    // The template of the beginning is its first revision, found again.
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (3, vec!["2".to_owned(); 2])
    );
}

/// In Reloader a map of timers is written by many threads without a lock.
#[tokio::test(start_paused = true)]
async fn reloader_defect_c1_many_pauses_at_a_time_all_end_each_on_its_own_time() {
    let world = World::with(reloader).await;
    world.configmap("web", json!({"a": "1"}));
    let names: Vec<String> = (0..20).map(|number| format!("web-{number}")).collect();
    let period = |number: usize| 20 + 5 * number as u64;
    for (number, name) in names.iter().enumerate() {
        let period = format!("{}s", period(number));
        let paused = [("deployment.reloader.stakater.com/pause-period", period.as_str())];
        world.create(annotated(deployment(name, env_from("web")), &paused));
    }
    world.settle().await;
    let paused = |name: &String| world.get("deployments", name)["spec"]["paused"] == true;
    for round in 2..4_u64 {
        world.configmap("web", json!({"a": round.to_string()}));
        sleep(Duration::from_secs(10)).await;
        assert!(names.iter().all(paused));
        for waited in (11..=120).step_by(5) {
            for (number, name) in names.iter().enumerate() {
                let (end, now) = (period(number), waited - 1);
                assert!(now + 3 > end || paused(name), "{name} after {now} s");
                assert!(now < end + 3 || !paused(name), "{name} after {now} s");
            }
            sleep(Duration::from_secs(5)).await;
        }
        world.settle_for(Duration::from_secs(120)).await;
        assert!(names.iter().all(|name| !paused(name) && world.revision(name) == round));
    }
}

fn asked(world: &World) -> Vec<String> {
    let all = world.sandbox.log().find(&Filter::any());
    let requests = all
        .iter()
        .map(|record| &record.request)
        .filter(|request| request.verb != Verb::Watch);
    requests
        .map(|request| format!("{} {}", request.verb.name(), request.resource))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_d1_a_change_costs_one_patch_and_one_event_and_an_object_that_nobody_uses_nothing() {
    let world = web(reloader).await;
    for number in 0..20 {
        world.create(deployment(
            &format!("other-{number}"),
            env_from(&format!("other-{number}")),
        ));
    }
    world.configmap("lock", json!({"leader": "0"}));
    world.settle().await;
    let before = asked(&world).len();
    for n in 0..50 {
        world.configmap("lock", json!({"leader": n.to_string()}));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(asked(&world)[before..], [""; 0]);
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(asked(&world)[before..], ["patch deployments", "create events"]);
}

#[tokio::test(start_paused = true)]
async fn reloader_defects_d4_d7_fifty_workloads_are_rolled_and_told_without_a_queue_of_minutes() {
    let world = World::with(reloader).await;
    world.configmap("web", json!({"a": "1"}));
    let names: Vec<String> = (0..50).map(|number| format!("web-{number}")).collect();
    for name in &names {
        world.create(deployment(name, env_from("web")));
    }
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(1)).await;
    assert!(names.iter().all(|name| world.revision(name) == 2));
    world.settle_for(Duration::from_secs(60)).await;
    assert!(names.iter().all(|name| world.told("Reloaded", name).len() == 1));
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_d5_a_rotation_asks_nothing_about_its_class() {
    let mut world = World::empty(&Options::default(), |config| {
        reloader(config);
        config.csi = true;
    });
    install_driver(&world);
    world.restart();
    for number in 0..10 {
        world.create(deployment(&format!("other-{number}"), mounts(&["other"])));
    }
    world.create(deployment("web", mounts(&["db"])));
    pass_for(&world, 30, &[("web", "db", "1")]).await;
    let before = asked(&world).len();
    for pod in world.pods("web") {
        says(&world, &pod, "db", "2");
    }
    pass_for(&world, 60, &[("web", "db", "2")]).await;
    assert_eq!(world.revision("web"), 2);
    assert_eq!(asked(&world)[before..], ["patch deployments", "create events"]);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_e1_nobody_is_served_the_insides_of_the_process() {
    let address = free_address();
    let _world = web(|config| {
        reloader(config);
        config.metrics_addr = Some(address);
    })
    .await;
    for path in ["/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"] {
        assert_eq!(ask(address, path).await.0, 404, "{path}");
    }
}

/// A line for each workload and event, in Reloader.
#[tokio::test(start_paused = true)]
async fn reloader_defect_e9_what_is_logged_does_not_grow_with_the_workloads_that_a_change_is_nothing_to() {
    let logged = Logged::everything();
    let ours = |logged: &Logged| logged.lines(" afresh_").len();
    let mut grown = Vec::new();
    for others in [1, 50] {
        let world = web(reloader).await;
        for number in 0..others {
            let name = format!("other-{number}");
            world.create(deployment(&name, env_from(&name)));
        }
        world.settle().await;
        let before = ours(&logged);
        world.configmap("web", json!({"a": "2"}));
        world.configmap("nobodys", json!({"a": "1"}));
        world.settle().await;
        assert_eq!(world.revision("web"), 2);
        grown.push(ours(&logged) - before);
    }
    assert!(grown[0] > 0 && grown[0] == grown[1], "{grown:?}");
}
