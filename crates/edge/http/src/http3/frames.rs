//! A visitor's streams cut into frames (RFC 9114 §7). Pure.
//!
//! Nothing is kept but what a head may hold: a frame that nobody knows is passed over as it comes, however long it says it is, and data
//! is handed on as it was read.

use bytes::{Buf as _, Bytes, BytesMut};

use super::code::Code;

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const PUSH_PROMISE: u64 = 0x5;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// RFC 9218 §7.2, of requests and of pushes.
const PRIORITY_UPDATE: [u64; 2] = [0xf_0700, 0xf_0701];
/// Those of HTTP/2 that have no meaning here, and may not be sent (RFC 9114 §11.2.1).
const OF_HTTP2: [u64; 4] = [0x2, 0x6, 0x8, 0x9];

/// The largest field section that is taken (RFC 9114 §7.2.4.1).
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;

/// Longest SETTINGS that are read, in bytes; visitors send a tenth of it.
const SETTINGS_BYTES_MAX: u64 = 1024;
/// Type and length of a frame, eight octets each at most (RFC 9000 §16).
const HEADER_BYTES_MAX: usize = 16;

/// What a visitor broke. The connection ends with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Fault {
    /// As the visitor is told.
    pub code: Code,
    /// As the log is.
    pub reason: &'static str,
}

impl Fault {
    pub(super) const fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

const UNEXPECTED: Fault = Fault::new(Code::FRAME_UNEXPECTED, "a frame came where it may not");
const CUT: Fault = Fault::new(Code::FRAME_ERROR, "a stream ended inside a frame");

/// Reads a number of one to eight octets (RFC 9000 §16); none where it is not whole, and nothing was taken.
pub(super) fn number(from: &mut Bytes) -> Option<u64> {
    let class = from.first()? >> 6;
    let octets = from.get(..1 << class)?;
    let value = octets.iter().fold(0u64, |value, octet| (value << 8) | u64::from(*octet));
    from.advance(1 << class);
    Some(value & (u64::MAX >> (66 - (8u32 << class))))
}

/// Writes one.
pub(super) fn put_number(to: &mut BytesMut, value: u64) {
    let (mark, octets) = match value {
        0..0x40 => (0, 1),
        0x40..0x4000 => (1, 2),
        0x4000..0x4000_0000 => (2, 4),
        _ => (3, 8),
    };
    let mut written = value.to_be_bytes();
    written[8 - octets] |= mark << 6;
    to.extend_from_slice(&written[8 - octets..]);
}

/// Tells where frames begin and end.
#[derive(Debug, Default)]
struct Cutter {
    header: [u8; HEADER_BYTES_MAX],
    filled: usize,
    /// Of the frame under way.
    left: u64,
}

/// What comes next of a stream.
enum Cut {
    Frame { kind: u64, length: u64 },
    Payload(Bytes),
}

impl Cutter {
    /// None: more bytes are needed.
    fn next(&mut self, bytes: &mut Bytes) -> Option<Cut> {
        if self.left > 0 {
            if bytes.is_empty() {
                return None;
            }
            let taken = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= taken as u64;
            return Some(Cut::Payload(bytes.split_to(taken)));
        }
        // Nearly always the header is whole.
        if self.filled == 0 {
            let mut looked = bytes.clone();
            if let (Some(kind), Some(length)) = (number(&mut looked), number(&mut looked)) {
                *bytes = looked;
                self.left = length;
                return Some(Cut::Frame { kind, length });
            }
        }
        while !bytes.is_empty() && self.filled < HEADER_BYTES_MAX {
            self.header[self.filled] = bytes.get_u8();
            self.filled += 1;
            let mut looked = Bytes::copy_from_slice(&self.header[..self.filled]);
            if let (Some(kind), Some(length)) = (number(&mut looked), number(&mut looked)) {
                (self.filled, self.left) = (0, length);
                return Some(Cut::Frame { kind, length });
            }
        }
        None
    }

    fn is_between(&self) -> bool {
        self.filled == 0 && self.left == 0
    }
}

/// A frame's payload that is gathered.
#[derive(Debug, Default)]
struct Gathered {
    bytes: BytesMut,
    left: u64,
}

impl Gathered {
    fn begin(length: u64) -> Self {
        Self { bytes: BytesMut::new(), left: length }
    }

