//! The agent beside an application: what it does of a change, whatever happens meanwhile.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use afresh_volume::{AtomicWriter, File as Entry, Files, Snapshot};
use rstest::rstest;
use rustix::process::{Signal, kill_process};

use crate::files::{agent, read, says};
use crate::process_1::{NAMESPACE, process_1};
use crate::scene::{PROGRAM, Run, Scene, can_be_process_1, children, eventually};

const ACT: &str = "exec:sh -c 'cat $DIR/volume/a >> $DIR/done; echo >> $DIR/done'";
const ACT_ON_OUTPUT: &str = "exec:sh -c 'cat $DIR/out/a >> $DIR/done; echo >> $DIR/done'";
const NOT_BAD: &str = "sh -c 'echo >> $DIR/tries; ! grep bad {}/a'";

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until a file begins so: what is cut off by a short time is done once more.
fn begins(scene: &Scene, name: &str, text: &str) {
    eventually(&format!("{text:?} in {name}; log:\n{}", scene.log()), || {
        read(scene, name)?.starts_with(text).then_some(())
    });
}

/// As by the kernel: no time for a last word.
pub(crate) fn kill(mut run: Run) {
    run.0.kill().unwrap();
    run.0.wait().unwrap();
}

#[test]
fn content_that_goes_back_after_a_refusal_is_no_change() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let _run = agent(
        &scene,
        &["--check", NOT_BAD, "--on-change", ACT, "--log-level", "debug"],
    );
    scene.logged("watching");
    scene.write(&[("a", "bad")]);
    scene.logged("the last good one stays until it changes");
    scene.logged("what=\"--check sh -c ");
    assert!(
        scene.log().contains("the check failed: exit status: 1: bad"),
        "{}",
        scene.log()
    );
    scene.write(&[("a", "1")]);
    eventually("it goes back", || {
        (scene.log().matches("the content has changed").count() == 2).then_some(())
    });
    scene.write(&[("a", "2")]);
    says(&scene, "done", "2\n");
    assert_eq!(
        read(&scene, "tries").unwrap().lines().count(),
        2,
        "bad once, and the last"
    );
}

#[test]
fn an_agent_that_died_between_writing_and_acting_acts_when_it_is_back_and_then_no_more() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let out = scene.path("out");
    let hang = "exec:sh -c 'touch $DIR/gate; exec sleep 1000'";
    let first = agent(
        &scene,
        &["--output", text(&out), "--timeout", "1h", "--on-change", hang],
    );
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    eventually("it acts", || scene.path("gate").exists().then_some(()));
    assert_eq!(read(&scene, "out/a").unwrap(), "2");
    kill(first);

    let second = agent(&scene, &["--output", text(&out), "--on-change", ACT_ON_OUTPUT]);
    says(&scene, "done", "2\n");
    eventually("it is written down", || {
        let record = read(&scene, "out/..afresh_acted")?;
        let digest = Snapshot::read(&out).unwrap().fingerprint(None).digest;
        (record.trim() == digest.to_string()).then_some(())
    });
    kill(second);

    let _third = agent(&scene, &["--output", text(&out), "--on-change", ACT_ON_OUTPUT]);
    scene.write(&[("a", "3")]);
    says(&scene, "done", "2\n3\n");
}

#[test]
fn what_changed_while_no_agent_ran_is_found_by_the_output() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let out = scene.path("out");
    let flags = ["--output", text(&out), "--on-change", ACT_ON_OUTPUT];
    let first = agent(&scene, &flags);
    says(&scene, "out/a", "1");
    eventually("it is written down", || read(&scene, "out/..afresh_acted"));
    kill(first);
    scene.write(&[("a", "2")]);
    let _second = agent(&scene, &flags);
    says(&scene, "done", "2\n");
}

#[test]
fn without_an_output_the_start_is_acted_on_where_that_is_asked_for() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let _run = agent(&scene, &["--act-at-start", "--on-change", ACT]);
    says(&scene, "done", "1\n");
}

