//! The cluster's certificates, its ServiceAccount key and its tokens, made anew for each cluster.

use std::fs;
use std::path::{Path, PathBuf};

use afresh_testbed_host as host;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::error::{Error, Result};

/// Who may talk to the API server by token, with the groups that RBAC and the Node authorizer know them by.
const USERS: [(Role, &str, &str); 4] = [
    (Role::Admin, "testbed-admin", "system:masters"),
    // In a real cluster its controllers act as ServiceAccounts; here one identity may do it all.
    (
        Role::ControllerManager,
        "system:kube-controller-manager",
        "system:masters",
    ),
    (Role::Scheduler, "system:kube-scheduler", ""),
    (Role::Node, "system:node:localhost", "system:nodes"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Admin,
    ControllerManager,
    Scheduler,
    Node,
}

/// The files and tokens of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Pki {
    pub(crate) ca: PathBuf,
    pub(crate) serving_certificate: PathBuf,
    pub(crate) serving_key: PathBuf,
    pub(crate) service_account_key: PathBuf,
    pub(crate) service_account_public_key: PathBuf,
    pub(crate) token_file: PathBuf,
    tokens: [String; USERS.len()],
}

impl Pki {
    /// Makes everything below `directory`.
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        let write = |name: &str, content: String| {
            let path = directory.join(name);
            fs::write(&path, content).map_err(Error::file("write", &path))?;
            Ok::<_, Error>(path)
        };
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "testbed");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let serving_key = KeyPair::generate()?;
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "127.0.0.1",
        ];
        let names = names
            .into_iter()
            .chain([host::UPLINK_ADDRESS, host::SERVICE_ADDRESS])
            .map(str::to_owned);
        let mut serving = CertificateParams::new(names.collect::<Vec<_>>())?;
        serving.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        serving
            .extended_key_usages
            .push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        let serving_certificate = serving.signed_by(&serving_key, &issuer)?;

        let service_account_key = KeyPair::generate()?;
        let tokens = [token()?, token()?, token()?, token()?];
        let rows = USERS
            .iter()
            .zip(&tokens)
            .map(|((_, user, group), token)| format!("{token},{user},{user},\"{group}\"\n"));
        Ok(Self {
            ca: write("ca.crt", ca_certificate.pem())?,
            serving_certificate: write("serving.crt", serving_certificate.pem())?,
            serving_key: write("serving.key", serving_key.serialize_pem())?,
            service_account_key: write("service-account.key", service_account_key.serialize_pem())?,
            service_account_public_key: write("service-account.pub", service_account_key.public_key_pem())?,
            token_file: write("tokens.csv", rows.collect())?,
            tokens,
        })
    }

    /// The bearer token of `role`.
    pub(crate) fn token(&self, role: Role) -> &str {
        let index = USERS.iter().position(|(other, ..)| *other == role).unwrap_or_default();
        &self.tokens[index]
    }
}

fn token() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(hex(&bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
