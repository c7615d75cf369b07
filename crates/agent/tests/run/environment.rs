//! The environment from mounted keys, and the restart in place.

use std::fs::{self, File};

use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{PROGRAM, Run, Scene, children, eventually, exists, is_alive, stat};

/// Writes its variable and its number, and stays.
const SERVE: &str = "echo \"$LEVEL $$\"; while :; do sleep 0.02; done";

/// The words of a line.
fn words(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap()
}

#[test]
fn a_changed_key_restarts_the_program_in_place_with_the_new_environment() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let run = scene.run_with_volume(&[], SERVE);
    let first = scene.line(1);

    scene.write(&[("LEVEL", "debug")]);
    let second = scene.line(2);
    scene.write(&[("OTHER", "x")]);
    let third = scene.line(3);

    let (info, one) = words(&first);
    let (debug, two) = words(&second);
    assert_eq!((info, debug), ("info", "debug"));
    assert_eq!(words(&third).0, "", "a key that is gone is no variable any more");
    assert_ne!(one, two);
    assert!(!is_alive(one) && !is_alive(two));
    assert_eq!(
        stat(words(&third).1.parse::<i32>().unwrap(), 1).unwrap(),
        run.pid().as_raw_nonzero().to_string()
    );
    assert_eq!(children(run.pid()).len(), 1);
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
}

#[test]
fn what_is_mounted_wins_over_what_is_inherited_and_files_over_directories() {
    let scene = Scene::new();
    scene.write(&[("A", "mounted"), ("B", "mounted")]);
    let file = scene.path("extra.env");
    fs::write(&file, "B='from file'\n").unwrap();
    let volume = scene.volume();
    let flags = [
        "--env-from",
        volume.to_str().unwrap(),
        "--env-file",
        file.to_str().unwrap(),
    ];
    let mut command = scene.command(&flags, "echo $A, $B, $C");
    command.envs([("A", "inherited"), ("C", "inherited")]);

    assert_eq!(Run(command.spawn().unwrap()).code(), 0);

    assert_eq!(scene.lines(), ["mounted, from file, inherited"]);
}

#[test]
fn a_prefix_is_put_before_each_key() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let run = scene.run_with_volume(&["--env-prefix", "APP_"], "echo $APP_LEVEL-$LEVEL");
    assert_eq!(run.code(), 0);
    assert_eq!(scene.lines(), ["info-"]);
}

#[test]
fn files_that_change_without_changing_a_variable_restart_nothing() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info"), ("no=variable", "1")]);
    let run = scene.run_with_volume(&["--log-level", "debug"], SERVE);
    scene.line(1);

    scene.write(&[("LEVEL", "info"), ("no=variable", "2")]);
    scene.logged("files changed, but no variable");
    scene.write(&[("LEVEL", "debug")]);
    let second = scene.line(2);

    assert_eq!(words(&second).0, "debug");
    assert_eq!(scene.lines().len(), 2);
    assert!(scene.log().contains("a key makes no variable"), "{}", scene.log());
    drop(run);
}

#[test]
fn no_value_is_ever_logged() {
    let scene = Scene::new();
    scene.write(&[("PASSWORD", "hunter2"), ("bad=name", "hunter2")]);
    let run = scene.run_with_volume(&["--log-level", "trace"], "echo started; while :; do sleep 0.02; done");
    scene.line(1);
    scene.write(&[("PASSWORD", "hunter22")]);
    scene.line(2);
    assert!(scene.log().contains("PASSWORD"), "{}", scene.log());
    assert!(!scene.log().contains("hunter2"), "{}", scene.log());
    drop(run);
}

