//! Small pieces of English.

use afresh_model::time::UnixSeconds;

/// Names beyond so many are only counted.
const SHOWN: usize = 4;

/// `a`, `a and b`, `a, b and c`; long lists are cut.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= SHOWN => format!("{} and {last}", first.join(", ")),
        _ => {
            let shown = names.get(..SHOWN - 1).unwrap_or(names);
            format!("{} and {} more", shown.join(", "), names.len() - shown.len())
        }
    }
}

/// `3 pods`, `1 pod`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `2m ago`.
pub(crate) fn ago(now: UnixSeconds, then: UnixSeconds) -> String {
    match now.since(then) {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", length(seconds)),
    }
}

/// `in 1m30s`.
pub(crate) fn in_future(now: UnixSeconds, then: UnixSeconds) -> String {
    format!("in {}", length(then.since(now)))
}

/// The two largest units: more is noise.
pub(crate) fn length(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        let number = rest / size;
        rest %= size;
        if number > 0 || !parts.is_empty() {
            parts.push((number, unit));
        }
        if parts.len() == 2 {
            break;
        }
    }
    let shown = parts.iter().filter(|(number, _)| *number > 0);
    let text: String = shown.map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_like_english_and_is_cut() {
        let names = |count: usize| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>();
        let lists: Vec<String> = [1, 2, 3, 4, 5, 9].map(|count| list(&names(count))).into();
        assert_eq!(
            lists,
            [
                "1",
                "1 and 2",
                "1, 2 and 3",
                "1, 2, 3 and 4",
                "1, 2, 3 and 2 more",
                "1, 2, 3 and 6 more"
            ]
        );
    }

    #[test]
    fn a_length_has_at_most_two_units() {
        let lengths: Vec<String> = [0, 59, 60, 90, 3_600, 3_661, 90_061, 86_405].map(length).into();
        assert_eq!(lengths, ["0s", "59s", "1m", "1m30s", "1h", "1h1m", "1d1h", "1d"]);
    }
}
