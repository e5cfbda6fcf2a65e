//! Transcripts of the stock agent against the gateway. What the agent sends are the recorded bytes; what the gateway sends is
//! compared byte for byte where the encoder is ours, and in canonical form where Cap'n Proto leaves the encoder a choice.

use bytes::Bytes;
use capnp::{any_pointer, message::ReaderOptions, serialize};
use capnp_rpc::rpc_capnp::{cap_descriptor, message, message_target, return_};
use http::{Method, StatusCode};
use poterne_edge_http::Body;
use poterne_edge_upstream::UpstreamError;
use poterne_feed::Event;
use poterne_model::{TunnelStatus, tunnel::Transport};
use poterne_tunnel_proto::{
    generated::tunnel_capnp::{connection_response, registration_server::register_connection_results},
    h2 as wire,
    stream::{ConnectRequest, ConnectionType, Parsed, parse_request},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    agent::{Agent, BOTH, Control, Link, registration},
    edge::{Edge, TUNNEL, eventually, other_tunnel, read, request, soon, tunnel},
    vectors::{A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, B1, B2, B3, B4, C1, C2, D2, D3, E1, E4, bytes},
};

/// First bytes of a stream that carries RPC.
const D1: [u8; 6] = [0x52, 0xbb, 0x82, 0x5c, 0xdb, 0x65];

impl Control {
    async fn say(&mut self, messages: &[&str]) {
        let all: Vec<u8> = messages.iter().flat_map(|message| bytes(message)).collect();
        self.writer.write_all(&all).await.unwrap();
        self.writer.flush().await.unwrap();
    }

    async fn hear(&mut self) -> Vec<u8> {
        framed(&mut self.reader).await
    }
}

/// One message with its segment table.
async fn framed(reader: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let work = async {
        let mut bytes = vec![0; 4];
        reader.read_exact(&mut bytes).await.unwrap();
        let segments = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize + 1;
        bytes.resize((4 + 4 * segments).next_multiple_of(8), 0);
        reader.read_exact(&mut bytes[4..]).await.unwrap();
        let sizes = bytes[4..4 + 4 * segments].chunks(4).map(|size| u32::from_le_bytes(size.try_into().unwrap()) as usize);
        let (table, words) = (bytes.len(), sizes.sum::<usize>());
        bytes.resize(table + words * 8, 0);
        reader.read_exact(&mut bytes[table..]).await.unwrap();
        bytes
    };
    soon("a message", work).await
}

/// What an RPC message says, whatever the layout its encoder chose.
#[derive(Debug, PartialEq)]
enum Said {
    Bootstrap {
        question: u32,
    },
    /// `caps` are kinds of capabilities; `content` is canonical, and absent where a capability is all there is.
    Return {
        answer: u32,
        caps: Vec<u16>,
        content: Option<Vec<u8>>,
    },
    Exception {
        answer: u32,
        unimplemented: bool,
    },
    Call {
        question: u32,
        on_promise: Option<u32>,
        interface: u64,
        method: u16,
        params: Vec<u8>,
    },
    Other,
}

fn said(bytes: &[u8]) -> Said {
    let reader = serialize::read_message(&mut &bytes[..], ReaderOptions::new()).unwrap();
    match reader.get_root::<message::Reader<'_>>().unwrap().which().unwrap() {
        message::Bootstrap(bootstrap) => Said::Bootstrap { question: bootstrap.unwrap().get_question_id() },
        message::Return(returned) => {
            let returned = returned.unwrap();
            let answer = returned.get_answer_id();
            match returned.which().unwrap() {
                return_::Results(payload) => {
                    let payload = payload.unwrap();
                    let caps: Vec<u16> = payload.get_cap_table().unwrap().iter().map(kind).collect();
                    let content = caps.is_empty().then(|| canonical(payload.get_content()));
                    Said::Return { answer, caps, content }
                }
                return_::Exception(exception) => {
                    let kind = exception.unwrap().get_type().unwrap();
                    Said::Exception { answer, unimplemented: kind == capnp_rpc::rpc_capnp::exception::Type::Unimplemented }
                }
                _ => Said::Other,
            }
        }
        message::Call(call) => {
            let call = call.unwrap();
            let on_promise = match call.get_target().unwrap().which().unwrap() {
                message_target::PromisedAnswer(promised) => Some(promised.unwrap().get_question_id()),
                message_target::ImportedCap(_) => None,
            };
            Said::Call {
                question: call.get_question_id(),
                on_promise,
                interface: call.get_interface_id(),
                method: call.get_method_id(),
                params: canonical(call.get_params().unwrap().get_content()),
            }
        }
        _ => Said::Other,
    }
}

