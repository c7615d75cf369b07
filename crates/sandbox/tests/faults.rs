//! Every disturbance, seen through the real client.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::time::Duration;

use afresh_sandbox::{Delivery, Filter, Options, Rates, RequestFault, Sandbox, Verb, WatchFault};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::time::{Instant, timeout};

fn start() -> (Sandbox, Api<ConfigMap>) {
    let sandbox = Sandbox::start(&Options::api_server_only());
    // Without kube's own retries, every answer is seen.
    let client = Client::new(sandbox.service(), "default");
    set(&sandbox, "a", "0");
    (sandbox, Api::default_namespaced(client))
}

fn set(sandbox: &Sandbox, name: &str, value: &str) {
    sandbox
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}}))
        .unwrap();
}

fn value(sandbox: &Sandbox) -> String {
    sandbox.get("cm", "default", "a").unwrap()["data"]["k"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn patch(maps: &Api<ConfigMap>, value: &str) -> Result<ConfigMap, kube::Error> {
    maps.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"k": value}})),
    )
    .await
}

fn code(result: Result<ConfigMap, kube::Error>) -> Option<u16> {
    match result.unwrap_err() {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn aimed_faults_hit_the_requests_they_mean_and_no_more() {
    let (sandbox, maps) = start();
    let faults = sandbox.faults();
    faults.next_requests(
        1,
        Filter::verb(Verb::Patch),
        RequestFault::Status {
            code: 429,
            retry_after: Some(7),
        },
    );
    faults.next_requests(1, Filter::verb(Verb::Patch), RequestFault::Conflict);
    faults.next_requests(
        1,
        Filter::verb(Verb::Patch).resource("secrets"),
        RequestFault::ConnectionError,
    );
    assert!(maps.get("a").await.is_ok());
    match patch(&maps, "1").await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 7));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(code(patch(&maps, "1").await), Some(409));
    assert_eq!(value(&sandbox), "0");
    assert!(patch(&maps, "1").await.is_ok());
    assert_eq!(faults.injected().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_hides_a_write_that_happened_and_a_failed_connection_prevents_it() {
    let (sandbox, maps) = start();
    sandbox
        .faults()
        .next_requests(1, Filter::any(), RequestFault::ConnectionError);
    assert_eq!(code(patch(&maps, "1").await), None);
    assert_eq!(value(&sandbox), "0");
    sandbox
        .faults()
        .next_requests(1, Filter::any(), RequestFault::ReplyLost);
    assert_eq!(code(patch(&maps, "1").await), None);
    assert_eq!(value(&sandbox), "1");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_kept_back_is_done_when_it_is_let_go() {
    let (sandbox, maps) = start();
    let faults = sandbox.faults();
    for (end, expected) in [(true, "1"), (false, "2")] {
        faults.next_requests(1, Filter::any(), RequestFault::Hold);
        let (result, ()) = tokio::join!(patch(&maps, expected), async {
            faults.held().await;
            assert_ne!(value(&sandbox), expected);
            if end { faults.release() } else { faults.quiet() }
        });
        assert!(result.is_ok());
        assert_eq!(value(&sandbox), expected);
    }
    faults.next_requests(1, Filter::any(), RequestFault::Hold);
    assert!(timeout(Duration::from_secs(60), patch(&maps, "3")).await.is_err());
    assert_eq!(
        value(&sandbox),
        "2",
        "whoever does not wait for the answer has not sent it"
    );
    assert!(timeout(Duration::from_secs(60), faults.held()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn slow_answers_take_their_time_hanging_ones_for_ever_and_quiet_ends_both() {
    let (sandbox, maps) = start();
    let start = Instant::now();
    sandbox
        .faults()
        .next_requests(1, Filter::any(), RequestFault::Delay(Duration::from_secs(5)));
    patch(&maps, "1").await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    sandbox.faults().next_requests(1, Filter::any(), RequestFault::Hang);
    assert!(timeout(Duration::from_secs(3_600), patch(&maps, "2")).await.is_err());
    sandbox.faults().next_requests(1, Filter::any(), RequestFault::Hang);
    let (result, ()) = tokio::join!(patch(&maps, "2"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sandbox.faults().quiet();
    });
    assert!(result.is_err());
    assert!(patch(&maps, "2").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_crash_stops_the_client_before_or_after_its_write() {
    for (done, expected) in [(false, "0"), (true, "1")] {
        let (sandbox, maps) = start();
        sandbox
            .faults()
            .next_requests(1, Filter::verb(Verb::Patch), RequestFault::Crash { done });
        tokio::select! {
            result = patch(&maps, "1") => panic!("the client lived on: {result:?}"),
            () = sandbox.faults().crashed() => {}
        }
        assert_eq!(value(&sandbox), expected);
    }
}

/// What a raw watch of ConfigMaps from now on tells, after three changes.
async fn watched(fault: WatchFault) -> (Vec<String>, Option<kube::Error>, u64) {
    let (sandbox, maps) = start();
    sandbox
        .faults()
        .next_watches(1, Filter::verb(Verb::Watch).resource("configmaps"), fault);
    let began = Instant::now();
    let opened = maps
        .watch(
            &WatchParams::default().disable_bookmarks().timeout(100),
            &sandbox.revision().to_string(),
        )
        .await;
    let mut events = match opened {
        Ok(events) => events.boxed(),
        Err(error) => return (Vec::new(), Some(error), 0),
    };
    ["1", "2", "3"].iter().for_each(|value| set(&sandbox, "a", value));
    let mut seen = Vec::new();
    let error = loop {
        match events.try_next().await {
            Ok(Some(WatchEvent::Modified(map))) => seen.push(map.data.unwrap()["k"].clone()),
            Ok(Some(WatchEvent::Error(status))) => seen.push(format!("error {}", status.code)),
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    (seen, error, began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn watches_close_drop_break_stall_and_expire_as_asked() {
    let (seen, error, after) = watched(WatchFault::CloseAtOnce).await;
    assert!(seen.is_empty() && error.is_none() && after == 0);
    let (seen, error, after) = watched(WatchFault::DropAfter(2)).await;
    assert!(seen == ["1", "2"] && error.is_none() && after == 0, "{seen:?}");
    let (seen, error, _) = watched(WatchFault::BreakAfter(1)).await;
    assert!(seen == ["1"] && error.is_some(), "{seen:?}");
    let stall = WatchFault::Stall {
        after: 1,
        lasting: Duration::from_secs(50),
    };
    let (seen, error, after) = watched(stall).await;
    assert!(
        seen == ["1", "2", "3"] && error.is_none() && after == 100,
        "{seen:?} {after}"
    );
    let (_, error, _) = watched(WatchFault::StatusGone).await;
    assert!(matches!(error, Some(kube::Error::Api(status)) if status.code == 410));
    let (seen, error, _) = watched(WatchFault::ErrorEventGone).await;
    assert!(seen == ["error 410"] && error.is_none(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn all_open_watches_break_at_once_and_new_ones_work() {
    let (sandbox, maps) = start();
    let watch = WatchParams::default().disable_bookmarks().timeout(100);
    let from = sandbox.revision().to_string();
    let mut events = maps.watch(&watch, &from).await.unwrap().boxed();
    let (broken, ()) = tokio::join!(events.try_next(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sandbox.faults().break_watches();
    });
    assert!(broken.is_err());
    set(&sandbox, "a", "1");
    let mut events = maps.watch(&watch, &from).await.unwrap().boxed();
    assert!(matches!(events.try_next().await, Ok(Some(WatchEvent::Modified(_)))));
}

#[tokio::test(start_paused = true)]
async fn deliveries_come_twice_or_late_so_that_kinds_overtake_each_other() {
    let (sandbox, maps) = start();
    let client = Client::new(sandbox.service(), "default");
    let secrets: Api<Secret> = Api::default_namespaced(client);
    sandbox.faults().deliver(
        Filter::verb(Verb::Watch).resource("secrets"),
        Delivery {
            duplicate: true,
            delay: Duration::ZERO,
        },
    );
    let late = Delivery {
        duplicate: false,
        delay: Duration::from_secs(3),
    };
    sandbox
        .faults()
        .deliver(Filter::verb(Verb::Watch).resource("configmaps"), late);
    let from = sandbox.revision().to_string();
    let watch = WatchParams::default().disable_bookmarks().timeout(60);
    let maps = maps
        .watch(&watch, &from)
        .await
        .unwrap()
        .map_ok(|_| "map")
        .map_err(|error| error.to_string());
    let secrets = secrets
        .watch(&watch, &from)
        .await
        .unwrap()
        .map_ok(|_| "secret")
        .map_err(|error| error.to_string());
    set(&sandbox, "a", "1");
    sandbox
        .create(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}))
        .unwrap();
    let order: Vec<&str> = futures::stream::select(maps.boxed(), secrets.boxed())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(order, ["secret", "secret", "map"]);
}

#[tokio::test(start_paused = true)]
async fn under_a_seeded_storm_a_backed_off_watcher_still_ends_up_with_the_truth() {
    let mut injected = 0;
    for seed in 0..20 {
        let (sandbox, maps) = start();
        // HTTP 410 at the start of a watch is what kube's watcher never recovers from: that trap has its own tests.
        sandbox.faults().seeded(
            seed,
            Rates {
                watch_gone: 0.0,
                ..Rates::STORMY
            },
        );
        let mut stream = watcher(maps.clone(), watcher::Config::default()).boxed();
        let mut known = std::collections::BTreeMap::new();
        let follow = async {
            let mut fresh = std::collections::BTreeMap::new();
            while let Some(event) = stream.next().await {
                let entry = |map: &ConfigMap| (map.name_any(), map.data.clone().unwrap()["k"].clone());
                match event {
                    Ok(watcher::Event::Apply(map)) => known.extend([entry(&map)]),
                    Ok(watcher::Event::Delete(map)) => drop(known.remove(&map.name_any())),
                    Ok(watcher::Event::Init) => fresh.clear(),
                    Ok(watcher::Event::InitApply(map)) => fresh.extend([entry(&map)]),
                    Ok(watcher::Event::InitDone) => known = std::mem::take(&mut fresh),
                    Err(_) => tokio::time::sleep(Duration::from_millis(800)).await,
                }
                // The bare watcher spins when a watch closes at once; time has to pass somewhere.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let change = async {
            for round in 0..40 {
                tokio::time::sleep(Duration::from_millis(300)).await;
                set(&sandbox, &format!("m{}", round % 7), &round.to_string());
                if round % 5 == 0 {
                    drop(sandbox.delete("cm", "default", &format!("m{}", (round + 3) % 7)));
                }
            }
            sandbox.faults().quiet();
            tokio::time::sleep(Duration::from_secs(400)).await;
        };
        tokio::select! {
            () = follow => panic!("the watcher ended"),
            () = change => {}
        }
        let truth: std::collections::BTreeMap<_, _> = sandbox
            .list("cm", "")
            .iter()
            .map(|map| {
                (
                    map["metadata"]["name"].as_str().unwrap().to_owned(),
                    map["data"]["k"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(known, truth, "seed {seed}");
        injected += sandbox.faults().injected().len();
    }
    assert!(injected > 60, "no storm: {injected}");
}
