//! Checks of `poterne-edge-http`.

use bytes::{Bytes, BytesMut};
use poterne_edge_http::{
    Limits, Refusal,
    http1::{decoder::Decoder, framing::Piece},
    http3::{
        frames::{self, ControlFrames, RequestFrames},
        head::{read_head, read_trailers},
    },
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

/// Bytes of an HTTP/3 visitor's request stream, and of its control stream: however they are cut, they say the same. What passes as a head
/// has one meaning. The first byte says how long the reads are.
pub fn http3(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let limits = Limits { head_bytes_max: 512, target_bytes_max: 64, field_bytes_max: 128, fields_max: 8, ..Limits::default() };
    let cut = usize::from(*cut).max(1);
    assert_eq!(follow(data, usize::MAX, &limits), follow(data, cut, &limits));
    let control = |cut: usize| {
        let mut control = ControlFrames::default();
        data.chunks(cut).map(|read| control.read(&mut Bytes::copy_from_slice(read))).find(Result::is_err)
    };
    assert_eq!(control(data.len().max(1)).is_some(), control(cut).is_some());
}

/// What a stream says: its sections as they were read, and all of its body.
fn follow(data: &[u8], cut: usize, limits: &Limits) -> (Vec<String>, Vec<u8>) {
    let mut frames = RequestFrames::new(limits.head_bytes_max);
    let (mut sections, mut body) = (Vec::new(), Vec::new());
    for read in data.chunks(cut.min(data.len().max(1))) {
        let mut read = Bytes::copy_from_slice(read);
        loop {
            match frames.next_piece(&mut read) {
                Ok(Some(frames::Piece::Data(data))) => body.extend_from_slice(&data),
                Ok(Some(frames::Piece::Section(section))) if sections.is_empty() => sections.push(head(section, limits)),
                Ok(Some(frames::Piece::Section(section))) => sections.push(trailers(section, limits)),
                Ok(None) => break,
                Err(error) => {
                    sections.push(error.to_string());
                    return (sections, body);
                }
            }
        }
        assert!(read.is_empty(), "bytes were left that nobody looks at");
    }
    sections.push(format!("{:?}", frames.end()));
    (sections, body)
}

fn head(section: Bytes, limits: &Limits) -> String {
    match read_head(section, limits) {
        Err(error) => error.to_string(),
        Ok(mut head) => {
            let judged = head.judge(limits);
            let parts = &head.parts;
            if judged.is_ok() {
                assert!(parts.headers.len() <= limits.fields_max + 1, "too many fields passed");
                let target = parts.uri.path_and_query().expect("a target has a path").as_str();
                assert!(target.starts_with('/') || target == "*", "{target:?}");
                assert!(!target.contains('#') && target.len() <= limits.target_bytes_max);
                for name in ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"] {
                    assert!(!parts.headers.contains_key(name), "{name}");
                }
                assert!(parts.headers.get_all("cookie").iter().count() <= 1);
            }
            // The one thing that is made up.
            let mut parts = head.parts.clone();
            parts.headers.remove("sec-websocket-key");
            format!("{parts:?} {judged:?}")
        }
    }
}

fn trailers(section: Bytes, limits: &Limits) -> String {
    match read_trailers(section, limits) {
        Err(error) => error.to_string(),
        Ok(trailers) => {
            assert!(trailers.len() <= limits.fields_max, "too many trailers passed");
            format!("{trailers:?}")
        }
    }
}