fn kind(cap: cap_descriptor::Reader<'_>) -> u16 {
    match cap.which() {
        Ok(cap_descriptor::SenderHosted(_)) => 1,
        _ => 0,
    }
}

fn canonical(content: any_pointer::Reader<'_>) -> Vec<u8> {
    let mut message = capnp::message::Builder::new_default();
    message.set_root_canonical(content).unwrap();
    serialize::write_message_to_words(&message)
}

/// The id that the edge chose for the connection, out of its welcome.
fn connection_id(welcome: &[u8]) -> [u8; 16] {
    let reader = serialize::read_message(&mut &welcome[..], ReaderOptions::new()).unwrap();
    let Ok(message::Return(returned)) = reader.get_root::<message::Reader<'_>>().unwrap().which() else { panic!("no Return") };
    let Ok(return_::Results(payload)) = returned.unwrap().which() else { panic!("no results") };
    let results: register_connection_results::Reader<'_> = payload.unwrap().get_content().get_as().unwrap();
    match results.get_result().unwrap().get_result().which().unwrap() {
        connection_response::result::ConnectionDetails(details) => details.unwrap().get_uuid().unwrap().try_into().unwrap(),
        connection_response::result::Error(error) => panic!("refused: {:?}", error.unwrap().get_cause()),
    }
}

/// The registration as recorded, and the edge's answers to it.
async fn register(agent: &mut Agent) {
    agent.control.say(&[A1, A2]).await;
    assert_eq!(said(&agent.control.hear().await), said(&bytes(A3)));
    let mut welcome = agent.control.hear().await;
    let chosen = connection_id(&welcome);
    let at = welcome.windows(16).position(|window| window == chosen).unwrap();
    welcome[at..at + 16].copy_from_slice(&bytes("11111111222233334444555555555555"));
    assert_eq!(said(&welcome), said(&bytes(A4)));
    agent.control.say(&A5).await;
}

#[tokio::test]
async fn a_session_from_registration_to_goodbye() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let mut agent = Agent::dial(&edge, transport).await;
        register(&mut agent).await;
        let Event::ConnectionOpened { connector, version, arch, features, connection, .. } = edge.event().await else { panic!() };
        assert_eq!(connector.to_string(), "e87bb80c-69ee-415b-95c3-f54c395ece71");
        assert_eq!((version.as_str(), arch.as_str(), features.len()), ("DEV", "linux_amd64", 5));
        assert_eq!((connection.transport, connection.index, connection.draining), (transport, 0, false));
        assert_eq!(edge.gateway.status(tunnel(), connection.opened_at).0, TunnelStatus::Healthy);

        agent.control.say(&[A6]).await;
        assert_eq!(said(&agent.control.hear().await), said(&bytes(A7)));
        let Event::LocalConfiguration { config, .. } = edge.event().await else { panic!("no configuration") };
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["ingress"][0]["service"], "http://127.0.0.1:18000");
        agent.control.say(&[A5[1]]).await;

        agent.control.say(&[A8]).await;
        assert_eq!(said(&agent.control.hear().await), said(&bytes(A7)));
        agent.control.say(&[A5[1], A9]).await;
        agent.control.writer.shutdown().await.unwrap();
        // Nothing is in flight: the edge closes, so that the agent need not wait for its grace period.
        let reason = soon("the edge's goodbye", agent.link.closed()).await;
        assert!(transport == Transport::Http2 || reason == "drained", "{reason}");
        assert_eq!(edge.end().await, "drained");
        assert_eq!(edge.gateway.connections(), 0);
    }
}