#[test]
fn a_hanging_action_does_not_keep_newer_content_waiting() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let hang =
        "exec:sh -c 'grep -q hang $DIR/volume/a && touch $DIR/gate && sleep 1000; cat $DIR/volume/a >> $DIR/done'";
    let _run = agent(&scene, &["--timeout", "1h", "--on-change", hang]);
    scene.logged("watching");
    scene.write(&[("a", "hang")]);
    eventually("it hangs", || scene.path("gate").exists().then_some(()));
    scene.write(&[("a", "3")]);
    says(&scene, "done", "3");
    assert!(scene.log().contains("given up for newer content"), "{}", scene.log());
}

#[test]
fn an_action_that_hangs_is_ended_after_its_time_and_tried_again() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let once = "exec:sh -c 'test -e $DIR/gate || { touch $DIR/gate; sleep 1000; }; echo x >> $DIR/done'";
    let _run = agent(&scene, &["--timeout", "100ms", "--on-change", once]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    scene.logged("did not end within 100ms and was ended");
    begins(&scene, "done", "x\n");
}

#[test]
fn actions_are_done_again_where_the_verification_goes_on_failing() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let verify = "sh -c 'test $(wc -l < $DIR/done) -ge 2'";
    let _run = agent(&scene, &["--timeout", "300ms", "--on-change", ACT, "--verify", verify]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    begins(&scene, "done", "2\n2\n");
    let log = scene.log();
    assert!(log.contains("step=verify what=\"--verify sh -c "), "{log}");
}

#[test]
fn a_check_without_a_verdict_is_tried_again() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let check = scene.path("check.sh");
    let _run = agent(&scene, &["--check", text(&check), "--on-change", ACT]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    scene.logged("No such file or directory (os error 2); is it in the image, and in PATH?");
    // Written aside and renamed: a file that is being written cannot be executed.
    let made = Command::new("sh")
        .args([
            "-c",
            "printf '#!/bin/sh\\n' > $1.new && chmod +x $1.new && mv $1.new $1",
            "sh",
            text(&check),
        ])
        .status();
    assert!(made.unwrap().success());
    says(&scene, "done", "2\n");
}

#[rstest]
#[case::missing_command("exec:/no/such/program", "cannot run /no/such/program: No such file or directory")]
#[case::failing_command("exec:sh -c 'echo why >&2; exit 3'", "exit status: 3: why")]
#[case::nobody_listens("http:POST http://127.0.0.1:9/", "cannot connect to 127.0.0.1:9")]
#[case::no_process("signal:HUP", "no process is called")]
fn what_fails_is_told_with_the_reason_and_ends_nothing(#[case] action: &str, #[case] reason: &str) {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let mut run = agent(&scene, &["--process", "afresh-no-such", "--on-change", action]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    scene.logged(reason);
    scene.logged("attempt=2");
    assert!(scene.log().contains(action), "which of several: {}", scene.log());
    assert!(run.is_running());
}

#[test]
fn a_server_that_answers_nothing_is_given_up_in_time() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let action = format!("http:POST http://{}/", silent.local_addr().unwrap());
    let _run = agent(&scene, &["--timeout", "100ms", "--on-change", &action]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    scene.logged("no answer from 127.0.0.1:");
    scene.logged("within 100ms");
}

#[test]
fn several_paths_are_one_flat_set_and_names_that_collide_are_refused() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let other = scene.path("other.conf");
    fs::write(&other, "o").unwrap();
    let out = scene.path("out");
    let _run = agent(&scene, &["--watch", text(&other), "--output", text(&out)]);
    says(&scene, "out/a", "1");
    // A name appears in a new directory after the one before it, as with the kubelet.
    says(&scene, "out/other.conf", "o");
    scene.write(&[("a", "2"), ("other.conf", "mine")]);
    scene.logged("both hold");
    assert_eq!(read(&scene, "out/a").unwrap(), "1");
    scene.write(&[("a", "3")]);
    says(&scene, "out/a", "3");
}

