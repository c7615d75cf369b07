//! With a terminal, as `kubectl run -it` and a shell at home have one.

use std::process::{Command, Stdio};

use crate::scene::{PROGRAM, Run, Scene, eventually};

/// Runs a command line with a terminal of its own; what is typed comes from standard input.
fn with_terminal(scene: &Scene, line: &str) -> Run {
    let output = std::fs::File::create(scene.path("output")).unwrap();
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::null());
    command.env("DIR", scene.path("")).env("SHELL", "/bin/sh");
    Run(command.spawn().unwrap())
}

fn shows(scene: &Scene, text: &str) {
    eventually(&format!("{text} in {:?}", scene.lines()), || {
        scene.lines().iter().any(|line| line.contains(text)).then_some(())
    });
}

#[test]
fn the_program_can_read_from_the_terminal_before_and_after_a_restart() {
    let scene = Scene::new();
    scene.write(&[("LEVEL", "one")]);
    let volume = scene.volume();
    let line = format!(
        "{PROGRAM} run --settle 1ms --env-from {} -- sh -c 'read line; echo $LEVEL got $line; read line; echo $LEVEL got $line; exit 0'",
        volume.display()
    );
    let mut run = with_terminal(&scene, &line);
    let mut keyboard = run.0.stdin.take().unwrap();
    let mut type_in = |text: &str| std::io::Write::write_all(&mut keyboard, text.as_bytes()).unwrap();

    type_in("a\n");
    shows(&scene, "one got a");
    scene.write(&[("LEVEL", "two")]);
    shows(&scene, "restarted in place");
    type_in("b\n");
    shows(&scene, "two got b");
    type_in("c\n");
    shows(&scene, "two got c");

    assert_eq!(run.code(), 0);
}

#[test]
fn the_interrupt_key_reaches_the_program_once() {
    let scene = Scene::new();
    let line = format!(
        "{PROGRAM} run -- sh -c 'trap \"echo interrupted\" INT; echo ready; while [ ! -e $DIR/end ]; do sleep 0.02; done; exit 5'"
    );
    let mut run = with_terminal(&scene, &line);
    let mut keyboard = run.0.stdin.take().unwrap();
    shows(&scene, "ready");

    std::io::Write::write_all(&mut keyboard, b"\x03").unwrap();
    shows(&scene, "interrupted");
    std::fs::write(scene.path("end"), "").unwrap();

    assert_eq!(run.code(), 5);
    let times = scene.lines().iter().filter(|line| line.contains("interrupted")).count();
    assert_eq!(times, 1, "{:?}", scene.lines());
}

#[test]
fn the_stop_key_stops_the_whole_job_and_the_shell_can_bring_it_back() {
    let scene = Scene::new();
    // An interactive shell has job control; it sees the supervisor stopped, and continues it in the foreground.
    let mut run = with_terminal(&scene, "sh -i");
    let mut keyboard = run.0.stdin.take().unwrap();
    let mut type_in = |text: &str| std::io::Write::write_all(&mut keyboard, text.as_bytes()).unwrap();
    type_in(&format!(
        "{PROGRAM} run -- sh -c 'echo rea''dy; read line; echo go''t $line'\n"
    ));
    shows(&scene, "ready");

    type_in("\x1a");
    shows(&scene, "Stopped");
    type_in("fg\n");
    type_in("again\n");
    shows(&scene, "got again");

    type_in("exit 4\n");
    assert_eq!(run.code(), 4);
}
