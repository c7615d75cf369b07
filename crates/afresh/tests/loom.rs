//! Every interleaving of the notifier, by loom: the library's own source, compiled against loom's threads and locks.
//!
//! `Swap` is arc-swap in the library. Here it is a lock: what is tried is our protocol around it, not arc-swap.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a part of the library, and helpers of tests"
)]

#[path = "../src/cell.rs"]
mod cell;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;

    #[derive(Debug)]
    pub(crate) struct Swap<V>(Mutex<Arc<V>>);

    impl<V> Swap<V> {
        pub(crate) fn new(value: V) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Arc<V> {
            Arc::clone(&self.0.lock().unwrap())
        }

        pub(crate) fn swap(&self, value: Arc<V>) -> Arc<V> {
            std::mem::replace(&mut self.0.lock().unwrap(), value)
        }
    }
}

use std::pin::pin;
use std::task::{Context, Poll};

use cell::{Cell, Kept, Numbered};
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;

impl Numbered for u64 {
    fn number(&self) -> u64 {
        *self
    }
}

/// How many versions are published after the first.
const LAST: u64 = 3;

fn publish_all(cell: &Cell<u64>) {
    for number in 2..=LAST {
        cell.publish(Arc::new(number));
    }
}

/// Everything up to the last version, each newer than the one before.
fn check(told: &[u64]) {
    assert_eq!(told.last(), Some(&LAST), "the last one was lost: {told:?}");
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "it went back: {told:?}");
}

#[test]
fn a_waiting_thread_is_told_of_the_last_version_whenever_it_comes() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let waiting = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let mut told = vec![1];
                while *told.last().unwrap() < LAST {
                    told.push(*cell.wait(*told.last().unwrap()).unwrap());
                }
                told
            })
        };
        publish_all(&cell);
        check(&waiting.join().unwrap());
    });
}

/// The next version above `seen`, as the stream polls for it.
async fn next(cell: &Cell<u64>, seen: u64, ticket: u64) -> Option<u64> {
    std::future::poll_fn(|context: &mut Context<'_>| match cell.poll(seen, ticket, context) {
        Poll::Ready(next) => Poll::Ready(next.map(|version| *version)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[test]
fn a_waiting_task_is_told_of_the_last_version_whenever_it_comes() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let waiting = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let ticket = cell.ticket();
                let mut told = vec![1];
                while *told.last().unwrap() < LAST {
                    let seen = *told.last().unwrap();
                    told.push(block_on(pin!(next(&cell, seen, ticket))).unwrap());
                }
                told
            })
        };
        publish_all(&cell);
        check(&waiting.join().unwrap());
    });
}

#[test]
fn who_waits_when_it_is_closed_is_told_the_last_version_and_then_the_end() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let waiting = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let mut seen = 1;
                while let Some(version) = cell.wait(seen) {
                    assert!(*version > seen);
                    seen = *version;
                }
                seen
            })
        };
        cell.publish(Arc::new(2));
        cell.close();
        assert_eq!(waiting.join().unwrap(), 2);
    });
}

#[test]
fn the_end_wakes_a_task_while_another_leaves() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let (one, other) = (cell.ticket(), cell.ticket());
        let waiting = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || block_on(pin!(next(&cell, 1, one))))
        };
        cell.leave(other);
        cell.close();
        assert_eq!(waiting.join().unwrap(), None);
    });
}

#[test]
fn what_is_published_is_what_is_read_by_whoever_was_told() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let cell = Arc::clone(&cell);
                thread::spawn(move || {
                    let told = *cell.wait(1).unwrap();
                    let read = *cell.current().load();
                    assert!(read >= told, "told of {told}, read {read}");
                })
            })
            .collect();
        cell.publish(Arc::new(2));
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a_reader_sees_what_it_was_told_of() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let reader = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let mut kept = Kept::new(&cell);
                let told = *cell.wait(1).unwrap();
                let read = *kept.newest(&cell);
                assert!(read >= told, "told of {told}, read {read}");
                read
            })
        };
        publish_all(&cell);
        assert!(reader.join().unwrap() <= LAST);
    });
}

#[test]
fn a_reader_never_goes_back_whichever_way_it_reads() {
    loom::model(|| {
        let cell = Arc::new(Cell::new(1));
        let reader = {
            let cell = Arc::clone(&cell);
            thread::spawn(move || {
                let mut kept = Kept::new(&cell);
                let mut seen = *kept.newest(&cell);
                for read in [*cell.current().load(), *kept.newest(&cell), *cell.current().load()] {
                    assert!(read >= seen, "seen {seen}, then read {read}");
                    seen = read;
                }
            })
        };
        publish_all(&cell);
        reader.join().unwrap();
        let mut kept = Kept::new(&cell);
        assert_eq!(*kept.newest(&cell), LAST);
    });
}

/// The test before must be able to fail: here the number follows the version.
#[test]
#[should_panic(expected = "read 2, then kept 1")]
fn a_number_that_comes_too_late_is_caught() {
    loom::model(|| {
        let (newest, current) = (loom::sync::atomic::AtomicU64::new(1), sync::Swap::new(1));
        let state = Arc::new((newest, current));
        let publisher = Arc::clone(&state);
        thread::spawn(move || {
            publisher.1.swap(Arc::new(2));
            publisher.0.store(2, loom::sync::atomic::Ordering::Relaxed);
        });
        let read = *state.1.load();
        let is_newest = state.0.load(loom::sync::atomic::Ordering::Relaxed) == 1;
        let kept = if is_newest { 1 } else { *state.1.load() };
        assert!(kept >= read, "read {read}, then kept {kept}");
    });
}

/// The tests above must be able to fail: here the number is told before the version can be read.
#[test]
#[should_panic(expected = "told of 2, read 1")]
fn a_notifier_that_tells_too_early_is_caught() {
    loom::model(|| {
        let version = sync::Swap::new(1);
        let state = Arc::new((loom::sync::atomic::AtomicU64::new(1), version));
        let publisher = Arc::clone(&state);
        thread::spawn(move || {
            publisher.0.store(2, loom::sync::atomic::Ordering::SeqCst);
            publisher.1.swap(Arc::new(2));
        });
        let told = state.0.load(loom::sync::atomic::Ordering::SeqCst);
        let read = *state.1.load();
        assert!(read >= told, "told of {told}, read {read}");
    });
}
