//! Finds the controller in the cluster, from what its Deployment or Reloader's `reloader-meta-info` says.

use std::time::Duration;

use afresh_model::name::Name;
use kube::Client;
use kube::api::ListParams;
use kube::core::{Request, Status};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::command_line::{Variables, parse};
use super::{Program, Setup, Source};
use crate::reloader::options;

/// Longest a call may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Labels what belongs to Afresh, see `deploy/base`.
const OURS: &str = "app.kubernetes.io/name=afresh";
/// The namespace that `deploy/` makes.
const DEFAULT: &str = "afresh";
/// Labels Reloader's ConfigMap.
const META_INFO: &str = "reloader.stakater.com/meta-info=reloader";
/// More objects than this with these labels say nothing more.
const ENOUGH: u32 = 20;

#[derive(Debug, Deserialize)]
struct List<T> {
    items: Vec<T>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Deserialize)]
struct Deployment {
    metadata: Meta,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    replicas: Option<i64>,
    template: Template,
}

#[derive(Debug, Deserialize)]
struct Template {
    spec: PodSpec,
}

#[derive(Debug, Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Variable>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: String,
    value: Option<String>,
    value_from: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ConfigMap {
    metadata: Meta,
    #[serde(default)]
    data: std::collections::BTreeMap<String, String>,
}

/// Why nothing could be read.
enum Unread {
    Absent,
    Denied(String),
    Failed(String),
}

/// The controller that a Deployment runs.
///
/// # Errors
/// If there is no such Deployment, it may not be read, or it runs something else.
pub(crate) async fn at(client: &Client, namespace: &Name, name: &Name) -> Result<Setup, String> {
    let found: Deployment = get(client, &deployments(namespace.as_str()), name)
        .await
        .map_err(|error| {
            format!(
                "deployment {namespace}/{name}: {}",
                match error {
                    Unread::Absent => "there is none".to_owned(),
                    Unread::Denied(message) => format!("it takes the verb get on deployments there: {message}"),
                    Unread::Failed(message) => message,
                }
            )
        })?;
    let named = setup(&found, None);
    // Without our name before it, it is what Reloader's image runs.
    named
        .or_else(|_| setup(&found, Some(Program::Reloader)))
        .map_err(|error| format!("deployment {namespace}/{name}: {error}"))
}

/// The controller that is answerable for a namespace. `own` is where it is, if that is known.
///
/// What may not be read is no error: the notes of `defaults`, which is the answer where none is found, say so.
pub(crate) async fn anywhere(client: &Client, own: Option<&Name>, namespace: &Name, defaults: Setup) -> Setup {
    let mut defaults = defaults;
    let mut found = Vec::new();
    let search = Search { client, own, namespace };
    let ours = search
        .list::<Deployment>("/apis/apps/v1", "deployments", OURS, &mut defaults.notes)
        .await;
    for deployment in ours {
        match setup(&deployment, None) {
            Ok(setup) => found.push(setup),
            Err(error) => defaults.notes.push(unreadable(&deployment.metadata, &error)),
        }
    }
    let infos = search
        .list::<ConfigMap>("/api/v1", "configmaps", META_INFO, &mut defaults.notes)
        .await;
    for info in infos {
        if let Some(setup) = by_meta_info(client, &info, &mut defaults.notes).await {
            found.push(setup);
        }
    }
    let mut seen = Vec::new();
    found.retain(|setup| {
        let new = !seen.contains(&setup.source);
        seen.push(setup.source.clone());
        new
    });
    // Those that look at the namespace first, and of them those that run.
    found.sort_by_key(|setup| (setup.leaves_out(namespace), !setup.notes.is_empty()));
    let mut found = found.into_iter();
    let Some(mut first) = found.next() else {
        return defaults;
    };
    first.notes.append(&mut defaults.notes);
    first
        .notes
        .extend(found.filter(|other| !other.leaves_out(namespace)).map(|other| {
            format!(
                "there is another controller for this namespace: afresh {}, {}",
                other.program.word(),
                other.source
            )
        }));
    first
}

