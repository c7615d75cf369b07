//! Pods that are evicted one by one: what stands in the record, and when the next look is.

use super::*;

fn evict() -> Build {
    Build::env().with("afresh.dev/reload", "evict")
}

fn pods(created: &[i64]) -> Outcome {
    Outcome::Pods(Pods::of(created.iter().copied().map(UnixSeconds)))
}

/// The only command, of this kind.
fn only(engine: &mut Engine, word: &str, at: u64) -> Command {
    let command = engine.next(now(at)).expect("something to do");
    assert_eq!(command.action.word(), word, "{command:?}");
    assert_eq!(engine.next(now(at)), None);
    command
}

/// A change at second 10 of the test is being carried out: the first pod is to go.
fn begun(settings: Settings) -> Engine {
    let mut engine = adopted(&evict(), settings);
    change(&mut engine, "2", 20, 10_000);
    let look = only(&mut engine, "look", 10_200);
    engine.finish(look.job, pods(&[10_001, 10_009]), now(10_200));
    let begin = only(&mut engine, "roll", 10_200);
    engine.finish(begin.job, Outcome::Written(None), now(10_200));
    engine
}

fn record(engine: &Engine) -> Record {
    let id = engine.index().id(&deployment("web")).unwrap();
    *engine.index().workload(id).unwrap().workload.record.clone().unwrap()
}

fn look(engine: &mut Engine, outcome: Eviction, at: u64) {
    let command = only(engine, "evict", at);
    engine.finish(command.job, Outcome::Eviction(outcome), now(at));
}

fn evicted(pod: &str) -> Eviction {
    Eviction::Evicted(pod.parse().unwrap())
}

fn reasons(engine: &mut Engine) -> Vec<Reason> {
    engine.take_notices().iter().map(|notice| notice.reason).collect()
}

#[test]
fn the_record_says_what_is_under_way_before_the_first_pod_goes_and_what_was_done_after_the_last() {
    let mut engine = begun(settings());
    let before = record(&engine);
    let evicting = before.evicting.as_deref().expect("under way");
    assert_eq!(
        evicting.since,
        UnixSeconds(10_009),
        "the youngest pod there was, which is older than the change"
    );
    assert_eq!(before.rolls.streak, 1);
    look(&mut engine, evicted("b"), 10_200);
    assert_eq!(engine.next(now(12_199)), None, "time to be replaced");
    look(&mut engine, evicted("a"), 12_200);
    look(&mut engine, Eviction::Done, 14_200);
    let end = only(&mut engine, "record", 14_200);
    engine.finish(end.job, Outcome::Written(None), now(14_200));
    let after = record(&engine);
    assert_eq!((after.evicting, after.rolls), (None, before.rolls));
    assert_ne!(after.applied, before.applied);
    assert_eq!(engine.next(now(1_000_000)), None);
    assert_eq!(reasons(&mut engine), [Reason::Evicting, Reason::Evicted]);
}

#[test]
fn pods_made_after_the_change_stay_when_older_ones_go() {
    let mut engine = adopted(&evict(), settings());
    change(&mut engine, "2", 20, 10_000);
    let look = only(&mut engine, "look", 10_200);
    engine.finish(look.job, pods(&[10_001, 10_015]), now(10_200));
    let begin = only(&mut engine, "roll", 10_200);
    engine.finish(begin.job, Outcome::Written(None), now(10_200));
    assert_eq!(record(&engine).evicting.unwrap().since, UnixSeconds(10_010));
}

#[test]
fn where_an_object_went_back_meanwhile_no_other_objects_time_counts() {
    let mut engine = engine(settings());
    let other = |engine: &mut Engine, value: &str, revision: u64, at: u64| {
        let changed = rewritten(100, &[("a", value)], now(at).wall.0, revision);
        engine.apply_object(&config_key("configmap/other"), changed, None, Sight::Live, now(at));
    };
    let object = object(&[("a", "1")], 100, 1);
    engine.apply_object(
        &config_key("configmap/web"),
        object.clone(),
        None,
        Sight::Listed,
        now(0),
    );
    engine.apply_object(&config_key("configmap/other"), object, None, Sight::Listed, now(0));
    let build = evict().with("afresh.dev/include", "configmap/other");
    engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Listed, now(0));
    let adopt = only(&mut engine, "record", 0);
    engine.finish(adopt.job, Outcome::Written(None), now(0));

    other(&mut engine, "2", 20, 10_000);
    let look = only(&mut engine, "look", 10_200);
    engine.finish(look.job, pods(&[10_001]), now(10_200));
    let begin = only(&mut engine, "roll", 10_200);
    engine.finish(begin.job, Outcome::Written(None), now(10_200));
    change(&mut engine, "2", 21, 30_000);
    other(&mut engine, "1", 22, 40_000);
    let mut begun = None;
    for at in (40_000..60_000).step_by(100) {
        let Some(command) = engine.next(now(at)) else { continue };
        let outcome = match &command.action {
            Action::Evict { .. } => Outcome::Eviction(Eviction::Waits),
            // The second one was made before the object went back, and after the other one changed.
            Action::LookAtPods { .. } => pods(&[10_025, 10_035]),
            _ => {
                begun = command.action.record().cloned();
                Outcome::Written(None)
            }
        };
        engine.finish(command.job, outcome, now(at));
    }
    assert_eq!(begun.expect("begun anew").evicting.unwrap().since, UnixSeconds(10_035));
}

