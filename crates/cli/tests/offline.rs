//! What works without a cluster.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::{Command, Output};

/// Neither a kubeconfig nor a pod's ServiceAccount is there.
fn afresh(words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afresh"));
    let Output { status, stdout, stderr } = command
        .args(words)
        .env_clear()
        .env("HOME", "/nowhere")
        .output()
        .unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

/// Reloader asks the API server before it reads its flags.
#[test]
fn reloader_defect_e7_help_and_wrong_flags_need_no_cluster() {
    for command in [&["reloader", "--help"][..], &["controller", "--help"], &["--version"]] {
        let (code, said) = afresh(command);
        assert_eq!(code, Some(0), "{command:?}: {said}");
    }
    assert!(afresh(&["reloader", "--help"]).1.contains("--reload-strategy"));

    for (wrong, named) in [
        ("--reload-strategy=fast", "fast"),
        ("--no-such-flag", "--no-such-flag"),
        ("--namespaces=A", "--namespaces"),
    ] {
        let (code, said) = afresh(&["reloader", wrong]);
        assert_eq!((code, said.contains(named)), (Some(2), true), "{said}");
    }

    // And with flags that are right it is the cluster that is missing.
    let (code, said) = afresh(&["reloader"]);
    assert_eq!(
        (code, said.contains("cannot tell which cluster is meant")),
        (Some(1), true),
        "{said}"
    );
}
