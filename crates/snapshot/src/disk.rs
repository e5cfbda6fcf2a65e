//! The snapshot on disk: a base file, and logs of the changes after it.
//!
//! ```text
//! base            magic, frame{generation}, frame{key, body}…, frame{count}      written aside, synced, renamed
//! changes.G       magic, frame{change G+1}, frame{change G+2}…                    appended and synced, one frame a change
//! certificates.N  what either names of certificates ([`crate::shelf`])
//! frame           length u32 LE, crc32 u32 LE, bytes
//! ```
//!
//! A log's number is the generation it follows. Compaction opens `changes.G`, writes a base of generation G beside the old one
//! while changes go to the new log, renames it, and only then removes the older logs: stopped anywhere, what is left loads to
//! the same state, because changes the base already holds are passed over.
//!
//! The last frame of a log may be torn by a crash. It was never acknowledged: it is cut off.

mod base;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use std::collections::HashMap;

use bytes::Bytes;
use poterne_feed::{Change, Key};
use poterne_model::CertificatePackId;

use crate::{
    Applied, CertificateChunk, CertificateEntry, ChunkError, ChunkKey, KeepError, Snapshot,
    certificate::Issuers,
    shelf::{self, Shelf},
    snapshot::Keep,
};

const BASE_MAGIC: &[u8; 8] = b"PTRNBAS1";
const LOG_MAGIC: &[u8; 8] = b"PTRNLOG1";
const BASE: &str = "base";
const LOG_PREFIX: &str = "changes.";

/// How a key begins that is none of [`ChunkKey`]: what issuers of certificates have in common, before the certificates that need it.
const ISSUERS_KEY: u8 = 0xff;

/// A log shorter than this is not worth compacting, in bytes.
const COMPACT_BYTES_MIN: u64 = 1024 * 1024;

/// Why the disk could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The base is damaged; logs are of no use without it.
    #[error("{path} is damaged ({why}): move it away, and control will publish everything anew")]
    Base {
        /// The file.
        path: PathBuf,
        /// How.
        why: String,
    },
}

/// The files of one node, open for appending.
pub(crate) struct Disk {
    dir: PathBuf,
    log: File,
    log_path: PathBuf,
    shelf: Shelf,
    /// Bytes in all logs since the base; an estimate once a compaction is under way.
    log_bytes: u64,
    base_bytes: u64,
    /// After a failed append the log's end is unknown until it has been cut back to here.
    good_bytes: u64,
}

impl Disk {
    /// Loads what is in `dir` (made if absent, mode 0700 on its way) and opens the log for more.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Snapshot), DiskError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let mut shelf = Shelf::open(dir)?;
        let base_path = dir.join(BASE);
        let (mut snapshot, base_bytes) = match File::open(&base_path) {
            Ok(file) => base::read(file, &mut shelf).map_err(|unread| match unread {
                base::Unread::Io(error) => DiskError::Io { path: base_path, error },
                base::Unread::Damaged(why) => DiskError::Base { path: base_path, why },
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Snapshot::default(), 0),
            Err(error) => return Err(DiskError::Io { path: base_path, error }),
        };
        let mut log_bytes = 0;
        let mut last = None;
        for (start, path) in logs(dir)? {
            let bytes = fs::read(&path).map_err(at(&path))?;
            let good = replay(&bytes, &mut snapshot, &mut shelf, &path);
            log_bytes += good;
            last = Some((path, good, start));
        }
        let (log, log_path, good_bytes) = match last {
            Some((path, good, _)) if good > 0 => (reopen(&path, good)?, path, good),
            _ => {
                let path = log_path(dir, snapshot.generation());
                (create_log(&path)?, path, LOG_MAGIC.len() as u64)
            }
        };
        shelf.sync()?;
        shelf.opened(&snapshot)?;
        Ok((Self { dir: dir.to_owned(), log, log_path, shelf, log_bytes, base_bytes, good_bytes }, snapshot))
    }

    /// Appends a change, of which this comes, and waits until the disk has it; its certificates were laid down before.
    pub(crate) fn append(&mut self, change: &Change, next: &Snapshot) -> Result<(), DiskError> {
        self.shelf.sync()?;
        let mut frames = Vec::new();
        write_frame(&mut frames, &encode_change(&kept(change, next)));
        let written = self.log.write_all(&frames).and_then(|()| self.log.sync_data());
        if let Err(error) = written {
            // Disk full, most often. What was half written must not stand before the next change.
            let cut = self.log.set_len(self.good_bytes).and_then(|()| self.log.seek(SeekFrom::Start(self.good_bytes)));
            if let Err(error) = cut {
                tracing::error!(path = %self.log_path.display(), %error, "the snapshot's log could not be cut back");
            }
            return Err(DiskError::Io { path: self.log_path.clone(), error });
        }
        self.good_bytes += frames.len() as u64;
        self.log_bytes += frames.len() as u64;
        Ok(())
    }