fn unreadable(meta: &Meta, error: &str) -> String {
    format!(
        "how deployment {}/{} runs its controller is not understood: {error}",
        meta.namespace, meta.name
    )
}

fn deployments(namespace: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/deployments")
}

/// The controller that `reloader-meta-info` speaks of; `None` if that is not there any more.
async fn by_meta_info(client: &Client, info: &ConfigMap, notes: &mut Vec<String>) -> Option<Setup> {
    let read = |key: &str| -> Option<Value> { serde_json::from_str(info.data.get(key)?).ok() };
    let namespace = &info.metadata.namespace;
    let deployment = read("deploymentInfo");
    let name = deployment
        .as_ref()
        .and_then(|info| info["name"].as_str())
        .unwrap_or_default();
    let is_reloader = read("buildInfo").is_some_and(|build| build["edition"] != "afresh");
    let mut setup = match name.parse::<Name>() {
        Err(_) => None, // it was not told its own name
        Ok(name) => match get::<Deployment>(client, &deployments(namespace), &name).await {
            Err(Unread::Absent) => return None, // what it ran is gone, and it stays behind
            Err(Unread::Denied(_) | Unread::Failed(_)) => None,
            Ok(found) => match setup(&found, Some(Program::Reloader)) {
                Ok(setup) => Some(setup),
                Err(error) => {
                    notes.push(unreadable(&found.metadata, &error));
                    None
                }
            },
        },
    };
    if setup.is_none() {
        let variables = Variables::from([("POD_NAMESPACE".to_owned(), namespace.clone())]);
        let flags = options::flags(&read("reloaderOptions")?);
        let parsed = parse(&flags, Some(Program::Reloader), &variables);
        setup = parsed.ok().map(|(program, config)| Setup {
            program,
            source: source("configmap", &info.metadata),
            config,
            notes: Vec::new(),
        });
    }
    let mut setup = setup?;
    if is_reloader {
        setup
            .notes
            .push("it is Stakater Reloader that runs: this is what afresh reloader would do in its place".to_owned());
    }
    Some(setup)
}

fn source(kind: &'static str, Meta { namespace, name }: &Meta) -> Source {
    Source::Object {
        kind,
        namespace: namespace.clone(),
        name: name.clone(),
    }
}

/// Reads how a Deployment runs its controller.
fn setup(deployment: &Deployment, otherwise: Option<Program>) -> Result<Setup, String> {
    let mut error = "it has no container".to_owned();
    for container in &deployment.spec.template.spec.containers {
        let words = [&container.command[..], &container.args].concat();
        let (variables, unknown) = variables(container, &deployment.metadata.namespace);
        match parse(&words, otherwise, &variables) {
            Ok((program, config)) => {
                let mut notes = unknown;
                if deployment.spec.replicas == Some(0) {
                    notes.push("the controller is scaled to no replicas, so nobody acts now".to_owned());
                }
                return Ok(Setup {
                    program,
                    source: source("deployment", &deployment.metadata),
                    config,
                    notes,
                });
            }
            Err(why) => error = why,
        }
    }
    Err(error)
}

/// The container's variables, as far as they can be told; and which of ours cannot.
fn variables(container: &Container, namespace: &str) -> (Variables, Vec<String>) {
    let (mut known, mut unknown) = (Variables::new(), Vec::new());
    // A pod knows where it runs, whether a variable says so or not.
    known.insert("POD_NAMESPACE".to_owned(), namespace.to_owned());
    for variable in &container.env {
        let field = variable.value_from.as_ref().map(|from| &from["fieldRef"]["fieldPath"]);
        let value = match (&variable.value, field) {
            (_, Some(field)) if *field == "metadata.namespace" => namespace,
            (Some(value), _) => value,
            (None, None) => "",
            (None, Some(_)) => {
                if variable.name.starts_with("AFRESH_") {
                    unknown.push(format!(
                        "what {} of the controller holds is not known here",
                        variable.name
                    ));
                }
                continue;
            }
        };
        known.insert(variable.name.clone(), value.to_owned());
    }
    (known, unknown)
}

