//! What stands in a ClientHello (RFC 8446 §4.1.2), as far as it must be known before the TLS library is asked. Pure.

/// Longest ClientHello that is looked at, in bytes.
pub const BYTES_MAX: usize = 16 * 1024;
/// The type of its message.
pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SNI: u16 = 0;
pub(crate) const ALPN: u16 = 16;
/// The only type of name there is (RFC 6066 §3).
const HOST_NAME: u8 = 0;

/// What is left of a message.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    pub(crate) fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

/// What was seen of a first message.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// There is more to come.
    Part,
    /// All of it.
    Whole(Wanted<'a>),
    /// It is none, or one that is not looked at.
    Other,
}

/// What a client asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Whom it means, as it wrote it.
    pub name: Option<&'a str>,
    /// What it would speak.
    pub protocols: Vec<&'a [u8]>,
}

/// Of the octets that came first, without records: as QUIC carries them (RFC 9001 §4.1.3).
pub fn seen(bytes: &[u8]) -> Seen<'_> {
    let Some((head, body)) = bytes.split_first_chunk::<4>() else {
        return if bytes.first().is_none_or(|kind| *kind == CLIENT_HELLO) { Seen::Part } else { Seen::Other };
    };
    let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
    if head[0] != CLIENT_HELLO || length > BYTES_MAX {
        return Seen::Other;
    }
    match body.get(..length) {
        Some(body) => wanted(body).map_or(Seen::Other, Seen::Whole),
        None => Seen::Part,
    }
}

fn wanted(body: &[u8]) -> Option<Wanted<'_>> {
    let mut hello = Reader(body);
    // Version, random, session, suites, compression.
    hello.take(2 + 32)?;
    hello.vector8()?;
    hello.vector16()?;
    hello.vector8()?;
    let mut extensions = Reader(hello.vector16()?);
    let mut wanted = Wanted::default();
    while !extensions.0.is_empty() {
        match (extensions.u16()?, Reader(extensions.vector16()?)) {
            (SNI, mut data) => {
                let mut names = Reader(data.vector16()?);
                if names.u8()? == HOST_NAME {
                    wanted.name = Some(std::str::from_utf8(names.vector16()?).ok()?);
                }
            }
            (ALPN, mut data) => {
                let mut list = Reader(data.vector16()?);
                while !list.0.is_empty() {
                    wanted.protocols.push(list.vector8()?);
                }
            }
            _ => {}
        }
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector16(body: &[u8]) -> Vec<u8> {
        [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let extensions: Vec<u8> =
            extensions.iter().flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), vector16(data)].concat()).collect();
        let body = [vec![3, 3], vec![7; 32], vec![0], vec![0, 2, 0x13, 1], vec![1, 0], vector16(&extensions)].concat();
        [&[CLIENT_HELLO][..], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], &body].concat()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        vector16(&[&[HOST_NAME][..], &vector16(name)].concat())
    }

    #[test]
    fn it_says_whom_it_means_and_what_it_would_speak_once_it_is_whole() {
        let alpn = vector16(b"\x02h3\x0aargotunnel");
        let hello = hello(&[(0x0a0a, Vec::new()), (ALPN, alpn), (SNI, named(b"WWW.site.test"))]);
        let wanted = Wanted { name: Some("WWW.site.test"), protocols: vec![b"h3", b"argotunnel"] };
        for length in 0..hello.len() {
            assert_eq!(seen(&hello[..length]), Seen::Part, "{length}");
        }
        assert_eq!(seen(&hello), Seen::Whole(wanted));
        let more = [&hello[..], b"more"].concat();
        assert!(matches!(seen(&more), Seen::Whole(Wanted { name: Some("WWW.site.test"), .. })));
    }

    #[test]
    fn what_is_none_or_says_nothing_is_told_apart() {
        assert_eq!(seen(&hello(&[])), Seen::Whole(Wanted::default()));
        assert_eq!((seen(&[2]), seen(&[2, 0, 0, 0])), (Seen::Other, Seen::Other));
        let long = u32::try_from(BYTES_MAX + 1).unwrap().to_be_bytes();
        assert_eq!(seen(&[CLIENT_HELLO, long[1], long[2], long[3]]), Seen::Other);
        assert_eq!(seen(&hello(&[(SNI, named(&[0xff]))])), Seen::Other, "a name is text");
        // Cut anywhere within, with the length put right: never a panic.
        let whole = hello(&[(SNI, named(b"a.test")), (ALPN, vector16(b"\x02h3"))]);
        for length in 0..whole.len() - 4 {
            let head = u32::try_from(length).unwrap().to_be_bytes();
            seen(&[&[CLIENT_HELLO][..], &head[1..], &whole[4..4 + length]].concat());
        }
    }
}
