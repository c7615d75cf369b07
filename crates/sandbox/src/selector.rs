//! Label and field selectors.

use serde_json::Value;

use crate::object;
use crate::status::ApiError;

/// A parsed pair of selectors; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

#[derive(Clone, Debug, PartialEq)]
struct FieldTerm {
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl Selector {
    /// Parses the values of `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = split_outside_parentheses(labels)
            .map(parse_label)
            .collect::<Result<_, _>>()?;
        let fields = fields
            .split(',')
            .filter(|term| !term.is_empty())
            .map(parse_field)
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// A `metav1.LabelSelector` object (`matchLabels`, `matchExpressions`).
    pub(crate) fn from_object(selector: &Value) -> Self {
        let text = |value: &Value, key: &str| object::text(value, &[key]).to_owned();
        let mut labels: Vec<_> = object::map_at(selector, &["matchLabels"])
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]))
            .collect();
        for expression in object::list(selector, &["matchExpressions"]) {
            let key = text(expression, "key");
            let values = object::list(expression, &["values"]);
            let values = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            labels.push(match object::text(expression, &["operator"]) {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "DoesNotExist" => Requirement::Missing(key),
                _ => Requirement::Exists(key),
            });
        }
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    pub(crate) fn matches(&self, value: &Value) -> bool {
        let labels = object::map_at(value, &["metadata", "labels"]);
        let label = |key: &str| labels.and_then(|map| map.get(key)).and_then(Value::as_str);
        self.labels.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|v| values.iter().any(|wanted| wanted == v)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|v| values.iter().all(|wanted| wanted != v)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Missing(key) => label(key).is_none(),
        }) && self.fields.iter().all(|term| term.matches(value))
    }
}

impl FieldTerm {
    fn matches(&self, value: &Value) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let found = match object::at(value, &path) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        (found == self.value) == self.equal
    }
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
}

fn parse_label(term: &str) -> Result<Requirement, ApiError> {
    let wrong = || ApiError::bad_request(format!("unable to parse requirement: {term:?}"));
    let key = |text: &str| {
        let text = text.trim();
        let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if good { Ok(text.to_owned()) } else { Err(wrong()) }
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((head, rest)) = term.split_once('(') {
        let inside = rest.trim_end().strip_suffix(')').ok_or_else(wrong)?;
        let values = inside.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(name), Some("in"), None) => Ok(Requirement::In(key(name)?, values)),
            (Some(name), Some("notin"), None) => Ok(Requirement::NotIn(key(name)?, values)),
            _ => Err(wrong()),
        };
    }
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, one(value)));
    }
    if let Some((name, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Requirement::In(key(name)?, one(value)));
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Requirement::Missing(key(name)?)),
        None => Ok(Requirement::Exists(key(term)?)),
    }
}

fn parse_field(term: &str) -> Result<FieldTerm, ApiError> {
    let wrong = || ApiError::bad_request(format!("invalid selector: {term:?}; can't understand {term:?}"));
    let (path, value, equal) = if let Some((path, value)) = term.split_once("!=") {
        (path, value, false)
    } else {
        let (path, value) = term
            .split_once("==")
            .or_else(|| term.split_once('='))
            .ok_or_else(wrong)?;
        (path, value, true)
    };
    const KNOWN: [&str; 6] = [
        "metadata.",
        "status.",
        "spec.",
        "involvedObject.",
        "regarding.",
        "source.",
    ];
    let single = ["type", "reason", "reportingComponent", "reportingController", "action"];
    if !KNOWN.iter().any(|known| path.starts_with(known)) && !single.contains(&path) {
        return Err(ApiError::bad_request(format!("field label not supported: {path}")));
    }
    Ok(FieldTerm {
        path: path.split('.').map(str::to_owned).collect(),
        value: value.to_owned(),
        equal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(selector: &str, object: &Value) -> bool {
        Selector::parse(selector, "").unwrap().matches(object)
    }

    #[test]
    fn label_selectors_of_every_form_match_as_documented() {
        let web = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        for yes in [
            "",
            "app=web",
            "app==web",
            "app in (web, api)",
            "tier",
            "!gone",
            "gone!=x",
            "gone notin (x)",
        ] {
            assert!(labels(yes, &web), "{yes}");
        }
        for no in [
            "app=api",
            "app!=web",
            "app notin (web)",
            "!app",
            "gone",
            "gone in (x)",
            "app=web,tier=back",
        ] {
            assert!(!labels(no, &web), "{no}");
        }
        assert!(labels("app in (web,api),tier notin (back)", &web));
    }

    #[test]
    fn broken_selectors_are_refused() {
        for broken in ["app in (web", "app near (web)", "=web", "a b"] {
            assert_eq!(Selector::parse(broken, "").unwrap_err().code, 400, "{broken}");
        }
        assert_eq!(Selector::parse("", "metadata.name").unwrap_err().code, 400);
        assert_eq!(Selector::parse("", "colour=red").unwrap_err().code, 400);
    }

    #[test]
    fn field_selectors_compare_text_and_absent_reads_as_empty() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}});
        let matches = |selector: &str| Selector::parse("", selector).unwrap().matches(&pod);
        assert!(matches("metadata.name=a,spec.nodeName=n1"));
        assert!(matches("status.phase!=Running"));
        assert!(matches("status.phase="));
        assert!(!matches("metadata.name!=a"));
    }

    #[test]
    fn a_selector_object_matches_like_its_text() {
        let selector = Selector::from_object(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}, {"key": "x", "operator": "DoesNotExist"}],
        }));
        assert!(selector.matches(&json!({"metadata": {"labels": {"app": "web"}}})));
        assert!(!selector.matches(&json!({"metadata": {"labels": {"app": "web", "x": ""}}})));
    }
}
