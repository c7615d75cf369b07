//! In which shape an object is shown: whole, or its metadata alone.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table;

use crate::convert;
use crate::resource::Resource;
use crate::status::ApiError;

/// The shape of objects in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Whole,
    Metadata,
    /// Cells for kubectl, with ages as of this time.
    Table(Timestamp),
}

impl View {
    /// The first media type of an `Accept` header that the sandbox serves.
    pub(crate) fn of(accept: &str, now: Timestamp) -> Result<Self, ApiError> {
        if accept.trim().is_empty() {
            return Ok(Self::Whole);
        }
        accept
            .split(',')
            .find_map(|media| Self::of_type(media, now))
            .ok_or_else(ApiError::not_acceptable)
    }

    fn of_type(media: &str, now: Timestamp) -> Option<Self> {
        let mut parts = media.split(';').map(str::trim);
        let plain = matches!(parts.next(), Some("application/json" | "application/*" | "*/*"));
        let beta = media.contains("v=v1beta1");
        let wanted = parts.find_map(|parameter| parameter.strip_prefix("as="));
        match wanted {
            _ if !plain => None,
            None => Some(Self::Whole),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
            Some("Table") if !beta => Some(Self::Table(now)),
            // Aggregated discovery is not served: clients name a plain alternative.
            Some(_) => None,
        }
    }

    /// One stored object in this shape.
    pub(crate) fn object(self, resource: &Resource, stored: &Value) -> Value {
        match self {
            Self::Whole => convert::to_answered(resource, stored),
            Self::Metadata => convert::to_partial(stored),
            Self::Table(now) => table::of(resource, &[stored], now),
        }
    }

    /// One stored object as an item of a list: built-in kinds leave out what the list says already.
    pub(crate) fn item(self, resource: &Resource, stored: &Value) -> Value {
        let mut item = self.object(resource, stored);
        if let Some(map) = item.as_object_mut().filter(|_| self == Self::Whole && !resource.custom) {
            map.remove("apiVersion");
            map.remove("kind");
        }
        item
    }

    /// `kind` and `apiVersion` of lists of this shape.
    pub(crate) fn list_type(self, resource: &Resource) -> (String, String) {
        match self {
            Self::Whole | Self::Table(_) => (format!("{}List", resource.kind), resource.api_version()),
            Self::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        }
    }

    /// The object of a bookmark: nothing but the position.
    pub(crate) fn bookmark(self, resource: &Resource, revision: u64, ends_initial: bool) -> Value {
        let (kind, version) = match self {
            Self::Whole | Self::Table(_) => (resource.kind.clone(), resource.api_version()),
            Self::Metadata => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
        };
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        json!({"kind": kind, "apiVersion": version, "metadata": metadata})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_served_type_wins() {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(View::of(table, now), Ok(View::Table(now)));
        let beta = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(View::of(beta, now), Ok(View::Whole));
        let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(View::of(partial, now), Ok(View::Metadata));
        assert_eq!(View::of("*/*", now), Ok(View::Whole));
        assert_eq!(
            View::of("application/vnd.kubernetes.protobuf", now).unwrap_err().code,
            406
        );
    }
}
