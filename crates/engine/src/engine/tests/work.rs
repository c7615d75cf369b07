//! Jobs that are made again, and CronJobs.

use super::*;

fn work(replace: Replace, uid: &str) -> Workload {
    let mut build = Build::env();
    build.uid = uid.to_owned();
    let mut workload = build.done();
    workload.replace = replace;
    if replace == Replace::Spawn {
        workload.selector = Box::default();
    }
    workload
}

/// A change is being carried out by making the Job again.
fn under_way() -> (Engine, Command) {
    let mut engine = engine(settings());
    let at_first = object(&[("a", "1")], 100, 1);
    engine.apply_object(&config_key("configmap/web"), at_first, None, Sight::Listed, now(0));
    let job = work(Replace::Recreate, "uid-1");
    engine.apply_workload(deployment("web"), job, Vec::new(), Sight::Listed, now(0));
    let record = engine.next(now(0)).expect("a record to write");
    engine.finish(record.job, Outcome::Written(None), now(0));
    change(&mut engine, "2", 20, 10_000);
    let again = roll(&mut engine, 10_200).expect("a change to act on");
    engine.take_notices();
    (engine, again)
}

fn told(engine: &mut Engine) -> Vec<(Reason, Subject)> {
    let notices = engine.take_notices().into_iter();
    notices.map(|notice| (notice.reason, notice.subject)).collect()
}

fn failed() -> Outcome {
    Outcome::Failed {
        after: None,
        denied: false,
        message: "no quota".to_owned(),
    }
}

#[test]
fn what_comes_of_a_job_that_is_gone_meanwhile_is_told_all_the_same() {
    for (outcome, reason) in [(Outcome::Written(None), Reason::Rolled), (failed(), Reason::Failed)] {
        for is_back in [false, true] {
            let (mut engine, again) = under_way();
            engine.delete_workload(&deployment("web"), now(10_300));
            if is_back {
                let next = work(Replace::Recreate, "uid-2");
                engine.apply_workload(deployment("web"), next, Vec::new(), Sight::Live, now(10_300));
            }
            engine.finish(again.job, outcome.clone(), now(10_400));
            let subject = Subject::Workload(deployment("web"), "uid-1".into());
            assert_eq!(told(&mut engine), [(reason, subject)], "{is_back}");
            assert!(engine.departed.is_empty());
        }
    }
}

#[test]
fn what_comes_of_another_workload_that_is_gone_is_nobody_s_business() {
    let mut engine = adopted(&Build::env(), settings());
    change(&mut engine, "2", 20, 10_000);
    let command = roll(&mut engine, 10_200).expect("a change to act on");
    engine.delete_workload(&deployment("web"), now(10_300));
    engine.finish(command.job, failed(), now(10_400));
    assert_eq!(told(&mut engine), []);
}

/// Its next run is fresh.
#[test]
fn a_cron_job_of_which_nothing_is_known_is_taken_as_it_is() {
    let mut engine = engine(settings());
    let changed = rewritten(100, &[("a", "2")], 2_000, 20);
    engine.apply_object(&config_key("configmap/web"), changed, None, Sight::Listed, now(0));
    for (replace, word) in [(Replace::Template, "look"), (Replace::Spawn, "record")] {
        let mut workload = work(replace, "uid-1");
        workload.created = Some(UnixSeconds(1_000));
        engine.apply_workload(deployment("web"), workload, Vec::new(), Sight::Listed, now(0));
        let command = engine.next(now(0)).expect("something to do");
        assert_eq!(command.action.word(), word);
        engine.delete_workload(&deployment("web"), now(0));
        engine.finish(command.job, Outcome::Abandoned, now(0));
    }
}