#[test]
fn a_program_that_does_not_end_is_killed_after_its_grace_with_its_group() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let script = "trap '' TERM; sleep 1000 & echo $LEVEL $! $$; while :; do sleep 0.02; done";
    let run = scene.run_with_volume(&["--grace", "100ms", "--bad-start", "end"], script);
    let first = scene.line(1);

    scene.write(&[("LEVEL", "debug")]);
    let second = scene.line(2);

    let (_, pids) = words(&first);
    let (helper, program) = words(pids);
    assert!(second.starts_with("debug "), "{second}");
    assert!(!is_alive(helper) && !is_alive(program), "{first}");
    scene.logged("has not ended in time and is killed grace=100ms");
    // It ignores SIGTERM.
    let helper = words(words(&second).1).0.to_owned();
    let group: i32 = words(words(&second).1).1.parse().unwrap();
    let group = rustix::process::Pid::from_raw(group).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    assert_eq!(run.code(), 137);
    eventually("the helper's end", || (!is_alive(&helper)).then_some(()));
}

#[test]
fn the_stop_signal_can_be_chosen() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let script = "trap 'echo quit; exit 0' QUIT; echo $LEVEL; while :; do sleep 0.02; done";
    let _run = scene.run_with_volume(&["--stop-signal", "SIGQUIT"], script);
    scene.line(1);
    scene.write(&[("LEVEL", "debug")]);
    assert_eq!([scene.line(2), scene.line(3)], ["quit", "debug"]);
}

#[test]
fn what_the_program_left_behind_ends_with_it_but_not_what_was_there_before() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    // As an entry point does: a helper, and then the supervisor in its own place.
    let before = [
        "sh",
        "-c",
        "sleep 1000 & echo $! > $DIR/before; exec \"$0\" \"$@\"",
        PROGRAM,
    ];
    let volume = scene.volume();
    let flags = ["--env-from", volume.to_str().unwrap(), "--settle", "1ms"];
    let script = "if [ $LEVEL = info ]; then setsid sleep 1000 & echo $! > $DIR/left; fi; echo $LEVEL; while :; do sleep 0.02; done";
    let run = Run(scene
        .command_of(&before, &flags, &["sh", "-c", script])
        .spawn()
        .unwrap());
    scene.line(1);
    let pid = |name: &str| fs::read_to_string(scene.path(name)).unwrap();
    eventually("a session of its own", || {
        let left = pid("left").trim().parse::<i32>().ok()?;
        (stat(left, 3)? == left.to_string()).then_some(())
    });

    scene.write(&[("LEVEL", "debug")]);

    assert_eq!(scene.line(2), "debug");
    assert!(!is_alive(&pid("left")), "it would hold its ports");
    assert!(is_alive(&pid("before")));
    drop(run);
    let before = rustix::process::Pid::from_raw(pid("before").trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(before, Signal::KILL).unwrap();
}

#[test]
fn an_environment_that_vanishes_stops_nothing_and_is_taken_when_it_is_back() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let mut run = scene.run_with_volume(&[], SERVE);
    let first = scene.line(1);

    fs::rename(scene.volume(), scene.path("away")).unwrap();
    scene.logged("the program keeps the one it has");
    assert!(run.is_running() && is_alive(words(&first).1));
    fs::create_dir(scene.path("volume.new")).unwrap();
    fs::rename(scene.path("volume.new"), scene.volume()).unwrap();
    scene.write(&[("LEVEL", "debug")]);

    let back = eventually("debug", || {
        scene.lines().into_iter().find(|line| line.starts_with("debug "))
    });
    assert!(is_alive(words(&back).1));
}

#[test]
fn an_environment_that_is_too_large_stops_nothing_and_is_taken_when_it_fits() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let _run = scene.run_with_volume(&["--max-size", "1Ki"], SERVE);
    let first = scene.line(1);

    scene.write(&[("LEVEL", "large"), ("MORE", &"x".repeat(2000))]);
    scene.logged("MORE makes the environment larger than --max-size 1Ki");
    assert!(is_alive(words(&first).1));
    scene.write(&[("LEVEL", "debug")]);

    assert_eq!(words(&scene.line(2)).0, "debug");
    scene.logged("the environment can be read again");
}

