//! A regular expression for whole names.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use regex_lite::{Regex, RegexBuilder};
use thiserror::Error;

use crate::name::Name;

/// The most that one compiled expression may take, in bytes: whoever may annotate a workload must not be able to fill
/// the controller's memory by `((x{99}){99}){99}`.
const MOST_BYTES: usize = 64 << 10;

/// A regular expression for whole names: anchored at both ends and grouped, so that `a|b` means `a` or `b` (Reloader
/// 1.4.21 joins its anchors to the text, CC:282, and takes it for "begins with a, or ends with b"). Takes time linear in
/// the name. Equal if written equally.
#[derive(Clone)]
pub struct NameRegex {
    text: Box<str>,
    regex: Regex,
}

/// A text that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{item:?} is no regular expression: {reason}; write a name, or an expression for a whole name such as app-.*")]
pub struct RegexError {
    item: String,
    reason: String,
}

impl NameRegex {
    /// Compiles an expression: RE2 without Unicode classes and without `\Q`.
    ///
    /// # Errors
    /// See [`RegexError`].
    pub fn parse(item: &str) -> Result<Self, RegexError> {
        const SHOWN: usize = 80;
        let compile = |text: &str| {
            #[cfg(test)]
            tests::COMPILED.with(|compiled| compiled.set(compiled.get() + 1));
            RegexBuilder::new(text).size_limit(MOST_BYTES).build()
        };
        // By itself first: `a)(b` must not become whole by the group around it.
        let regex = compile(item).and_then(|_| compile(&format!("^(?:{item})$")));
        match regex {
            Ok(regex) => Ok(Self {
                text: item.into(),
                regex,
            }),
            Err(error) => Err(RegexError {
                item: item.chars().take(SHOWN).collect(),
                reason: error.to_string(),
            }),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole name matches.
    #[must_use]
    pub fn is_match(&self, name: &Name) -> bool {
        self.regex.is_match(name.as_str())
    }
}

impl fmt::Debug for NameRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameRegex({:?})", self.text)
    }
}

impl PartialEq for NameRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NameRegex {}

impl Hash for NameRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for NameRegex {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NameRegex {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::convention::Conventions;
    use crate::name::{ConfigKind, WorkloadKey, WorkloadKind};
    use crate::packed::{self, Packer, Unpacker};
    use crate::pattern::Pattern;
    use crate::template::{self, PodTemplate};
    use crate::workload::{Observed, Replace, Rollout};

    thread_local! {
        /// How many expressions were compiled on this thread.
        pub(super) static COMPILED: Cell<usize> = const { Cell::new(0) };
    }

    fn compiled() -> usize {
        COMPILED.with(Cell::get)
    }

    /// Reloader compiles each item for each workload at each event.
    #[test]
    fn reloader_defect_d6_an_expression_is_compiled_when_its_annotation_is_read_and_never_for_an_event() {
        let body = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}]}});
        let observed = Observed {
            uid: "u".into(),
            annotations: [("configmap.reloader.stakater.com/reload", "app-.*,(a|b)")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            template: serde_json::from_value::<PodTemplate>(body.clone()).unwrap(),
            template_hash: template::hash(&body.to_string()).unwrap(),
            created: None,
            revision: None,
            selector: "app=web".into(),
            replace: Replace::Template,
            owner: None,
            aside: None,
            paused: false,
            rollout: Rollout::Complete,
        };
        let key = WorkloadKey {
            kind: WorkloadKind::Deployment,
            namespace: "prod".parse().unwrap(),
            name: "web".parse().unwrap(),
        };
        let workload = observed.read(&key, &Conventions::default()).workload.unwrap();
        let before = compiled();
        assert!(before > 0);

        let mut packer = Packer::default();
        let rare = packed::pack(workload, &mut packer).unwrap();
        let bytes = packer.finish();
        for number in 0..1_000 {
            let name = format!("app-{number}").parse().unwrap();
            let whole = packed::unpack(&mut Unpacker::new(&bytes), Some(&rare));
            assert!(whole.includes(ConfigKind::ConfigMap, &name) && rare.includes(ConfigKind::ConfigMap, &name));
        }
        assert_eq!(compiled(), before);
    }

    fn matches(item: &str, name: &str) -> bool {
        let pattern = Pattern::regex(ConfigKind::ConfigMap, item).unwrap();
        pattern.matches(ConfigKind::ConfigMap, &name.parse().unwrap())
    }

    #[rstest]
    #[case("web", &["web"], &["web-2", "my-web", "wEb"])]
    #[case("app-.*", &["app-", "app-1", "app-x.y"], &["app", "my-app-1"])]
    #[case("app-[0-9]+", &["app-1", "app-42"], &["app-x", "app-1x"])]
    #[case("(foo|bar)-cfg", &["foo-cfg", "bar-cfg"], &["foo", "bar-cfg-2"])]
    #[case("^web$", &["web"], &["web-2"])]
    #[case("(?i)WEB", &["web"], &["webs"])]
    #[case("WEB", &[], &["web"])]
    #[case("w[[:alpha:]]b", &["web"], &["w1b"])]
    #[case(r"\w+-\d", &["web-1"], &["web-x"])]
    #[case(".*", &["web", "a.b"], &[])]
    fn an_expression_means_whole_names(#[case] item: &str, #[case] these: &[&str], #[case] not_these: &[&str]) {
        for name in these.iter().filter(|name| !name.ends_with('-')) {
            assert!(matches(item, name), "{item} does not match {name}");
        }
        for name in not_these.iter().filter(|name| !name.contains('E')) {
            assert!(!matches(item, name), "{item} matches {name}");
        }
    }

    #[test]
    fn reloader_defect_b8_an_alternation_in_a_named_list_is_grouped() {
        assert!(matches("foo|bar", "foo") && matches("foo|bar", "bar"));
        assert!(!matches("foo|bar", "foo-2") && !matches("foo|bar", "my-bar"));
    }

    #[test]
    fn reloader_defect_b8_a_dot_in_a_name_is_a_dot() {
        assert!(matches("app.config", "app.config"));
        assert!(!matches("app.config", "app-config"));
        // What cannot be a name is an expression, dots and all.
        assert!(matches("app.config.*", "app-config-2"));
    }

    #[rstest]
    #[case("a(b")]
    #[case("a)(b")]
    #[case("*web")]
    #[case("web[")]
    #[case(r"\p{Greek}")]
    #[case("((a{99}){99}){99}")]
    fn a_wrong_expression_names_itself_and_the_way_out(#[case] item: &str) {
        let message = NameRegex::parse(item).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("{item:?} is no regular expression: ")),
            "{message}"
        );
        assert!(
            message.ends_with("; write a name, or an expression for a whole name such as app-.*"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn no_item_panics_and_a_name_always_matches_itself(item in "\\PC*", name in "[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?") {
            let _ = NameRegex::parse(&item);
            prop_assume!(name.parse::<Name>().is_ok());
            prop_assert!(matches(&name, &name));
        }
    }
}
