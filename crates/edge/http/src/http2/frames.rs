//! Where in HTTP/2's frames a visitor's bytes stand. Pure.
//!
//! `h2` gives a header block no deadline, and a visitor may hold one open with a byte now and then. The length and flags of each frame
//! say whether one is open (RFC 9113 §4.1, §4.3, §6.2, §6.10); nothing else is looked at, and nothing is judged.

/// The connection preface (RFC 9113 §3.4), after which frames begin.
const PREFACE_BYTES: u32 = 24;
/// Length, type, flags and stream of a frame.
const FRAME_HEADER_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows one direction of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to come that are no frame header.
    skip: u32,
    header: [u8; FRAME_HEADER_BYTES],
    filled: usize,
    /// A header block was begun and its last frame has not begun.
    open: bool,
    /// The frame under way carries a part of a header block.
    in_fragment: bool,
    /// A header block began in what was read last.
    began: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE_BYTES, header: [0; FRAME_HEADER_BYTES], filled: 0, open: false, in_fragment: false, began: false }
    }
}

impl Frames {
    /// Follows what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        self.began = false;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = bytes.len().min(self.skip as usize);
                bytes = &bytes[skipped..];
                self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
                continue;
            }
            let taken = bytes.len().min(FRAME_HEADER_BYTES - self.filled);
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == FRAME_HEADER_BYTES {
                let [a, b, c, kind, flags, ..] = self.header;
                (self.filled, self.skip) = (0, u32::from_be_bytes([0, a, b, c]));
                self.in_fragment = matches!(kind, HEADERS | CONTINUATION);
                self.open = self.in_fragment && flags & END_HEADERS == 0;
                self.began |= kind == HEADERS;
            }
        }
    }

    /// Whether a header block began in what was read last: the one that is not complete is that one then, whatever came before.
    pub(super) fn began_head(&self) -> bool {
        self.began
    }

    /// Whether a header block was begun that is not complete.
    pub(super) fn in_head(&self) -> bool {
        self.open || self.in_fragment && self.skip > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_ends_where_the_next_begins_is_another() {
        let mut frames = Frames::default();
        frames.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let (one, two) = (frame(HEADERS, END_HEADERS | 1, b"abcdef"), frame(HEADERS, END_HEADERS | 1, b"ghijkl"));
        frames.read(&one[..12]);
        assert!(frames.in_head() && frames.began_head());
        frames.read(&one[12..13]);
        assert!(frames.in_head() && !frames.began_head());
        frames.read(&[&one[13..], &two[..12]].concat());
        assert!(frames.in_head() && frames.began_head());
        frames.read(&two[12..]);
        assert!(!frames.in_head());
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_head_is_open_until_its_last_byte_however_it_is_cut() {
        let mut text = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        text.extend(frame(4, 0, &[0; 6]));
        text.extend(frame(0, 1, b"\0\0\x01\x01data that looks like a frame"));
        let begins = text.len() + FRAME_HEADER_BYTES;
        text.extend(frame(HEADERS, 1, b"abc"));
        text.extend(frame(CONTINUATION, 0, b""));
        text.extend(frame(CONTINUATION, END_HEADERS, b"defg"));
        let ends = text.len();
        text.extend(frame(0, 1, b"body"));
        text.extend(frame(HEADERS, END_HEADERS, b""));
        for step in [1, 2, 7, 1_000] {
            let (mut frames, mut at) = (Frames::default(), 0);
            for piece in text.chunks(step) {
                frames.read(piece);
                at += piece.len();
                assert_eq!(frames.in_head(), (begins..ends).contains(&at), "{at} of {begins}..{ends} in steps of {step}");
            }
        }
    }
}
