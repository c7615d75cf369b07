//! The kinds of workload: those that are known by name, and any other one with a pod template.

use std::str::FromStr;

use thiserror::Error;

use super::Name;

/// The kinds of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// apps/v1 DaemonSet.
    DaemonSet,
    /// batch/v1 CronJob: its next run is fresh by itself.
    CronJob,
    /// batch/v1 Job: its template cannot be changed, so it is made again.
    Job,
    /// argoproj.io/v1alpha1 Rollout.
    Rollout,
    /// apps.openshift.io/v1 DeploymentConfig.
    DeploymentConfig,
    /// Any other kind with a pod template.
    Custom(&'static CustomKind),
    /// core/v1 Pod that none of the above owns: it can be touched, never rolled.
    Pod,
}

impl WorkloadKind {
    /// All kinds that are known by name, in the order they sort.
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::CronJob,
        Self::Job,
        Self::Rollout,
        Self::DeploymentConfig,
        Self::Pod,
    ];

    /// The kinds that are kept current unless somebody chooses: a CronJob needs nothing, and Jobs are left alone.
    pub const DEFAULT: [Self; 6] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Rollout,
        Self::DeploymentConfig,
        Self::Pod,
    ];

    /// The API kind, as in `involvedObject.kind`.
    #[must_use]
    pub fn api_kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::CronJob => "CronJob",
            Self::Job => "Job",
            Self::Rollout => "Rollout",
            Self::DeploymentConfig => "DeploymentConfig",
            Self::Custom(kind) => &kind.kind,
            Self::Pod => "Pod",
        }
    }

    /// The API version of the kind: `apps/v1`, and `v1` for the core group.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::CronJob | Self::Job => "batch/v1",
            Self::Rollout => "argoproj.io/v1alpha1",
            Self::DeploymentConfig => "apps.openshift.io/v1",
            Self::Custom(kind) => &kind.api_version,
            Self::Pod => "v1",
        }
    }

    /// The name in paths; `None` where only the API server can tell.
    #[must_use]
    pub const fn plural(self) -> Option<&'static str> {
        match self {
            Self::Deployment => Some("deployments"),
            Self::StatefulSet => Some("statefulsets"),
            Self::DaemonSet => Some("daemonsets"),
            Self::CronJob => Some("cronjobs"),
            Self::Job => Some("jobs"),
            Self::Rollout => Some("rollouts"),
            Self::DeploymentConfig => Some("deploymentconfigs"),
            Self::Custom(_) => None,
            Self::Pod => Some("pods"),
        }
    }

    /// Where the pod template is. A Pod has none.
    #[must_use]
    pub fn template_path(self) -> Vec<&'static str> {
        match self {
            Self::Custom(kind) => kind.path.iter().map(|field| &**field).collect(),
            Self::CronJob => vec!["spec", "jobTemplate", "spec", "template"],
            Self::Pod => Vec::new(),
            _ => vec!["spec", "template"],
        }
    }

    /// As users write it: `deployment`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::CronJob => "cronjob",
            Self::Job => "job",
            Self::Rollout => "rollout",
            Self::DeploymentConfig => "deploymentconfig",
            Self::Custom(kind) => &kind.word,
            Self::Pod => "pod",
        }
    }

    /// The kind a user means, with kubectl's plurals and short names, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" | "deploy" => Some(Self::Deployment),
            "statefulset" | "statefulsets" | "sts" => Some(Self::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Some(Self::DaemonSet),
            "cronjob" | "cronjobs" | "cj" => Some(Self::CronJob),
            "job" | "jobs" => Some(Self::Job),
            "rollout" | "rollouts" | "ro" => Some(Self::Rollout),
            "deploymentconfig" | "deploymentconfigs" | "dc" => Some(Self::DeploymentConfig),
            "pod" | "pods" | "po" => Some(Self::Pod),
            _ => None,
        }
    }

    /// Whether its pods can be replaced. A Pod has no template.
    #[must_use]
    pub const fn can_roll(self) -> bool {
        !matches!(self, Self::Pod)
    }

    /// Whether an API server may be without the kind, now or always.
    #[must_use]
    pub const fn may_be_absent(self) -> bool {
        matches!(self, Self::Rollout | Self::DeploymentConfig | Self::Custom(_))
    }
}

/// Most fields on the way to a pod template.
const MAX_DEPTH: usize = 8;

/// A kind that is not known by name: where it is served and where its pod template is; written
/// `group/version/Kind=path`, such as `apps.example.org/v1/Web=spec.template`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomKind {
    api_version: Box<str>,
    kind: Box<str>,
    word: Box<str>,
    path: Box<[Box<str>]>,
}

impl CustomKind {
    /// The kind for the rest of the program's life: a [`WorkloadKind`] is copied everywhere, and there are as many of
    /// these as there are flags that name one.
    #[must_use]
    pub fn intern(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// Whether a user means this kind: `web`, `Web` or `web.apps.example.org`, in any case.
    #[must_use]
    pub fn is_meant_by(&self, word: &str) -> bool {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        match word.split_once('.') {
            Some((kind, given)) => kind.eq_ignore_ascii_case(&self.word) && given.eq_ignore_ascii_case(group),
            None => word.eq_ignore_ascii_case(&self.word),
        }
    }
}

/// A text that does not describe a kind of workload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CustomKindError {
    /// No `=`, or too many or too few parts before it.
    #[error("{0:?} is not of the form group/version/Kind=path, such as apps.example.org/v1/Web=spec.template")]
    Form(String),
    /// One of the parts.
    #[error("{part:?} in {text:?} is not {what}")]
    Part {
        /// The part.
        part: String,
        /// What it should be.
        what: &'static str,
        /// The whole.
        text: String,
    },
    /// It is known by name.
    #[error("{0} is known by its name: give {1} to --workloads instead")]
    Known(String, &'static str),
}

impl FromStr for CustomKind {
    type Err = CustomKindError;