    /// The whole, once it is there.
    fn add(&mut self, payload: Bytes) -> Option<Bytes> {
        self.left -= payload.len() as u64;
        if self.left == 0 && self.bytes.is_empty() {
            return Some(payload);
        }
        self.bytes.extend_from_slice(&payload);
        (self.left == 0).then(|| self.bytes.split().freeze())
    }
}

/// What of a request was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Head,
    Trailers,
}

/// A piece of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The field section of the head, or of the trailers where the head was there.
    Section(Bytes),
    /// Some of the body.
    Data(Bytes),
}

/// Why a request is not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The connection ends.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The request ends: its head or its trailers say that they are larger than was allowed.
    #[error("the fields are too large")]
    TooLarge,
}

/// The frames of a request stream.
#[derive(Debug)]
pub struct RequestFrames {
    cutter: Cutter,
    now: Now,
    seen: Seen,
    section_bytes_max: u64,
}

/// The frame under way.
#[derive(Debug)]
enum Now {
    Section(Gathered),
    Data,
    Passed,
}

impl RequestFrames {
    /// A request whose field sections may have so many bytes, as they are coded.
    pub fn new(section_bytes_max: usize) -> Self {
        let section_bytes_max = u64::try_from(section_bytes_max).unwrap_or(u64::MAX);
        Self { cutter: Cutter::default(), now: Now::Passed, seen: Seen::Nothing, section_bytes_max }
    }

    /// The next piece; none where more bytes are needed, and all of these were taken.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing comes after one.
    pub fn next_piece(&mut self, bytes: &mut Bytes) -> Result<Option<Piece>, RequestError> {
        while let Some(cut) = self.cutter.next(bytes) {
            match cut {
                Cut::Frame { kind, length } => {
                    self.now = self.begin(kind, length)?;
                    if length == 0 && matches!(self.now, Now::Section(_)) {
                        return Ok(Some(Piece::Section(Bytes::new())));
                    }
                }
                Cut::Payload(payload) => match &mut self.now {
                    Now::Data => return Ok(Some(Piece::Data(payload))),
                    Now::Passed => {}
                    Now::Section(gathered) => {
                        if let Some(section) = gathered.add(payload) {
                            return Ok(Some(Piece::Section(section)));
                        }
                    }
                },
            }
        }
        Ok(None)
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<Now, RequestError> {
        match (kind, self.seen) {
            (HEADERS, Seen::Nothing | Seen::Head) => {
                if length > self.section_bytes_max {
                    return Err(RequestError::TooLarge);
                }
                self.seen = if self.seen == Seen::Nothing { Seen::Head } else { Seen::Trailers };
                Ok(Now::Section(Gathered::begin(length)))
            }
            (DATA, Seen::Head) => Ok(Now::Data),
            // RFC 9114 §4.1, §7.2.3 to §7.2.8.
            (DATA | HEADERS | CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID, _) => Err(UNEXPECTED.into()),
            (kind, _) if OF_HTTP2.contains(&kind) || PRIORITY_UPDATE.contains(&kind) => Err(UNEXPECTED.into()),
            _ => Ok(Now::Passed),
        }
    }

    /// Whether something of a head came.
    pub fn has_begun(&self) -> bool {
        self.seen != Seen::Nothing || !self.cutter.is_between()
    }

    /// The stream is over.
    ///
    /// # Errors
    /// It ended inside a frame.
    pub fn end(&self) -> Result<(), Fault> {
        if self.cutter.is_between() { Ok(()) } else { Err(CUT) }
    }
}

/// The frames of a visitor's control stream (RFC 9114 §6.2.1): what they ask for is nothing to us, so they are checked and passed over.
#[derive(Debug, Default)]
pub struct ControlFrames {
    cutter: Cutter,
    settings: Option<Gathered>,
    has_settings: bool,
    section_bytes_max: Option<u64>,
    frames: u64,
}

impl ControlFrames {
    /// Reads on; tells how many frames there were by now.
    ///
    /// # Errors
    /// What may not be on a control stream, or may not be there first.
    pub fn read(&mut self, bytes: &mut Bytes) -> Result<u64, Fault> {
        while let Some(cut) = self.cutter.next(bytes) {
            match cut {
                Cut::Frame { kind, length } => {
                    self.frames += 1;
                    self.begin(kind, length)?;
                }
                Cut::Payload(payload) => {
                    if let Some(settings) = self.settings.as_mut().and_then(|settings| settings.add(payload)) {
                        self.settings = None;
                        self.section_bytes_max = read_settings(settings)?;
                    }
                }
            }
        }
        Ok(self.frames)
    }

