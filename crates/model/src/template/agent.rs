//! An Afresh agent in a container: found by the container's command line, which says what it watches.
//!
//! Only the words themselves count, as a container runtime gets them: a program called `afresh` or `afresh-agent`, and `run` or `agent`
//! as its first argument. What a shell makes of a text, what the entry point of an image is, and what a variable holds
//! is not to be seen in a template; `afresh.dev/hot` is for those.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::Container;

/// Words of a command line that are looked at: an agent has fewer before the command that it runs.
const WORDS: usize = 64;
/// A longer word is no path of a mount; a shell's script can be one.
const WORD: usize = 1024;
/// Ends an agent's own flags.
const END: &str = "--";
/// Flags whose value is a path that the agent rereads.
const WATCHING: [&str; 3] = ["--watch", "--env-from", "--env-file"];

/// An agent and what it rereads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// For whom it does.
    pub reach: Reach,
    paths: Box<[Box<str>]>,
}

/// Which containers an agent acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its own: `afresh run` is the parent of one program.
    Container,
    /// All of the pod: `afresh agent` is there for the others.
    Pod,
}

impl Agent {
    /// Whether it rereads this file or directory itself, as it is written in its flags.
    #[must_use]
    pub fn watches(&self, path: &str) -> bool {
        self.paths.iter().any(|watched| **watched == *bare(path))
    }
}

impl Container {
    /// The Afresh agent that its command line starts.
    #[must_use]
    pub fn agent(&self) -> Option<Agent> {
        // Without a command the first argument is for the image's entry point, whatever that is.
        self.command.first().filter(|program| is_agent(program))?;
        let mut words = self.command.iter().chain(&self.args).skip(1).map(|word| &**word);
        let reach = match words.next()? {
            "run" => Reach::Container,
            "agent" => Reach::Pod,
            _ => return None,
        };
        let mut paths = Vec::new();
        while let Some(word) = words.next().filter(|word| *word != END) {
            let (flag, value) = word.split_once('=').unzip();
            let flag = flag.unwrap_or(word);
            if WATCHING.contains(&flag) {
                let value = value.or_else(|| words.next());
                paths.extend(value.map(|path| bare(path).into()));
            }
        }
        (!paths.is_empty()).then(|| Agent {
            reach,
            paths: paths.into(),
        })
    }
}

fn is_agent(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("afresh" | "afresh-agent"))
}

/// A path without the slashes at its end.
fn bare(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// Reads a command; nothing is kept of one whose program is no agent.
pub(super) fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[Box<str>]>, D::Error> {
    deserializer.deserialize_option(Words { program: true })
}

/// Reads arguments up to `--`.
pub(super) fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[Box<str>]>, D::Error> {
    deserializer.deserialize_option(Words { program: false })
}

struct Words {
    program: bool,
}

impl<'de> Visitor<'de> for Words {
    type Value = Box<[Box<str>]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Box::default())
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Box::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut kept: Vec<Box<str>> = Vec::new();
        while let Some(Text(word)) = seq.next_element()? {
            if self.program && kept.is_empty() && !is_agent(&word) {
                break;
            }
            if kept.len() >= WORDS || word == END {
                kept.push(END.into()); // what follows is for the program that it runs
                break;
            }
            // It keeps its place, so that no other word takes it.
            kept.push(if word.len() > WORD { Box::default() } else { word.into() });
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept.into())
    }
}

