//! What the guide shows is what the program takes: each YAML example is an object of the Kubernetes API, without a field that
//! there is not, and each command line of ours in it is read by the program's own flags.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use afresh_agent::command_line::CommandLine;
use afresh_agent::source::{self, Objects};
use clap::Parser as _;
use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, rbac::v1 as rbac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Cli, Command};

/// The pages with examples of the programs in the pod.
const PAGES: [&str; 3] = ["docs/agent.md", "docs/run.md", "docs/recipes.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A block of code: where it is, in which language, and what it says.
struct Block {
    place: String,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block {
                    place: format!("{page}:{}", index + 1),
                    language: language.trim().to_owned(),
                    text: String::new(),
                });
            }
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block is never closed");
    blocks
}

/// All examples in YAML: of the pages, and the recipes.
fn examples() -> Vec<Block> {
    let recipes = fs::read_dir(root().join("examples/recipes")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        Block {
            place: path.display().to_string(),
            language: "yaml".to_owned(),
            text: fs::read_to_string(path).unwrap(),
        }
    });
    let of_pages = PAGES.into_iter().flat_map(blocks);
    of_pages
        .chain(recipes)
        .filter(|block| block.language == "yaml")
        .collect()
}

fn objects(block: &Block) -> Vec<Value> {
    let documents = block.text.split("\n---\n");
    let read = |document| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    documents.map(read).collect()
}

/// What of `given` is not in `kept`, which the API's own type has kept of it.
fn lost(given: &Value, kept: &Value, path: &str) -> Vec<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            let in_field = |(name, value): (&String, &Value)| {
                let path = format!("{path}.{name}");
                kept.get(name)
                    .map_or_else(|| vec![path.clone()], |kept| lost(value, kept, &path))
            };
            given.iter().flat_map(in_field).collect()
        }
        (Value::Array(given), Value::Array(kept)) => {
            let pairs = given.iter().zip(kept).enumerate();
            pairs
                .flat_map(|(index, (given, kept))| lost(given, kept, &format!("{path}[{index}]")))
                .collect()
        }
        _ if given == kept => Vec::new(),
        _ => vec![path.to_owned()],
    }
}

/// Reads an object as its kind, and returns the fields that the kind has not.
fn unknown<K: Serialize + DeserializeOwned + Debug>(object: &Value) -> Vec<String> {
    let typed: K = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    lost(object, &serde_json::to_value(typed).unwrap(), "")
}

fn unknown_fields(object: &Value) -> Vec<String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    match (text("apiVersion").as_str(), text("kind").as_str()) {
        ("v1", "Pod") => unknown::<core::Pod>(object),
        ("v1", "ConfigMap") => unknown::<core::ConfigMap>(object),
        ("v1", "Secret") => unknown::<core::Secret>(object),
        ("v1", "ServiceAccount") => unknown::<core::ServiceAccount>(object),
        ("apps/v1", "Deployment") => unknown::<apps::Deployment>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => unknown::<rbac::Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => unknown::<rbac::RoleBinding>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => unknown::<rbac::ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => unknown::<rbac::ClusterRoleBinding>(object),
        (version, kind) => panic!("{version} {kind:?}: no kind that is known here"),
    }
}

/// Whether the words are a command line of ours; panics with what the program would say if it refuses them.
fn is_taken(words: &[&str], place: &str) -> bool {
    let program = words.first().and_then(|word| Path::new(word).file_name()?.to_str());
    let objects = match program {
        Some("afresh") => Objects::BuiltIn(source::follow),
        Some("afresh-agent") => Objects::NotBuiltIn,
        _ => return false,
    };
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{place}: {words:?}: {error}"));
    let valid = match cli.command {
        Command::Agent(args) => args.validate(objects),
        Command::Run(args) => args.validate(objects),
        _ => panic!("{place}: {words:?} is no program for pods"),
    };
    valid.unwrap_or_else(|error| panic!("{place}: {words:?}: {error}"));
    true
}

