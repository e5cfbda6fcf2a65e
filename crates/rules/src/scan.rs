//! The letters of an expression: blanks, words, and literals. What a literal is depends on what it is compared with, so that there are no
//! tokens before there are types.

use std::net::IpAddr;

use crate::{error::ExpressionError, sets};

/// A place in an expression.
pub(crate) struct Scan<'t> {
    pub(crate) text: &'t str,
    pub(crate) at: usize,
}

pub(crate) type Parsed<T> = Result<T, ExpressionError>;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

impl<'t> Scan<'t> {
    pub(crate) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    /// Refused: from a place up to here.
    pub(crate) fn wrong<T>(&self, from: usize, why: impl Into<String>) -> Parsed<T> {
        Err(ExpressionError::new(self.text, from, self.at, why.into()))
    }

    /// Passes over blanks, and over what follows a `#` in its line.
    pub(crate) fn skip(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => break,
            }
        }
    }

    /// Takes this if it is next.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// Takes this word if it is next, and not the beginning of a longer one.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let is_next = self.rest().strip_prefix(word).is_some_and(|rest| !rest.bytes().next().is_some_and(is_word));
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// A field's or a function's name; empty where there is none.
    pub(crate) fn word(&mut self) -> &'t str {
        let length = self.rest().bytes().take_while(|byte| is_word(*byte)).count();
        let word = &self.rest()[..length];
        self.at += length;
        word
    }

    /// What stands here, for a message: a word, or one character.
    pub(crate) fn shown(&self) -> String {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
        match (length, rest.chars().next()) {
            (0, Some(character)) => format!("{character:?}"),
            (0, None) => "the end".to_owned(),
            _ => format!("{:?}", rest[..length].chars().take(64).collect::<String>()),
        }
    }

    pub(crate) fn expect(&mut self, token: &str, after: &str) -> Parsed<()> {
        self.skip();
        if self.eat(token) {
            return Ok(());
        }
        self.wrong(self.at, format!("here stands {}, and not the {token:?} that belongs {after}", self.shown()))
    }

    /// Whether a text begins here.
    pub(crate) fn is_text(&self) -> bool {
        let rest = self.rest();
        rest.starts_with('"') || rest.strip_prefix('r').is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    }

    /// A text: quoted, raw, or in hexadecimal bytes.
    pub(crate) fn text(&mut self) -> Parsed<Vec<u8>> {
        if self.is_text() {
            return if self.peek() == Some(b'r') { self.raw().map(str::to_owned).map(String::into_bytes) } else { self.quoted() };
        }
        match self.hexadecimal() {
            Some(bytes) => Ok(bytes),
            None => {
                self.wrong(self.at, format!("here stands {}, and not a text: write it in quotes, as in \"/admin\"", self.shown()))
            }
        }
    }

    fn raw(&mut self) -> Parsed<&'t str> {
        let from = self.at;
        self.at += 1;
        let hashes = self.rest().bytes().take_while(|byte| *byte == b'#').count();
        if hashes > 255 {
            return self.wrong(from, "a raw text begins with 255 # at most");
        }
        self.at += hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        match self.rest().find(&end) {
            Some(length) => {
                let text = &self.rest()[..length];
                self.at += length + end.len();
                Ok(text)
            }
            None => {
                self.at = from + 1;
                self.wrong(from, format!("this text does not end: it takes {end} at its end"))
            }
        }
    }

    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        let from = self.at;
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.text.as_bytes().get(self.at).copied() else {
                self.at = from + 1;
                return self.wrong(from, "this text does not end: write \" at its end");
            };
            let place = self.at;
            self.at += 1;
            match byte {
                b'"' => return Ok(out),
                b'\\' => out.push(self.escaped(place)?),
                byte => out.push(byte),
            }
        }
    }

    fn escaped(&mut self, from: usize) -> Parsed<u8> {
        let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
        let (length, byte) = match rest {
            [b'"', ..] => (1, Some(b'"')),
            [b'\\', ..] => (1, Some(b'\\')),
            [b'x', high, low, ..] => (3, number(&[*high, *low], 16)),
            [b'0'..=b'7', ..] if rest.len() >= 3 => (3, number(&rest[..3], 8)),
            _ => (1, None),
        };
        match byte {
            Some(byte) => {
                self.at += length;
                Ok(byte)
            }
            None => self
                .wrong(from, "this escape is none: write \\\" \\\\ \\xHH or three octal digits, or a raw text, as in r\"\\d\""),
        }
    }

    /// `HH:HH…`, with `:`, `-` or `.` between; two bytes at least.
    fn hexadecimal(&mut self) -> Option<Vec<u8>> {
        let bytes = self.rest().as_bytes();
        let mut out = vec![number(bytes.get(..2)?, 16)?];
        let mut at = 2;
        while let Some(pair) = bytes.get(at + 1..at + 3)
            && matches!(bytes[at], b':' | b'-' | b'.')
            && let Some(byte) = number(pair, 16)
        {
            out.push(byte);
            at += 3;
        }
        let ends = !bytes.get(at).is_some_and(|byte| is_word(*byte));
        (out.len() > 1 && ends).then(|| {
            self.at += at;
            out
        })
    }

    /// A regular expression: raw, or quoted with its escapes left to it.
    pub(crate) fn regex(&mut self) -> Parsed<String> {
        if !self.is_text() {
            let why =
                format!("here stands {}, and not a regular expression: write it in quotes, as in r\"^/api/\"", self.shown());
            return self.wrong(self.at, why);
        }
        if self.peek() == Some(b'r') {
            return self.raw().map(str::to_owned);
        }
        let from = self.at;
        self.at += 1;
        let mut out = String::new();
        // Within [ ] a quote is a character as any other; the first character of a class is one even if it is ].
        let mut class_from: Option<usize> = None;
        while let Some(character) = self.rest().chars().next() {
            self.at += character.len_utf8();
            match character {
                '\\' => {
                    let Some(escaped) = self.rest().chars().next() else { break };
                    self.at += escaped.len_utf8();
                    if escaped != '"' {
                        out.push('\\');
                    }
                    out.push(escaped);
                }
                '"' if class_from.is_none() => return Ok(out),
                '[' if class_from.is_none() => {
                    out.push('[');
                    class_from = Some(out.len());
                }
                ']' if class_from.is_some_and(|start| !matches!(&out[start..], "" | "^")) => {
                    out.push(']');
                    class_from = None;
                }
                other => out.push(other),
            }
        }
        self.at = from + 1;
        self.wrong(from, "this regular expression does not end: write \" at its end")
    }

    /// A whole number.
    pub(crate) fn int(&mut self) -> Parsed<i64> {
        let from = self.at;
        let negative = self.eat("-");
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let digits = &rest[..length];
        let (digits, radix) = match digits.strip_prefix("0x") {
            Some(hexadecimal) => (hexadecimal, 16),
            None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
            None => (digits, 10),
        };
        let magnitude =
            i128::from_str_radix(digits, radix).ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_alphanumeric()));
        let value = magnitude.and_then(|magnitude| i64::try_from(if negative { -magnitude } else { magnitude }).ok());
        match value {
            Some(value) => {
                self.at += length;
                Ok(value)
            }
            None => {
                let shown = self.shown();
                self.at += length.max(1).min(self.rest().len());
                while !self.text.is_char_boundary(self.at) {
                    self.at += 1;
                }
                self.wrong(from, format!("here stands {shown}, and not a whole number of 64 bits"))
            }
        }
    }

    /// An address, a network or a range of addresses: the first and the last, and whether it is but one.
    pub(crate) fn addresses(&mut self) -> Parsed<(IpAddr, IpAddr)> {
        let from = self.at;
        let first = self.address()?;
        if self.eat("..") {
            let last = self.address()?;
            if first.is_ipv4() != last.is_ipv4() || first > last {
                return self.wrong(from, "a range goes from the smaller address to the greater one of the same family");
            }
            return Ok((first, last));
        }
        if self.eat("/") {
            let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
            let bits = self.rest()[..length].parse::<u8>().ok();
            self.at += length;
            return match bits.and_then(|bits| sets::network(first, bits)) {
                Some(range) => Ok(range),
                None => self.wrong(from, "a network has 0 to 32 bits of an IPv4 address, or 0 to 128 of an IPv6 address"),
            };
        }
        Ok((first, first))
    }

    pub(crate) fn address(&mut self) -> Parsed<IpAddr> {
        let bytes = self.rest().as_bytes();
        let is_part = |at: &usize| {
            let byte = bytes[*at];
            // Two dots are a range's.
            byte.is_ascii_hexdigit()
                || byte == b':'
                || byte == b'.' && bytes.get(at + 1) != Some(&b'.') && bytes.get(at.wrapping_sub(1)) != Some(&b'.')
        };
        let length = (0..bytes.len()).take_while(is_part).count();
        match self.rest()[..length].parse::<IpAddr>() {
            Ok(address) => {
                self.at += length;
                Ok(address.to_canonical())
            }
            Err(_) => {
                let (from, shown) = (self.at, self.shown());
                self.at += length;
                self.wrong(
                    from,
                    format!("here stands {shown}, and not an address, as in 192.0.2.7 or 2001:db8::/32, without quotes"),
                )
            }
        }
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u8> {
    digits
        .iter()
        .try_fold(0u32, |sum, digit| Some(sum * radix + char::from(*digit).to_digit(radix)?))
        .and_then(|sum| u8::try_from(sum).ok())
}
