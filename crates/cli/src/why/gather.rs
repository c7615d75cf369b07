//! Reads what the answer needs, once. Nothing is written, not even a digest key.

use std::collections::BTreeMap;
use std::time::Duration;

use afresh_engine::classes::Classes;
use afresh_engine::lifecycle::Lifecycle;
use afresh_engine::plan::{Context, Verdict};
use afresh_k8s::digest_key::{self, InstallationKey};
use afresh_k8s::lean::{LeanConfigMap, LeanMount, LeanPod, LeanSecret, LeanWorkload, Watched};
use afresh_k8s::write::{WriteError, Writer};
use afresh_model::annotation::TOUCHED;
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigKey, ConfigKind, ConfigRef, CustomKind, Name, WorkloadKey, WorkloadKind};
use afresh_model::time::UnixSeconds;
use afresh_model::usage::Use;
use afresh_model::workload::{Reading, Workload};
use anyhow::{Context as _, anyhow, bail};
use futures::StreamExt as _;
use kube::Client;

use super::facts::{Aside, Facts, PodFact, Seen};

/// Longest any one call may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Objects that are read at once.
const AT_ONCE: usize = 8;
/// Owners whose pods are kept current through them, as the controller has it.
const POD_OWNERS: [&str; 4] = ["ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController"];

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Which workload.
    pub(crate) key: WorkloadKey,
    /// By which conventions the controller reads annotations.
    pub(crate) conventions: Conventions,
    /// The namespace of the digest key's Secret.
    pub(crate) own_namespace: Name,
    /// Its name.
    pub(crate) digest_key_secret: Name,
}

/// Reads everything; `now` is the time of the answer.
///
/// # Errors
/// If the workload cannot be read. What else cannot be read is part of the facts.
pub(crate) async fn gather(client: &Client, question: &Question, now: UnixSeconds) -> anyhow::Result<Facts> {
    let writer = Writer::new(client.clone()).with_limit(LIMIT);
    let key = &question.key;
    let LeanWorkload { observed, .. } = writer
        .get_workload(key)
        .await
        .map_err(|error| unreadable(key, &error))?;
    let is_pod = key.kind == WorkloadKind::Pod;
    let mut facts = Facts {
        key: key.clone(),
        observed,
        aside: if is_pod { aside(client, key).await? } else { None },
        conventions: question.conventions.clone(),
        context: Context {
            key: stand_in()?.id(),
            installed: None,
            partial: false,
            lifecycle: Lifecycle::default(),
        },
        no_digest_key: None,
        objects: BTreeMap::new(),
        unknowns: Vec::new(),
        pods: None,
        now,
    };
    let reading = facts.observed.read(key.kind, &facts.conventions);
    let Some(workload) = reading.workload.as_ref().filter(|_| facts.aside.is_none()) else {
        return Ok(facts);
    };
    let digest_key = digest_key(&writer, question, &mut facts).await?;
    read_objects(&writer, &digest_key, &reading, workload, &mut facts).await;
    read_globs(&writer, &digest_key, workload, &mut facts).await;
    if matches!(facts.plan(workload).verdict, Verdict::LookAtPods | Verdict::Touch(_)) {
        facts.pods = Some(look(&writer, &facts, workload).await);
    }
    Ok(facts)
}

fn unreadable(key: &WorkloadKey, error: &WriteError) -> anyhow::Error {
    let WorkloadKey { kind, namespace, name } = key;
    let what = format!("{}/{name}", kind.word());
    match error {
        WriteError::Gone => {
            anyhow!("there is no {what} in namespace {namespace}; is it in another one? give -n NAMESPACE")
        }
        WriteError::Denied(message) => {
            anyhow!(
                "may not read {what}: it takes the verb get on {}s in namespace {namespace}: {message}",
                kind.word()
            )
        }
        error => anyhow!("cannot read {what} in namespace {namespace}: {error}"),
    }
}

