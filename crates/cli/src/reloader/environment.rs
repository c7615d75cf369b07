//! The environment variables that Reloader reads, read once.

use std::env;

use afresh_controller::reloader::{Alerts, Endpoint, Sink};
use afresh_model::name::Name;

/// Reads one variable; empty is not set, as Go's `os.Getenv` has it.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment.
pub(super) fn process(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that holds a namespace.
pub(super) fn namespace(read: Read<'_>, name: &str) -> Result<Option<Name>, String> {
    let parse = |text: String| crate::parse::namespace(&text).map_err(|error| format!("{name}: {error}"));
    read(name).map(parse).transpose()
}

/// A variable that is on by one word, `on`. Reloader takes anything else for off; here only what means no is.
pub(super) fn switch(read: Read<'_>, name: &str, on: &str) -> Result<bool, String> {
    match read(name).as_deref() {
        Some(word) if word == on => Ok(true),
        None | Some("" | "0" | "f" | "F" | "false" | "False" | "FALSE" | "disabled") => Ok(false),
        Some(other) => Err(format!(
            "{name}: {other:?} counts for nothing: write {on}, or false, or leave it out"
        )),
    }
}

/// Who is told of reloads: `ALERT_ON_RELOAD` and those beside it. Reloader logs an error at each reload where the URL is
/// missing; here it is an error at the start.
pub(super) fn alerts(read: Read<'_>) -> Result<Option<Alerts>, String> {
    if !switch(read, "ALERT_ON_RELOAD", "true")? {
        return Ok(None);
    }
    let endpoint = |name: &str| {
        let parse = |text: String| Endpoint::parse(&text).map_err(|error| format!("{name}: {error}"));
        read(name).map(parse).transpose()
    };
    let Some(url) = endpoint("ALERT_WEBHOOK_URL")? else {
        return Err("ALERT_ON_RELOAD is true, but ALERT_WEBHOOK_URL is not set: set it to the URL to post to".into());
    };
    Ok(Some(Alerts {
        url,
        sink: Sink::from_word(&read("ALERT_SINK").unwrap_or_default()),
        proxy: endpoint("ALERT_WEBHOOK_PROXY")?,
        info: read("ALERT_ADDITIONAL_INFO"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn alerts_are_off_unless_the_word_is_true() {
        assert_eq!(alerts(&reading(&[])), Ok(None));
        let off = reading(&[("ALERT_ON_RELOAD", "false"), ("ALERT_WEBHOOK_URL", "https://a/b")]);
        assert_eq!(alerts(&off), Ok(None));
    }

    #[test]
    fn all_of_an_alert_is_read() {
        let read = reading(&[
            ("ALERT_ON_RELOAD", "true"),
            ("ALERT_WEBHOOK_URL", "https://hooks.example.com/T0/secret"),
            ("ALERT_SINK", "slack"),
            ("ALERT_WEBHOOK_PROXY", "http://proxy:3128"),
            ("ALERT_ADDITIONAL_INFO", "cluster-1"),
        ]);
        let alerts = alerts(&read).unwrap().unwrap();
        assert_eq!((alerts.sink, alerts.info.as_deref()), (Sink::Slack, Some("cluster-1")));
        assert_eq!(alerts.proxy.unwrap().to_string(), "http://proxy:3128");
        assert_eq!(alerts.url.to_string(), "https://hooks.example.com");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_variable_and_never_shown() {
        let missing = alerts(&reading(&[("ALERT_ON_RELOAD", "true")])).unwrap_err();
        assert!(missing.contains("ALERT_WEBHOOK_URL is not set"), "{missing}");
        let wrong = reading(&[("ALERT_ON_RELOAD", "true"), ("ALERT_WEBHOOK_URL", "hooks/secret-token")]);
        let wrong = alerts(&wrong).unwrap_err();
        assert!(
            wrong.starts_with("ALERT_WEBHOOK_URL: ") && !wrong.contains("secret-token"),
            "{wrong}"
        );
        let namespace = namespace(&reading(&[("POD_NAMESPACE", "A.b")]), "POD_NAMESPACE").unwrap_err();
        assert!(namespace.starts_with("POD_NAMESPACE: "), "{namespace}");
    }
}
