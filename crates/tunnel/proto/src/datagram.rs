//! UDP and ICMP in QUIC datagrams. The version holds for a whole connection: an agent that announces `support_datagram_v3_2` speaks
//! only version 3, any other only version 2.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Longest UDP payload or IP packet carried, in bytes; agents drop longer ones.
pub const PAYLOAD_BYTES_MAX: usize = 1280;

/// Why a datagram is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Shorter than its kind needs.
    #[error("a datagram of {0} bytes is shorter than its kind needs")]
    Short(usize),
    /// Payload longer than [`PAYLOAD_BYTES_MAX`].
    #[error("a payload of {0} bytes is longer than {PAYLOAD_BYTES_MAX}")]
    Long(usize),
    /// Unknown type or code.
    #[error("a datagram has the unknown type or code {0}")]
    Unknown(u8),
    /// Text that is not UTF-8.
    #[error("a datagram's text is not UTF-8")]
    Text,
}

/// Which span a traced packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceIdentity {
    /// Trace id.
    pub trace: [u8; 16],
    /// Span id.
    pub span: [u8; 8],
    /// Flags.
    pub flags: u8,
}

const TRACE_LEN: usize = 25;

fn bounded(payload: &Bytes) -> Result<(), DatagramError> {
    if payload.len() > PAYLOAD_BYTES_MAX { Err(DatagramError::Long(payload.len())) } else { Ok(()) }
}

/// Version 2: what it is about stands at the end, the type last.
pub mod v2 {
    use super::*;

    /// One datagram.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Datagram {
        /// A UDP payload of a registered session.
        Udp {
            /// The session.
            session: [u8; 16],
            /// At most 1280 bytes.
            payload: Bytes,
        },
        /// A whole ICMP packet.
        Ip {
            /// At most 1280 bytes.
            packet: Bytes,
        },
        /// The same, traced.
        TracedIp {
            /// At most 1280 bytes.
            packet: Bytes,
            /// Its span.
            trace: TraceIdentity,
        },
        /// The agent's spans, for a traced packet.
        Spans {
            /// OTLP protobuf.
            spans: Bytes,
            /// Their span.
            trace: TraceIdentity,
        },
    }

    /// Writes a datagram.
    pub fn encode(datagram: &Datagram) -> Result<Bytes, DatagramError> {
        let mut out = BytesMut::with_capacity(PAYLOAD_BYTES_MAX + TRACE_LEN + 1);
        let mut put = |payload: &Bytes, suffix: &[&[u8]], kind: u8| {
            bounded(payload)?;
            out.put_slice(payload);
            suffix.iter().for_each(|part| out.put_slice(part));
            out.put_u8(kind);
            Ok(())
        };
        match datagram {
            Datagram::Udp { session, payload } => put(payload, &[session], 0),
            Datagram::Ip { packet } => put(packet, &[], 1),
            Datagram::TracedIp { packet, trace } => put(packet, &[&trace.trace, &trace.span, &[trace.flags]], 2),
            Datagram::Spans { spans, trace } => put(spans, &[&trace.trace, &trace.span, &[trace.flags]], 3),
        }?;
        Ok(out.freeze())
    }

    /// Reads a datagram; payloads share its buffer.
    pub fn decode(mut bytes: Bytes) -> Result<Datagram, DatagramError> {
        let len = bytes.len();
        let Some(kind) = bytes.last().copied() else { return Err(DatagramError::Short(0)) };
        bytes.truncate(len - 1);
        let suffix = match kind {
            0 => 16,
            1 => 0,
            2 | 3 => TRACE_LEN,
            other => return Err(DatagramError::Unknown(other)),
        };
        let payload_len = bytes.len().checked_sub(suffix).ok_or(DatagramError::Short(len))?;
        let mut suffix = bytes.split_off(payload_len);
        bounded(&bytes)?;
        let mut array = [0; 16];
        if kind == 0 {
            suffix.copy_to_slice(&mut array);
            return Ok(Datagram::Udp { session: array, payload: bytes });
        }
        if kind == 1 {
            return Ok(Datagram::Ip { packet: bytes });
        }
        suffix.copy_to_slice(&mut array);
        let mut span = [0; 8];
        suffix.copy_to_slice(&mut span);
        let trace = TraceIdentity { trace: array, span, flags: suffix.get_u8() };
        Ok(if kind == 2 { Datagram::TracedIp { packet: bytes, trace } } else { Datagram::Spans { spans: bytes, trace } })
    }
}

/// Version 3: what it is about stands first, the type before all; registration needs no RPC.
pub mod v3 {
    use std::{
        net::{IpAddr, SocketAddr},
        time::Duration,
    };

