//! Two endpoints on one UDP socket, as two programs have them: the former one's connections go on, and the later one gets who is new.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::{net::SocketAddr, os::unix::net::UnixDatagram, sync::Arc};

use poterne_tunnel_transport::{
    InTurns,
    handover::{Ids, Shared},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

struct Program {
    endpoint: quinn::Endpoint,
    shared: Arc<Shared>,
}

fn server(certificate: &CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> quinn::ServerConfig {
    quinn::ServerConfig::with_single_cert(vec![certificate.clone()], key.clone_key()).unwrap()
}

impl Program {
    fn start(generation: u8, shared: impl FnOnce(Ids) -> Arc<Shared>, server: quinn::ServerConfig, name: &'static str) -> Self {
        let ids = Ids::new(b"secret", generation);
        let shared = shared(ids.clone());
        // One reset key, as the programs of a node have: a packet that reaches the wrong one ends its connection.
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"reset");
        let mut config = quinn::EndpointConfig::new(Arc::new(key));
        config.cid_generator(move || Box::new(ids.clone()));
        let endpoint =
            quinn::Endpoint::new_with_abstract_socket(config, Some(server), shared.clone(), Arc::new(InTurns)).unwrap();
        let accepting = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else { return };
                    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                        let asked = recv.read_to_end(1 << 20).await.unwrap();
                        send.write_all(name.as_bytes()).await.unwrap();
                        send.write_all(&asked).await.unwrap();
                        send.finish().unwrap();
                    }
                });
            }
        });
        Self { endpoint, shared }
    }
}

async fn ask(connection: &quinn::Connection, bytes: usize) -> String {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&vec![b'.'; bytes]).await.unwrap();
    send.finish().unwrap();
    let answer = recv.read_to_end(1 << 21).await.unwrap();
    assert!(answer[5..].iter().all(|byte| *byte == b'.') && answer.len() == 5 + bytes);
    String::from_utf8(answer[..5].to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_stay_with_their_program_and_newcomers_find_the_other() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let certificate = issued.cert.der().clone();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let again = socket.try_clone().unwrap();
    let former = Program::start(0, |ids| Shared::new(socket, ids).unwrap(), server(&certificate, &key), "first");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut client = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    client.set_default_client_config(quinn::ClientConfig::with_root_certificates(Arc::new(roots)).unwrap());
    let connect = || async { client.connect(address, "localhost").unwrap().await.unwrap() };
    // Both from one port of the client: the kernel may hand packets of both over together.
    let old = connect().await;
    assert_eq!(ask(&old, 10).await, "first");

    let (from, to) = UnixDatagram::pair().unwrap();
    former.shared.hand_over(from).unwrap();
    former.endpoint.set_server_config(None);
    let later = Program::start(1, |ids| Shared::inherited(again, ids, to).unwrap(), server(&certificate, &key), "later");
    let new = connect().await;
    for bytes in [0, 100, 5_000, 300_000] {
        let (by_old, by_new) = tokio::join!(ask(&old, bytes), ask(&new, bytes));
        assert_eq!((by_old.as_str(), by_new.as_str()), ("first", "later"));
    }

    old.close(0u32.into(), b"");
    former.endpoint.wait_idle().await;
    drop(former);
    later.shared.alone();
    assert_eq!(ask(&new, 300_000).await, "later");
    assert_eq!(ask(&connect().await, 10).await, "later");
}
