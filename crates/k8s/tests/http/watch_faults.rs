//! What a watch does when things go wrong.

use std::time::Duration;

use afresh_k8s::lean::LeanConfigMap;
use afresh_k8s::watch::{Event, FailureKind, InitialList, WatchOptions, WatchPhase, WatchStatus, watch};
use futures::StreamExt;
use rstest::rstest;
use serde_json::json;

use crate::script::{Answer, Script, Step, bookmark, change, error_event, initial_end, list, status};
use crate::watch::{watching, words};

/// Answers one after the other; the last one is repeated.
pub fn answers(mut answers: Vec<Box<dyn Fn() -> Answer + Send>>) -> Script {
    answers.reverse();
    Script::new(move |_| {
        let next = if answers.len() > 1 { answers.pop() } else { None };
        next.map_or_else(|| answers[0](), |answer| answer())
    })
}

pub fn stream(steps: &[Step]) -> Box<dyn Fn() -> Answer + Send> {
    let steps = steps.to_vec();
    Box::new(move || Answer::Stream(steps.clone()))
}

pub fn refuse(code: u16) -> Box<dyn Fn() -> Answer + Send> {
    Box::new(move || Answer::Json(code, status(code, "Reason")))
}

pub fn page(names: &'static [&'static str], version: u64, token: &'static str) -> Box<dyn Fn() -> Answer + Send> {
    Box::new(move || list(names, version, token))
}

fn versions(script: &Script) -> Vec<String> {
    script
        .seen()
        .iter()
        .map(|seen| seen.query("resourceVersion").to_owned())
        .collect()
}

