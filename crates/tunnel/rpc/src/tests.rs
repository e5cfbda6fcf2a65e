//! Both ends against each other, and each against recorded bytes of the stock agent.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use poterne_model::{ConnectionId, ConnectorId, TunnelId};
use poterne_tunnel_proto::{
    registration::{ClientInfo, ConnectionDetails, ConnectionOptions, RegisterConnection, RegistrationError},
    token::Secret,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

const A1: &str = "000000000500000000000000010001000800000000000000000000000100010000000000000000000000000000000000";
const A2: &str = "000000004300000000000000010001000200000000000000000000000300030001000000000000009754e87fec9516f7
000000000000000008000000010001001800000000000200000000000000000000000000010000000000000001000100
0000000000000000010000000700000000000000010000000400000001000300c9000000070000000000000000000000
080000000000020031000000820000003400000001000200050000000a01000015000000020100003031323334353637
3839616263646566303132333435363738396162636465660000000000000000000102030405060708090a0b0c0d0e0f
101112131415161718191a1b1c1d1e1f3d539f97cd3a4d8e833b65e9099c7a8d00000000000000000400000000000400
71000000820000000d00000082000000110000002e00000059000000220000005900000062000000e87bb80c69ee415b
95c3f54c395ece7111000000a2000000190000009a00000021000000a2000000290000008a0000003100000082000000
616c6c6f775f72656d6f74655f636f6e666967000000000073657269616c697a65645f68656164657273000000000000
737570706f72745f646174616772616d5f76320000000000737570706f72745f717569635f656f660000000000000000
6d616e6167656d656e745f6c6f67730044455600000000006c696e75785f616d64363400000000000000000000000000
0000ffff7f0000010000000001000100";
const A3: &str = "000000000b00000000000000010001000300000000000000000000000200010000000000010000000000000000000000
000000000000020003000000000000000100000017000000040000000100010001000000000000000000000000000000";
const A4: &str = "000000001200000000000000010001000300000000000000000000000200010001000000010000000000000000000000
000000000000020004000000000001002500000007000000000000000100010001000000000000000000000001000200
000000000000000005000000820000000900000032000000111111112222333344445555555555554c41423031000000
0000000001000100";
const A8: &str = "000000000e00000000000000010001000200000000000000000000000300030001000000010000009754e87fec9516f7
000000000000000008000000010001000c00000000000200000000000000000000000000000000000000000000000000
fcffffff0000000001000000070000000000000001000100";
const A9: &str = "000000000700000000000000010001000100000000000000000000000100010000000000000000000100000072000000
7270633a2073687574646f776e000000";
const A10: &str = "000000001200000000000000010001000300000000000000000000000200010001000000010000000000000000000000
000000000000020004000000000001002500000007000000000000000100010000000000000000000000000002000100
0000000000000000000000000000000001000000b200000074756e6e656c20646f6573206e6f74206578697374000000
0000000001000100";

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).expect("hex")
}

/// An edge that notes what it hears.
#[derive(Default)]
struct Edge {
    heard: Mutex<Vec<String>>,
    registered: Mutex<Option<RegisterConnection>>,
    refuse: bool,
}

impl RegistrationServer for Arc<Edge> {
    fn register_connection(
        &self,
        request: RegisterConnection,
    ) -> BoxFuture<'static, Result<ConnectionDetails, RegistrationError>> {
        let edge = self.clone();
        Box::pin(async move {
            *edge.registered.lock().unwrap() = Some(request);
            if edge.refuse {
                return Err(RegistrationError {
                    cause: "tunnel does not exist".into(),
                    retry_after: Duration::ZERO,
                    should_retry: false,
                });
            }
            Ok(ConnectionDetails { id: connection_id(), location: "LAB01".into(), remotely_managed: false, edges: None })
        })
    }
    fn unregister_connection(&self) -> BoxFuture<'static, ()> {
        self.heard.lock().unwrap().push("unregister".into());
        Box::pin(async {})
    }
    fn update_local_configuration(&self, config: Bytes) -> BoxFuture<'static, ()> {
        self.heard.lock().unwrap().push(String::from_utf8_lossy(&config).into_owned());
        Box::pin(async {})
    }
}

fn connection_id() -> ConnectionId {
    "11111111-2222-3333-4444-555555555555".parse().unwrap()
}

