//! The ConfigMap `reloader-meta-info`: which version runs, with which options.

use std::collections::BTreeMap;

use afresh_k8s::write::Writer;
use afresh_model::name::Name;
use serde_json::json;

/// What is written into it, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaInfo {
    /// `RELOADER_NAMESPACE`.
    pub namespace: Name,
    /// `RELOADER_DEPLOYMENT_NAME`.
    pub deployment: String,
    /// The options, by their names in camel case; no secret may stand in them.
    pub options: serde_json::Value,
}

const NAME: &str = "reloader-meta-info";

impl MetaInfo {
    fn data(&self) -> BTreeMap<&'static str, String> {
        let build = json!({
            "goVersion": "", // there is none; the key stays for whoever parses it
            "releaseVersion": env!("CARGO_PKG_VERSION"),
            "commitHash": "",
            "commitTime": "",
            "edition": "afresh",
        });
        let deployment = json!({"name": self.deployment, "namespace": self.namespace.as_str()});
        BTreeMap::from([
            ("buildInfo", build.to_string()),
            ("reloaderOptions", self.options.to_string()),
            ("deploymentInfo", deployment.to_string()),
        ])
    }
}

/// Writes it once; a failure is only told, because nothing depends on it.
pub(crate) async fn write(writer: Writer, info: MetaInfo) {
    let labels = BTreeMap::from([("reloader.stakater.com/meta-info", "reloader")]);
    let Ok(name) = NAME.parse::<Name>() else { return };
    if let Err(error) = writer
        .put_config_map(&info.namespace, &name, &labels, &info.data())
        .await
    {
        tracing::warn!(namespace = %info.namespace, "{NAME} was not written: {error}");
    }
}