pub const LONG: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn an_expired_version_as_an_error_event_lists_again_at_once() {
    let script = answers(vec![
        stream(&[initial_end(5), Step::Wait(LONG), error_event(410, "Expired")]),
        stream(&[change("ADDED", "a", 8), initial_end(9), Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    let seen = words(&mut watch, 6).await;
    assert_eq!(
        seen,
        ["begin", "synced", "failed expired", "begin", "listed a@8", "synced"]
    );
    assert_eq!(script.seen()[1].at, LONG);
}

#[rstest]
#[case::error_event(error_event(500, "InternalError"), "failed refused")]
#[case::broken(Step::Break, "failed connection")]
#[case::not_json(Step::Raw(b"<html>\n".to_vec()), "failed malformed")]
#[case::unknown_type(Step::Line(json!({"type": "NEWS", "object": {}})), "failed malformed")]
#[case::bare_status(Step::Line(status(500, "InternalError")), "failed refused")]
#[tokio::test(start_paused = true)]
async fn any_other_failure_goes_on_from_where_it_was(#[case] fault: Step, #[case] failure: &str) {
    let script = answers(vec![
        stream(&[
            initial_end(5),
            change("ADDED", "a", 6),
            bookmark(7),
            Step::Wait(LONG),
            fault,
        ]),
        stream(&[change("MODIFIED", "a", 8), Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    let seen = words(&mut watch, 5).await;
    assert_eq!(seen, ["begin", "synced", "applied a@6", failure, "applied a@8"]);
    assert_eq!(versions(&script), ["", "7"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_cut_off_by_the_end_is_asked_for_again() {
    let script = answers(vec![
        stream(&[
            initial_end(5),
            change("ADDED", "a", 6),
            Step::Raw(br#"{"type":"ADDED","obj"#.to_vec()),
        ]),
        stream(&[change("ADDED", "b", 7), Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    assert_eq!(
        words(&mut watch, 4).await,
        ["begin", "synced", "applied a@6", "applied b@7"]
    );
    assert_eq!(versions(&script), ["", "6"]);
}

#[rstest]
#[case(400)]
#[case(422)]
#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_stream_lists_is_paged_at_once(#[case] code: u16) {
    let script = answers(vec![
        refuse(code),
        page(&["a"], 5, "more"),
        page(&["b"], 5, ""),
        stream(&[Step::Wait(LONG), error_event(410, "Expired")]),
        page(&["c"], 9, ""),
        stream(&[Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    let seen = words(&mut watch, 9).await;
    let list_one = ["failed no-streaming", "begin", "listed a@5", "listed b@5", "synced"];
    let list_two = ["failed expired", "begin", "listed c@9", "synced"];
    assert_eq!(seen, [&list_one[..], &list_two[..]].concat());
    assert_eq!(script.seen()[1].query("limit"), "100");
    assert_eq!(script.seen()[4].at, LONG);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_its_initial_events_is_paged_after_a_silence() {
    let script = Script::new(|seen| {
        if seen.is_watch() {
            Answer::Stream(vec![change("ADDED", "a", 3), Step::Open])
        } else {
            list(&["a", "b"], 5, "")
        }
    });
    let mut watch = watching(&script, InitialList::Streaming);
    let seen = words(&mut watch, 7).await;
    assert_eq!(
        seen,
        [
            "begin",
            "listed a@3",
            "failed timeout",
            "begin",
            "listed a@5",
            "listed b@5",
            "synced"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn streams_that_break_before_the_end_are_paged_after_the_second_time() {
    let broken = || stream(&[change("ADDED", "a", 3)]);
    let script = answers(vec![broken(), broken(), page(&["a"], 5, ""), stream(&[Step::Open])]);
    let mut watch = watching(&script, InitialList::Streaming);
    let seen = words(&mut watch, 9).await;
    let broken = ["begin", "listed a@3", "failed malformed"];
    assert_eq!(
        seen,
        [&broken[..], &broken[..], &["begin", "listed a@5", "synced"]].concat()
    );
}

#[rstest]
#[case(InitialList::Streaming)]
#[case(InitialList::Paged(10))]
#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_is_given_up_and_tried_again(#[case] initial: InitialList) {
    let mut asked = 0;
    let script = Script::new(move |seen| {
        asked += 1;
        match (asked, seen.is_watch()) {
            (1, _) => Answer::Hang,
            (_, true) => Answer::Stream(vec![initial_end(5), Step::Open]),
            (_, false) => list(&[], 5, ""),
        }
    });
    let mut watch = watching(&script, initial);
    assert_eq!(words(&mut watch, 3).await, ["failed timeout", "begin", "synced"]);
    let at = script.seen()[1].at;
    assert!(at > Duration::from_secs(30) && at < Duration::from_secs(31), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_opened_anew_from_where_it_was_without_a_word() {
    let script = answers(vec![
        stream(&[initial_end(5), bookmark(7), Step::Open]),
        stream(&[change("ADDED", "a", 8), Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    assert_eq!(words(&mut watch, 3).await, ["begin", "synced", "applied a@8"]);
    assert_eq!(versions(&script), ["", "7"]);
    assert_eq!(script.seen()[1].at, Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_asked_for_again_and_the_list_goes_on() {
    let script = answers(vec![
        page(&["a"], 5, "two"),
        refuse(500),
        Box::new(|| Answer::Refuse),
        page(&["b"], 5, ""),
        stream(&[Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Paged(1));
    let seen = words(&mut watch, 6).await;
    assert_eq!(
        seen,
        [
            "begin",
            "listed a@5",
            "failed refused",
            "failed connection",
            "listed b@5",
            "synced"
        ]
    );
    let tokens: Vec<_> = script
        .seen()
        .iter()
        .map(|seen| seen.query("continue").to_owned())
        .collect();
    assert_eq!(tokens, ["", "two", "two", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_token_that_expired_begins_the_list_anew() {
    let script = answers(vec![
        page(&["a"], 5, "two"),
        refuse(410),
        page(&["b"], 9, ""),
        stream(&[Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Paged(1));
    let seen = words(&mut watch, 6).await;
    assert_eq!(
        seen,
        ["begin", "listed a@5", "failed expired", "begin", "listed b@9", "synced"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_stops_nothing() {
    let bad = |kind: &str, version: u64| {
        Step::Line(json!({"type": kind, "object": {
            "metadata": {"namespace": "prod", "name": "bad", "resourceVersion": version.to_string()}, "data": [1]
        }}))
    };
    let script = answers(vec![
        stream(&[
            bad("ADDED", 3),
            change("ADDED", "a", 4),
            initial_end(5),
            bad("MODIFIED", 6),
        ]),
        stream(&[bad("DELETED", 7), change("MODIFIED", "a", 8), Step::Open]),
    ]);
    let status = WatchStatus::new();
    let mut watch = Box::pin(watch::<LeanConfigMap>(
        script.client(),
        WatchOptions::default(),
        status.clone(),
    ));
    let seen = words(&mut watch, 7).await;
    let expected = [
        "begin",
        "undecodable bad",
        "listed a@4",
        "synced",
        "undecodable bad",
        "undecodable bad",
        "applied a@8",
    ];
    assert_eq!(seen, expected);
    assert_eq!(versions(&script), ["", "6"], "the watch went past it");
    assert_eq!(status.snapshot().undecodable, 3);
}

#[tokio::test(start_paused = true)]
async fn history_that_went_backwards_is_listed_again() {
    let script = answers(vec![
        stream(&[initial_end(500), Step::Wait(LONG), bookmark(20)]),
        stream(&[change("ADDED", "a", 19), initial_end(20), Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    let seen = words(&mut watch, 6).await;
    assert_eq!(
        seen,
        ["begin", "synced", "failed expired", "begin", "listed a@19", "synced"]
    );
}

#[tokio::test(start_paused = true)]
async fn replayed_changes_do_not_move_the_watch_back() {
    let script = answers(vec![
        stream(&[initial_end(5), change("ADDED", "a", 9), change("ADDED", "a", 7)]),
        stream(&[Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    assert_eq!(
        words(&mut watch, 4).await,
        ["begin", "synced", "applied a@9", "applied a@7"]
    );
    assert!(
        tokio::time::timeout(Duration::from_secs(10), watch.next())
            .await
            .is_err()
    );
    assert_eq!(versions(&script), ["", "9"]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_followed_by_an_end_is_not_taken_for_progress() {
    let script = answers(vec![stream(&[initial_end(5)]), stream(&[change("ADDED", "a", 5)])]);
    let mut watch = watching(&script, InitialList::Streaming);
    let drain = async { while watch.next().await.is_some() {} };
    assert!(tokio::time::timeout(Duration::from_secs(60), drain).await.is_err());
    assert!(script.seen().len() < 20, "{}", script.seen().len());
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_one_per_watch_are_spaced() {
    let mut version = 5;
    let script = Script::new(move |_| {
        version += 1;
        if version == 6 {
            Answer::Stream(vec![initial_end(6)])
        } else {
            Answer::Stream(vec![change("MODIFIED", "a", version)])
        }
    });
    let mut watch = watching(&script, InitialList::Streaming);
    let drain = async { while watch.next().await.is_some() {} };
    assert!(tokio::time::timeout(Duration::from_secs(60), drain).await.is_err());
    let opened = script.seen().len();
    assert!((250..=301).contains(&opened), "one every 200 ms, not {opened}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_when_to_come_back_is_obeyed() {
    let script = answers(vec![
        Box::new(|| Answer::RetryAfter(429, 20)),
        Box::new(|| Answer::RetryAfter(503, 100_000)),
        stream(&[initial_end(5), Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    assert_eq!(
        words(&mut watch, 4).await,
        ["failed throttled", "failed refused", "begin", "synced"]
    );
    let at: Vec<u64> = script.seen().iter().map(|seen| seen.at.as_secs()).collect();
    assert_eq!(at, [0, 20, 80], "but never for longer than a minute");
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_what_when_and_how_often() {
    let script = answers(vec![refuse(403)]);
    let status = WatchStatus::new();
    let mut watch = Box::pin(watch::<LeanConfigMap>(
        script.client(),
        WatchOptions::default(),
        status.clone(),
    ));
    let mut last = Duration::ZERO;
    for streak in 1..=5 {
        let Some(Event::Failed(failure)) = watch.next().await else {
            panic!("a failure");
        };
        assert_eq!((failure.kind, failure.streak), (FailureKind::Denied, streak));
        assert_eq!(&*failure.message, "the API server answered 403 Reason: told to say 403");
        assert!(failure.retry_in >= last / 2 && failure.retry_in <= Duration::from_secs(15));
        last = failure.retry_in;
    }
    let snapshot = status.snapshot();
    assert_eq!(
        (snapshot.phase, snapshot.failures, snapshot.streak),
        (WatchPhase::Waiting, 5, 5)
    );
    assert!(!snapshot.synced);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_worked_long_is_opened_again_at_once_when_it_breaks() {
    let script = answers(vec![
        stream(&[initial_end(5), Step::Wait(LONG), Step::Break]),
        refuse(503),
        stream(&[Step::Open]),
    ]);
    let mut watch = watching(&script, InitialList::Streaming);
    assert_eq!(
        words(&mut watch, 4).await,
        ["begin", "synced", "failed connection", "failed refused"]
    );
    assert_eq!(script.seen()[1].at, LONG);
}