fn registration() -> RegisterConnection {
    RegisterConnection {
        account_tag: "0123456789abcdef0123456789abcdef".into(),
        tunnel_secret: Secret::new((0..32).collect()),
        tunnel_id: "3d539f97-cd3a-4d8e-833b-65e9099c7a8d".parse::<TunnelId>().unwrap(),
        index: 0,
        options: ConnectionOptions {
            client: ClientInfo {
                client_id: "e87bb80c-69ee-415b-95c3-f54c395ece71".parse::<ConnectorId>().unwrap(),
                features: [
                    "allow_remote_config",
                    "serialized_headers",
                    "support_datagram_v2",
                    "support_quic_eof",
                    "management_logs",
                ]
                .map(String::from)
                .to_vec(),
                version: "DEV".into(),
                arch: "linux_amd64".into(),
            },
            origin_local_ip: Some("127.0.0.1".parse().unwrap()),
            replace_existing: false,
            compression_quality: 0,
            previous_attempts: 0,
        },
    }
}

/// Reads one framed message, whatever its number of segments.
async fn message(reader: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    reader.read_exact(&mut bytes).await.expect("a message");
    let segments = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize + 1;
    bytes.resize((4 + 4 * segments).next_multiple_of(8), 0);
    reader.read_exact(&mut bytes[4..]).await.expect("the table");
    let words: u32 = bytes[4..4 + 4 * segments].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).sum();
    let table = bytes.len();
    bytes.resize(table + words as usize * 8, 0);
    reader.read_exact(&mut bytes[table..]).await.expect("the segments");
    bytes
}

/// What a Return says, whatever the layout its encoder chose: question, kinds of its capabilities, and the registration's answer.
type Said = (u32, Vec<u16>, Option<Result<ConnectionDetails, RegistrationError>>);

fn said(bytes: &[u8]) -> Said {
    use capnp_rpc::rpc_capnp::{message, return_};
    use poterne_tunnel_proto::generated::tunnel_capnp::registration_server::register_connection_results;
    let reader = capnp::serialize::read_message(&mut &bytes[..], reader_options()).expect("decodes");
    let Ok(message::Return(Ok(answer))) = reader.get_root::<message::Reader<'_>>().unwrap().which() else { panic!("a Return") };
    let Ok(return_::Results(Ok(payload))) = answer.which() else { panic!("results") };
    let kinds: Vec<u16> = payload
        .get_cap_table()
        .unwrap()
        .iter()
        .map(|cap| match cap.which() {
            Ok(capnp_rpc::rpc_capnp::cap_descriptor::SenderHosted(_)) => 1,
            _ => 0,
        })
        .collect();
    let answer_of = |payload: capnp_rpc::rpc_capnp::payload::Reader<'_>| {
        let results: register_connection_results::Reader<'_> = payload.get_content().get_as().unwrap();
        convert::read_answer(results.get_result().unwrap()).unwrap()
    };
    (answer.get_answer_id(), kinds.clone(), kinds.is_empty().then(|| answer_of(payload)))
}

