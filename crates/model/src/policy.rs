//! What a workload's annotations ask for.
//!
//! A value that cannot be parsed is a [`Problem`]; the rest of the policy still applies.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::annotation::{self, Annotations};
use crate::duration;
use crate::name::{ConfigKind, Name};
use crate::pattern::Pattern;

/// How a workload is kept current: the values of `afresh.dev/reload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reload {
    /// The cheapest thing that is enough: nothing, touch, roll.
    Auto,
    /// Always roll.
    Roll,
    /// Never restart, only refresh mounts.
    Touch,
    /// Replace pods through the Eviction API.
    Evict,
    /// Leave alone.
    Off,
}

impl Reload {
    /// As written in the annotation and the flag.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Roll => "roll",
            Self::Touch => "touch",
            Self::Evict => "evict",
            Self::Off => "off",
        }
    }

    /// The mode that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Auto, Self::Roll, Self::Touch, Self::Evict, Self::Off]
            .into_iter()
            .find(|mode| mode.word() == word)
    }
}

/// Which containers reread mounted files by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hot {
    /// Nothing is said: those for whom an Afresh agent in the pod does it.
    #[default]
    Unsaid,
    /// None of them, whoever is in the pod.
    None,
    /// Every container.
    All,
    /// The named ones.
    Containers(Vec<Name>),
}

impl Hot {
    /// Whether it is said that the container rereads its files.
    #[must_use]
    pub fn covers(&self, container: &str) -> bool {
        match self {
            Self::Unsaid | Self::None => false,
            Self::All => true,
            Self::Containers(names) => names.iter().any(|name| name.as_str() == container),
        }
    }
}

/// The policy of one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// `None` where nobody said anything: `--default-reload` decides.
    pub reload: Option<Reload>,
    /// Containers that reread mounted files.
    pub hot: Hot,
    /// Objects that count though the template does not reference them.
    pub include: Vec<Pattern>,
    /// Objects that never count.
    pub exclude: Vec<Pattern>,
    /// The workload's own quiet time.
    pub settle: Option<Duration>,
    /// Which referenced objects count, for the kinds of which not all do.
    pub referenced: BTreeMap<ConfigKind, Referenced>,
    /// Whose annotation the mode comes from.
    pub dialect: Dialect,
}

/// Which of the objects that a workload references count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Referenced {
    /// All of them.
    #[default]
    All,
    /// Those that say that they are to be found (`reloader.stakater.com/match`).
    Matching,
    /// None of them.
    None,
}

/// Whose annotation a mode comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `afresh.dev/reload`, or nobody's.
    #[default]
    Afresh,
    /// Reloader's.
    Reloader,
    /// wave's.
    Wave,
}

/// Where an annotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// On the workload itself.
    Workload,
    /// On its pod template.
    Template,
    /// On a config object.
    Object,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workload => "the workload",
            Self::Template => "the pod template",
            Self::Object => "the object",
        })
    }
}

/// An annotation that does not say what its writer meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The annotation's key.
    pub key: Cow<'static, str>,
    /// Where it stands.
    pub place: Place,
    /// What is wrong with which value, and the way out.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "annotation {} on {}: {}", self.key, self.place, self.message)
    }
}

impl Policy {
    /// Reads the policy from the workload's annotations and, key by key where absent there, its pod template's.
    #[must_use]
    pub fn parse(workload: &Annotations, template: &Annotations) -> (Self, Vec<Problem>) {
        let mut reader = Reader {
            workload,
            template,
            problems: Vec::new(),
        };
        let policy = Self {
            reload: reader.read(annotation::RELOAD, parse_reload),
            hot: reader.read(annotation::HOT, parse_hot).unwrap_or_default(),
            include: reader.read_list(annotation::INCLUDE),
            exclude: reader.read_list(annotation::EXCLUDE),
            settle: reader.read(annotation::SETTLE, |text| {
                duration::parse(text).map_err(|error| error.to_string())
            }),
            ..Self::default()
        };
        (policy, reader.problems)
    }