/// Where objects of the controller are looked for.
struct Search<'a> {
    client: &'a Client,
    /// The controller's namespace, if that is known.
    own: Option<&'a Name>,
    /// The workload's.
    namespace: &'a Name,
}

impl Search<'_> {
    /// All objects with a label in all namespaces, or in the controller's own; without the right to all, in the workload's
    /// and where Afresh is by default.
    async fn list<T: DeserializeOwned>(
        &self,
        group: &str,
        plural: &str,
        label: &str,
        notes: &mut Vec<String>,
    ) -> Vec<T> {
        let within = |namespace: &str| format!("{group}/namespaces/{namespace}/{plural}");
        let first = match self.own {
            Some(own) => within(own.as_str()),
            None => format!("{group}/{plural}"),
        };
        let mut answer = labelled(self.client, &first, label).await;
        if let (Err(Unread::Denied(_)), None) = (&answer, self.own) {
            for namespace in [self.namespace.as_str(), DEFAULT] {
                let here = labelled(self.client, &within(namespace), label).await;
                answer = here.or(answer);
                if answer.as_ref().is_ok_and(|items: &Vec<T>| !items.is_empty()) {
                    break;
                }
            }
        }
        answer.unwrap_or_else(|error| {
            let why = match error {
                Unread::Absent => return Vec::new(),
                Unread::Denied(message) => format!("it takes the verb list on {plural}: {message}"),
                Unread::Failed(message) => message,
            };
            notes.push(format!("the controller could not be looked for: {why}"));
            Vec::new()
        })
    }
}

async fn labelled<T: DeserializeOwned>(client: &Client, path: &str, label: &str) -> Result<Vec<T>, Unread> {
    let params = ListParams::default().labels(label).limit(ENOUGH);
    let request = Request::new(path).list(&params);
    let request = request.map_err(|error| Unread::Failed(error.to_string()))?;
    let list: List<T> = send(client, request).await?;
    Ok(list.items)
}

/// Whether an object's labels match a selector: `path` is that of all objects beside it.
///
/// # Errors
/// Why that cannot be told.
pub(crate) async fn is_selected(client: &Client, path: &str, name: &Name, selector: &str) -> Result<bool, String> {
    let field = format!("metadata.name={name}");
    let params = ListParams::default().labels(selector).fields(&field).limit(1);
    let request = Request::new(path)
        .list_metadata(&params)
        .map_err(|error| error.to_string())?;
    match send::<List<Value>>(client, request).await {
        Ok(list) => Ok(!list.items.is_empty()),
        Err(Unread::Absent) => Ok(false),
        Err(Unread::Denied(message) | Unread::Failed(message)) => Err(message),
    }
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str, name: &Name) -> Result<T, Unread> {
    let request = http::Request::get(format!("{path}/{name}")).body(Vec::new());
    send(client, request.map_err(|error| Unread::Failed(error.to_string()))?).await
}

async fn send<T: DeserializeOwned>(client: &Client, request: http::Request<Vec<u8>>) -> Result<T, Unread> {
    let answer = tokio::time::timeout(LIMIT, client.request::<T>(request)).await;
    match answer {
        Err(_) => Err(Unread::Failed(format!("no answer within {LIMIT:?}"))),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(kube::Error::Api(status))) => Err(refused(&status)),
        Ok(Err(error)) => Err(Unread::Failed(error.to_string())),
    }
}

fn refused(status: &Status) -> Unread {
    match status.code {
        404 => Unread::Absent,
        403 => Unread::Denied(status.message.clone()),
        _ => Unread::Failed(status.message.clone()),
    }
}