    /// Whether the logs have outgrown the base.
    pub(crate) fn wants_compaction(&self) -> bool {
        self.log_bytes > self.base_bytes.max(COMPACT_BYTES_MIN) || self.shelf.wants_compaction()
    }

    /// Lays down anew what is of use in files of which most is not ([`Shelf::tidied`]).
    pub(crate) fn tidied(&mut self, snapshot: &Snapshot) -> Result<Vec<CertificateEntry>, DiskError> {
        self.shelf.tidied(snapshot)
    }

    /// Turns to a new log that follows `snapshot`, and returns what writes the base; run it anywhere, then tell
    /// [`Disk::compacted`].
    pub(crate) fn begin_compaction(&mut self, snapshot: &Snapshot) -> Result<Compaction, DiskError> {
        let path = log_path(&self.dir, snapshot.generation());
        if path != self.log_path {
            self.log = create_log(&path)?;
            self.log_path = path;
            self.good_bytes = LOG_MAGIC.len() as u64;
        }
        self.log_bytes = 0;
        Ok(Compaction { dir: self.dir.clone(), snapshot: snapshot.clone(), floor: self.shelf.floor() })
    }

    /// Remembers the size of the new base, and which files it needs.
    pub(crate) fn compacted(&mut self, compacted: Compacted) {
        let Compacted { base_bytes, floor, used } = compacted;
        self.base_bytes = base_bytes;
        self.shelf.forget(floor, &used);
    }
}

impl Keep for Disk {
    type Error = KeepError;

    fn put(&mut self, chunk: &CertificateChunk) -> Result<CertificateEntry, KeepError> {
        Ok(self.shelf.put(chunk)?)
    }

    /// The feed brings certificates whole.
    fn find(&mut self, _: CertificatePackId, stub: &[u8]) -> Result<Option<CertificateEntry>, ChunkError> {
        Err(ChunkError::Version { found: stub.first().copied().unwrap_or_default() })
    }
}

/// What the files say, as they are read.
impl Keep for Shelf {
    type Error = KeepError;

    fn put(&mut self, chunk: &CertificateChunk) -> Result<CertificateEntry, KeepError> {
        Ok(Self::put(self, chunk)?)
    }

    fn find(&mut self, id: CertificatePackId, stub: &[u8]) -> Result<Option<CertificateEntry>, ChunkError> {
        Self::find(self, id, stub).map_err(|error| ChunkError::Malformed(error.to_string()))
    }
}

/// A base to be written.
pub(crate) struct Compaction {
    dir: PathBuf,
    snapshot: Snapshot,
    /// Files of certificates from here on may be needed by changes that came after.
    floor: u32,
}

/// A base that was written.
pub(crate) struct Compacted {
    base_bytes: u64,
    floor: u32,
    used: HashMap<u32, u64>,
}

