//! Bodies with trailers over QUIC: our extension `poterne_trailers_1`.
//!
//! A plain body on a data stream ends with the stream and so has no room for trailers, which gRPC cannot live without. Where both
//! ends agreed, a body is a sequence of frames instead:
//!
//! ```text
//! frame    = length (4 bytes, big-endian, not 0)  that many bytes of body
//! trailers = length 0  block length (4 bytes, at most 16 KiB)  block  FIN
//! ```
//!
//! The block has the HTTP/2 transport's serialised form ([`crate::h2::serialize_headers`]), empty when there are no trailers. A
//! stream that ends before the trailers part was cut off.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;

use crate::{h2, metadata::MetadataError};

/// Longest trailer block, in bytes.
pub const TRAILERS_BYTES_MAX: usize = 16 * 1024;

/// Why a framed body is refused. Culprit: the peer, or for [`end`] the origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramedError {
    /// The trailer block is too long.
    #[error("a trailer block of {0} bytes is longer than {TRAILERS_BYTES_MAX}")]
    TooLong(usize),
    /// The trailer block does not parse.
    #[error("the trailers are malformed: {0}")]
    Trailers(#[from] MetadataError),
    /// Bytes follow the end.
    #[error("bytes follow the trailers")]
    AfterEnd,
    /// The stream ended before the body did.
    #[error("the body was cut off")]
    CutOff,
}

/// Written before each piece of `len` data bytes; `len` is not 0 (send nothing for an empty piece).
pub fn data_header(len: u32) -> [u8; 4] {
    debug_assert!(len > 0, "an empty frame would end the body");
    len.to_be_bytes()
}

/// Written once after the last piece, then FIN.
pub fn end(trailers: Option<&HeaderMap>) -> Result<Bytes, FramedError> {
    let block = trailers.map(h2::serialize_headers);
    let block = block.as_ref().map_or(&[][..], |block| block.as_bytes());
    if block.len() > TRAILERS_BYTES_MAX {
        return Err(FramedError::TooLong(block.len()));
    }
    let mut out = BytesMut::with_capacity(8 + block.len());
    out.put_u32(0);
    out.put_u32(u32::try_from(block.len()).expect("at most 16 KiB"));
    out.put_slice(block);
    Ok(out.freeze())
}

/// A piece of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Data.
    Data(Bytes),
    /// The end, with trailers if there were any.
    End(Option<HeaderMap>),
}

/// Takes a stream's chunks and gives the body's pieces. Holds at most 4 bytes of a length, or one trailer block.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    partial: BytesMut,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Length,
    Data(usize),
    BlockLength,
    Block(usize),
    Ended,
}

impl Decoder {
    /// At the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes from the front of `input`; `None`: all of it was taken and more is wanted. Data comes out as it comes in, never gathered.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Piece>, FramedError> {
        loop {
            match self.state {
                State::Data(_) if input.is_empty() => return Ok(None),
                State::Data(left) => {
                    let data = input.split_to(left.min(input.len()));
                    self.state = if data.len() == left { State::Length } else { State::Data(left - data.len()) };
                    return Ok(Some(Piece::Data(data)));
                }
                State::Length => match self.number(input) {
                    None => return Ok(None),
                    Some(0) => self.state = State::BlockLength,
                    Some(len) => self.state = State::Data(len),
                },
                State::BlockLength => match self.number(input) {
                    None => return Ok(None),
                    Some(len) if len > TRAILERS_BYTES_MAX => return Err(FramedError::TooLong(len)),
                    Some(len) => self.state = State::Block(len),
                },
                State::Block(len) => {
                    let part = input.split_to((len - self.partial.len()).min(input.len()));
                    self.partial.extend_from_slice(&part);
                    if self.partial.len() < len {
                        return Ok(None);
                    }
                    self.state = State::Ended;
                    let trailers = h2::parse_headers(&self.partial.split())?;
                    return Ok(Some(Piece::End((!trailers.is_empty()).then_some(trailers))));
                }
                State::Ended if input.is_empty() => return Ok(None),
                State::Ended => return Err(FramedError::AfterEnd),
            }
        }
    }

    /// At FIN: an error unless [`Piece::End`] was seen.
    pub fn finish(&self) -> Result<(), FramedError> {
        if self.state == State::Ended { Ok(()) } else { Err(FramedError::CutOff) }
    }

    fn number(&mut self, input: &mut Bytes) -> Option<usize> {
        if self.partial.is_empty() && input.len() >= 4 {
            return Some(input.get_u32() as usize);
        }
        let part = input.split_to((4 - self.partial.len()).min(input.len()));
        self.partial.extend_from_slice(&part);
        (self.partial.len() == 4).then(|| self.partial.split().get_u32() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_body_survives_any_cutting(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8), size in 1usize..20) {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend(data_header(u32::try_from(piece.len()).unwrap()));
                wire.extend(piece);
            }
            wire.extend(end(Some(&trailers)).unwrap());
            let (mut decoder, mut data, mut got) = (Decoder::new(), Vec::new(), None);
            for chunk in wire.chunks(size) {
                prop_assert_eq!(decoder.finish(), Err(FramedError::CutOff));
                let mut chunk = Bytes::copy_from_slice(chunk);
                while let Some(piece) = decoder.decode(&mut chunk).unwrap() {
                    match piece {
                        Piece::Data(bytes) => data.extend(bytes),
                        Piece::End(trailers) => got = Some(trailers),
                    }
                }
            }
            prop_assert_eq!(data, pieces.concat());
            prop_assert_eq!(got, Some(Some(trailers)));
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut input = Bytes::from(bytes);
            let mut decoder = Decoder::new();
            while let Ok(Some(_)) = decoder.decode(&mut input) {}
        }
    }

    #[test]
    fn a_long_trailer_block_is_refused_by_its_length() {
        let mut input = Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(Decoder::new().decode(&mut input), Err(FramedError::TooLong(65536)));
    }
}