/// The command lines of a pod's containers.
fn commands(object: &Value) -> Vec<Vec<&str>> {
    let spec = if object["kind"] == "Pod" {
        &object["spec"]
    } else {
        &object["spec"]["template"]["spec"]
    };
    let containers = ["initContainers", "containers"].map(|field| spec[field].as_array());
    let containers = containers.into_iter().flatten().flatten();
    let words = |container| {
        let container: &Value = container;
        let fields = ["command", "args"].map(|field| container[field].as_array());
        fields
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    containers.map(words).collect()
}

#[test]
fn each_example_is_an_object_of_the_api_whose_command_the_program_takes() {
    let (mut seen, mut taken) = (0, 0);
    for block in examples() {
        for object in objects(&block) {
            assert_eq!(
                unknown_fields(&object),
                Vec::<String>::new(),
                "{}: {object}",
                block.place
            );
            seen += 1;
            taken += commands(&object)
                .iter()
                .filter(|words| is_taken(words, &block.place))
                .count();
        }
    }
    assert!(
        seen >= 20 && taken >= 9,
        "only {seen} objects with {taken} commands were found"
    );
}

#[test]
fn each_command_line_that_is_shown_is_taken() {
    let mut taken = 0;
    for block in PAGES
        .into_iter()
        .flat_map(blocks)
        .filter(|block| matches!(&*block.language, "" | "sh"))
    {
        for line in block.text.replace("\\\n", " ").lines() {
            let line = line.trim_end().trim_end_matches('&');
            if line.is_empty() {
                continue;
            }
            let words: CommandLine = line.parse().unwrap_or_else(|error| panic!("{}: {error}", block.place));
            taken += usize::from(is_taken(&words.words().collect::<Vec<_>>(), &block.place));
        }
    }
    assert!(taken >= 7, "only {taken} were found");
}

#[test]
fn a_field_that_the_kind_has_not_is_found() {
    let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "volumeMount": []}]}});
    assert_eq!(unknown_fields(&object), [".spec.containers[0].volumeMount"]);
}

/// All tests of the workspace that are named after defects of Reloader's, by number.
fn tests_of_defects(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_of_defects(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for line in text.lines() {
                let name = line.split_once("fn reloader_defect").map(|(_, name)| name);
                let numbers = name
                    .into_iter()
                    .flat_map(|name| name.trim_start_matches('s').split('_').skip(1));
                let number = |word: &&str| {
                    let (letter, digits) = word.split_at_checked(1).unwrap_or_default();
                    matches!(letter, "a" | "b" | "c" | "d" | "e") && digits.parse::<u8>().is_ok()
                };
                found.extend(numbers.take_while(number).map(str::to_uppercase));
            }
        }
    }
}

#[test]
fn each_of_reloaders_defects_is_in_the_migration_guide_and_has_a_test_of_its_name() {
    let guide = fs::read_to_string(root().join("docs/migrating-from-reloader.md")).unwrap();
    let (_, table) = guide.split_once("## Reloader's defects, one by one").unwrap();
    let numbers = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let told: BTreeSet<String> = numbers
        .map(|(number, _)| number.to_owned())
        .filter(|number| number != "---")
        .collect();
    let all = [('A', 12), ('B', 15), ('C', 5), ('D', 7), ('E', 10)];
    let all = all
        .into_iter()
        .flat_map(|(letter, last)| (1..=last).map(move |number| format!("{letter}{number}")));
    let all: BTreeSet<String> = all.collect();
    let mut tested = BTreeSet::new();
    tests_of_defects(&root().join("crates"), &mut tested);
    let untold: Vec<&String> = all.difference(&told).collect();
    let untested: Vec<&String> = all.difference(&tested).collect();
    assert!(
        untold.is_empty() && untested.is_empty(),
        "not told: {untold:?}, not tested: {untested:?}"
    );
}
