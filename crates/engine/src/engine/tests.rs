//! The engine as a whole: what it asks for, when, and what follows from the answer.

use std::collections::BTreeMap;

use afresh_model::annotation::APPLIED;
use afresh_model::time::Revision;

use super::*;
use crate::fixture::{Build, config_key, context, deployment, now, object, rewritten};

fn settings() -> Settings {
    Settings {
        context: context(),
        settle: Duration::from_millis(200),
        max_rolling: 0,
        rollout_timeout: Duration::from_secs(600),
        concurrency: 8,
        dry_run: false,
    }
}

fn engine(settings: Settings) -> Engine {
    let mut engine = Engine::new(settings, []);
    engine.lead(true, now(0));
    engine
}

/// One workload and one object, both known and settled.
fn adopted(build: &Build, settings: Settings) -> Engine {
    let mut engine = engine(settings);
    engine.apply_object(
        &config_key("configmap/web"),
        object(&[("a", "1")], 100, 1),
        None,
        Sight::Listed,
        now(0),
    );
    engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Listed, now(0));
    let command = engine.next(now(0)).expect("a record to write");
    assert!(matches!(command.action, Action::Record(_)), "{command:?}");
    engine.finish(command.job, Outcome::Written(None), now(0));
    assert_eq!(engine.next(now(0)), None);
    engine
}

fn change(engine: &mut Engine, value: &str, revision: u64, at: u64) {
    let wall = now(at).wall.0;
    let changed = rewritten(100, &[("a", value)], wall, revision);
    engine.apply_object(&config_key("configmap/web"), changed, None, Sight::Live, now(at));
}

fn roll(engine: &mut Engine, at: u64) -> Option<Command> {
    let command = engine.next(now(at))?;
    assert!(matches!(command.action, Action::Roll(..)), "{command:?}");
    Some(command)
}

#[test]
fn nothing_is_done_before_every_watch_has_listed_and_we_lead() {
    let source = Source {
        kind: SourceKind::Config(afresh_model::name::ConfigKind::Secret),
        namespace: None,
    };
    let mut engine = Engine::new(settings(), [source.clone()]);
    engine.apply_workload(
        deployment("web"),
        Build::env().done(),
        Vec::new(),
        Sight::Listed,
        now(0),
    );
    engine.lead(true, now(0));
    assert_eq!((engine.next(now(0)), engine.next_due()), (None, None));
    engine.begin_list(&source);
    engine.end_list(&source, now(1));
    engine.lead(false, now(1));
    assert_eq!((engine.next(now(1)), engine.next_due()), (None, None));
    engine.lead(true, now(2));
    engine.apply_object(
        &config_key("configmap/web"),
        object(&[("a", "1")], 100, 1),
        None,
        Sight::Live,
        now(2),
    );
    assert!(engine.next(now(1_000)).is_some());
}

#[test]
fn a_burst_is_one_roll_when_it_has_been_quiet_for_the_settle_time() {
    let mut engine = adopted(&Build::env(), settings());
    for (n, at) in [(1, 1_000), (2, 1_150), (3, 1_300)] {
        change(&mut engine, &format!("burst {n}"), 20 + n, at);
        assert_eq!(engine.next(now(at + 100)), None);
    }
    assert_eq!(engine.next_due(), Some(Millis(1_500)));
    let command = roll(&mut engine, 1_500).expect("one roll");
    engine.finish(command.job, Outcome::Written(None), now(1_510));
    assert_eq!(engine.next(now(100_000)), None);
}

#[test]
fn a_burst_without_end_waits_ten_settle_times_and_no_longer() {
    let mut engine = adopted(&Build::env(), settings());
    let changes = (1_000..)
        .step_by(100)
        .take_while(|&at| engine.next_due().is_none_or(|due| due.0 > at) || at == 1_000);
    let changes: Vec<u64> = changes.take(30).collect();
    for (n, at) in changes.into_iter().enumerate() {
        change(&mut engine, &n.to_string(), 20 + n as u64, at);
        assert!(engine.next_due().is_some_and(|due| due <= Millis(3_000)));
    }
}

#[test]
fn with_settle_zero_it_acts_at_once() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            settle: Duration::ZERO,
            ..settings()
        },
    );
    change(&mut engine, "2", 20, 1_000);
    assert!(roll(&mut engine, 1_000).is_some());
}

