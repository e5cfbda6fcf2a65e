//! Members of structured data, taken one after the other from presentation text or by name from `data`: each type says once, in
//! the order of its text, what it is made of.

use super::{
    Field, Fields, Host, Hosts, RdataError, Rtype,
    error::shown,
    token::{self, Token, TokenError},
};

/// Where members come from.
pub(crate) struct Source<'a> {
    pub(crate) rtype: Rtype,
    hosts: Hosts<'a>,
    from: From<'a>,
}

enum From<'a> {
    Text { text: &'a str, tokens: std::vec::IntoIter<Token<'a>> },
    Fields(&'a Fields),
}

/// A member's text before it is read.
struct Raw {
    text: String,
    /// Escapes still stand in it.
    escaped: bool,
}

const NUMBER: &str = "is not a whole number in range";

impl<'a> Source<'a> {
    pub(crate) fn text(rtype: Rtype, text: &'a str, hosts: Hosts<'a>) -> Result<Self, RdataError> {
        let tokens = token::tokens(text).map_err(|error| quoting(rtype, text, error))?;
        Ok(Self { rtype, hosts, from: From::Text { text, tokens: tokens.into_iter() } })
    }

    pub(crate) fn fields(rtype: Rtype, fields: &'a Fields, hosts: Hosts<'a>) -> Self {
        Self { rtype, hosts, from: From::Fields(fields) }
    }

    /// How many words or strings are left of a text; none for named members.
    pub(crate) fn left(&self) -> Option<usize> {
        match &self.from {
            From::Text { tokens, .. } => Some(tokens.len()),
            From::Fields(_) => None,
        }
    }

    /// A whole number up to `max`.
    pub(crate) fn number(&mut self, member: &'static str, max: u32) -> Result<u32, RdataError> {
        self.number_or_word(member, max, &[])
    }

    pub(crate) fn u8(&mut self, member: &'static str) -> Result<u8, RdataError> {
        self.u8_or_word(member, &[])
    }

    /// A small number, or a mnemonic of it.
    pub(crate) fn u8_or_word(&mut self, member: &'static str, words: &[(&str, u32)]) -> Result<u8, RdataError> {
        let number = self.number_or_word(member, u8::MAX.into(), words)?;
        Ok(u8::try_from(number).expect("it is bounded by what a u8 holds"))
    }

    pub(crate) fn u16(&mut self, member: &'static str) -> Result<u16, RdataError> {
        let number = self.number(member, u16::MAX.into())?;
        Ok(u16::try_from(number).expect("it is bounded by what a u16 holds"))
    }

    /// A whole number up to `max`, or one of these words for one.
    pub(crate) fn number_or_word(&mut self, member: &'static str, max: u32, words: &[(&str, u32)]) -> Result<u32, RdataError> {
        let raw = self.required(member)?;
        let text = raw.text.trim();
        let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        known.or_else(|| text.parse().ok().filter(|number| digits && *number <= max)).ok_or_else(|| {
            let why = match max {
                255 => "is not a whole number from 0 to 255",
                65_535 => "is not a whole number from 0 to 65535",
                _ => NUMBER,
            };
            self.wrong(member, text, why)
        })
    }

