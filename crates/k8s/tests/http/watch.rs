//! What a watch tells while all is well.

use std::time::Duration;

use afresh_k8s::lean::{LeanConfigMap, LeanDeployment, LeanPodMeta, Watched};
use afresh_k8s::watch::{Event, InitialList, WatchOptions, WatchPhase, WatchStatus, watch};
use futures::{Stream, StreamExt};
use serde_json::json;
use tokio::time::Instant;

use crate::script::{Answer, Script, Step, bookmark, change, config_map, initial_end, list};

/// The next events, in words.
pub async fn words(stream: &mut (impl Stream<Item = Event<LeanConfigMap>> + Unpin), count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let event = tokio::time::timeout(Duration::from_secs(3600), stream.next()).await;
        seen.push(word(&event.expect("an event within an hour").unwrap()));
    }
    seen
}

fn word(event: &Event<LeanConfigMap>) -> String {
    let named =
        |word: &str, object: &LeanConfigMap| format!("{word} {}@{}", object.key().name, object.resource_version());
    match event {
        Event::Begin => "begin".to_owned(),
        Event::Listed(object) => named("listed", object),
        Event::Synced => "synced".to_owned(),
        Event::Applied(object) => named("applied", object),
        Event::Deleted(object) => named("deleted", object),
        Event::Undecodable(object) => format!("undecodable {}", object.name),
        Event::Failed(failure) => format!("failed {}", failure.kind.word()),
    }
}

