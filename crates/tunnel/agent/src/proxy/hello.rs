//! The built-in test site of `hello_world`: proves a tunnel without any service behind it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use poterne_tunnel_proto::{
    h2::Source,
    metadata::AgentRequest,
    stream::ConnectionType,
    websocket::{self, Control, Unwrap},
};

use super::flow::switch;
use crate::{
    Shared,
    side::{Answer, Incoming},
};

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Poterne</title>\n\
<h1>The tunnel works.</h1>\n<p>This page comes from the agent itself. Publish a service of yours with <code>--url http://localhost:8080</code>.</p>\n\
<p lang=\"fr\">Le tunnel fonctionne. Cette page vient de l’agent lui-même.</p>\n";
/// Fastest and slowest pace of `/sse`.
const PACE: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

pub(super) async fn serve(shared: &Shared, request: AgentRequest, incoming: Incoming, mut answer: Answer) {
    let started = shared.started;
    match request.head.uri.path() {
        "/" => whole(shared, &mut answer, StatusCode::OK, "text/html; charset=utf-8", PAGE.into()).await,
        "/_health" => whole(shared, &mut answer, StatusCode::OK, "text/plain", "ok".into()).await,
        "/uptime" => {
            let body =
                serde_json::json!({ "uptime": format!("{:?}", started.elapsed()), "seconds": started.elapsed().as_secs() });
            whole(shared, &mut answer, StatusCode::OK, "application/json", body.to_string()).await;
        }
        "/ws" if request.kind == ConnectionType::WebSocket => {
            if switch(shared, &request, &mut answer).await.is_ok() {
                echo(incoming, answer).await;
            }
        }
        "/sse" => events(shared, request.head.uri.query().unwrap_or_default(), answer).await,
        _ => whole(shared, &mut answer, StatusCode::NOT_FOUND, "text/plain", "not here\n".into()).await,
    }
}

async fn whole(shared: &Shared, answer: &mut Answer, status: StatusCode, content_type: &'static str, body: String) {
    shared.metrics.answered(status);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    let _ = answer.head(status, &headers, Source::Origin, false, Some(body.into()), true).await;
}

/// `?freq=1s`: one event per pace, until the visitor leaves.
async fn events(shared: &Shared, query: &str, mut answer: Answer) {
    let freq = query.split('&').find_map(|pair| pair.strip_prefix("freq="));
    let pace = freq.and_then(poterne_tunnel_proto::config::parse_duration).unwrap_or(Duration::from_secs(1));
    let pace = pace.clamp(*PACE.start(), *PACE.end());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    shared.metrics.answered(StatusCode::OK);
    if answer.head(StatusCode::OK, &headers, Source::Origin, false, None, false).await.is_err() {
        return;
    }
    let begun = Instant::now();
    for number in 0u64.. {
        let event = format!("id: {number}\ndata: {:.1} s\n\n", begun.elapsed().as_secs_f32());
        if answer.data(event.into()).await.is_err() || answer.unless_gone(std::pin::pin!(tokio::time::sleep(pace))).await.is_err()
        {
            return;
        }
    }
}

/// Every message comes back as binary.
async fn echo(mut incoming: Incoming, mut answer: Answer) {
    let (mut unwrap, mut payload, mut controls) = (Unwrap::default(), BytesMut::new(), Vec::new());
    while let Some(Ok(data)) = incoming.data().await {
        let verdict = unwrap.push(&data, &mut payload, &mut controls);
        if !payload.is_empty() {
            let bytes = payload.split().freeze();
            let frame: Bytes = [websocket::frame_header(websocket::BINARY, bytes.len()), bytes].concat().into();
            if answer.data(frame).await.is_err() {
                return;
            }
        }
        for control in controls.drain(..) {
            let (opcode, payload) = match control {
                Control::Ping(payload) => (websocket::PONG, payload),
                Control::Close => (websocket::CLOSE, Vec::new()),
            };
            let frame = [&websocket::frame_header(opcode, payload.len()), payload.as_slice()].concat();
            if answer.data(frame.into()).await.is_err() || opcode == websocket::CLOSE {
                let _ = answer.finish(None).await;
                return;
            }
        }
        if verdict.is_err() {
            return;
        }
    }
    let _ = answer.finish(None).await;
}
