//! Thousands of seeded fault schedules: whatever happens, every workload ends up on the current content, rolled exactly
//! as often as its changes ask for.
//!
//! `AFRESH_SEEDS=N` runs that many; `AFRESH_SEED=n` replays one, with the controllers' log on stderr. One seed always
//! gives the same run: the sandbox, the clock and all chance in it follow from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod draw;
mod manifest;
mod marks;
mod model;
mod replica;
mod schedule;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use afresh_sandbox::Filter;
use schedule::Schedule;
use tokio::runtime::Builder;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use world::World;

/// Enough to meet every fault in every position many times, in about a minute on two busy cores.
const SEEDS: u64 = 2_000;
/// So many failures are shown.
const SHOWN: usize = 3;
/// So many of the last requests are shown.
const TAIL: usize = 60;

#[test]
fn after_any_schedule_of_faults_every_workload_is_current_and_was_rolled_as_often_as_its_changes_ask() {
    let chosen = number("AFRESH_SEED");
    if chosen.is_some() {
        let debug = tracing::level_filters::LevelFilter::DEBUG;
        let filter = tracing_subscriber::filter::Targets::new().with_target("afresh_", debug);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(debug)
            .with_writer(std::io::stderr)
            .finish()
            .with(filter);
        let _ = subscriber.try_init();
    }
    let seeds = match chosen {
        Some(seed) => seed..seed + 1,
        None => 0..number("AFRESH_SEEDS").unwrap_or(SEEDS),
    };
    let (next, failures) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = || failures.lock().unwrap_or_else(PoisonError::into_inner).len() >= SHOWN;
                    if seed >= seeds.end || enough() {
                        break;
                    }
                    if let Err(report) = run(seed) {
                        eprintln!("{report}"); // at once, in case somebody loses patience
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} seeds failed; see above", failures.len());
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

/// Runs one seed; the error tells everything that is needed to understand it.
fn run(seed: u64) -> Result<(), String> {
    afresh_k8s::random::seed(seed);
    let schedule = Schedule::drawn(seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let tail: Arc<Mutex<String>> = Arc::default();
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(&schedule, &tail))));
    let reason = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => reason,
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default(),
    };
    let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    Err(format!(
        "seed {seed}: {reason}\nreplay it with AFRESH_SEED={seed}\n{schedule}\nthe last requests:\n{tail}"
    ))
}

async fn play(schedule: &Schedule, tail: &Mutex<String>) -> Result<(), String> {
    let mut world = World::install(schedule).await;
    let outcome = rounds(&mut world, schedule).await;
    if outcome.is_err() {
        *tail.lock().unwrap_or_else(PoisonError::into_inner) = last_requests(&world);
    }
    outcome
}

async fn rounds(world: &mut World, schedule: &Schedule) -> Result<(), String> {
    world.begin_round();
    world.settle().await.map_err(|reason| format!("at install: {reason}"))?;
    for (number, round) in schedule.rounds.iter().enumerate() {
        world.begin_round();
        world.disturb(schedule.seed + number as u64, round).await;
        world
            .settle()
            .await
            .map_err(|reason| format!("in round {number}: {reason}"))?;
    }
    Ok(())
}

fn last_requests(world: &World) -> String {
    let all = world.sandbox.log().find(&Filter::any());
    let lines = all.iter().skip(all.len().saturating_sub(TAIL)).map(|record| {
        let request = &record.request;
        let code = record.code.map_or_else(|| "---".to_owned(), |code| code.to_string());
        let patch = record.patch.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{code} {} {} {patch}\n", request.verb.name(), request.uri)
    });
    lines.collect()
}
