//! Whatever the server does, a watch never spins, and is complete soon after the server is well again.

use std::time::Duration;

use afresh_k8s::watch::{Event, InitialList};
use futures::StreamExt;
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use crate::script::{Answer, Script, Step, bookmark, change, error_event, initial_end, list, status};
use crate::watch::watching;

#[derive(Debug, Clone, Copy)]
enum Fault {
    CloseAtOnce,
    CloseAfter(u8),
    Break,
    Gone,
    GoneEvent,
    Refuse(u16),
    NoConnection,
    Hang,
    Silence,
    Nonsense,
    OneChange,
    Replay,
    OnlyBookmark,
    HalfALine,
    NotAList,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::CloseAtOnce),
        any::<u8>().prop_map(Fault::CloseAfter),
        Just(Fault::Break),
        Just(Fault::Gone),
        Just(Fault::GoneEvent),
        prop::sample::select(vec![400, 401, 403, 404, 422, 429, 500, 503, 504]).prop_map(Fault::Refuse),
        Just(Fault::NoConnection),
        Just(Fault::Hang),
        Just(Fault::Silence),
        Just(Fault::Nonsense),
        Just(Fault::OneChange),
        Just(Fault::Replay),
        Just(Fault::OnlyBookmark),
        Just(Fault::HalfALine),
        Just(Fault::NotAList),
    ]
}

fn faulty(fault: Fault, version: u64) -> Answer {
    match fault {
        Fault::CloseAtOnce => Answer::Stream(vec![]),
        Fault::CloseAfter(seconds) => Answer::Stream(vec![Step::Wait(Duration::from_secs(seconds.into()))]),
        Fault::Break => Answer::Stream(vec![initial_end(version), Step::Break]),
        Fault::Gone => Answer::Json(410, status(410, "Expired")),
        Fault::GoneEvent => Answer::Stream(vec![error_event(410, "Expired")]),
        Fault::Refuse(code) => Answer::Json(code, status(code, "Reason")),
        Fault::NoConnection => Answer::Refuse,
        Fault::Hang => Answer::Hang,
        Fault::Silence => Answer::Stream(vec![Step::Open]),
        Fault::Nonsense => Answer::Stream(vec![Step::Raw(b"<html>\n\n{}\n".to_vec())]),
        Fault::OneChange => Answer::Stream(vec![change("MODIFIED", "a", version)]),
        Fault::Replay => Answer::Stream(vec![change("MODIFIED", "a", 1)]),
        Fault::OnlyBookmark => Answer::Stream(vec![bookmark(version)]),
        Fault::HalfALine => Answer::Stream(vec![Step::Raw(br#"{"type":"ADD"#.to_vec())]),
        Fault::NotAList => Answer::Json(200, json!({"items": 7})),
    }
}

/// Well: lists the one object as it is, and brings it again in every watch.
fn well(seen: &crate::script::Seen) -> Answer {
    match (seen.is_watch(), seen.query("sendInitialEvents")) {
        (false, _) => list(&["final"], 1_000_000, ""),
        (true, "true") => Answer::Stream(vec![
            change("ADDED", "final", 1_000_000),
            initial_end(1_000_000),
            Step::Open,
        ]),
        (true, _) => Answer::Stream(vec![change("MODIFIED", "final", 1_000_000), Step::Open]),
    }
}

async fn survive(faults: Vec<Fault>, initial: InitialList) {
    let count = faults.len();
    let mut left = faults.into_iter();
    let mut version = 10;
    let script = Script::new(move |seen| {
        version += 1;
        left.next().map_or_else(|| well(seen), |fault| faulty(fault, version))
    });
    let mut watch = watching(&script, initial);
    let begun = Instant::now();
    let mut events = 0;
    loop {
        let event = tokio::time::timeout(Duration::from_secs(3600), watch.next())
            .await
            .expect("news within an hour");
        events += 1;
        assert!(events < 20 * (count + 10), "a storm of events");
        if let Event::Listed(object) | Event::Applied(object) = event.unwrap()
            && object.key().name.as_str() == "final"
        {
            break;
        }
    }
    // The longest silence that one fault can cause is a watch of 255 s.
    assert!(begun.elapsed() < Duration::from_secs(260) * (u32::try_from(count).unwrap() + 1));
    let at: Vec<Duration> = script.seen().iter().map(|seen| seen.at).collect();
    // Two lists in a row are the most that comes without a pause: expired, then refused to stream.
    assert!(
        at.windows(5)
            .all(|five| five[4] - five[0] >= Duration::from_millis(100)),
        "{at:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_watch_survives_any_faults(faults in prop::collection::vec(fault(), 0..24), paged in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let initial = if paged { InitialList::Paged(10) } else { InitialList::Streaming };
        runtime.block_on(survive(faults, initial));
    }
}