#[test]
fn a_broken_dotenv_file_stops_nothing_and_is_taken_when_mended() {
    let scene = Scene::new();
    let file = scene.path("app.env");
    let put = |text: &str| {
        fs::write(scene.path("app.env.new"), text).unwrap();
        fs::rename(scene.path("app.env.new"), &file).unwrap();
    };
    put("LEVEL=info\n");
    let _run = scene.run(&["--env-file", file.to_str().unwrap(), "--settle", "1ms"], SERVE);
    let first = scene.line(1);

    put("LEVEL='info\n");
    scene.logged("line 1: the quotes are not closed");
    assert!(is_alive(words(&first).1));
    put("LEVEL='debug'\n");

    assert_eq!(words(&scene.line(2)).0, "debug");
}

#[test]
fn an_environment_that_is_missing_at_the_start_is_an_error_that_names_it() {
    let scene = Scene::new();
    fs::remove_dir(scene.volume()).unwrap();
    assert_eq!(scene.run_with_volume(&[], SERVE).code(), 1);
    assert!(scene.log().contains("volume does not exist"), "{}", scene.log());
}

/// Fails at once with one of its environments.
const PICKY: &str = "echo $LEVEL; [ $LEVEL = bad ] && exit 9; while :; do sleep 0.02; done";

#[test]
fn a_new_environment_with_which_the_program_fails_is_given_up_until_it_changes() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "one")]);
    let mut run = scene.run_with_volume(&[], PICKY);
    scene.line(1);

    scene.write(&[("LEVEL", "bad")]);
    assert_eq!([scene.line(2), scene.line(3)], ["bad", "one"]);
    scene.logged("is started with the last good one");
    assert!(run.is_running());
    scene.write(&[("LEVEL", "two")]);

    assert_eq!(scene.line(4), "two");
    assert_eq!(scene.lines().len(), 4);
}

#[test]
fn with_bad_start_end_the_program_ends_with_a_bad_environment() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "one")]);
    let run = scene.run_with_volume(&["--bad-start", "end"], PICKY);
    scene.line(1);
    scene.write(&[("LEVEL", "bad")]);
    assert_eq!(run.code(), 9);
}

#[rstest]
#[case("never", "exit 0", 0)]
#[case("on-failure", "exit 0", 0)]
#[case("never", "exit 3", 3)]
fn a_program_that_ends_by_itself_is_the_end(#[case] restart: &str, #[case] script: &str, #[case] code: i32) {
    assert_eq!(Scene::new().run(&["--restart", restart], script).code(), code);
}

#[test]
fn a_program_that_fails_is_started_again_where_that_is_asked_for() {
    let scene = Scene::new();
    let script = "echo start; [ -e $DIR/started ] || { >$DIR/started; exit 3; }; exit 0";
    assert_eq!(scene.run(&["--restart", "on-failure"], script).code(), 0);
    assert_eq!(scene.lines().len(), 2);
}

#[test]
fn asked_to_end_in_the_pause_before_a_start_it_ends_and_says_so() {
    let scene = Scene::new();
    // Each pause is twice the one before.
    let run = scene.run(&["--restart", "always"], "echo start; exit 3");
    scene.logged("the program has ended and is started again after a pause again_in=2s how=\"exit status 3\"");
    run.signal(Signal::TERM);
    assert_eq!(run.code(), 143);
    scene.logged("ending, as asked, while the program was not running");
}

#[test]
fn asked_to_end_while_it_restarts_the_program_is_not_started_again() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let script = "trap 'stop=1; >$DIR/told' USR1; trap '>$DIR/asked' TERM; echo $LEVEL; \
        until [ -n \"$stop\" ] && [ -e $DIR/end ]; do sleep 0.02; done; exit 8";
    let run = scene.run_with_volume(&["--stop-signal", "USR1", "--grace", "1h"], script);
    scene.line(1);
    scene.write(&[("LEVEL", "debug")]);
    eventually("told", || exists(&scene.path("told")));

    run.signal(Signal::TERM);
    eventually("it is passed on", || exists(&scene.path("asked")));
    File::create(scene.path("end")).unwrap();

    assert_eq!(run.code(), 8);
    assert_eq!(scene.lines(), ["info"]);
}