/// Whether a Pod is one that nobody keeps current as itself.
async fn aside(client: &Client, key: &WorkloadKey) -> anyhow::Result<Option<Aside>> {
    let path = format!("{}/{}", LeanPod::path(Some(&key.namespace)), key.name);
    let request = http::Request::get(path)
        .body(Vec::new())
        .context("cannot ask for the pod")?;
    let answer = tokio::time::timeout(LIMIT, client.request_text(request)).await;
    let text = answer
        .map_err(|_| anyhow!("no answer about the pod within {LIMIT:?}"))?
        .context("cannot read the pod's owner")?;
    let pod = LeanPod::decode(&text).context("cannot read the pod")?;
    Ok(match pod.owner.filter(|owner| POD_OWNERS.contains(&&*owner.kind)) {
        Some(owner) => Some(Aside::Owned(owner)),
        None if pod.phase.is_over() => Some(Aside::Over),
        None if pod.deleting => Some(Aside::Leaving),
        None => None,
    })
}

/// Stands where the digest key is not known. Nothing that is made with it is ever compared or shown.
fn stand_in() -> anyhow::Result<DigestKey> {
    DigestKey::new(&[0; 32]).context("cannot hash")
}

async fn digest_key(writer: &Writer, question: &Question, facts: &mut Facts) -> anyhow::Result<DigestKey> {
    let (namespace, name) = (&question.own_namespace, &question.digest_key_secret);
    let why = match digest_key::read(writer, namespace, name).await {
        Ok(Some(InstallationKey { key, created })) => {
            facts.context.key = key.id();
            facts.context.installed = created;
            return Ok(key);
        }
        Ok(None) => format!(
            "there is no digest key in the Secret {name} in namespace {namespace}; the controller makes it at its first start \
             (elsewhere? give --own-namespace and --digest-key-secret)"
        ),
        Err(error) => error.to_string(),
    };
    facts.no_digest_key = Some(why);
    stand_in()
}

async fn read_objects(writer: &Writer, key: &DigestKey, reading: &Reading, workload: &Workload, facts: &mut Facts) {
    let referred = reading.references.iter().map(|reference| &reference.object);
    let used = workload.uses.iter().map(|usage| &usage.object);
    let mut wanted: Vec<ConfigRef> = referred.chain(used).cloned().collect();
    wanted.sort_unstable();
    wanted.dedup();
    // What is excluded never counts, so nobody needs the right to read it.
    wanted.retain(|object| !reading.policy.excludes(object.kind, &object.name));
    let (namespace, conventions) = (&facts.key.namespace, &facts.conventions);
    let reads = wanted.into_iter().map(|object| async move {
        let seen = read_object(writer, key, conventions, namespace, &object).await;
        (object, seen)
    });
    let read: Vec<(ConfigRef, Seen)> = futures::stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    facts.objects.extend(read);
}

async fn read_object(
    writer: &Writer,
    digest_key: &DigestKey,
    conventions: &Conventions,
    namespace: &Name,
    object: &ConfigRef,
) -> Seen {
    let key = ConfigKey {
        kind: object.kind,
        namespace: namespace.clone(),
        name: object.name.clone(),
    };
    match writer.get_object(&key, digest_key, conventions).await {
        Ok((object, problem)) => Seen::There(object, problem),
        Err(WriteError::Gone) => Seen::Absent,
        Err(WriteError::Denied(message)) => Seen::Unread(format!(
            "it takes the verb get on {}s in namespace {namespace}: {message}",
            object.kind.word()
        )),
        Err(error) => Seen::Unread(error.to_string()),
    }
}

