//! The agent's own page on loopback: `/metrics`, `/ready`, `/healthcheck`, `/quicktunnel`, `/config`, and
//! `/diag/tunnel`, `/diag/configuration` and `/diag/system`, which `cloudflared tunnel diag` reads (reference §10.1).

use std::{convert::Infallible, io, net::SocketAddr, os::unix::fs::MetadataExt as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use crate::{Shared, system, trace};

/// Tried in this order before the kernel chooses.
const PORTS: std::ops::RangeInclusive<u16> = 20241..=20245;
/// Longest a client may take, from its connection to the end of the answer.
const CLIENT_MAX: Duration = Duration::from_secs(10);
/// Clients at once.
const CLIENTS_MAX: usize = 64;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatusListen {
    /// The first free of 127.0.0.1:20241 to 20245, else a port of the kernel's choice.
    #[default]
    FirstFree,
    /// There, or fail.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

pub(crate) async fn bind(listen: StatusListen) -> io::Result<Option<TcpListener>> {
    match listen {
        StatusListen::Off => Ok(None),
        StatusListen::At(address) => TcpListener::bind(address).await.map(Some).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address} for metrics: {error}; choose another --metrics"))
        }),
        StatusListen::FirstFree => {
            for port in PORTS {
                if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
                    return Ok(Some(listener));
                }
            }
            TcpListener::bind("127.0.0.1:0").await.map(Some)
        }
    }
}

pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let permit = clients.clone().acquire_owned().await.expect("never closed");
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: wait rather than spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                let answer = answer(&shared, request.uri().path());
                async { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(CLIENT_MAX).keep_alive(false);
            let _ = timeout(CLIENT_MAX, builder.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

/// `Content-Type` of [`metrics`].
pub(crate) const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the agent counts.
pub(crate) fn metrics(shared: &Shared) -> String {
    let traces = shared.tracer.as_ref().map(trace::metrics).unwrap_or_default();
    shared.metrics.encode(&shared.version) + &shared.connections.encode() + &traces
}

fn answer(shared: &Shared, path: &str) -> Response<Full<Bytes>> {
    let json = "application/json";
    let (status, content_type, body) = match path {
        "/metrics" => (StatusCode::OK, METRICS_TYPE, metrics(shared)),
        "/ready" => {
            let connections = if shared.stopping.is_cancelled() { 0 } else { *shared.connected.borrow() };
            let status = if connections > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = serde_json::json!({
                "status": status.as_u16(), "readyConnections": connections, "connectorId": shared.connector.to_string(),
            });
            (status, json, body.to_string())
        }
        "/healthcheck" => (StatusCode::OK, "text/plain; charset=utf-8", "OK\n".to_owned()),
        "/quicktunnel" => {
            let hostname = shared.quick_hostname.as_deref().unwrap_or_default();
            (StatusCode::OK, json, serde_json::json!({ "hostname": hostname }).to_string())
        }
        "/config" => {
            let rules = shared.rules.load();
            let config = String::from_utf8_lossy(&rules.json);
            (StatusCode::OK, json, format!("{{\"version\":{},\"config\":{config}}}", rules.version))
        }
        "/diag/tunnel" => {
            let (tunnel, connector) = (shared.identity.tunnel.to_string(), shared.connector.to_string());
            let page =
                serde_json::json!({ "tunnelID": tunnel, "connectorID": connector, "connections": shared.connections.list() });
            (StatusCode::OK, json, page.to_string())
        }
        "/diag/configuration" => (StatusCode::OK, json, configuration(shared).to_string()),
        "/diag/system" => (StatusCode::OK, json, system::page(&shared.version).to_string()),
        _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// The flags that are no secrets, and who runs the agent.
fn configuration(shared: &Shared) -> serde_json::Value {
    let mut page: serde_json::Map<_, _> = shared.flags.iter().map(|(flag, value)| (flag.clone(), value.clone().into())).collect();
    if let Ok(this) = std::fs::metadata("/proc/self") {
        page.insert("uid".into(), this.uid().to_string().into());
    }
    page.into()
}
