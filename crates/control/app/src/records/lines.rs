//! A zone file's records, side by side in one buffer.
//!
//! A million records as objects of the model would take half a gigabyte; here a record takes its texts and 32 octets. What is decided one
//! by one is decided while the file is read; an object is made again only where a record meets others at its name. There, too, they are
//! put in the order of their names, which is that of all that follows.

use std::borrow::Cow;

use poterne_control_store::{Micros, NewRecord};
use poterne_control_zonefile::each;
use poterne_model::{Entry, Name, RecordId, Rtype, conflict, entry::Settings, name};

use super::kept::{Places, rdata, settings, settings_json};
use crate::AppError;

/// A list of no tags, JSON.
const NO_TAGS: &str = "[]";

/// The records of a file, in its order.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Of each record its owner's path, its content, its settings, tags and comment.
    text: String,
    lines: Vec<Line>,
    /// Their places, by path, and at each in the order of the file.
    order: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    /// In the file, from 1.
    number: u32,
    /// Where its texts begin.
    at: u32,
    /// How long they are, in their order.
    content: u32,
    path: u8,
    /// None: `{}`.
    settings: u8,
    /// None: `[]`.
    tags: u16,
    comment: u16,
    ttl_secs: u32,
    rtype: Rtype,
    priority: Option<u16>,
    proxied: bool,
    /// Whether it can be kept at a name that has no others.
    stands_alone: bool,
}

/// What resolvers and edges are told of a line.
pub(super) struct Told<'l> {
    pub(super) content: &'l str,
    pub(super) settings: &'l str,
    pub(super) priority: Option<u16>,
    pub(super) ttl_secs: u32,
    pub(super) proxied: bool,
}

/// The texts of a line.
struct Texts<'l> {
    path: &'l str,
    content: &'l str,
    settings: &'l str,
    tags: &'l str,
    comment: Option<&'l str>,
}

impl Lines {
    /// Of a file, and how many records it holds.
    pub(super) fn read(
        file: &[u8],
        places: &Places,
        proxied: bool,
        zone: &conflict::Zone<'_>,
    ) -> Result<(Self, usize), AppError> {
        let (mut lines, mut read) = (Self::default(), Ok(0));
        places.place(|place| {
            read = each(file, place, proxied, |number, entry| lines.push(number, &entry, zone));
            Ok(())
        })?;
        let told = |errors: Vec<poterne_control_zonefile::LineError>| {
            AppError::ZoneFile(errors.into_iter().map(|error| (error.code(), error.to_string())).collect())
        };
        let parsed = read.map_err(told)?;
        lines.order = lines.ordered(name::path(zone.apex.as_str()).len());
        Ok((lines, parsed))
    }

