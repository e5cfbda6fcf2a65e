//! The agent's own page on loopback, as monitoring sees it (reference §10.1).
#![allow(clippy::unwrap_used, reason = "test code")]

mod edge;

use std::net::SocketAddr;

use edge::{QuicEdge, Told, config, rule, soon};
use poterne_tunnel_agent::{Agent, StatusListen};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

/// Status and body.
async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_page_tells_readiness_configuration_and_counts() {
    let mut edge = QuicEdge::new(Told::default());
    let mut settings = config(edge.address, &edge.authority, vec![rule("", "http_status:404")]);
    settings.status = StatusListen::At("127.0.0.1:0".parse().unwrap());
    settings.local_flags.insert("protocol".into(), "quic".into());
    settings.quick_hostname = Some("quick.example".into());
    let agent = Agent::new(settings).unwrap();
    let (mut connected, mut listening, connector) = (agent.connected(), agent.status_address(), agent.connector_id());
    let shutdown = CancellationToken::new();
    tokio::spawn(agent.run(shutdown.clone()));
    let address = soon("the status page", listening.wait_for(Option::is_some)).await.unwrap().unwrap();
    let ready = |status: u16, connections: u8| json!({ "status": status, "readyConnections": connections, "connectorId": connector.to_string() });

    let connection = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    let (status, body) = ask(address, "/ready").await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, ready(200, 1)));
    assert_eq!(ask(address, "/healthcheck").await, (200, "OK\n".into()));
    let (_, body) = ask(address, "/quicktunnel").await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({ "hostname": "quick.example" }));
    let (_, body) = ask(address, "/config").await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["version"], &told["config"]["ingress"][0]["service"]), (&json!(-1), &json!("http_status:404")));
    let (status, page) = ask(address, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "cloudflared_tunnel_ha_connections 1\n",
        "cloudflared_tunnel_tunnel_register_success{rpcName=\"registerConnection\"} 1\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
    assert_eq!(ask(address, "/").await.0, 404);
    told_of_quic(&page);
    let json = async |path: &str| serde_json::from_str::<Value>(&ask(address, path).await.1).unwrap();
    let connections = json!([{ "isConnected": true, "protocol": 1, "edgeAddress": "127.0.0.1" }]);
    let tunnel = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
    assert_eq!(
        json("/diag/tunnel").await,
        json!({ "tunnelID": tunnel, "connectorID": connector.to_string(), "connections": connections })
    );
    let configuration = json("/diag/configuration").await;
    assert_eq!((&configuration["protocol"], configuration["uid"].is_string()), (&json!("quic"), true), "{configuration}");
    let system = json("/diag/system").await;
    assert!(system["info"]["hostName"].is_string() && system["info"]["memoryMaximum"].is_u64(), "{system}");

    // The connection is lost and made anew: what was counted stays counted.
    let before = value(&page, "quic_client_sent_bytes{conn_index=\"0\"}");
    connection.close(0u32.into(), b"restart");
    let _connection = edge.connection().await;
    soon("a handshake more is counted", async {
        loop {
            let (_, page) = ask(address, "/metrics").await;
            let counts = (value(&page, "quic_client_total_connections"), value(&page, "quic_client_closed_connections"));
            let sent = value(&page, "quic_client_sent_bytes{conn_index=\"0\"}");
            assert!(sent >= before, "it never goes back: {page}");
            if counts == (2, 1) && sent > before + 1200 {
                return;
            }
        }
    })
    .await;
    shutdown.cancel();
    // The edge has the grace period to say goodbye; the page says meanwhile that no new request should come.
    let (status, body) = soon("the 503", async {
        loop {
            let answer = ask(address, "/ready").await;
            if answer.0 != 200 {
                return answer;
            }
        }
    })
    .await;
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (503, ready(503, 0)));
}

fn value(page: &str, sample: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().unwrap()
}

/// Names, labels and units of the stock agent (reference §10.2).
fn told_of_quic(page: &str) {
    for name in ["min_rtt", "smoothed_rtt"] {
        assert!(value(page, &format!("quic_client_{name}{{conn_index=\"0\"}}")) < 20_000, "milliseconds");
    }
    for name in ["mtu", "congestion_window", "sent_bytes", "receive_bytes"] {
        // No QUIC packet of a handshake is smaller (RFC 9000 §14.1).
        assert!(value(page, &format!("quic_client_{name}{{conn_index=\"0\"}}")) >= 1200, "{name}");
    }
    value(page, "quic_client_lost_packets{conn_index=\"0\"}");
    for name in ["sent_frames", "received_frames"] {
        for kind in ["Ack", "Crypto", "Stream"] {
            assert!(value(page, &format!("quic_client_{name}{{conn_index=\"0\",frame_type=\"{kind}\"}}")) > 0);
        }
    }
    assert_eq!((value(page, "quic_client_total_connections"), value(page, "quic_client_closed_connections")), (1, 0));
}
