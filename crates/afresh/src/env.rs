//! The environment as a source, and how the names of variables become keys.

use std::ffi::OsString;

use crate::LoadError;
use crate::tree::{At, Kind, Node, Sources};

/// Lays the variables that begin with `PREFIX_` into a tree.
pub(crate) fn read(
    prefix: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    sources: &mut Sources,
) -> Result<Node, LoadError> {
    let mut node = Node::empty();
    let mut found: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            let rest = name.to_str()?.strip_prefix(prefix)?.strip_prefix('_')?.to_owned();
            (!rest.is_empty()).then_some((name, rest, value))
        })
        .collect();
    // The order of the environment is nobody's choice.
    found.sort();
    for (name, rest, value) in found {
        let name = name.display().to_string();
        let at = sources.add(format!("environment variable {name}"));
        let value = text(&name, value)?;
        insert(&mut node, &rest, at, Kind::Loose(value.into_bytes())).map_err(|message| LoadError::Value {
            place: sources.place(at),
            key: String::new(),
            message,
        })?;
    }
    Ok(node)
}

/// One variable under a key of its own.
pub(crate) fn variable(
    name: &str,
    key: &str,
    value: Option<OsString>,
    sources: &mut Sources,
) -> Result<Node, LoadError> {
    let mut node = Node::empty();
    let Some(value) = value else { return Ok(node) };
    let at = sources.add(format!("environment variable {name}"));
    let value = Kind::Loose(text(name, value)?.into_bytes());
    let path: Vec<&str> = key.split('.').collect();
    // It is the only key, so that nothing is in its way.
    let _ = node.insert(&path, at, false, value);
    Ok(node)
}

fn text(name: &str, value: OsString) -> Result<String, LoadError> {
    value
        .into_string()
        .map_err(|_| LoadError::Variable { name: name.to_owned() })
}

/// `SERVER__MAX_CONN` is the key `max_conn` in `server`.
pub(crate) fn insert(node: &mut Node, name: &str, at: At, value: Kind) -> Result<(), String> {
    let name = name.to_lowercase();
    let path: Vec<&str> = name.split("__").collect();
    node.insert(&path, at, true, value)
        .map_err(|key| format!("`{key}` has a value of its own and keys below it"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read_from(variables: &[(&str, &[u8])]) -> Result<Node, LoadError> {
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from_vec(value.to_vec())));
        read("APP", variables, &mut Sources::default())
    }

    #[test]
    fn only_variables_with_the_prefix_count() {
        let node = read_from(&[
            ("APP_PORT", b"1"),
            ("APPLE", b"2"),
            ("APP_", b"3"),
            ("PORT", b"4"),
            ("APP", b"5"),
        ]);
        let mut expected = Node::empty();
        insert(&mut expected, "port", At::default(), Kind::Loose(b"1".to_vec())).unwrap();
        assert_eq!(node.unwrap(), expected);
    }

    #[test]
    fn two_underscores_go_a_level_down() {
        let node = read_from(&[("APP_SERVER__MAX_CONN", b"1")]).unwrap();
        let Kind::Map(map) = node.kind else { panic!("{node:?}") };
        let Kind::Map(server) = &map["server"].value.kind else {
            panic!("{map:?}")
        };
        assert_eq!(server["max_conn"].value.kind, Kind::Loose(b"1".to_vec()));
    }

    #[test]
    fn a_value_that_is_not_text_is_named_and_not_shown() {
        let error = read_from(&[("APP_KEY", &[0xff, 0x41, 0x42])]).unwrap_err();
        assert_eq!(error.to_string(), "environment variable APP_KEY: not UTF-8");
    }

    #[test]
    fn a_variable_cannot_be_a_value_and_a_map() {
        let error = read_from(&[("APP_A", b"1"), ("APP_A__B", b"2")]).unwrap_err();
        let expected = "environment variable APP_A__B: `a` has a value of its own and keys below it";
        assert_eq!(error.to_string(), expected);
    }
}