#[test]
fn a_change_back_within_the_burst_is_nothing() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    change(&mut engine, "1", 21, 1_050);
    assert_eq!(engine.next(now(60_000)), None);
}

#[test]
fn one_action_per_workload_and_a_change_meanwhile_is_the_next() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let first = roll(&mut engine, 1_200).unwrap();
    change(&mut engine, "3", 21, 1_210);
    assert_eq!(engine.next(now(60_000)), None, "the first is still under way");
    engine.finish(first.job, Outcome::Written(None), now(60_000));
    let second = roll(&mut engine, 60_200).unwrap();
    assert_ne!(first.action, second.action);
}

#[test]
fn a_failure_is_tried_again_for_ever_at_growing_pauses_and_told_once() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let mut at = 1_200;
    let mut pauses = Vec::new();
    for _ in 0..20 {
        let command = roll(&mut engine, at).expect("tried again");
        let failed = Outcome::Failed {
            after: None,
            denied: true,
            message: "no".into(),
        };
        engine.finish(command.job, failed, now(at));
        let due = engine.next_due().expect("a next attempt").0;
        pauses.push(due - at);
        at = due;
    }
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!(
        pauses[0] >= 500 && pauses[19] >= 300_000 && pauses[19] <= 400_000,
        "{pauses:?}"
    );
    let reasons: Vec<Reason> = engine.take_notices().iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, [Reason::Failed]);
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let command = roll(&mut engine, 1_200).unwrap();
    let throttled = Outcome::Failed {
        after: Some(Duration::from_secs(30)),
        denied: false,
        message: "429".into(),
    };
    engine.finish(command.job, throttled, now(1_200));
    assert_eq!(engine.next(now(31_199)), None);
    assert!(roll(&mut engine, 31_200).is_some());
}

#[test]
fn a_flapping_workload_is_held_back_told_once_and_the_last_state_lands() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            settle: Duration::ZERO,
            ..settings()
        },
    );
    let mut rolls = Vec::new();
    for n in 0..600u64 {
        let at = n * 1_000;
        change(&mut engine, &n.to_string(), 100 + n, at);
        while let Some(command) = engine.next(now(at)) {
            rolls.push(at / 1_000);
            engine.finish(command.job, Outcome::Written(None), now(at));
        }
    }
    assert_eq!(
        rolls,
        [0, 1, 2, 17, 47, 107, 227, 467],
        "three free ones, then pauses of 15, 30, 60, … seconds"
    );
    let due = engine.next_due().expect("the last state still has to land");
    let last = roll(&mut engine, due.0).expect("it lands");
    engine.finish(last.job, Outcome::Written(None), now(due.0));
    assert_eq!(engine.next(now(due.0 + 10_000_000)), None);
    let flapping = engine
        .take_notices()
        .iter()
        .filter(|notice| notice.reason == Reason::Flapping)
        .count();
    assert!(
        (1..=6).contains(&flapping),
        "once per stretch of holding back, not per change: {flapping}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn no_more_workloads_roll_at_once_than_allowed_and_all_have_their_turn() {
    let mut engine = engine(Settings {
        max_rolling: 2,
        settle: Duration::ZERO,
        ..settings()
    });
    engine.apply_object(
        &config_key("configmap/web"),
        object(&[("a", "1")], 100, 1),
        None,
        Sight::Listed,
        now(0),
    );
    let names: Vec<String> = (0..5).map(|n| format!("web-{n}")).collect();
    for own in &names {
        engine.apply_workload(deployment(own), Build::env().done(), Vec::new(), Sight::Listed, now(0));
    }
    while let Some(command) = engine.next(now(0)) {
        engine.finish(command.job, Outcome::Written(None), now(0));
    }
    change(&mut engine, "2", 20, 1_000);
    let mut order = Vec::new();
    for step in 0..5 {
        while let Some(command) = engine.next(now(1_000 + step)) {
            order.push(command.key.name.to_string());
            let known = engine
                .index
                .workload(engine.index.id(&command.key).unwrap())
                .unwrap()
                .workload
                .clone();
            let Action::Roll(roll) = command.action else {
                panic!("{command:?}")
            };
            let rolling = Workload {
                record: Some(roll.record),
                rollout: Rollout::InProgress,
                ..known
            };
            engine.finish(
                command.job,
                Outcome::Written(Some(Box::new(rolling))),
                now(1_000 + step),
            );
        }
        assert_eq!(
            engine.rolling(now(1_000).wall),
            (order.len() - usize::try_from(step).unwrap()).min(2)
        );
        // the oldest rollout completes
        let done = deployment(&order[usize::try_from(step).unwrap()]);
        let known = engine
            .index
            .workload(engine.index.id(&done).unwrap())
            .unwrap()
            .workload
            .clone();
        let complete = Workload {
            rollout: Rollout::Complete,
            ..known
        };
        engine.apply_workload(done, complete, Vec::new(), Sight::Live, now(1_000 + step));
    }
    assert_eq!(order, names);
}

