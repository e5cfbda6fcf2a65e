//! Checks of `poterne-tunnel-proto`.

use bytes::{Bytes, BytesMut};
use poterne_tunnel_proto::{
    config::{Document, LocalFile, Matcher, TunnelConfig, parse_duration},
    datagram::{v2, v3},
    framed, h2,
    management::{
        Path, Query,
        message::{AgentMessage, ClientMessage, Entry},
        token::Token,
    },
    metadata,
    registration::{Edges, features},
    socks::{MESSAGE_BYTES_MAX, Negotiation, Step},
    stream,
    token::{Credentials, TunnelToken},
    websocket::{
        Unwrap,
        messages::{Messages, Sender},
    },
};

/// Heads of data streams, as either end reads them.
pub fn stream(data: &[u8]) {
    let _ = stream::parse_opening(data);
    let _ = stream::parse_response(data);
    let _ = metadata::parse_response_head(data);
    if let Ok(stream::Parsed::Complete { value, .. }) = metadata::parse_request_head(data) {
        // What the agent accepted it can pass on: the edge's own encoder takes it.
        let options = metadata::RequestOptions { websocket: false, body: metadata::BodyLength::Unknown, poterne: None };
        let _ = metadata::encode_http_request(&value.head, &options);
    }
    if let Ok(stream::Parsed::Complete { value, .. }) = stream::parse_request(data) {
        let bytes = stream::encode_request(&value);
        let again = stream::Parsed::Complete { value, consumed: bytes.len() };
        assert_eq!(stream::parse_request(&bytes), Ok(again));
    }
}

/// Serialised headers, heads that carry them, and configuration pushes of the HTTP/2 transport.
pub fn h2(data: &[u8]) {
    let _ = h2::parse_push(data);
    let _ = h2::parse_push_answer(data);
    let Ok(headers) = h2::parse_headers(data) else { return };
    assert_eq!(h2::parse_headers(h2::serialize_headers(&headers).as_bytes()).as_ref(), Ok(&headers));
    let _ = h2::request_kind(&headers);
    let mut request = http::Request::builder().method("POST").uri("https://app.example.test/p?q").body(()).expect("a request");
    *request.headers_mut() = headers.clone();
    let head = request.into_parts().0;
    if let Ok(request) = h2::tunnel_request(&head, false) {
        let _ = h2::agent_request(request.into_parts().0, false);
    }
    let _ = h2::agent_request(head, true);
    for websocket in [false, true] {
        let mut response = http::Response::new(());
        *response.headers_mut() = headers.clone();
        let _ = h2::response_head(&response.into_parts().0, websocket);
    }
}

/// Framed bodies: however the bytes are cut, the same pieces come out. The first byte says where to cut.
pub fn framed(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let (first, second) = data.split_at(usize::from(*cut).min(data.len()));
    assert_eq!(unframe(&[data]), unframe(&[first, second]));
}

fn unframe(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let (mut decoder, mut body) = (framed::Decoder::new(), Vec::new());
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(framed::Piece::Data(data))) => body.extend_from_slice(&data),
                Ok(Some(framed::Piece::End(_))) => {}
                Ok(None) => break,
                Err(_) => return (body, false),
            }
        }
    }
    (body, decoder.finish().is_ok())
}

/// Configurations as JSON; what is valid compiles, matches, and reads the same once written.
pub fn config(data: &[u8]) {
    if let Ok(config) = TunnelConfig::from_json(data) {
        let matcher = Matcher::new(&config).expect("a valid configuration compiles");
        let _ = matcher.find("app.example.org:80", "/a/b");
        assert_eq!(TunnelConfig::from_json(&config.to_json()).as_ref(), Ok(&config));
    }
    if let Ok(document) = serde_json::from_slice::<Document>(data) {
        let _ = LocalFile::from_document(document);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = parse_duration(text);
    }
}

/// Datagrams of both versions.
pub fn datagram(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(datagram) = v2::decode(bytes.clone()) {
        assert_eq!(v2::encode(&datagram), Ok(bytes.clone()));
    }
    if let Ok(datagram) = v3::decode(bytes) {
        assert_eq!(v3::decode(v3::encode(&datagram).expect("it was decoded")), Ok(datagram));
    }
}