/// Finds what the globs of `afresh.dev/include` match.
async fn read_globs(writer: &Writer, key: &DigestKey, workload: &Workload, facts: &mut Facts) {
    let namespace = facts.key.namespace.clone();
    let conventions = &facts.conventions.clone();
    for kind in ConfigKind::ALL {
        let wanted = workload.include.iter().any(|pattern| pattern.kind() == kind);
        if !wanted {
            continue;
        }
        let listed = match kind {
            ConfigKind::SecretProviderClass => {
                let why =
                    "which SecretProviderClasses the globs of afresh.dev/include match is for the controller to tell";
                facts.unknowns.push(why.to_owned());
                continue;
            }
            ConfigKind::ConfigMap => {
                let all = writer.list_all::<LeanConfigMap>(Some(&namespace)).await;
                all.map(|all| all.into_iter().map(|map| map.into_object(conventions)).collect())
            }
            ConfigKind::Secret => {
                let all = writer.list_all::<LeanSecret>(Some(&namespace)).await;
                all.map(|all| {
                    all.into_iter()
                        .map(|secret| secret.into_object(key, conventions))
                        .collect::<Vec<_>>()
                })
            }
        };
        match listed {
            Ok(all) => {
                let matching = all.into_iter().filter(|(key, _, _)| workload.includes(key.kind, &key.name));
                for (ConfigKey { kind, name, .. }, object, problem) in matching {
                    facts
                        .objects
                        .insert(ConfigRef { kind, name }, Seen::There(object, problem));
                }
            }
            Err(error) => facts.unknowns.push(format!(
                "what the globs of afresh.dev/include match is not known: it takes the verb list on {}s in namespace {namespace}: {error}",
                kind.word()
            )),
        }
    }
}

async fn look(writer: &Writer, facts: &Facts, workload: &Workload) -> Result<Vec<PodFact>, String> {
    let namespace = &facts.key.namespace;
    let born = born(writer, namespace, workload).await;
    if workload.selector.is_empty() {
        let touched = facts.observed.annotations.get(TOUCHED);
        return Ok(vec![PodFact {
            created: workload.created,
            started: None,
            touched: touched.map(|text| text.as_str().into()),
            behind: !born.contains(&workload.uid),
        }]);
    }
    match writer.list_replicas(namespace, &workload.selector).await {
        Ok(pods) => {
            let staying = pods.into_iter().filter(|replica| !replica.pod.deleting);
            Ok(staying
                .map(|replica| PodFact {
                    behind: !born.contains(&replica.pod.uid),
                    created: replica.pod.created,
                    started: replica.started,
                    touched: replica.pod.touched,
                })
                .collect())
        }
        Err(error) => Err(format!(
            "it takes the verb list on pods in namespace {namespace}: {error}"
        )),
    }
}

/// The pods that were mounted with what the workload's CSI classes hold; none where that cannot be read.
async fn born(writer: &Writer, namespace: &Name, workload: &Workload) -> Vec<Box<str>> {
    let is_class = |usage: &Use| usage.object.kind == ConfigKind::SecretProviderClass;
    if !workload.uses.iter().any(is_class) {
        return Vec::new();
    }
    let mut classes = Classes::default();
    for LeanMount { key, mount, .. } in writer.list_all(Some(namespace)).await.unwrap_or_default() {
        classes.apply(key, mount);
    }
    classes.born_with(namespace, &workload.uses)
}

/// The workload in `KIND/NAME` or `KIND NAME`; `deployment.apps/web` too, as `kubectl get -o name` prints it.
///
/// # Errors
/// If there is no such kind or the name cannot be one.
pub(crate) fn target(words: &[String], custom: &[&'static CustomKind]) -> anyhow::Result<(WorkloadKind, Name)> {
    let (word, name) = match words {
        [one] => one
            .split_once('/')
            .ok_or_else(|| anyhow!("{one:?} has no kind: write KIND/NAME, such as deployment/{one}"))?,
        [kind, name] if !name.contains('/') && !kind.contains('/') => (kind.as_str(), name.as_str()),
        _ => bail!("one workload at a time: write KIND/NAME or KIND NAME"),
    };
    if let Some(kind) = custom.iter().find(|kind| kind.is_meant_by(word)) {
        return Ok((WorkloadKind::Custom(kind), name.parse()?));
    }
    let bare = word.split_once('.').map_or(word, |(kind, _)| kind);
    let kind = WorkloadKind::from_word(bare).ok_or_else(|| {
        let known = WorkloadKind::ALL.map(WorkloadKind::word).join(", ");
        anyhow!("{word:?} is not a kind that Afresh keeps current: write one of {known}; for one of --workload give that flag here too")
    })?;
    Ok((kind, name.parse()?))
}
