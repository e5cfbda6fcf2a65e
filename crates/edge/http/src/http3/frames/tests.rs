//! Frames as they were cut by the network.

use proptest::prelude::*;

use super::*;

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    put_number(&mut bytes, kind);
    put_number(&mut bytes, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes.to_vec()
}

/// Head, data put together, trailers.
type Read = (Option<Bytes>, Vec<u8>, Option<Bytes>);

/// In steps of so many bytes.
fn read(stream: &[u8], step: usize) -> Result<Read, RequestError> {
    let mut frames = RequestFrames::new(100);
    let (mut head, mut data, mut trailers) = (None, Vec::new(), None);
    for part in stream.chunks(step) {
        let mut bytes = Bytes::copy_from_slice(part);
        while let Some(piece) = frames.next_piece(&mut bytes)? {
            match piece {
                Piece::Data(piece) => data.extend_from_slice(&piece),
                Piece::Section(section) if head.is_none() => head = Some(section),
                Piece::Section(section) => trailers = Some(section),
            }
        }
        assert!(bytes.is_empty());
    }
    frames.end()?;
    Ok((head, data, trailers))
}

fn code(error: RequestError) -> Option<Code> {
    match error {
        RequestError::Fault(fault) => Some(fault.code),
        RequestError::TooLarge => None,
    }
}

#[test]
fn a_request_is_the_same_however_it_is_cut() {
    let unknown = frame(0x21 + 0x1f * 7, &[7; 300]);
    let stream = [
        unknown.clone(),
        frame(HEADERS, b"head"),
        frame(DATA, b""),
        frame(DATA, &[b'x'; 70]),
        unknown,
        frame(DATA, b"end"),
        frame(HEADERS, b"trailers"),
        frame(0x4242, b"more"),
    ]
    .concat();
    for step in [1, 2, 3, 64, 10_000] {
        let (head, data, trailers) = read(&stream, step).unwrap();
        assert_eq!(head.as_deref(), Some(&b"head"[..]));
        assert_eq!(data, [&[b'x'; 70][..], b"end"].concat());
        assert_eq!(trailers.as_deref(), Some(&b"trailers"[..]));
    }
    assert_eq!(read(&frame(HEADERS, b""), 1).unwrap().0.as_deref(), Some(&b""[..]));
}

#[test]
fn what_may_not_be_there_ends_the_connection() {
    let head = frame(HEADERS, b"head");
    let after = |kind: u64| read(&[head.clone(), frame(kind, b"x")].concat(), 1_000).unwrap_err();
    for kind in [CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, 0x2, 0x6, 0x8, 0x9, 0xf_0700] {
        assert_eq!(code(after(kind)), Some(Code::FRAME_UNEXPECTED), "{kind:#x}");
    }
    assert_eq!(code(read(&frame(DATA, b"x"), 1_000).unwrap_err()), Some(Code::FRAME_UNEXPECTED));
    let twice = [head.clone(), frame(HEADERS, b"t"), frame(HEADERS, b"t")].concat();
    assert_eq!(code(read(&twice, 1_000).unwrap_err()), Some(Code::FRAME_UNEXPECTED));
    for length in 1..head.len() {
        assert_eq!(code(read(&head[..length], 1_000).unwrap_err()), Some(Code::FRAME_ERROR), "{length}");
    }
}

#[test]
fn nothing_is_gathered_beyond_a_head() {
    assert_eq!(read(&frame(HEADERS, &[0; 101]), 1_000), Err(RequestError::TooLarge));
    let mut frames = RequestFrames::new(100);
    // A frame of nobody's that says it has 2^62 - 1 bytes.
    let mut bytes = Bytes::from_static(&[0x21, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(frames.next_piece(&mut bytes), Ok(None));
    for _ in 0..1_000 {
        assert_eq!(frames.next_piece(&mut Bytes::from(vec![0; 1_000])), Ok(None));
    }
    assert!(matches!(frames.now, Now::Passed) && frames.has_begun());
}

#[test]
fn a_control_stream_begins_with_settings_and_says_nothing_twice() {
    let control = |frames: &[Vec<u8>]| {
        let mut control = ControlFrames::default();
        let mut read = Ok(0);
        for part in frames.concat().chunks(3) {
            read = control.read(&mut Bytes::copy_from_slice(part));
            if read.is_err() {
                break;
            }
        }
        read.map_err(|fault: Fault| fault.code)
    };
    let settings = frame(SETTINGS, &[0x6, 0x40, 0x64, 0x1, 0x0]);
    assert_eq!(control(&[settings.clone(), frame(GOAWAY, &[0]), frame(0xf_0700, &[0; 9]), frame(0x21, &[1; 90])]), Ok(4));
    assert_eq!(control(&[frame(SETTINGS, b""), frame(MAX_PUSH_ID, &[8])]), Ok(2));
    assert_eq!(control(&[frame(GOAWAY, &[0])]), Err(Code::MISSING_SETTINGS));
    assert_eq!(control(&[settings.clone(), settings.clone()]), Err(Code::FRAME_UNEXPECTED));
    assert_eq!(control(&[settings.clone(), frame(DATA, b"x")]), Err(Code::FRAME_UNEXPECTED));
    assert_eq!(control(&[settings.clone(), frame(0x8, b"x")]), Err(Code::FRAME_UNEXPECTED));
    assert_eq!(control(&[settings, frame(GOAWAY, b"xyz")]), Err(Code::FRAME_ERROR));
    assert_eq!(control(&[frame(SETTINGS, &[0x1, 0x0, 0x1, 0x0])]), Err(Code::SETTINGS_ERROR));
    assert_eq!(control(&[frame(SETTINGS, &[0x4, 0x0])]), Err(Code::SETTINGS_ERROR));
    assert_eq!(control(&[frame(SETTINGS, &[0x1])]), Err(Code::FRAME_ERROR));
    assert_eq!(control(&[frame(SETTINGS, &[0x21; 1025])]), Err(Code::EXCESSIVE_LOAD));
}

#[test]
fn what_the_visitor_takes_is_known_from_its_settings() {
    let told = |settings: &[u8]| {
        let mut control = ControlFrames::default();
        control.read(&mut Bytes::from(frame(SETTINGS, settings))).unwrap();
        control.section_bytes_max()
    };
    assert_eq!(told(&[0x6, 0x40, 0x64, 0x1, 0x0]), Some(100));
    assert_eq!((told(&[0x1, 0x0]), told(&[]), told(&[0x6, 0x0])), (None, None, Some(0)));
}

#[test]
fn what_we_say_is_read_as_it_was_meant() {
    let mut control = control_stream(32 * 1024);
    assert_eq!(number(&mut control), Some(super::super::side::CONTROL));
    let mut stream = [&control[..], &goodbye(0x1_0000)].concat();
    assert_eq!(ControlFrames::default().read(&mut Bytes::from(std::mem::take(&mut stream))), Ok(2));
}

proptest! {
    #[test]
    fn numbers_come_back(value in 0u64..1 << 62) {
        for value in [value, value >> 20, value >> 40, value >> 52, value >> 60] {
            let mut bytes = BytesMut::new();
            put_number(&mut bytes, value);
            let mut bytes = bytes.freeze();
            prop_assert_eq!(number(&mut bytes.slice(..bytes.len() - 1)), None);
            prop_assert_eq!(number(&mut bytes), Some(value));
        }
    }

    #[test]
    fn any_bytes_are_read_alike_whole_and_in_pieces(stream in prop::collection::vec(0u8..12, 0..60), step in 1usize..7) {
        prop_assert_eq!(read(&stream, step), read(&stream, 1_000));
    }
}
