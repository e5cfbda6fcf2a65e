//! What opens a data stream, and what answers it.
//!
//! ```text
//! edge → agent   0A36CD12A13E "01" ConnectRequest  body … FIN
//! agent → edge   0A36CD12A13E "01" ConnectResponse body … FIN
//! edge ⇄ agent   52BB825CDB65 Cap'n Proto RPC …
//! ```
//!
//! The stock agent reads the version with a single call that may return short: [`encode_request`] therefore gives the whole
//! preamble as one buffer, to be written at once.

use bytes::Bytes;

use crate::wire::{self, Message, WireError};

/// First six bytes of a data stream, in both directions.
pub const DATA_SIGNATURE: [u8; 6] = [0x0A, 0x36, 0xCD, 0x12, 0xA1, 0x3E];

/// First six bytes of an RPC stream, from its opener only.
pub const RPC_SIGNATURE: [u8; 6] = [0x52, 0xBB, 0x82, 0x5C, 0xDB, 0x65];

/// Two digits after the data signature; read and ignored by everybody.
pub const VERSION: [u8; 2] = *b"01";

/// Longest head accepted on a data stream, in bytes: four times the largest visitor head (32 KiB) or origin head (64 KiB), which
/// leaves room for the pointers that each field costs.
pub const PREAMBLE_BYTES_MAX: usize = 256 * 1024;

/// Most metadata entries accepted in one head.
pub const METADATA_MAX: usize = 1024;

/// Bytes before the message itself.
const SIGNED_LEN: usize = DATA_SIGNATURE.len() + VERSION.len();

/// What the stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionType {
    /// One HTTP exchange.
    Http,
    /// A WebSocket: raw RFC 6455 frames after the heads.
    WebSocket,
    /// A TCP flow to `dest`, an `address:port`.
    Tcp,
}

/// The opener's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Absolute URL, or `address:port` for TCP.
    pub dest: String,
    /// What follows.
    pub kind: ConnectionType,
    /// Keys may repeat.
    pub metadata: Vec<(String, String)>,
}

/// The agent's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Empty on success.
    pub error: String,
    /// Keys may repeat.
    pub metadata: Vec<(String, String)>,
}

/// What the bytes so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// More bytes are needed.
    Incomplete,
    /// Done.
    Complete {
        /// What was read.
        value: T,
        /// How many bytes it took; what follows is body.
        consumed: usize,
    },
}

/// What a stream opened by the peer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A data stream: parse from its first byte with [`parse_request`].
    Data,
    /// RPC, from the byte after the signature.
    Rpc,
}

/// Why a stream's opening is refused. Culprit: the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Neither data nor RPC.
    #[error("the stream begins with {0:02x?}, which is no signature")]
    Signature([u8; 6]),
    /// The message is broken.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The type is none of http, websocket, tcp.
    #[error("the stream is of type {0}, which nobody speaks")]
    Type(u16),
}

/// Tells a data stream from an RPC stream. Consumes nothing of a data stream.
pub fn parse_opening(buf: &[u8]) -> Result<Parsed<Opening>, StreamError> {
    let Some(first) = buf.first_chunk::<6>() else { return Ok(Parsed::Incomplete) };
    match *first {
        DATA_SIGNATURE => Ok(Parsed::Complete { value: Opening::Data, consumed: 0 }),
        RPC_SIGNATURE => Ok(Parsed::Complete { value: Opening::Rpc, consumed: RPC_SIGNATURE.len() }),
        other => Err(StreamError::Signature(other)),
    }
}

/// The version behind the signature of a data stream whose head was read.
pub fn version_of(head: &[u8]) -> [u8; 2] {
    head.get(DATA_SIGNATURE.len()..).and_then(|rest| rest.first_chunk().copied()).unwrap_or(VERSION)
}

/// The message behind signature and version, once all of it is there, and where it ends.
pub(crate) fn message(buf: &[u8]) -> Result<Option<(Message<'_>, usize)>, StreamError> {
    let Some(len) = message_len(buf)? else { return Ok(None) };
    Ok(Some((Message::new(&buf[SIGNED_LEN..len])?, len)))
}

/// Where the message behind signature and version ends, once all of it is there.
pub(crate) fn message_len(buf: &[u8]) -> Result<Option<usize>, StreamError> {
    let Some(first) = buf.first_chunk::<6>() else { return Ok(None) };
    if *first != DATA_SIGNATURE {
        return Err(StreamError::Signature(*first));
    }
    let Some(body) = buf.get(SIGNED_LEN..) else { return Ok(None) };
    Ok(wire::framed_len(body, PREAMBLE_BYTES_MAX)?.filter(|len| body.len() >= *len).map(|len| SIGNED_LEN + len))
}

pub(crate) fn kind_of(root: &wire::Struct<'_, '_>) -> Result<ConnectionType, StreamError> {
    match root.u16(0) {
        0 => Ok(ConnectionType::Http),
        1 => Ok(ConnectionType::WebSocket),
        2 => Ok(ConnectionType::Tcp),
        other => Err(StreamError::Type(other)),
    }
}

