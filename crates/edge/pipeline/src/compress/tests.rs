//! What a visitor unpacks is what the origin sent, when it sent it.

use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use poterne_edge_http::{BodyError, Frame};
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;

const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

fn compression() -> Compression {
    Compression::new(&Metrics::new())
}

/// A body that somebody else sends.
struct Sent(mpsc::UnboundedReceiver<Result<Frame, BodyError>>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx)
    }
}

fn stream() -> (mpsc::UnboundedSender<Result<Frame, BodyError>>, Body) {
    let (send, receive) = mpsc::unbounded_channel();
    (send, Body::flow(Sent(receive)))
}

fn answer(status: u16, fields: &[(&str, &str)], body: Body) -> Response {
    fields.iter().fold(http::Response::builder().status(status), |r, (name, value)| r.header(*name, *value)).body(body).unwrap()
}

fn compressed(coding: Coding, body: Body) -> Response {
    let mut answer = answer(200, &[("content-type", "text/plain")], body);
    compression().apply(&mut answer, Wish::With(coding));
    assert_eq!(answer.headers()["content-encoding"], coding.value());
    answer
}

fn unpacked(coding: Coding, octets: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    match coding {
        Coding::Gzip => drop(flate2::read::GzDecoder::new(octets).read_to_end(&mut whole).unwrap()),
        Coding::Brotli => drop(brotli::Decompressor::new(octets, 4096).read_to_end(&mut whole).unwrap()),
        Coding::Zstd => whole = zstd::stream::decode_all(octets).unwrap(),
    }
    whole
}

/// What can be read so far of a stream that is not over.
fn readable(coding: Coding, octets: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut decoder = flate2::write::GzDecoder::new(Vec::new());
            decoder.write_all(octets).unwrap();
            decoder.flush().unwrap();
            decoder.get_ref().clone()
        }
        Coding::Brotli => {
            let mut decoder = brotli::DecompressorWriter::new(Vec::new(), 4096);
            decoder.write_all(octets).unwrap();
            decoder.flush().unwrap();
            decoder.get_ref().clone()
        }
        Coding::Zstd => {
            let mut decoder = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
            decoder.write_all(octets).unwrap();
            decoder.flush().unwrap();
            decoder.get_ref().clone()
        }
    }
}

fn all(body: &mut Body) -> (Vec<u8>, Option<HeaderMap>, Option<BodyError>) {
    let (mut octets, mut trailers) = (Vec::new(), None);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match http_body::Body::poll_frame(Pin::new(&mut *body), &mut cx) {
            Poll::Pending => {}
            Poll::Ready(None) => return (octets, trailers, None),
            Poll::Ready(Some(Err(error))) => return (octets, trailers, Some(error)),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => octets.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
}

#[test]
fn what_was_sent_can_be_read_before_more_is() {
    for coding in CODINGS {
        let (send, body) = stream();
        let mut answer = compressed(coding, body);
        let mut cx = Context::from_waker(Waker::noop());
        let mut octets = Vec::new();
        let mut poll = || http_body::Body::poll_frame(Pin::new(answer.body_mut()), &mut cx);
        assert!(poll().is_pending());
        let mut sent = Vec::new();
        for line in ["one\n", "two\n", "three, which is longer than the ones before\n"] {
            send.send(Ok(Frame::data(Bytes::from_static(line.as_bytes())))).unwrap();
            sent.extend_from_slice(line.as_bytes());
            while let Poll::Ready(Some(Ok(frame))) = poll() {
                octets.extend_from_slice(&frame.into_data().unwrap());
            }
            assert_eq!(readable(coding, &octets), sent, "{coding:?}");
            assert!(poll().is_pending(), "nothing is put out twice");
        }
        drop(send);
        let (last, trailers, error) = all(answer.body_mut());
        octets.extend(last);
        assert_eq!(unpacked(coding, &octets), sent, "{coding:?}");
        assert!(trailers.is_none() && error.is_none());
        assert!(http_body::Body::is_end_stream(answer.body()));
    }
}

#[test]
fn trailers_come_last_and_a_break_is_a_break() {
    for coding in CODINGS {
        let (send, body) = stream();
        let mut answer = compressed(coding, body);
        send.send(Ok(Frame::data(Bytes::from_static(b"text")))).unwrap();
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]);
        send.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        let (octets, told, _) = all(answer.body_mut());
        assert_eq!((unpacked(coding, &octets), told), (b"text".to_vec(), Some(trailers)));
        let (send, body) = stream();
        let mut answer = compressed(coding, body);
        send.send(Ok(Frame::data(Bytes::from_static(b"text")))).unwrap();
        send.send(Err(BodyError::Upstream("gone".into()))).unwrap();
        assert!(all(answer.body_mut()).2.is_some());
        let (send, body) = stream();
        let mut answer = compressed(coding, body);
        drop(send);
        assert!(unpacked(coding, &all(answer.body_mut()).0).is_empty(), "nothing at all");
    }
}

