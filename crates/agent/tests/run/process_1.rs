//! As process 1 of a PID namespace, which is what it is in a container.

use rustix::process::{Signal, kill_process};

use crate::scene::{PROGRAM, Run, Scene, can_be_process_1, children, eventually};

/// Dies with the test, and all that is inside with it.
pub(crate) const NAMESPACE: [&str; 10] = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
];

fn run(scene: &Scene, script: &str) -> Run {
    let volume = scene.volume();
    let flags = ["--env-from", volume.to_str().unwrap(), "--settle", "1ms"];
    let before = [&NAMESPACE[..], &[PROGRAM]].concat();
    Run(scene
        .command_of(&before, &flags, &["sh", "-c", script])
        .spawn()
        .unwrap())
}

/// Who is process 1 inside, as seen from outside.
pub(crate) fn process_1(run: &Run) -> rustix::process::Pid {
    let inside = eventually("the supervisor", || children(run.pid()).into_iter().next());
    rustix::process::Pid::from_raw(inside.0).unwrap()
}

#[test]
fn process_1_stays_while_its_program_is_restarted_and_ends_with_its_status() {
    if !can_be_process_1() {
        return;
    }
    let scene = Scene::new();
    scene.write(&[("LEVEL", "info")]);
    let run = run(
        &scene,
        "trap 'exit 11' TERM; echo $LEVEL $PPID; while :; do sleep 0.02; done",
    );
    assert_eq!(scene.line(1), "info 1");
    let before = process_1(&run);

    scene.write(&[("LEVEL", "debug")]);

    assert_eq!(scene.line(2), "debug 1");
    assert_eq!(process_1(&run), before);
    kill_process(before, Signal::TERM).unwrap();
    assert_eq!(run.code(), 11);
}

#[test]
fn process_1_reaps_everybody() {
    if !can_be_process_1() {
        return;
    }
    let scene = Scene::new();
    scene.write(&[]);
    let orphans = "for i in 1 2 3 4 5 6 7 8 9; do (true & exit 0); (setsid true & exit 0); done";
    // The shell, process 1 and the one that looks are left.
    let count =
        "until [ $(ls -d /proc/[0-9]* | wc -l) -le 5 ]; do sleep 0.02; done; cat /proc/[0-9]*/stat | grep -c ') Z '";
    let run = run(&scene, &format!("{orphans}; {count}; exit 3"));
    assert_eq!(run.code(), 3);
    assert_eq!(scene.lines(), ["0"]);
}
