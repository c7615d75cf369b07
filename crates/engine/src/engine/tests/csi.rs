//! SecretProviderClasses: what counts as a rotation, and for whom.

use super::*;
use crate::classes::{Mount, MountKey};
use crate::fixture::{content, name};

/// Mounts `secretproviderclass/db` and, if there are two, `secretproviderclass/mq`.
fn uses(classes: &[&str]) -> Build {
    let mounts: Vec<_> = classes
        .iter()
        .map(|class| serde_json::json!({"name": class, "mountPath": format!("/{class}")}))
        .collect();
    let volumes: Vec<_> = classes
        .iter()
        .map(|class| {
            serde_json::json!({"name": class, "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
                "volumeAttributes": {"secretProviderClass": class}}})
        })
        .collect();
    Build::new(serde_json::json!({"containers": [{"name": "app", "volumeMounts": mounts}], "volumes": volumes}))
}

/// Seconds on the API server's clock.
fn wall(at: u64) -> i64 {
    now(at).wall.0
}

/// The volume of one pod: mounted at `created`, its versions written at `written`, both in the test's milliseconds.
fn mount(class: &str, pod: &str, version: &str, created: u64, written: u64) -> (MountKey, Mount) {
    let mount = Mount {
        class: config_key(&format!("secretproviderclass/{class}")),
        pod: Some(pod.into()),
        content: content(&[("password", version)]),
        sha1: None,
        created: Some(UnixSeconds(wall(created))),
        written: Some(UnixSeconds(wall(written))),
        rewritten: created != written,
        revision: Some(Revision(1_000 + written)),
    };
    ((name("prod"), name(&format!("{pod}-{class}"))), mount)
}

fn mounted(engine: &mut Engine, (key, mount): (MountKey, Mount), at: u64) {
    engine.apply_mount(key, mount, Sight::Live, now(at));
}

/// A Deployment with two pods, adopted with version 1 of each class.
fn running(build: &Build, classes: &[&str]) -> Engine {
    let mut engine = engine(settings());
    engine.apply_workload(deployment("web"), build.done(), Vec::new(), Sight::Listed, now(0));
    for class in classes {
        for pod in ["a", "b"] {
            let (key, mount) = mount(class, pod, "1", 0, 0);
            engine.apply_mount(key, mount, Sight::Listed, now(0));
        }
    }
    finish_all(&mut engine, 5_000);
    engine
}

/// A rollout of the Deployment is under way from `at` on, which is not ours.
fn rolling(engine: &mut Engine, at: u64) {
    let record = {
        let id = engine.index().id(&deployment("web")).unwrap();
        engine.index().workload(id).unwrap().workload.record.clone().unwrap()
    };
    let rolling = Build {
        rollout: Rollout::InProgress,
        ..uses(&["db"]).recorded(&record).at(2_000)
    };
    engine.apply_workload(deployment("web"), rolling.done(), Vec::new(), Sight::Live, now(at));
}

/// Does whatever there is to do until `until`, with two pods that are behind; returns the actions' words.
fn finish_all(engine: &mut Engine, until: u64) -> Vec<&'static str> {
    let mut words = Vec::new();
    while let Some(at) = engine.next_due().map(|due| due.0).filter(|&due| due <= until) {
        let Some(command) = engine.next(now(at)) else { continue };
        words.push(command.action.word());
        let outcome = match &command.action {
            Action::LookAtPods { born, .. } => Outcome::Pods(Pods {
                behind: ["a", "b"].iter().any(|pod| !born.iter().any(|born| &**born == *pod)),
                ..Pods::of([UnixSeconds(wall(0))])
            }),
            _ => Outcome::Written(None),
        };
        engine.finish(command.job, outcome, now(at));
    }
    words
}

