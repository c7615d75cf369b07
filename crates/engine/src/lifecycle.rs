//! What it means that a config object appears or vanishes: Reloader asks for that by flags.

/// See the module's documentation. The default is our own way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// An object appears.
    pub appear: Appear,
    /// An object vanishes.
    pub vanish: Vanish,
}

/// What is done about an object that appears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Appear {
    /// It is a change like any other, unless the pods cannot be older than it (`--reload-on-create=true`).
    #[default]
    Counts,
    /// It is written down, and its next change is the first that counts.
    Adopted,
}

/// What is done about an object that vanishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Vanish {
    /// Pods are replaced where they can start without it.
    #[default]
    Optional,
    /// Nothing. It counts when it is back with other content.
    Kept,
    /// Pods are replaced, even where they cannot start without it (`--reload-on-delete=true`): that is what is asked for.
    Counts,
}

impl Lifecycle {
    /// That of Reloader with these values of `--reload-on-create` and `--reload-on-delete`.
    #[must_use]
    pub const fn reloader(on_create: bool, on_delete: bool) -> Self {
        Self {
            appear: if on_create { Appear::Counts } else { Appear::Adopted },
            vanish: if on_delete { Vanish::Counts } else { Vanish::Kept },
        }
    }
}
