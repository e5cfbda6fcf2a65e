//! Where chains and wrapped keys lie until somebody asks for them: files beside the base and the logs, and what says where in them.
//!
//! ```text
//! certificates.N   magic, bodies one right after another     appended and synced before the change that needs them
//! stub             names, order, digest, N, offset, length, issuers     what the base and the logs hold of a certificate
//! ```
//!
//! A body is never changed where it lies: a certificate that is renewed gets another, and the room of the one before is won back when most of its
//! file is of no use any more ([`Shelf::tidied`]). What a log or the base does not name is nobody's: what a crash left behind is removed at
//! the next start. Whoever holds an entry holds its file open, so that it can be read though the file has no name any more.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use poterne_model::{CertificatePackId, Name};
use serde::{Deserialize, Serialize};

use crate::{
    CertificateChunk, Snapshot,
    certificate::{Body, CertificateEntry, Digest, Issuers},
    chunk::{CERTIFICATE_STUB_VERSION, CHUNK_BYTES_MAX},
    disk::DiskError,
};

const MAGIC: &[u8; 8] = b"PTRNCRT1";
const PREFIX: &str = "certificates.";

/// A file that is as long gets no more, in bytes; one more body may lie beyond.
const SEGMENT_BYTES: u64 = if cfg!(test) { 256 * 1024 } else { 64 * 1024 * 1024 };

/// Files that are tidied at a time: changes wait meanwhile.
const TIDIED_MAX: usize = 2;

/// Different issuers that are kept in memory; beyond it their certificates lie with each of theirs. A real one takes some 2 KiB.
const ISSUERS_MAX: usize = 1000;

/// Where a body lies.
#[derive(Clone)]
pub(crate) struct Place {
    segment: Arc<Segment>,
    offset: u32,
    length: u32,
}

struct Segment {
    number: u32,
    held: Held,
}

enum Held {
    Nowhere,
    Memory(Vec<u8>),
    File(File),
}

impl Place {
    /// Nothing can be read there.
    pub(crate) fn nowhere() -> Self {
        static NOWHERE: std::sync::LazyLock<Arc<Segment>> =
            std::sync::LazyLock::new(|| Arc::new(Segment { number: 0, held: Held::Nowhere }));
        Self { segment: Arc::clone(&NOWHERE), offset: 0, length: 0 }
    }

    pub(crate) fn memory(body: Vec<u8>) -> Self {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self { segment: Arc::new(Segment { number: 0, held: Held::Memory(body) }), offset: 0, length }
    }

    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match &self.segment.held {
            Held::Nowhere => Err(io::ErrorKind::NotFound.into()),
            Held::Memory(body) => Ok(body.clone()),
            Held::File(file) => {
                let mut body = vec![0; self.length as usize];
                file.read_exact_at(&mut body, u64::from(self.offset))?;
                Ok(body)
            }
        }
    }

    fn number(&self) -> Option<u32> {
        matches!(self.segment.held, Held::File(_)).then_some(self.segment.number)
    }
}

/// What the base and the logs hold of a certificate.
#[derive(Serialize, Deserialize)]
struct Stub<'a> {
    names: &'a str,
    order: u64,
    digest: Digest,
    segment: u32,
    offset: u32,
    length: u32,
    issuers: Option<Digest>,
}

/// A certificate without what lies on the shelf.
pub(crate) fn stub(entry: &CertificateEntry) -> Bytes {
    let Place { segment, offset, length } = &entry.place;
    let stub = Stub {
        names: &entry.names,
        order: entry.order,
        digest: entry.digest,
        segment: segment.number,
        offset: *offset,
        length: *length,
        issuers: entry.issuers.as_ref().map(|issuers| issuers.digest),
    };
    let bytes = postcard::to_extend(&stub, vec![CERTIFICATE_STUB_VERSION]);
    bytes.expect("plain data always serializes into memory").into()
}

/// The files of one node.
pub(crate) struct Shelf {
    dir: PathBuf,
    /// Those that something lies in, or did, by number, with how long they are.
    segments: HashMap<u32, (Arc<Segment>, u64)>,
    /// The one that is appended to.
    current: Option<u32>,
    /// Whether something was appended that the disk may not have.
    is_dirty: bool,
    /// Bytes appended since the last compaction.
    appended: u64,
    /// Whether the base or the logs hold certificates whole, as an earlier version wrote them.
    is_due: bool,
    issuers: HashMap<Digest, Weak<Issuers>>,
    /// Issuers that the base and the logs name, while they are read.
    learned: Vec<Arc<Issuers>>,
}