#[tokio::test]
async fn a_refusal_has_the_recorded_form() {
    for transport in BOTH {
        let edge = Edge::start().await;
        edge.delete(tunnel());
        let mut agent = Agent::dial(&edge, transport).await;
        agent.control.say(&[A1, A2]).await;
        assert_eq!(said(&agent.control.hear().await), said(&bytes(A3)));
        let refusal = said(&agent.control.hear().await);
        let (Said::Return { answer, caps, content: Some(content) }, Said::Return { content: Some(recorded), .. }) =
            (refusal, said(&bytes(A10)))
        else {
            panic!("no answer");
        };
        assert_eq!((answer, caps), (1, vec![]));
        // The words are ours, the rest of the first struct is as recorded: an error, which the agent may ask for again.
        assert_eq!(content[8..24], recorded[8..24]);
        let text = String::from_utf8_lossy(&content).into_owned();
        assert!(text.contains("Unauthorized: no such tunnel"), "{text}");
        soon("the edge's goodbye", agent.link.closed()).await;
    }
}

#[tokio::test]
async fn requests_over_quic_are_the_recorded_bytes() {
    let edge = Edge::start().await;
    let mut agent = Agent::dial(&edge, Transport::Quic).await;
    register(&mut agent).await;
    let Link::Quic(connection) = &agent.link else { unreachable!() };
    let answer = async |recorded: &str, body: &[u8], asked: Vec<u8>| {
        let (mut send, mut recv) = soon("a data stream", connection.accept_bi()).await.unwrap();
        assert_eq!(hex::encode(soon("its end", recv.read_to_end(4096)).await.unwrap()), hex::encode(asked));
        send.write_all(&[&bytes(recorded), body].concat()).await.unwrap();
        send.finish().unwrap();
    };
    let get = async || edge.send(tunnel(), request(Method::GET, "/x", Body::empty())).await;

    // B1, B2.
    let body = [b'x'; 165];
    let (response, ()) = tokio::join!(get(), answer(B2, &body, bytes(B1)));
    let response = response.unwrap();
    assert_eq!((response.status(), response.headers().len()), (StatusCode::OK, 6));
    assert_eq!(response.headers().get_all("x-multi").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(response.headers()["content-length"], "165");
    assert_eq!(read(response).await.unwrap().as_bytes(), body);

    // B3, B4.
    let post = edge.send(tunnel(), request(Method::POST, "/p", Body::full(Bytes::from_static(b"hello"))));
    let (response, ()) = tokio::join!(post, answer(B4, b"", [&bytes(B3)[..], b"hello"].concat()));
    let response = response.unwrap();
    assert_eq!((response.status(), response.headers().len()), (StatusCode::NOT_FOUND, 0));
    assert_eq!(read(response).await.unwrap(), "");

    // C2 answers a TCP flow; to a request for a page it lacks the status.
    let (response, ()) = tokio::join!(get(), answer(C2, b"", bytes(B1)));
    assert_eq!(response.unwrap_err(), UpstreamError::Protocol("HttpStatus is missing or malformed".into()));
    // C1, by which an edge opens such a flow: no route of this gateway leads there yet.
    let Parsed::Complete { value, .. } = parse_request(&bytes(C1)).unwrap() else { panic!("half a head") };
    let flow = ConnectRequest {
        dest: "127.0.0.1:19998".into(),
        kind: ConnectionType::Tcp,
        metadata: vec![("FlowID".into(), "abc123".into())],
    };
    assert_eq!(value, flow);
}

#[tokio::test]
async fn a_configuration_is_pushed_as_recorded() {
    let json = r#"{"ingress":[{"service":"http_status:404"}]}"#;
    let edge = Edge::start().await;
    let mut agent = Agent::dial(&edge, Transport::Quic).await;
    register(&mut agent).await;
    let Link::Quic(connection) = &agent.link else { unreachable!() };
    edge.publish(tunnel(), Some((1, json)));
    let (mut send, mut recv) = soon("an RPC stream", connection.accept_bi()).await.unwrap();
    let mut signature = [0; 6];
    recv.read_exact(&mut signature).await.unwrap();
    assert_eq!(signature, D1);
    assert_eq!(said(&framed(&mut recv).await), said(&bytes(A1)));
    assert_eq!(said(&framed(&mut recv).await), said(&bytes(D2)));
    // Nobody has answered yet.
    let configured = edge.gateway.configured(tunnel());
    tokio::pin!(configured);
    assert!(futures_util::poll!(configured.as_mut()).is_pending());
    send.write_all(&[bytes(A3), bytes(D3)].concat()).await.unwrap();
    soon("the answer to the push", configured).await;
}

#[tokio::test]
async fn a_configuration_is_pushed_over_http_2() {
    let json = r#"{"ingress":[{"service":"http_status:404"}]}"#;
    let edge = Edge::start().await;
    let mut agent = Agent::dial(&edge, Transport::Http2).await;
    register(&mut agent).await;
    let Link::Http2 { requests, .. } = &agent.link else { unreachable!() };
    edge.publish(tunnel(), Some((3, json)));
    let (request, mut respond) = soon("a push", async { requests.lock().await.recv().await }).await.unwrap();
    assert_eq!(request.headers()[wire::CONNECTION_UPGRADE], "update-configuration");
    let mut body = request.into_body();
    let mut pushed = Vec::new();
    while let Some(data) = soon("its body", body.data()).await {
        pushed.extend_from_slice(&data.unwrap());
    }
    assert_eq!(String::from_utf8(pushed).unwrap(), format!(r#"{{"version":3,"config":{json}}}"#));
    let mut send = respond.send_response(http::Response::new(()), false).unwrap();
    send.send_data(r#"{"lastAppliedVersion":3,"err":null}"#.into(), true).unwrap();
    soon("the answer to the push", edge.gateway.configured(tunnel())).await;
}

#[tokio::test]
async fn what_an_agent_says_of_udp_sessions_is_answered() {
    let edge = Edge::start().await;
    let mut agent = Agent::dial(&edge, Transport::Quic).await;
    register(&mut agent).await;
    let Link::Quic(connection) = &agent.link else { unreachable!() };
    let ask = async |call: &str| {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&[&D1[..], &bytes(A1), &bytes(call)].concat()).await.unwrap();
        assert_eq!(said(&framed(&mut recv).await), said(&bytes(A3)));
        said(&framed(&mut recv).await)
    };
    // E4: a session that has ended. E1 is the edge's to ask: an agent that does is told so.
    assert_eq!(ask(E4).await, said(&bytes(A7)));
    assert_eq!(ask(E1).await, Said::Exception { answer: 1, unimplemented: true });

    // E3, a datagram of version 2, and E8, one of version 3, which this agent did not announce.
    let (v2, v3) = ("6563686f3a68656c6c6f2d756470aaaaaaaabbbb4ccc8dddeeeeeeeeeeee00", "01000102030405060708090a0b0c0d0e0f6563");
    connection.send_datagram(bytes(v2).into()).unwrap();
    eventually("a datagram is counted", || edge.metric("gateway_datagrams") == 1).await;
    assert_eq!(edge.metric("gateway_datagrams_malformed"), 0);
    connection.send_datagram(bytes(v3).into()).unwrap();
    eventually("another is counted", || edge.metric("gateway_datagrams") == 2).await;
    assert_eq!(edge.metric("gateway_datagrams_malformed"), 1);
}

#[tokio::test]
async fn the_recorded_token_opens_the_recorded_tunnel() {
    use poterne_tunnel_proto::token::TunnelToken;
    let text = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJ0IjoiM2Q1MzlmOTctY2QzYS00ZDhlLTgzM2ItNjVlOTA5OWM3YThkIiwicyI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHhBUkVoTVVGUllYR0JrYUd4d2RIaDg9In0=";
    let token = TunnelToken::parse(text).unwrap();
    assert_eq!(token.tunnel.to_string(), TUNNEL);
    let edge = Edge::start().await;
    let mut request = registration(0);
    request.account_tag = token.account;
    request.tunnel_secret = token.secret;
    request.tunnel_id = token.tunnel;
    let (answer, _link) = Agent::dial(&edge, Transport::Quic).await.register(request).await;
    assert_eq!(answer.unwrap().unwrap().location, "LAB01");
    assert!(edge.gateway.connectors(other_tunnel()).is_empty());
}
