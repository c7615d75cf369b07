//! Durations as users type them: `500ms`, `2s`, `1m30s`.

use std::time::Duration;

use thiserror::Error;

/// Longest duration accepted: longer ones are typing errors.
pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not numbers with units.
    #[error("{0:?} is not a duration: write a number with a unit, such as 500ms, 2s, 1m or 1h30m")]
    Malformed(String),
    /// A number alone.
    #[error("{0:?} has no unit: write {0}s for seconds or {0}ms for milliseconds")]
    NoUnit(String),
    /// Above [`MAX`].
    #[error("{0:?} is longer than 24h, the longest that is accepted")]
    TooLong(String),
}

/// Parses `0`, or numbers each with a unit `ms`, `s`, `m` or `h`, added up.
///
/// # Errors
/// See [`DurationError`]; each names the text and the way out.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(malformed());
        }
        let unit = unit_millis(unit).ok_or_else(malformed)?;
        let number: u64 = number.parse().map_err(|_| too_long())?;
        total = number
            .checked_mul(unit)
            .and_then(|millis| total.checked_add(millis))
            .ok_or_else(too_long)?;
        rest = tail;
    }
    match Duration::from_millis(total) {
        _ if text.is_empty() => Err(malformed()),
        duration if duration > MAX => Err(too_long()),
        duration => Ok(duration),
    }
}

const fn unit_millis(unit: &str) -> Option<u64> {
    match unit.as_bytes() {
        b"ms" => Some(1),
        b"s" => Some(1_000),
        b"m" => Some(60_000),
        b"h" => Some(3_600_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", 0)]
    #[case("0s", 0)]
    #[case("500ms", 500)]
    #[case("2s", 2_000)]
    #[case("1m", 60_000)]
    #[case("1h30m", 5_400_000)]
    #[case("24h", 86_400_000)]
    fn durations_add_up(#[case] text: &str, #[case] millis: u64) {
        assert_eq!(parse(text), Ok(Duration::from_millis(millis)));
    }

    #[rstest]
    #[case(
        "",
        "\"\" is not a duration: write a number with a unit, such as 500ms, 2s, 1m or 1h30m"
    )]
    #[case("5", "\"5\" has no unit: write 5s for seconds or 5ms for milliseconds")]
    #[case(
        "-1s",
        "\"-1s\" is not a duration: write a number with a unit, such as 500ms, 2s, 1m or 1h30m"
    )]
    #[case(
        "1.5s",
        "\"1.5s\" is not a duration: write a number with a unit, such as 500ms, 2s, 1m or 1h30m"
    )]
    #[case(
        "2 s",
        "\"2 s\" is not a duration: write a number with a unit, such as 500ms, 2s, 1m or 1h30m"
    )]
    #[case(
        "5d",
        "\"5d\" is not a duration: write a number with a unit, such as 500ms, 2s, 1m or 1h30m"
    )]
    #[case("25h", "\"25h\" is longer than 24h, the longest that is accepted")]
    #[case(
        "99999999999999999999s",
        "\"99999999999999999999s\" is longer than 24h, the longest that is accepted"
    )]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
