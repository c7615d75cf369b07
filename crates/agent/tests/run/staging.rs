//! New content where only the check sees it: for how long it is there.

use std::fs;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::files::{agent, read, says};
use crate::pipeline::{kill, text};
use crate::scene::{Scene, eventually, is_alive};

#[rstest]
#[case::check("--check", "sh -c 'echo $$ > $DIR/who; exec sleep 1000'")]
#[case::action("--on-change", "exec:sh -c 'echo $$ > $DIR/who; exec sleep 1000'")]
fn asked_to_end_it_leaves_nothing_running_and_nothing_staged(#[case] flag: &str, #[case] value: &str) {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let (staging, out) = (scene.path("staging"), scene.path("out"));
    fs::create_dir(&staging).unwrap();
    let own = [
        "--act-at-start",
        "--timeout",
        "1h",
        "--on-change",
        "exec:true",
        "--output",
        text(&out),
    ];
    let run = agent(
        &scene,
        &[&own[..], &["--staging", text(&staging), flag, value]].concat(),
    );
    let who = eventually("it hangs", || read(&scene, "who").filter(|who| who.ends_with('\n')));
    let staged = || fs::read_dir(&staging).unwrap().count();
    assert_eq!(staged(), usize::from(flag == "--check"), "only while it is looked at");

    run.signal(Signal::TERM);

    assert_eq!(run.code(), 0);
    eventually("its end", || (!is_alive(&who)).then_some(()));
    assert_eq!(staged(), 0, "it may be a Secret's content");
}

#[test]
fn what_a_killed_agent_had_staged_is_removed_by_the_next_but_not_what_is_looked_at() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let staging = scene.path("staging");
    fs::create_dir(&staging).unwrap();
    fs::create_dir(staging.join("somebody's")).unwrap();
    let hangs = "sh -c 'echo $$ > $DIR/who; exec sleep 1000'";
    let start = |name: &str, check: &str| {
        let out = scene.path(name);
        let flags = ["--output", text(&out), "--timeout", "1h", "--check", check];
        agent(&scene, &[&flags[..], &["--staging", text(&staging)]].concat())
    };
    let begins_to_look = || {
        let who = eventually("it looks", || read(&scene, "who").filter(|who| who.ends_with('\n')));
        fs::remove_file(scene.path("who")).unwrap();
        Pid::from_raw(who.trim().parse().unwrap()).unwrap()
    };
    let staged = || fs::read_dir(&staging).unwrap().count();
    let first = start("one", hangs);
    let check = begins_to_look();
    kill(first);
    kill_process(check, Signal::KILL).unwrap();
    assert_eq!(staged(), 2);

    let second = start("two", hangs);
    begins_to_look();
    assert_eq!(staged(), 2, "the first one's is gone, the second one's is there");
    let _third = start("three", "true");
    says(&scene, "three/a", "1");
    assert_eq!(staged(), 2, "the second one still looks at its own");

    second.signal(Signal::TERM);
    assert_eq!(second.code(), 0);
    assert_eq!(staged(), 1, "what is not ours stays");
}