#[test]
fn only_what_is_worth_it_is_touched() {
    let long = "x".repeat(100);
    let html = ("content-type", "text/html");
    let touched = |status, fields: &[(&str, &str)], text: &str, wish| {
        let mut told = answer(status, fields, Body::full(text.to_owned()));
        let before = told.headers().clone();
        compression().apply(&mut told, wish);
        assert!(told.headers().contains_key("vary") || before == *told.headers());
        told.headers().get("content-encoding").is_some_and(|coding| coding != "x" && coding != "identity")
    };
    let with = Wish::With(Coding::Gzip);
    for status in [200, 403, 404] {
        assert!(touched(status, &[html], &long, with), "{status}");
    }
    for status in [201, 204, 206, 301, 304, 500, 101] {
        assert!(!touched(status, &[html], &long, with), "{status}");
    }
    for fields in [
        &[][..],
        &[("content-type", "image/png")],
        &[("content-type", "text/event-stream")],
        &[html, ("content-encoding", "x")],
        &[html, ("cache-control", "public, No-Transform")],
        &[html, ("content-range", "bytes 0-1/2")],
    ] {
        assert!(!touched(200, fields, &long, with), "{fields:?}");
    }
    assert!(touched(200, &[html, ("content-encoding", "identity")], &long, with));
    assert!(!touched(200, &[html], &long, Wish::AsItIs) && !touched(200, &[html], &long, Wish::Plain));
    let of = |length, coding| touched(200, &[html], &long[..length], Wish::With(coding));
    assert!(!of(47, Coding::Gzip) && of(48, Coding::Gzip));
    assert!(!of(49, Coding::Brotli) && of(50, Coding::Brotli) && !of(49, Coding::Zstd) && of(50, Coding::Zstd));
    assert!(!touched(200, &[html], "", with));
}

#[test]
fn the_head_says_what_the_octets_are() {
    let fields = [
        ("content-type", "text/html"),
        ("content-length", "100"),
        ("accept-ranges", "bytes"),
        ("repr-digest", "sha-256=:x:"),
        ("content-md5", "x"),
        ("etag", "\"a\""),
        ("vary", "Cookie"),
    ];
    let mut told = answer(200, &fields, Body::full("x".repeat(100)));
    compression().apply(&mut told, Wish::With(Coding::Brotli));
    let field = |name| told.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(field("content-encoding").as_deref(), Some("br"));
    assert_eq!(field("etag").as_deref(), Some("W/\"a\""));
    for name in ["content-length", "accept-ranges", "repr-digest", "content-md5"] {
        assert_eq!(field(name), None, "{name}");
    }
    assert!(
        strict::has_token(told.headers(), header::VARY, "accept-encoding")
            && strict::has_token(told.headers(), header::VARY, "cookie")
    );
    assert_eq!(http_body::Body::size_hint(told.body()).exact(), None);
    // Whoever takes none is told that others may.
    let mut told = answer(200, &fields, Body::full("x".repeat(100)));
    compression().apply(&mut told, Wish::Plain);
    assert_eq!(
        (&told.headers()["etag"], &told.headers()["content-length"]),
        (&HeaderValue::from_static("\"a\""), &HeaderValue::from_static("100"))
    );
    assert!(strict::has_token(told.headers(), header::VARY, "accept-encoding"));
    for (tag, after) in [("W/\"a\"", Some("W/\"a\"")), ("\"\"", Some("W/\"\"")), ("a", None), ("\"", None), ("", None)] {
        let mut headers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_str(tag).unwrap())]);
        weaken(&mut headers);
        assert_eq!(headers.get(header::ETAG).map(|tag| tag.to_str().unwrap()), after, "{tag:?}");
    }
    for vary in ["*", "Accept-Encoding, Cookie"] {
        let mut headers = HeaderMap::from_iter([(header::VARY, HeaderValue::from_static(vary))]);
        super::vary(&mut headers);
        assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
    }
}

