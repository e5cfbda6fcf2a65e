//! Entries into records.

use std::collections::HashSet;

use poterne_model::{
    Name, NameError,
    entry::{self, EntryError, Place, TTL_AUTOMATIC, TTL_SECS_MAX, TTL_SECS_MIN},
    rdata::{Hosts, Rdata, RdataError, Rtype, quoted_strings},
};

use crate::{
    attributes::Attributes,
    lines::{ENTRY_OCTETS_MAX, Entries, Entry},
};

/// Largest file read, in octets.
pub const FILE_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// Most records read of one file: a million, and what stands around them.
pub const RECORDS_MAX: usize = 1_100_000;

/// Most wrong lines told at once.
pub const ERRORS_MAX: usize = 20;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// The records, each once, with the line it was found on.
    pub entries: Vec<(usize, entry::Entry)>,
    /// How many records there were, duplicates included; SOA, the apex's NS and what signing made are not counted.
    pub parsed: usize,
}

/// Why a file is refused: nothing of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LineError {
    /// The line; the first is 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is too large.
    #[error("the file has {0} octets; {FILE_OCTETS_MAX} are the most: import it in parts")]
    FileTooLarge(usize),
    /// Not text.
    #[error("there are octets that are not UTF-8: save the file as UTF-8")]
    NotText,
    /// One entry is too long.
    #[error("the entry that begins here is longer than {ENTRY_OCTETS_MAX} octets; is a parenthesis not closed?")]
    EntryTooLong,
    /// Quotes.
    #[error("a quotation mark is not closed on its line: add the other one, or write \\\" where one belongs to the text")]
    Quotes,
    /// Parentheses.
    #[error("a parenthesis {0}")]
    Parentheses(&'static str),
    /// Too many records.
    #[error("more than {RECORDS_MAX} records: import the file in parts")]
    TooManyRecords,
    /// A directive that is not followed.
    #[error("{0:?} is not a directive that is read here: only $ORIGIN and $TTL are; write the records out")]
    Directive(String),
    /// A directive without its value, or with more.
    #[error("{0} takes one value, {1}")]
    DirectiveValue(&'static str, &'static str),
    /// White space where an owner must be.
    #[error("the first record has no owner name before it: begin the line with a name, or with @ for the zone itself")]
    NoOwner,
    /// An owner name outside.
    #[error("{name} is not in the zone {apex}: end the name with it, or leave out the final dot")]
    OutOfZone {
        /// The name.
        name: Name,
        /// The zone.
        apex: Name,
    },
    /// Another class.
    #[error("class {0:?} is not kept: only IN is")]
    Class(String),
    /// No type.
    #[error("there is no record type: write name, ttl, class, type and data, such as `www 300 IN A 192.0.2.1`")]
    NoType,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A record that is none.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl From<RdataError> for Problem {
    fn from(error: RdataError) -> Self {
        Self::Entry(error.into())
    }
}

impl LineError {
    /// The v4 API's code; 1004 is its general one for data.
    pub fn code(&self) -> i64 {
        match &self.problem {
            Problem::Name(_) | Problem::OutOfZone { .. } => 9000,
            Problem::Entry(error) => error.code(),
            _ => 1004,
        }
    }
}

/// Reads a file of the zone at `place`. `proxied` makes A, AAAA and CNAME records proxied where their comment says nothing and the
/// edge can stand before them. Any wrong line refuses the whole; the first [`ERRORS_MAX`] are told.
pub fn import(file: &[u8], place: &Place<'_>, proxied: bool) -> Result<Import, Vec<LineError>> {
    let (mut import, mut seen) = (Import::default(), HashSet::new());
    import.parsed = each(file, place, proxied, |line, record| {
        if seen.insert((record.name.clone(), record.rdata.rtype(), record.rdata.canonical())) {
            import.entries.push((line, record));
        }
    })?;
    Ok(import)
}

/// The same, one record after another with the line it was found on, and those that stand there twice twice: for files whose records are
/// too many to be held as they are. Says how many there were. What `take` was given is nothing where the file is refused after all.
pub fn each(
    file: &[u8],
    place: &Place<'_>,
    proxied: bool,
    mut take: impl FnMut(usize, entry::Entry),
) -> Result<usize, Vec<LineError>> {
    let refuse = |line, problem| Err(vec![LineError { line, problem }]);
    if file.len() > FILE_OCTETS_MAX {
        return refuse(1, Problem::FileTooLarge(file.len()));
    }
    let text = match std::str::from_utf8(file) {
        Ok(text) => text,
        Err(error) => {
            let line = 1 + file[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            return refuse(line, Problem::NotText);
        }
    };
    let mut reader = Reader { place, proxied, origin: Some(place.apex.clone()), ttl: None, last_ttl: None, owner: None };
    let (mut parsed, mut errors) = (0, Vec::new());
    for read in Entries::new(text) {
        let read = read
            .and_then(|entry| reader.read(&entry).map(|record| (entry.line, record)).map_err(|problem| (entry.line, problem)));
        match read {
            Ok((_, None)) => {}
            Ok((line, Some(record))) => {
                parsed += 1;
                if parsed > RECORDS_MAX {
                    return refuse(line, Problem::TooManyRecords);
                }
                take(line, record);
            }
            Err((line, problem)) => {
                errors.push(LineError { line, problem });
                if errors.len() == ERRORS_MAX {
                    break;
                }
            }
        }
    }
    if errors.is_empty() { Ok(parsed) } else { Err(errors) }
}

struct Reader<'a> {
    place: &'a Place<'a>,
    proxied: bool,
    /// What names without a final dot are relative to; none for the root.
    origin: Option<Name>,
    /// `$TTL` (RFC 2308 §4).
    ttl: Option<u32>,
    /// The last one written (RFC 1035 §5.1).
    last_ttl: Option<u32>,
    owner: Option<Name>,
}

impl Reader<'_> {
    /// A record; none for directives and for what is not imported.
    fn read(&mut self, entry: &Entry<'_>) -> Result<Option<entry::Entry>, Problem> {
        let mut words = entry.words.iter().copied().peekable();
        if !entry.continues && entry.words[0].starts_with('$') {
            return self.directive(&entry.words).map(|()| None);
        }
        let owner = if entry.continues {
            self.owner.clone().ok_or(Problem::NoOwner)?
        } else {
            let name = self.name(words.next().unwrap_or_default())?;
            self.owner = Some(name.clone());
            name
        };
        let (mut ttl, mut class) = (None, false);
        while let Some(word) = words.peek() {
            if ttl.is_none()
                && let Some(secs) = seconds(word)
            {
                ttl = Some(secs);
            } else if !class && is_class(word) {
                class = true;
                if !word.eq_ignore_ascii_case("IN") {
                    return Err(Problem::Class((*word).to_owned()));
                }
            } else {
                break;
            }
            words.next();
        }
        self.last_ttl = ttl.or(self.last_ttl);
        let mnemonic = words.next().ok_or(Problem::NoType)?;
        if is_made_by_servers(mnemonic) || (mnemonic.eq_ignore_ascii_case("NS") && owner == *self.place.apex) {
            return Ok(None);
        }
        let rtype = Rtype::parse(mnemonic)?;
        let text = match rtype {
            // Words without quotes are strings of their own here; in the API they would be one text.
            Rtype::Txt => quoted_strings(words.collect::<Vec<_>>().as_slice())?,
            _ => words.collect::<Vec<_>>().join(" "),
        };
        let hosts = Hosts { origin: self.origin.as_ref(), to_ascii: self.place.to_ascii };
        let rdata = Rdata::parse(rtype, &text, None, hosts)?;
        if !owner.is_within(self.place.apex) {
            return Err(Problem::OutOfZone { name: owner, apex: self.place.apex.clone() });
        }
        self.record(owner, ttl, rdata, Attributes::read(entry.comment)).map(Some)
    }

    fn record(&self, name: Name, ttl: Option<u32>, rdata: Rdata, read: Attributes) -> Result<entry::Entry, Problem> {
        let ttl_secs = match ttl.or(self.ttl).or(self.last_ttl) {
            None | Some(TTL_AUTOMATIC) => TTL_AUTOMATIC,
            // What other servers were told may be out of our bounds; it is no reason to refuse a file.
            Some(secs) => secs.clamp(TTL_SECS_MIN, TTL_SECS_MAX),
        };
        let Attributes { proxied, settings, tags, comment } = read;
        let mut record = entry::Entry { name, rdata, ttl_secs, proxied: false, settings, comment, tags };
        record.proxied = proxied.unwrap_or_else(|| self.proxied && self.place.is_proxiable(&record));
        Ok(record.checked(self.place)?)
    }

    fn directive(&mut self, words: &[&str]) -> Result<(), Problem> {
        match words {
            [directive, value] if directive.eq_ignore_ascii_case("$ORIGIN") => {
                self.origin = if *value == "." { None } else { Some(self.name(value)?) };
                Ok(())
            }
            [directive, value] if directive.eq_ignore_ascii_case("$TTL") => {
                let wrong = Problem::DirectiveValue("$TTL", "a number of seconds, such as 3600 or 1h");
                self.ttl = Some(seconds(value).ok_or(wrong)?);
                Ok(())
            }
            [directive, ..] if directive.eq_ignore_ascii_case("$ORIGIN") => {
                Err(Problem::DirectiveValue("$ORIGIN", "a name with a final dot"))
            }
            [directive, ..] if directive.eq_ignore_ascii_case("$TTL") => {
                Err(Problem::DirectiveValue("$TTL", "a number of seconds, such as 3600 or 1h"))
            }
            words => Err(Problem::Directive(words[0].chars().take(80).collect())),
        }
    }

    /// An owner name, or an origin.
    fn name(&self, text: &str) -> Result<Name, NameError> {
        if text == "@" {
            return self.origin.clone().ok_or_else(|| NameError::new(text, "the origin is the root, which is no zone here"));
        }
        let ascii = if text.is_ascii() { text.to_owned() } else { (self.place.to_ascii)(text)? };
        match &self.origin {
            Some(origin) if !text.ends_with('.') => Name::parse(&format!("{ascii}.{origin}")),
            _ => Name::parse(&ascii),
        }
    }
}

/// Seconds, or numbers with units as BIND writes them: `1h30m`.
fn seconds(word: &str) -> Option<u32> {
    if word.is_empty() || !word.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    let (mut total, mut number) = (0u32, String::new());
    for c in word.chars() {
        let unit = match c.to_ascii_lowercase() {
            digit if digit.is_ascii_digit() => {
                number.push(digit);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u32>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if number.is_empty() { Some(total) } else { total.checked_add(number.parse().ok()?) }
}

fn is_class(word: &str) -> bool {
    ["IN", "CH", "HS", "CS", "ANY", "NONE"].iter().any(|class| class.eq_ignore_ascii_case(word))
}

/// What a server makes by itself: its own is made for the zone here.
fn is_made_by_servers(mnemonic: &str) -> bool {
    ["SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM"].iter().any(|made| made.eq_ignore_ascii_case(mnemonic))
}
