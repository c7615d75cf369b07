//! Touches: repeated, taken back, and in nobody's way.

use super::*;

#[test]
fn touches_are_repeated_and_the_record_is_written_when_they_are_done() {
    let mut engine = adopted(&Build::hot(), settings());
    change(&mut engine, "2", 20, 1_000);
    let first = engine.next(now(1_200)).unwrap();
    assert!(matches!(&first.action, Action::Touch { selector, .. } if &**selector == "app=x"));
    let again = Some(UnixSeconds(now(1_200).wall.0 + 2));
    engine.finish(first.job, Outcome::Touched { touched: 3, again }, now(1_200));
    assert_eq!(engine.next(now(3_199)), None);
    let second = engine.next(now(3_200)).unwrap();
    assert_eq!(second.action, first.action);
    engine.finish(
        second.job,
        Outcome::Touched {
            touched: 3,
            again: None,
        },
        now(3_200),
    );
    let told: Vec<String> = engine.take_notices().into_iter().map(|notice| notice.note).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("touched 3 pods for configmap/web "), "{told:?}");
    let record = engine.next(now(3_200)).unwrap();
    assert!(matches!(record.action, Action::Record(_)));
    engine.finish(record.job, Outcome::Written(None), now(3_200));
    assert_eq!(engine.next(now(100_000)), None);
}

#[test]
fn content_that_goes_back_while_pods_are_touched_is_touched_back() {
    let mut engine = adopted(&Build::hot(), settings());
    change(&mut engine, "2", 20, 1_000);
    let there = engine.next(now(1_200)).unwrap();
    let again = Some(UnixSeconds(now(1_200).wall.0 + 2));
    engine.finish(there.job, Outcome::Touched { touched: 1, again }, now(1_200));
    change(&mut engine, "1", 21, 1_300);
    let back = engine.next(now(1_500)).expect("the pods may hold 2");
    assert!(matches!(back.action, Action::Touch { .. }));
    assert_ne!(back.action, there.action);
    engine.finish(
        back.job,
        Outcome::Touched {
            touched: 1,
            again: None,
        },
        now(1_500),
    );
    assert_eq!(engine.next(now(100_000)), None);
}

#[test]
fn touches_under_way_never_hold_back_a_roll() {
    let mut engine = adopted(
        &Build::hot(),
        Settings {
            concurrency: 1,
            settle: Duration::ZERO,
            ..settings()
        },
    );
    change(&mut engine, "2", 20, 1_000);
    let touch = engine.next(now(1_000)).expect("a touch");
    assert!(matches!(touch.action, Action::Touch { .. }));
    let other = Build {
        uid: "uid-2".into(),
        ..Build::env()
    };
    engine.apply_workload(deployment("other"), other.done(), Vec::new(), Sight::Listed, now(1_001));
    let record = engine.next(now(1_001)).expect("it need not wait for the touch");
    assert_eq!(record.key, deployment("other"));
    engine.finish(
        touch.job,
        Outcome::Touched {
            touched: 1,
            again: None,
        },
        now(1_002),
    );
    assert_eq!(engine.next(now(1_002)), None, "but for one of its own kind");
    engine.finish(record.job, Outcome::Written(None), now(1_003));
    assert!(engine.next(now(1_003)).is_some());
}
