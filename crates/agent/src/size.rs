//! Sizes as people write them.

use std::fmt;
use std::str::FromStr;

use afresh_volume::Limits;

/// A number of bytes, at least 1: `16Mi`, `512Ki`, `1Gi` or a plain number, as a quantity of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size: write bytes, or 512Ki, 16Mi, 1Gi")]
pub struct SizeError(String);

const UNITS: [(&str, u32); 3] = [("Gi", 30), ("Mi", 20), ("Ki", 10)];

impl Size {
    /// For what was accepted once, perhaps with a larger limit.
    pub(crate) const ANY: Self = Self(u64::MAX);

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// A reading that takes no more than this.
    pub(crate) fn limits(self) -> Limits {
        Limits {
            max_bytes: self.0,
            ..Limits::default()
        }
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let unit = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
        let (number, shift) = unit.unwrap_or((text, 0));
        let number = number.parse::<u64>().ok().filter(|number| *number > 0);
        let bytes = number.and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| SizeError(text.to_owned()))
    }
}

/// With the largest unit that divides it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, shift): &&(&str, u32)| self.0.is_multiple_of(1 << shift);
        match UNITS.iter().find(fits) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("16Mi", 16 << 20, "16Mi")]
    #[case("2048Ki", 2 << 20, "2Mi")]
    #[case("1Gi", 1 << 30, "1Gi")]
    #[case("1000", 1000, "1000")]
    fn a_size_is_read_and_written(#[case] text: &str, #[case] bytes: u64, #[case] written: &str) {
        let size: Size = text.parse().unwrap();
        assert_eq!((size.bytes(), size.to_string()), (bytes, written.to_owned()));
    }

    #[rstest]
    #[case("")]
    #[case("Mi")]
    #[case("0")]
    #[case("16MB")]
    #[case("-1")]
    #[case("1.5Gi")]
    #[case("99999999999Gi")]
    fn what_is_no_size_is_named_with_the_way_out(#[case] text: &str) {
        let error = text.parse::<Size>().unwrap_err().to_string();
        assert_eq!(error, format!("{text:?} is no size: write bytes, or 512Ki, 16Mi, 1Gi"));
    }
}