    /// The largest field section that the visitor takes, once it has said so (RFC 9114 §4.2.2).
    pub const fn section_bytes_max(&self) -> Option<u64> {
        self.section_bytes_max
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<(), Fault> {
        match kind {
            SETTINGS if self.has_settings => return Err(UNEXPECTED),
            SETTINGS if length > SETTINGS_BYTES_MAX => {
                return Err(Fault::new(Code::EXCESSIVE_LOAD, "the SETTINGS are too long"));
            }
            SETTINGS => {
                self.has_settings = true;
                self.settings = (length > 0).then(|| Gathered::begin(length));
            }
            _ if !self.has_settings => {
                return Err(Fault::new(Code::MISSING_SETTINGS, "the control stream does not begin with SETTINGS"));
            }
            DATA | HEADERS | PUSH_PROMISE => return Err(UNEXPECTED),
            kind if OF_HTTP2.contains(&kind) => return Err(UNEXPECTED),
            // One number each.
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID if !matches!(length, 1 | 2 | 4 | 8) => {
                return Err(Fault::new(Code::FRAME_ERROR, "a frame of one number has another length"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// RFC 9114 §7.2.4: each once, and none of HTTP/2's. The one that we obey, if it is there.
fn read_settings(mut payload: Bytes) -> Result<Option<u64>, Fault> {
    let (mut seen, mut section_bytes_max) = (Vec::new(), None);
    while !payload.is_empty() {
        let (Some(id), Some(value)) = (number(&mut payload), number(&mut payload)) else {
            return Err(Fault::new(Code::FRAME_ERROR, "the SETTINGS end inside a number"));
        };
        if matches!(id, 0x2..=0x5) || seen.contains(&id) {
            return Err(Fault::new(Code::SETTINGS_ERROR, "a setting came twice, or is of HTTP/2"));
        }
        seen.push(id);
        if id == MAX_FIELD_SECTION_SIZE {
            section_bytes_max = Some(value);
        }
    }
    Ok(section_bytes_max)
}

/// The header of a frame of data.
pub(super) fn data_header(length: usize) -> Bytes {
    header(DATA, length)
}

/// A frame of fields, ready to be sent; `write` writes the section.
pub(super) fn section_frame(write: impl FnOnce(&mut BytesMut)) -> [Bytes; 2] {
    let mut section = BytesMut::new();
    write(&mut section);
    [header(HEADERS, section.len()), section.freeze()]
}

fn header(kind: u64, length: usize) -> Bytes {
    let mut header = BytesMut::with_capacity(9);
    put_number(&mut header, kind);
    put_number(&mut header, length as u64);
    header.freeze()
}

/// How a control stream of ours begins: its type, and what we take.
pub(super) fn control_stream(section_bytes_max: usize) -> Bytes {
    const ENABLE_CONNECT_PROTOCOL: u64 = 0x8;
    let mut settings = BytesMut::new();
    for (id, value) in [(MAX_FIELD_SECTION_SIZE, section_bytes_max as u64), (ENABLE_CONNECT_PROTOCOL, 1)] {
        put_number(&mut settings, id);
        put_number(&mut settings, value);
    }
    let mut stream = BytesMut::new();
    put_number(&mut stream, super::side::CONTROL);
    put_number(&mut stream, SETTINGS);
    put_number(&mut stream, settings.len() as u64);
    stream.extend_from_slice(&settings);
    stream.freeze()
}

/// That requests from this stream on are not taken (RFC 9114 §5.2).
pub(super) fn goodbye(stream: u64) -> Bytes {
    let mut id = BytesMut::new();
    put_number(&mut id, stream);
    let mut frame = BytesMut::from(&header(GOAWAY, id.len())[..]);
    frame.extend_from_slice(&id);
    frame.freeze()
}

#[cfg(test)]
mod tests;
