//! Reads what the answer needs, once. Nothing is written, not even a digest key.

use std::collections::BTreeMap;
use std::time::Duration;

use afresh_engine::classes::Classes;
use afresh_engine::plan::{Context, Verdict};
use afresh_k8s::digest_key::{self, InstallationKey};
use afresh_k8s::lean::{LeanConfigMap, LeanMount, LeanPod, LeanSecret, LeanWorkload, Watched};
use afresh_k8s::write::job::room;
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
use super::setup::{Program, Setup, find};

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
    /// How the controller runs.
    pub(crate) setup: Setup,
}

/// Reads everything; `now` is the time of the answer.
///
/// # Errors
/// If the workload cannot be read. What else cannot be read is part of the facts.
pub(crate) async fn gather(client: &Client, question: &Question, now: UnixSeconds) -> anyhow::Result<Facts> {
    let writer = Writer::new(client.clone()).with_limit(LIMIT);
    let Question { key, setup } = question;
    let LeanWorkload { observed, .. } = writer
        .get_workload(key)
        .await
        .map_err(|error| unreadable(key, &error))?;
    let is_pod = key.kind == WorkloadKind::Pod;
    let mut facts = Facts {
        key: key.clone(),
        observed,
        aside: if is_pod { aside(client, key).await? } else { None },
        outside: None,
        room: None,
        conventions: setup.config.conventions(),
        context: Context {
            key: stand_in()?.id(),
            installed: None,
            partial: setup.config.selector.is_some(),
            lifecycle: setup.config.lifecycle(),
        },
        setup: setup.clone(),
        no_digest_key: None,
        objects: BTreeMap::new(),
        unknowns: Vec::new(),
        pods: None,
        now,
    };
    facts.outside = outside(client, &mut facts).await;
    let reading = facts.observed.read(key, &facts.conventions);
    let Some(workload) = facts.kept(&reading) else {
        return Ok(facts);
    };
    if key.kind == WorkloadKind::CronJob {
        facts.room = writer.get_whole(key).await.ok().map(|cron_job| room(&cron_job));
    }
    let digest_key = digest_key(&writer, &mut facts).await?;
    let setup = &question.setup.config;
    let conventions = setup.conventions();
    let reader = Reader {
        client,
        writer: &writer,
        digest_key: &digest_key,
        conventions: &conventions,
        selector: setup.selector.as_deref(),
        namespace: &key.namespace,
    };
    reader.referred(&reading, workload, &mut facts).await;
    reader.globs(workload, &mut facts).await;
    if matches!(facts.plan(workload).verdict, Verdict::LookAtPods | Verdict::Touch(_)) {
        facts.pods = Some(look(&writer, &facts, workload).await);
    }
    Ok(facts)
}

/// Why the controller never looks at the workload.
async fn outside(client: &Client, facts: &mut Facts) -> Option<String> {
    let namespace = &facts.key.namespace;
    if let Some(outside) = facts.setup.outside(&facts.key) {
        return Some(outside);
    }
    let selector = facts.setup.config.namespace_selector.as_ref()?;
    match find::is_selected(client, "/api/v1/namespaces", namespace, selector).await {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "the labels of namespace {namespace} do not match --namespace-selector {selector}"
        )),
        Err(error) => {
            facts.unknowns.push(format!(
                "this holds if the labels of namespace {namespace} match --namespace-selector {selector}: {error}"
            ));
            None
        }
    }
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

