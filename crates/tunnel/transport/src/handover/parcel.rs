//! Datagrams on their way from one program to another, with what the kernel told of them. Pure.
//!
//! ```text
//! ECN bits (1) │ length of one (2) │ from: address (17), port (2), flow and scope (8) │ to: address (17) │ datagrams of that length
//! ```
//! An address is a family (0: none, 4, 6) and sixteen bytes. Only the two programs of one node write and read it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use quinn::udp::{EcnCodepoint, RecvMeta};

/// Bytes before the datagrams.
pub const HEAD_BYTES: usize = 47;
/// The longest parcel: all that one receive may bring.
pub const BYTES_MAX: usize = HEAD_BYTES + 64 * 1024;

/// Writes one; `datagrams` are of `meta.stride` bytes each, the last perhaps of fewer.
pub fn write(meta: &RecvMeta, datagrams: &[u8], parcel: &mut Vec<u8>) {
    parcel.clear();
    parcel.push(meta.ecn.map_or(0, |ecn| ecn as u8));
    parcel.extend_from_slice(&u16::try_from(meta.stride).unwrap_or(u16::MAX).to_be_bytes());
    write_ip(Some(meta.addr.ip()), parcel);
    parcel.extend_from_slice(&meta.addr.port().to_be_bytes());
    let (flow, scope) = match meta.addr {
        SocketAddr::V6(address) => (address.flowinfo(), address.scope_id()),
        SocketAddr::V4(_) => (0, 0),
    };
    parcel.extend_from_slice(&flow.to_be_bytes());
    parcel.extend_from_slice(&scope.to_be_bytes());
    write_ip(meta.dst_ip, parcel);
    parcel.extend_from_slice(datagrams);
}

fn write_ip(ip: Option<IpAddr>, parcel: &mut Vec<u8>) {
    let (family, bytes) = match ip {
        None => (0, [0; 16]),
        Some(IpAddr::V4(ip)) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            (4, bytes)
        }
        Some(IpAddr::V6(ip)) => (6, ip.octets()),
    };
    parcel.push(family);
    parcel.extend_from_slice(&bytes);
}

/// Reads one; none: it is not one.
pub fn read(parcel: &[u8]) -> Option<(RecvMeta, &[u8])> {
    let (head, datagrams) = parcel.split_first_chunk::<HEAD_BYTES>()?;
    let stride = usize::from(u16::from_be_bytes([head[1], head[2]]));
    if stride == 0 || datagrams.is_empty() {
        return None;
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let port = u16::from_be_bytes([head[20], head[21]]);
    let addr = match read_ip(&head[3..20])?? {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, number(22), number(26)).into(),
    };
    let meta =
        RecvMeta { addr, len: datagrams.len(), stride, ecn: EcnCodepoint::from_bits(head[0]), dst_ip: read_ip(&head[30..47])? };
    Some((meta, datagrams))
}

#[allow(clippy::option_option, reason = "nothing that is an address, or the word that there is none")]
fn read_ip(bytes: &[u8]) -> Option<Option<IpAddr>> {
    let (family, bytes) = bytes.split_first()?;
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    match family {
        0 => Some(None),
        4 => Some(Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into())),
        6 => Some(Some(Ipv6Addr::from(bytes).into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let addresses = ["192.0.2.1:443", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:65535"];
        for (address, to) in
            addresses.iter().zip([None, Some("192.0.2.9".parse().unwrap()), Some("2001:db8::9".parse().unwrap())])
        {
            let meta = RecvMeta { addr: address.parse().unwrap(), len: 25, stride: 10, ecn: Some(EcnCodepoint::Ce), dst_ip: to };
            let mut parcel = Vec::new();
            write(&meta, &[7; 25], &mut parcel);
            let (read, datagrams) = read(&parcel).unwrap();
            assert_eq!(datagrams, [7; 25]);
            assert_eq!((read.addr, read.len, read.stride, read.dst_ip), (meta.addr, 25, 10, to));
            assert_eq!(read.ecn, Some(EcnCodepoint::Ce));
        }
    }

    #[test]
    fn what_is_no_parcel_is_refused() {
        let meta = RecvMeta { addr: "192.0.2.1:443".parse().unwrap(), len: 1, stride: 1, ecn: None, dst_ip: None };
        let mut parcel = Vec::new();
        write(&meta, &[7], &mut parcel);
        for length in 0..parcel.len() {
            assert!(read(&parcel[..length]).is_none(), "{length}");
        }
        for (at, value) in [(3, 0), (3, 5), (30, 9)] {
            let mut wrong = parcel.clone();
            wrong[at] = value;
            assert!(read(&wrong).is_none(), "{at}");
        }
        parcel[2] = 0;
        assert!(read(&parcel).is_none(), "of no length");
    }
}
