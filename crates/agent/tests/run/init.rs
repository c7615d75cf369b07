//! What every init does: exit statuses, signals, orphans, standard input.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{PROGRAM, Run, Scene, children, eventually, stat};

#[rstest]
#[case("exit 0", 0)]
#[case("exit 3", 3)]
#[case("exit 255", 255)]
#[case("kill -TERM $$", 143)]
#[case("kill -KILL $$", 137)]
#[case("kill -ABRT $$", 134)]
fn the_exit_status_is_the_programs(#[case] script: &str, #[case] code: i32) {
    assert_eq!(Scene::new().run(&[], script).code(), code);
}

#[test]
fn what_cannot_be_started_is_told_as_shells_do() {
    let scene = Scene::new();
    let file = scene.path("no-program");
    fs::write(&file, "text").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let run = |program: &str| Run(scene.command_of(&[PROGRAM], &[], &[program]).spawn().unwrap());

    assert_eq!(run("afresh-no-such-program").code(), 127);
    assert_eq!(run(file.to_str().unwrap()).code(), 126);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(file.to_str().unwrap()).code(), 126);
    let log = scene.log();
    for said in [
        "program=afresh-no-such-program",
        "is it in the image, and in PATH?",
        "is it a file that this user may execute?",
        "A script needs a first line such as #!/bin/sh",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
}

#[test]
fn a_command_that_is_missing_or_a_flag_that_is_wrong_is_a_wrong_usage() {
    let scene = Scene::new();
    for (flags, program, named) in [
        (&[][..], &[][..], "COMMAND"),
        (&["--stop-signal", "HUPP"], &["true"], "\"HUPP\" is no signal"),
        (&["--grace", "soon"], &["true"], "soon"),
    ] {
        let run = Run(scene.command_of(&[PROGRAM], flags, program).spawn().unwrap());
        assert_eq!(run.code(), 2, "{flags:?}");
        assert!(scene.log().contains(named), "{}", scene.log());
    }
}

#[rstest]
#[case("HUP", Signal::HUP)]
#[case("INT", Signal::INT)]
#[case("QUIT", Signal::QUIT)]
#[case("USR1", Signal::USR1)]
#[case("USR2", Signal::USR2)]
#[case("ALRM", Signal::ALARM)]
#[case("TERM", Signal::TERM)]
#[case("CONT", Signal::CONT)]
#[case("TSTP", Signal::TSTP)]
#[case("WINCH", Signal::WINCH)]
#[case("URG", Signal::URG)]
fn a_signal_goes_to_the_program(#[case] name: &str, #[case] signal: Signal) {
    let scene = Scene::new();
    let script = format!("trap 'echo {name}; exit 5' {name}; echo ready; while :; do sleep 0.02; done");
    let run = scene.run(&[], &script);
    scene.line(1);

    run.signal(signal);

    assert_eq!(scene.line(2), name);
    assert_eq!(run.code(), 5);
}

#[test]
fn a_program_that_takes_no_notice_of_sigterm_goes_on_until_it_ends_by_itself() {
    let scene = Scene::new();
    let script = "trap 'echo told' TERM; echo ready; until [ -e $DIR/end ]; do sleep 0.02; done; exit 6";
    let mut run = scene.run(&[], script);
    scene.line(1);

    run.signal(Signal::TERM);

    assert_eq!(scene.line(2), "told");
    assert!(run.is_running());
    File::create(scene.path("end")).unwrap();
    assert_eq!(run.code(), 6);
}

#[test]
fn the_program_has_the_signal_masks_that_it_would_have_without_a_supervisor() {
    let scene = Scene::new();
    let script = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status";
    let without = Command::new("sh").args(["-c", script]).output().unwrap();
    let without = String::from_utf8(without.stdout).unwrap();

    assert_eq!(scene.run(&[], script).code(), 0);

    assert_eq!(scene.lines(), without.lines().collect::<Vec<_>>());
    assert_eq!(without.lines().count(), 3);
}

#[test]
fn a_signal_that_is_ignored_from_the_start_stays_ignored() {
    let scene = Scene::new();
    let before = ["nohup", PROGRAM];
    let script = "echo ready; until [ -e $DIR/end ]; do sleep 0.02; done; exit 4";
    let mut run = Run(scene.command_of(&before, &[], &["sh", "-c", script]).spawn().unwrap());
    eventually("ready", || scene.lines().contains(&"ready".to_owned()).then_some(()));

    run.signal(Signal::HUP);
    run.signal(Signal::HUP);

    assert!(run.is_running());
    File::create(scene.path("end")).unwrap();
    assert_eq!(run.code(), 4);
}

