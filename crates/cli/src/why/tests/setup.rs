//! How the controller is found, in a small cluster.

use afresh_model::policy::Reload;
use afresh_model::reloader::marks::Strategy;
use afresh_sandbox::{Filter, Options, RequestFault, Sandbox, Verb};
use kube::Client;
use serde_json::{Value, json};

use crate::why::setup::{Program, Setup, Source, find};

fn client(sandbox: &Sandbox) -> Client {
    Client::new(sandbox.service(), "default")
}

fn deployment(namespace: &str, name: &str, labels: &Value, container: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}}})
}

fn ours() -> Value {
    json!({"app.kubernetes.io/name": "afresh"})
}

fn meta_info(namespace: &str, edition: &str, deployment: &str, options: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
    "metadata": {"name": "reloader-meta-info", "namespace": namespace,
        "labels": {"reloader.stakater.com/meta-info": "reloader"}},
    "data": {
        "buildInfo": json!({"edition": edition}).to_string(),
        "deploymentInfo": json!({"name": deployment, "namespace": namespace}).to_string(),
        "reloaderOptions": options.to_string(),
    }})
}

fn sandbox(objects: &[Value]) -> Sandbox {
    let sandbox = Sandbox::start(&Options::api_server_only());
    for object in objects {
        sandbox.create(object.clone()).unwrap();
    }
    sandbox
}

