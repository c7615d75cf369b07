//! `spec.selector` as the query that lists a workload's pods.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::decode::null_is_default;
use super::undecodable::DecodeError;

/// A `LabelSelector`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Selector {
    #[serde(deserialize_with = "null_is_default")]
    match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Expression {
    key: Box<str>,
    operator: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    values: Vec<Box<str>>,
}

impl Selector {
    /// The selector as a `labelSelector` query, its parts in a fixed order.
    pub(super) fn query(&self) -> Result<Box<str>, DecodeError> {
        let labels = self
            .match_labels
            .iter()
            .map(|(key, value)| Ok(format!("{key}={value}")));
        let expressions = self.match_expressions.iter().map(Expression::query);
        let parts: Vec<String> = labels.chain(expressions).collect::<Result<_, _>>()?;
        Ok(parts.join(",").into())
    }
}

impl Expression {
    fn query(&self) -> Result<String, DecodeError> {
        let key = &self.key;
        match (&*self.operator, self.values.is_empty()) {
            ("In", false) => Ok(format!("{key} in ({})", self.values.join(","))),
            ("NotIn", false) => Ok(format!("{key} notin ({})", self.values.join(","))),
            ("Exists", true) => Ok(key.to_string()),
            ("DoesNotExist", true) => Ok(format!("!{key}")),
            (operator, _) => Err(DecodeError::Selector(
                format!(
                    "operator {:?} with {} values on key {:?}",
                    operator.chars().take(32).collect::<String>(),
                    self.values.len(),
                    key.chars().take(64).collect::<String>()
                )
                .into(),
            )),
        }
    }
}
