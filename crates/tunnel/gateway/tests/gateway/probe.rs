//! Visitors of a good agent, who must not notice what bad ones do: each of their requests succeeds.

use std::time::Duration;

use http::{Method, StatusCode};
use poterne_edge_http::Body;
use poterne_model::{ConnectorId, tunnel::Transport};
use poterne_tunnel_gateway::Gateway;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{Agent, Serving, registration},
    edge::{Edge, other_tunnel, read, request, send, soon},
};

pub(crate) struct Probe {
    stop: CancellationToken,
    asking: JoinHandle<usize>,
    _agents: Vec<Serving>,
}

impl Probe {
    /// Begins to ask, through an agent of its own on [`other_tunnel`].
    pub(crate) async fn start(edge: &Edge) -> Self {
        let mut agents = Vec::new();
        for (index, transport) in [(0, Transport::Quic), (1, Transport::Http2)] {
            let mut request = registration(index);
            request.tunnel_id = other_tunnel();
            request.options.client.client_id = ConnectorId::from_bytes([6; 16]);
            agents.push(Agent::dial(edge, transport).await.serve("probe", request).await);
        }
        let stop = CancellationToken::new();
        let asking = tokio::spawn(ask(edge.gateway.clone(), stop.clone()));
        Self { stop, asking, _agents: agents }
    }

    /// Ends, and fails the test if a request has failed or none was made.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        assert!(soon("the probe's end", self.asking).await.expect("every request succeeds") > 0);
    }
}

async fn ask(gateway: Gateway, stop: CancellationToken) -> usize {
    let mut answered = 0;
    loop {
        let response = send(&gateway, other_tunnel(), request(Method::GET, "/", Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(read(response).await.as_deref(), Some("probe"));
        answered += 1;
        // About a hundred a second.
        if stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(10))).await.is_none() {
            return answered;
        }
    }
}
