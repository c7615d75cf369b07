//! What the API server was asked: its own counters, and its audit log, which also tells who asked.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

use crate::cluster::Cluster;
use crate::error::{Error, Result};

/// One request, as the API server's audit log tells it. A watch is logged when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural, such as `configmaps`; empty for what is no resource, such as `/readyz`.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-wide requests.
    pub namespace: String,
    /// Empty for requests of a collection.
    pub name: String,
    /// Such as `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// The client's own name for itself.
    pub user_agent: String,
    /// The HTTP status; 0 if the answer was never begun.
    pub code: u16,
    /// Path and query.
    pub uri: String,
}

/// A point in the audit log: see [`Cluster::mark`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

impl Cluster {
    /// Now, in the audit log.
    ///
    /// # Errors
    /// [`Error::Without`] an audit log, [`Error::File`].
    pub fn mark(&self) -> Result<Mark> {
        let log = self.audit_log()?;
        fs::metadata(&log)
            .map(|log| Mark(usize::try_from(log.len()).unwrap_or(usize::MAX)))
            .map_err(Error::file("read", log))
    }

    /// Every request answered since `mark` (since the beginning: `Mark::default()`), in the order of the answers. The API
    /// server writes the log before it answers, so a request whose answer was seen is in it.
    ///
    /// # Errors
    /// [`Error::Without`] an audit log, [`Error::File`].
    pub fn requests(&self, mark: Mark) -> Result<Vec<Request>> {
        let log = self.audit_log()?;
        let bytes = fs::read(&log).map_err(Error::file("read", log))?;
        Ok(parse_audit(&String::from_utf8_lossy(
            bytes.get(mark.0..).unwrap_or_default(),
        )))
    }

    /// The API server's counter `apiserver_request_total`, summed over what is not part of [`Counted`].
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn request_counters(&self) -> Result<BTreeMap<Counted, u64>> {
        Ok(parse_counters(&self.metrics().await?))
    }

    /// The API server's `/metrics`, as it serves it.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn metrics(&self) -> Result<String> {
        let request = http::Request::get("/metrics").body(Vec::new());
        let request = request
            .map_err(kube::Error::HttpError)
            .map_err(Error::api("ask for metrics"))?;
        self.client()
            .await?
            .request_text(request)
            .await
            .map_err(Error::api("read metrics"))
    }
}

/// What the API server's own counter tells requests apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// Upper case: `LIST`, `WATCH`, `PATCH`, and `APPLY` for server-side apply.
    pub verb: String,
    /// Plural; empty for what is no resource.
    pub resource: String,
    /// Such as `status`; often empty.
    pub subresource: String,
    /// The HTTP status.
    pub code: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    user: AuditUser,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: AuditObject,
    #[serde(default)]
    response_status: AuditStatus,
    #[serde(rename = "requestURI", default)]
    uri: String,
}

#[derive(Default, Deserialize)]
struct AuditUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuditObject {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuditStatus {
    code: u16,
}

/// One [`Request`] per audit id: a watch is logged again when it ends. A line still being written is left for the next time.
fn parse_audit(log: &str) -> Vec<Request> {
    let mut seen = std::collections::HashSet::new();
    let events = log
        .lines()
        .filter_map(|line| serde_json::from_str::<AuditEvent>(line).ok());
    events
        .filter(|event| seen.insert(event.audit_id.clone()))
        .map(|event| Request {
            verb: event.verb,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            user: event.user.username,
            user_agent: event.user_agent,
            code: event.response_status.code,
            uri: event.uri,
        })
        .collect()
}

fn parse_counters(metrics: &str) -> BTreeMap<Counted, u64> {
    let mut counters = BTreeMap::new();
    for line in metrics.lines() {
        let parts = line
            .strip_prefix("apiserver_request_total{")
            .and_then(|rest| rest.rsplit_once("} "));
        let Some((labels, value)) = parts else { continue };
        // No label of this metric can hold a quote or a comma.
        let label = |name: &str| {
            let found = labels
                .split(',')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
            found.unwrap_or_default().to_owned()
        };
        let (Ok(value), Ok(code)) = (value.trim().parse::<f64>(), label("code").parse()) else {
            continue;
        };
        let (verb, resource, subresource) = (label("verb"), label("resource"), label("subresource"));
        // Counters are whole numbers; large ones are written as 1.5e+06.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of requests"
        )]
        let value = value as u64;
        *counters
            .entry(Counted {
                verb,
                resource,
                subresource,
                code,
            })
            .or_default() += value;
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_the_other_labels() {
        let metrics = "# TYPE apiserver_request_total counter\n\
            apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 2\n\
            apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"cluster\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 1.5e+06\n\
            apiserver_request_total{code=\"409\",resource=\"pods\",subresource=\"status\",verb=\"PATCH\"} 1\n\
            apiserver_request_terminations_total{code=\"200\",verb=\"LIST\"} 9\n";
        let counters = parse_counters(metrics);
        let key = |verb: &str, resource: &str, subresource: &str, code| Counted {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            code,
        };
        let expected = [
            (key("LIST", "configmaps", "", 200), 1_500_002),
            (key("PATCH", "pods", "status", 409), 1),
        ];
        assert_eq!(counters, BTreeMap::from(expected));
    }

    #[test]
    fn a_watch_counts_once_and_a_half_written_line_not_at_all() {
        let log = r#"{"auditID":"a","stage":"ResponseStarted","verb":"watch","user":{"username":"u"},"userAgent":"x/1","objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestURI":"/api/v1/pods?watch=1"}
{"auditID":"a","stage":"ResponseComplete","verb":"watch","user":{"username":"u"},"requestURI":"/api/v1/pods?watch=1"}
{"auditID":"b","verb":"ge"#;
        let requests = parse_audit(log);
        assert_eq!(requests.len(), 1);
        let request = &requests[0];
        let seen = (
            request.verb.as_str(),
            request.resource.as_str(),
            request.user_agent.as_str(),
            request.code,
        );
        assert_eq!(seen, ("watch", "pods", "x/1", 200));
    }
}
