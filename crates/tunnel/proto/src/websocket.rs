//! As much of RFC 6455 as a TCP service behind a WebSocket needs: the server's half, without extensions. [`messages`] reads whole
//! messages, of either half, for conversations of short ones.
//!
//! Client frames are unmasked as they pass, however they were cut: a data frame of any length needs no buffer. Server frames
//! are binary and unmasked (§5.1). Text frames are taken as bytes: the client meant them for the service.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};

pub mod messages;

/// How often an idle carrier is pinged, as the stock agent does (reference §4.4).
pub const PING_EVERY: std::time::Duration = std::time::Duration::from_secs(54);

/// A frame that ends the conversation; the peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// RFC 6455 §5.1.
    #[error("the client sent an unmasked frame")]
    Unmasked,
    /// RFC 6455 §5.2: no extension was negotiated.
    #[error("the client set reserved bits")]
    Reserved,
    /// RFC 6455 §5.2 and §5.5.
    #[error("the client sent opcode {0:#x}, which is unknown or malformed")]
    Opcode(u8),
}

/// What a client said besides data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// To be answered by a pong with the same payload.
    Ping(Vec<u8>),
    /// The conversation is over.
    Close,
}

/// `Sec-WebSocket-Accept` for this key (RFC 6455 §4.2.2).
pub fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(sha1(&[key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat()))
}

/// The header of one unmasked server frame with this much payload.
pub fn frame_header(opcode: u8, payload_len: usize) -> Bytes {
    let mut header = BytesMut::with_capacity(10);
    header.put_u8(0x80 | opcode);
    if let Ok(short @ 0..=125) = u8::try_from(payload_len) {
        header.put_u8(short);
    } else if let Ok(medium) = u16::try_from(payload_len) {
        header.put_u8(126);
        header.put_u16(medium);
    } else {
        header.put_u8(127);
        header.put_u64(payload_len as u64);
    }
    header.freeze()
}

