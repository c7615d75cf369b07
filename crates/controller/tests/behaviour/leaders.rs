//! Two replicas: one acts, the other can take over, and nothing is done twice.

use std::time::Duration;

use afresh_controller::Config;
use afresh_controller::config::LeaderConfig;
use afresh_engine::lease::Terms;
use afresh_sandbox::{Filter, Options, RequestFault, Verb};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::logged::Logged;
use crate::world::{Replica, World, ask, configmap, deployment, env_from, free_address, state};

/// A world with a workload; its controllers are started by each test.
fn world() -> World {
    let leader = LeaderConfig {
        namespace: "afresh".parse().unwrap(),
        name: "afresh".parse().unwrap(),
        terms: Terms::default(),
    };
    let world = World::empty(&Options::default(), |config| config.leader = Some(leader));
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world
}

fn named(world: &World, identity: &str) -> Config {
    let mut config = world.config.clone();
    config.identity = identity.to_owned();
    config
}

async fn two(world: &World) -> (Replica, Replica) {
    let one = world.run(named(world, "one"));
    sleep(Duration::from_secs(5)).await;
    let two = world.run(named(world, "two"));
    world.settle().await;
    assert_eq!(holder(world), "one");
    (one, two)
}

fn holder(world: &World) -> String {
    let lease = world.sandbox.get("leases", "afresh", "afresh").unwrap_or(Value::Null);
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_is_killed_the_other_acts_within_the_lease_and_nothing_is_rolled_twice() {
    let world = world();
    let (one, _two) = two(&world).await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2, "one of the two acts");

    drop(one);
    world.configmap("web", json!({"a": "3"}));
    sleep(Duration::from_secs(11)).await;
    assert_eq!(world.revision("web"), 2, "not before the lease is over");
    sleep(Duration::from_secs(9)).await;
    assert_eq!((holder(&world).as_str(), world.revision("web")), ("two", 3));
    world.settle_for(Duration::from_secs(600)).await;
    assert_eq!(world.revision("web"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_leader_killed_in_the_middle_of_its_patch_leaves_nothing_to_do_twice() {
    for done in [false, true] {
        let world = world();
        let (one, _two) = two(&world).await;
        let patch = Filter::verb(Verb::Patch).resource("deployments");
        world
            .sandbox
            .faults()
            .next_requests(1, patch, RequestFault::Crash { done });
        let crashed = world.sandbox.faults().clone();
        let crash = tokio::spawn(async move { crashed.crashed().await });
        tokio::task::yield_now().await;
        world.configmap("web", json!({"a": "2"}));
        crash.await.unwrap();
        drop(one);
        world.settle().await;
        assert_eq!(
            (world.revision("web"), world.env("web", "a")),
            (2, vec!["2".to_owned(); 2]),
            "done: {done}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_e6_a_leader_asked_to_stop_gives_up_the_lease_at_once() {
    let world = world();
    let (one, _two) = two(&world).await;
    one.stop().await;
    assert_eq!(holder(&world), "");
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(
        (holder(&world).as_str(), world.revision("web")),
        ("two", 2),
        "without waiting for the lease to expire"
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_e6_a_leader_asked_to_stop_finishes_what_it_began() {
    let world = world();
    let one = world.run(named(&world, "one"));
    world.settle().await;
    let patch = Filter::verb(Verb::Patch).resource("deployments");
    world
        .sandbox
        .faults()
        .next_requests(1, patch, RequestFault::Delay(Duration::from_secs(2)));
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(1)).await;
    one.stop().await;
    world.settle().await;
    assert_eq!((world.revision("web"), holder(&world).as_str()), (2, ""));
    assert_eq!(world.told("Rolled", "web").len(), 1, "and the last Event is sent");
}

#[tokio::test(start_paused = true)]
async fn a_standby_stopped_takes_nothing_from_the_leader() {
    let world = world();
    let (_one, two) = two(&world).await;
    two.stop().await;
    assert_eq!(holder(&world), "one");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_acting_before_another_could_start() {
    let world = world();
    let one = world.run(named(&world, "one"));
    world.settle().await;
    world.sandbox.faults().next_requests(
        usize::MAX,
        Filter::any().resource("leases"),
        RequestFault::ConnectionError,
    );
    sleep(Duration::from_millis(10_100)).await;
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.revision("web"), 1, "its term is over");

    world.sandbox.faults().quiet();
    world.settle().await;
    assert_eq!(world.revision("web"), 2, "it leads again and finds the change");
    drop(one);
}

/// Reloader's Lease has a fixed name, so two releases in one namespace share it.
#[tokio::test(start_paused = true)]
async fn reloader_defect_b13_two_installations_in_one_namespace_both_act_each_with_a_lease_of_its_own() {
    let world = world();
    world.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "two"}}));
    let mut other = [configmap("web", json!({"a": "1"})), deployment("web", env_from("web"))];
    for object in &mut other {
        object["metadata"]["namespace"] = json!("two");
        world.create(object.clone());
    }
    let installation = |namespace: &str, lease: &str| {
        let mut config = named(&world, namespace);
        config.namespaces = [namespace.parse().unwrap()].into();
        config.leader.as_mut().unwrap().name = lease.parse().unwrap();
        world.run(config)
    };
    let _both = [installation("prod", "first"), installation("two", "second")];
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    other[0]["data"]["a"] = json!("2");
    world.sandbox.apply(other[0].clone()).unwrap();
    world.settle().await;
    let second = world.sandbox.get("deployments", "two", "web").unwrap();
    let second = &second["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!((world.revision("web"), second), (2, &json!("2")));
}

/// Where two share a Lease all the same, the idle one says so.
#[tokio::test(start_paused = true)]
async fn reloader_defect_b13_who_is_idle_says_who_leads_instead() {
    let logged = Logged::everything();
    let world = world();
    let (_one, two) = two(&world).await;
    world.settle_for(Duration::from_secs(60)).await;
    drop(two);
    let said = logged.lines("another replica leads");
    assert!(
        said.len() == 1 && said[0].contains("leader=\"one\"") && said[0].contains("two"),
        "{said:?}"
    );
}

/// A leader that lost its Lease goes on with what was queued, in Reloader.
#[tokio::test(start_paused = true)]
async fn reloader_defect_b12_a_write_that_is_out_when_the_term_ends_is_abandoned() {
    let world = world();
    let mut config = named(&world, "one");
    config.call_timeout = Duration::from_secs(300);
    let _one = world.run(config);
    world.settle().await;
    let faults = world.sandbox.faults();
    let patch = Filter::verb(Verb::Patch).resource("deployments");
    faults.next_requests(1, patch, RequestFault::Hang);
    faults.next_requests(8, Filter::any().resource("leases"), RequestFault::ConnectionError);
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(40)).await;
    assert_eq!(
        world.revision("web"),
        2,
        "the patch was given up with the term, and sent in the next one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_standby_writes_nothing_but_its_tries_for_the_lease() {
    let world = world();
    let (_one, two) = two(&world).await;
    let wrong = crate::world::annotated(deployment("bad", env_from("web")), &[("afresh.dev/settle", "soon")]);
    world.create(wrong);
    world.settle().await;
    assert_eq!(world.told("InvalidAnnotation", "bad").len(), 1, "only the leader tells");
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn two_replicas_know_the_same_and_only_one_of_them_leads() {
    let world = world();
    world.secret("web", &[("a", "1")]);
    let addresses = [free_address(), free_address()];
    let replica = |n: usize| {
        let mut config = named(&world, ["one", "two"][n]);
        config.metrics_addr = Some(addresses[n]);
        world.run(config)
    };
    let _one = replica(0);
    sleep(Duration::from_secs(5)).await;
    let _two = replica(1);
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;

    let [first, second] = [state(addresses[0]).await, state(addresses[1]).await];
    let checksums = |state: &Value| -> Vec<String> {
        let watches = state["watches"].as_array().unwrap().iter();
        watches
            .map(|watch| format!("{} {}", watch["kind"], watch["checksum"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(checksums(&first), checksums(&second));
    assert_eq!(checksums(&first).len(), 8);
    assert_eq!(
        (&first["engine"]["leading"], &second["engine"]["leading"]),
        (&json!(true), &json!(false))
    );
    for address in addresses {
        assert_eq!(
            ask(address, "/readyz").await.0,
            200,
            "a standby that could take over is ready"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_elect_one_and_adopt_once() {
    let world = world();
    let _replicas = ["one", "two", "three"].map(|name| world.run(named(&world, name)));
    world.settle().await;
    let adopted = world
        .sandbox
        .log()
        .succeeded(&Filter::verb(Verb::Patch).resource("deployments"));
    assert_eq!(adopted, 1);
    let keys = world
        .sandbox
        .log()
        .succeeded(&Filter::verb(Verb::Create).resource("secrets"));
    assert_eq!(keys, 1, "one digest key");
}