#[tokio::test]
async fn the_recorded_registration_is_answered_as_recorded() {
    for (refuse, answer) in [(false, A4), (true, A10)] {
        let edge = Arc::new(Edge { refuse, ..Edge::default() });
        let (agent, (reader, writer)) = {
            let (a, b) = duplex(4096);
            (a, tokio::io::split(b))
        };
        let threads = RpcThreads::new(1);
        let served = tokio::spawn({
            let server: Arc<dyn RegistrationServer> = Arc::new(edge.clone());
            async move { serve_registration(&threads, reader, writer, server, Limits::default()).await }
        });
        let (mut from_edge, mut to_edge) = tokio::io::split(agent);
        to_edge.write_all(&[hex(A1), hex(A2)].concat()).await.unwrap();
        assert_eq!(said(&message(&mut from_edge).await), said(&hex(A3)));
        assert_eq!(said(&message(&mut from_edge).await), said(&hex(answer)));
        assert_eq!(edge.registered.lock().unwrap().clone(), Some(registration()));
        let mut goodbye = hex(A8);
        goodbye[32] = 2; // the recorded one reuses question 1, which these bytes have not finished
        to_edge.write_all(&goodbye).await.unwrap();
        message(&mut from_edge).await;
        assert_eq!(*edge.heard.lock().unwrap(), ["unregister"]);
        to_edge.write_all(&hex(A9)).await.unwrap();
        assert_eq!(served.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn both_ends_understand_each_other() {
    let edge = Arc::new(Edge::default());
    let (a, b) = duplex(4096);
    let ((ar, aw), (br, bw)) = (tokio::io::split(a), tokio::io::split(b));
    let threads = RpcThreads::new(1);
    let served = tokio::spawn({
        let (server, threads): (Arc<dyn RegistrationServer>, _) = (Arc::new(edge.clone()), threads.clone());
        async move { serve_registration(&threads, br, bw, server, Limits::default()).await }
    });
    let client = RegistrationClient::connect(&threads, ar, aw);
    let details = client.register(registration()).await.unwrap().unwrap();
    assert_eq!(
        details,
        ConnectionDetails { id: connection_id(), location: "LAB01".into(), remotely_managed: false, edges: None }
    );
    assert_eq!(edge.registered.lock().unwrap().clone(), Some(registration()));
    client.update_local_configuration(Bytes::from_static(b"{}")).await.unwrap();
    client.unregister(Duration::from_secs(60)).await.unwrap();
    assert_eq!(*edge.heard.lock().unwrap(), ["{}", "unregister"]);
    client.closed().await;
    assert_eq!(served.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn what_no_agent_says_ends_its_stream_only() {
    let mut foreign = hex(A2);
    foreign[40] ^= 1; // another interface id
    let cases: [(&str, Vec<u8>); 4] = [
        ("oversized", [hex(A1), vec![0, 0, 0, 0, 0, 0, 0x10, 0]].concat()),
        ("segments", vec![0xff; 64]),
        ("garbage", [vec![0, 0, 0, 0, 2, 0, 0, 0], vec![0xff; 16]].concat()),
        ("truncated", hex(A2)[..100].to_vec()),
    ];
    let threads = RpcThreads::new(1);
    for (name, bytes) in cases {
        let edge: Arc<dyn RegistrationServer> = Arc::new(Arc::new(Edge::default()));
        let (agent, other) = duplex(4096);
        let (reader, writer) = tokio::io::split(other);
        let (_from, mut to) = tokio::io::split(agent);
        to.write_all(&bytes).await.unwrap();
        to.shutdown().await.unwrap();
        assert!(serve_registration(&threads, reader, writer, edge, Limits::default()).await.is_err(), "{name}");
    }
    // A call to another interface is answered, not fatal: the registration after it works.
    let edge: Arc<dyn RegistrationServer> = Arc::new(Arc::new(Edge::default()));
    let (agent, other) = duplex(8192);
    let (reader, writer) = tokio::io::split(other);
    tokio::spawn(async move { serve_registration(&threads, reader, writer, edge, Limits::default()).await });
    let (mut from, mut to) = tokio::io::split(agent);
    let mut second = hex(A2);
    second[32] = 2; // another question id
    to.write_all(&[hex(A1), foreign, second].concat()).await.unwrap();
    for _ in 0..3 {
        message(&mut from).await;
    }
}

struct Agent(Mutex<Vec<(i32, Bytes)>>);

impl AgentServer for Agent {
    fn update_configuration(&self, version: i32, config: Bytes) -> BoxFuture<'static, ConfigurationAnswer> {
        self.0.lock().unwrap().push((version, config));
        Box::pin(async { ConfigurationAnswer { latest_applied_version: 7, error: Some("rule 1 is wrong".into()) } })
    }
    fn register_udp_session(&self, _: UdpSession) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Err("no".into()) })
    }
    fn unregister_udp_session(&self, _: [u8; 16], _: String) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_configuration_is_pushed_and_answered() {
    let threads = RpcThreads::new(1);
    let (edge, agent) = duplex(4096);
    let ((er, ew), (mut ar, aw)) = (tokio::io::split(edge), tokio::io::split(agent));
    let server = Arc::new(Agent(Mutex::default()));
    tokio::spawn({
        let (threads, server) = (threads.clone(), server.clone());
        async move {
            let mut signature = [0; 6];
            ar.read_exact(&mut signature).await.unwrap();
            assert_eq!(signature, poterne_tunnel_proto::stream::RPC_SIGNATURE);
            serve_agent(&threads, ar, aw, server, Limits::default(), Duration::from_secs(60)).await
        }
    });
    let config = Bytes::from_static(br#"{"ingress":[{"service":"http_status:404"}]}"#);
    let answer = update_configuration(&threads, er, ew, 1, config.clone(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(answer, ConfigurationAnswer { latest_applied_version: 7, error: Some("rule 1 is wrong".into()) });
    assert_eq!(*server.0.lock().unwrap(), [(1, config)]);
}