async fn digest_key(writer: &Writer, facts: &mut Facts) -> anyhow::Result<DigestKey> {
    let place = facts.setup.config.digest_key.clone();
    let (namespace, name) = (&place.namespace, &place.name);
    let secret = digest_key::read(writer, namespace, name).await;
    // Where no Secret may be written, afresh reloader keeps it in a ConfigMap.
    let stands_in = facts.setup.program == Program::Reloader && !matches!(secret, Ok(Some(_)));
    let found = match secret {
        secret if !stands_in => secret,
        secret => match digest_key::read_in_config_map(writer, namespace, name).await {
            Ok(Some(key)) => Ok(Some(key)),
            _ => secret,
        },
    };
    let why = match found {
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

/// Reads the objects of one workload.
struct Reader<'a> {
    client: &'a Client,
    writer: &'a Writer,
    digest_key: &'a DigestKey,
    conventions: &'a Conventions,
    selector: Option<&'a str>,
    namespace: &'a Name,
}

impl Reader<'_> {
    /// Reads what the workload refers to and names.
    async fn referred(&self, reading: &Reading, workload: &Workload, facts: &mut Facts) {
        let referred = reading.references.iter().map(|reference| &reference.object);
        let used = workload.uses.iter().map(|usage| &usage.object);
        let mut wanted: Vec<ConfigRef> = referred.chain(used).cloned().collect();
        wanted.sort_unstable();
        wanted.dedup();
        // What never counts nobody needs the right to read.
        wanted.retain(|object| {
            !reading.policy.excludes(object.kind, &object.name) && facts.uncounted(&reading.policy, object).is_none()
        });
        facts.objects.extend(self.objects(wanted).await);
    }

    /// Finds what the globs and patterns of its lists match.
    async fn globs(&self, workload: &Workload, facts: &mut Facts) {
        for kind in ConfigKind::ALL {
            let wanted = workload.include.iter().any(|pattern| pattern.kind() == kind);
            if !wanted {
                continue;
            }
            let namespace = Some(self.namespace);
            let listed = match kind {
                ConfigKind::SecretProviderClass => {
                    let why = "which SecretProviderClasses its lists match is for the controller to tell";
                    facts.unknowns.push(why.to_owned());
                    continue;
                }
                ConfigKind::ConfigMap => {
                    let all = self.writer.list_all::<LeanConfigMap>(namespace).await;
                    all.map(|all| all.iter().map(LeanConfigMap::key).collect())
                }
                ConfigKind::Secret => {
                    let all = self.writer.list_all::<LeanSecret>(namespace).await;
                    all.map(|all| all.iter().map(LeanSecret::key).collect::<Vec<_>>())
                }
            };
            match listed {
                Ok(keys) => {
                    let matching = keys.into_iter().filter(|key| workload.includes(kind, &key.name));
                    let wanted = matching.map(|key| ConfigRef { kind, name: key.name }).collect();
                    facts.objects.extend(self.objects(wanted).await);
                }
                Err(error) => facts.unknowns.push(format!(
                    "what its lists match is not known: it takes the verb list on {}s in namespace {}: {error}",
                    kind.word(),
                    self.namespace
                )),
            }
        }
    }

    async fn objects(&self, wanted: Vec<ConfigRef>) -> Vec<(ConfigRef, Seen)> {
        let reads = wanted.into_iter().map(|object| async move {
            let seen = self.object(&object).await;
            (object, seen)
        });
        futures::stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
    }

    async fn object(&self, object: &ConfigRef) -> Seen {
        let (kind, namespace) = (object.kind, self.namespace);
        let key = ConfigKey {
            kind,
            namespace: namespace.clone(),
            name: object.name.clone(),
        };
        let read = self.writer.get_object(&key, self.digest_key, self.conventions).await;
        match (read, self.is_selected(object).await) {
            (Err(WriteError::Gone), _) => Seen::Absent,
            (Err(WriteError::Denied(message)), _) => Seen::Unread(format!(
                "it takes the verb get on {}s in namespace {namespace}: {message}",
                kind.word()
            )),
            (Err(error), _) => Seen::Unread(error.to_string()),
            (_, Err(error)) => Seen::Unread(format!("whether its labels match the controller's selector: {error}")),
            (_, Ok(false)) => Seen::Unselected,
            (Ok((object, problem)), Ok(true)) => Seen::There(object, problem),
        }
    }

    /// Whether the controller's own watch shows the object; there is no selector for what a CSI driver mounts.
    async fn is_selected(&self, object: &ConfigRef) -> Result<bool, String> {
        let plural = match (object.kind, self.selector) {
            (ConfigKind::SecretProviderClass, _) | (_, None) => return Ok(true),
            (ConfigKind::ConfigMap, _) => "configmaps",
            (ConfigKind::Secret, _) => "secrets",
        };
        let path = format!("/api/v1/namespaces/{}/{plural}", self.namespace);
        find::is_selected(self.client, &path, &object.name, self.selector.unwrap_or_default()).await
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

/// A workload as it is named.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    word: String,
    /// Its name.
    pub(crate) name: Name,
}

/// The workload in `KIND/NAME` or `KIND NAME`; `deployment.apps/web` too, as `kubectl get -o name` prints it.
///
/// # Errors
/// If it is neither, or the name cannot be one.
pub(crate) fn target(words: &[String]) -> anyhow::Result<Target> {
    let (word, name) = match words {
        [one] => one
            .split_once('/')
            .ok_or_else(|| anyhow!("{one:?} has no kind: write KIND/NAME, such as deployment/{one}"))?,
        [kind, name] if !name.contains('/') && !kind.contains('/') => (kind.as_str(), name.as_str()),
        _ => bail!("one workload at a time: write KIND/NAME or KIND NAME"),
    };
    Ok(Target {
        word: word.to_owned(),
        name: name.parse()?,
    })
}

impl Target {
    /// Its kind: one that is known, or one of `custom`.
    ///
    /// # Errors
    /// If there is no such kind.
    pub(crate) fn kind(&self, custom: &[&'static CustomKind]) -> anyhow::Result<WorkloadKind> {
        let word = &*self.word;
        if let Some(kind) = custom.iter().find(|kind| kind.is_meant_by(word)) {
            return Ok(WorkloadKind::Custom(kind));
        }
        let bare = word.split_once('.').map_or(word, |(kind, _)| kind);
        WorkloadKind::from_word(bare).ok_or_else(|| {
            let known = WorkloadKind::ALL.map(WorkloadKind::word).join(", ");
            anyhow!(
                "{word:?} is not a kind that Afresh keeps current: write one of {known}; for one of --workload give that \
                 flag here too"
            )
        })
    }
}