impl Shelf {
    /// Opens what is in a directory; nothing is read yet.
    pub(crate) fn open(dir: &Path) -> Result<Self, DiskError> {
        let mut segments = HashMap::new();
        for (number, path) in files(dir)? {
            // A disk that takes nothing any more is read all the same.
            let file = File::options().read(true).write(true).open(&path).or_else(|_| File::open(&path)).map_err(at(&path))?;
            let length = file.metadata().map_err(at(&path))?.len();
            segments.insert(number, (Arc::new(Segment { number, held: Held::File(file) }), length));
        }
        Ok(Self {
            dir: dir.to_owned(),
            segments,
            current: None,
            is_dirty: false,
            appended: 0,
            is_due: false,
            issuers: HashMap::new(),
            learned: Vec::new(),
        })
    }

    /// Lays a certificate down; the disk may not have it before [`Shelf::sync`].
    pub(crate) fn put(&mut self, chunk: &CertificateChunk) -> Result<CertificateEntry, DiskError> {
        let issuers = Issuers::of(&chunk.chain).and_then(|issuers| self.shared(issuers));
        let place = self.append(&Body::of(chunk, issuers.is_some()).encode())?;
        Ok(CertificateEntry::at(chunk, place, issuers))
    }

    /// The same issuers as others have, or these from now on; none where there are too many.
    fn shared(&mut self, issuers: Issuers) -> Option<Arc<Issuers>> {
        if let Some(known) = self.issuers.get(&issuers.digest).and_then(Weak::upgrade) {
            return Some(known);
        }
        if self.issuers.len() >= ISSUERS_MAX {
            self.issuers.retain(|_, issuers| issuers.strong_count() > 0);
        }
        (self.issuers.len() < ISSUERS_MAX).then(|| {
            let issuers = Arc::new(issuers);
            self.issuers.insert(issuers.digest, Arc::downgrade(&issuers));
            issuers
        })
    }

    /// Takes in issuers that the base or a log names; until [`Shelf::opened`] they are kept though no certificate has them yet.
    pub(crate) fn learn(&mut self, bytes: &[u8]) {
        match Issuers::decode(bytes) {
            Some(issuers) => {
                if self.issuers.get(&issuers.digest).is_none_or(|known| known.strong_count() == 0) {
                    let issuers = Arc::new(issuers);
                    self.issuers.insert(issuers.digest, Arc::downgrade(&issuers));
                    self.learned.push(issuers);
                }
            }
            None => tracing::error!("issuers of certificates in the snapshot on disk do not parse; what needs them is left out"),
        }
    }

    /// What a stub says; none where what it needs is not there, which is told: control finds that it lacks, and sends it again.
    pub(crate) fn find(&self, id: CertificatePackId, bytes: &[u8]) -> Result<Option<CertificateEntry>, postcard::Error> {
        let Stub { names, order, digest, segment, offset, length, issuers } =
            postcard::from_bytes(bytes.get(1..).unwrap_or_default())?;
        let end = u64::from(offset) + u64::from(length);
        let segment = self.segments.get(&segment).filter(|(_, bytes)| end <= *bytes && length as usize <= CHUNK_BYTES_MAX);
        let issuers = issuers.map(|digest| self.issuers.get(&digest).and_then(Weak::upgrade));
        let are_names = names.split(' ').all(|name| name.is_empty() || Name::parse(name).is_ok());
        let (Some((segment, _)), Some(issuers), true) = (segment, issuers.map_or(Some(None), |found| found.map(Some)), are_names)
        else {
            tracing::error!(pack = %id, "a certificate of the snapshot is not on disk; left out until control sends it again");
            return Ok(None);
        };
        let place = Place { segment: Arc::clone(segment), offset, length };
        Ok(Some(CertificateEntry { id, digest, order, place, issuers, names: names.into() }))
    }

    /// All that the base and the logs say was read: forgets, and removes, what nothing of it needs, and goes on where the last file ends.
    pub(crate) fn opened(&mut self, snapshot: &Snapshot) -> Result<(), DiskError> {
        self.learned = Vec::new();
        self.is_due = self.appended > 0;
        let used = used(snapshot);
        self.segments.retain(|number, _| used.contains_key(number));
        self.current = self.segments.keys().max().copied();
        remove(&self.dir, |number| !used.contains_key(&number))
    }

    /// Waits until the disk has all that was laid down.
    pub(crate) fn sync(&mut self) -> Result<(), DiskError> {
        let current = self.current.and_then(|number| self.segments.get(&number));
        if let (true, Some((segment, _))) = (self.is_dirty, current)
            && let Held::File(file) = &segment.held
        {
            file.sync_data().map_err(at(&path_of(&self.dir, segment.number)))?;
        }
        self.is_dirty = false;
        Ok(())
    }

    /// Whether so much was laid down since the last compaction that what was replaced may take as much room as what is of use.
    pub(crate) fn wants_compaction(&self) -> bool {
        self.is_due || self.appended > SEGMENT_BYTES
    }