#[test]
fn pods_made_after_the_change_are_no_reason_to_evict() {
    let mut engine = adopted(&evict(), settings());
    change(&mut engine, "2", 20, 10_000);
    let look = only(&mut engine, "look", 10_200);
    engine.finish(look.job, pods(&[10_011, 10_012]), now(10_200));
    let end = only(&mut engine, "record", 10_200);
    engine.finish(end.job, Outcome::Written(None), now(10_200));
    assert_eq!(engine.next(now(1_000_000)), None);
    assert_eq!(reasons(&mut engine), []);
}

#[test]
fn the_next_leader_goes_on_with_the_record() {
    let first = begun(settings());
    let mut engine = engine(settings());
    let changed = rewritten(100, &[("a", "2")], now(10_000).wall.0, 20);
    engine.apply_object(&config_key("configmap/web"), changed, None, Sight::Listed, now(20_000));
    let build = evict().recorded(&record(&first)).at(30);
    engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Listed, now(20_000));
    let command = only(&mut engine, "evict", 20_000);
    let Action::Evict { since, .. } = command.action else {
        panic!()
    };
    assert_eq!(since, UnixSeconds(10_009));
}

#[test]
fn content_that_goes_back_begins_anew_with_all_pods_there_are() {
    let mut engine = begun(settings());
    look(&mut engine, evicted("a"), 10_200);
    change(&mut engine, "1", 21, 11_000);
    let look = only(&mut engine, "look", 11_200);
    engine.finish(look.job, pods(&[10_009, 10_011]), now(11_200));
    let begin = only(&mut engine, "roll", 11_200);
    engine.finish(begin.job, Outcome::Written(None), now(11_200));
    assert_eq!(record(&engine).evicting.unwrap().since, UnixSeconds(10_011));
    self::look(&mut engine, Eviction::Done, 11_200);
    let end = only(&mut engine, "record", 11_200);
    engine.finish(end.job, Outcome::Written(None), now(11_200));
    assert_eq!((record(&engine).evicting, engine.next(now(1_000_000))), (None, None));
}

fn refused(pod: &str) -> Eviction {
    Eviction::Refused {
        pod: pod.parse().unwrap(),
        after: Duration::from_secs(1),
        message: "the budget".into(),
    }
}

#[test]
fn a_refusal_is_told_once_and_the_looks_grow_apart_up_to_half_a_minute() {
    let mut engine = begun(settings());
    engine.take_notices();
    let (mut at, mut pauses) = (10_200, Vec::new());
    for _ in 0..8 {
        look(&mut engine, refused("a"), at);
        let due = engine.next_due().unwrap().0;
        pauses.push((due - at) / 1_000);
        at = due;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30, 30]);
    look(&mut engine, evicted("a"), at);
    assert_eq!(engine.next_due(), Some(Millis(at + 2_000)));
    assert_eq!(reasons(&mut engine), [Reason::EvictionRefused]);
}

/// A budget's count lags behind the pods that it counts.
#[test]
fn a_refusal_that_is_over_at_the_next_look_is_not_told() {
    let mut engine = begun(settings());
    engine.take_notices();
    let mut at = 10_200;
    for pod in ["a", "b", "c"] {
        for outcome in [refused(pod), evicted(pod)] {
            look(&mut engine, outcome, at);
            at = engine.next_due().unwrap().0;
        }
    }
    assert_eq!(reasons(&mut engine), []);
}

#[test]
fn a_record_that_something_takes_out_is_not_written_again_at_once() {
    let mut engine = adopted(&evict(), settings());
    change(&mut engine, "2", 20, 10_000);
    let look = only(&mut engine, "look", 10_200);
    engine.finish(look.job, pods(&[10_001]), now(10_200));
    let begin = only(&mut engine, "roll", 10_200);
    let as_before = evict().recorded(&record(&engine)).at(40).done();
    engine.finish(begin.job, Outcome::Written(Some(Box::new(as_before))), now(10_200));
    assert_eq!(engine.next(now(10_600)), None);
    assert_eq!(reasons(&mut engine), [Reason::Failed]);
}

#[test]
fn a_flapping_workload_begins_at_growing_intervals() {
    let settings = Settings {
        settle: Duration::ZERO,
        ..settings()
    };
    let mut engine = adopted(&evict(), settings);
    let mut begins = Vec::new();
    for n in 0..120u64 {
        let at = 10_000 + n * 1_000;
        change(&mut engine, &n.to_string(), 100 + n, at);
        while let Some(command) = engine.next(now(at)) {
            let outcome = match command.action {
                Action::LookAtPods { .. } => pods(&[now(at).wall.0]),
                Action::Evict { .. } => Outcome::Eviction(Eviction::Done),
                Action::Record(_) => Outcome::Written(None),
                Action::Roll(_) => {
                    begins.push(n);
                    Outcome::Written(None)
                }
                Action::Touch { .. } | Action::EndPause(_) => panic!("{command:?}"),
            };
            engine.finish(command.job, outcome, now(at));
        }
    }
    assert_eq!(begins, [0, 1, 2, 17, 47, 107]);
}

#[test]
fn a_workload_whose_pods_are_evicted_counts_as_rolling() {
    let engine = begun(Settings {
        max_rolling: 1,
        ..settings()
    });
    assert_eq!(engine.rolling(now(10_300).wall), 1);
    assert_eq!(engine.rolling(now(900_000).wall), 0, "but not for ever");
}