impl Compaction {
    /// Writes the base and removes the logs that it replaces, and what of the shelf nothing needs any more.
    pub(crate) fn run(self) -> Result<Compacted, DiskError> {
        let aside = self.dir.join("base.new");
        let mut file = File::create(&aside).map_err(at(&aside))?;
        let base_bytes = write_base(&mut io::BufWriter::new(&mut file), &self.snapshot).map_err(at(&aside))?;
        file.sync_all().map_err(at(&aside))?;
        fs::rename(&aside, self.dir.join(BASE)).map_err(at(&aside))?;
        sync_dir(&self.dir)?;
        for (start, path) in logs(&self.dir)? {
            if start < self.snapshot.generation() {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        let (floor, used) = (self.floor, shelf::used(&self.snapshot));
        shelf::remove(&self.dir, |number| number < floor && !used.contains_key(&number))?;
        Ok(Compacted { base_bytes, floor, used })
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    move |error| DiskError::Io { path, error }
}

fn log_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{LOG_PREFIX}{generation:020}"))
}

/// The logs in the order of their changes.
fn logs(dir: &Path) -> Result<Vec<(u64, PathBuf)>, DiskError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let start = entry.file_name().to_str().and_then(|name| name.strip_prefix(LOG_PREFIX)?.parse().ok());
        found.extend(start.map(|start| (start, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn create_log(path: &Path) -> Result<File, DiskError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(LOG_MAGIC).and_then(|()| file.sync_all()).map_err(at(path))?;
    if let Some(dir) = path.parent() {
        sync_dir(dir)?;
    }
    Ok(file)
}

fn reopen(path: &Path, good: u64) -> Result<File, DiskError> {
    let mut file = OpenOptions::new().write(true).open(path).map_err(at(path))?;
    file.set_len(good).and_then(|()| file.seek(SeekFrom::End(0))).and_then(|_| file.sync_all()).map_err(at(path))?;
    Ok(file)
}

/// A rename or a new file is durable only once its directory is.
fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

fn write_base(to: &mut impl Write, snapshot: &Snapshot) -> io::Result<u64> {
    let mut bytes = BASE_MAGIC.len() as u64;
    to.write_all(BASE_MAGIC)?;
    let mut put = |payload: &[u8]| {
        let mut frame = Vec::with_capacity(payload.len() + 8);
        write_frame(&mut frame, payload);
        bytes += frame.len() as u64;
        to.write_all(&frame)
    };
    put(&snapshot.generation().to_le_bytes())?;
    let mut count = 0u64;
    for (key, body) in snapshot.kept_chunks() {
        put(&encode(&(&*key, &*body)))?;
        count += 1;
    }
    put(&count.to_le_bytes())?;
    to.flush()?;
    Ok(bytes)
}

/// How issuers are named among chunks.
pub(crate) fn issuers_key(issuers: &Issuers) -> Key {
    [&[ISSUERS_KEY][..], &issuers.digest].concat().into_boxed_slice()
}

/// A change as the log holds it: of certificates where they lie, after what their issuers have in common.
fn kept(change: &Change, next: &Snapshot) -> Change {
    let certificate = |key: &[u8]| {
        let key = key.starts_with(&ChunkKey::OF_CERTIFICATES).then(|| ChunkKey::decode(key).ok()).flatten()?;
        if let ChunkKey::Certificate(id) = key { Some(id) } else { None }
    };
    let ids = change.chunks.iter().filter_map(|(key, body)| body.as_ref().and_then(|_| certificate(key)));
    let mut kept: Vec<_> =
        next.issuers_of(ids).into_iter().map(|issuers| (issuers_key(issuers), Some(issuers.encode()))).collect();
    kept.extend(change.chunks.iter().map(|(key, body)| {
        // What a change says of a key last is in force.
        let entry = body.as_ref().and_then(|_| next.certificate_of(certificate(key)?));
        (key.clone(), entry.map(|entry| shelf::stub(entry)).or_else(|| body.clone()))
    }));
    Change { generation: change.generation, chunks: kept }
}

/// Applies what the log holds, and returns how many of its bytes are good (0: not even its magic).
fn replay(bytes: &[u8], snapshot: &mut Snapshot, shelf: &mut Shelf, path: &Path) -> u64 {
    let Some(mut rest) = bytes.strip_prefix(LOG_MAGIC) else { return 0 };
    let mut bad = rest.len();
    while let Some(frame) = read_frame(&mut rest) {
        let applied = decode_change(frame, shelf)
            .and_then(|change| snapshot.apply_keeping(&change, shelf).map_err(|error| error.to_string()));
        match applied {
            Ok((Applied::Applied, next)) => *snapshot = next,
            Ok((Applied::AlreadyThere | Applied::Newer, _)) => {}
            Err(why) => {
                tracing::error!(path = %path.display(), %why, "a change in the snapshot's log is refused; serving what is before it");
                break;
            }
        }
        bad = rest.len();
    }
    if bad > 0 {
        tracing::warn!(path = %path.display(), bytes = bad, "the end of the snapshot's log is torn and left out");
    }
    (bytes.len() - bad) as u64
}

fn write_frame(to: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a change is bounded far below 4 GiB by its chunks");
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    to.extend_from_slice(payload);
}

/// The next whole frame, taken off the front; none at the end or at the first byte that is not what it should be.
fn read_frame<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (crc, after) = after.split_first_chunk::<4>()?;
    let (payload, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*crc)).then(|| *rest = after)?;
    Some(payload)
}

fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data always serializes into memory")
}

fn encode_change(change: &Change) -> Vec<u8> {
    let chunks: Vec<(&[u8], Option<&[u8]>)> = change.chunks.iter().map(|(key, body)| (&**key, body.as_deref())).collect();
    encode(&(change.generation, chunks))
}

/// A log with one change, as earlier versions wrote it: certificates whole.
#[cfg(test)]
pub(crate) fn log_of_before(change: &Change) -> Vec<u8> {
    let mut log = LOG_MAGIC.to_vec();
    write_frame(&mut log, &encode_change(change));
    log
}

fn decode_change(bytes: &[u8], shelf: &mut Shelf) -> Result<Change, String> {
    type Chunks<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;
    let (generation, chunks): (u64, Chunks<'_>) = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
    let (issuers, chunks): (Chunks<'_>, Chunks<'_>) = chunks.into_iter().partition(|(key, _)| key.first() == Some(&ISSUERS_KEY));
    issuers.into_iter().filter_map(|(_, body)| body).for_each(|body| shelf.learn(body));
    let chunks = chunks.into_iter().map(|(key, body)| (Key::from(key), body.map(Bytes::copy_from_slice))).collect();
    Ok(Change { generation, chunks })
}
