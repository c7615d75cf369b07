//! Files of lines `NAME=value`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// A line that cannot be read. Shows where, never what: the line may hold a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct DotenvError {
    /// From 1.
    pub line: usize,
    /// In words.
    pub problem: &'static str,
}

/// Reads the lines, in order.
///
/// Blank lines and those that begin with `#` say nothing; `export ` before a name is allowed. A value is taken as it is
/// without the blanks around it and without what follows ` #`; in single quotes it is taken literally, in double quotes
/// `\n`, `\r`, `\t`, `\\`, `\"` and `\$` stand for what they do. Quoted values may span lines. Nothing is
/// substituted: `$` is a dollar sign.
pub(super) fn parse(text: &[u8]) -> Result<Vec<(OsString, OsString)>, DotenvError> {
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut variables = Vec::new();
    while let Some(variable) = reader.variable()? {
        variables.push(variable);
    }
    Ok(variables)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn variable(&mut self) -> Result<Option<(OsString, OsString)>, DotenvError> {
        loop {
            self.skip(u8::is_ascii_whitespace);
            match self.peek() {
                None => return Ok(None),
                Some(b'#') => self.skip(|byte| *byte != b'\n'),
                Some(_) => break,
            }
        }
        let name = self.name()?;
        self.skip(is_blank);
        let value = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => self.quoted(quote)?,
            _ => self.plain(),
        };
        if value.contains(&0) {
            return Err(self.error("the value has a zero byte"));
        }
        Ok(Some((name, OsString::from_vec(value))))
    }

    fn name(&mut self) -> Result<OsString, DotenvError> {
        let line = self.take(|byte| !matches!(byte, b'=' | b'\n')).to_vec();
        if self.peek() != Some(b'=') {
            return Err(self.error("there is no = after the name"));
        }
        self.bump();
        let mut name = line.trim_ascii();
        if let Some(rest) = name.strip_prefix(b"export")
            && rest.first().is_some_and(is_blank)
        {
            name = rest.trim_ascii_start();
        }
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        if name.is_empty() || !name.iter().all(is_part) {
            return Err(self.error("that is no name of a variable before the ="));
        }
        Ok(OsString::from_vec(name.to_vec()))
    }

    fn plain(&mut self) -> Vec<u8> {
        let line = self.take(|byte| *byte != b'\n');
        let comment = line.windows(2).position(|pair| is_blank(&pair[0]) && pair[1] == b'#');
        let comment = if line.starts_with(b"#") { Some(0) } else { comment };
        line[..comment.unwrap_or(line.len())].trim_ascii().to_vec()
    }

    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, DotenvError> {
        let opened = self.error("the quotes are not closed");
        self.bump();
        let mut value = Vec::new();
        loop {
            match self.bump().ok_or(opened)? {
                byte if byte == quote => break,
                b'\\' if quote == b'"' => match self.bump().ok_or(opened)? {
                    b'n' => value.push(b'\n'),
                    b'r' => value.push(b'\r'),
                    b't' => value.push(b'\t'),
                    byte @ (b'\\' | b'"' | b'$') => value.push(byte),
                    byte => value.extend([b'\\', byte]),
                },
                byte => value.push(byte),
            }
        }
        let rest = self.take(|byte| *byte != b'\n').trim_ascii();
        if rest.is_empty() || rest.starts_with(b"#") {
            Ok(value)
        } else {
            Err(self.error("something follows the closing quotes"))
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn skip(&mut self, wanted: impl Fn(&u8) -> bool) {
        while self.peek().is_some_and(|byte| wanted(&byte)) {
            self.bump();
        }
    }

    fn take(&mut self, wanted: impl Fn(&u8) -> bool) -> &[u8] {
        let from = self.at;
        self.skip(wanted);
        &self.text[from..self.at]
    }

    fn error(&self, problem: &'static str) -> DotenvError {
        DotenvError {
            line: self.line,
            problem,
        }
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, DotenvError> {
        let own = |text: OsString| text.into_string().unwrap();
        let pairs = parse(text.as_bytes())?.into_iter();
        Ok(pairs.map(|(name, value)| (own(name), own(value))).collect())
    }

    #[test]
    fn lines_are_read_as_people_write_them() {
        let text = "# a comment\n\n A=1\r\nexport B = two words  # why\nC=\nD='#1 $A \\n'\nE=\"a\\n\\\"b\\\" \\$A \\x\" # end\n\
            F=\"two\nlines\"\nG=a#b\nH=#c\nexport=x\nI.j-k=http://h/?a=b";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", ""),
            ("D", "#1 $A \\n"),
            ("E", "a\n\"b\" $A \\x"),
            ("F", "two\nlines"),
            ("G", "a#b"),
            ("H", ""),
            ("export", "x"),
            ("I.j-k", "http://h/?a=b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_none_is_told_by_its_place_and_not_its_content() {
        for (text, line, problem) in [
            ("A=1\nsecret\nB=2", 2, "there is no = after the name"),
            ("A=1\n\n=2", 3, "that is no name of a variable before the ="),
            ("two words=2", 1, "that is no name of a variable before the ="),
            ("A=1\nB='x\ny\n", 2, "the quotes are not closed"),
            ("A=\"x\\", 1, "the quotes are not closed"),
            ("A='x' y", 1, "something follows the closing quotes"),
            ("A=x\0y", 1, "the value has a zero byte"),
        ] {
            assert_eq!(read(text).unwrap_err(), DotenvError { line, problem }, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = parse(&text);
        }

        #[test]
        fn whatever_is_in_double_quotes_comes_back(value in "[^\0]*") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(read(&format!("A=\"{quoted}\"\n")).unwrap(), [("A".to_owned(), value)]);
        }
    }
}
