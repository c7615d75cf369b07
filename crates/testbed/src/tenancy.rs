//! What separates tests that share a cluster: a namespace each, and identities with as few rights as they need.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::access::Access;
use crate::cluster::{Cluster, Flavour};
use crate::error::{Error, Result};
use crate::wait::eventually;

static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// The controllers take this long at most to give a namespace its ServiceAccount.
const NAMESPACE_LIMIT: Duration = Duration::from_secs(240);

/// Longer than any run of the tests.
const TOKEN_SECONDS: i64 = 6 * 3600;

impl Cluster {
    /// A client of the administrator. It lives in the runtime of the caller, so each test makes one.
    ///
    /// # Errors
    /// As [`Access::client`].
    pub async fn client(&self) -> Result<Client> {
        self.admin().client().await
    }

    /// Runs kubectl as the administrator and returns its standard output.
    ///
    /// # Errors
    /// As [`Access::kubectl`].
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.admin().kubectl(arguments).await
    }

    /// `kubectl apply` of manifests as the administrator.
    ///
    /// # Errors
    /// As [`Access::apply`].
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        self.admin().apply(manifests).await
    }

    /// Makes a namespace whose name begins with `prefix` and that no other test of this cluster has. Pods can be made in
    /// it at once: its ServiceAccount `default` is there.
    ///
    /// # Errors
    /// [`Error::Api`], [`Error::TimedOut`].
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let client = self.client().await?;
        let name = format!("{prefix}-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let made = Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await;
        made.map_err(Error::api("create a namespace"))?;
        let accounts = Api::<ServiceAccount>::namespaced(client, &name);
        if self.flavour() == Flavour::ControlPlane {
            create_account(&accounts, "default").await?;
            return Ok(name);
        }
        let what = format!("the ServiceAccount default of {name}");
        let look = async || {
            let account = accounts
                .get_opt("default")
                .await
                .map_err(Error::api("get a ServiceAccount"))?;
            Ok::<_, Error>(account.ok_or("it is not there"))
        };
        eventually(&what, NAMESPACE_LIMIT, look).await?;
        Ok(name)
    }

    /// Acts as a ServiceAccount, which is made if it is not there. It may do what RBAC grants it: nothing, at first.
    ///
    /// # Errors
    /// [`Error::Api`], and what keeps the kubeconfig from being written.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Access> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await?, namespace);
        create_account(&accounts, name).await?;
        let spec = TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest {
            spec,
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await;
        let token = answer
            .map_err(Error::api("request a token"))?
            .status
            .map(|status| status.token)
            .unwrap_or_default();
        let secrets = &self.state().secrets;
        Access::write(
            secrets,
            &format!("{namespace}.{name}"),
            &self.server(),
            &secrets.join("ca.crt"),
            &token,
        )
    }
}

async fn create_account(accounts: &Api<ServiceAccount>, name: &str) -> Result<()> {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata,
        ..ServiceAccount::default()
    };
    match accounts.create(&PostParams::default(), &account).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop).map_err(Error::api("create a ServiceAccount")),
    }
}