    /// The lines' places by path, and at each in the order of the file, of paths that begin with the same so many octets. Most are told apart
    /// by the octets after those, which stand side by side here; the others are looked up.
    fn ordered(&self, same: usize) -> Vec<u32> {
        let mut order: Vec<(u64, u32, u32)> = (0..bounded(self.lines.len()))
            .map(|at| {
                let mut octets = [0; 12];
                let path = self.path(at).as_bytes().get(same..).unwrap_or_default();
                let few = path.len().min(octets.len());
                octets[..few].copy_from_slice(&path[..few]);
                let [a, b, c, d, e, f, g, h, i, j, k, l] = octets;
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes([i, j, k, l]), at)
            })
            .collect();
        order.sort_unstable_by(|one, other| {
            let octets = (one.0, one.1).cmp(&(other.0, other.1));
            octets.then_with(|| self.path(one.2).cmp(self.path(other.2))).then(one.2.cmp(&other.2))
        });
        order.into_iter().map(|(.., at)| at).collect()
    }

    /// The lines by path, and at each in the order of the file.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    fn push(&mut self, number: usize, entry: &Entry, zone: &conflict::Zone<'_>) {
        let at = self.text.len();
        let mut put = |text: &str| {
            self.text.push_str(text);
            text.len()
        };
        let path = put(&name::path(entry.name.as_str()));
        let content = put(&entry.rdata.content());
        let settings = if entry.settings == Settings::default() { 0 } else { put(&settings_json(entry.settings)) };
        let tags = if entry.tags.is_empty() { 0 } else { put(&serde_json::Value::from(entry.tags.clone()).to_string()) };
        let comment = entry.comment.as_deref().map_or(0, put);
        self.lines.push(Line {
            number: bounded(number),
            at: bounded(at),
            content: bounded(content),
            path: bounded(path),
            settings: bounded(settings),
            tags: bounded(tags),
            comment: bounded(comment),
            ttl_secs: entry.ttl_secs,
            rtype: entry.rdata.rtype(),
            priority: entry.rdata.priority(),
            proxied: entry.proxied,
            stands_alone: conflict::check([], entry, zone).is_ok(),
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Which line of the file that is.
    pub(super) fn number(&self, at: u32) -> u32 {
        self.line(at).number
    }

    /// The path of its owner, which is asked for more often than all else.
    pub(super) fn path(&self, at: u32) -> &str {
        let line = self.line(at);
        &self.text[line.at as usize..][..usize::from(line.path)]
    }

    pub(super) fn name(&self, at: u32) -> Result<Name, AppError> {
        Ok(Name::parse(&name::of_path(self.path(at)))?)
    }

    pub(super) fn rtype(&self, at: u32) -> Rtype {
        self.line(at).rtype
    }

    pub(super) fn stands_alone(&self, at: u32) -> bool {
        self.line(at).stands_alone
    }

    /// The record as an object again.
    pub(super) fn entry(&self, at: u32) -> Result<Entry, AppError> {
        let (line, texts) = (self.line(at), self.texts(at));
        let tags = serde_json::from_str(texts.tags).expect("it was written as a list of texts");
        Ok(Entry {
            name: self.name(at)?,
            rdata: rdata(&self.kind(at), texts.content, line.priority)?,
            ttl_secs: line.ttl_secs,
            proxied: line.proxied,
            settings: settings(texts.settings)?,
            comment: texts.comment.map(str::to_owned),
            tags,
        })
    }

    /// The text of its type.
    pub(super) fn kind(&self, at: u32) -> Cow<'static, str> {
        let rtype = self.line(at).rtype;
        rtype.mnemonic().map_or_else(|| rtype.to_string().into(), Cow::Borrowed)
    }

    /// What resolvers and edges are told of it.
    pub(super) fn told(&self, at: u32) -> Told<'_> {
        let (Line { priority, ttl_secs, proxied, .. }, texts) = (*self.line(at), self.texts(at));
        Told { content: texts.content, settings: texts.settings, priority, ttl_secs, proxied }
    }

    /// The record as it is written at that time; `kind` is [`Lines::kind`].
    pub(super) fn record<'l>(&'l self, at: u32, id: RecordId, kind: &'l str, now: Micros) -> NewRecord<'l> {
        let (line, texts) = (self.line(at), self.texts(at));
        NewRecord {
            id,
            path: texts.path,
            kind,
            content: texts.content,
            priority: line.priority,
            ttl_secs: line.ttl_secs,
            proxied: line.proxied,
            settings: texts.settings,
            comment: texts.comment,
            tags: texts.tags,
            created_at: now,
            modified_at: now,
            comment_modified_at: texts.comment.map(|_| now),
            tags_modified_at: (texts.tags != NO_TAGS).then_some(now),
        }
    }

    fn line(&self, at: u32) -> &Line {
        &self.lines[at as usize]
    }

    fn texts(&self, at: u32) -> Texts<'_> {
        let line = self.line(at);
        let rest = &self.text[line.at as usize..];
        let (path, rest) = rest.split_at(usize::from(line.path));
        let (content, rest) = rest.split_at(line.content as usize);
        let (settings, rest) = rest.split_at(usize::from(line.settings));
        let (tags, rest) = rest.split_at(usize::from(line.tags));
        let comment = &rest[..usize::from(line.comment)];
        Texts {
            path,
            content,
            settings: if settings.is_empty() { "{}" } else { settings },
            tags: if tags.is_empty() { NO_TAGS } else { tags },
            comment: (!comment.is_empty()).then_some(comment),
        }
    }
}

/// What the bounds of files and of records keep small enough: 64 MiB, 253 characters of a name, 20 tags, 500 characters of a comment.
fn bounded<T: TryFrom<usize>>(length: usize) -> T {
    T::try_from(length).ok().expect("a file's and a record's own bounds keep it small")
}
