//! Values of flags, each with an error that names the value and the way out.

use std::net::SocketAddr;
use std::time::Duration;

use afresh_model::name::{CustomKind, Name, WorkloadKind};
use afresh_model::policy::Reload;

/// A duration as in annotations.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    afresh_model::duration::parse(text).map_err(|error| error.to_string())
}

/// A Kubernetes name.
pub(crate) fn name(text: &str) -> Result<Name, String> {
    text.parse()
        .map_err(|error: afresh_model::name::NameError| error.to_string())
}

/// A namespace: a DNS label, shorter and without dots.
pub(crate) fn namespace(text: &str) -> Result<Name, String> {
    let name = name(text)?;
    if text.len() > 63 || text.contains('.') {
        return Err(format!("{text:?} is no namespace: at most 63 of a-z, 0-9 and '-'"));
    }
    Ok(name)
}

/// `auto`, `roll`, `touch`, `evict`, `off`.
pub(crate) fn reload(text: &str) -> Result<Reload, String> {
    Reload::from_word(text).ok_or_else(|| format!("{text:?} is none of auto, roll, touch, evict, off"))
}

/// A kind of workload.
pub(crate) fn workload_kind(text: &str) -> Result<WorkloadKind, String> {
    match WorkloadKind::from_word(text) {
        Some(WorkloadKind::CronJob) => Err(format!(
            "{text:?} needs nothing: its next run is fresh. (afresh reloader makes a Job at once, as Reloader does.)"
        )),
        Some(kind) => Ok(kind),
        None => Err(format!(
            "{text:?} is none of deployment, statefulset, daemonset, rollout, deploymentconfig, job, pod; another kind is \
             given as --workload group/version/Kind=path"
        )),
    }
}

/// A kind of one's own: `group/version/Kind=path`.
pub(crate) fn custom_kind(text: &str) -> Result<&'static CustomKind, String> {
    text.parse::<CustomKind>()
        .map(CustomKind::intern)
        .map_err(|error| error.to_string())
}

/// `HOST:PORT` or `:PORT`, as Go programs write it; `0` is nowhere.
pub(crate) fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "0" {
        return Ok(None);
    }
    let full = if text.starts_with(':') {
        format!("[::]{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map(Some)
        .map_err(|_| format!("{text:?} is no address: write :9090, 127.0.0.1:9090 or 0 for none"))
}

/// A label selector. The API server would refuse a wrong one at each attempt to list, for ever.
pub(crate) fn selector(text: &str) -> Result<String, String> {
    let mut depth = 0;
    let requirements = text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    if requirements.into_iter().all(|text| is_requirement(text.trim())) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no label selector: write key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
    ))
}

fn is_requirement(text: &str) -> bool {
    if let Some(key) = text.strip_prefix('!') {
        return is_label_key(key.trim());
    }
    let set = [" notin ", " in "].into_iter().find_map(|word| text.split_once(word));
    if let Some((key, values)) = set {
        let values = values
            .trim()
            .strip_prefix('(')
            .and_then(|values| values.strip_suffix(')'));
        let each = |values: &str| values.split(',').all(|value| is_label_value(value.trim()));
        return is_label_key(key.trim()) && values.is_some_and(each);
    }
    match ["!=", "==", "="].into_iter().find_map(|sign| text.split_once(sign)) {
        Some((key, value)) => is_label_key(key.trim()) && is_label_value(value.trim()),
        None => is_label_key(text),
    }
}

fn is_label_key(text: &str) -> bool {
    let (prefix, own) = text
        .rsplit_once('/')
        .map_or((None, text), |(prefix, own)| (Some(prefix), own));
    !own.is_empty() && is_label_value(own) && prefix.is_none_or(|prefix| name(prefix).is_ok())
}

fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = text.bytes().next().into_iter().chain(text.bytes().last());
    text.len() <= 63 && text.bytes().all(inner) && ends.into_iter().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listen_address_is_written_as_in_the_rest_of_the_field() {
        assert_eq!(listen(":9090").unwrap().unwrap().to_string(), "[::]:9090");
        assert_eq!(listen("127.0.0.1:0").unwrap().unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(listen("0").unwrap(), None);
        assert_eq!(
            listen("9090").unwrap_err(),
            "\"9090\" is no address: write :9090, 127.0.0.1:9090 or 0 for none"
        );
    }

    #[test]
    fn a_namespace_is_a_label() {
        assert!(namespace("prod").is_ok());
        assert!(namespace("a.b").unwrap_err().contains("\"a.b\" is no namespace"));
        assert!(namespace(&"a".repeat(64)).is_err());
    }

    #[test]
    fn a_selector_is_looked_at_before_the_server_sees_it() {
        for text in [
            "app=web",
            "app==web",
            "app != web",
            "app=",
            "tier in (a, b),!canary",
            "tier notin (a),app",
            "example.org/part-of=x_y.z",
        ] {
            assert!(selector(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "  ",
            "app=web;rm",
            "a\"b",
            "a=b=c",
            "=web",
            "app=-web",
            "tier in a",
            "tier in (a",
            "app=web,",
            "a b",
            "/x=y",
        ] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