/// A word, read without a copy.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::PodTemplate;
    use super::*;

    fn found(container: &Value) -> Option<Agent> {
        let template: PodTemplate = serde_json::from_value(json!({"spec": {"containers": [container]}})).unwrap();
        template.spec.containers[0].agent()
    }

    #[rstest]
    #[case::in_the_command(json!({"command": ["afresh", "run", "--watch=/c", "--", "x"]}), Some(Reach::Container))]
    #[case::by_its_path(json!({"command": ["/usr/bin/afresh", "agent", "--watch", "/c/"]}), Some(Reach::Pod))]
    #[case::the_small_one(json!({"command": ["/afresh-agent", "agent"], "args": ["--watch=/c"]}), Some(Reach::Pod))]
    #[case::arguments_first(json!({"args": ["run", "--env-from=/c", "--", "x"], "command": ["/afresh"]}), Some(Reach::Container))]
    #[case::a_file(json!({"command": ["afresh", "run", "--grace", "1s", "--env-file", "/c"]}), Some(Reach::Container))]
    #[case::with_more_flags(json!({"command": ["afresh", "agent", "--check=sh -c 'x'", "--watch=/a", "--watch=/c"]}), Some(Reach::Pod))]
    #[case::a_shell(json!({"command": ["sh", "-c", "afresh run --watch=/c -- x"]}), None)]
    #[case::a_shell_with_arguments(json!({"command": ["sh"], "args": ["afresh", "run", "--watch=/c"]}), None)]
    #[case::an_entry_point(json!({"args": ["agent", "--watch=/c"]}), None)]
    #[case::for_an_entry_point(json!({"args": ["afresh", "agent", "--watch=/c"]}), None)]
    #[case::another_subcommand(json!({"command": ["afresh", "controller", "--watch=/c"]}), None)]
    #[case::no_subcommand(json!({"command": ["afresh"]}), None)]
    #[case::a_flag_before_it(json!({"command": ["afresh", "--watch=/c", "agent"]}), None)]
    #[case::a_name_that_only_begins_so(json!({"command": ["afresh-other", "agent", "--watch=/c"]}), None)]
    #[case::it_watches_nothing_here(json!({"command": ["afresh", "agent", "--source=configmap/x"]}), None)]
    #[case::of_the_program_that_it_runs(json!({"command": ["afresh", "run", "--", "x", "--watch=/c"]}), None)]
    #[case::of_that_program_in_the_arguments(json!({"command": ["afresh", "run", "--"], "args": ["x", "--watch=/c"]}), None)]
    #[case::another_path(json!({"command": ["afresh", "agent", "--watch=/c2"]}), None)]
    #[case::a_variable(json!({"command": ["afresh", "agent", "--watch=$(C)"]}), None)]
    #[case::nothing(json!({"command": null, "args": null}), None)]
    fn an_agent_is_known_by_its_words_and_nothing_else(#[case] container: Value, #[case] reach: Option<Reach>) {
        let agent = found(&container).filter(|agent| agent.watches("/c"));
        assert_eq!(agent.map(|agent| agent.reach), reach);
    }

    #[test]
    fn of_other_programs_and_of_endless_words_nothing_is_kept() {
        let long = "x".repeat(100_000);
        let read = |container: Value| -> Container { serde_json::from_value(container).unwrap() };
        let shell = read(json!({"command": ["sh", "-c", long], "args": [long]}));
        assert_eq!((shell.command.len(), shell.args[0].len()), (0, 0));
        let words: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let endless = read(json!({"command": ["afresh", "agent", "--check", long, "--watch=/c"], "args": words}));
        assert!(endless.agent().unwrap().watches("/c") && endless.args.len() <= WORDS + 1);
    }

    proptest! {
        #[test]
        fn no_command_line_panics(
            command in proptest::option::of(proptest::collection::vec("(afresh|run|agent|--watch|--watch=/c|--|\\PC{0,8})", 0..8)),
            args in proptest::option::of(proptest::collection::vec("(run|agent|--env-from|--|=|\\PC{0,8})", 0..8)),
        ) {
            let whole = [command.clone().unwrap_or_default(), args.clone().unwrap_or_default()].concat();
            if let Some(agent) = found(&json!({"command": command, "args": args})) {
                // What it is said to watch stands somewhere in its words.
                prop_assert!(agent.paths.iter().all(|path| whole.iter().any(|word| word.contains(&**path))));
            }
        }
    }
}
