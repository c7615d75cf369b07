//! Which namespaces are in scope, from the flags and the Namespaces that match the selector.

use std::collections::BTreeSet;

use afresh_engine::Scope;
use afresh_model::name::Name;

use crate::config::Config;

/// Follows the Namespaces that match a selector.
#[derive(Debug)]
pub(crate) struct Namespaces {
    selected: Option<BTreeSet<Name>>,
    /// A list under way replaces what was known when it is complete.
    listing: BTreeSet<Name>,
    excluded: BTreeSet<Name>,
}

impl Namespaces {
    pub(crate) fn new(config: &Config) -> Self {
        let selected = config.namespace_selector.is_some().then(BTreeSet::new);
        Self {
            selected,
            listing: BTreeSet::new(),
            excluded: config.exclude_namespaces.clone(),
        }
    }

    pub(crate) fn begin(&mut self) {
        self.listing.clear();
    }

    pub(crate) fn listed(&mut self, name: Name) {
        self.listing.insert(name);
    }

    pub(crate) fn synced(&mut self) {
        self.selected = Some(std::mem::take(&mut self.listing));
    }

    pub(crate) fn entered(&mut self, name: Name) {
        self.selected.get_or_insert_default().insert(name);
    }

    pub(crate) fn left(&mut self, name: &Name) {
        self.selected.get_or_insert_default().remove(name);
    }

    pub(crate) fn scope(&self) -> Scope {
        match &self.selected {
            Some(selected) => Scope::Only(selected.difference(&self.excluded).cloned().collect()),
            None => Scope::AllBut(self.excluded.clone()),
        }
    }
}
