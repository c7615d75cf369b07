//! Who may depend on whom, so that the pure crates stay pure and Kubernetes stays in its place.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command;

/// The dependencies that a crate of this workspace may have among its own kind, besides its development ones.
const ALLOWED: &[(&str, &[&str])] = &[
    ("afresh-model", &[]),
    ("afresh-engine", &["afresh-model"]),
    ("afresh-k8s", &["afresh-engine", "afresh-model"]),
    ("afresh-controller", &["afresh-k8s", "afresh-engine", "afresh-model"]),
    ("afresh-volume", &["afresh-model"]),
    // Kubernetes only where a feature asks for it.
    ("afresh-agent", &["afresh-model", "afresh-volume", "afresh-k8s"]),
    ("afresh", &["afresh-volume", "afresh-model", "afresh-k8s"]),
    ("afresh-sandbox", &["afresh-model", "afresh-volume"]),
    // `afresh demo` runs the sandbox.
    (
        "afresh-cli",
        &[
            "afresh-controller",
            "afresh-k8s",
            "afresh-engine",
            "afresh-model",
            "afresh-sandbox",
            "afresh-agent",
        ],
    ),
    ("microservice", &["afresh"]),
    ("afresh-bench", &["afresh-k8s", "afresh-testbed"]),
    ("afresh-testbed", &["afresh-testbed-host"]),
    ("afresh-testbed-host", &[]),
    ("xtask", &["afresh-testbed-host"]),
];

/// What only a feature of a crate may bring.
const BY_FEATURE: &[(&str, &[&str])] = &[("afresh", &["afresh-k8s", "tokio"]), ("afresh-agent", &["afresh-k8s"])];

/// Foreign crates that only some of ours may use, development dependencies included.
const CONFINED: &[(&str, &[&str])] = &[
    (
        "kube",
        &[
            "afresh-k8s",
            "afresh-controller",
            "afresh-cli",
            "afresh-testbed",
            "afresh-bench",
        ],
    ),
    (
        "k8s-openapi",
        &["afresh-k8s", "afresh-controller", "afresh-cli", "afresh-testbed"],
    ),
];

/// Crates that do no input or output, and what they may therefore not depend on.
const PURE: &[&str] = &["afresh-model", "afresh-engine"];
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "kube",
    "k8s-openapi",
    "rustix",
    "hyper",
    "futures",
    "rand",
    "getrandom",
];

/// Tests of these crates may use the testbed and Kubernetes' own types.
const KUBERNETES_TESTS: &[&str] = &["afresh-sandbox"];

/// Only for tests, wherever they are.
const TEST_ONLY: &[&str] = &["afresh-testbed", "afresh-sandbox"];

#[derive(Debug)]
struct Package {
    normal: Vec<String>,
    /// Those of the normal ones that a feature brings.
    optional: Vec<String>,
    development: Vec<String>,
}

