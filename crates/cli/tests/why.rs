//! `afresh why` itself, against a server over HTTP: what it prints, where, and with which exit status.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::process::Output;
use std::time::Duration;

use afresh_sandbox::{Options, Patch, Sandbox, Serving};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

/// A Deployment that opted in and one that did not, and what they use.
async fn served() -> (Sandbox, Serving) {
    let sandbox = Sandbox::start(&Options::api_server_only());
    let deployment = |name: &str, annotations: &Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "prod", "annotations": annotations},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "i:1", "envFrom": [{"configMapRef": {"name": "web"}}]}]}}}})
    };
    let web = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "prod"}, "data": {"a": "1"}});
    for body in [
        web,
        deployment("web", &json!({"afresh.dev/reload": "auto"})),
        deployment("other", &json!({})),
    ] {
        sandbox.create(body).unwrap();
    }
    let serving = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    (sandbox, serving)
}

async fn why(words: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afresh"));
    command.arg("why").args(words).kill_on_drop(true);
    // No kubeconfig of whoever runs the tests, and no pod's ServiceAccount: only what a test gives.
    command
        .env_clear()
        .env("HOME", "/nowhere")
        .envs(variables.iter().copied());
    let output = timeout(Duration::from_secs(240), command.output()).await;
    output.expect("an answer in time").unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn the_answer_is_text_without_colours_where_nobody_sees_them() {
    let (_sandbox, serving) = served().await;
    let url = serving.url();
    let words = ["deployment/web", "-n", "prod", "--server", &url];
    let answer = why(&words, &[]).await;
    assert_eq!((answer.status.code(), err(&answer)), (Some(0), String::new()));
    let text = out(&answer);
    assert!(
        text.starts_with("deployment/web in prod: would be adopted now"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");

    let forced = why(&words, &[("CLICOLOR_FORCE", "1")]).await;
    assert!(out(&forced).contains('\u{1b}'), "{}", out(&forced));
}

#[tokio::test]
async fn programs_get_json() {
    let (_sandbox, serving) = served().await;
    let url = serving.url();
    let answer = why(
        &["deployment", "other", "-n", "prod", "-o", "json", "--server", &url],
        &[],
    )
    .await;
    assert_eq!(answer.status.code(), Some(0), "{}", err(&answer));
    let told: Value = serde_json::from_str(&out(&answer)).unwrap();
    assert_eq!(
        (&told["verdict"], &told["name"]),
        (&json!("leftAlone"), &json!("other"))
    );
    assert_eq!(told["objects"][0]["references"][0]["freshness"], "frozen");
}

#[tokio::test]
async fn the_default_of_the_controller_can_be_given() {
    let (_sandbox, serving) = served().await;
    let url = serving.url();
    let words = ["deployment/other", "-n", "prod", "-o", "json", "--server", &url];
    let words = [&words[..], &["--default-reload", "auto"]].concat();
    let told: Value = serde_json::from_str(&out(&why(&words, &[]).await)).unwrap();
    assert_eq!(told["verdict"], "adopt");
}

#[tokio::test]
async fn any_other_controller_can_be_asked_by_its_command_line() {
    let (sandbox, serving) = served().await;
    let url = serving.url();
    let words = ["deployment/other", "-n", "prod", "-o", "json", "--server", &url];
    for (line, program, verdict) in [
        (
            &["--", "controller", "--default-reload=auto"][..],
            "controller",
            "adopt",
        ),
        (&["--", "/afresh", "reloader", "--auto-reload-all"], "reloader", "adopt"),
        (&["--", "reloader"], "reloader", "leftAlone"),
    ] {
        let answer = why(&[&words[..], line].concat(), &[("AFRESH_CSI", "true")]).await;
        let told: Value = serde_json::from_str(&out(&answer)).unwrap_or_else(|_| panic!("{}", err(&answer)));
        assert_eq!(
            (&told["verdict"], &told["controller"]["program"]),
            (&json!(verdict), &json!(program))
        );
        assert_eq!(told["controller"]["known"], "with the flags given");
    }
    // A running one is found, and flags lie over what it says.
    let container = json!({"name": "afresh", "image": "i:1", "args": ["controller", "--default-reload=auto"]});
    let labels = json!({"app.kubernetes.io/name": "afresh"});
    let keeper = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "keeper", "namespace": "tools", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [container]}}}});
    sandbox.create(keeper).unwrap();
    let text = why(&words[..3], &[("AFRESH_SERVER", &url)]).await;
    let (text, wrong) = (out(&text), err(&text));
    assert!(
        text.contains("decided as by afresh controller, as deployment tools/keeper has it"),
        "{text}{wrong}"
    );
    // It also tells which kinds of its own there are.
    let resource = afresh_sandbox::Resource::custom("apps.example.org", "v1", "webs", "Web");
    sandbox.register(resource);
    let own = Patch::Json(json!([{"op": "add", "path": "/spec/template/spec/containers/0/args/-",
        "value": "--workload=apps.example.org/v1/Web=spec.template"}]));
    sandbox.patch("deployments", "tools", "keeper", &own).unwrap();
    sandbox
        .create(json!({"apiVersion": "apps.example.org/v1", "kind": "Web", "metadata": {"name": "w", "namespace": "prod"},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "web"}}]}]}}}}))
        .unwrap();
    let told = why(&["web/w", "-n", "prod", "--server", &url], &[]).await;
    assert!(
        out(&told).starts_with("web/w in prod: would be adopted now"),
        "{}{}",
        out(&told),
        err(&told)
    );
    let none = why(&["nosuch/w", "-n", "prod", "--server", &url], &[]).await;
    assert_eq!(none.status.code(), Some(2), "{}", err(&none));
    let off = why(&[&words[..], &["--default-reload=off"]].concat(), &[]).await;
    assert!(out(&off).contains("\"leftAlone\""), "{}", out(&off));
}