#[test]
fn a_rotation_rolls_once_however_many_pods_follow() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    mounted(&mut engine, mount("db", "a", "2", 0, 100_000), 100_000);
    assert_eq!(finish_all(&mut engine, 110_000), ["roll"]);
    mounted(&mut engine, mount("db", "b", "2", 0, 130_000), 130_000);
    for pod in ["c", "d"] {
        mounted(&mut engine, mount("db", pod, "2", 131_000, 131_000), 131_000);
    }
    assert_eq!(finish_all(&mut engine, 200_000), [""; 0]);
}

/// Reloader's defect B7: with both classes in one annotation, the pods' events A, B, A, B each rolled.
#[test]
fn two_classes_that_rotate_at_a_time_roll_once_each_and_do_not_see_each_other() {
    let mut engine = running(&uses(&["db", "mq"]), &["db", "mq"]);
    let mut rolls = Vec::new();
    for (at, class, pod) in [
        (100_000, "db", "a"),
        (120_000, "mq", "a"),
        (140_000, "db", "b"),
        (160_000, "mq", "b"),
    ] {
        mounted(&mut engine, mount(class, pod, "2", 0, at), at);
        rolls.extend(finish_all(&mut engine, at + 10_000));
    }
    assert_eq!(rolls, ["roll", "roll"]);
}

#[test]
fn a_pod_that_lags_never_rolls_back() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    mounted(&mut engine, mount("db", "a", "2", 0, 100_000), 100_000);
    assert_eq!(finish_all(&mut engine, 110_000), ["roll"]);
    engine.delete_mount(&mount("db", "a", "2", 0, 0).0, now(120_000));
    assert_eq!(
        finish_all(&mut engine, 130_000),
        [""; 0],
        "only the pod that lags is left"
    );

    // The next leader sees nothing else.
    let id = engine.index().id(&deployment("web")).unwrap();
    let record = engine.index().workload(id).unwrap().workload.record.clone().unwrap();
    let mut next = super::engine(settings());
    let known = uses(&["db"]).recorded(&record).at(500);
    next.apply_workload(deployment("web"), known.done(), Vec::new(), Sight::Listed, now(300_000));
    let (key, lagging) = mount("db", "b", "1", 0, 1_000);
    next.apply_mount(key, lagging, Sight::Listed, now(300_000));
    assert_eq!(finish_all(&mut next, 400_000), [""; 0]);
    mounted(&mut next, mount("db", "b", "2", 0, 410_000), 410_000);
    assert_eq!(
        finish_all(&mut next, 500_000),
        [""; 0],
        "what it gets late is recorded already"
    );
}

#[test]
fn a_workload_that_is_new_is_adopted_when_its_pods_mount_for_the_first_time() {
    let mut engine = engine(settings());
    engine.apply_workload(deployment("web"), uses(&["db"]).done(), Vec::new(), Sight::Live, now(0));
    assert_eq!(finish_all(&mut engine, 1_000), [""; 0], "nothing is known yet");
    mounted(&mut engine, mount("db", "a", "1", 3_000, 3_000), 3_000);
    mounted(&mut engine, mount("db", "b", "1", 4_000, 4_000), 4_000);
    assert_eq!(finish_all(&mut engine, 60_000), ["record"]);
}

#[test]
fn versions_that_a_rollout_brings_are_no_reason_for_another_one() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    let rolling = Build {
        rollout: Rollout::InProgress,
        ..uses(&["db"]).image("2").at(2_000)
    };
    let record = {
        let id = engine.index().id(&deployment("web")).unwrap();
        engine.index().workload(id).unwrap().workload.record.clone().unwrap()
    };
    let rolling = rolling.recorded(&record);
    engine.apply_workload(deployment("web"), rolling.done(), Vec::new(), Sight::Live, now(100_000));
    // The provider has had version 2 for long; nobody rotates what is mounted.
    mounted(&mut engine, mount("db", "c", "2", 101_000, 101_000), 101_000);
    assert_eq!(finish_all(&mut engine, 120_000), [""; 0], "the rollout is under way");
    mounted(&mut engine, mount("db", "d", "2", 121_000, 121_000), 121_000);
    for pod in ["a", "b"] {
        engine.delete_mount(&mount("db", pod, "1", 0, 0).0, now(122_000));
    }
    let complete = Build {
        rollout: Rollout::Complete,
        ..rolling.at(3_000)
    };
    engine.apply_workload(
        deployment("web"),
        complete.done(),
        Vec::new(),
        Sight::Live,
        now(125_000),
    );
    let look = engine.next(now(125_000)).expect("its pods tell");
    let Action::LookAtPods { born, .. } = &look.action else {
        panic!("{look:?}")
    };
    assert_eq!(born.iter().map(|uid| &**uid).collect::<Vec<_>>(), ["c", "d"]);
    let pods = Pods {
        behind: false,
        ..Pods::of([UnixSeconds(wall(100_500))])
    };
    engine.finish(look.job, Outcome::Pods(pods), now(125_000));
    assert_eq!(finish_all(&mut engine, 200_000), ["record"]);
}