#[test]
fn the_output_never_shows_what_was_not_checked() {
    let scene = Scene::new();
    scene.write(&[("a", "good 0"), ("b", "good 0")]);
    let out = scene.path("out");
    let check = "sh -c 'grep -q good {}/a && cmp -s {}/a {}/b'";
    let _run = agent(&scene, &["--check", check, "--output", text(&out)]);
    says(&scene, "out/a", "good 0");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !is_over.load(Ordering::Relaxed) {
                let snapshot = Snapshot::read(&out).unwrap();
                let (a, b) = (snapshot.get("a").unwrap(), snapshot.get("b").unwrap());
                assert!(a == b && a.starts_with(b"good"), "{:?}", String::from_utf8_lossy(a));
                reads += 1;
            }
            reads
        });
        for number in 1..=60 {
            let good = format!("good {number}");
            scene.write(&[("a", &good), ("b", if number % 2 == 0 { &good } else { "torn" })]);
            scene.write(&[("a", "bad"), ("b", "bad")]);
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        scene.write(&[("a", "good last"), ("b", "good last")]);
        says(&scene, "out/a", "good last");
        is_over.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn content_that_is_too_large_is_told_and_the_last_stays_until_it_fits() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let out = scene.path("out");
    let _run = agent(&scene, &["--max-size", "1Ki", "--output", text(&out)]);
    says(&scene, "out/a", "1");
    scene.write(&[("a", "2"), ("more", &"x".repeat(2000))]);
    scene.logged("more makes the content larger than --max-size 1Ki: raise that, or watch less");
    assert_eq!(read(&scene, "out/a").unwrap(), "1");
    scene.write(&[("a", "3")]);
    says(&scene, "out/a", "3");
    scene.logged("all paths can be read");
}

#[test]
fn flags_can_be_variables_with_a_value_per_line() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let other = scene.path("other.conf");
    fs::write(&other, "o").unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .arg("agent")
        .env("DIR", scene.path(""))
        .env(
            "AFRESH_WATCH",
            format!("{}\n{}", scene.volume().display(), other.display()),
        )
        .env("AFRESH_CHECK", "grep -q [0-9] {}/a")
        .env("AFRESH_OUTPUT", scene.path("out"))
        .env(
            "AFRESH_ON_CHANGE",
            format!("{ACT_ON_OUTPUT}\nexec:sh -c 'echo second >> $DIR/done'"),
        )
        .stderr(File::create(scene.path("log")).unwrap());
    let _run = Run(command.spawn().unwrap());
    says(&scene, "out/other.conf", "o");
    scene.write(&[("a", "2")]);
    says(&scene, "done", "2\nsecond\n");
}

#[test]
fn a_path_that_is_not_there_yet_is_waited_for() {
    let scene = Scene::new();
    let (later, out) = (scene.path("later/deep"), scene.path("out"));
    scene.write(&[("a", "1")]);
    let _run = agent(&scene, &["--watch", text(&later), "--output", text(&out)]);
    scene.logged("there is no content to be read yet; waiting for it");
    scene.logged("does not exist");
    assert!(!out.exists());
    fs::create_dir_all(&later).unwrap();
    AtomicWriter::write(&later, &Files::from([("b".to_owned(), Entry::new("2"))])).unwrap();
    says(&scene, "out/b", "2");
    assert_eq!(read(&scene, "out/a").unwrap(), "1");
}

#[test]
fn a_name_that_is_not_utf8_is_refused_and_shown() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let (plain, out) = (scene.path("plain"), scene.path("out"));
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join(std::ffi::OsStr::from_bytes(b"n\xffme")), "x").unwrap();
    let mut run = agent(&scene, &["--watch", text(&plain), "--output", text(&out)]);
    scene.logged("is not UTF-8");
    assert!(run.is_running() && !out.exists());
}

#[test]
fn a_sub_path_mount_that_goes_stale_is_told_of() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    // A descriptor leads to the inode as a bind mount does.
    let held = File::open(scene.path("volume/a")).unwrap();
    let mount = format!("/proc/{}/fd/{}", std::process::id(), held.as_raw_fd());
    let mut run = agent(&scene, &["--watch", &mount, "--poll", "20ms", "--on-change", ACT]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    scene.logged("this subPath mount shows old content");
    says(&scene, "done", "2\n");
    assert!(run.is_running());
}

