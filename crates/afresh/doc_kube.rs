// What the examples of feature `kube` stand on: an API server in the process, with a ConfigMap and a Secret `web`.
use afresh_sandbox::{Options, Sandbox};

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs"));

pub struct InProcess {
    pub url: String,
    pub sandbox: Sandbox,
    _end: std::sync::mpsc::Sender<()>,
}

impl InProcess {
    pub fn access(&self) -> afresh::Cluster {
        afresh::Cluster::server(&self.url)
    }

    /// Writes the ConfigMap and the Secret.
    pub fn write(&self, data: &[(&str, &str)]) {
        for kind in ["ConfigMap", "Secret"] {
            self.sandbox.apply(object(kind, data)).unwrap();
        }
    }
}

pub fn object(kind: &str, data: &[(&str, &str)]) -> serde_json::Value {
    let data: std::collections::BTreeMap<_, _> = data.iter().copied().collect();
    let field = if kind == "Secret" { "stringData" } else { "data" };
    serde_json::json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "web"}, field: data})
}

pub fn cluster(data: &[(&str, &str)]) -> InProcess {
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let sandbox = Sandbox::start(&Options::api_server_only());
        let address = "127.0.0.1:0".parse().unwrap();
        let serving = runtime.block_on(sandbox.serve(address)).unwrap();
        tell.send((serving.url().to_string(), sandbox)).unwrap();
        let _ = ended.recv();
    });
    let (url, sandbox) = told.recv().unwrap();
    let cluster = InProcess { url, sandbox, _end: end };
    cluster.write(data);
    cluster
}
