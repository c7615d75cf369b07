//! An API server that refuses, is slow, or forgets.

use std::time::Duration;

use afresh_sandbox::{Filter, Options, RequestFault, Verb, WatchFault};
use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, ask, deployment, env_from, free_address};

#[tokio::test(start_paused = true)]
async fn a_workload_that_may_not_be_patched_delays_nobody_and_is_tried_for_ever_at_growing_intervals() {
    for code in [403, 422] {
        let world = World::start().await;
        world.configmap("web", json!({"a": "1"}));
        for name in ["denied", "fine"] {
            world.create(deployment(name, env_from("web")));
        }
        world.settle().await;
        let denied = Filter::verb(Verb::Patch).resource("deployments").name("denied");
        let fault = RequestFault::Status {
            code,
            retry_after: None,
        };
        world.sandbox.faults().next_requests(usize::MAX, denied, fault);
        let before = world.tries("denied");

        world.configmap("web", json!({"a": "2"}));
        sleep(Duration::from_secs(1)).await;
        assert_eq!((world.revision("denied"), world.revision("fine")), (1, 2));
        assert_eq!(world.told("Failed", "denied").len(), 1, "{code} is told at once");

        let mut tries = vec![world.tries("denied") - before];
        for _ in 0..6 {
            sleep(Duration::from_secs(600)).await;
            tries.push(world.tries("denied") - before);
        }
        let first = tries[1] - tries[0];
        assert!((5..=14).contains(&first), "{tries:?} in ten minutes each");
        assert!(
            tries.windows(2).skip(1).all(|two| (1..=3).contains(&(two[1] - two[0]))),
            "{tries:?}"
        );
        assert_eq!(world.told("Failed", "denied").len(), 1, "and not again and again");

        world.sandbox.faults().quiet();
        sleep(Duration::from_secs(400)).await;
        assert_eq!((world.revision("denied"), world.revision("fine")), (2, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_patience_gets_it() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let patch = Filter::verb(Verb::Patch).resource("deployments");
    let later = RequestFault::Status {
        code: 429,
        retry_after: Some(20),
    };
    world.sandbox.faults().next_requests(1, patch, later);
    let before = world.tries("web");
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(19)).await;
    assert_eq!(world.tries("web") - before, 1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_is_given_up_and_made_again() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let patch = Filter::verb(Verb::Patch).resource("deployments");
    world.sandbox.faults().next_requests(1, patch, RequestFault::Hang);
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(9)).await;
    assert_eq!(world.revision("web"), 1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_in_any_way_costs_no_change() {
    let faults = [
        WatchFault::CloseAtOnce,
        WatchFault::DropAfter(0),
        WatchFault::BreakAfter(0),
        WatchFault::StatusGone,
        WatchFault::ErrorEventGone,
    ];
    let world = World::start().await;
    world.configmap("web", json!({"a": "0"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    for (n, fault) in faults.into_iter().enumerate() {
        let configmaps = Filter::verb(Verb::Watch).resource("configmaps");
        world.sandbox.faults().next_watches(5, configmaps, fault);
        world.sandbox.compact();
        let value = n.to_string() + "!";
        world.configmap("web", json!({"a": value}));
        sleep(Duration::from_secs(700)).await;
        assert_eq!(world.env("web", "a"), [value.clone(), value], "{fault:?}");
        assert_eq!(world.revision("web"), n as u64 + 2, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_close_at_once_are_not_opened_in_a_busy_loop() {
    let mut world = World::start().await;
    let any = Filter::verb(Verb::Watch);
    world
        .sandbox
        .faults()
        .next_watches(usize::MAX, any.clone(), WatchFault::CloseAtOnce);
    world.restart();
    world.sandbox.log().clear();
    sleep(Duration::from_secs(600)).await;
    let opened = world.sandbox.log().count(&any);
    assert!(opened < 6 * 120, "{opened} watches of 6 kinds in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_a_server_that_does_not_answer_at_the_start() {
    let mut world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world.kill();
    world.configmap("web", json!({"a": "2"}));
    world
        .sandbox
        .faults()
        .next_requests(usize::MAX, Filter::any(), RequestFault::ConnectionError);
    world.restart();
    sleep(Duration::from_secs(300)).await;
    world.sandbox.faults().quiet();
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_listed_keeps_no_other_waiting_and_is_why_it_is_not_ready() {
    let address = free_address();
    let mut world = World::empty(&Options::default(), |config| config.metrics_addr = Some(address));
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    let denied = |resource: &str| {
        let forbidden = RequestFault::Status {
            code: 403,
            retry_after: None,
        };
        let faults = world.sandbox.faults();
        for verb in [Verb::List, Verb::Watch] {
            faults.next_requests(usize::MAX, Filter::verb(verb).resource(resource), forbidden);
        }
    };
    denied("daemonsets");
    world.restart();
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    let (code, body) = ask(address, "/readyz").await;
    assert_eq!(code, 503);
    assert!(body.starts_with("not listed yet: daemonset ("), "{body}");

    world.sandbox.faults().quiet();
    world.settle().await;
    assert_eq!(ask(address, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_see_secrets_nothing_is_decided() {
    let mut world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world.kill();
    world.configmap("web", json!({"a": "2"}));
    for verb in [Verb::List, Verb::Watch] {
        let secrets = Filter::verb(verb).resource("secrets");
        let forbidden = RequestFault::Status {
            code: 403,
            retry_after: None,
        };
        world.sandbox.faults().next_requests(usize::MAX, secrets, forbidden);
    }
    world.restart();
    world.settle_for(Duration::from_secs(300)).await;
    assert_eq!(world.revision("web"), 1);
    world.sandbox.faults().quiet();
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

/// As an operator does that writes the whole workload as it wants it, whenever it differs.
#[tokio::test(start_paused = true)]
async fn an_operator_that_puts_its_workload_back_is_not_fought_as_fast_as_it_answers() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let before = world.tries("web");
    world.configmap("web", json!({"a": "2"}));
    let wanted = json!({
        "metadata": {"annotations": {"afresh.dev/applied": null}},
        "spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": null}}}},
    });
    for _ in 0..6_000 {
        let annotations = &world.get("deployments", "web")["metadata"]["annotations"];
        if annotations.get("afresh.dev/applied").is_some() {
            world.patch("deployments", "web", wanted.clone());
        }
        sleep(Duration::from_millis(100)).await;
    }
    let tries = world.tries("web") - before;
    assert!((4..=20).contains(&tries), "{tries} in ten minutes");
    assert_eq!(world.told("Flapping", "web").len(), 1);
}
