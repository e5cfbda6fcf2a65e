//! The reading of a base: a chunk at a time, so that a start holds the state and nothing beside it.
//!
//! It is read twice. The first time tells whether it is whole, since nothing is believed of one that is not, and learns what issuers of
//! certificates have in common; the second takes the chunks in, which stand in such an order that each finds what it belongs to.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use super::{BASE_MAGIC, ISSUERS_KEY};
use crate::{Snapshot, shelf::Shelf};

/// How much of the file is asked for at once, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// Why there is no state.
pub(super) enum Unread {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<&str> for Unread {
    fn from(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }
}

/// The state that a base holds, and how long the file is.
pub(super) fn read(mut file: File, shelf: &mut Shelf) -> Result<(Snapshot, u64), Unread> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let mut frames = Frames::of(&file, bytes)?;
    let generation = number(frames.next()?.ok_or("it ends early or a checksum is wrong")?)?;
    let (mut count, mut last) = (0_u64, None);
    while let Some(frame) = frames.next()? {
        last = frame.try_into().map(u64::from_le_bytes).ok();
        if let Ok((key, body)) = pair(frame)
            && key.first() == Some(&ISSUERS_KEY)
        {
            shelf.learn(body);
        }
        count += 1;
    }
    if frames.left > 0 {
        return Err("a checksum is wrong".into());
    }
    let count = count.checked_sub(1).ok_or("its end is missing")?;
    if last != Some(count) {
        return Err("it does not hold as many chunks as it says".into());
    }
    let mut frames = Frames::of(&file, bytes)?;
    frames.next()?;
    let mut snapshot = Snapshot::begun(generation);
    for _ in 0..count {
        let frame = frames.next()?.ok_or("it changed while it was read")?;
        let (key, body) = pair(frame)?;
        if key.first() != Some(&ISSUERS_KEY) {
            snapshot.take(key, Some(body), shelf).map_err(|error| Unread::Damaged(error.to_string()))?;
        }
    }
    Ok((snapshot, bytes))
}

fn number(frame: &[u8]) -> Result<u64, Unread> {
    Ok(u64::from_le_bytes(frame.try_into().map_err(|_| "a number has not eight bytes")?))
}

/// A chunk's key and body.
fn pair(frame: &[u8]) -> Result<(&[u8], &[u8]), Unread> {
    postcard::from_bytes(frame).map_err(|error| Unread::Damaged(error.to_string()))
}

/// A file's frames, one after the other in the same place.
struct Frames<'f> {
    from: BufReader<&'f File>,
    /// Bytes of the file that are not known to be of whole frames.
    left: u64,
    frame: Vec<u8>,
}

impl<'f> Frames<'f> {
    fn of(mut file: &'f File, bytes: u64) -> Result<Self, Unread> {
        file.seek(SeekFrom::Start(0))?;
        let mut from = BufReader::with_capacity(READ_BYTES, file);
        let mut magic = [0; BASE_MAGIC.len()];
        let left = bytes.checked_sub(magic.len() as u64).ok_or("it is not a base file")?;
        from.read_exact(&mut magic)?;
        if magic != *BASE_MAGIC {
            return Err("it is not a base file".into());
        }
        Ok(Self { from, left, frame: Vec::new() })
    }

    /// The next frame; none where there is none that is whole.
    fn next(&mut self) -> Result<Option<&[u8]>, Unread> {
        const HEAD: u64 = 8;
        if self.left < HEAD {
            return Ok(None);
        }
        let mut head = [0; 8];
        self.from.read_exact(&mut head)?;
        let [length, crc] = [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        if u64::from(length) > self.left - HEAD {
            return Ok(None);
        }
        self.frame.resize(length as usize, 0);
        self.from.read_exact(&mut self.frame)?;
        if crc32fast::hash(&self.frame) != crc {
            return Ok(None);
        }
        self.left -= HEAD + u64::from(length);
        Ok(Some(&self.frame))
    }
}
