//! Presentation text: words and quoted strings (RFC 1035 §5.1), without what spans lines.

/// One word or one quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// As written; a quoted string without its quotes. A word may hold quotes further on, as parameters of HTTPS records do.
    pub(crate) raw: &'a str,
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
    /// Where it begins in the text, its quote included.
    pub(crate) start: usize,
}

/// Why text cannot be cut, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenError {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

const OPEN: &str = "a quotation mark is not closed: add the other one, or write \\\" where one belongs to the text";
const ESCAPE: &str = "a backslash takes the character after it, or three digits up to 255: write \\\\ for the backslash itself";

/// Cuts `text` at white space outside quotes.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, TokenError> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() {
            at += 1;
        } else if bytes[at] == b'"' {
            let end = closing(bytes, at)?;
            found.push(Token { raw: &text[at + 1..end], quoted: true, start: at });
            at = end + 1;
        } else {
            let start = at;
            while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
                at = match bytes[at] {
                    b'\\' => after_escape(bytes, at)?,
                    b'"' => closing(bytes, at)? + 1,
                    _ => at + 1,
                };
            }
            found.push(Token { raw: &text[start..at], quoted: false, start });
        }
    }
    Ok(found)
}

/// Where the quote opened at `open` is closed.
fn closing(bytes: &[u8], open: usize) -> Result<usize, TokenError> {
    let mut at = open + 1;
    loop {
        match bytes.get(at) {
            None => return Err(TokenError { at: open, why: OPEN }),
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = after_escape(bytes, at)?,
            Some(_) => at += 1,
        }
    }
}

/// The first place after the escape at `at`; on a character's boundary, since what is skipped is ASCII or a character's first byte.
fn after_escape(bytes: &[u8], at: usize) -> Result<usize, TokenError> {
    match bytes.get(at + 1) {
        None => Err(TokenError { at, why: ESCAPE }),
        Some(first) if first.is_ascii_digit() => decimal(bytes, at).map(|_| at + 4),
        Some(_) => Ok(at + 2),
    }
}

fn decimal(bytes: &[u8], at: usize) -> Result<u8, TokenError> {
    let digits = bytes.get(at + 1..at + 4).filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let number = digits.map(|digits| digits.iter().fold(0u16, |number, digit| number * 10 + u16::from(digit - b'0')));
    number.and_then(|number| u8::try_from(number).ok()).ok_or(TokenError { at, why: ESCAPE })
}

/// The octets that escaped text stands for.
pub(crate) fn unescape(raw: &str) -> Result<Vec<u8>, TokenError> {
    let bytes = raw.as_bytes();
    let (mut octets, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            octets.push(*byte);
            at += 1;
            continue;
        }
        let next = after_escape(bytes, at)?;
        octets.push(if next == at + 4 { decimal(bytes, at)? } else { bytes[at + 1] });
        at = next;
    }
    Ok(octets)
}

/// The quoted string that stands for these octets, in ASCII alone.
pub(crate) fn quote(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() + 2);
    text.push('"');
    for octet in octets {
        match octet {
            b'"' | b'\\' => text.extend(['\\', char::from(*octet)]),
            0x20..=0x7e => text.push(char::from(*octet)),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
    text.push('"');
    text
}

/// The same escaped text with other octets than ASCII as `\DDD`.
pub(crate) fn ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // A backslash before such a letter stands for the letter alone; left there it would escape the escape.
            '\\' if chars.peek().is_some_and(|next| !next.is_ascii()) => {}
            '\\' => ascii.extend([Some(c), chars.next()].into_iter().flatten()),
            c if c.is_ascii() => ascii.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| ascii.push_str(&format!("\\{byte:03}"))),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<(&str, bool)> {
        tokens(text).unwrap().iter().map(|token| (token.raw, token.quoted)).collect()
    }

    #[test]
    fn words_and_strings_are_told_apart() {
        assert_eq!(cut(r#" 0 issue "a \"b\" c" "#), [("0", false), ("issue", false), (r#"a \"b\" c"#, true)]);
        assert_eq!(cut(r#"1 . alpn="h2 x" k\ v"#), [("1", false), (".", false), (r#"alpn="h2 x""#, false), (r"k\ v", false)]);
        assert_eq!(cut(r#""a""b""#), [("a", true), ("b", true)]);
        assert_eq!(cut("\\é x"), [("\\é", false), ("x", false)]);
    }

    #[test]
    fn what_does_not_fit_together_is_told_with_its_place() {
        for (wrong, at) in [("a \"b", 2), ("a\\", 1), (r#""\25x""#, 1), (r#""\256""#, 1), (r#"k="v"#, 2)] {
            assert_eq!(tokens(wrong).unwrap_err().at, at, "{wrong:?}");
        }
    }

    #[test]
    fn other_letters_become_escapes_once() {
        for (text, expected) in [("é", r"\195\169"), (r"a\é", r"a\195\169"), (r"\\é", r"\\\195\169"), (r"\065\x", r"\065\x")] {
            assert_eq!(ascii(text), expected);
            assert_eq!(unescape(&ascii(text)), unescape(text));
        }
    }

    proptest! {
        /// Any octets: their quoted form is one token, and stands for them.
        #[test]
        fn quoted_octets_come_back(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = quote(&octets);
            let cut = tokens(&text).unwrap();
            prop_assert!(cut.len() == 1 && cut[0].quoted);
            prop_assert_eq!(unescape(cut[0].raw).unwrap(), octets);
        }
    }
}
