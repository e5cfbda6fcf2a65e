//! Requests of one connection, one after the other. Pure: no socket, no clock.
//!
//! ```text
//!           ┌───────────────── no body ──────────────────┐
//!           ▼                                            │
//!   ──→ head: nothing yet ──first byte──→ in a head ──empty line──→ Head
//!           ▲                                            │
//!           └───── End ◀── body: Data, Data, … ◀─────────┘
//! ```

use bytes::{Buf as _, Bytes, BytesMut};

use super::{
    framing::{Framing, Piece},
    head::{self, Head, Refused, Scan},
};
use crate::{Limits, strict::Refusal};

/// Memory that a head may keep alive by its values, as a multiple of its own size; beyond it the head is copied out.
const SHARED_TIMES_MAX: usize = 4;

/// Follows one connection's requests.
#[derive(Debug)]
pub struct Decoder {
    scan: Scan,
    /// Of the body under way.
    framing: Framing,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { scan: Scan::default(), framing: Framing::Length(0) }
    }
}

impl Decoder {
    /// Takes the next request's head off `buf`; none while it is incomplete. What is left of the body before is the caller's to
    /// take first.
    ///
    /// # Errors
    /// The visitor broke a rule: the connection is of no more use.
    pub fn head(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Option<Head>, Refused> {
        debug_assert!(!self.in_body(), "the body comes first");
        self.scan.skip_blank(buf);
        if buf.is_empty() {
            return Ok(None);
        }
        let Some(end) = self.scan.scan(buf, limits)? else { return Ok(None) };
        let bytes = if buf.capacity() / SHARED_TIMES_MAX > end {
            let bytes = Bytes::copy_from_slice(&buf[..end]);
            buf.advance(end);
            bytes
        } else {
            buf.split_to(end).freeze()
        };
        let scan = std::mem::take(&mut self.scan);
        let (head, framing) = head::parse(&bytes, &scan, limits)?;
        self.framing = framing;
        Ok(Some(head))
    }

    /// Takes the next piece of the body off `buf`.
    ///
    /// # Errors
    /// The visitor broke a rule: the connection is of no more use.
    pub fn body(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Piece, Refusal> {
        self.framing.decode(buf, limits)
    }

    /// Whether the present request's body has not come to its end.
    pub fn in_body(&self) -> bool {
        !self.framing.is_ended()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a connection says, put together again: how the bytes came does not show in it.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Said {
        heads: Vec<String>,
        bodies: Vec<u8>,
        ends: usize,
        refusal: Option<Refusal>,
    }

    fn listen(reads: impl Iterator<Item = Vec<u8>>, limits: &Limits) -> Said {
        let (mut decoder, mut buf, mut said) = (Decoder::default(), BytesMut::new(), Said::default());
        for read in reads {
            buf.extend_from_slice(&read);
            loop {
                let piece = if decoder.in_body() {
                    decoder.body(&mut buf, limits)
                } else {
                    match decoder.head(&mut buf, limits) {
                        Ok(None) => break,
                        Ok(Some(head)) => {
                            said.heads.push(format!("{} {} {:?}", head.parts.method, head.parts.uri, head.parts.headers));
                            continue;
                        }
                        Err(refused) => Err(refused.refusal),
                    }
                };
                match piece {
                    Ok(Piece::Data(data)) => said.bodies.extend_from_slice(&data),
                    Ok(Piece::End(_)) => said.ends += 1,
                    Ok(Piece::Wait) => break,
                    Err(refusal) => {
                        said.refusal = Some(refusal);
                        return said;
                    }
                }
            }
        }
        said
    }

    #[test]
    fn requests_follow_each_other() {
        let text = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\
            \r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
            POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n worl\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n\
            GET /d HTTP/1.0\r\nHost: a\r\n\r\n";
        let said = listen([text.to_vec()].into_iter(), &Limits::default());
        assert_eq!(said.heads.len(), 4);
        assert_eq!((&said.bodies[..], said.ends, said.refusal), (&b"hello world"[..], 1, None));
    }

    #[test]
    fn an_empty_line_is_no_beginning() {
        for line in [&["\r\n"][..], &["\r", "\n"]] {
            let (mut decoder, mut buf) = (Decoder::default(), BytesMut::new());
            for part in line {
                buf.extend_from_slice(part.as_bytes());
                assert!(decoder.head(&mut buf, &Limits::default()).unwrap().is_none());
            }
            assert!(buf.is_empty());
            buf.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n");
            assert!(decoder.head(&mut buf, &Limits::default()).unwrap().is_some());
            assert!(decoder.head(&mut buf, &Limits::default()).unwrap().is_none() && buf.is_empty(), "one before each");
        }
    }

    #[test]
    fn a_head_does_not_keep_a_great_buffer_alive() {
        let mut buf = BytesMut::with_capacity(100_000);
        buf.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
        let before = buf.as_ptr();
        let head = Decoder::default().head(&mut buf, &Limits::default()).unwrap().unwrap();
        let value = head.parts.headers["x"].as_bytes().as_ptr();
        assert!(!(before..before.wrapping_add(100_000)).contains(&value));
    }

    const TEXT: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n\
        PUT /y HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b\r\n\r\n";

    proptest! {
        /// However the bytes are cut into reads, they say the same, and are refused at the same place.
        #[test]
        fn the_cut_of_reads_changes_nothing(
            cuts in prop::collection::vec(1usize..40, 1..40),
            wrong in prop::option::of((0..TEXT.len(), any::<u8>())),
        ) {
            let mut text = TEXT.to_vec();
            if let Some((at, byte)) = wrong {
                text[at] = byte;
            }
            let whole = listen([text.clone()].into_iter(), &Limits::default());
            let (mut rest, mut cuts) = (&text[..], cuts.into_iter().cycle());
            let pieces = std::iter::from_fn(|| {
                let (piece, next) = rest.split_at(cuts.next()?.min(rest.len()));
                rest = next;
                (!piece.is_empty()).then(|| piece.to_vec())
            });
            prop_assert_eq!(listen(pieces, &Limits::default()), whole);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), after in prop::sample::select(vec![
            "", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        ])) {
            listen([after.as_bytes().to_vec(), bytes].into_iter(), &Limits::default());
        }
    }
}
