//! Durations as Go writes them, because Reloader's annotations hold such.

use std::time::Duration;

/// Reads what Go's `time.ParseDuration` reads: `300ms`, `1.5h`, `1h30m`, `-2s`, `0`. A negative one is zero here: both
/// mean that nothing is waited for.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        format!("{shown:?} is not a duration: write numbers with a unit of ms, s, m or h, such as 300ms, 10s or 1h30m")
    })
}

fn parse(text: &str) -> Option<Duration> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let (whole, tail) = digits(rest);
        let (fraction, tail) = match tail.strip_prefix('.') {
            Some(tail) => digits(tail),
            None => ("", tail),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let length = tail
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        nanos = nanos.checked_add(amount(whole, fraction, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    // Go counts in an i64.
    let nanos = i64::try_from(nanos).ok()?.unsigned_abs();
    Some(if negative {
        Duration::ZERO
    } else {
        Duration::from_nanos(nanos)
    })
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn amount(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than these are below a nanosecond.
    let fraction = &fraction[..fraction.len().min(15)];
    let part = match fraction.parse::<u128>() {
        Ok(digits) => digits * u128::from(unit) / 10u128.pow(u32::try_from(fraction.len()).ok()?),
        Err(_) => 0,
    };
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

fn unit_nanos(unit: &str) -> Option<u64> {
    match unit {
        "ns" => Some(1),
        "us" | "µs" | "μs" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
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
    #[case("300ms", 300_000)]
    #[case("10s", 10_000_000)]
    #[case("1h30m", 5_400_000_000)]
    #[case("1.5h", 5_400_000_000)]
    #[case(".5s", 500_000)]
    #[case("1.s", 1_000_000)]
    #[case("+2s", 2_000_000)]
    #[case("7us", 7)]
    #[case("7µs", 7)]
    #[case("1500ns", 1)]
    #[case("-5s", 0)]
    #[case("0s", 0)]
    fn go_durations_are_read(#[case] text: &str, #[case] micros: u128) {
        assert_eq!(duration(text).unwrap().as_micros(), micros);
    }

    #[rstest]
    #[case("")]
    #[case("-")]
    #[case("5")]
    #[case("5d")]
    #[case("s")]
    #[case(".s")]
    #[case("1 s")]
    #[case(" 1s")]
    #[case("1S")]
    #[case("9999999999h")]
    #[case("99999999999999999999s")]
    fn anything_else_is_named(#[case] text: &str) {
        let message = duration(text).unwrap_err();
        assert!(message.starts_with(&format!("{text:?} is not a duration")), "{message}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = duration(&text);
        }

        #[test]
        fn nothing_like_a_duration_panics(text in "[-+]?([0-9]{0,22}(\\.[0-9]{0,22})?(h|m|s|ms|us|µs|ns)?){0,4}") {
            let _ = duration(&text);
        }
    }
}
