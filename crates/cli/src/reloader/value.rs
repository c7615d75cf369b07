//! Values of Reloader's flags, read as the Go libraries read them that it was built with.

/// One value of a repeatable list flag: CSV of one line (RFC 4180), so that a quoted element keeps its commas.
///
/// Elements are trimmed and empty ones left out: Reloader keeps both, and then matches nothing with them.
pub(super) fn list(text: &str) -> Result<Vec<String>, String> {
    let mut elements = Vec::new();
    let mut rest = text;
    loop {
        let (element, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_element(text, quoted)?,
            None => bare_element(text, rest)?,
        };
        elements.push(element);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    let trimmed = elements.into_iter().map(|element| element.trim().to_owned());
    Ok(trimmed.filter(|element| !element.is_empty()).collect())
}

fn bare_element<'a>(whole: &str, text: &'a str) -> Result<(String, &'a str), String> {
    let end = text.find(',').unwrap_or(text.len());
    let (element, after) = text.split_at(end);
    if element.contains('"') {
        return Err(format!(
            "{whole:?} has a quote inside an element: quote the whole element, and write \"\" for a quote"
        ));
    }
    Ok((element.to_owned(), after))
}

/// What follows an opening quote, up to its closing one.
fn quoted_element<'a>(whole: &str, mut text: &'a str) -> Result<(String, &'a str), String> {
    let mut element = String::new();
    loop {
        let (part, after) = text
            .split_once('"')
            .ok_or_else(|| format!("{whole:?} has a quote that is not closed"))?;
        element.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                element.push('"');
                text = more;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((element, after)),
            None => {
                return Err(format!(
                    "{whole:?} goes on after a closing quote: write a comma between elements"
                ));
            }
        }
    }
}

/// A boolean as Go's `strconv.ParseBool` reads it.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// A flag that Reloader reads as text and compares with `true`. It takes anything else for no; here it is an error.
pub(super) fn literal_boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        other => Err(format!(
            "{other:?} is neither true nor false; Reloader takes it for false"
        )),
    }
}

/// The elements of a selector flag as one Kubernetes selector, or `None` where there are none. Besides the usual terms,
/// `key:value` means `key=value`, and `key:*` and `key=*` mean that the key is there.
///
/// Terms are told apart by the commas outside parentheses, so `key in (a,b)` survives, quoted or not, as do several terms
/// in one quoted element, which Reloader rejects.
pub(super) fn selector(elements: &[String]) -> Result<Option<String>, String> {
    let joined = elements.join(",");
    let terms: Result<Vec<String>, String> = terms(&joined)
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(term)
        .collect();
    let terms = terms?;
    if terms.is_empty() {
        return Ok(None);
    }
    crate::parse::selector(&terms.join(",")).map(Some)
}

fn terms(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut terms) = (0_u32, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[from..]);
    terms
}

fn term(text: &str) -> Result<String, String> {
    let wildcard = |key: &str, value: &str| (value == "*").then(|| key.trim().to_owned());
    if let Some((key, value)) = text.split_once(':') {
        if value.contains(':') {
            return Err(format!("{text:?} has two colons: write key:value, key=value or key:*"));
        }
        return Ok(wildcard(key, value).unwrap_or_else(|| format!("{key}={value}")));
    }
    let exists = text
        .split_once('=')
        .and_then(|(key, value)| wildcard(key, value.trim()));
    Ok(exists.unwrap_or_else(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a,b", &["a", "b"])]
    #[case("a", &["a"])]
    #[case("", &[])]
    #[case(" a , b ,", &["a", "b"])]
    #[case("\"a,b\",c", &["a,b", "c"])]
    #[case("\"say \"\"hi\"\"\"", &["say \"hi\""])]
    fn a_list_is_csv(#[case] text: &str, #[case] elements: &[&str]) {
        assert_eq!(list(text).unwrap(), elements);
    }

    #[rstest]
    #[case("\"a", "has a quote that is not closed")]
    #[case("\"a\"b", "goes on after a closing quote")]
    #[case("a\"b", "has a quote inside an element")]
    fn what_is_no_csv_says_why(#[case] text: &str, #[case] message: &str) {
        let error = list(text).unwrap_err();
        assert!(
            error.contains(message) && error.contains(&format!("{text:?}")),
            "{error}"
        );
    }

    #[rstest]
    #[case(&["app:web"], "app=web")]
    #[case(&["app:*"], "app")]
    #[case(&["app=*"], "app")]
    #[case(&["app=web", "tier"], "app=web,tier")]
    #[case(&["app in (a", "b)"], "app in (a,b)")]
    #[case(&["app in (a,b),tier:*"], "app in (a,b),tier")]
    #[case(&["a=*,b=c"], "a,b=c")]
    #[case(&["!canary"], "!canary")]
    fn a_selector_is_normalised_term_by_term(#[case] elements: &[&str], #[case] expected: &str) {
        let elements: Vec<String> = elements.iter().map(|&element| element.to_owned()).collect();
        assert_eq!(selector(&elements), Ok(Some(expected.to_owned())));
    }

    #[test]
    fn no_selector_is_none_and_a_wrong_one_is_named() {
        assert_eq!(selector(&[]), Ok(None));
        assert_eq!(
            selector(&["k:v:w".to_owned()]).unwrap_err(),
            "\"k:v:w\" has two colons: write key:value, key=value or key:*"
        );
        assert!(
            selector(&["app=web;x".to_owned()])
                .unwrap_err()
                .contains("is no label selector")
        );
    }

    #[test]
    fn booleans_are_gos() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Ok(true));
        }
        assert_eq!(boolean("yes").unwrap_err(), "\"yes\" is neither true nor false");
        assert_eq!(
            (literal_boolean("true"), literal_boolean("false")),
            (Ok(true), Ok(false))
        );
        assert!(
            literal_boolean("1")
                .unwrap_err()
                .contains("Reloader takes it for false")
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*", other in "[a-z:=*(),!\" ]*") {
            for text in [text, other] {
                if let Ok(elements) = list(&text) {
                    let _ = selector(&elements);
                }
            }
        }

        #[test]
        fn quoted_elements_come_back(elements in prop::collection::vec("[a-z,\" ]*[a-z]", 1..4)) {
            let quoted: Vec<String> = elements.iter().map(|element| format!("\"{}\"", element.replace('"', "\"\""))).collect();
            let trimmed: Vec<&str> = elements.iter().map(|element| element.trim()).collect();
            prop_assert_eq!(list(&quoted.join(",")).unwrap(), trimmed);
        }
    }
}
