//! The answer, as `-o json` writes it and as the text is made from it.

use afresh_model::reference::Freshness;
use serde::Serialize;

/// Why a workload is, or is not, brought up to date.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    /// `deployment`.
    pub(crate) kind: &'static str,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// When this was true.
    pub(crate) at: String,
    /// Whose decision it is.
    pub(crate) controller: ControllerView,
    /// What would happen now.
    pub(crate) verdict: Verdict,
    /// The same in words, with the reason.
    pub(crate) summary: String,
    /// The objects that are the reason.
    pub(crate) because: Vec<String>,
    /// When a held roll may happen at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<String>,
    /// What the annotations ask for.
    pub(crate) policy: PolicyView,
    /// What the workload was last brought up to; nothing if it was never adopted.
    pub(crate) record: Option<RecordView>,
    /// The workload's own rollout: `complete`, `inProgress` or `failed`.
    pub(crate) rollout: RolloutView,
    /// The objects it uses, sorted.
    pub(crate) objects: Vec<ObjectView>,
    /// Its pods, where the decision needed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pods: Option<PodsView>,
    /// Annotations that do not say what their writer meant.
    pub(crate) problems: Vec<String>,
    /// What else a person should know, such as what could not be read.
    pub(crate) notes: Vec<String>,
}

/// Whose decision it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ControllerView {
    /// `controller` or `reloader`.
    pub(crate) program: &'static str,
    /// How it is known how it runs.
    pub(crate) known: String,
}

/// What would happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verdict {
    /// Nothing, ever: the workload is not kept current.
    LeftAlone,
    /// Nothing: it uses no config object.
    Unused,
    /// Nothing: it is brought up to what its objects hold.
    Current,
    /// Its record would be written for the first time; nothing is restarted.
    Adopt,
    /// Only its record would be written anew.
    Record,
    /// The files in its pods would be refreshed.
    Touch,
    /// Its pods would be replaced.
    Roll,
    /// Its pods would be, or are being, evicted one by one.
    Evict,
    /// Its pods would be replaced, but not yet.
    Held,
    /// Its pods would be replaced, but new ones could not start.
    Blocked,
    /// Nothing: an object that its pods need is not there.
    Missing,
    /// Nothing: there is a change that the policy lets nothing reach.
    Stale,
    /// It cannot be told from here.
    Unknown,
}

/// Where a setting was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Origin {
    /// An annotation of the workload.
    Workload,
    /// An annotation of its pod template.
    Template,
    /// Annotations of Reloader's.
    Reloader,
    /// An annotation of wave's.
    Wave,
    /// Nothing is said, or nothing that can be understood.
    Default,
}

/// A setting and where it was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting<T> {
    /// The value that counts.
    pub(crate) value: T,
    /// Where it is said.
    pub(crate) from: Origin,
}

/// What the annotations ask for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyView {
    /// `afresh.dev/reload`.
    pub(crate) reload: Setting<&'static str>,
    /// `afresh.dev/hot`: `true`, `false` or container names; `agent` where nobody says it and one is in the pod.
    pub(crate) hot: Setting<String>,
    /// `afresh.dev/settle`; nothing where the controller's counts.
    pub(crate) settle: Setting<Option<String>>,
    /// `afresh.dev/include`.
    pub(crate) include: Setting<Vec<String>>,
    /// `afresh.dev/exclude`.
    pub(crate) exclude: Setting<Vec<String>>,
    /// Annotations of Reloader's and wave's that are honoured.
    pub(crate) others: Vec<Asked>,
}

/// An annotation of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// Its key.
    pub(crate) annotation: String,
    /// Its value.
    pub(crate) value: String,
    /// Where it stands.
    pub(crate) from: Origin,
}

/// `afresh.dev/applied`, less the digests, which are with the objects.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordView {
    /// When it was written.
    pub(crate) at: String,
    /// How many rolls followed each other closely.
    pub(crate) streak: u32,
    /// When the last of them was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rolled_at: Option<String>,
}

/// The state of the workload's own rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RolloutView {
    /// All pods are of the current template and available.
    Complete,
    /// Pods are being replaced.
    InProgress,
    /// Its controller has given up.
    Failed,
}

