//! Requests that mean one of a tunnel's connectors, as those for an agent's own management service do.

use std::time::Duration;

use http::Method;
use poterne_edge_http::Body;
use poterne_edge_upstream::{TunnelRoute, Tunnels as _, UpstreamError};
use poterne_model::{ConnectorId, tunnel::Transport};

use crate::{
    agent::{Agent, registration},
    edge::{ACCOUNT, Edge, request, soon, tunnel},
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
        soon("an answer", edge.gateway.send(route, request(Method::GET, "/", Body::empty()))).await
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
