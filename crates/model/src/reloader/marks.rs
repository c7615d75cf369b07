//! The marks that a workload bears, and those that a roll gives it.

use crate::digest::{TemplateHash, TemplateHasher};
use crate::name::ConfigRef;
use crate::reloader::container::bearer;
use crate::reloader::marker::{self, LAST_RELOADED_FROM, LastReloadedFrom};
use crate::reloader::marking::{Marking, Variable};
use crate::reloader::sha1::{DELETED, Sha1};
use crate::template::PodTemplate;
use crate::time::UnixSeconds;
use crate::usage::Use;

/// By what mark a reload shows in the pod template: the values of `--reload-strategy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// A variable `STAKATER_NAME_TYPE` in one container.
    #[default]
    EnvVars,
    /// The annotation `reloader.stakater.com/last-reloaded-from`.
    Annotations,
}

/// All marks in a pod template, whoever wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps {
    /// Sorted by container, then by name.
    variables: Box<[Stamp]>,
    last: Option<Box<str>>,
}

/// One variable of Reloader's in one container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    container: Box<str>,
    name: Box<str>,
    hash: Sha1,
}

impl Stamps {
    /// Finds the marks. Variables of init containers are none: Reloader never writes there.
    #[must_use]
    pub fn of(template: &PodTemplate) -> Self {
        let containers = template.spec.containers.iter();
        let variables = containers.flat_map(|container| {
            container.env.iter().filter_map(|variable| {
                let marked = marker::is_marker(&variable.name, variable.marker);
                Some(Stamp {
                    container: container.name.clone(),
                    name: variable.name.clone(),
                    hash: variable.marker.filter(|_| marked)?,
                })
            })
        });
        let mut variables: Vec<Stamp> = variables.collect();
        variables.sort_by(|a, b| (&a.container, &a.name).cmp(&(&b.container, &b.name)));
        let last = template.metadata.annotations.get(LAST_RELOADED_FROM);
        Self {
            variables: variables.into(),
            last: last.map(|text| text.as_str().into()),
        }
    }

    /// The hash of a template that bears these marks and is `bare` without them.
    #[must_use]
    pub fn hash(&self, bare: TemplateHash) -> TemplateHash {
        if self.variables.is_empty() && self.last.is_none() {
            return bare;
        }
        let mut hasher = TemplateHasher::default();
        hasher.token(bare.to_string().as_bytes());
        hasher.token(self.last.as_deref().unwrap_or_default().as_bytes());
        for Stamp { container, name, hash } in &self.variables {
            hasher.token(container.as_bytes());
            hasher.token(name.as_bytes());
            hasher.token(hash.bytes());
        }
        hasher.finish()
    }

    /// The marks once these are made, too.
    #[must_use]
    fn after(&self, marking: &Marking) -> Self {
        let mut after = self.clone();
        let variables = match marking {
            Marking::LastReloadedFrom(text) => {
                after.last = Some(text.clone());
                return after;
            }
            Marking::Variables(variables) => variables,
        };
        let mut stamps = after.variables.into_vec();
        for Variable { container, name, value } in variables {
            stamps.retain(|stamp| (&stamp.container, &stamp.name) != (container, name));
            let hash = value.as_ref().and_then(|hash| Sha1::parse(hash.as_str()));
            stamps.extend(hash.map(|hash| Stamp {
                container: container.clone(),
                name: name.clone(),
                hash,
            }));
        }
        stamps.sort_by(|a, b| (&a.container, &a.name).cmp(&(&b.container, &b.name)));
        after.variables = stamps.into();
        after
    }
}

/// The marks of a workload that is kept current in Reloader's way, and where new ones go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    strategy: Strategy,
    bare: TemplateHash,
    stamps: Stamps,
    /// The first container, which bears the marks of all objects but these.
    first: Box<str>,
    bearers: Box<[(ConfigRef, Box<str>)]>,
}

/// What the marks of a workload say of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing.
    None,
    /// The pods were last replaced for this content of it.
    At(Sha1),
    /// The pods were last replaced because it was deleted.
    Deleted,
    /// They speak of it or of another one: both names make the same variable.
    Unsure,
}

/// An object that a roll is for.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    /// The object.
    pub object: &'a ConfigRef,
    /// What it is now; `None` if it is gone.
    pub hash: Option<Sha1>,
    /// When it was written.
    pub written: Option<UnixSeconds>,
}

impl Marks {
    /// Reads the marks of a template whose hash without them is `bare`. `None` if it has no container to bear any.
    #[must_use]
    pub fn read(template: &PodTemplate, bare: TemplateHash, strategy: Strategy, uses: &[Use]) -> Option<Self> {
        let first = &template.spec.containers.first()?.name;
        let bearers = uses.iter().filter_map(|usage| {
            let name = &bearer(&template.spec, &usage.object)?.name;
            (name != first).then(|| (usage.object.clone(), name.clone()))
        });
        Some(Self {
            strategy,
            bare,
            stamps: Stamps::of(template),
            first: first.clone(),
            bearers: bearers.collect(),
        })
    }