pub fn watching(script: &Script, initial: InitialList) -> impl Stream<Item = Event<LeanConfigMap>> + Unpin + use<> {
    let options = WatchOptions {
        initial,
        ..WatchOptions::default()
    };
    Box::pin(watch(script.client(), options, WatchStatus::new()))
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_and_the_changes_after_it_come_in_one_request() {
    let script = Script::new(|_| {
        Answer::Stream(vec![
            change("ADDED", "a", 3),
            change("ADDED", "b", 2),
            initial_end(5),
            change("MODIFIED", "a", 6),
            change("DELETED", "b", 7),
            Step::Open,
        ])
    });
    let mut stream = watching(&script, InitialList::Streaming);
    let seen = words(&mut stream, 6).await;
    assert_eq!(
        seen,
        [
            "begin",
            "listed a@3",
            "listed b@2",
            "synced",
            "applied a@6",
            "deleted b@7"
        ]
    );

    let asked = script.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/api/v1/configmaps");
    assert_eq!(asked[0].query("sendInitialEvents"), "true");
    assert_eq!(asked[0].query("resourceVersionMatch"), "NotOlderThan");
    assert_eq!(asked[0].query("allowWatchBookmarks"), "true");
    assert_eq!(
        asked[0].query.get("resourceVersion").map(String::as_str),
        Some(""),
        "a consistent list"
    );
    let lifetime: u64 = asked[0].query("timeoutSeconds").parse().unwrap();
    assert!((230..=290).contains(&lifetime), "{lifetime}");
}

#[tokio::test(start_paused = true)]
async fn pages_are_fetched_one_after_the_other_and_then_watched() {
    let script = Script::new(|seen| match (seen.is_watch(), seen.query("continue")) {
        (false, "") => list(&["a", "b"], 5, "two"),
        (false, "two") => list(&["c"], 5, ""),
        _ => Answer::Stream(vec![change("ADDED", "d", 6), Step::Open]),
    });
    let mut stream = watching(&script, InitialList::Paged(2));
    let seen = words(&mut stream, 6).await;
    assert_eq!(
        seen,
        [
            "begin",
            "listed a@5",
            "listed b@5",
            "listed c@5",
            "synced",
            "applied d@6"
        ]
    );
    let asked = script.seen();
    assert_eq!(
        asked.iter().map(|seen| seen.query("limit")).collect::<Vec<_>>(),
        ["2", "2", ""]
    );
    assert_eq!(asked[2].query("resourceVersion"), "5");
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_a_list() {
    let script = Script::new(|seen| {
        if seen.is_watch() {
            Answer::Stream(vec![Step::Open])
        } else {
            list(&[], 5, "")
        }
    });
    let mut stream = watching(&script, InitialList::Paged(2));
    assert_eq!(words(&mut stream, 2).await, ["begin", "synced"]);
}

#[tokio::test(start_paused = true)]
async fn a_sound_watch_that_ends_goes_on_at_once_from_where_it_was() {
    let mut opened = 0;
    let script = Script::new(move |_| {
        opened += 1;
        Answer::Stream(match opened {
            1 => vec![
                initial_end(5),
                Step::Wait(Duration::from_secs(60)),
                change("ADDED", "a", 6),
            ],
            2 => vec![Step::Wait(Duration::from_secs(60)), bookmark(9)],
            _ => vec![change("MODIFIED", "a", 10), Step::Open],
        })
    });
    let mut stream = watching(&script, InitialList::Streaming);
    assert_eq!(
        words(&mut stream, 4).await,
        ["begin", "synced", "applied a@6", "applied a@10"]
    );
    let asked: Vec<_> = script
        .seen()
        .iter()
        .map(|seen| (seen.query("resourceVersion").to_owned(), seen.at.as_secs()))
        .collect();
    assert_eq!(asked, [(String::new(), 0), ("6".to_owned(), 60), ("9".to_owned(), 120)]);
    assert_eq!(script.seen()[1].query("sendInitialEvents"), "");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_passed_on_without_delay() {
    let script = Script::new(|_| {
        let mut steps = vec![initial_end(5)];
        for version in 6..106 {
            steps.extend([Step::Wait(Duration::from_millis(10)), change("MODIFIED", "a", version)]);
        }
        steps.push(Step::Open);
        Answer::Stream(steps)
    });
    let mut stream = watching(&script, InitialList::Streaming);
    words(&mut stream, 2).await;
    let begun = Instant::now();
    words(&mut stream, 100).await;
    assert_eq!(
        begun.elapsed(),
        Duration::from_secs(1),
        "not a millisecond more than the server took"
    );
}

#[tokio::test(start_paused = true)]
async fn lines_are_found_however_the_bytes_arrive() {
    let big = json!({"type": "ADDED", "object": {
        "metadata": {"namespace": "prod", "name": "big", "resourceVersion": "8"}, "data": {"a": "\"x\"\n".repeat(200_000)}
    }});
    let text = format!(
        "{}\n{}\n{big}\n{}\n",
        json!({"type": "ADDED", "object": config_map("a", 6)}),
        json!({"object": config_map("b", 7), "type": "ADDED"}),
        json!({"type": "ADDED", "object": config_map("c", 9)}),
    );
    for size in [1, 7, 64, 4096, 10_000_000] {
        // a byte at a time would take long for the large one
        let text = if size == 1 {
            text.replace(&big.to_string(), "").replace("\n\n", "\n")
        } else {
            text.clone()
        };
        let script = Script::new(move |_| {
            let mut steps = vec![initial_end(5)];
            steps.extend(text.as_bytes().chunks(size).map(|chunk| Step::Raw(chunk.to_vec())));
            steps.push(Step::Open);
            Answer::Stream(steps)
        });
        let mut stream = watching(&script, InitialList::Streaming);
        words(&mut stream, 2).await;
        let seen = if size == 1 {
            words(&mut stream, 3).await
        } else {
            words(&mut stream, 4).await
        };
        assert_eq!(seen.first().unwrap(), "applied a@6", "{size}");
        assert_eq!(seen[1], "applied b@7", "{size}");
        assert_eq!(seen.last().unwrap(), "applied c@9", "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn selectors_and_the_namespace_are_in_every_request() {
    let script = Script::new(|seen| {
        if seen.is_watch() {
            Answer::Stream(vec![Step::Open])
        } else {
            list(&[], 5, "")
        }
    });
    let options = WatchOptions {
        namespace: Some("prod".parse().unwrap()),
        labels: Some("app in (a,b)".to_owned()),
        fields: Some("type!=helm.sh/release.v1".to_owned()),
        initial: InitialList::Paged(10),
        ..WatchOptions::default()
    };
    let mut stream = Box::pin(watch::<LeanDeployment>(script.client(), options, WatchStatus::new()));
    let limit = Duration::from_secs(1);
    while tokio::time::timeout(limit, stream.next()).await.is_ok() {}
    let asked = script.seen();
    assert_eq!(asked.len(), 2);
    for seen in asked {
        assert_eq!(seen.path, "/apis/apps/v1/namespaces/prod/deployments");
        assert_eq!(seen.query("labelSelector"), "app+in+%28a%2Cb%29");
        assert_eq!(seen.query("fieldSelector"), "type%21%3Dhelm.sh%2Frelease.v1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_read_by_metadata_asks_for_metadata_only() {
    for initial in [InitialList::Streaming, InitialList::Paged(10)] {
        let script = Script::new(|seen| {
            if seen.is_watch() {
                Answer::Stream(vec![initial_end(5), Step::Open])
            } else {
                list(&[], 5, "")
            }
        });
        let options = WatchOptions {
            initial,
            ..WatchOptions::default()
        };
        let mut stream = Box::pin(watch::<LeanPodMeta>(script.client(), options, WatchStatus::new()));
        for _ in 0..2 {
            stream.next().await.unwrap();
        }
        let accept = script.seen()[0].headers["accept"].to_str().unwrap().to_owned();
        assert!(
            accept.starts_with("application/json;as=PartialObjectMetadata"),
            "{accept}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_how_it_is_going() {
    let script = Script::new(|_| {
        Answer::Stream(vec![
            change("ADDED", "a", 3),
            change("ADDED", "b", 3),
            initial_end(5),
            change("ADDED", "c", 6),
            change("MODIFIED", "c", 7),
            change("DELETED", "a", 8),
            Step::Open,
        ])
    });
    let status = WatchStatus::new();
    let mut stream = Box::pin(watch::<LeanConfigMap>(
        script.client(),
        WatchOptions::default(),
        status.clone(),
    ));
    assert_eq!(
        (status.snapshot().phase, status.is_synced()),
        (WatchPhase::Waiting, false)
    );
    words(&mut stream, 1).await;
    assert_eq!(
        (status.snapshot().phase, status.is_synced()),
        (WatchPhase::Listing, false)
    );
    words(&mut stream, 6).await;
    let snapshot = status.snapshot();
    assert_eq!(
        (snapshot.phase, snapshot.synced, snapshot.objects),
        (WatchPhase::Watching, true, 2)
    );
    assert_eq!((snapshot.lists, snapshot.changes, snapshot.failures), (1, 3, 0));
    assert_eq!(snapshot.resource_version, "8");
    assert_eq!(snapshot.heard, Some(Duration::ZERO));
}
