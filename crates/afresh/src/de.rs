//! From values to the application's type, so that every error knows its place and its key, and shows no value.

mod fault;
mod parts;
mod scalar;

use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::tree::{Kind, Node, Sources};
use crate::{LoadError, Place};
pub(crate) use fault::Fault;
use parts::{Items, Loose, Members, Variant};

/// Reads the application's type out of a tree.
pub(crate) fn from_tree<T: DeserializeOwned>(tree: &Node, sources: &Sources) -> Result<T, LoadError> {
    T::deserialize(De(tree)).map_err(|fault: Fault| fault.at(tree.at).into_error(sources))
}

impl Fault {
    fn into_error(self, sources: &Sources) -> LoadError {
        let place: Place = sources.place(self.place.unwrap_or_default());
        let mut keys = self.path;
        keys.reverse();
        LoadError::Value {
            place,
            key: keys.join("."),
            message: self.message,
        }
    }
}

/// One value.
#[derive(Clone, Copy)]
pub(crate) struct De<'a>(pub(crate) &'a Node);

impl De<'_> {
    /// The text that a typed value is read from, if this is one.
    fn plain(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Number(text) | Kind::Scalar(text) => Some(text),
            Kind::Loose(bytes) => std::str::from_utf8(bytes).ok().map(str::trim),
            _ => None,
        }
    }

    fn is_nothing(&self) -> bool {
        match &self.0.kind {
            Kind::Null => true,
            Kind::Scalar(text) => scalar::is_null(text),
            Kind::Loose(bytes) => bytes.is_empty(),
            _ => false,
        }
    }

    /// Text as text, a variable with its spaces; not what stands for nothing.
    fn text(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Text(text) => Some(text),
            Kind::Scalar(text) if !scalar::is_null(text) => Some(text),
            Kind::Loose(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    fn wrong<'de, V: Visitor<'de>>(&self, visitor: &V) -> Fault {
        let is_binary = matches!(&self.0.kind, Kind::Loose(bytes) if std::str::from_utf8(bytes).is_err());
        let found = match &self.0.kind {
            _ if is_binary => "bytes that are not UTF-8",
            Kind::Null => "nothing",
            Kind::Scalar(text) if scalar::is_null(text) => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) | Kind::Scalar(_) | Kind::Loose(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        };
        Fault::expected(visitor, found).at(self.0.at)
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Text(text) => visitor.visit_str(text),
            Kind::Scalar(text) | Kind::Number(text) => scalar::any(text, visitor),
            Kind::Loose(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_str(text),
                Err(_) => visitor.visit_bytes(bytes),
            },
            Kind::List(items) => visitor.visit_seq(Items::new(items)),
            Kind::Map(map) => visitor.visit_map(Members::new(map, &[])),
        }
    }
}

/// Reads a number of the type that is asked for.
macro_rules! number {
    ($($method:ident $parse:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let Some(text) = self.plain() else { return Err(self.wrong(&visitor)) };
            match scalar::$parse(text) {
                Some(number) => number.visit(visitor).map_err(|fault: Fault| fault.at(self.0.at)),
                None => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

/// Reads text of the type that is asked for.
macro_rules! text {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.text() {
                Some(text) => visitor.visit_str(text).map_err(|fault: Fault| fault.at(self.0.at)),
                None => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Fault;

    number!(deserialize_i8 integer, deserialize_i16 integer, deserialize_i32 integer, deserialize_i64 integer,
        deserialize_i128 integer, deserialize_u8 integer, deserialize_u16 integer, deserialize_u32 integer,
        deserialize_u64 integer, deserialize_u128 integer, deserialize_f32 float, deserialize_f64 float);
    text!(
        deserialize_char,
        deserialize_str,
        deserialize_string,
        deserialize_identifier
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.any(visitor).map_err(|fault: Fault| fault.at(self.0.at))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = match &self.0.kind {
            Kind::Bool(value) => Some(*value),
            Kind::Scalar(text) => scalar::boolean(text),
            Kind::Loose(_) => self.plain().and_then(scalar::loose_boolean),
            _ => None,
        };
        match value {
            Some(value) => visitor.visit_bool(value).map_err(|fault: Fault| fault.at(self.0.at)),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Loose(bytes) => visitor.visit_bytes(bytes),
            Kind::List(items) => visitor.visit_seq(Items::new(items)),
            _ => return self.deserialize_str(visitor),
        }
        .map_err(|fault: Fault| fault.at(self.0.at))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.is_nothing() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.is_nothing() {
            return visitor.visit_unit();
        }
        Err(self.wrong(&visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::List(items) => visitor.visit_seq(Items::new(items)),
            // The only way to write a list into a variable.
            Kind::Loose(_) => match self.plain() {
                Some(text) => visitor.visit_seq(Loose::new(text, self.0.at)),
                None => return Err(self.wrong(&visitor)),
            },
            _ => return Err(self.wrong(&visitor)),
        }
        .map_err(|fault: Fault| fault.at(self.0.at))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Map(map) => visitor.visit_map(Members::new(map, fields)),
            // An empty document: what is not required need not be written.
            Kind::Null => visitor.visit_map(Members::new(&crate::tree::Map::new(), fields)),
            Kind::Scalar(text) if scalar::is_null(text) => {
                visitor.visit_map(Members::new(&crate::tree::Map::new(), fields))
            }
            _ => return Err(self.wrong(&visitor)),
        }
        .map_err(|fault: Fault| fault.at(self.0.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        Variant::of(self.0)
            .ok_or_else(|| Fault::one_of(variants))
            .and_then(|variant| visitor.visit_enum(variant))
            .map_err(|fault: Fault| fault.at(self.0.at))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

/// Reads a key as a number.
macro_rules! key_number {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match scalar::integer(self.0) {
                Some(number) => number.visit(visitor),
                None => Err(Fault::expected(&visitor, "text")),
            }
        }
    )*};
}

/// The name of a key, where it is asked for as something else than text.
pub(crate) struct Key<'a>(&'a str);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }

    key_number!(
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64
    );

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(serde::de::value::StrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
