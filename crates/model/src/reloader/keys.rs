//! Under which keys Reloader's annotations stand; most can be chosen by flags.

use std::borrow::Cow;

use crate::name::ConfigKind;

/// The key of an annotation.
pub type Key = Cow<'static, str>;

/// Every SecretProviderClass that is mounted counts. No flag changes it.
const CLASS_AUTO: &Key = &Cow::Borrowed("secretproviderclass.reloader.stakater.com/auto");
/// These SecretProviderClasses count. No flag changes it.
const CLASS_RELOAD: &Key = &Cow::Borrowed("secretproviderclass.reloader.stakater.com/reload");

/// The keys of Reloader's annotations. Equal keys would be read alike; nothing forbids them, as in Reloader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// `reloader.stakater.com/auto`: every referenced object counts.
    pub auto: Key,
    /// `configmap.reloader.stakater.com/auto`: referenced ConfigMaps count.
    pub configmap_auto: Key,
    /// `secret.reloader.stakater.com/auto`: referenced Secrets count.
    pub secret_auto: Key,
    /// `configmap.reloader.stakater.com/reload`: these ConfigMaps count, referenced or not.
    pub configmap_reload: Key,
    /// `secret.reloader.stakater.com/reload`: these Secrets count, referenced or not.
    pub secret_reload: Key,
    /// `reloader.stakater.com/search`: referenced objects that say `match` count.
    pub search: Key,
    /// `reloader.stakater.com/match`, on a config object.
    pub matching: Key,
    /// `reloader.stakater.com/ignore`, on a config object.
    pub ignore: Key,
    /// `deployment.reloader.stakater.com/pause-period`.
    pub pause_period: Key,
    /// `deployment.reloader.stakater.com/paused-at`, written while a Deployment is paused.
    pub paused_at: Key,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            auto: "reloader.stakater.com/auto".into(),
            configmap_auto: "configmap.reloader.stakater.com/auto".into(),
            secret_auto: "secret.reloader.stakater.com/auto".into(),
            configmap_reload: "configmap.reloader.stakater.com/reload".into(),
            secret_reload: "secret.reloader.stakater.com/reload".into(),
            search: "reloader.stakater.com/search".into(),
            matching: "reloader.stakater.com/match".into(),
            ignore: "reloader.stakater.com/ignore".into(),
            pause_period: "deployment.reloader.stakater.com/pause-period".into(),
            paused_at: "deployment.reloader.stakater.com/paused-at".into(),
        }
    }
}

impl Keys {
    /// The key that makes every referenced object of the kind count.
    #[must_use]
    pub const fn typed_auto(&self, kind: ConfigKind) -> &Key {
        match kind {
            ConfigKind::ConfigMap => &self.configmap_auto,
            ConfigKind::Secret => &self.secret_auto,
            ConfigKind::SecretProviderClass => CLASS_AUTO,
        }
    }

    /// The key of the list of objects of the kind that count, referenced or not.
    #[must_use]
    pub const fn reload(&self, kind: ConfigKind) -> &Key {
        match kind {
            ConfigKind::ConfigMap => &self.configmap_reload,
            ConfigKind::Secret => &self.secret_reload,
            ConfigKind::SecretProviderClass => CLASS_RELOAD,
        }
    }

    /// The key of the list of objects of the kind that never count. No flag changes it.
    #[must_use]
    pub const fn exclude(kind: ConfigKind) -> &'static str {
        match kind {
            ConfigKind::ConfigMap => "configmaps.exclude.reloader.stakater.com/reload",
            ConfigKind::Secret => "secrets.exclude.reloader.stakater.com/reload",
            ConfigKind::SecretProviderClass => "secretproviderclasses.exclude.reloader.stakater.com/reload",
        }
    }
}
