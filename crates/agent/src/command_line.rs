//! Commands as users write them: words, without a shell.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What stands for the directory of staged content in a command.
pub(crate) const PLACEHOLDER: &str = "{}";

/// A program and its arguments.
///
/// Words are parted by blanks; quotes and backslashes work as in a shell, nothing else does: for variables, pipes and
/// globs write `sh -c '...'`. So it works in an image without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    text: String,
    program: String,
    arguments: Vec<String>,
}

/// A text that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// There is no word in it.
    #[error("the command is missing: write a program and its arguments")]
    Missing,
    /// A quote is not closed.
    #[error("{text:?}: the {quote} is never closed")]
    Unclosed {
        /// The command.
        text: String,
        /// The quote, or a backslash at the end.
        quote: char,
    },
    /// A program gets its arguments as texts that end in NUL.
    #[error("{0:?} has a NUL in it")]
    Nul(String),
}

impl CommandLine {
    /// The program, by its name or path.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        [&self.program].into_iter().chain(&self.arguments).map(String::as_str)
    }

    /// The arguments, with the path of the staged content wherever `{}` stands.
    pub(crate) fn arguments(&self, staged: Option<&Path>) -> Vec<OsString> {
        let fill = |word: &String| match staged {
            Some(path) if word.contains(PLACEHOLDER) => {
                let mut filled = OsString::new();
                for (index, part) in word.split(PLACEHOLDER).enumerate() {
                    if index > 0 {
                        filled.push(path);
                    }
                    filled.push(part);
                }
                filled
            }
            _ => word.into(),
        };
        self.arguments.iter().map(fill).collect()
    }
}

impl FromStr for CommandLine {
    type Err = CommandLineError;

    fn from_str(text: &str) -> Result<Self, CommandLineError> {
        if text.contains('\0') {
            return Err(CommandLineError::Nul(text.to_owned()));
        }
        let mut words = words(text)?.into_iter();
        let program = words
            .next()
            .filter(|word| !word.is_empty())
            .ok_or(CommandLineError::Missing)?;
        Ok(Self {
            text: text.trim().to_owned(),
            program,
            arguments: words.collect(),
        })
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parts a text into words by the shell's rules of quoting.
fn words(text: &str) -> Result<Vec<String>, CommandLineError> {
    let unclosed = |quote| CommandLineError::Unclosed {
        text: text.to_owned(),
        quote,
    };
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => {
                let escaped = chars.next().ok_or_else(|| unclosed('\\'))?;
                word.get_or_insert_default().push(escaped);
            }
            (Some('"'), '\\') => {
                let escaped = chars.next().ok_or_else(|| unclosed('"'))?;
                let kept = word.get_or_insert_default();
                if !matches!(escaped, '"' | '\\' | '$' | '`') {
                    kept.push('\\');
                }
                kept.push(escaped);
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(unclosed(quote));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nginx -t", &["nginx", "-t"])]
    #[case("  a   b  ", &["a", "b"])]
    #[case("sh -c 'test -s \"$AFRESH_STAGED\"/a | cat'", &["sh", "-c", "test -s \"$AFRESH_STAGED\"/a | cat"])]
    #[case(r#"a "b c"d e\ f"#, &["a", "b cd", "e f"])]
    #[case(r#"a "x\"y\\z\n""#, &["a", r#"x"y\z\n"#])]
    #[case("a '' b", &["a", "", "b"])]
    fn words_are_parted_as_in_a_shell(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(words(text).unwrap(), expected);
    }

    #[rstest]
    #[case("", "the command is missing: write a program and its arguments")]
    #[case("   ", "the command is missing: write a program and its arguments")]
    #[case("''", "the command is missing: write a program and its arguments")]
    #[case("sh -c 'x", "\"sh -c 'x\": the ' is never closed")]
    #[case("a \\", "\"a \\\\\": the \\ is never closed")]
    #[case("a\0b", "\"a\\0b\" has a NUL in it")]
    fn what_is_no_command_is_named(#[case] text: &str, #[case] message: &str) {
        assert_eq!(text.parse::<CommandLine>().unwrap_err().to_string(), message);
    }

    #[test]
    fn the_placeholder_stands_for_the_staged_directory() {
        let line: CommandLine = "nginx -t -c {}/nginx.conf --x={}:{}".parse().unwrap();
        let filled = line.arguments(Some(Path::new("/tmp/s")));
        assert_eq!(filled, ["-t", "-c", "/tmp/s/nginx.conf", "--x=/tmp/s:/tmp/s"]);
        assert_eq!(line.arguments(None)[2], "{}/nginx.conf");
        assert_eq!(line.program(), "nginx");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<CommandLine>();
        }

        #[test]
        fn quoted_words_come_back(parts in prop::collection::vec("[^'\0]{0,8}", 1..5)) {
            let quoted = parts.iter().map(|part| format!("'{part}'")).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(words(&quoted).unwrap(), parts);
        }
    }
}
