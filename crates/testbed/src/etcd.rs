//! etcd through its HTTP gateway: compaction, which no Kubernetes API offers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::error::{Error, Result};

const LIMIT: Duration = Duration::from_secs(120);

impl Cluster {
    /// Compacts etcd at its current revision, which is returned: no older `resourceVersion` can be read or watched from
    /// etcd. A running API server still serves its own watch cache; one started after this has none, and answers a watch
    /// from before with 410. So to make a watch stale: stop the API server, write nothing, compact, start it.
    ///
    /// # Errors
    /// [`Error::Etcd`].
    pub async fn compact(&self) -> Result<i64> {
        // The key is one zero byte, in base64: none has it, and the answer's header bears the revision.
        self.compact_to("/v3/kv/range", &json!({ "key": "AA==" })).await
    }

    /// The same to a revision that nobody can have heard of: also who knows the newest one must list anew.
    ///
    /// # Errors
    /// [`Error::Etcd`].
    pub async fn compact_past_all(&self) -> Result<i64> {
        // A key of ours ("afresh", in base64), which no API server looks at: writing it makes a revision.
        self.compact_to("/v3/kv/put", &json!({ "key": "YWZyZXNo" })).await
    }

    /// Compacts to the revision that a request's answer bears.
    async fn compact_to(&self, request: &'static str, body: &Value) -> Result<i64> {
        let answer = self.etcd(request, body).await?;
        // The gateway writes 64-bit numbers as strings.
        let revision = answer["header"]["revision"].as_str().and_then(|text| text.parse().ok());
        let revision: i64 = revision.ok_or_else(|| Error::Etcd {
            request,
            answer: answer.to_string(),
        })?;
        self.etcd(
            "/v3/kv/compaction",
            &json!({ "revision": revision.to_string(), "physical": true }),
        )
        .await?;
        Ok(revision)
    }

    async fn etcd(&self, path: &'static str, body: &Value) -> Result<Value> {
        let failed = |answer: String| Error::Etcd { request: path, answer };
        let text = timeout(LIMIT, post(self.etcd_port(), path, &body.to_string()))
            .await
            .map_err(|_| failed(format!("none within {LIMIT:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        let ok = text.lines().next().is_some_and(|status| status.contains(" 200 "));
        let body = text
            .split_once("\r\n\r\n")
            .filter(|_| ok)
            .and_then(|(_, body)| serde_json::from_str(body).ok());
        body.ok_or_else(|| failed(text))
    }
}

/// HTTP/1.0, because then the answer is not chunked and ends with the connection.
async fn post(port: u16, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!(
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