    fn from_str(text: &str) -> Result<Self, CustomKindError> {
        let form = || CustomKindError::Form(text.to_owned());
        let (resource, path) = text.split_once('=').ok_or_else(form)?;
        let parts: Vec<&str> = resource.split('/').collect();
        let (group, version, kind) = match parts[..] {
            [group, version, kind] => (Some(group), version, kind),
            [version, kind] => (None, version, kind),
            _ => return Err(form()),
        };
        let check = |fine: bool, part: &str, what| {
            let (part, text) = (part.to_owned(), text.to_owned());
            if fine {
                Ok(())
            } else {
                Err(CustomKindError::Part { part, what, text })
            }
        };
        if let Some(group) = group {
            check(group.parse::<Name>().is_ok(), group, "an API group")?;
        }
        let is_version = version.starts_with('v') && version.parse::<Name>().is_ok() && !version.contains('.');
        check(is_version, version, "an API version such as v1 or v1beta1")?;
        let is_kind = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.len() <= 63
            && kind.chars().all(|c| c.is_ascii_alphanumeric());
        check(is_kind, kind, "a kind such as Deployment")?;
        let path = fields(path, check)?;
        let api_version = group.map_or_else(|| version.to_owned(), |group| format!("{group}/{version}"));
        let known = WorkloadKind::ALL.into_iter();
        if let Some(known) = known
            .filter(|known| known.api_version() == api_version)
            .find(|known| known.api_kind() == kind)
        {
            return Err(CustomKindError::Known(resource.to_owned(), known.word()));
        }
        Ok(Self {
            api_version: api_version.into(),
            kind: kind.into(),
            word: kind.to_ascii_lowercase().into(),
            path,
        })
    }
}

fn fields(
    path: &str,
    check: impl Fn(bool, &str, &'static str) -> Result<(), CustomKindError>,
) -> Result<Box<[Box<str>]>, CustomKindError> {
    let fields: Vec<&str> = path.split('.').collect();
    let is_field = |field: &&str| {
        field.starts_with(|c: char| c.is_ascii_alphabetic())
            && field.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let fine = fields.len() <= MAX_DEPTH && fields.iter().all(is_field);
    check(fine, path, "the path of a pod template such as spec.template")?;
    let outside = fields
        .first()
        .is_some_and(|first| ["metadata", "status"].contains(first));
    check(
        !outside,
        path,
        "the path of a pod template: none is in metadata or status",
    )?;
    Ok(fields.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_kind_of_ones_own_is_where_it_is_said_to_be() {
        let kind: CustomKind = "apps.example.org/v1beta1/Web=spec.runtime.podTemplate".parse().unwrap();
        assert!(kind.is_meant_by("web") && kind.is_meant_by("Web.apps.example.org") && !kind.is_meant_by("web.other"));
        let kind = WorkloadKind::Custom(kind.intern());
        assert_eq!(
            (kind.api_version(), kind.api_kind(), kind.word(), kind.plural()),
            ("apps.example.org/v1beta1", "Web", "web", None)
        );
        assert_eq!(kind.template_path(), ["spec", "runtime", "podTemplate"]);
        assert!(kind.may_be_absent() && kind.can_roll());
    }

    #[test]
    fn the_core_group_has_no_name() {
        let kind = "v1/ReplicationController=spec.template".parse::<CustomKind>().unwrap();
        assert_eq!(WorkloadKind::Custom(kind.intern()).api_version(), "v1");
    }

    #[test]
    fn the_same_flag_twice_is_one_kind() {
        let kind = || "a.b/v1/Web=spec.template".parse::<CustomKind>().unwrap().intern();
        assert_eq!(kind(), kind());
    }

    #[rstest]
    #[case("Web=spec.template", "is not of the form group/version/Kind=path")]
    #[case("a/b/v1/Web=spec.template", "is not of the form")]
    #[case("a.b/v1/Web", "is not of the form")]
    #[case("a_b/v1/Web=spec.template", "\"a_b\" in")]
    #[case("a.b/1/Web=spec.template", "\"1\" in")]
    #[case("a.b/v1/web=spec.template", "is not a kind such as Deployment")]
    #[case("a.b/v1/We/b=spec.template", "is not of the form")]
    #[case("a.b/v1/Web=", "is not the path of a pod template")]
    #[case("a.b/v1/Web=spec..template", "is not the path of a pod template")]
    #[case("a.b/v1/Web=status.template", "none is in metadata or status")]
    #[case("apps/v1/Deployment=spec.template", "give deployment to --workloads instead")]
    fn a_kind_that_is_wrong_is_named_with_the_way_out(#[case] text: &str, #[case] message: &str) {
        let error = text.parse::<CustomKind>().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn every_word_is_understood() {
        for kind in WorkloadKind::ALL {
            assert_eq!(WorkloadKind::from_word(kind.word()), Some(kind));
            assert!(WorkloadKind::from_word(&format!("{}s", kind.word().to_uppercase())).is_some());
        }
        assert!(WorkloadKind::ALL.is_sorted() && WorkloadKind::DEFAULT.is_sorted());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<CustomKind>();
        }
    }
}