    use super::*;

    const IPV6: u8 = 1;
    const TRACED: u8 = 2;
    const BUNDLED: u8 = 4;

    /// How a registration went.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Code {
        /// Ready.
        Ok,
        /// Destination unreachable.
        Unreachable,
        /// The agent has no socket for it.
        UnableToBind,
        /// The flow limiter refused.
        TooManyFlows,
        /// See the text.
        ErrorWithMessage,
    }

    impl Code {
        fn byte(self) -> u8 {
            match self {
                Self::Ok => 0,
                Self::Unreachable => 1,
                Self::UnableToBind => 2,
                Self::TooManyFlows => 3,
                Self::ErrorWithMessage => 0xff,
            }
        }

        fn of(byte: u8) -> Result<Self, DatagramError> {
            Ok(match byte {
                0 => Self::Ok,
                1 => Self::Unreachable,
                2 => Self::UnableToBind,
                3 => Self::TooManyFlows,
                0xff => Self::ErrorWithMessage,
                other => return Err(DatagramError::Unknown(other)),
            })
        }
    }

    /// One datagram.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Datagram {
        /// edge → agent: open a flow. Sent again, it is a retry.
        Register {
            /// Chosen by the edge.
            id: [u8; 16],
            /// Where its payloads go.
            destination: SocketAddr,
            /// Whole seconds, at most 65535; zero: 210 s.
            idle: Duration,
            /// Whether the flow is traced.
            traced: bool,
            /// First payload. Never sent to stock agents, which lose it.
            payload: Option<Bytes>,
        },
        /// A payload of a flow.
        Payload {
            /// The flow.
            id: [u8; 16],
            /// At most 1280 bytes.
            payload: Bytes,
        },
        /// A whole ICMP packet.
        Icmp {
            /// 1 to 1280 bytes.
            packet: Bytes,
        },
        /// agent → edge: how a registration went.
        Registered {
            /// The flow.
            id: [u8; 16],
            /// The verdict.
            code: Code,
            /// Words, if any.
            error: String,
        },
    }

    /// Writes a datagram; a registration is always whole, since a short one ends the stock agent's process.
    pub fn encode(datagram: &Datagram) -> Result<Bytes, DatagramError> {
        let mut out = BytesMut::with_capacity(64);
        match datagram {
            Datagram::Register { id, destination, idle, traced, payload } => {
                let v6 = if destination.is_ipv6() { IPV6 } else { 0 };
                let flags = v6 | if *traced { TRACED } else { 0 } | if payload.is_some() { BUNDLED } else { 0 };
                out.put_slice(&[0, flags]);
                out.put_u16(destination.port());
                out.put_u16(u16::try_from(idle.as_secs()).unwrap_or(u16::MAX));
                out.put_slice(id);
                match destination.ip() {
                    IpAddr::V4(ip) => out.put_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.put_slice(&ip.octets()),
                }
                if let Some(payload) = payload {
                    bounded(payload)?;
                    out.put_slice(payload);
                }
            }
            Datagram::Payload { id, payload } => {
                bounded(payload)?;
                out.put_u8(1);
                out.put_slice(id);
                out.put_slice(payload);
            }
            Datagram::Icmp { packet } => {
                bounded(packet)?;
                out.put_u8(2);
                out.put_slice(packet);
            }
            Datagram::Registered { id, code, error } => {
                out.put_slice(&[3, code.byte()]);
                out.put_slice(id);
                let error = &error.as_bytes()[..error.floor_char_boundary(PAYLOAD_BYTES_MAX)];
                out.put_u16(u16::try_from(error.len()).expect("at most 1280"));
                out.put_slice(error);
            }
        }
        Ok(out.freeze())
    }

    /// Reads a datagram; payloads share its buffer.
    pub fn decode(mut bytes: Bytes) -> Result<Datagram, DatagramError> {
        let len = bytes.len();
        let short = DatagramError::Short(len);
        if bytes.is_empty() {
            return Err(short);
        }
        let mut id = [0; 16];
        match bytes.get_u8() {
            0 => {
                let flags = bytes.try_get_u8().map_err(|_| short.clone())?;
                let address_len = if flags & IPV6 == 0 { 4 } else { 16 };
                if bytes.len() < 20 + address_len {
                    return Err(short);
                }
                let (port, idle) = (bytes.get_u16(), Duration::from_secs(bytes.get_u16().into()));
                bytes.copy_to_slice(&mut id);
                let ip: IpAddr =
                    if address_len == 4 { bytes.get_u32().to_be_bytes().into() } else { bytes.get_u128().to_be_bytes().into() };
                bounded(&bytes)?;
                let payload = (flags & BUNDLED != 0).then_some(bytes);
                Ok(Datagram::Register { id, destination: (ip, port).into(), idle, traced: flags & TRACED != 0, payload })
            }
            1 => {
                bytes.try_copy_to_slice(&mut id).map_err(|_| short)?;
                bounded(&bytes)?;
                Ok(Datagram::Payload { id, payload: bytes })
            }
            2 if bytes.is_empty() => Err(short),
            2 => {
                bounded(&bytes)?;
                Ok(Datagram::Icmp { packet: bytes })
            }
            3 => {
                if bytes.len() < 19 {
                    return Err(short);
                }
                let code = Code::of(bytes.get_u8())?;
                bytes.copy_to_slice(&mut id);
                let error_len = usize::from(bytes.get_u16());
                if bytes.len() < error_len {
                    return Err(short);
                }
                let error = std::str::from_utf8(&bytes[..error_len]).map_err(|_| DatagramError::Text)?.to_owned();
                Ok(Datagram::Registered { id, code, error })
            }
            other => Err(DatagramError::Unknown(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Bytes {
        hex::decode(text.replace(' ', "")).expect("hex").into()
    }

    #[test]
    fn version_2_is_the_recorded_bytes() {
        let session = hex("aaaaaaaabbbb4ccc8dddeeeeeeeeeeee")[..].try_into().unwrap();
        for (payload, recorded) in [("hello-udp", "68656c6c6f2d756470"), ("echo:hello-udp", "6563686f3a68656c6c6f2d756470")] {
            let bytes = hex(&format!("{recorded} aaaaaaaabbbb4ccc8dddeeeeeeeeeeee 00"));
            let datagram = v2::Datagram::Udp { session, payload: Bytes::from_static(payload.as_bytes()) };
            assert_eq!(v2::decode(bytes.clone()), Ok(datagram.clone()));
            assert_eq!(v2::encode(&datagram), Ok(bytes));
        }
    }

    #[test]
    fn version_3_is_the_recorded_bytes() {
        let id = hex("000102030405060708090a0b0c0d0e0f")[..].try_into().unwrap();
        let register = v3::Datagram::Register {
            id,
            destination: "127.0.0.1:19999".parse().unwrap(),
            idle: Duration::from_secs(20),
            traced: false,
            payload: None,
        };
        for (recorded, datagram) in [
            ("00 00 4e1f 0014 000102030405060708090a0b0c0d0e0f 7f000001", register),
            (
                "03 00 000102030405060708090a0b0c0d0e0f 0000",
                v3::Datagram::Registered { id, code: v3::Code::Ok, error: String::new() },
            ),
            (
                "01 000102030405060708090a0b0c0d0e0f 68656c6c6f2d7633",
                v3::Datagram::Payload { id, payload: Bytes::from_static(b"hello-v3") },
            ),
            (
                "01 000102030405060708090a0b0c0d0e0f 6563686f3a68656c6c6f2d7633",
                v3::Datagram::Payload { id, payload: Bytes::from_static(b"echo:hello-v3") },
            ),
        ] {
            assert_eq!(v3::decode(hex(recorded)), Ok(datagram.clone()));
            assert_eq!(v3::encode(&datagram), Ok(hex(recorded)));
        }
    }

    #[test]
    fn short_and_long_ones_are_refused() {
        let register = hex("00 00 4e1f 0014 000102030405060708090a0b0c0d0e0f 7f000001");
        for cut in 0..register.len() {
            assert!(v3::decode(register.slice(..cut)).is_err(), "cut at {cut}");
        }
        let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
        assert_eq!(v2::encode(&v2::Datagram::Ip { packet: payload.clone() }), Err(DatagramError::Long(1281)));
        assert_eq!(v3::encode(&v3::Datagram::Icmp { packet: payload }), Err(DatagramError::Long(1281)));
        assert_eq!(v2::decode(Bytes::from_static(&[1, 2, 0])), Err(DatagramError::Short(3)));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_the_same(bytes in prop::collection::vec(any::<u8>(), 0..60), kind in 0u8..5) {
            let mut first = bytes.clone();
            first.insert(0, kind);
            if let Ok(datagram) = v3::decode(first.into()) {
                prop_assert_eq!(v3::decode(v3::encode(&datagram).unwrap()), Ok(datagram));
            }
            let mut last = bytes;
            last.push(kind);
            if let Ok(datagram) = v2::decode(last.clone().into()) {
                prop_assert_eq!(v2::encode(&datagram), Ok(last.into()));
            }
        }
    }
}
