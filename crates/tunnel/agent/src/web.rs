//! One request over the web and its whole answer: how quick tunnels are asked for, and how the agent's own verbs speak to a node.
//!
//! A connection is made for each: verbs ask once or twice and end. In clear only on this machine, since each request or its answer holds
//! a secret.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{Proxies, Trust, dial::proxied::is_loopback, trust::TrustError};

/// Longest that an answer may take, connection and all; the stock agent waits as long.
pub const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A request.
#[derive(Clone)]
pub struct WebRequest<'a> {
    /// Its method.
    pub method: Method,
    /// `https://…`, or `http://` to this machine.
    pub url: &'a str,
    /// Who asks: a bearer token.
    pub token: Option<&'a str>,
    /// JSON; none: an empty body, said to be JSON where the method has one.
    pub body: Option<Vec<u8>>,
    /// Longest answer read, in bytes.
    pub answer_bytes_max: usize,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAnswer {
    /// Its status.
    pub status: StatusCode,
    /// All of its body.
    pub body: Bytes,
}

/// No answer. The messages begin with what was asked: put before them what it is, as in "the node ".
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Not a URL this can be asked at.
    #[error("{0:?} is not a URL; write https://HOST")]
    Url(String),
    /// Without encryption the secret would be anybody's.
    #[error("{0:?} is plain http:// and not on this machine: secrets would travel in the clear; use https://")]
    PlainHttp(String),
    /// Input or output failed.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        url: String,
        /// What happened.
        reason: String,
    },
    /// Whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Asks, and reads the whole answer, whatever its status. `trust` verifies the certificate; pins do not, since they name the tunnel's CA.
///
/// # Errors
/// The URL, or no answer within [`ANSWER_MAX`].
pub async fn ask(request: WebRequest<'_>, trust: &Trust, proxies: &Proxies) -> Result<WebAnswer, WebError> {
    let origin = origin_of(request.url);
    match timeout(ANSWER_MAX, answer(request, &origin, trust, proxies)).await {
        Ok(answered) => answered,
        Err(_) => Err(WebError::Unreachable { url: origin, reason: format!("no answer within {ANSWER_MAX:?}") }),
    }
}

async fn answer(request: WebRequest<'_>, origin: &str, trust: &Trust, proxies: &Proxies) -> Result<WebAnswer, WebError> {
    let wrong = || WebError::Url(origin.to_owned());
    let unreachable = |reason: String| WebError::Unreachable { url: origin.to_owned(), reason };
    let uri: Uri = request.url.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']');
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") if is_loopback(host) => false,
        Some("http") => return Err(WebError::PlainHttp(origin.to_owned())),
        _ => return Err(wrong()),
    };
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let sent = head(&uri, host, &request).ok_or_else(wrong)?;
    let stream = proxies.connect(host, port).await.map_err(|error| unreachable(error.to_string()))?;
    let max = request.answer_bytes_max;
    if !is_tls {
        return exchange(TokioIo::new(stream), sent, max).await.map_err(|error| unreachable(error.to_string()));
    }
    let trust = if matches!(trust, Trust::Pins(_)) { &Trust::WebPki } else { trust };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
    let connector = TlsConnector::from(Arc::new(trust.client_config(false, false)?));
    let tls = connector
        .connect(name, stream)
        .await
        .map_err(|error| unreachable(format!("{error}; a node without a public certificate is verified with --cacert")))?;
    exchange(TokioIo::new(tls), sent, max).await.map_err(|error| unreachable(error.to_string()))
}

fn head(uri: &Uri, host: &str, request: &WebRequest<'_>) -> Option<Request<Full<Bytes>>> {
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = Request::builder()
        .method(request.method.clone())
        .uri(path)
        .header(header::HOST, authority.rsplit_once('@').map_or(authority, |(_, host)| host))
        .header(header::ACCEPT, "application/json;version=1")
        .header(header::USER_AGENT, concat!("poterne-agent/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = request.token {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        head = head.header(header::AUTHORIZATION, value);
    }
    let body = Bytes::from(request.body.clone().unwrap_or_default());
    if request.method != Method::GET && request.method != Method::DELETE {
        head = head.header(header::CONTENT_TYPE, "application/json").header(header::CONTENT_LENGTH, body.len());
    }
    head.body(Full::new(body)).ok()
}

async fn exchange<T>(
    io: T,
    request: Request<Full<Bytes>>,
    answer_bytes_max: usize,
) -> Result<WebAnswer, Box<dyn std::error::Error + Send + Sync>>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(io).await?;
    let driving = tokio::spawn(connection);
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), answer_bytes_max).collect().await?.to_bytes();
        Ok(WebAnswer { status, body })
    };
    let answered = answered.await;
    driving.abort();
    answered
}

/// Scheme, host and port: what an error or a log names. What follows may be long, what stands before an `@` secret.
pub fn origin_of(url: &str) -> String {
    let shown = |text: &str| text.chars().take(300).collect::<String>();
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    shown(&format!("{scheme}{host}"))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn get(url: &str) -> WebRequest<'_> {
        WebRequest { method: Method::GET, url, token: Some("t0ken"), body: None, answer_bytes_max: 4 }
    }

    async fn told(url: &str) -> String {
        ask(get(url), &Trust::WebPki, &Proxies::default()).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn nothing_secret_goes_out_in_clear() {
        assert!(told("http://node.example/client/v4").await.starts_with("\"http://node.example\" is plain http://"));
        assert_eq!(told("ftp://node.example/").await, "\"ftp://node.example\" is not a URL; write https://HOST");
        assert_eq!(told("node.example").await, "\"node.example\" is not a URL; write https://HOST");
        for secret in ["http://user:s3cret@node.example/x", "user:s3cret@node.example"] {
            assert!(!told(secret).await.contains("s3cret"), "{secret}");
        }
    }

    /// What a service that answers so is asked, and what is made of its answer.
    async fn exchanged(answer: &'static str, request: impl Fn(&str) -> WebRequest<'_>) -> (String, Result<WebAnswer, WebError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/v4/x?a=b", listener.local_addr().unwrap().port());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !String::from_utf8_lossy(&asked).contains("\r\n\r\n") && !asked.ends_with(b"}") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        let answered = ask(request(&url), &Trust::WebPki, &Proxies::default()).await;
        (served.await.unwrap(), answered)
    }

    #[tokio::test]
    async fn a_request_says_who_asks_and_any_status_is_an_answer() {
        let (asked, answered) = exchanged("HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}", get).await;
        let answered = answered.unwrap();
        assert_eq!((answered.status.as_u16(), &answered.body[..]), (409, &b"{}"[..]));
        assert!(asked.starts_with("GET /v4/x?a=b HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("authorization: Bearer t0ken\r\n") && asked.contains("accept: application/json;version=1\r\n"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn an_answer_beyond_its_bound_is_not_read() {
        let (_, answered) = exchanged("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345", get).await;
        assert!(answered.unwrap_err().to_string().contains("length limit exceeded"));
    }
}