    /// Containers named in `afresh.dev/hot` that the template does not have.
    #[must_use]
    pub fn unknown_hot_containers(&self, containers: &[&str]) -> Vec<Problem> {
        let Hot::Containers(names) = &self.hot else {
            return Vec::new();
        };
        let unknown = names.iter().filter(|name| !containers.contains(&name.as_str()));
        unknown
            .map(|name| Problem {
                key: annotation::HOT.into(),
                place: Place::Workload,
                message: format!(
                    "there is no container {:?}; there are: {}",
                    name.as_str(),
                    containers.join(", ")
                ),
            })
            .collect()
    }

    /// Which referenced objects of a kind count.
    #[must_use]
    pub fn referenced(&self, kind: ConfigKind) -> Referenced {
        self.referenced.get(&kind).copied().unwrap_or_default()
    }

    /// Whether the object is named, other than by a reference.
    #[must_use]
    pub fn names(&self, kind: ConfigKind, name: &Name) -> bool {
        self.include.iter().any(|pattern| pattern.matches(kind, name))
    }

    /// Whether the object is excluded by name.
    #[must_use]
    pub fn excludes(&self, kind: ConfigKind, name: &Name) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(kind, name))
    }
}

/// Reads `afresh.dev/ignore` of a config object.
///
/// # Errors
/// A [`Problem`] if the value is neither `true` nor `false`; the object then counts.
pub fn parse_ignore(annotations: &Annotations) -> Result<bool, Problem> {
    match annotations.get(annotation::IGNORE).map(|value| value.trim()) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Problem {
            key: annotation::IGNORE.into(),
            place: Place::Object,
            message: format!("{} is neither true nor false; the object still counts", quoted(other)),
        }),
    }
}

struct Reader<'a> {
    workload: &'a Annotations,
    template: &'a Annotations,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn find(&self, key: &str) -> Option<(Place, &'a str)> {
        let here = self.workload.get(key).map(|value| (Place::Workload, value));
        let found = here.or_else(|| self.template.get(key).map(|value| (Place::Template, value)));
        found.map(|(place, value)| (place, value.trim()))
    }

    fn read<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (place, text) = self.find(key)?;
        parse(text)
            .map_err(|message| {
                self.problems.push(Problem {
                    key: key.into(),
                    place,
                    message,
                });
            })
            .ok()
    }

    fn read_list(&mut self, key: &'static str) -> Vec<Pattern> {
        let Some((place, text)) = self.find(key) else {
            return Vec::new();
        };
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let mut patterns = Vec::new();
        for entry in entries {
            match Pattern::parse(entry) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.problems.push(Problem {
                    key: key.into(),
                    place,
                    message: error.to_string(),
                }),
            }
        }
        patterns
    }
}

fn parse_reload(text: &str) -> Result<Reload, String> {
    Reload::from_word(text).ok_or_else(|| format!("{} is none of auto, roll, touch, evict, off", quoted(text)))
}

fn parse_hot(text: &str) -> Result<Hot, String> {
    match text {
        "true" => return Ok(Hot::All),
        "false" => return Ok(Hot::None),
        _ => {}
    }
    let names: Result<Vec<Name>, _> = text.split(',').map(|name| name.trim().parse::<Name>()).collect();
    match names {
        Ok(names) => Ok(Hot::Containers(names)),
        Err(error) => Err(format!(
            "write true, false, or container names parted by commas: {error}"
        )),
    }
}

