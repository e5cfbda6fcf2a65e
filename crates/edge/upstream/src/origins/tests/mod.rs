//! The way to origins, against origins that a test writes byte by byte.

mod flow;
mod http2;
mod look;
mod misbehaving;
mod pooled;
mod secure;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::Arc,
    time::Duration,
};

use http::{Method, StatusCode};
use poterne_edge_http::{Body, Kind, Request, Response};
use poterne_guard::{Guard, Range};
use poterne_model::{AccountId, ZoneId};
use poterne_telemetry::Metrics;
use rustls::RootCertStore;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Leg, OriginRoute, Origins, Place, Settings};
use crate::{OriginError, Trail, UpstreamError};

const ZONE: ZoneId = ZoneId::from_bytes([1; 16]);
const OTHER_ZONE: ZoneId = ZoneId::from_bytes([2; 16]);
const ACCOUNT: AccountId = AccountId::from_bytes([9; 16]);

/// What is waited for in these tests is waited for in earnest.
fn hasty() -> Settings {
    Settings { connect_timeout: Duration::from_millis(300), ..Settings::for_files(4096) }
}

/// A way to origins by which nobody traces requests.
struct Untraced(Arc<Origins>);

impl Untraced {
    async fn send(&self, route: OriginRoute, request: Request) -> Result<Response, UpstreamError> {
        self.0.send(route, request, &mut Trail::off()).await
    }
}

impl From<Origins> for Untraced {
    fn from(origins: Origins) -> Self {
        Self(Arc::new(origins))
    }
}

impl Deref for Untraced {
    type Target = Arc<Origins>;
    fn deref(&self) -> &Arc<Origins> {
        &self.0
    }
}

/// A way to loopback.
fn origins_with(settings: Settings, roots: RootCertStore) -> Untraced {
    let loopback = Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None };
    let guard = Guard { allowed: vec![loopback], own: Vec::new() };
    Origins::new(settings, roots, guard, None, &Metrics::new()).unwrap().into()
}

fn origins() -> Untraced {
    origins_with(Settings::for_files(4096), RootCertStore::empty())
}

/// To an origin in clear, on behalf of a zone.
fn route_of(zone: ZoneId, address: SocketAddr) -> OriginRoute {
    OriginRoute {
        zone,
        account: ACCOUNT,
        host: "www.site.test".into(),
        place: Place::Addresses(vec![address.ip()]),
        leg: Leg { port: address.port(), tls: None },
        http2: true,
        identifies: None,
        read_timeout: Duration::from_secs(60),
    }
}

fn route(address: SocketAddr) -> OriginRoute {
    route_of(ZONE, address)
}

/// An origin that does this with its connections, which are numbered from 0.
async fn origin<F, S>(serve: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(serve(number, stream));
        }
    });
    address
}

/// Reads up to this end; what was read.
async fn heard(stream: &mut TcpStream, end: &str) -> io::Result<String> {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(stream.read_u8().await?);
    }
    String::from_utf8(text).map_err(io::Error::other)
}

/// Answers each request without a body with the number of the connection, until the edge leaves.
async fn numbered(number: usize, mut stream: TcpStream) -> io::Result<()> {
    loop {
        heard(&mut stream, "\r\n\r\n").await?;
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number}", number.to_string().len()).as_bytes())
            .await?;
    }
}

fn request(method: Method, body: Body) -> Request {
    let mut request = http::Request::builder().method(method).uri("/p?q").header("host", "www.site.test").body(body).unwrap();
    request.headers_mut().insert("cf-ray", http::HeaderValue::from_static("0123456789abcdef-X"));
    request
}

fn get() -> Request {
    request(Method::GET, Body::empty())
}

fn websocket(visitor: Body) -> Request {
    let mut request = request(Method::GET, visitor);
    request.headers_mut().insert("sec-websocket-key", http::HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    request.extensions_mut().insert(Kind::WebSocket);
    request
}

/// All of a body, or how it broke off.
async fn whole(mut body: Body) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default());
    }
    Ok(bytes)
}

/// The body of an answer of status 200, as text.
async fn text(answer: Result<Response, UpstreamError>) -> String {
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    String::from_utf8(whole(answer.into_body()).await.unwrap()).unwrap()
}

fn fault(answer: Result<Response, UpstreamError>) -> OriginError {
    match answer {
        Err(UpstreamError::Origin(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(answer) => panic!("answered {}", answer.status()),
    }
}

fn ip(address: SocketAddr) -> IpAddr {
    address.ip()
}
