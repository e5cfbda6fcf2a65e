//! Text into entries: comments apart, parentheses joined, quotes kept (RFC 1035 §5.1).

use crate::import::Problem;

/// Longest entry read, in octets, all of its lines together. The longest data is 32 KiB.
pub const ENTRY_OCTETS_MAX: usize = 64 * 1024;

/// One entry: a record or a directive, which may span lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The line it begins on; the first is 1.
    pub line: usize,
    /// Whether it begins with white space: its owner is the one before.
    pub continues: bool,
    /// Its words and quoted strings as written, quotes included.
    pub words: Vec<&'a str>,
    /// The comment at its end, without the `;`; empty where there is none.
    pub comment: &'a str,
}

/// Reads entries one after the other. After an error it goes on behind the line that has it.
#[derive(Debug)]
pub struct Entries<'a> {
    rest: &'a str,
    line: usize,
}

/// Why an entry cannot be read, and on which line.
type Failure = (usize, Problem);

impl<'a> Entries<'a> {
    /// Of this text.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 0 }
    }

    fn next_line(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        (self.rest, self.line) = (rest, self.line + 1);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    fn entry(&mut self, first: &'a str) -> Result<Entry<'a>, Failure> {
        let begins = self.line;
        let mut entry = Entry { line: begins, continues: first.starts_with([' ', '\t']), words: Vec::new(), comment: "" };
        let (mut open, mut octets, mut line) = (false, 0, first);
        loop {
            octets += line.len();
            if octets > ENTRY_OCTETS_MAX {
                return Err((begins, Problem::EntryTooLong));
            }
            entry.comment = cut(line, &mut entry.words, &mut open).map_err(|problem| (self.line, problem))?;
            if !open {
                return Ok(entry);
            }
            line = self.next_line().ok_or((begins, Problem::Parentheses("is not closed: add the ')'")))?;
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Failure>;

    /// The next entry that is not empty.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.next_line()?;
            match self.entry(first) {
                Ok(entry) if entry.words.is_empty() => {}
                other => return Some(other),
            }
        }
    }
}

/// Cuts one line into words, and returns its comment.
fn cut<'a>(line: &'a str, words: &mut Vec<&'a str>, open: &mut bool) -> Result<&'a str, Problem> {
    let bytes = line.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' => at += 1,
            b';' => return Ok(line[at + 1..].trim()),
            b'(' if *open => return Err(Problem::Parentheses("stands inside another: remove it")),
            b')' if !*open => return Err(Problem::Parentheses("closes none: remove it, or put the text in quotes")),
            b'(' | b')' => {
                *open = *byte == b'(';
                at += 1;
            }
            _ => {
                let end = word_end(bytes, at)?;
                words.push(&line[at..end]);
                at = end;
            }
        }
    }
    Ok("")
}

/// The end of the word at `start`, in which quotes hold white space and what else ends words. All that ends one is ASCII, so it is a
/// character's boundary.
fn word_end(bytes: &[u8], start: usize) -> Result<usize, Problem> {
    let (mut at, mut quoted) = (start, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' if quoted && bytes[start] == b'"' => return Ok(at + 1),
            b'"' => quoted = !quoted,
            b' ' | b'\t' | b';' | b'(' | b')' if !quoted => return Ok(at),
            _ => {}
        }
        at += 1;
    }
    // A backslash at the line's end escapes nothing.
    if quoted || at > bytes.len() { Err(Problem::Quotes) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(usize, bool, Vec<&str>, &str)> {
        Entries::new(text).map(Result::unwrap).map(|entry| (entry.line, entry.continues, entry.words, entry.comment)).collect()
    }

    #[test]
    fn words_comments_and_lines_are_told_apart() {
        let text = "\u{feff}; head\r\n\r\na A 1 ; one;two\r\n\tTXT \"x ; (y) \\\" z\" b\\;c;d\n   \n$TTL 5";
        assert_eq!(
            entries(text),
            [
                (3, false, vec!["a", "A", "1"], "one;two"),
                (4, true, vec!["TXT", "\"x ; (y) \\\" z\"", "b\\;c"], "d"),
                (6, false, vec!["$TTL", "5"], ""),
            ]
        );
        assert_eq!(entries("a HTTPS 1 . alpn=\"h2 x\"")[0].2, ["a", "HTTPS", "1", ".", "alpn=\"h2 x\""]);
        assert_eq!(entries("a TXT \"x\"\"y\"")[0].2, ["a", "TXT", "\"x\"", "\"y\""]);
    }

    #[test]
    fn parentheses_join_lines_and_the_last_comment_counts() {
        let text = "@ SOA a b (\n 1 ; serial\n 2 3\n)  ; end\nb(A)1";
        assert_eq!(
            entries(text),
            [(1, false, vec!["@", "SOA", "a", "b", "1", "2", "3"], "end"), (5, false, vec!["b", "A", "1"], "")]
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_line_and_the_rest_is_read() {
        let long = format!("a ({}\n)", "x ".repeat(ENTRY_OCTETS_MAX / 2));
        for (text, line) in [("a )", 1), ("a ((", 1), ("\na (\n\n", 2), ("a (\n \"x\n)", 2), ("a b\\", 1), (&long, 1)] {
            assert_eq!(Entries::new(text).find_map(Result::err).unwrap().0, line, "{text:.20}");
        }
        let read: Vec<bool> = Entries::new("a \"\nb c").map(|entry| entry.is_ok()).collect();
        assert_eq!(read, [false, true]);
    }
}