    /// What the marks say of an object. `others` are the objects that the workload uses.
    #[must_use]
    pub fn of<'a>(&self, object: &ConfigRef, others: impl IntoIterator<Item = &'a ConfigRef>) -> Mark {
        let last = || match self.last().filter(|last| last.object == *object) {
            Some(last) if last.hash == DELETED => Some(Mark::Deleted),
            Some(last) => Some(Mark::At(last.hash)),
            None => None,
        };
        let variable = || self.variable(object, others);
        let found = match self.strategy {
            Strategy::EnvVars => variable().or_else(last),
            Strategy::Annotations => last().or_else(variable),
        };
        found.unwrap_or(Mark::None)
    }

    fn variable<'a>(&self, object: &ConfigRef, others: impl IntoIterator<Item = &'a ConfigRef>) -> Option<Mark> {
        if self.stamps.variables.is_empty() {
            return None;
        }
        let name = marker::variable(object);
        let named = |stamp: &&Stamp| *stamp.name == name;
        let own = self.bearer(object);
        let here = self
            .stamps
            .variables
            .iter()
            .find(|stamp| named(stamp) && *stamp.container == *own);
        // Containers may have changed places since.
        let stamp = here.or_else(|| self.stamps.variables.iter().find(named))?;
        let shared = |other: &ConfigRef| other != object && marker::variable(other) == name;
        Some(if others.into_iter().any(shared) {
            Mark::Unsure
        } else {
            Mark::At(stamp.hash)
        })
    }

    /// When pods were last replaced, where the marks say so.
    #[must_use]
    pub fn observed_at(&self) -> Option<UnixSeconds> {
        self.last().map(|last| last.observed_at)
    }

    fn last(&self) -> Option<LastReloadedFrom> {
        self.stamps.last.as_deref().and_then(LastReloadedFrom::parse)
    }

    /// The container that bears the object's mark.
    #[must_use]
    pub fn bearer(&self, object: &ConfigRef) -> &str {
        let other = self.bearers.iter().find(|(other, _)| other == object);
        other.map_or(&self.first, |(_, container)| container)
    }

    /// The template's hash, marks included.
    #[must_use]
    pub fn template(&self) -> TemplateHash {
        self.stamps.hash(self.bare)
    }

    /// The template's hash once these marks are made.
    #[must_use]
    pub fn template_after(&self, marking: &Marking) -> TemplateHash {
        self.stamps.after(marking).hash(self.bare)
    }

    /// The marks of a roll for `changed` objects, in `namespace`. Nothing in them depends on when they are made, so
    /// that a repeated try is the same template: `otherwise` is the time to name where no object has one.
    ///
    /// `current` are the other objects in use: a variable that says something else of them is put right on the way.
    #[must_use]
    pub fn marking(
        &self,
        namespace: &str,
        changed: &[Changed<'_>],
        current: &[Changed<'_>],
        otherwise: UnixSeconds,
    ) -> Marking {
        match self.strategy {
            Strategy::EnvVars => Marking::Variables(self.variables(changed, current)),
            Strategy::Annotations => {
                let latest = changed.iter().max_by_key(|changed| (changed.written, changed.object));
                let Some(latest) = latest else {
                    return Marking::Variables(Box::default());
                };
                let last = LastReloadedFrom {
                    object: latest.object.clone(),
                    hash: latest.hash.unwrap_or(DELETED),
                    observed_at: latest.written.unwrap_or(otherwise),
                };
                Marking::LastReloadedFrom(last.write(namespace, self.bearer(latest.object)).into())
            }
        }
    }

    fn variables(&self, changed: &[Changed<'_>], current: &[Changed<'_>]) -> Box<[Variable]> {
        let mut made: Vec<Variable> = Vec::new();
        let mut set = |container: &str, name: &str, hash: Sha1| {
            let taken = made
                .iter()
                .any(|made| *made.container == *container && *made.name == *name);
            if !taken {
                made.push(Variable {
                    container: container.into(),
                    name: name.into(),
                    value: Some(hash.into()),
                });
            }
        };
        for changed in changed {
            if let Some(hash) = changed.hash {
                set(self.bearer(changed.object), &marker::variable(changed.object), hash);
            }
        }
        for current in current {
            let (Some(hash), name) = (current.hash, marker::variable(current.object)) else {
                continue;
            };
            let own = self.bearer(current.object);
            let mut own = self.stamps.variables.iter().filter(|stamp| *stamp.container == *own);
            if own.any(|stamp| *stamp.name == name && stamp.hash != hash) {
                set(self.bearer(current.object), &name, hash);
            }
        }
        for gone in changed.iter().filter(|changed| changed.hash.is_none()) {
            let name = marker::variable(gone.object);
            for stamp in self.stamps.variables.iter().filter(|stamp| *stamp.name == name) {
                if !made
                    .iter()
                    .any(|made| made.container == stamp.container && *made.name == name)
                {
                    made.push(Variable {
                        container: stamp.container.clone(),
                        name: stamp.name.clone(),
                        value: None,
                    });
                }
            }
        }
        made.sort_unstable();
        made.into()
    }
}

#[cfg(test)]
mod tests;