#[test]
fn what_a_request_forbids_is_left() {
    let wish = |method: &str, fields: &[(&str, &str)], kind| {
        let request = fields.iter().fold(http::Request::builder().method(method), |r, (name, value)| r.header(*name, *value));
        Wish::of(&request.body(Body::empty()).unwrap(), kind, &EdgeSettings::default())
    };
    let gzip = ("accept-encoding", "gzip");
    assert_eq!(wish("GET", &[gzip], Kind::Http), Wish::With(Coding::Gzip));
    assert_eq!(wish("POST", &[], Kind::Http), Wish::Plain);
    assert_eq!(wish("HEAD", &[gzip], Kind::Http), Wish::AsItIs);
    assert_eq!(wish("GET", &[gzip], Kind::WebSocket), Wish::AsItIs);
    assert_eq!(wish("GET", &[gzip, ("cache-control", "no-transform")], Kind::Http), Wish::AsItIs);
}

#[test]
fn beyond_the_bound_answers_pass_as_they_are() {
    let compression = compression();
    let make = || {
        let mut told = answer(200, &[("content-type", "text/html")], Body::full("x".repeat(100)));
        compression.apply(&mut told, Wish::With(Coding::Gzip));
        told
    };
    let mut all: Vec<Response> = (0..COMPRESSED_MAX).map(|_| make()).collect();
    assert!(all.iter().all(|told| told.headers().contains_key("content-encoding")));
    let beyond = make();
    assert!(!beyond.headers().contains_key("content-encoding") && beyond.headers().contains_key("vary"));
    assert_eq!(super::tests::all(all[0].body_mut()).2.map(|error| error.to_string()), None);
    assert!(make().headers().contains_key("content-encoding"), "one that is over makes room, though it is still held");
    drop(all);
    assert_eq!(compression.gauge.get(), 0);
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_compressor_takes_no_more_than_its_bound() {
    // What no table of it can forget: nothing of it is alike.
    let mut seed = 1_u64;
    let text: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b' ' + u8::try_from(seed >> 58).unwrap()
    })
    .take(1 << 20)
    .collect();
    // Kept to the end: what one left is not to be the next one's.
    let mut kept = Vec::new();
    for (coding, length, most) in [
        (Coding::Gzip, None, 512),
        (Coding::Zstd, Some(16 * 1024), 512),
        (Coding::Zstd, None, 1536),
        (Coding::Brotli, None, 1536),
    ] {
        let before = resident();
        let many: Vec<encoder::Encoder> = (0..32)
            .map(|_| {
                let mut encoder = encoder::Encoder::new(coding, length).unwrap();
                for piece in text[..length.map_or(1 << 20, |length| usize::try_from(length).unwrap())].chunks(16 * 1024) {
                    encoder.write(piece).unwrap();
                    encoder.flush().unwrap();
                    drop(encoder.take());
                }
                encoder
            })
            .collect();
        let each = resident().saturating_sub(before) / many.len() / 1024;
        assert!(each <= most, "{coding:?} of {length:?}: {each} KiB each");
        kept.push(many);
    }
}

proptest! {
    #[test]
    fn what_is_unpacked_is_what_was_sent(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 1..600usize, any::<bool>()), 0..12),
        coding in prop::sample::select(CODINGS.to_vec()),
        is_told in any::<bool>(),
    ) {
        let (send, body) = stream();
        let sent: Vec<u8> = pieces.iter().flat_map(|(piece, times, _)| piece.repeat(*times)).collect();
        let length = is_told.then_some(sent.len() as u64);
        let mut body = Body::flow(Compressed::new(body, coding, length, compression().slot().unwrap()));
        let mut octets = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        for (piece, times, pauses) in pieces {
            send.send(Ok(Frame::data(Bytes::from(piece.repeat(times))))).unwrap();
            while pauses && let Poll::Ready(Some(frame)) = http_body::Body::poll_frame(Pin::new(&mut body), &mut cx) {
                octets.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
        }
        drop(send);
        let (last, _, error) = all(&mut body);
        prop_assert!(error.is_none(), "{:?}", error);
        octets.extend(last);
        prop_assert_eq!(unpacked(coding, &octets), sent);
    }
}