#[tokio::test]
async fn the_kubeconfig_says_where_and_in_which_namespace() {
    let (_sandbox, serving) = served().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": serving.url()}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "prod"}},
            {"name": "elsewhere", "context": {"cluster": "here", "user": "me", "namespace": "test"}},
        ],
    });
    std::fs::write(file.path(), config.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let given = why(&["deployment/web", "--kubeconfig", path], &[]).await;
    let inferred = why(&["deployment/web"], &[("KUBECONFIG", path)]).await;
    for answer in [given, inferred] {
        assert!(out(&answer).starts_with("deployment/web in prod:"), "{}", err(&answer));
    }
    let elsewhere = why(&["deployment/web", "--context", "elsewhere"], &[("KUBECONFIG", path)]).await;
    assert!(err(&elsewhere).contains("in namespace test"), "{}", err(&elsewhere));
}

#[tokio::test]
async fn a_workload_that_cannot_be_read_is_status_1_and_the_reason_on_standard_error() {
    let (_sandbox, serving) = served().await;
    let url = serving.url();
    let answer = why(&["sts/web", "-n", "prod", "--server", &url], &[]).await;
    assert_eq!((answer.status.code(), out(&answer)), (Some(1), String::new()));
    assert_eq!(
        err(&answer),
        "afresh: there is no statefulset/web in namespace prod; is it in another one? give -n NAMESPACE\n"
    );
    // Nothing listens where a server was a moment ago.
    drop(serving);
    let answer = why(&["deployment/web", "--server", &url], &[]).await;
    assert_eq!(answer.status.code(), Some(1));
    assert!(err(&answer).contains("cannot reach the API server"), "{}", err(&answer));
}

#[tokio::test]
async fn wrong_usage_is_status_2_and_says_what_is_right() {
    let two_clusters = ["deployment/web", "--server", "http://127.0.0.1:1", "--context", "x"];
    for (words, says) in [
        (
            &["service/web"][..],
            "one of deployment, statefulset, daemonset, cronjob, job, rollout",
        ),
        (&["web"], "write KIND/NAME, such as deployment/web"),
        (&["deployment", "a", "b"], "no more were expected"),
        (&["deployment/a", "sts/b"], "one workload at a time"),
        (&[], "required"),
        (&["deployment/web", "-o", "yaml"], "text, json"),
        (&["deployment/web", "-n", "a.b"], "\"a.b\" is no namespace"),
        (
            &["deployment/web", "--default-reload", "yes"],
            "none of auto, roll, touch, evict, off",
        ),
        (&two_clusters, "cannot be used with"),
        (
            &["deployment/web", "--controller", "afresh"],
            "write NAMESPACE/NAME, such as afresh/afresh",
        ),
        (
            &["deployment/web", "--", "agent"],
            "after --: it is neither afresh controller nor afresh reloader",
        ),
        (
            &["deployment/web", "--", "reloader", "--reload-strategy=x"],
            "after --: invalid value 'x'",
        ),
        (
            &["deployment/web", "--", "controller", "--concurrency=0"],
            "--concurrency is 0",
        ),
    ] {
        let answer = why(words, &[]).await;
        assert_eq!(answer.status.code(), Some(2), "{words:?}: {}", err(&answer));
        assert!(err(&answer).contains(says), "{words:?}: {}", err(&answer));
    }
}
