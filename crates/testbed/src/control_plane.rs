//! etcd and the API server; the controller-manager and the scheduler where asked for.

use std::fs;

use afresh_testbed_host::{self as host, Program};

use crate::error::{Error, Result};
use crate::pki::Pki;
use crate::process::Recipe;
use crate::state::State;

/// Every request, once, without bodies: tests count requests by user and user agent, which no metric tells.
const AUDIT_POLICY: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[{"level":"Metadata"}]}"#;

/// Where things listen.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// What the API server binds.
    pub(crate) bind: &'static str,
    /// What it tells others.
    pub(crate) advertise: &'static str,
    pub(crate) api_server: u16,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
}

impl Addresses {
    /// Loopback only, so that any number of clusters run side by side.
    pub(crate) fn on_loopback() -> Result<Self> {
        let [api_server, etcd, etcd_peer] = crate::ports::free()?;
        Ok(Self {
            bind: "127.0.0.1",
            advertise: "127.0.0.1",
            api_server,
            etcd,
            etcd_peer,
        })
    }

    /// All addresses of the namespaces, and the port that the `kubernetes` Service has, so that pods reach it as they do anywhere.
    pub(crate) fn for_node() -> Result<Self> {
        let [etcd, etcd_peer] = crate::ports::free()?;
        Ok(Self {
            bind: "0.0.0.0",
            advertise: host::UPLINK_ADDRESS,
            api_server: 443,
            etcd,
            etcd_peer,
        })
    }

    pub(crate) fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }

    pub(crate) fn api_server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }
}

/// etcd without fsync: a test cluster need not survive the machine.
pub(crate) fn etcd(state: &State, addresses: &Addresses) -> Recipe {
    let peer = format!("http://127.0.0.1:{}", addresses.etcd_peer);
    Recipe::new(Program::Etcd, &state.logs)
        .flag("data-dir", state.data.join("etcd"))
        .flag("listen-client-urls", addresses.etcd_url())
        .flag("advertise-client-urls", addresses.etcd_url())
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("default={peer}"))
        .flag("unsafe-no-fsync", "true")
        .flag("log-level", "warn")
}

/// The API server with features and admission on their defaults and RBAC on.
pub(crate) fn api_server(state: &State, addresses: &Addresses, pki: &Pki, audit: bool) -> Result<Recipe> {
    let recipe = Recipe::new(Program::KubeApiserver, &state.logs)
        .flag("etcd-servers", addresses.etcd_url())
        .flag("bind-address", addresses.bind)
        .flag("secure-port", addresses.api_server.to_string())
        .flag("advertise-address", addresses.advertise)
        .flag("tls-cert-file", &pki.serving_certificate)
        .flag("tls-private-key-file", &pki.serving_key)
        .flag("token-auth-file", &pki.token_file)
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("service-account-key-file", &pki.service_account_public_key)
        .flag("service-account-signing-key-file", &pki.service_account_key)
        .flag("service-cluster-ip-range", "10.96.0.0/16")
        .flag("authorization-mode", "Node,RBAC")
        .flag("allow-privileged", "true")
        // The node is called localhost: exec and logs go over loopback.
        .flag("kubelet-preferred-address-types", "Hostname");
    if !audit {
        return Ok(recipe);
    }
    let policy = state.data.join("audit-policy.json");
    fs::write(&policy, AUDIT_POLICY).map_err(Error::file("write", &policy))?;
    Ok(recipe
        .flag("audit-policy-file", policy)
        .flag("audit-log-path", audit_log(state))
        // Never rotated: a count must not lose its beginning.
        .flag("audit-log-maxsize", "4000"))
}

pub(crate) fn audit_log(state: &State) -> std::path::PathBuf {
    state.logs.join("audit.log")
}

/// All controllers, not throttled by their own client.
pub(crate) fn controller_manager(state: &State, pki: &Pki, kubeconfig: &std::path::Path) -> Recipe {
    Recipe::new(Program::KubeControllerManager, &state.logs)
        .flag("kubeconfig", kubeconfig)
        .flag("leader-elect", "false")
        .flag("secure-port", "0")
        .flag("root-ca-file", &pki.ca)
        .flag("service-account-private-key-file", &pki.service_account_key)
        .flag("kube-api-qps", "500")
        .flag("kube-api-burst", "1000")
}

pub(crate) fn scheduler(state: &State, kubeconfig: &std::path::Path) -> Recipe {
    Recipe::new(Program::KubeScheduler, &state.logs)
        .flag("kubeconfig", kubeconfig)
        .flag("leader-elect", "false")
        .flag("secure-port", "0")
}
