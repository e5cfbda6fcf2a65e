//! What a zone file brings, handed to whoever publishes while the database still writes it.
//!
//! To read a million records back takes nearly as long as writing them does. So they are handed over beside the writing; that they were
//! kept is told afterwards, and until then they are nobody's.

use std::{fmt, sync::Arc};

use poterne_control_store::RecordBrief;
use poterne_model::{Name, RecordType, ZoneId};
use tokio::sync::oneshot;

use super::lines::Lines;
use crate::{App, AppError};

/// Who is told of files that are being taken in. Called where verbs run: it must not wait.
pub(crate) type ToldOfFiles = Box<dyn Fn(Brought) + Send + Sync>;

/// What a file adds to a zone, at names that had no records before.
#[derive(Debug)]
pub struct Brought {
    /// The zone.
    pub zone: ZoneId,
    /// Its name.
    pub apex: Name,
    /// Whether the zone proxies as they are written.
    pub proxies: bool,
    /// The number of the change that they will be part of.
    pub change: u64,
    /// The last change before it with which very many names of the zone changed, as far as the store remembers one.
    pub before: Option<u64>,
    /// The records.
    pub records: BroughtRecords,
    /// Told once all of it is durable; closed where it was not kept, or nobody can tell.
    pub kept: oneshot::Receiver<()>,
}

/// The records of a file that a zone gets.
pub struct BroughtRecords {
    pub(super) zone: ZoneId,
    pub(super) lines: Arc<Lines>,
    /// Those that are kept, by path.
    pub(super) accepted: Arc<[u32]>,
    /// A line of each name that had records before, by path: those names are left out.
    pub(super) standing: Vec<u32>,
}

impl BroughtRecords {
    /// The records, name by name in the order of their paths, each with its path, at each by type, content and priority, as
    /// the store tells them.
    ///
    /// # Errors
    /// A name does not parse, which it did when the file was read; or what `name` says.
    pub fn each<E: From<AppError>>(&self, mut name: impl FnMut(&str, &[RecordBrief]) -> Result<(), E>) -> Result<(), E> {
        let lines = &self.lines;
        let mut standing = self.standing.iter().map(|at| lines.path(*at)).peekable();
        let mut records = Vec::new();
        for group in self.accepted.chunk_by(|one, other| lines.path(*one) == lines.path(*other)) {
            let path = lines.path(group[0]);
            while standing.next_if(|before| *before < path).is_some() {}
            if standing.peek() == Some(&path) {
                continue;
            }
            let owner = lines.name(group[0])?;
            records.clear();
            records.extend(group.iter().map(|at| self.brief(*at, owner.clone())));
            let key = |record: &RecordBrief| record.priority.map_or(-1, i32::from);
            records.sort_by(|one, other| {
                let texts = (one.kind.as_str(), &one.content).cmp(&(other.kind.as_str(), &other.content));
                texts.then_with(|| key(one).cmp(&key(other)))
            });
            name(path, &records)?;
        }
        Ok(())
    }

    fn brief(&self, at: u32, name: Name) -> RecordBrief {
        let line = self.lines.told(at);
        RecordBrief {
            zone: self.zone,
            name,
            kind: RecordType::from(self.lines.kind(at).into_owned()),
            content: line.content.to_owned(),
            priority: line.priority,
            ttl_secs: line.ttl_secs,
            proxied: line.proxied,
            settings: line.settings.to_owned(),
        }
    }
}

impl fmt::Debug for BroughtRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroughtRecords").field("records", &self.accepted.len()).finish_non_exhaustive()
    }
}

impl App {
    /// From now on `told` is handed what large zone files bring, as they are written. The first who asks for it gets it.
    pub fn hand_files_to(&self, told: impl Fn(Brought) + Send + Sync + 'static) {
        let _ = self.0.files.set(Box::new(told));
    }
}