/// Tokens and credentials files.
pub fn token(data: &[u8]) {
    let _ = Credentials::parse(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(token) = TunnelToken::parse(text)
    {
        assert_eq!(TunnelToken::parse(&token.encode()), Ok(token));
    }
}

/// What is said over `/logs`, by either end: what is read is read the same once written, fractions aside, whose last digit is JSON's.
pub fn log_message(data: &[u8]) {
    if let Ok(message) = ClientMessage::parse(data) {
        let again = ClientMessage::parse(&message.encode()).expect("it was written");
        match (again, message) {
            (ClientMessage::StopStreaming, ClientMessage::StopStreaming) => {}
            (ClientMessage::StartStreaming { filters: again }, ClientMessage::StartStreaming { filters }) => {
                assert_eq!((again.events, again.level), (filters.events, filters.level));
            }
            other => panic!("{other:?}"),
        }
    }
    if let Ok(message) = AgentMessage::parse(data) {
        let again = AgentMessage::parse(&message.encode()).expect("it was written");
        match (again, message) {
            (AgentMessage::Unknown, AgentMessage::Unknown) => {}
            (AgentMessage::Logs { logs: again }, AgentMessage::Logs { logs }) => {
                let told = |entry: &Entry| (entry.time.clone(), entry.level, entry.message.clone(), entry.event);
                assert!(again.iter().map(told).eq(logs.iter().map(told)), "{logs:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Management tokens, and the queries they stand in: a token that is read is of exactly three parts that say what it says.
pub fn management_token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let query = Query::parse(text);
    for text in [Some(text), query.access_token].into_iter().flatten() {
        let Ok(token) = Token::parse(text) else { continue };
        assert!(text.as_bytes().starts_with(token.signed) && text.split('.').count() == 3);
        let again = token.claims.encode(|_| token.signature);
        let again = Token::parse(&again).expect("it was written").claims;
        assert_eq!(again, token.claims);
        let _ = token.claims.allows(Path::of("/logs"));
    }
}

/// What a registration carries besides its RPC: feature strings, and the edges and pins in the answer.
pub fn registration(data: &[u8]) {
    if let Some(edges) = Edges::parse(data) {
        let _ = edges.pins();
        assert_eq!(Edges::parse(&edges.encode()).as_ref(), Some(&edges));
    }
    let announced: Vec<String> = String::from_utf8_lossy(data).split(',').map(str::to_owned).collect();
    let _ = features::datagram_version(&announced);
}

/// Client frames: however the bytes are cut, the same payload and controls come out. The first byte says how long the pieces are.
pub fn websocket(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    let unwrap = |cut: usize| {
        let (mut unwrap, mut payload, mut controls) = (Unwrap::default(), BytesMut::new(), Vec::new());
        let verdict = data.chunks(cut).try_for_each(|piece| unwrap.push(piece, &mut payload, &mut controls));
        (verdict, payload, controls)
    };
    assert_eq!(unwrap(usize::MAX), unwrap(cut));
    for sender in [Sender::Client, Sender::Server] {
        let read = |cut: usize| {
            let (mut messages, mut all) = (Messages::new(sender, 1000), Vec::new());
            for piece in data.chunks(cut) {
                messages.push(piece);
                loop {
                    match messages.message() {
                        Ok(Some(message)) => all.push(message),
                        Ok(None) => break,
                        Err(error) => return (all, Some(error)),
                    }
                }
            }
            (all, None)
        };
        assert_eq!(read(usize::MAX), read(cut));
    }
}

/// What a SOCKS client says: however its bytes are cut, the same steps and the same rest come out, and no step waits once a whole
/// message could be there. The first byte says how long the pieces are.
pub fn socks(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let cut = usize::from(*cut).max(1);
    let negotiate = |cut: usize| {
        let (mut negotiation, mut buf, mut steps) = (Negotiation::default(), BytesMut::new(), Vec::new());
        for piece in data.chunks(cut) {
            buf.extend_from_slice(piece);
            while !matches!(steps.last(), Some(Step::Connect(_) | Step::Refuse(_))) {
                match negotiation.step(&mut buf) {
                    Step::Wait => {
                        assert!(buf.len() < MESSAGE_BYTES_MAX, "{} bytes wait for more", buf.len());
                        break;
                    }
                    step => steps.push(step),
                }
            }
        }
        if let Some(Step::Connect(destination)) = steps.last() {
            assert!((1..=255).contains(&destination.host.len()) && destination.host.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        assert!(steps.len() <= 2, "{steps:?}");
        (steps, buf)
    };
    assert_eq!(negotiate(usize::MAX), negotiate(cut));
}
