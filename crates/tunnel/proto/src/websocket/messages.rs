//! Whole messages out of frames, whichever end sent them: for conversations of short messages, such as the agent's log.

use bytes::{Buf as _, BytesMut};

use super::{BINARY, CLOSE, PING, PONG};

const CONTINUATION: u8 = 0;
/// A message in UTF-8.
pub const TEXT: u8 = 1;

/// Whose frames are read (RFC 6455 §5.1: a client's are masked, a server's are not).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The end that opened the connection.
    Client,
    /// The end that was asked.
    Server,
}

/// A message, or what stands between messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text or data: its bytes. Whether text is UTF-8 is for whoever reads it to find.
    Data(Vec<u8>),
    /// To be answered by a [`PONG`] with the same payload.
    Ping(Vec<u8>),
    /// The answer to a [`PING`].
    Pong,
    /// The conversation is over: code and words, where there are any.
    Close(Option<u16>, String),
}

/// The peer broke the protocol; nothing more may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// RFC 6455 §5.1.
    #[error("a frame is masked that should not be, or the other way round")]
    Mask,
    /// RFC 6455 §5.2: no extension was negotiated.
    #[error("a frame has reserved bits or an unknown opcode")]
    Reserved,
    /// RFC 6455 §5.4 and §5.5.
    #[error("a message is cut into frames as none may be")]
    Order,
    /// Beyond the bound of this conversation.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
}

/// Reads messages of at most so many bytes. Holds one of them, and the frame that is arriving.
#[derive(Debug)]
pub struct Messages {
    sender: Sender,
    bytes_max: usize,
    input: BytesMut,
    message: Option<Vec<u8>>,
}

struct Header {
    last: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    bytes: usize,
    length: usize,
}

impl Messages {
    /// Nothing was read yet.
    pub fn new(sender: Sender, bytes_max: usize) -> Self {
        Self { sender, bytes_max, input: BytesMut::new(), message: None }
    }

    /// More bytes have come; to be followed by [`Messages::message`] until there is none, which keeps what is held bounded.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next message that is whole.
    ///
    /// # Errors
    /// The peer broke the protocol.
    pub fn message(&mut self) -> Result<Option<Message>, MessageError> {
        while let Some(header) = self.header()? {
            if self.input.len() < header.bytes + header.length {
                return Ok(None);
            }
            self.input.advance(header.bytes);
            let mut payload = self.input.split_to(header.length).to_vec();
            if let Some(mask) = header.mask {
                payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            }
            match header.opcode {
                PING => return Ok(Some(Message::Ping(payload))),
                PONG => return Ok(Some(Message::Pong)),
                CLOSE => {
                    let (code, words) = match payload.split_first_chunk() {
                        Some((code, words)) => (Some(u16::from_be_bytes(*code)), String::from_utf8_lossy(words).into_owned()),
                        None => (None, String::new()),
                    };
                    return Ok(Some(Message::Close(code, words)));
                }
                _ => {}
            }
            let mut message = self.message.take().unwrap_or_default();
            message.extend_from_slice(&payload);
            if header.last {
                return Ok(Some(Message::Data(message)));
            }
            self.message = Some(message);
        }
        Ok(None)
    }

    /// The next frame's header, once it is there: checked before its payload is waited for.
    fn header(&self) -> Result<Option<Header>, MessageError> {
        let [first, second, rest @ ..] = &self.input[..] else { return Ok(None) };
        let opcode = first & 0x0f;
        if first & 0x70 != 0 || !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(MessageError::Reserved);
        }
        let masked = second & 0x80 != 0;
        if masked != (self.sender == Sender::Client) {
            return Err(MessageError::Mask);
        }
        let (length, used) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        let (last, held) = (first & 0x80 != 0, self.message.as_ref().map_or(0, Vec::len));
        let in_order = if opcode >= CLOSE { last && length <= 125 } else { (opcode == CONTINUATION) == self.message.is_some() };
        if !in_order {
            return Err(MessageError::Order);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if opcode < CLOSE && length > self.bytes_max.saturating_sub(held) {
            return Err(MessageError::TooLong(self.bytes_max));
        }
        let mask = match (masked, rest.get(used..).and_then(|rest| rest.first_chunk())) {
            (true, None) => return Ok(None),
            (true, Some(mask)) => Some(*mask),
            (false, _) => None,
        };
        Ok(Some(Header { last, opcode, mask, bytes: 2 + used + if masked { 4 } else { 0 }, length }))
    }
}

/// The payload of a close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::{frame_header, masked_frame};

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        [&frame_header(opcode, payload.len())[..], payload].concat()
    }

    fn read(sender: Sender, bytes: &[u8]) -> Result<Vec<Message>, MessageError> {
        let mut messages = Messages::new(sender, 1000);
        messages.push(bytes);
        let mut all = Vec::new();
        while let Some(message) = messages.message()? {
            all.push(message);
        }
        Ok(all)
    }

    #[test]
    fn what_stands_between_messages_is_told() {
        let mut first = server_frame(TEXT, b"ab");
        first[0] &= 0x7f;
        let bytes = [first, server_frame(PING, b"p"), server_frame(CONTINUATION, b"c"), server_frame(PONG, b"")].concat();
        let bytes = [bytes, server_frame(CLOSE, &close_payload(4002, "taken")), server_frame(CLOSE, b"")].concat();
        let expected = [
            Message::Ping(b"p".to_vec()),
            Message::Data(b"abc".to_vec()),
            Message::Pong,
            Message::Close(Some(4002), "taken".into()),
            Message::Close(None, String::new()),
        ];
        assert_eq!(read(Sender::Server, &bytes).unwrap(), expected);
    }

    #[test]
    fn what_breaks_the_protocol_is_refused_before_it_is_held() {
        let refused = |bytes: &[u8]| read(Sender::Client, bytes).unwrap_err();
        assert_eq!(refused(&server_frame(TEXT, b"x")), MessageError::Mask);
        assert_eq!(read(Sender::Server, &masked_frame(TEXT, b"x", [1; 4])), Err(MessageError::Mask));
        assert_eq!(refused(&masked_frame(3, b"x", [1; 4])), MessageError::Reserved);
        assert_eq!(refused(&masked_frame(CONTINUATION, b"x", [1; 4])), MessageError::Order);
        assert_eq!(refused(&masked_frame(PING, &[0; 126], [1; 4])), MessageError::Order);
        assert_eq!(refused(&masked_frame(TEXT, &[0; 1001], [1; 4])[..10]), MessageError::TooLong(1000));
        let mut half = masked_frame(TEXT, &[0; 600], [1; 4]);
        half[0] &= 0x7f;
        assert_eq!(refused(&[half.clone(), masked_frame(CONTINUATION, &[0; 401], [1; 4])].concat()), MessageError::TooLong(1000));
        assert_eq!(refused(&[half.clone(), half].concat()), MessageError::Order);
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            sent in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<[u8; 4]>()), 0..8),
            cut in 1usize..50,
        ) {
            let wire: Vec<u8> = sent.iter().flat_map(|(payload, mask)| masked_frame(TEXT, payload, *mask)).collect();
            let (mut messages, mut got) = (Messages::new(Sender::Client, 200), Vec::new());
            for piece in wire.chunks(cut) {
                messages.push(piece);
                while let Some(message) = messages.message().unwrap() {
                    got.push(message);
                }
            }
            let expected: Vec<Message> = sent.into_iter().map(|(payload, _)| Message::Data(payload)).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