/// One config object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectView {
    /// `configmap/web`.
    pub(crate) object: String,
    /// What is the matter with it.
    pub(crate) state: ObjectState,
    /// The same in words.
    pub(crate) says: String,
    /// Whether it is there; nothing where that was not asked or not allowed.
    pub(crate) exists: Option<bool>,
    /// `immutable: true`.
    pub(crate) immutable: bool,
    /// When its data was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) written: Option<String>,
    /// The entry of a list that names it, whether the template refers to it or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) named_by: Option<Named>,
    /// The mark of Reloader's that counts as its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<MarkView>,
    /// The uses of it by the pod template.
    pub(crate) references: Vec<ReferenceView>,
    /// What it was last brought up to and what is current, for the keys that take the same action.
    pub(crate) content: Vec<ContentView>,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Named {
    /// The annotation that holds the list.
    pub(crate) annotation: String,
    /// The entry.
    pub(crate) pattern: String,
}

/// What Reloader's mark says of an object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MarkView {
    /// Where it is: a variable in a container, or an annotation.
    pub(crate) by: String,
    /// What it says.
    pub(crate) state: MarkState,
    /// The hash in it; nothing for a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applied: Option<String>,
    /// The same hash of what the object holds; nothing for a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum MarkState {
    /// The pods were last replaced for what there is.
    Current,
    /// For something else.
    Older,
    /// Nobody can tell, such as where two objects share a variable.
    Unsure,
}

/// What is the matter with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ObjectState {
    /// The workload is left alone, so nothing was compared.
    NotCompared,
    /// `afresh.dev/exclude` names it.
    Excluded,
    /// The template refers to it, but neither the annotations nor the controller's flags ask for it.
    Uncounted,
    /// The controller's selector leaves it out.
    Unselected,
    /// The workload is brought up to it.
    Current,
    /// It never triggers anything.
    Ignored,
    /// The workload searches, and the object does not say that it is to be found.
    Unmatched,
    /// An included object that is not there.
    Absent,
    /// Changed; a pod that is being rolled out was the first to get it.
    Arriving,
    /// Seen for the first time: taken as it is.
    Adopted,
    /// Changed, but the pods are younger than the change.
    Covered,
    /// Changed; nothing that the policy allows reaches the process.
    Unreachable,
    /// Changed; the files have to be refreshed.
    Touch,
    /// Changed; new pods are needed.
    Roll,
    /// It may have changed since the pods started.
    Uncertain,
    /// It is not there and the pods need it.
    Missing,
    /// A key is not there and the pods need it.
    MissingKey,
    /// It could not be read.
    Unread,
    /// A Secret without the key that its digests are made with.
    NoDigestKey,
}

impl ObjectState {
    /// Whether somebody's word leaves it out, so that nothing of it was compared.
    pub(crate) const fn is_left_out(self) -> bool {
        matches!(
            self,
            Self::Excluded | Self::Uncounted | Self::Unselected | Self::NotCompared | Self::Ignored
        )
    }
}

/// One use of an object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReferenceView {
    /// `container app`.
    pub(crate) user: String,
    /// `env GREETING`.
    pub(crate) via: String,
    /// `key greeting`.
    pub(crate) keys: String,
    /// Whether a container can start without it.
    pub(crate) optional: bool,
    /// Whether the kubelet rewrites it in a running pod.
    pub(crate) freshness: Freshness,
    /// Whether the container rereads its files.
    pub(crate) hot: bool,
    /// The container of the Afresh agent because of which it does, where nobody has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reread_by: Option<String>,
    /// Why it is live or frozen.
    pub(crate) why: &'static str,
    /// What a change of these keys takes; nothing where the workload or the object is left alone.
    pub(crate) takes: Option<Takes>,
}

/// What a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Takes {
    /// New pods.
    Roll,
    /// Fresh files.
    Touch,
    /// The policy allows nothing that would reach the process.
    Unreachable,
    /// Nothing: another reference decides.
    Nothing,
}

/// The digests of the keys that take the same action.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContentView {
    /// What a change of them takes.
    pub(crate) takes: Takes,
    /// Which keys.
    pub(crate) keys: String,
    /// What was last applied; nothing where that is not known.
    pub(crate) applied: Option<String>,
    /// What is; nothing where the object is required and not there.
    pub(crate) current: Option<String>,
}

/// The workload's pods.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodsView {
    /// How many are not going away.
    pub(crate) count: usize,
    /// When the oldest of them was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest: Option<String>,
    /// How many were touched for the current content already, where files are to be refreshed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) touched: Option<usize>,
}
