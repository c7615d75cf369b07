//! Kinds that are not served, and kinds that may be listed and not watched.

use std::time::Duration;

use afresh_k8s::lean::LeanConfigMap;
use afresh_k8s::watch::{Event, InitialList, Presence, WatchOptions, WatchPhase, WatchStatus, watch};
use futures::{Stream, StreamExt};
use rstest::rstest;

use crate::script::{Answer, Script, Step, change, initial_end, list, status};
use crate::watch::{watching, words};
use crate::watch_faults::{LONG, answers, refuse, stream};

fn watching_what_may_be_absent(
    script: &Script,
    status: &WatchStatus,
) -> impl Stream<Item = Event<LeanConfigMap>> + Unpin + use<> {
    let options = WatchOptions {
        presence: Presence::Optional,
        ..WatchOptions::default()
    };
    Box::pin(watch::<LeanConfigMap>(script.client(), options, status.clone()))
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_empty_and_found_when_it_comes() {
    let script = answers(vec![
        refuse(404),
        refuse(404),
        refuse(404),
        stream(&[change("ADDED", "a", 8), initial_end(9), Step::Open]),
    ]);
    let status = WatchStatus::new();
    let mut watch = watching_what_may_be_absent(&script, &status);
    let seen = words(&mut watch, 3).await;
    assert_eq!(seen, ["begin", "synced", "failed absent"]);
    let snapshot = status.snapshot();
    assert_eq!(
        (snapshot.phase, snapshot.synced, snapshot.failures),
        (WatchPhase::Absent, true, 0)
    );
    assert_eq!(words(&mut watch, 3).await, ["begin", "listed a@8", "synced"]);
    assert_eq!(script.seen().len(), 4, "in silence");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_stays_away_costs_a_request_a_minute() {
    let script = answers(vec![refuse(404)]);
    let status = WatchStatus::new();
    let mut watch = watching_what_may_be_absent(&script, &status);
    words(&mut watch, 3).await;
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, watch.next()).await.is_err(), "told once");
    let asked = script.seen().len();
    assert!((60..=150).contains(&asked), "{asked}");
    let last = script
        .seen()
        .iter()
        .rev()
        .take(2)
        .map(|seen| seen.at)
        .collect::<Vec<_>>();
    assert!(last[0] - last[1] >= Duration::from_secs(30), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_goes_away_is_emptied_and_found_when_it_is_back() {
    let script = answers(vec![
        stream(&[change("ADDED", "a", 4), initial_end(5), Step::Wait(LONG)]),
        refuse(404),
        refuse(404),
        stream(&[change("ADDED", "b", 8), initial_end(9), Step::Open]),
    ]);
    let status = WatchStatus::new();
    let mut watch = watching_what_may_be_absent(&script, &status);
    assert_eq!(
        words(&mut watch, 9).await,
        [
            "begin",
            "listed a@4",
            "synced",
            "begin",
            "synced",
            "failed absent",
            "begin",
            "listed b@8",
            "synced"
        ]
    );
}

#[rstest]
#[case::forbidden(403)]
#[case::away(503)]
#[tokio::test(start_paused = true)]
async fn a_kind_that_may_be_absent_holds_up_nobody_at_the_start_and_loses_nothing_later(#[case] code: u16) {
    let mut first: Vec<Box<dyn Fn() -> Answer + Send>> = vec![refuse(code), refuse(code)];
    first.push(stream(&[change("ADDED", "a", 4), initial_end(5), Step::Open]));
    let script = answers(first);
    let status = WatchStatus::new();
    let mut watch = watching_what_may_be_absent(&script, &status);
    let mut seen = Vec::new();
    while !status.is_synced() {
        seen.extend(words(&mut watch, 1).await);
    }
    assert_eq!(seen.last().map(String::as_str), Some("synced"), "{seen:?}");

    let listed = stream(&[change("ADDED", "a", 4), initial_end(5), Step::Wait(LONG)]);
    let script = answers(vec![
        listed,
        refuse(code),
        stream(&[change("MODIFIED", "a", 6), Step::Open]),
    ]);
    let mut watch = watching_what_may_be_absent(&script, &WatchStatus::new());
    let seen = words(&mut watch, 3).await;
    assert_eq!(seen, ["begin", "listed a@4", "synced"]);
    let next = words(&mut watch, 1).await;
    assert!(next[0].starts_with("failed"), "{next:?}: what is known stands");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_must_be_there_is_never_taken_as_empty() {
    let script = answers(vec![refuse(404)]);
    let mut watch = watching(&script, InitialList::Streaming);
    assert_eq!(words(&mut watch, 3).await, ["failed refused"; 3]);
}

#[rstest]
#[case::streamed(InitialList::Streaming)]
#[case::paged(InitialList::Paged(10))]
#[tokio::test(start_paused = true)]
async fn a_kind_that_may_be_listed_and_not_watched_is_listed_now_and_then(#[case] initial: InitialList) {
    let mut lists = 0;
    let script = Script::new(move |seen| {
        if seen.is_watch() {
            return Answer::Json(403, status(403, "Forbidden"));
        }
        lists += 1;
        if lists == 1 {
            list(&["a"], 5, "")
        } else {
            list(&["b"], 9, "")
        }
    });
    let mut watch = watching(&script, initial);
    let mut seen = words(&mut watch, if initial == InitialList::Streaming { 8 } else { 7 }).await;
    if initial == InitialList::Streaming {
        assert_eq!(seen.remove(0), "failed denied");
    }
    let first = ["begin", "listed a@5", "synced", "failed denied"];
    let second = ["begin", "listed b@9", "synced"];
    assert_eq!(seen, [&first[..], &second[..]].concat(), "told once, listed again");
    let all = script.seen();
    let lists: Vec<Duration> = all.iter().filter(|seen| seen.is_list()).map(|seen| seen.at).collect();
    assert_eq!(lists[1] - lists[0], Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_be_watched_after_all_is_watched() {
    let mut tries = 0;
    let script = Script::new(move |seen| {
        if seen.is_list() {
            return list(&["a"], 5, "");
        }
        tries += 1;
        match tries {
            1 => Answer::Json(403, status(403, "Forbidden")),
            _ => Answer::Stream(vec![change("MODIFIED", "a", 6), Step::Open]),
        }
    });
    let mut watch = watching(&script, InitialList::Paged(10));
    let seen = words(&mut watch, 8).await;
    assert_eq!(seen[4..], ["begin", "listed a@5", "synced", "applied a@6"]);
}
