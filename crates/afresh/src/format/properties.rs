//! Java properties, by the words of `java.util.Properties.load(Reader)`.

use std::str::Chars;

use super::{Broken, small};
use crate::tree::{At, Kind, Node};

pub(super) fn parse(text: &str, at: At) -> Result<Node, Broken> {
    let mut node = Node::new(at, Node::empty().kind);
    let mut cursor = Cursor {
        rest: text.chars(),
        line: 1,
        column: 1,
    };
    while let Some((line, column, key, value)) = cursor.entry()? {
        let place = At { line, column, ..at };
        let path: Vec<&str> = key.split('.').collect();
        let put = node.insert(&path, place, false, Kind::Loose(value.into_bytes()));
        put.map_err(|key| Broken {
            line,
            column,
            message: format!("`{key}` has a value of its own and keys below it"),
        })?;
    }
    Ok(node)
}

struct Cursor<'a> {
    rest: Chars<'a>,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    /// The next key and value, and where the key begins.
    fn entry(&mut self) -> Result<Option<(u32, u32, String, String)>, Broken> {
        loop {
            self.skip(|c| matches!(c, ' ' | '\t' | '\x0c' | '\r' | '\n'));
            match self.peek() {
                None => return Ok(None),
                Some('#' | '!') => self.skip(|c| !matches!(c, '\r' | '\n')),
                Some('\\') if self.is_continued() => {}
                Some(_) => break,
            }
        }
        let (line, column) = (small(self.line), small(self.column));
        let key = self.text(|c| matches!(c, '=' | ':' | ' ' | '\t' | '\x0c'))?;
        self.blanks();
        if matches!(self.peek(), Some('=' | ':')) {
            self.take();
            self.blanks();
        }
        let value = self.text(|_| false)?;
        Ok(Some((line, column, key, value)))
    }

    /// Reads until the end of the logical line, or a character that ends a key.
    fn text(&mut self, ends: impl Fn(char) -> bool) -> Result<String, Broken> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\r' | '\n') => return Ok(text),
                Some('\\') if self.is_continued() => {}
                Some('\\') => text.push(self.escape()?),
                Some(c) if ends(c) => return Ok(text),
                Some(c) => {
                    text.push(c);
                    self.take();
                }
            }
        }
    }

    /// Blanks, and line breaks that a backslash hides.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\x0c') => self.take(),
                Some('\\') if self.is_continued() => {}
                _ => return,
            }
        }
    }

    /// Passes over a backslash with a line break, and the blanks that begin the next line.
    fn is_continued(&mut self) -> bool {
        let mut ahead = self.rest.clone();
        ahead.next();
        if !matches!(ahead.next(), Some('\r' | '\n')) {
            return false;
        }
        self.take();
        if self.peek() == Some('\r') {
            self.take();
        }
        if self.peek() == Some('\n') {
            self.take();
        }
        self.skip(|c| matches!(c, ' ' | '\t' | '\x0c'));
        true
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let (line, column) = (self.line, self.column);
        let broken = |message: &str| Broken {
            line: small(line),
            column: small(column),
            message: message.to_owned(),
        };
        self.take();
        let Some(c) = self.peek() else {
            // A backslash at the very end; Java reads a NUL there.
            return Err(broken("a backslash with nothing after it"));
        };
        self.take();
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\x0c',
            'u' => {
                let first = self.hex().ok_or_else(|| broken("\\u needs four hexadecimal digits"))?;
                let Some(c) = char::from_u32(first) else {
                    return self.surrogate(first).ok_or_else(|| broken("half a surrogate pair"));
                };
                c
            }
            other => other,
        })
    }

    /// The second half of a character that Java writes as two escapes.
    fn surrogate(&mut self, first: u32) -> Option<char> {
        for expected in ['\\', 'u'] {
            if self.peek() != Some(expected) {
                return None;
            }
            self.take();
        }
        let second = self.hex()?;
        let units = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
        char::decode_utf16(units).next()?.ok()
    }

    fn hex(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + self.peek()?.to_digit(16)?;
            self.take();
        }
        Some(value)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&is_skipped) {
            self.take();
        }
    }

    fn take(&mut self) {
        match self.rest.next() {
            Some('\r') if self.peek() == Some('\n') => {}
            Some('\n' | '\r') => {
                self.line += 1;
                self.column = 1;
            }
            Some(_) => self.column += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