/// A value as shown in a message: escaped, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() == text.len() {
        format!("{text:?}")
    } else {
        format!("{short:?}…")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> Annotations {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn every_key_is_read() {
        let workload = annotations(&[
            (annotation::RELOAD, " auto "),
            (annotation::HOT, "web, sidecar"),
            (annotation::INCLUDE, "configmap/a, secret/b-*,"),
            (annotation::EXCLUDE, "secret/b-2"),
            (annotation::SETTLE, "500ms"),
        ]);
        let (policy, problems) = Policy::parse(&workload, &Annotations::new());
        assert_eq!(problems, []);
        assert_eq!(policy.reload, Some(Reload::Auto));
        assert!(policy.hot.covers("web") && policy.hot.covers("sidecar") && !policy.hot.covers("db"));
        assert_eq!(policy.include.len(), 2);
        assert!(policy.excludes(ConfigKind::Secret, &"b-2".parse().unwrap()));
        assert_eq!(policy.settle, Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_template_speaks_only_where_the_workload_is_silent() {
        let workload = annotations(&[(annotation::RELOAD, "roll")]);
        let template = annotations(&[(annotation::RELOAD, "off"), (annotation::HOT, "true")]);
        let (policy, _) = Policy::parse(&workload, &template);
        assert_eq!((policy.reload, policy.hot), (Some(Reload::Roll), Hot::All));
    }

    #[rstest]
    #[case(annotation::RELOAD, "yes", "\"yes\" is none of auto, roll, touch, evict, off")]
    #[case(annotation::RELOAD, "", "\"\" is none of auto, roll, touch, evict, off")]
    #[case(annotation::RELOAD, "Auto", "\"Auto\" is none of auto, roll, touch, evict, off")]
    #[case(
        annotation::SETTLE,
        "5",
        "\"5\" has no unit: write 5s for seconds or 5ms for milliseconds"
    )]
    #[case(
        annotation::HOT,
        "",
        "write true, false, or container names parted by commas: a name is empty"
    )]
    #[case(
        annotation::HOT,
        "a,,b",
        "write true, false, or container names parted by commas: a name is empty"
    )]
    #[case(
        annotation::INCLUDE,
        "web",
        "\"web\" has no kind: write configmap/NAME or secret/NAME; * and ? may stand in NAME"
    )]
    #[case(
        annotation::EXCLUDE,
        "pod/x",
        "\"pod\" is not a kind of config object: write configmap/NAME or secret/NAME"
    )]
    fn a_wrong_value_is_a_problem_that_names_it(#[case] key: &str, #[case] value: &str, #[case] message: &str) {
        let (policy, problems) = Policy::parse(&annotations(&[(key, value)]), &Annotations::new());
        assert_eq!(policy, Policy::default());
        assert_eq!(
            problems
                .iter()
                .map(|problem| problem.message.as_str())
                .collect::<Vec<_>>(),
            [message]
        );
    }

    #[test]
    fn one_wrong_entry_leaves_the_others() {
        let (policy, problems) = Policy::parse(
            &annotations(&[(annotation::INCLUDE, "configmap/a, nonsense, secret/b")]),
            &Annotations::new(),
        );
        assert_eq!((policy.include.len(), problems.len()), (2, 1));
    }

    #[test]
    fn a_hot_container_that_does_not_exist_is_named() {
        let (policy, _) = Policy::parse(&annotations(&[(annotation::HOT, "wbe")]), &Annotations::new());
        let problems = policy.unknown_hot_containers(&["web", "db"]);
        assert_eq!(problems[0].message, "there is no container \"wbe\"; there are: web, db");
    }

    #[test]
    fn ignore_is_true_or_false() {
        assert_eq!(parse_ignore(&Annotations::new()), Ok(false));
        assert_eq!(parse_ignore(&annotations(&[(annotation::IGNORE, "true")])), Ok(true));
        assert_eq!(parse_ignore(&annotations(&[(annotation::IGNORE, "false")])), Ok(false));
        let problem = parse_ignore(&annotations(&[(annotation::IGNORE, "1")])).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "annotation afresh.dev/ignore on the object: \"1\" is neither true nor false; the object still counts"
        );
    }

    #[test]
    fn a_long_value_is_cut() {
        let (_, problems) = Policy::parse(
            &annotations(&[(annotation::RELOAD, &"x".repeat(100_000))]),
            &Annotations::new(),
        );
        assert!(problems[0].message.len() < 200);
    }

    proptest! {
        #[test]
        fn no_annotation_panics(key in 0..5usize, value in "\\PC*") {
            let keys = [annotation::RELOAD, annotation::HOT, annotation::INCLUDE, annotation::EXCLUDE, annotation::SETTLE];
            let _ = Policy::parse(&annotations(&[(keys[key], &value)]), &Annotations::new());
        }
    }
}