/// Checks every crate of the workspace.
///
/// # Errors
/// One line per forbidden dependency.
pub(crate) fn check() -> Result<()> {
    let metadata = command::output(&mut command::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ])?)?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let problems = problems(&packages(&metadata));
    if !problems.is_empty() {
        bail!("forbidden dependencies:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn packages(metadata: &Value) -> BTreeMap<String, Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = metadata["packages"].as_array().into_iter().flatten();
    let described = all.map(|package| {
        let dependencies = || package["dependencies"].as_array().into_iter().flatten();
        let named = |development: bool| {
            let of_kind = dependencies().filter(move |dependency| (dependency["kind"] == "dev") == development);
            of_kind.map(|dependency| text(&dependency["name"])).collect()
        };
        (
            text(&package["name"]),
            Package {
                normal: named(false),
                optional: dependencies()
                    .filter(|dependency| dependency["optional"] == true)
                    .map(|dependency| text(&dependency["name"]))
                    .collect(),
                development: named(true),
            },
        )
    });
    described.collect()
}

fn problems(packages: &BTreeMap<String, Package>) -> Vec<String> {
    let mut problems = Vec::new();
    let table = |table: &'static [(&str, &[&str])], name: &str| {
        table.iter().find(|(key, _)| *key == name).map(|(_, values)| *values)
    };
    for (name, package) in packages {
        let Some(allowed) = table(ALLOWED, name) else {
            problems.push(format!("{name}: say in xtask/src/crates.rs what it may depend on"));
            continue;
        };
        for dependency in &package.normal {
            if packages.contains_key(dependency) && !allowed.contains(&dependency.as_str()) {
                problems.push(format!("{name} -> {dependency}: against the direction of the layers"));
            }
        }
        for dependency in table(BY_FEATURE, name).unwrap_or_default() {
            let dependency = (*dependency).to_owned();
            if package.normal.contains(&dependency) && !package.optional.contains(&dependency) {
                problems.push(format!("{name} -> {dependency}: only a feature may bring it"));
            }
        }
        for dependency in package.normal.iter().chain(&package.development) {
            let confined = table(CONFINED, dependency).is_some_and(|users| !users.contains(&name.as_str()));
            let in_tests = KUBERNETES_TESTS.contains(&name.as_str()) && !package.normal.contains(dependency);
            if confined && !in_tests {
                problems.push(format!("{name} -> {dependency}: only the Kubernetes layers may use it"));
            }
        }
        if PURE.contains(&name.as_str()) {
            let impure = package
                .normal
                .iter()
                .filter(|dependency| IMPURE.contains(&dependency.as_str()));
            problems.extend(impure.map(|dependency| format!("{name} -> {dependency}: this crate is pure")));
            let cluster = package
                .development
                .iter()
                .filter(|dependency| TEST_ONLY.contains(&dependency.as_str()));
            problems.extend(cluster.map(|dependency| format!("{name} -> {dependency}: pure crates are tested purely")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(entries: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, Package> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let described = entries.iter().map(|(name, normal, development)| {
            (
                (*name).to_owned(),
                Package {
                    normal: owned(normal),
                    optional: Vec::new(),
                    development: owned(development),
                },
            )
        });
        described.collect()
    }

    #[test]
    fn the_layers_may_depend_downwards() {
        let packages = workspace(&[
            ("afresh-model", &["serde"], &["proptest"]),
            ("afresh-engine", &["afresh-model"], &[]),
            (
                "afresh-k8s",
                &["afresh-engine", "kube"],
                &["afresh-testbed", "afresh-sandbox"],
            ),
            ("afresh-sandbox", &["tokio"], &["kube", "afresh-testbed"]),
            ("afresh-testbed", &["kube", "afresh-testbed-host"], &[]),
        ]);
        assert_eq!(problems(&packages), Vec::<String>::new());
    }

    #[test]
    fn every_forbidden_dependency_is_named() {
        let packages = workspace(&[
            ("afresh-model", &["afresh-engine", "tokio"], &[]),
            ("afresh-engine", &["kube"], &["afresh-sandbox"]),
            ("afresh-k8s", &["afresh-testbed"], &[]),
            ("afresh-volume", &["kube"], &[]),
            ("afresh-sandbox", &["kube"], &[]),
            ("afresh-testbed", &[], &[]),
            ("afresh-new", &[], &[]),
            ("afresh", &["tokio"], &[]),
            ("afresh-agent", &["afresh-k8s"], &[]),
        ]);
        let problems = problems(&packages);
        let about: Vec<_> = problems
            .iter()
            .map(|line| line.split(':').next().unwrap_or_default())
            .collect();
        let expected = [
            "afresh -> tokio",
            "afresh-agent -> afresh-k8s",
            "afresh-engine -> kube",
            "afresh-engine -> kube",
            "afresh-engine -> afresh-sandbox",
            "afresh-k8s -> afresh-testbed",
            "afresh-model -> afresh-engine",
            "afresh-model -> tokio",
            "afresh-new",
            "afresh-sandbox -> kube",
            "afresh-volume -> kube",
        ];
        let sorted = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(sorted(about), sorted(expected.to_vec()), "{problems:#?}");
    }
}