    /// Lays down anew what is of use in files of which most is not, so that the next compaction removes them; returns what lies elsewhere
    /// now. What cannot be read stays where it is.
    pub(crate) fn tidied(&mut self, snapshot: &Snapshot) -> Result<Vec<CertificateEntry>, DiskError> {
        (self.appended, self.is_due) = (0, false);
        let used = used(snapshot);
        let mut sparse: Vec<(u64, u32)> = self
            .segments
            .iter()
            .filter(|(number, _)| self.current != Some(**number))
            .filter_map(|(number, (_, bytes))| Some((*used.get(number)?, *number, *bytes)))
            .filter(|(used, _, bytes)| used * 2 < *bytes)
            .map(|(used, number, _)| (used, number))
            .collect();
        sparse.sort_unstable();
        sparse.truncate(TIDIED_MAX);
        let is_sparse = |entry: &CertificateEntry| sparse.iter().any(|(_, number)| Some(*number) == entry.place.number());
        let mut moved = Vec::new();
        for entry in snapshot.certificates().filter(|entry| is_sparse(entry)) {
            let Ok(body) = entry.place.read() else { continue };
            let CertificateEntry { id, digest, order, .. } = **entry;
            let (place, issuers, names) = (self.append(&body)?, entry.issuers.clone(), entry.names.clone());
            moved.push(CertificateEntry { id, digest, order, place, issuers, names });
        }
        self.sync()?;
        Ok(moved)
    }

    /// The number that no file of before has: what a compaction may remove is below it.
    pub(crate) fn floor(&self) -> u32 {
        self.current.unwrap_or_else(|| self.next_number())
    }

    /// Lets go of files below that number that a snapshot, which the base on disk is of, does not need.
    pub(crate) fn forget(&mut self, floor: u32, used: &HashMap<u32, u64>) {
        self.segments.retain(|number, _| *number >= floor || used.contains_key(number));
    }

    fn append(&mut self, body: &[u8]) -> Result<Place, DiskError> {
        let wrong = |dir: &Path, number| at(&path_of(dir, number));
        let number = self.current()?;
        let (segment, end) = self.segments.get_mut(&number).expect("it was opened just now");
        let Held::File(file) = &segment.held else { unreachable!("segments of a shelf are files") };
        let offset = *end;
        if let Err(error) = file.write_all_at(body, offset) {
            // Its end is unknown: what comes next goes into another file.
            self.current = None;
            return Err(wrong(&self.dir, number)(error));
        }
        *end += body.len() as u64;
        self.is_dirty = true;
        self.appended += body.len() as u64;
        let narrow = |value: u64| u32::try_from(value).expect("a segment is far shorter than 4 GiB");
        Ok(Place { segment: Arc::clone(segment), offset: narrow(offset), length: narrow(body.len() as u64) })
    }

    /// The file to append to: the last one, unless it is long enough, or somebody removed it (a program that was to take this one's place).
    fn current(&mut self) -> Result<u32, DiskError> {
        if let Some(number) = self.current
            && let Some((segment, bytes)) = self.segments.get(&number)
            && *bytes < SEGMENT_BYTES
            && let Held::File(file) = &segment.held
            && file.metadata().is_ok_and(|file| file.nlink() > 0)
        {
            return Ok(number);
        }
        self.sync()?;
        let mut number = self.next_number();
        let (file, path) = loop {
            let path = path_of(&self.dir, number);
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => break (file, path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(at(&path)(error)),
            }
        };
        (&file).write_all(MAGIC).map_err(at(&path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at(&self.dir))?;
        self.segments.insert(number, (Arc::new(Segment { number, held: Held::File(file) }), MAGIC.len() as u64));
        self.current = Some(number);
        Ok(number)
    }

    fn next_number(&self) -> u32 {
        self.segments.keys().max().map_or(1, |last| last + 1)
    }
}

/// Which files a snapshot needs, and how many bytes of each.
pub(crate) fn used(snapshot: &Snapshot) -> HashMap<u32, u64> {
    let mut used = HashMap::new();
    for entry in snapshot.certificates() {
        if let Some(number) = entry.place.number() {
            *used.entry(number).or_default() += u64::from(entry.place.length);
        }
    }
    used
}

/// Removes files by their number.
pub(crate) fn remove(dir: &Path, is_removed: impl Fn(u32) -> bool) -> Result<(), DiskError> {
    for (_, path) in files(dir)?.into_iter().filter(|(number, _)| is_removed(*number)) {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}

fn path_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{PREFIX}{number:010}"))
}

fn files(dir: &Path) -> Result<Vec<(u32, PathBuf)>, DiskError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    move |error| DiskError::Io { path, error }
}
