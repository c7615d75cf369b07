//! Plain scalars: what YAML's core schema and the other formats mean by them.

use serde::de::{Error as _, Unexpected, Visitor};

use super::Fault;

/// A number as wide as it must be.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    WideUnsigned(u128),
    WideSigned(i128),
    Float(f64),
}

impl Number {
    pub(super) fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::WideUnsigned(value) => visitor.visit_u128(value),
            Self::WideSigned(value) => visitor.visit_i128(value),
            Self::Float(value) => visitor.visit_f64(value),
        }
    }
}

/// `~`, `null` or nothing at all.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// As people write it into variables.
pub(super) fn loose_boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ => boolean(text),
    }
}

/// An integer: decimal, `0x`, `0o`, or `0b`; with `_` between digits, as TOML has it.
pub(super) fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ => (10, digits),
    };
    // No second sign, and no separator at an end.
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_digit(radix));
    if !is_digit(digits.chars().next()) || !is_digit(digits.chars().last()) {
        return None;
    }
    let clean: String;
    let digits = if digits.contains('_') {
        clean = digits.replace('_', "");
        &clean
    } else {
        digits
    };
    let value = u128::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(u64::try_from(value).map_or(Number::WideUnsigned(value), Number::Unsigned));
    }
    let value = 0i128.checked_sub_unsigned(value)?;
    Some(i64::try_from(value).map_or(Number::WideSigned(value), Number::Signed))
}

pub(super) fn float(text: &str) -> Option<Number> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let value = match unsigned {
        ".inf" | ".Inf" | ".INF" | "inf" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" | "nan" => f64::NAN,
        // Words that Rust would take for numbers.
        _ if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return None,
        _ => {
            let text = text.replace('_', "");
            let parsed = text.parse().ok();
            return parsed.map(Number::Float).or_else(|| as_float(integer(&text)?));
        }
    };
    Some(Number::Float(if text.starts_with('-') { -value } else { value }))
}

/// Only what has a radix gets here: everything else is a float by itself.
fn as_float(number: Number) -> Option<Number> {
    match number {
        Number::Unsigned(value) => u32::try_from(value).ok().map(|value| Number::Float(value.into())),
        Number::Signed(value) => i32::try_from(value).ok().map(|value| Number::Float(value.into())),
        _ => None,
    }
}

/// By the core schema, where the type is not asked for.
pub(super) fn any<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Fault> {
    if is_null(text) {
        return visitor.visit_unit();
    }
    if let Some(value) = boolean(text) {
        return visitor.visit_bool(value);
    }
    match integer(text).or_else(|| float(text)) {
        Some(Number::WideUnsigned(_) | Number::WideSigned(_)) => {
            Err(Fault::invalid_value(Unexpected::Unsigned(0), &visitor))
        }
        Some(number) => number.visit(visitor),
        None => visitor.visit_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<i128> {
        match integer(text)? {
            Number::Unsigned(value) => Some(value.into()),
            Number::Signed(value) => Some(value.into()),
            Number::WideSigned(value) => Some(value),
            Number::WideUnsigned(value) => i128::try_from(value).ok(),
            Number::Float(_) => None,
        }
    }

    #[test]
    fn integers_of_all_formats_are_read() {
        for (text, expected) in [
            ("0", 0),
            ("8080", 8080),
            ("-1", -1),
            ("+7", 7),
            ("0x1F", 31),
            ("0o17", 15),
            ("0b101", 5),
            ("1_000", 1000),
            ("18446744073709551616", 1 << 64),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
        for text in ["", "-", "+-1", "--1", "0x", "_1", "1_", "1.0", "ten", "0x-1", "é"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn floats_are_read_and_words_are_not() {
        let read = |text| match float(text) {
            Some(Number::Float(value)) => Some(value),
            _ => None,
        };
        for (text, expected) in [
            ("1.5", 1.5),
            ("-2e3", -2000.0),
            ("3", 3.0),
            ("0x10", 16.0),
            ("-.inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        assert!(read(".nan").is_some_and(f64::is_nan));
        for text in ["", "infinity", "ten", ".", "e5"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
