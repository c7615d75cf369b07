//! The hash of a pod template, which tells whether somebody else changed it.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::variables::Variable;
use crate::annotation;
use crate::digest::{TemplateHash, TemplateHasher};
use crate::reloader::marker::{LAST_RELOADED_FROM, PREFIX, is_marker};

/// The hash of a pod template as JSON text without what Afresh writes into it: `afresh.dev/config`, and the marks of
/// Reloader. The marks of a template are added to its hash by [`crate::reloader::marks::Stamps::hash`].
///
/// The API server writes the same template as the same text, so equal texts mean nobody changed it. A server upgrade
/// that adds a default changes the hash as well; that costs one look at the pods, never a roll.
///
/// # Errors
/// If the text is not JSON.
pub fn hash(template: &str) -> Result<TemplateHash, serde_json::Error> {
    let mut hasher = TemplateHasher::default();
    let mut deserializer = serde_json::Deserializer::from_str(template);
    Walk {
        hasher: &mut hasher,
        place: Place::Template,
    }
    .deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(hasher.finish())
}

/// How deep the walk is, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Template,
    Metadata,
    Annotations,
    Spec,
    Containers,
    Container,
    Env,
    Elsewhere,
}

impl Place {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Template, "metadata") => Self::Metadata,
            (Self::Metadata, "annotations") => Self::Annotations,
            (Self::Template, "spec") => Self::Spec,
            (Self::Spec, "containers") => Self::Containers,
            (Self::Container, "env") => Self::Env,
            _ => Self::Elsewhere,
        }
    }

    const fn element(self) -> Self {
        match self {
            Self::Containers => Self::Container,
            _ => Self::Elsewhere,
        }
    }
}

struct Walk<'a> {
    hasher: &'a mut TemplateHasher,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // The annotations' braces are left out, so that none and only ours are the same.
        let braces = self.place != Place::Annotations;
        if braces {
            self.hasher.token(b"{");
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if self.place == Place::Annotations && [annotation::CONFIG, LAST_RELOADED_FROM].contains(&&*key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let place = self.place.below(&key);
            if place == Place::Env {
                self.hasher.env(&key, map.next_value()?).map_err(A::Error::custom)?;
                continue;
            }
            if place != Place::Annotations {
                self.hasher.token(key.as_bytes());
            }
            map.next_value_seed(Walk {
                hasher: self.hasher,
                place,
            })?;
        }
        if braces {
            self.hasher.token(b"}");
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.hasher.token(b"[");
        while seq
            .next_element_seed(Walk {
                hasher: self.hasher,
                place: self.place.element(),
            })?
            .is_some()
        {}
        self.hasher.token(b"]");
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.hasher.token(b"\"");
        self.hasher.token(text.as_bytes());
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.hasher.token(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.hasher.token(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.hasher.token(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.hasher.token(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.hasher.token(b"null");
        Ok(())
    }
}

impl TemplateHasher {
    /// Takes a container's `env` less Reloader's variables; one that holds nothing else is as if it were not there.
    fn env(&mut self, field: &str, env: &RawValue) -> Result<(), serde_json::Error> {
        if has_entries(env) && !may_hold_marks(env) {
            self.token(field.as_bytes());
            return Walk {
                hasher: self,
                place: Place::Elsewhere,
            }
            .deserialize(&mut serde_json::Deserializer::from_str(env.get()));
        }
        let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(env.get()) else {
            return Ok(()); // null; the API server accepts nothing else
        };
        let marks = |entry: &&RawValue| {
            let variable: Result<Variable<'_>, _> = serde_json::from_str(entry.get());
            variable.is_ok_and(|variable| is_marker(&variable.name, variable.marker))
        };
        let mut others = entries.into_iter().filter(|entry| !marks(entry)).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        self.token(field.as_bytes());
        self.token(b"[");
        for entry in others {
            let walk = Walk {
                hasher: self,
                place: Place::Elsewhere,
            };
            walk.deserialize(&mut serde_json::Deserializer::from_str(entry.get()))?;
        }
        self.token(b"]");
        Ok(())
    }
}

/// Whether it is a list of at least one entry.
fn has_entries(env: &RawValue) -> bool {
    let inside = env.get().strip_prefix('[').map(str::trim_start);
    inside.is_some_and(|inside| !inside.starts_with(']'))
}

/// Whether one of the entries could be a mark, by a look at the text: in most templates none is, and then each entry need
/// not be read by itself. An escape could hide a name.
fn may_hold_marks(env: &RawValue) -> bool {
    env.get().contains(PREFIX) || env.get().contains('\\')
}
