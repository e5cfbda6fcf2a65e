//! Checks of `poterne-edge-http`.

use bytes::BytesMut;
use poterne_edge_http::{
    Limits, Refusal,
    http1::{decoder::Decoder, framing::Piece},
};

/// Bytes of an HTTP/1.1 visitor: however they are cut into reads, they say the same requests and bodies and are refused or not. The first
/// byte says how long the reads are. Small limits, so that the search meets them.
pub fn http1(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let limits = Limits { head_bytes_max: 512, target_bytes_max: 64, field_bytes_max: 128, fields_max: 8, ..Limits::default() };
    let (whole, pieces) = (listen(data, usize::MAX, &limits), listen(data, usize::from(*cut).max(1), &limits));
    assert_eq!(whole.heads, pieces.heads);
    assert_eq!(whole.bodies, pieces.bodies);
    // Beyond a bound the status may say which bound was met first; refused is refused.
    assert_eq!(
        whole.refusal.is_some(),
        pieces.refusal.is_some(),
        "{:?} in one read, {:?} in several",
        whole.refusal,
        pieces.refusal
    );
}

#[derive(Default)]
struct Said {
    heads: Vec<String>,
    bodies: Vec<u8>,
    refusal: Option<Refusal>,
}

fn listen(data: &[u8], cut: usize, limits: &Limits) -> Said {
    let (mut decoder, mut buf, mut said) = (Decoder::default(), BytesMut::new(), Said::default());
    for read in data.chunks(cut) {
        buf.extend_from_slice(read);
        loop {
            let before = buf.len();
            let refusal = if decoder.in_body() {
                match decoder.body(&mut buf, limits) {
                    Ok(Piece::Data(data)) => {
                        assert!(!data.is_empty(), "an empty piece says nothing");
                        said.bodies.extend_from_slice(&data);
                        continue;
                    }
                    Ok(Piece::End(_)) => continue,
                    Ok(Piece::Wait) => break,
                    Err(refusal) => refusal,
                }
            } else {
                match decoder.head(&mut buf, limits) {
                    Ok(Some(head)) => {
                        assert!(head.parts.headers.len() <= limits.fields_max, "too many fields passed");
                        assert!(before - buf.len() <= limits.head_bytes_max + 4, "too long a head passed");
                        said.heads.push(format!("{:?} {:?}", head.parts, head.length));
                        continue;
                    }
                    Ok(None) => break,
                    Err(refused) => refused.refusal,
                }
            };
            said.refusal = Some(refusal);
            return said;
        }
    }
    said
}