#[test]
fn one_more_pod_that_mounts_newer_versions_shows_that_the_others_are_behind() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    mounted(&mut engine, mount("db", "c", "2", 100_000, 100_000), 100_000);
    assert_eq!(finish_all(&mut engine, 110_000), ["look", "roll"]);
}

#[test]
fn versions_given_to_running_pods_while_a_rollout_brings_them_too_do_not_wait_for_its_end() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    rolling(&mut engine, 100_000);
    mounted(&mut engine, mount("db", "c", "2", 101_000, 101_000), 101_000);
    assert_eq!(finish_all(&mut engine, 120_000), [""; 0]);
    mounted(&mut engine, mount("db", "a", "2", 0, 121_000), 121_000);
    assert_eq!(
        finish_all(&mut engine, 130_000),
        ["roll"],
        "the same versions, and yet news"
    );
}

/// Times have whole seconds: the mount and what was written to it may share one.
#[test]
fn a_rotation_within_the_second_of_its_mount_does_not_wait_for_the_end_of_a_rollout() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    rolling(&mut engine, 5_000);
    let (key, as_mounted) = mount("db", "a", "2", 5_000, 5_000);
    let rotated = Mount {
        rewritten: true,
        ..as_mounted
    };
    mounted(&mut engine, (key, rotated), 5_500);
    assert_eq!(finish_all(&mut engine, 20_000), ["roll"]);
}

#[test]
fn an_application_that_rereads_its_files_needs_nothing() {
    let hot = uses(&["db"]).with("afresh.dev/hot", "true");
    let mut engine = running(&hot, &["db"]);
    mounted(&mut engine, mount("db", "a", "2", 0, 100_000), 100_000);
    assert_eq!(
        finish_all(&mut engine, 200_000),
        [""; 0],
        "the driver has refreshed them already"
    );
}

#[test]
fn a_class_that_is_ignored_triggers_nothing() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    let ignored = Manner {
        ignored: true,
        ..Manner::default()
    };
    let class = config_key("secretproviderclass/db");
    engine.apply_class(&class, ignored, None, Sight::Live, now(50_000));
    mounted(&mut engine, mount("db", "a", "2", 0, 100_000), 100_000);
    assert_eq!(finish_all(&mut engine, 110_000), [""; 0]);
    engine.apply_class(&class, Manner::default(), None, Sight::Live, now(120_000));
    assert_eq!(finish_all(&mut engine, 130_000), ["roll"], "what it missed meanwhile");
}

#[test]
fn scaled_to_nothing_and_back_on_newer_versions_is_recorded_without_a_roll() {
    let mut engine = running(&uses(&["db"]), &["db"]);
    for pod in ["a", "b"] {
        engine.delete_mount(&mount("db", pod, "1", 0, 0).0, now(100_000));
    }
    assert_eq!(finish_all(&mut engine, 110_000), [""; 0]);
    for pod in ["a", "b"] {
        mounted(&mut engine, mount("db", pod, "2", 120_000, 120_000), 120_000);
    }
    assert_eq!(finish_all(&mut engine, 130_000), ["look", "record"]);
}
