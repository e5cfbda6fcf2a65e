//! SOCKS5, the server's half of a negotiation without authentication (RFC 1928), for services of kind `socks-proxy`. Pure.
//!
//! ```text
//!   Greeting ──(no authentication offered)──► Request ──(CONNECT)──► Ended
//!       └───────────────(else)───────────────────┴────(else)───────────▲
//! ```
//!
//! The caller keeps what came and hands it in until a step says what to do. No step takes more than [`MESSAGE_BYTES_MAX`], and none
//! waits once so much is there.

use std::net::IpAddr;

use bytes::{Buf as _, BytesMut};

/// Longest message of a client, in bytes: a request that names 255 bytes of host. (A greeting has at most 257.)
pub const MESSAGE_BYTES_MAX: usize = 4 + 1 + 255 + 2;

const VERSION: u8 = 5;
/// The only method offered to clients: who may come here is decided before the tunnel.
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;

/// Where a client is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Negotiation(State);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Greeting,
    Request,
    Ended,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read more.
    Wait,
    /// Say these bytes, and go on.
    Say([u8; 2]),
    /// Connect to this place, then say [`reply`].
    Connect(Destination),
    /// Say these bytes, and close.
    Refuse(Vec<u8>),
}

/// Where a client wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// An address as text, or a name of 1 to 255 visible ASCII characters.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Answers to a request (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Connected: raw bytes follow.
    Succeeded = 0,
    /// The request cannot be understood.
    GeneralFailure = 1,
    /// The rules do not allow this destination.
    NotAllowed = 2,
    /// The name leads to no address.
    HostUnreachable = 4,
    /// Nobody listens there.
    Refused = 5,
    /// Only CONNECT is served.
    CommandNotSupported = 7,
    /// Neither an address nor a name.
    AddressTypeNotSupported = 8,
}

/// The reply's bytes. The bound address is left out, as most servers do.
pub const fn reply(reply: Reply) -> [u8; 10] {
    [VERSION, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]
}

impl Negotiation {
    /// Takes the next message off `buf`. After [`Step::Connect`] and [`Step::Refuse`] there is none.
    pub fn step(&mut self, buf: &mut BytesMut) -> Step {
        match self.0 {
            State::Greeting => self.greeting(buf),
            State::Request => self.request(buf),
            State::Ended => Step::Wait,
        }
    }

    fn greeting(&mut self, buf: &mut BytesMut) -> Step {
        let [version, count, rest @ ..] = &buf[..] else { return Step::Wait };
        let Some(methods) = rest.get(..usize::from(*count)) else { return Step::Wait };
        let is_served = *version == VERSION && methods.contains(&NO_AUTHENTICATION);
        let taken = 2 + methods.len();
        buf.advance(taken);
        self.0 = if is_served { State::Request } else { State::Ended };
        if is_served { Step::Say([VERSION, NO_AUTHENTICATION]) } else { Step::Refuse(vec![VERSION, 0xff]) }
    }

    fn request(&mut self, buf: &mut BytesMut) -> Step {
        let [version, command, _, kind, rest @ ..] = &buf[..] else { return Step::Wait };
        let refusal = match (*version, *command) {
            (VERSION, CONNECT) => None,
            (VERSION, _) => Some(Reply::CommandNotSupported),
            _ => Some(Reply::GeneralFailure),
        };
        let parsed = match (refusal, *kind) {
            (Some(refusal), _) => Err(refusal),
            (None, 1) => Ok(rest.first_chunk::<4>().map(|octets| (Some(IpAddr::from(*octets).to_string()), 4))),
            (None, 4) => Ok(rest.first_chunk::<16>().map(|octets| (Some(IpAddr::from(*octets).to_string()), 16))),
            (None, 3) => Ok(rest
                .split_first()
                .and_then(|(length, rest)| rest.get(..usize::from(*length)))
                .map(|octets| (name(octets), 1 + octets.len()))),
            (None, _) => Err(Reply::AddressTypeNotSupported),
        };
        let (host, length) = match parsed {
            Err(refusal) => return self.refuse(refusal),
            Ok(None) => return Step::Wait,
            Ok(Some(parsed)) => parsed,
        };
        let Some(port) = rest[length..].first_chunk::<2>().map(|octets| u16::from_be_bytes(*octets)) else { return Step::Wait };
        let Some(host) = host else { return self.refuse(Reply::GeneralFailure) };
        buf.advance(4 + length + 2);
        self.0 = State::Ended;
        Step::Connect(Destination { host, port })
    }

    fn refuse(&mut self, with: Reply) -> Step {
        self.0 = State::Ended;
        Step::Refuse(reply(with).to_vec())
    }
}

/// A host's name, which is looked up and logged: nothing but visible ASCII.
fn name(octets: &[u8]) -> Option<String> {
    let is_name = !octets.is_empty() && octets.iter().all(u8::is_ascii_graphic);
    is_name.then(|| octets.iter().map(|octet| char::from(*octet)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All steps up to the one that ends it, and what is left.
    fn negotiate(said: &[u8]) -> (Vec<Step>, Vec<u8>) {
        let (mut negotiation, mut buf, mut steps) = (Negotiation::default(), BytesMut::from(said), Vec::new());
        loop {
            steps.push(negotiation.step(&mut buf));
            if !matches!(steps.last(), Some(Step::Say(_))) {
                return (steps, buf.to_vec());
            }
        }
    }

    #[test]
    fn a_client_names_its_destination_in_three_ways() {
        let v6 = [&[5, 1, 0, 4][..], &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 80]].concat();
        for (request, host, port) in [
            (&[5, 1, 0, 1, 127, 0, 0, 1, 0x1f, 0x90][..], "127.0.0.1", 8080),
            (&v6, "fd00::1", 80),
            (b"\x05\x01\x00\x03\x09db.inside\x15\x38", "db.inside", 5432),
        ] {
            let (steps, left) = negotiate(&[&[5, 2, 2, 0][..], request, b"early"].concat());
            let wanted = Step::Connect(Destination { host: host.into(), port });
            assert_eq!((steps, &left[..]), (vec![Step::Say([5, 0]), wanted], &b"early"[..]));
        }
    }

    #[test]
    fn what_is_not_served_is_refused_by_its_code() {
        let refused = |said: &[u8]| match negotiate(said).0.pop() {
            Some(Step::Refuse(bytes)) => bytes[1],
            other => panic!("{other:?}"),
        };
        // SOCKS4; nothing but a password; BIND; no address; an empty name; a line break in a name.
        assert_eq!([refused(&[4, 1, 0]), refused(&[5, 1, 2])], [0xff, 0xff]);
        assert_eq!(refused(&[5, 1, 0, 5, 2, 0, 1]), 7);
        assert_eq!(refused(&[5, 1, 0, 5, 1, 0, 9]), 8);
        assert_eq!(refused(&[5, 1, 0, 4, 1, 0, 1]), 1);
        assert_eq!(refused(&[5, 1, 0, 5, 1, 0, 3, 0, 0, 80]), 1);
        assert_eq!(refused(b"\x05\x01\x00\x05\x01\x00\x03\x03a\nb\x00\x50"), 1);
    }

    #[test]
    fn an_ended_negotiation_takes_nothing_more() {
        let (mut negotiation, mut buf) = (Negotiation::default(), BytesMut::from(&[5, 0, 5, 1, 0][..]));
        assert_eq!(negotiation.step(&mut buf), Step::Refuse(vec![5, 0xff]));
        assert_eq!((negotiation.step(&mut buf), &buf[..]), (Step::Wait, &[5, 1, 0][..]));
    }
}