#[test]
fn as_process_1_it_reaps_what_commands_leave_behind_and_ends_when_asked() {
    if !can_be_process_1() {
        return;
    }
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let log = File::create(scene.path("log")).unwrap();
    let mut command = Command::new(NAMESPACE[0]);
    command.args(&NAMESPACE[1..]).args([PROGRAM, "agent", "--watch"]);
    command
        .arg(scene.volume())
        .args(["--on-change", "exec:sh -c 'sleep 0.2 & echo x >> $DIR/done'"]);
    command.env("DIR", scene.path("")).stderr(log);
    let run = Run(command.spawn().unwrap());
    scene.logged("watching");
    let agent = process_1(&run);

    scene.write(&[("a", "2")]);

    // Until it is reaped the orphan is a child, asleep or ended.
    says(&scene, "done", "x\n");
    scene.logged("done action=");
    eventually("nobody is left", || children(agent).is_empty().then_some(()));
    kill_process(agent, Signal::TERM).unwrap();
    assert_eq!(run.code(), 0);
}

/// How long the process has run, in nanoseconds.
fn busy(run: &Run) -> u64 {
    let path = format!("/proc/{}/schedstat", run.pid().as_raw_nonzero());
    fs::read_to_string(path)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// After its first try again it has to sleep for two seconds more; one that spins would be busy all the while. The times
/// only give it room for that: what decides is its own work, however busy the machine is.
fn sleeps(run: &Run) {
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let before = busy(run);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let spent = busy(run) - before;
    assert!(spent < 100_000_000, "{spent} ns");
}

#[test]
fn what_cannot_be_read_is_looked_at_now_and_then_and_not_all_the_time() {
    let scene = Scene::new();
    let plain = scene.path("plain");
    fs::create_dir(&plain).unwrap();
    fs::write(plain.join(std::ffi::OsStr::from_bytes(b"n\xffme")), "x").unwrap();
    let run = agent(&scene, &["--watch", text(&plain), "--on-change", ACT]);
    scene.logged("is not UTF-8");
    sleeps(&run);
}

#[test]
fn an_action_that_failed_is_not_waited_for_while_nothing_can_be_read() {
    let scene = Scene::new();
    scene.write(&[("a", "1")]);
    let run = agent(&scene, &["--on-change", "exec:false"]);
    scene.logged("watching");
    scene.write(&[("a", "2")]);
    scene.logged("failed; it is tried again");
    fs::rename(scene.volume(), scene.path("away")).unwrap();
    scene.logged("does not exist");
    sleeps(&run);
    fs::rename(scene.path("away"), scene.volume()).unwrap();
    scene.logged("attempt=2");
}

#[rstest]
#[case(&[], "nothing is watched: give --watch PATH")]
#[case(&["--watch", "/tmp"], "nothing follows from a change: give --on-change ACTION, --output DIR or both")]
#[case(&["--watch", "/tmp", "--on-change", "http:POST https://a/"], "is not plain http")]
#[case(&["--watch", "/tmp", "--on-change", "signal:HUPP"], "\"HUPP\" is no signal")]
#[case(&["--watch", "/tmp", "--on-change", "signal:HUP"], "give --process NAME")]
#[case(&["--watch", "/tmp", "--on-change", "restart"], "restart is for `afresh run -- COMMAND`")]
#[case(&["--watch", "/tmp", "--on-change", "exec:true", "--timeout", "0"], "0 leaves no time at all")]
#[case(&["--watch", "/tmp", "--on-change", "exec:true", "--settle", "5"], "\"5\" has no unit")]
#[case(&["--watch", "/tmp/a", "--output", "/tmp"], "lie within one another")]
#[case(&["--watch", "/tmp", "--watch", "/tmp", "--output", "/o"], "is given twice")]
#[case(&["--watch", "/tmp", "--output", "/o", "--verify", "true"], "--verify needs an action")]
#[case(&["--watch", "/tmp", "--on-change", "exec:true", "--process", "/bin/sh"], "is no name of a process")]
#[case(&["--watch", "/tmp", "--on-change", "exec:true", "--listen", "9091"], "\"9091\" is no address")]
#[case(
    &["--source", "configmap/web", "--source-dir", "/o", "--on-change", "exec:true"],
    "this small program is built without one: use the `afresh` program"
)]
fn what_is_wrong_is_named_and_the_status_is_2(#[case] flags: &[&str], #[case] message: &str) {
    let output = Command::new(PROGRAM).arg("agent").args(flags).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(message), "{text}");
}
