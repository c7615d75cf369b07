//! Others who write `afresh.dev/applied`, or take it out.

use super::*;

/// Ten minutes in which an operator puts the workload back, as soon as it has been written, to what `back` makes of it.
/// Returns the seconds at which something was written.
fn ten_minutes(engine: &mut Engine, back: impl Fn(&Build) -> Build) -> Vec<u64> {
    let (mut revision, mut written) = (100, Vec::new());
    for at in (10_000..610_000).step_by(500) {
        while let Some(command) = engine.next(now(at)) {
            let outcome = match &command.action {
                // Pods that nobody replaces: each of them is older than the change.
                Action::LookAtPods { .. } => Outcome::Pods(Pods::of([UnixSeconds(600)])),
                Action::Record(_) | Action::Roll(_) => {
                    written.push(at / 1_000);
                    Outcome::Written(None)
                }
                _ => panic!("{command:?}"),
            };
            let is_write = matches!(outcome, Outcome::Written(_));
            engine.finish(command.job, outcome, now(at));
            if is_write {
                revision += 1;
                let build = back(&Build::env().created(2_000)).at(revision);
                engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Live, now(at));
            }
            assert!(written.len() < 1_000, "a loop as fast as the API server answers");
        }
    }
    written
}

/// A workload that was made after Afresh was installed, and its object.
fn watched() -> Engine {
    let mut engine = engine(settings());
    let data = object(&[("a", "1")], 100, 1);
    engine.apply_object(&config_key("configmap/web"), data, None, Sight::Listed, now(0));
    let build = Build::env().created(2_000);
    engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Listed, now(0));
    engine
}

fn flapping(engine: &mut Engine) -> Vec<String> {
    let notices = engine.take_notices().into_iter();
    let told = notices.filter(|notice| notice.reason == Reason::Flapping);
    told.map(|notice| notice.note).collect()
}

#[test]
fn an_operator_that_takes_the_record_out_is_not_fought_as_fast_as_it_answers() {
    let mut engine = watched();
    let written = ten_minutes(&mut engine, Clone::clone);
    assert_eq!(written, [10, 10, 10, 25, 55, 115, 235, 475]);
    let told = flapping(&mut engine);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("afresh.dev/applied"), "{told:?}");
}

#[test]
fn an_operator_that_undoes_each_roll_with_its_record_is_not_fought_either() {
    let mut engine = watched();
    let adopt = engine.next(now(0)).unwrap();
    engine.finish(adopt.job, Outcome::Written(None), now(0));
    change(&mut engine, "2", 20, 9_000);
    let written = ten_minutes(&mut engine, Clone::clone);
    assert_eq!(written, [10, 10, 10, 25, 55, 115, 235, 475]);
}

#[test]
fn a_copy_of_an_old_record_that_somebody_puts_back_each_time_is_not_fought_either() {
    let mut engine = watched();
    let adopt = engine.next(now(0)).unwrap();
    let old = adopt.action.record().unwrap().clone();
    engine.finish(adopt.job, Outcome::Written(None), now(0));
    change(&mut engine, "2", 20, 9_000);
    let written = ten_minutes(&mut engine, |build| build.clone().recorded(&old));
    assert_eq!(written, [10, 10, 10, 25, 55, 115, 235, 475]);
}

#[test]
fn a_record_that_is_taken_out_once_is_written_again_at_once_and_told_to_nobody() {
    let mut engine = watched();
    let adopt = engine.next(now(0)).unwrap();
    engine.finish(adopt.job, Outcome::Written(None), now(0));
    let bare = Build::env().created(2_000).at(50).done();
    engine.apply_workload(deployment("web"), bare, Vec::new(), Sight::Live, now(1_000));
    let again = engine.next(now(1_000)).expect("adopted anew");
    assert!(matches!(again.action, Action::Record(_)), "{again:?}");
    engine.finish(again.job, Outcome::Written(None), now(1_000));
    assert_eq!((engine.next(now(900_000)), flapping(&mut engine)), (None, Vec::new()));
}

#[test]
fn our_own_record_that_the_watch_brings_before_its_answer_is_nobody_elses() {
    let mut engine = watched();
    let adopt = engine.next(now(0)).unwrap();
    engine.finish(adopt.job, Outcome::Written(None), now(0));
    for n in 0..5 {
        let at = 10_000 + n * 1_000_000;
        change(&mut engine, &n.to_string(), 20 + 2 * n, at);
        let command = roll(&mut engine, at + 200).expect("nothing holds it back");
        let record = command.action.record().unwrap().clone();
        let build = Build::env().created(2_000).recorded(&record).at(21 + 2 * n);
        engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Live, now(at + 210));
        engine.finish(command.job, Outcome::Written(None), now(at + 220));
        let id = engine.index.id(&deployment("web")).unwrap();
        assert!(engine.slots.get(id).is_none_or(|slot| slot.meddling.is_none()));
    }
}

/// Times have whole seconds, and a roll mostly comes within that of the change.
#[test]
fn a_record_that_is_taken_out_after_a_roll_costs_no_second_one() {
    let mut engine = watched();
    let adopt = engine.next(now(0)).unwrap();
    engine.finish(adopt.job, Outcome::Written(None), now(0));
    change(&mut engine, "2", 20, 10_000);
    let command = roll(&mut engine, 10_200).expect("one roll");
    engine.finish(command.job, Outcome::Written(None), now(10_200));
    assert_eq!(engine.next(now(10_200)), None);
    let bare = Build::env().created(2_000).at(50).done();
    engine.apply_workload(deployment("web"), bare, Vec::new(), Sight::Live, now(20_000));
    let look = engine.next(now(20_000)).unwrap();
    assert!(matches!(look.action, Action::LookAtPods { .. }), "{look:?}");
    let made_for_it = Pods::of([now(10_300).wall]);
    engine.finish(look.job, Outcome::Pods(made_for_it), now(20_000));
    let again = engine.next(now(20_000)).unwrap();
    assert!(matches!(again.action, Action::Record(_)), "{again:?}");
}
