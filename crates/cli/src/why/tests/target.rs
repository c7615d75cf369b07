//! How a workload is named.

use crate::why::gather::target;

fn parsed(words: &[&str]) -> Result<String, String> {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let found = target(&words).and_then(|target| Ok((target.kind(&[])?, target.name)));
    found
        .map(|(kind, name)| format!("{}/{name}", kind.word()))
        .map_err(|error| error.to_string())
}

#[test]
fn a_workload_is_named_as_with_kubectl() {
    for words in [
        &["deployment/web"][..],
        &["deploy/web"],
        &["deployment", "web"],
        &["Deployments", "web"],
        &["deployment.apps/web"],
    ] {
        assert_eq!(parsed(words).as_deref(), Ok("deployment/web"), "{words:?}");
    }
}

#[test]
fn what_names_no_workload_says_how_to_name_one() {
    let errors: Vec<String> = [
        &["web"][..],
        &["ingress/web"],
        &["deployment/web", "sts/db"],
        &["deployment/"],
        &["deployment/Web"],
    ]
    .map(|words| parsed(words).unwrap_err())
    .into();
    assert_eq!(
        errors,
        [
            "\"web\" has no kind: write KIND/NAME, such as deployment/web",
            "\"ingress\" is not a kind that Afresh keeps current: write one of deployment, statefulset, daemonset, cronjob, \
             job, rollout, deploymentconfig, pod; for one of --workload give that flag here too",
            "one workload at a time: write KIND/NAME or KIND NAME",
            "a name is empty",
            "\"Web\" is not a Kubernetes name: use a-z, 0-9, '-' and '.', beginning and ending with a letter or digit",
        ]
    );
}
