//! The demo's local service: a small site on loopback that shows what arrives through the gate.
//!
//! A page in English and French with the request's fields and its ray id; a clock as server-sent events and an echo over
//! WebSocket, because streams must stay streams on the way; and two routes to move bytes both ways. It refers to nothing
//! outside itself.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{any, get},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod page;
mod websocket;

/// Most bytes that `/bytes/N` yields, so that a demo left open is no generator of unbounded load: 64 GiB.
const BYTES_MAX: u64 = 64 << 30;
/// Size of the pieces it yields.
const PIECE: usize = 64 * 1024;

/// The site, listening on a loopback port that the system chose.
#[derive(Debug)]
pub struct SampleSite {
    listener: TcpListener,
    address: SocketAddr,
}

impl SampleSite {
    /// Binds it.
    pub async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop; streams still open are then ended.
    pub async fn serve(self, shutdown: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, router(shutdown.clone())).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}

fn router(shutdown: CancellationToken) -> Router {
    let clock = shutdown.clone();
    Router::new()
        .route("/", get(index))
        .route("/events", get(move || async move { events(clock) }))
        .route("/echo", any(move |request: Request| async move { websocket::echo(request, shutdown).await }))
        .route("/bytes/{count}", get(bytes_of))
        .route("/count", any(count))
        .fallback(|| async { (StatusCode::NOT_FOUND, "The sample site has no such page. / La page demandée n'existe pas.\n") })
}

async fn index(request: Request) -> Response {
    let language = page::language(request.uri().query(), request.headers());
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
                  form-action 'none'; frame-ancestors 'none'";
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Language"),
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (fields, page::render(language, request.method(), request.uri(), request.headers())).into_response()
}

/// The time of day each second, until the reader leaves or the site stops.
fn events(shutdown: CancellationToken) -> impl IntoResponse {
    let ticks = stream::unfold(tokio::time::interval(Duration::from_secs(1)), |mut interval| async {
        interval.tick().await;
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Some((Ok::<_, Infallible>(Event::default().event("tick").data(now)), interval))
    });
    Sse::new(ticks.take_until(shutdown.cancelled_owned())).keep_alive(KeepAlive::default())
}

/// That many zero bytes.
async fn bytes_of(Path(count): Path<u64>) -> Response {
    if count > BYTES_MAX {
        return (StatusCode::BAD_REQUEST, format!("at most {BYTES_MAX} bytes\n")).into_response();
    }
    static ZEROES: [u8; PIECE] = [0; PIECE];
    let pieces = stream::unfold(count, |left| async move {
        let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        (piece > 0).then(|| (Ok::<_, Infallible>(Bytes::from_static(&ZEROES[..piece])), left - piece as u64))
    });
    let fields = [(header::CONTENT_LENGTH, count.to_string()), (header::CONTENT_TYPE, "application/octet-stream".into())];
    (fields, Body::from_stream(pieces)).into_response()
}

/// How many bytes the request's body had.
async fn count(headers: HeaderMap, body: Body) -> Response {
    let mut bytes = 0;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => bytes += piece.len() as u64,
            Err(error) => {
                return (StatusCode::BAD_REQUEST, format!("the body broke off after {bytes} bytes: {error}\n")).into_response();
            }
        }
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    axum::Json(serde_json::json!({ "bytes": bytes, "content_length": announced })).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    async fn exchange(request: &str) -> String {
        let site = SampleSite::bind().await.unwrap();
        let address = site.address();
        assert!(address.ip().is_loopback());
        tokio::spawn(site.serve(CancellationToken::new()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_shows_what_came_and_lets_nothing_through_as_markup() {
        let answer = exchange(
            "GET / HTTP/1.1\r\nHost: demo\r\nCf-Ray: 0123456789abcdef-XXX\r\nX-Evil: <script>alert(1)</script>\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("0123456789abcdef-XXX"));
        assert!(answer.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!answer.contains("<script>alert(1)"));
    }

    #[tokio::test]
    async fn the_page_speaks_the_readers_language() {
        let answer =
            exchange("GET / HTTP/1.1\r\nHost: demo\r\nAccept-Language: fr-CH, en;q=0.8\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains("<html lang=\"fr\">"), "{answer}");
        let answer = exchange("GET /?lang=en HTTP/1.1\r\nHost: demo\r\nAccept-Language: fr\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains("<html lang=\"en\">"));
    }

    #[tokio::test]
    async fn bodies_are_counted_and_made() {
        let answer = exchange("POST /count HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
        assert!(answer.contains(r#""bytes":5"#), "{answer}");
        let answer = exchange("GET /bytes/70000 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await;
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 70_000);
    }

    #[tokio::test]
    async fn an_open_stream_does_not_hold_the_stop() {
        let site = SampleSite::bind().await.unwrap();
        let address = site.address();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(site.serve(stop.clone()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("event: tick") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
