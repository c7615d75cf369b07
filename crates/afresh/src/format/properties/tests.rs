use proptest::prelude::*;

use super::*;
use crate::tree::Map;

fn read(text: &str) -> Result<Vec<(String, String)>, Broken> {
    let node = parse(text, At::default())?;
    let Kind::Map(map) = node.kind else { panic!("no map") };
    let mut all = Vec::new();
    flatten(&map, "", &mut all);
    Ok(all)
}

/// Keys with their dots, sorted.
fn flatten(map: &Map, above: &str, all: &mut Vec<(String, String)>) {
    for (key, entry) in map {
        let key = if above.is_empty() {
            key.clone()
        } else {
            format!("{above}.{key}")
        };
        match &entry.value.kind {
            Kind::Map(below) => flatten(below, &key, all),
            Kind::Loose(value) => all.push((key, String::from_utf8(value.clone()).unwrap())),
            other => panic!("{other:?}"),
        }
    }
}

fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, Broken> {
    Ok(expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect())
}

#[test]
fn the_ways_to_write_a_property_are_understood() {
    // The examples of java.util.Properties' own documentation.
    for text in ["Truth = Beauty", " Truth:Beauty", "Truth                    :Beauty"] {
        assert_eq!(read(text), pairs(&[("Truth", "Beauty")]), "{text}");
    }
    let fruits = "fruits   apple, banana, pear, \\\n      cantaloupe, watermelon, \\\n   kiwi, mango";
    let all = "apple, banana, pear, cantaloupe, watermelon, kiwi, mango";
    assert_eq!(read(fruits), pairs(&[("fruits", all)]));
    assert_eq!(read("cheeses"), pairs(&[("cheeses", "")]));
    assert_eq!(read("# one\n ! two\n\na=1\r\nb=2\r"), pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(read("a\\ b\\:\\==\\u00e9\\t\\q"), pairs(&[("a b:=", "é\tq")]));
    assert_eq!(read("smile=\\uD83D\\uDE00"), pairs(&[("smile", "😀")]));
    assert_eq!(read("a=1\na=2"), pairs(&[("a", "2")]));
    assert_eq!(
        read("server.port=80\nserver.host = x # no comment"),
        pairs(&[("server.host", "x # no comment"), ("server.port", "80")])
    );
}

#[test]
fn what_is_broken_is_told_with_its_place() {
    let broken = |line, column, message: &str| {
        Err(Broken {
            line,
            column,
            message: message.to_owned(),
        })
    };
    assert_eq!(
        read("a=1\nbc=\\u00g0"),
        broken(2, 4, "\\u needs four hexadecimal digits")
    );
    assert_eq!(read("a=\\uD83D"), broken(1, 3, "half a surrogate pair"));
    assert_eq!(
        read("a=1\n  a.b=2"),
        broken(2, 3, "`a` has a value of its own and keys below it")
    );
    assert_eq!(read("a=\\"), broken(1, 3, "a backslash with nothing after it"));
}

/// As the other implementation reads it, keys sorted and the last one counting.
fn by_java_properties(text: &str) -> Option<Vec<(String, String)>> {
    let read = java_properties::PropertiesIter::new_with_encoding(text.as_bytes(), encoding());
    let mut all = std::collections::BTreeMap::new();
    let mut read = read;
    read.read_into(|key, value| drop(all.insert(key, value))).ok()?;
    Some(all.into_iter().collect())
}

fn encoding() -> &'static encoding_rs::Encoding {
    encoding_rs::UTF_8
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn it_reads_what_java_properties_reads(
        lines in prop::collection::vec("[ \t]{0,2}[a-z#!é]{1,3}[ \t]{0,2}[=:]?[ \t]{0,2}([a-z=:#! é]|\\\\[tnr:= ab]|\\\\u00e9|\\\\\n[ ]{0,2}[a-z]){0,6}", 0..6)
    ) {
        let text = lines.join("\n");
        prop_assert_eq!(read(&text).ok(), by_java_properties(&text), "{:?}", text);
    }

    #[test]
    fn what_is_written_escaped_is_read_back(key in "\\PC{1,8}", value in any::<String>()) {
        // A dot would go a level down.
        let key: String = key.replace('.', "_");
        let escaped = |text: &str| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        let text = format!("{}={}", escaped(&key), escaped(&value));
        prop_assert_eq!(read(&text), Ok(vec![(key, value)]));
    }
}