async fn found(sandbox: &Sandbox, namespace: &str) -> Setup {
    let defaults = Setup::default_in("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
    find::anywhere(&client(sandbox), None, &namespace.parse().unwrap(), defaults).await
}

fn said(setup: &Setup) -> String {
    format!("{} {}", setup.program.word(), setup.source)
}

#[tokio::test]
async fn our_own_deployment_is_found_wherever_it_is() {
    let container = json!({"name": "afresh", "image": "i:1", "args": ["controller", "--default-reload=auto", "--honor=wave"],
        "env": [{"name": "AFRESH_OWN_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "AFRESH_SELECTOR", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]});
    let setup = found(&sandbox(&[deployment("tools", "keeper", &ours(), &container)]), "prod").await;
    assert_eq!(said(&setup), "controller as deployment tools/keeper has it");
    assert_eq!(setup.config.conventions.default, Reload::Auto);
    assert!(setup.config.conventions.reloader.is_none() && setup.config.conventions.wave);
    assert_eq!(setup.config.digest_key.namespace.as_str(), "tools");
    assert_eq!(
        setup.notes,
        ["what AFRESH_SELECTOR of the controller holds is not known here"]
    );
}

#[tokio::test]
async fn a_swapped_reloader_is_found_by_its_meta_info_and_read_from_its_deployment() {
    let container = json!({"name": "reloader", "image": "i:1", "command": ["/afresh", "reloader"],
        "args": ["--auto-annotation=a.com/auto", "--reload-strategy=annotations", "--digest-key-secret=key"],
        "env": [{"name": "KUBERNETES_NAMESPACE", "value": "prod"}]});
    let objects = [
        deployment("reloader", "reloader-reloader", &json!({}), &container),
        meta_info("reloader", "afresh", "reloader-reloader", &json!({})),
    ];
    let sandbox = sandbox(&objects);
    let setup = found(&sandbox, "prod").await;
    assert_eq!(said(&setup), "reloader as deployment reloader/reloader-reloader has it");
    let keys = setup.config.conventions.reloader.clone().unwrap();
    assert_eq!(
        (&*keys.auto, setup.config.digest_key.name.as_str()),
        ("a.com/auto", "key")
    );
    assert_eq!(setup.config.conventions().strategy, Some(Strategy::Annotations));
    assert_eq!((setup.config.namespaces.len(), setup.notes.len()), (1, 0));

    let by_name = find::at(
        &client(&sandbox),
        &"reloader".parse().unwrap(),
        &"reloader-reloader".parse().unwrap(),
    )
    .await;
    assert_eq!(said(&by_name.unwrap()), said(&setup));
}

#[tokio::test]
async fn where_its_deployment_may_not_be_read_the_options_in_the_meta_info_are_enough() {
    let options = json!({"reloaderAutoAnnotation": "a.com/auto", "reloadStrategy": "annotations", "reloadOnCreate": true,
        "isArgoRollouts": true, "autoReloadAll": true, "resourcesToIgnore": ["secrets"], "webhookUrl": "",
        "namespaces": null, "resourceSelectors": ["tier in (a", "b)"], "enableHA": true, "logLevel": "info"});
    let sandbox = sandbox(&[meta_info("reloader", "oss", "reloader-reloader", &options)]);
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    sandbox
        .faults()
        .next_requests(10, Filter::verb(Verb::Get).resource("deployments"), forbidden);
    let setup = found(&sandbox, "prod").await;
    assert_eq!(said(&setup), "reloader as configmap reloader/reloader-meta-info has it");
    let config = &setup.config;
    assert_eq!(config.conventions.reloader.clone().unwrap().auto, "a.com/auto");
    assert_eq!(
        (config.conventions.default, config.conventions.objects.len()),
        (Reload::Auto, 2)
    );
    assert!(config.reloader.clone().unwrap().on_create && config.selector.as_deref() == Some("tier in (a,b)"));
    assert_eq!(config.digest_key.namespace.as_str(), "reloader");
    assert!(
        setup.notes[0].starts_with("it is Stakater Reloader that runs"),
        "{:?}",
        setup.notes
    );
}

#[tokio::test]
async fn a_meta_info_that_its_reloader_left_behind_says_nothing() {
    let sandbox = sandbox(&[meta_info("reloader", "oss", "reloader-reloader", &json!({}))]);
    let setup = found(&sandbox, "prod").await;
    assert_eq!((setup.program, setup.source), (Program::Controller, Source::Nowhere));
}

#[tokio::test]
async fn of_several_the_one_that_looks_at_the_namespace_is_taken_and_the_others_are_told() {
    let container = |only: &str| json!({"name": "afresh", "image": "i:1", "args": ["controller", "--namespace", only]});
    let options = json!({"autoReloadAll": true});
    let objects = [
        deployment("a", "afresh", &ours(), &container("test")),
        deployment("b", "afresh", &ours(), &container("prod")),
        meta_info("c", "afresh", "", &options),
    ];
    let setup = found(&sandbox(&objects), "prod").await;
    assert_eq!(said(&setup), "controller as deployment b/afresh has it");
    assert_eq!(
        setup.notes,
        ["there is another controller for this namespace: afresh reloader, as configmap c/reloader-meta-info has it"]
    );
}

#[tokio::test]
async fn who_may_list_in_one_namespace_finds_the_controller_that_is_there() {
    let container =
        json!({"name": "afresh", "image": "i:1", "args": ["controller", "--namespace=prod", "--default-reload=roll"]});
    let sandbox = sandbox(&[deployment("prod", "afresh", &ours(), &container)]);
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    // The first of its kind asks for all namespaces.
    for resource in ["deployments", "configmaps"] {
        sandbox
            .faults()
            .next_requests(1, Filter::verb(Verb::List).resource(resource), forbidden);
    }
    let setup = found(&sandbox, "prod").await;
    assert_eq!(said(&setup), "controller as deployment prod/afresh has it");
    assert_eq!((setup.config.conventions.default, setup.notes.len()), (Reload::Roll, 0));
}

#[tokio::test]
async fn who_may_not_list_is_told_and_gets_the_defaults() {
    let sandbox = sandbox(&[]);
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    sandbox.faults().next_requests(10, Filter::verb(Verb::List), forbidden);
    let setup = found(&sandbox, "prod").await;
    assert_eq!(setup.source, Source::Nowhere);
    assert!(
        setup.notes[0].contains("it takes the verb list on deployments"),
        "{:?}",
        setup.notes
    );
    let missing = find::at(&client(&sandbox), &"a".parse().unwrap(), &"b".parse().unwrap()).await;
    assert_eq!(missing.unwrap_err(), "deployment a/b: there is none");
}