#[test]
fn standard_input_is_the_programs_to_its_end() {
    let scene = Scene::new();
    let mut command = scene.command(&[], "cat; echo end");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = Run(command.spawn().unwrap());

    run.type_in("one\ntwo\n");

    let mut output = String::new();
    run.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "one\ntwo\nend\n");
    assert_eq!(run.code(), 0);
}

#[test]
fn the_program_leads_a_group_of_its_own() {
    let scene = Scene::new();
    let run = scene.run(&[], "echo $$; read never < $DIR/never || sleep 1000");
    let pid: i32 = scene.line(1).parse().unwrap();
    assert_eq!(stat(pid, 2).unwrap(), pid.to_string());
    assert_ne!(stat(run.pid().as_raw_nonzero(), 2).unwrap(), pid.to_string());
}

#[test]
fn orphans_are_reaped_while_the_program_goes_on() {
    let scene = Scene::new();
    let orphan = "(sh -c 'until [ -e $DIR/orphaned ]; do sleep 0.02; done; cut -d\" \" -f4 /proc/$$/stat' & exit 0)";
    let script =
        format!("{orphan}; {orphan}; {orphan}; >$DIR/orphaned; until [ -e $DIR/end ]; do sleep 0.02; done; exit 7");
    let run = scene.run(&[], &script);

    let parents = [scene.line(1), scene.line(2), scene.line(3)];
    assert_eq!(
        parents,
        [(); 3].map(|()| run.pid().as_raw_nonzero().to_string()),
        "they are its children now"
    );
    let left = || {
        let children = children(run.pid());
        (children.len() == 1 && children[0].1 != "Z").then_some(())
    };
    eventually("no zombies", left);
    File::create(scene.path("end")).unwrap();
    assert_eq!(run.code(), 7);
}

#[test]
fn no_orphan_takes_the_programs_exit_status_away() {
    for round in 0..20 {
        let code = 100 + round;
        let script = format!("for i in 1 2 3 4 5 6 7 8; do (true & exit 0); done; (sleep 0.001 & exit 0); exit {code}");
        assert_eq!(Scene::new().run(&[], &script).code(), code);
    }
}

#[test]
fn the_program_has_no_files_open_that_it_would_not_have_without_a_supervisor() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let script = "ls /proc/$$/fd";
    let without = Command::new("sh").args(["-c", script]).output().unwrap();
    let without = String::from_utf8(without.stdout).unwrap();
    let volume = scene.volume();
    let watch = ["--watch", volume.to_str().unwrap(), "--on-change", "signal:HUP"];
    let flags = [&watch[..], &["--listen", "127.0.0.1:0"]].concat();

    assert_eq!(scene.run_with_volume(&flags, script).code(), 0);

    assert_eq!(scene.lines(), without.lines().collect::<Vec<_>>());
}

#[rstest]
#[case::its_program_ends(&["run", "--", "sh", "-c", "exit 4"], 4)]
#[case::no_environment(&["run", "--env-from", "/no/such", "--", "true"], 1)]
#[case::no_such_program(&["run", "--", "/no/such"], 127)]
#[case::flags_that_do_not_go_together(&["agent", "--watch", "/tmp"], 2)]
#[case::nothing_watched(&["run", "--on-change", "restart", "--", "true"], 2)]
fn a_log_that_cannot_be_written_changes_no_exit_status(#[case] arguments: &[&str], #[case] code: i32) {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(PROGRAM).args(arguments).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(code));
}

#[test]
fn flags_of_run_can_be_variables_with_a_value_per_line() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let more = scene.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("MODE"), "fast").unwrap();
    let mut command = scene.command(&[], "echo $X_LEVEL $X_MODE");
    command
        .env(
            "AFRESH_ENV_FROM",
            format!("{}\n{}", scene.volume().display(), more.display()),
        )
        .env("AFRESH_ENV_PREFIX", "X_");
    assert_eq!(Run(command.spawn().unwrap()).code(), 0);
    assert_eq!(scene.lines(), ["info fast"]);
}
