//! Checks of `poterne-origin`.

use bytes::BytesMut;
use http::{Method, StatusCode};
use poterne_origin::{
    Rules,
    body::{Framing, Piece},
    head::take_answer,
};

/// Bytes of a server that was asked by HTTP/1.1: however they are cut into reads, they say the same answers and bodies and are refused or
/// not; and whoever is not forgiven says nothing else than whoever is. The first byte says how long the reads are, the second what was
/// asked. Small limits, so that the search meets them.
pub fn answer(data: &[u8]) {
    let [cut, asked, data @ ..] = data else { return };
    let method = if asked % 2 == 0 { Method::GET } else { Method::HEAD };
    let rules = Rules { head_bytes_max: 512, fields_max: 8, forgiving: asked & 2 != 0 };
    let (whole, pieces) = (listen(data, usize::MAX, &method, &rules), listen(data, usize::from(*cut).max(1), &method, &rules));
    assert_eq!((&whole.heads, &whole.bodies), (&pieces.heads, &pieces.bodies));
    assert_eq!(whole.refusal.is_some(), pieces.refusal.is_some(), "{:?} and {:?}", whole.refusal, pieces.refusal);
    let forgiven = listen(data, usize::MAX, &method, &Rules { forgiving: true, ..rules });
    if whole.refusal.is_none() {
        assert_eq!((&whole.heads, &whole.bodies), (&forgiven.heads, &forgiven.bodies));
    }
}

#[derive(Default)]
struct Said {
    heads: Vec<String>,
    bodies: Vec<u8>,
    refusal: Option<String>,
}

fn listen(data: &[u8], cut: usize, method: &Method, rules: &Rules) -> Said {
    let (mut buf, mut said, mut body) = (BytesMut::new(), Said::default(), None::<Framing>);
    for read in data.chunks(cut) {
        buf.extend_from_slice(read);
        loop {
            let refusal = if let Some(framing) = &mut body {
                match framing.decode(&mut buf, rules.forgiving) {
                    Ok(Piece::Data(data)) => {
                        assert!(!data.is_empty(), "an empty piece says nothing");
                        said.bodies.extend_from_slice(&data);
                        continue;
                    }
                    Ok(Piece::End(_)) => {
                        body = None;
                        continue;
                    }
                    Ok(Piece::Wait) => break,
                    Err(fault) => fault.to_string(),
                }
            } else {
                let before = buf.len();
                match take_answer(&mut buf, method, rules) {
                    Ok(Some(answer)) => {
                        assert!(answer.headers.len() <= rules.fields_max, "too many fields passed");
                        assert!(before - buf.len() <= rules.head_bytes_max, "too long a head passed");
                        said.heads.push(format!("{} {:?} {:?}", answer.status, answer.headers, answer.framing));
                        // What comes after a switch of protocols is nobody's to read.
                        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
                            return said;
                        }
                        body = Some(answer.framing);
                        continue;
                    }
                    Ok(None) => break,
                    Err(error) => error.to_string(),
                }
            };
            said.refusal = Some(refusal);
            return said;
        }
    }
    said
}
