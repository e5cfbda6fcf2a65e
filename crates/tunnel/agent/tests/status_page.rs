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
    settings.quick_hostname = Some("quick.example".into());
    let agent = Agent::new(settings).unwrap();
    let (mut connected, mut listening, connector) = (agent.connected(), agent.status_address(), agent.connector_id());
    let shutdown = CancellationToken::new();
    tokio::spawn(agent.run(shutdown.clone()));
    let address = soon("the status page", listening.wait_for(Option::is_some)).await.unwrap().unwrap();
    let ready = |status: u16, connections: u8| json!({ "status": status, "readyConnections": connections, "connectorId": connector.to_string() });

    let _connection = edge.connection().await;
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
