//! `.env` files. Not `dotenvy`: its errors quote the line, and it puts the process's own variables in where a `$` is.

use super::{Broken, small};
use crate::env;
use crate::tree::{At, Kind, Node};

pub(super) fn parse(text: &str, at: At) -> Result<Node, Broken> {
    let mut node = Node::new(at, Node::empty().kind);
    let mut cursor = Cursor {
        rest: text,
        line: 1,
        column: 1,
    };
    while let Some((line, column, key, value)) = cursor.entry()? {
        let place = At { line, column, ..at };
        let put = env::insert(&mut node, key, place, Kind::Loose(value.into_bytes()));
        put.map_err(|message| Broken { line, column, message })?;
    }
    Ok(node)
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

impl<'a> Cursor<'a> {
    /// The next key and value, and where the key begins.
    fn entry(&mut self) -> Result<Option<(u32, u32, &'a str, String)>, Broken> {
        loop {
            self.take_while(|c| is_blank(c) || is_break(c));
            match self.peek() {
                None => return Ok(None),
                Some('#') => drop(self.take_while(|c| !is_break(c))),
                Some(_) => break,
            }
        }
        let mut place = (small(self.line), small(self.column));
        let mut key = self.key()?;
        if key == "export" && self.peek().is_some_and(is_blank) {
            self.take_while(is_blank);
            if self.peek() != Some('=') {
                place = (small(self.line), small(self.column));
                key = self.key()?;
            }
        }
        self.take_while(is_blank);
        if self.peek() != Some('=') {
            return Err(self.broken("expected `=` after the name"));
        }
        self.take();
        self.take_while(is_blank);
        let value = match self.peek() {
            Some('\'') => self.literal()?,
            Some('"') => self.quoted()?,
            _ => return Ok(Some((place.0, place.1, key, self.bare()))),
        };
        self.take_while(is_blank);
        match self.peek() {
            None | Some('#' | '\n' | '\r') => Ok(Some((place.0, place.1, key, value))),
            Some(_) => Err(self.broken("expected the end of the line after the closing quote")),
        }
    }

    fn key(&mut self) -> Result<&'a str, Broken> {
        let begins = self.peek().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if !begins {
            return Err(self.broken("expected a name: a letter or `_`, then letters, digits, `_`, `.`, `-`"));
        }
        Ok(self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
    }

    /// Without quotes: to the end of the line, or a ` #`.
    fn bare(&mut self) -> String {
        let line = self.take_while(|c| !is_break(c));
        let comment = line
            .match_indices('#')
            .find(|(offset, _)| *offset == 0 || line[..*offset].ends_with(is_blank));
        let value = comment.map_or(line, |(offset, _)| &line[..offset]);
        value.trim_end_matches(is_blank).to_owned()
    }

    /// `'...'`: every character stands for itself, line breaks too.
    fn literal(&mut self) -> Result<String, Broken> {
        let open = self.broken("this quote is never closed");
        self.take();
        let text = self.take_while(|c| c != '\'').to_owned();
        if self.peek().is_none() {
            return Err(open);
        }
        self.take();
        Ok(text)
    }

    /// `"..."`: with escapes.
    fn quoted(&mut self) -> Result<String, Broken> {
        let open = self.broken("this quote is never closed");
        self.take();
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| !matches!(c, '"' | '\\')));
            match self.peek() {
                None => return Err(open),
                Some('"') => {
                    self.take();
                    return Ok(text);
                }
                Some(_) => {
                    self.take();
                    let Some(c) = self.peek() else { return Err(open) };
                    self.take();
                    match c {
                        'n' => text.push('\n'),
                        'r' => text.push('\r'),
                        't' => text.push('\t'),
                        '"' | '\\' | '$' | '\'' => text.push(c),
                        other => text.extend(['\\', other]),
                    }
                }
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) {
        let mut chars = self.rest.chars();
        match chars.next() {
            Some('\n') => {
                self.line += 1;
                self.column = 1;
            }
            Some(_) => self.column += 1,
            None => {}
        }
        self.rest = chars.as_str();
    }

    fn take_while(&mut self, is_taken: impl Fn(char) -> bool) -> &'a str {
        let whole = self.rest;
        while self.peek().is_some_and(&is_taken) {
            self.take();
        }
        &whole[..whole.len() - self.rest.len()]
    }

    fn broken(&self, message: &str) -> Broken {
        Broken {
            line: small(self.line),
            column: small(self.column),
            message: message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