    /// One word that is not empty.
    pub(crate) fn word(&mut self, member: &'static str) -> Result<String, RdataError> {
        let raw = self.required(member)?;
        let text = raw.text.trim();
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"') {
            return Err(self.wrong(member, text, "is not one word: remove what does not belong to it"));
        }
        Ok(text.to_owned())
    }

    /// A text of at most `max` octets, which may be empty.
    pub(crate) fn string(&mut self, member: &'static str, max: usize) -> Result<String, RdataError> {
        let raw = self.next(member)?.ok_or(RdataError::Missing { rtype: self.rtype, member })?;
        let octets = if raw.escaped {
            token::unescape(&raw.text).map_err(|error| quoting(self.rtype, &raw.text, error))?
        } else {
            raw.text.clone().into_bytes()
        };
        let text = String::from_utf8(octets).map_err(|_| self.wrong(member, &raw.text, "is not UTF-8: write text"))?;
        if text.chars().any(char::is_control) {
            return Err(self.wrong(member, &raw.text, "has control characters: remove them"));
        }
        if text.len() > max {
            return Err(RdataError::TooLong { rtype: self.rtype, length: text.len(), unit: "octets in one text", max });
        }
        Ok(text)
    }

    /// A host name.
    pub(crate) fn host(&mut self, member: &'static str) -> Result<Host, RdataError> {
        let text = self.word(member)?;
        self.read_host(member, &text)
    }

    pub(crate) fn read_host(&self, member: &'static str, text: &str) -> Result<Host, RdataError> {
        self.hosts.read(text).map_err(|why| RdataError::Host { rtype: self.rtype, member, why })
    }

    /// Whether bare names are relative to something.
    pub(crate) fn has_origin(&self) -> bool {
        self.hosts.origin.is_some()
    }

    /// All that follows, joined: long digests and keys are often broken with spaces.
    pub(crate) fn joined(&mut self, member: &'static str) -> Result<String, RdataError> {
        let text: String = match &mut self.from {
            From::Text { tokens, .. } => tokens.by_ref().map(|token| token.raw).collect(),
            From::Fields(_) => self.required(member)?.text.split_ascii_whitespace().collect(),
        };
        if text.is_empty() { Err(RdataError::Missing { rtype: self.rtype, member }) } else { Ok(text) }
    }

    /// All that follows, as written.
    pub(crate) fn verbatim(&mut self, member: &'static str) -> Result<String, RdataError> {
        match &mut self.from {
            From::Text { text, tokens } => {
                let start = tokens.next().map_or(text.len(), |token| token.start);
                tokens.by_ref().for_each(drop);
                Ok(text[start..].trim_end().to_owned())
            }
            From::Fields(_) => Ok(self.next(member)?.map(|raw| raw.text.trim().to_owned()).unwrap_or_default()),
        }
    }

    /// A member that may be absent, as text.
    pub(crate) fn optional(&mut self, member: &'static str) -> Result<Option<String>, RdataError> {
        Ok(self.next(member)?.map(|raw| raw.text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// The next word of a text, without taking it.
    pub(crate) fn peek(&self) -> Option<&'a str> {
        match &self.from {
            From::Text { tokens, .. } => tokens.as_slice().first().map(|token| token.raw),
            From::Fields(_) => None,
        }
    }

    /// That nothing is left.
    pub(crate) fn end(mut self) -> Result<(), RdataError> {
        match &mut self.from {
            From::Text { tokens, .. } => match tokens.next() {
                Some(token) => Err(RdataError::Extra { rtype: self.rtype, value: shown(token.raw) }),
                None => Ok(()),
            },
            From::Fields(_) => Ok(()),
        }
    }

    pub(crate) fn wrong(&self, member: &'static str, value: &str, why: &'static str) -> RdataError {
        RdataError::Member { rtype: self.rtype, member, value: shown(value), why }
    }

    fn required(&mut self, member: &'static str) -> Result<Raw, RdataError> {
        let raw = self.next(member)?.filter(|raw| !raw.text.trim().is_empty());
        raw.ok_or(RdataError::Missing { rtype: self.rtype, member })
    }

    fn next(&mut self, member: &'static str) -> Result<Option<Raw>, RdataError> {
        match &mut self.from {
            From::Text { tokens, .. } => Ok(tokens.next().map(|token| Raw { text: token.raw.to_owned(), escaped: true })),
            From::Fields(fields) => match fields.get(member) {
                None => Ok(None),
                Some(Field::Text(text)) => Ok(Some(Raw { text: text.clone(), escaped: false })),
                // Rust shows a double by its shortest digits, never with an exponent.
                Some(Field::Number(number)) => Ok(Some(Raw { text: number.to_string(), escaped: false })),
            },
        }
    }
}

/// A quoting error with the text around it.
pub(crate) fn quoting(rtype: Rtype, text: &str, error: TokenError) -> RdataError {
    let value = text.get(error.at..).map_or_else(|| shown(text), shown);
    RdataError::Quoting { rtype, value, why: error.why }
}
