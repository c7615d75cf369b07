//! What the API server answers to a write, and what it left out of it.

use super::*;

#[test]
fn a_write_that_is_undone_on_its_way_is_tried_again_after_growing_pauses() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let command = roll(&mut engine, 1_200).expect("a roll");
    let stripped = Outcome::Written(Some(Box::new(Build::env().at(30).done())));
    engine.finish(command.job, stripped.clone(), now(1_200));

    assert_eq!(engine.next(now(1_200)), None, "not at once");
    let command = roll(&mut engine, 3_000).expect("but later");
    engine.finish(command.job, stripped, now(3_000));
    assert_eq!(engine.next(now(3_600)), None, "and then later still");
    let told = engine.take_notices();
    let failed = told.iter().filter(|notice| notice.reason == Reason::Failed);
    assert_eq!(failed.count(), 1, "{told:?}");
}

#[test]
fn a_record_that_is_taken_out_on_its_way_is_found_in_the_short_answer_too() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 1_000);
    let command = roll(&mut engine, 1_200).expect("a roll");
    let stripped = Outcome::Recorded {
        record: None,
        revision: Revision(30),
    };
    engine.finish(command.job, stripped, now(1_200));
    assert_eq!(engine.next(now(1_200)), None, "not at once");
    assert!(roll(&mut engine, 3_000).is_some(), "but later");
}

#[test]
fn a_short_answer_is_enough_and_the_watch_may_be_quicker() {
    for quicker in [false, true] {
        let mut engine = adopted(&Build::env(), settings());
        change(&mut engine, "2", 20, 1_000);
        let command = roll(&mut engine, 1_200).expect("a roll");
        let record = command.action.record().expect("with a record").clone();
        let event = Workload {
            record: Some(Box::new(record.clone())),
            ..Build::env().at(30).done()
        };
        let watch = |engine: &mut Engine| {
            engine.apply_workload(deployment("web"), event.clone(), Vec::new(), Sight::Live, now(1_300));
        };
        if quicker {
            watch(&mut engine);
        }
        let answer = Outcome::Recorded {
            record: Some(Box::new(record)),
            revision: Revision(30),
        };
        engine.finish(command.job, answer, now(1_300));
        let id = engine.index().id(&deployment("web")).unwrap();
        let rollout = engine.index().workload(id).unwrap().workload.rollout;
        let expected = if quicker {
            Rollout::Complete
        } else {
            Rollout::InProgress
        };
        assert_eq!(rollout, expected, "until its status tells otherwise it is being rolled");
        assert_eq!(engine.next(now(2_000)), None);
        watch(&mut engine);
        assert_eq!(engine.next(now(3_000)), None);
        let known = engine.index().workload(id).unwrap().workload;
        assert_eq!((known.rollout, known.revision), (Rollout::Complete, Some(Revision(30))));
    }
}
