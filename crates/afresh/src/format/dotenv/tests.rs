use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Vec<(String, String)>, Broken> {
    let node = parse(text, At::default())?;
    let Kind::Map(map) = node.kind else { panic!("no map") };
    let one = |(key, entry): (&String, &crate::tree::Entry)| match &entry.value.kind {
        Kind::Loose(value) => (key.clone(), String::from_utf8(value.clone()).unwrap()),
        other => panic!("{other:?}"),
    };
    Ok(map.iter().map(one).collect())
}

fn one(text: &str) -> String {
    let read = read(text).unwrap();
    assert_eq!(read.len(), 1, "{text:?}: {read:?}");
    read[0].1.clone()
}

#[test]
fn values_are_read_as_they_are_written() {
    for (text, value) in [
        ("A=b", "b"),
        ("  export A = b c  ", "b c"),
        ("export\tA=b", "b"),
        ("A=", ""),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A=# why", ""),
        ("A='b # \\n $C'", "b # \\n $C"),
        ("A=\"b # \\n \\\" \\\\ \\$ \\q\" # why", "b # \n \" \\ $ \\q"),
        ("A=\"one\ntwo\"", "one\ntwo"),
        ("A='one\ntwo'", "one\ntwo"),
        ("A=p$$w0rd${X}", "p$$w0rd${X}"),
        ("# first\r\n\r\nA=b\r\n", "b"),
        ("A=it's", "it's"),
        ("export=b", "b"),
    ] {
        assert_eq!(one(text), value, "{text:?}");
    }
    assert_eq!(read("A=1\nA=2"), Ok(vec![("a".into(), "2".into())]));
}

#[test]
fn what_is_broken_is_told_with_its_place_and_not_quoted() {
    for (text, line, column, message) in [
        ("A=1\nhunter2", 2, 8, "expected `=` after the name"),
        (
            "=hunter2",
            1,
            1,
            "expected a name: a letter or `_`, then letters, digits, `_`, `.`, `-`",
        ),
        ("A=1\n B = \"hunter2\n", 2, 6, "this quote is never closed"),
        ("A='hunter2", 1, 3, "this quote is never closed"),
        (
            "A=\"x\" hunter2",
            1,
            7,
            "expected the end of the line after the closing quote",
        ),
        ("A=1\nA__B=2", 2, 1, "`a` has a value of its own and keys below it"),
    ] {
        let message = message.to_owned();
        assert_eq!(read(text), Err(Broken { line, column, message }), "{text:?}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn what_is_quoted_is_read_back(value in any::<String>()) {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        prop_assert_eq!(one(&format!("A=\"{escaped}\"")), value);
    }

    #[test]
    fn what_is_literal_is_read_back(value in "[^']*") {
        prop_assert_eq!(one(&format!("export A='{value}' # why")), value);
    }

    #[test]
    fn plain_words_need_no_quotes(value in "[a-zA-Z0-9$/+=.-]*") {
        prop_assert_eq!(one(&format!("A={value}\n")), value);
    }

    #[test]
    fn one_entry_does_not_disturb_the_next(first in any::<String>(), second in "[a-z]*") {
        let escaped = first.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("A=\"{escaped}\"\nB={second}\n");
        prop_assert_eq!(read(&text), Ok(vec![("a".into(), first), ("b".into(), second)]));
    }
}
