//! Which of a tunnel's connections a request takes: of one connector where it means that, as those for an agent's own management service
//! do, and one that has room.

use std::time::Duration;

use http::Method;
use poterne_edge_http::Body;
use poterne_edge_upstream::{Over, Trail, TunnelRoute, Tunnels as _, UpstreamError};
use poterne_model::{ConnectorId, tunnel::Transport};

use crate::{
    agent::{Agent, registration},
    edge::{ACCOUNT, Edge, eventually, request, send, soon, tunnel},
};

const FIRST: ConnectorId = ConnectorId::from_bytes([5; 16]);
const SECOND: ConnectorId = ConnectorId::from_bytes([6; 16]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_one_connector_reaches_no_other() {
    let edge = Edge::with(|settings| settings.waiting_timeout = Duration::from_millis(50)).await;
    let first = Agent::dial(&edge, Transport::Quic).await.serve("first", registration(0)).await;
    let mut other = registration(0);
    other.options.client.client_id = SECOND;
    let second = Agent::dial(&edge, Transport::Http2).await.serve("second", other).await;
    let ask = async |connector| {
        let route = TunnelRoute { tunnel: tunnel(), zone: None, account: ACCOUNT.parse().unwrap(), connector };
        let mut trail = Trail::on();
        let answer = soon("an answer", edge.gateway.send(route, request(Method::GET, "/", Body::empty()), &mut trail)).await;
        // Whoever traces the request is told which connector it was.
        let tries = trail.into_tries();
        assert_eq!(tries.len(), usize::from(answer.is_ok()));
        for one in tries {
            let Over::Tunnel { connector: told, .. } = one.over else { panic!("{one:?}") };
            assert!(connector.is_none_or(|meant| meant == told) && one.failed.is_none(), "{one:?}");
        }
        answer
    };
    for _ in 0..20 {
        ask(Some(SECOND)).await.unwrap();
    }
    assert_eq!((first.requests(), second.requests()), (0, 20));
    ask(Some(FIRST)).await.unwrap();
    assert_eq!((first.requests(), second.requests()), (1, 20));
    let nobody = ask(Some(ConnectorId::from_bytes([7; 16]))).await.unwrap_err();
    assert_eq!(nobody, UpstreamError::NoConnector(tunnel()));
    ask(None).await.unwrap();
    assert_eq!(first.requests() + second.requests(), 22);
}

/// Agents built with newer Go take 250 streams over HTTP/2; what is more must not wait while another connection has room.
#[tokio::test]
async fn a_full_connection_is_passed_over() {
    let edge = Edge::start().await;
    let full = Agent::dial_granting(&edge, 5).await.serve("full", registration(0)).await;
    let roomy = Agent::good(&edge, Transport::Http2, 1).await;
    for _ in 0..40 {
        let gateway = edge.gateway.clone();
        tokio::spawn(async move { send(&gateway, tunnel(), request(Method::GET, "/held", Body::empty())).await });
    }
    eventually("all are asked", || full.requests() + roomy.requests() == 40).await;
    assert_eq!(full.requests(), 3);
}
