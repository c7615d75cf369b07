//! The two holes of kube 5.0.0's `watcher`: each is shown to be there, and not to be here.

use std::time::Duration;

use afresh_k8s::lean::LeanConfigMap;
use afresh_k8s::watch::{Event, InitialList, WatchOptions, WatchStatus, watch};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};

use crate::script::{Answer, Script, Step, initial_end, list, status};

/// So many requests are a hot loop. The server then falls silent, so that the paused clock can move on.
const HOT: usize = 1000;

async fn poll_for(limit: Duration, stream: impl Stream) {
    let mut stream = std::pin::pin!(stream);
    let drain = async { while stream.next().await.is_some() {} };
    assert!(tokio::time::timeout(limit, drain).await.is_err(), "a watch never ends");
}

fn ours(script: &Script, initial: InitialList) -> impl Stream<Item = Event<LeanConfigMap>> + use<> {
    let options = WatchOptions {
        initial,
        ..WatchOptions::default()
    };
    watch(script.client(), options, WatchStatus::new())
}

/// Lists well; every watch opens with 200 and closes at once.
fn closes_at_once() -> Script {
    let mut requests = 0;
    Script::new(move |seen| {
        requests += 1;
        if requests > HOT {
            return Answer::Hang;
        }
        match (seen.is_watch(), seen.query("sendInitialEvents")) {
            (false, _) => list(&["web"], 1, ""),
            (true, _) => Answer::Stream(vec![]),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_closes_at_once_is_retried_with_growing_delays() {
    let limit = Duration::from_secs(60);
    for initial in [InitialList::Paged(500), InitialList::Streaming] {
        // given the bare watcher, with its default backoff
        let script = closes_at_once();
        let config = match initial {
            InitialList::Streaming => watcher::Config::default().streaming_lists(),
            InitialList::Paged(_) => watcher::Config::default(),
        };
        let bare = watcher(Api::<ConfigMap>::all(script.client()), config).default_backoff();
        poll_for(limit, bare).await;
        // then it spins
        assert!(script.seen().len() > HOT, "the hole is gone: {}", script.seen().len());

        // given ours
        let script = closes_at_once();
        poll_for(limit, ours(&script, initial)).await;
        // then it waits, longer each time
        let seen = script.seen();
        assert!((6..20).contains(&seen.len()), "{}", seen.len());
        let last_gap = seen[seen.len() - 1].at - seen[seen.len() - 2].at;
        assert!(last_gap > Duration::from_secs(5), "{last_gap:?}");
    }
}

/// Lists at version 1, refuses to watch from there with HTTP status 410, and is well from version 2 on.
fn forgets() -> Script {
    let mut lists = 0;
    Script::new(move |seen| match (seen.is_watch(), seen.query("resourceVersion")) {
        (false, _) => {
            lists += 1;
            list(&["web"], lists, "")
        }
        (true, "1") => Answer::Json(410, status(410, "Expired")),
        (true, _) => Answer::Stream(vec![Step::Open]),
    })
}

#[tokio::test(start_paused = true)]
async fn a_watch_refused_with_http_status_410_lists_again() {
    let limit = Duration::from_secs(600);
    // given the bare watcher
    let script = forgets();
    let bare = watcher(Api::<ConfigMap>::all(script.client()), watcher::Config::default()).default_backoff();
    poll_for(limit, bare).await;
    // then it asks for the same forgotten version for ever
    let seen = script.seen();
    assert_eq!(seen.iter().filter(|seen| seen.is_list()).count(), 1, "the hole is gone");
    assert!(seen.len() > 5);

    // given ours
    let script = forgets();
    poll_for(limit, ours(&script, InitialList::Paged(500))).await;
    // then it lists again, at once, and watches from there
    let seen = script.seen();
    let asked: Vec<_> = seen
        .iter()
        .map(|seen| (seen.is_list(), seen.query("resourceVersion")))
        .take(4)
        .collect();
    assert_eq!(asked, [(true, ""), (false, "1"), (true, ""), (false, "2")]);
    assert_eq!(seen[3].at, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forgets_after_every_list_is_not_stormed() {
    let script = Script::new(|seen| {
        if seen.is_watch() {
            Answer::Json(410, status(410, "Gone"))
        } else {
            list(&["web"], 1, "")
        }
    });
    poll_for(Duration::from_secs(60), ours(&script, InitialList::Paged(500))).await;
    assert!((10..40).contains(&script.seen().len()), "{}", script.seen().len());
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_that_is_refused_with_410_begins_anew() {
    let mut asked = 0;
    let script = Script::new(move |_| {
        asked += 1;
        match asked {
            1 => Answer::Json(410, status(410, "Expired")),
            _ => Answer::Stream(vec![initial_end(5), Step::Open]),
        }
    });
    let mut stream = std::pin::pin!(ours(&script, InitialList::Streaming));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(stream.next().await.unwrap());
    }
    assert!(
        matches!(seen[..], [Event::Failed(_), Event::Begin, Event::Synced]),
        "{seen:?}"
    );
    assert_eq!(script.seen()[1].at, Duration::ZERO);
}