/// Reads the opener's head; `buf` starts at the signature.
pub fn parse_request(buf: &[u8]) -> Result<Parsed<ConnectRequest>, StreamError> {
    let Some((message, consumed)) = message(buf)? else { return Ok(Parsed::Incomplete) };
    let root = message.root()?;
    let value = ConnectRequest { dest: root.text(0)?.to_owned(), kind: kind_of(&root)?, metadata: metadata(&root)? };
    Ok(Parsed::Complete { value, consumed })
}

/// Reads the agent's head; `buf` starts at the signature.
pub fn parse_response(buf: &[u8]) -> Result<Parsed<ConnectResponse>, StreamError> {
    let Some((message, consumed)) = message(buf)? else { return Ok(Parsed::Incomplete) };
    let root = message.root()?;
    Ok(Parsed::Complete { value: ConnectResponse { error: root.text(0)?.to_owned(), metadata: metadata(&root)? }, consumed })
}

fn metadata(root: &wire::Struct<'_, '_>) -> Result<Vec<(String, String)>, WireError> {
    root.structs(1, METADATA_MAX)?.map(|pair| Ok((pair.text(0)?.to_owned(), pair.text(1)?.to_owned()))).collect()
}

/// The opener's whole preamble, to be written at once.
pub fn encode_request(request: &ConnectRequest) -> Bytes {
    let mut head = Head::request(["", "", &request.dest], request.kind);
    request.metadata.iter().for_each(|(key, value)| head.entry(["", key], value.as_bytes()));
    head.finish()
}

/// The agent's whole preamble, to be written at once.
pub fn encode_response(response: &ConnectResponse) -> Bytes {
    let mut head = Head::response(&response.error);
    response.metadata.iter().for_each(|(key, value)| head.entry(["", key], value.as_bytes()));
    head.finish()
}

/// Writes one head. Entries are noted first, since pointers come before the texts they lead to.
pub(crate) struct Head<'a> {
    kind: Option<ConnectionType>,
    /// The destination or the error, in parts so that a URL need not be put together first.
    text: [&'a str; 3],
    entries: smallvec::SmallVec<[([&'a str; 2], &'a [u8]); 24]>,
    /// That the entries' texts take.
    words: usize,
}

/// An empty text is a null pointer.
const fn words_of(len: usize) -> usize {
    if len == 0 { 0 } else { wire::text_words(len) }
}

impl<'a> Head<'a> {
    pub(crate) fn request(dest: [&'a str; 3], kind: ConnectionType) -> Self {
        Self { kind: Some(kind), text: dest, entries: smallvec::SmallVec::new(), words: 0 }
    }

    pub(crate) fn response(error: &'a str) -> Self {
        Self { kind: None, text: ["", "", error], entries: smallvec::SmallVec::new(), words: 0 }
    }

    /// One entry; the key comes in two parts so that `HttpHeader:` need not be copied before a name.
    pub(crate) fn entry(&mut self, key: [&'a str; 2], value: &'a [u8]) {
        self.words += wire::text_words(key[0].len() + key[1].len()) + words_of(value.len());
        self.entries.push((key, value));
    }

    pub(crate) fn finish(&self) -> Bytes {
        // Order of objects: root, its text, the list's tag, the pairs, then each key and value.
        let text_len = self.text.iter().map(|part| part.len()).sum();
        let (pairs, text_words) = (self.entries.len(), words_of(text_len));
        let words = 1 + usize::from(self.kind.is_some()) + 2 + text_words + 1 + 2 * pairs + self.words;
        let mut bytes = vec![0; SIGNED_LEN + 8 + words * 8];
        let mut out = wire::Writer::new(&mut bytes);
        out.octets(&DATA_SIGNATURE);
        out.octets(&VERSION);
        // One segment, of so many words.
        out.word(u64::from(u32::try_from(words).unwrap_or(u32::MAX)) << 32);
        out.word(wire::struct_pointer(0, u16::from(self.kind.is_some()), 2));
        if let Some(kind) = self.kind {
            out.word(match kind {
                ConnectionType::Http => 0,
                ConnectionType::WebSocket => 1,
                ConnectionType::Tcp => 2,
            });
        }
        out.word(if text_len == 0 { 0 } else { wire::text_pointer(1, text_len) });
        out.word(wire::structs_pointer(text_words, 2 * pairs));
        if text_len > 0 {
            out.text(self.text.map(str::as_bytes));
        }
        out.word(wire::struct_pointer(pairs, 0, 2));
        let mut pointers = out.words(2 * pairs);
        // Words from the pointer after the one to be written to the next text.
        let mut offset = 2 * pairs;
        for (key, value) in &self.entries {
            offset -= 1;
            pointers.word(wire::text_pointer(offset, key[0].len() + key[1].len()));
            offset += out.text(key.map(str::as_bytes)) - 1;
            if value.is_empty() {
                pointers.word(0);
            } else {
                pointers.word(wire::text_pointer(offset, value.len()));
                offset += out.text([value]);
            }
        }
        pointers.finish();
        out.finish();
        Bytes::from(bytes)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
