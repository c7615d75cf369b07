//! Wall-clock seconds as the API server writes them. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Seconds since the Unix epoch, the resolution of `metadata.creationTimestamp` and `managedFields[].time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixSeconds(pub i64);

/// A text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not an RFC 3339 time such as 2026-01-31T09:30:00Z")]
pub struct TimeError(String);

impl FromStr for UnixSeconds {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| TimeError(text.to_owned()))?;
        Ok(Self(timestamp.as_second()))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}s", self.0),
        }
    }
}

impl UnixSeconds {
    /// Whole seconds from `earlier` to this; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// A `metadata.resourceVersion` read as the number it is in practice: one etcd revision counter for all kinds.
///
/// Comparable across kinds unless an operator moved a kind to another etcd, so it is used only to decide whether
/// better evidence has to be looked for, or where being wrong costs one extra look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision in a `resourceVersion`; `None` where it is not a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_times_read_and_write_the_same() {
        let time: UnixSeconds = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-21T10:00:00Z");
        assert_eq!("2026-11-21T10:00:00.123456Z".parse::<UnixSeconds>().unwrap(), time);
    }

    #[test]
    fn a_time_that_is_none_is_named() {
        let error = "yesterday".parse::<UnixSeconds>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"yesterday\" is not an RFC 3339 time such as 2026-01-31T09:30:00Z"
        );
    }
}