/// A client's frame, whole. `mask` is random for whoever shares its connections with others (RFC 6455 §5.3).
pub fn masked_frame(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = frame_header(opcode, payload.len()).to_vec();
    frame[1] |= 0x80;
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Data as bytes; this and the next three are opcodes of RFC 6455 §5.2.
pub const BINARY: u8 = 2;
/// The conversation is over.
pub const CLOSE: u8 = 8;
/// To be answered by [`PONG`].
pub const PING: u8 = 9;
/// The answer to [`PING`].
pub const PONG: u8 = 10;

/// Takes client frames apart, in whatever pieces they arrive. Holds at most one header and one control payload (125 bytes).
#[derive(Debug, Default)]
pub struct Unwrap {
    header: [u8; 14],
    have: usize,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    opcode: u8,
    mask: [u8; 4],
    offset: usize,
    remaining: u64,
    control: Vec<u8>,
}

impl Unwrap {
    /// Feeds `input`; payload is appended to `out`, control frames to `controls` in order.
    ///
    /// # Errors
    /// The client broke the protocol; nothing more may be fed.
    pub fn push(&mut self, mut input: &[u8], out: &mut BytesMut, controls: &mut Vec<Control>) -> Result<(), FrameError> {
        while !input.is_empty() {
            if let Some(body) = &mut self.body {
                let take = usize::try_from(body.remaining).unwrap_or(usize::MAX).min(input.len());
                let (piece, rest) = input.split_at(take);
                input = rest;
                body.take(piece, out);
            } else {
                let wanted = self.header_len();
                let take = (wanted - self.have).min(input.len());
                self.header[self.have..self.have + take].copy_from_slice(&input[..take]);
                self.have += take;
                input = &input[take..];
                // The length grows once the second byte is known.
                if self.have == self.header_len() {
                    self.body = Some(self.open()?);
                    self.have = 0;
                }
            }
            if self.body.as_ref().is_some_and(|body| body.remaining == 0) {
                let body = self.body.take().expect("checked just above");
                match body.opcode {
                    PING => controls.push(Control::Ping(body.control)),
                    CLOSE => controls.push(Control::Close),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn header_len(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.header[1] & 0x80 != 0 { 4 } else { 0 };
        2 + mask
            + match self.header[1] & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            }
    }

    fn open(&self) -> Result<Body, FrameError> {
        let [first, second, rest @ ..] = &self.header;
        if first & 0x70 != 0 {
            return Err(FrameError::Reserved);
        }
        if second & 0x80 == 0 {
            return Err(FrameError::Unmasked);
        }
        let opcode = first & 0x0f;
        let (remaining, mask_at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
            127 => (u64::from_be_bytes([rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6], rest[7]]), 8),
            short => (u64::from(short), 0),
        };
        let is_control = matches!(opcode, CLOSE | PING | PONG);
        // §5.5: control frames are short and whole.
        if !(opcode <= BINARY || is_control) || is_control && (remaining > 125 || first & 0x80 == 0) {
            return Err(FrameError::Opcode(opcode));
        }
        let mask = [rest[mask_at], rest[mask_at + 1], rest[mask_at + 2], rest[mask_at + 3]];
        Ok(Body { opcode, mask, offset: 0, remaining, control: Vec::new() })
    }
}

impl Body {
    fn take(&mut self, piece: &[u8], out: &mut BytesMut) {
        self.remaining -= piece.len() as u64;
        let mut mask = self.mask;
        mask.rotate_left(self.offset % 4);
        self.offset = (self.offset + piece.len()) % 4;
        if self.opcode > BINARY {
            self.control.extend(piece.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
            return;
        }
        let start = out.len();
        out.extend_from_slice(piece);
        let word = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
        let mut words = out[start..].chunks_exact_mut(8);
        for bytes in &mut words {
            let masked = u64::from_ne_bytes((&*bytes).try_into().expect("chunks of eight"));
            bytes.copy_from_slice(&(masked ^ word).to_ne_bytes());
        }
        for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
    }
}

/// SHA-1 of a short message (RFC 3174); RFC 6455 wants it for its handshake and nothing rests on its strength.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 }, 0);
    let length_at = padded.len() - 8;
    padded[length_at..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        let mut words = [0u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..80 {
            words[i] = (words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in words.iter().enumerate() {
            let (f, k) = match i {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999u32),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        for (total, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *total = total.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        // RFC 6455 §1.3.
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn sha1_matches_the_known_digests() {
        assert_eq!(hex::encode(sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex::encode(sha1(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex::encode(sha1(long)), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }

    #[test]
    fn what_a_client_may_not_send_is_refused() {
        let refused = |frame: &[u8]| Unwrap::default().push(frame, &mut BytesMut::new(), &mut Vec::new()).unwrap_err();
        assert_eq!(refused(&frame_header(BINARY, 4)), FrameError::Unmasked);
        let mut reserved = masked_frame(BINARY, b"x", [1, 2, 3, 4]);
        reserved[0] |= 0x40;
        assert_eq!(refused(&reserved), FrameError::Reserved);
        assert_eq!(refused(&masked_frame(3, b"x", [1, 2, 3, 4])), FrameError::Opcode(3));
        assert_eq!(refused(&masked_frame(PING, &[0; 126], [1, 2, 3, 4])), FrameError::Opcode(PING));
    }

    proptest! {
        #[test]
        fn payload_survives_any_cut(
            frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300), any::<[u8; 4]>()), 0..8),
            cuts in prop::collection::vec(1usize..40, 1..20),
        ) {
            let mut wire = Vec::new();
            let (mut data, mut pings) = (Vec::new(), Vec::new());
            for (is_ping, mut payload, mask) in frames {
                if is_ping {
                    payload.truncate(125);
                    wire.extend(masked_frame(PING, &payload, mask));
                    pings.push(Control::Ping(payload));
                } else {
                    wire.extend(masked_frame(BINARY, &payload, mask));
                    data.extend(payload);
                }
            }
            let (mut unwrap, mut out, mut controls) = (Unwrap::default(), BytesMut::new(), Vec::new());
            let mut rest = wire.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                unwrap.push(piece, &mut out, &mut controls).unwrap();
                rest = after;
            }
            prop_assert_eq!(&out[..], &data[..]);
            prop_assert_eq!(controls, pings);
        }
    }
}