#[test]
fn an_outcome_for_a_workload_that_is_gone_is_not_taken_for_its_successors() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            settle: Duration::ZERO,
            ..settings()
        },
    );
    change(&mut engine, "2", 20, 1_000);
    let old = roll(&mut engine, 1_000).unwrap();
    engine.delete_workload(&deployment("web"), now(1_001));
    let new = Build {
        uid: "uid-2".into(),
        ..Build::env()
    };
    engine.apply_workload(
        deployment("web"),
        new.at(30).done(),
        Vec::new(),
        Sight::Live,
        now(1_002),
    );
    let adopt = engine.next(now(1_002)).unwrap();
    engine.finish(old.job, Outcome::Written(None), now(1_003));
    engine.finish(adopt.job, Outcome::Written(None), now(1_004));
    assert_eq!((engine.next(now(100_000)), engine.running), (None, 0));
}

#[test]
fn a_namespace_that_comes_into_scope_is_caught_up_with() {
    let mut engine = adopted(&Build::env(), settings());
    engine.set_scope(Scope::Only(BTreeSet::new()), now(500));
    change(&mut engine, "2", 20, 1_000);
    assert_eq!(engine.next(now(10_000)), None);
    engine.set_scope(Scope::AllBut(["other".parse().unwrap()].into()), now(20_000));
    assert!(roll(&mut engine, 20_000).is_some());
}

#[test]
fn a_dry_run_reports_each_change_once() {
    let mut engine = adopted(
        &Build::env(),
        Settings {
            dry_run: true,
            settle: Duration::ZERO,
            ..settings()
        },
    );
    for (n, at) in [(2u64, 1_000), (3, 2_000)] {
        change(&mut engine, &n.to_string(), 20 + n, at);
        let command = roll(&mut engine, at).expect("what it would do");
        engine.finish(command.job, Outcome::Written(None), now(at));
        // the server knows of no record
        engine.apply_workload(
            deployment("web"),
            Build::env().at(40 + n).done(),
            Vec::new(),
            Sight::Live,
            now(at),
        );
        assert_eq!(engine.next(now(at)), None);
    }
}

#[test]
fn revisions_in_fixtures_are_numbers() {
    assert_eq!(Build::env().at(7).done().revision, Some(Revision(7)));
}

#[test]
fn content_that_goes_back_is_a_new_template_and_a_repeated_try_is_the_same() {
    let mut engine = adopted(&Build::env(), settings());
    let mut digests = Vec::new();
    for (n, value) in ["2", "3", "2"].into_iter().enumerate() {
        let at = 1_000 + 5_000 * n as u64;
        change(&mut engine, value, 20 + n as u64, at);
        let first = roll(&mut engine, at + 200).expect("a roll");
        let failed = Outcome::Failed {
            after: None,
            denied: false,
            message: "the answer was lost".into(),
        };
        engine.finish(first.job, failed, now(at + 200));
        let second = roll(&mut engine, at + 2_000).expect("once more");
        let digest = |action: &Action| match action {
            Action::Roll(roll) => roll.config,
            other => panic!("{other:?}"),
        };
        assert_eq!(digest(&first.action), digest(&second.action));
        digests.push(digest(&second.action));
        engine.finish(second.job, Outcome::Written(None), now(at + 2_000));
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 3);
}

mod answers;
mod csi;
mod evicting;
mod meddling;
mod storm;
mod telling;
mod touching;
mod work;
