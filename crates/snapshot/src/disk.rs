//! The snapshot on disk: a base file, and logs of the changes after it.
//!
//! ```text
//! base            magic, frame{generation}, frame{key, body}…, frame{count}      written aside, synced, renamed
//! changes.G       magic, frame{change G+1}, frame{change G+2}…                    appended and synced, one frame a change
//! frame           length u32 LE, crc32 u32 LE, bytes
//! ```
//!
//! A log's number is the generation it follows. Compaction opens `changes.G`, writes a base of generation G beside the old one
//! while changes go to the new log, renames it, and only then removes the older logs: stopped anywhere, what is left loads to
//! the same state, because changes the base already holds are passed over.
//!
//! The last frame of a log may be torn by a crash. It was never acknowledged: it is cut off.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use poterne_feed::{Change, Key};

use crate::{Applied, Snapshot};

const BASE_MAGIC: &[u8; 8] = b"PTRNBAS1";
const LOG_MAGIC: &[u8; 8] = b"PTRNLOG1";
const BASE: &str = "base";
const LOG_PREFIX: &str = "changes.";

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
        let base_path = dir.join(BASE);
        let (mut snapshot, base_bytes) = match fs::read(&base_path) {
            Ok(bytes) => {
                let snapshot = read_base(&bytes).map_err(|why| DiskError::Base { path: base_path, why })?;
                (snapshot, bytes.len() as u64)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Snapshot::default(), 0),
            Err(error) => return Err(DiskError::Io { path: base_path, error }),
        };
        let mut log_bytes = 0;
        let mut last = None;
        for (start, path) in logs(dir)? {
            let bytes = fs::read(&path).map_err(at(&path))?;
            let good = replay(&bytes, &mut snapshot, &path);
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
        Ok((Self { dir: dir.to_owned(), log, log_path, log_bytes, base_bytes, good_bytes }, snapshot))
    }

    /// Appends a change and waits until the disk has it.
    pub(crate) fn append(&mut self, change: &Change) -> Result<(), DiskError> {
        let mut frames = Vec::new();
        write_frame(&mut frames, &encode_change(change));
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
        self.log_bytes > self.base_bytes.max(COMPACT_BYTES_MIN)
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
        Ok(Compaction { dir: self.dir.clone(), snapshot: snapshot.clone() })
    }

    /// Remembers the size of the new base.
    pub(crate) fn compacted(&mut self, base_bytes: u64) {
        self.base_bytes = base_bytes;
    }
}

/// A base to be written.
pub(crate) struct Compaction {
    dir: PathBuf,
    snapshot: Snapshot,
}

impl Compaction {
    /// Writes the base and removes the logs it replaces; returns its size in bytes.
    pub(crate) fn run(self) -> Result<u64, DiskError> {
        let aside = self.dir.join("base.new");
        let mut file = File::create(&aside).map_err(at(&aside))?;
        let bytes = write_base(&mut io::BufWriter::new(&mut file), &self.snapshot).map_err(at(&aside))?;
        file.sync_all().map_err(at(&aside))?;
        fs::rename(&aside, self.dir.join(BASE)).map_err(at(&aside))?;
        sync_dir(&self.dir)?;
        for (start, path) in logs(&self.dir)? {
            if start < self.snapshot.generation() {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(bytes)
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
    for (key, body) in snapshot.chunks() {
        put(&encode(&(&*key, &*body)))?;
        count += 1;
    }
    put(&count.to_le_bytes())?;
    to.flush()?;
    Ok(bytes)
}

fn read_base(bytes: &[u8]) -> Result<Snapshot, String> {
    let mut rest = bytes.strip_prefix(BASE_MAGIC).ok_or("it is not a base file")?;
    let mut next = || read_frame(&mut rest).ok_or("it ends early or a checksum is wrong");
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).map_err(|_| "a number has not eight bytes");
    let generation = number(next()?)?;
    let mut frames = Vec::new();
    while let Some(frame) = read_frame(&mut rest) {
        frames.push(frame);
    }
    if !rest.is_empty() {
        return Err("a checksum is wrong".into());
    }
    let count = frames.pop().ok_or("its end is missing")?;
    if number(count)? != frames.len() as u64 {
        return Err("it does not hold as many chunks as it says".into());
    }
    let mut chunks = Vec::with_capacity(frames.len());
    for frame in frames {
        let (key, body): (&[u8], &[u8]) = postcard::from_bytes(frame).map_err(|error| error.to_string())?;
        chunks.push((key, Some(body)));
    }
    Snapshot::default().with(generation, chunks.into_iter()).map_err(|error| error.to_string())
}

/// Applies what the log holds, and returns how many of its bytes are good (0: not even its magic).
fn replay(bytes: &[u8], snapshot: &mut Snapshot, path: &Path) -> u64 {
    let Some(mut rest) = bytes.strip_prefix(LOG_MAGIC) else { return 0 };
    let mut bad = rest.len();
    while let Some(frame) = read_frame(&mut rest) {
        let applied = decode_change(frame).and_then(|change| snapshot.apply(&change).map_err(|error| error.to_string()));
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

fn decode_change(bytes: &[u8]) -> Result<Change, String> {
    type Chunks<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;
    let (generation, chunks): (u64, Chunks<'_>) = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
    let chunks = chunks.into_iter().map(|(key, body)| (Key::from(key), body.map(Bytes::copy_from_slice))).collect();
    Ok(Change { generation, chunks })
}
