//! A visitor's streams of one direction (RFC 9114 §6.2): its control stream, what it says of tables that we do not keep, and what nobody
//! knows. Each lasts as long as the connection, or is told to end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::{Bytes, BytesMut};

use super::{
    code::Code,
    frames::{ControlFrames, Fault, number},
};

/// The types of streams (RFC 9114 §6.2, RFC 9204 §4.2).
pub(super) const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
/// So many are known; the last is the decoder's.
const KNOWN: usize = 4;

/// Bytes read at a time.
const READ_BYTES: usize = 4 * 1024;
/// "Set Dynamic Table Capacity" to nought (RFC 9204 §4.3.1): the one thing to say of a table that may hold nothing.
const NO_CAPACITY: u8 = 0x20;

/// What all of them share: which there are, and what was said.
#[derive(Debug)]
pub(super) struct Sides {
    taken: [AtomicBool; KNOWN],
    /// Frames on the control stream.
    pub(super) frames: AtomicU64,
    /// The largest field section that the visitor takes; as long as it did not say, any.
    pub(super) section_bytes_max: AtomicU64,
}

impl Default for Sides {
    fn default() -> Self {
        Self { taken: Default::default(), frames: AtomicU64::new(0), section_bytes_max: AtomicU64::new(u64::MAX) }
    }
}

/// Reads one to its end.
///
/// # Errors
/// What ends the connection.
pub(super) async fn read(sides: &Sides, mut recv: quinn::RecvStream) -> Result<(), Fault> {
    let Some((kind, mut bytes)) = begin(&mut recv).await else { return Ok(()) };
    let known = usize::try_from(kind).ok().and_then(|kind| sides.taken.get(kind));
    let Some(taken) = known else {
        // RFC 9114 §6.2: unknown ones are not read, and are no error.
        let _ = recv.stop(Code::STREAM_CREATION_ERROR.quic());
        return Ok(());
    };
    if kind == PUSH || taken.swap(true, Relaxed) {
        return Err(Fault::new(Code::STREAM_CREATION_ERROR, "a stream that visitors may not open, or not twice"));
    }
    let mut control = ControlFrames::default();
    loop {
        match kind {
            CONTROL => {
                sides.frames.store(control.read(&mut bytes)?, Relaxed);
                if let Some(most) = control.section_bytes_max() {
                    sides.section_bytes_max.store(most, Relaxed);
                }
            }
            ENCODER if bytes.iter().any(|byte| *byte != NO_CAPACITY) => {
                return Err(Fault::new(Code::ENCODER_STREAM_ERROR, "a table was to be filled that may hold nothing"));
            }
            // What is acknowledged we never did, and on what is cancelled nothing hangs.
            _ => {}
        }
        bytes = match recv.read_chunk(READ_BYTES, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            // The connection's own end is told elsewhere.
            Err(quinn::ReadError::ConnectionLost(_)) => return Ok(()),
            Ok(None) | Err(_) => return Err(Fault::new(Code::CLOSED_CRITICAL_STREAM, "a stream ended that must not")),
        };
    }
}

/// The type, and what came with it; none where the stream ended before that.
async fn begin(recv: &mut quinn::RecvStream) -> Option<(u64, Bytes)> {
    let mut begun = BytesMut::new();
    loop {
        let chunk = recv.read_chunk(READ_BYTES, true).await.ok()??.bytes;
        begun.extend_from_slice(&chunk);
        let mut bytes = Bytes::copy_from_slice(&begun);
        if let Some(kind) = number(&mut bytes) {
            return Some((kind, bytes));
        }
    }
}
