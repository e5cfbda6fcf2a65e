//! HTTP/1.1 over TLS to an authority: bounded in every way, one request after the other on one connection, nothing followed.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use poterne_acme::{Culprit, Trouble};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a request takes at most, with its connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer is read, in bytes: a chain of certificates is the longest.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// Longest that an authority's word of when to come again is believed, in seconds.
const RETRY_AFTER_SECS_MAX: i64 = 31 * 86_400;

const USER_AGENT: &str = concat!("Poterne/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer that can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The URL leads nowhere.
    #[error("{0} is no https URL")]
    Url(String),
    /// Nobody is reached.
    #[error("{host} is not reached: {why}")]
    Connect {
        /// Who.
        host: String,
        /// Why.
        why: String,
    },
    /// The exchange broke off.
    #[error("{host} does not answer as an HTTP server: {why}")]
    Http {
        /// Who.
        host: String,
        /// How.
        why: String,
    },
    /// It takes too long.
    #[error("{0} takes longer than {secs} seconds", secs = REQUEST_TIMEOUT.as_secs())]
    Slow(String),
    /// An error without a problem document.
    #[error("the authority answers {status}")]
    Status {
        /// The status.
        status: StatusCode,
    },
    /// The directory is none.
    #[error("the authority's directory is not understood: {0}")]
    Directory(String),
}

impl TransportError {
    /// In the words of `poterne_acme`.
    pub(crate) fn trouble(&self) -> Trouble {
        let culprit = match self {
            Self::Status { status: StatusCode::TOO_MANY_REQUESTS } => Culprit::RateLimited,
            Self::Status { status } if status.is_client_error() => Culprit::Refused,
            Self::Url(_) => Culprit::Refused,
            _ => Culprit::Unreachable,
        };
        Trouble::new(culprit, self.to_string())
    }
}

/// The way to an authority. Clones share one connection.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    tls: Arc<ClientConfig>,
    kept: tokio::sync::Mutex<Option<(String, SendRequest<Full<Bytes>>)>>,
    retry_after: Mutex<Option<i64>>,
}

impl Transport {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Inner { tls, kept: tokio::sync::Mutex::default(), retry_after: Mutex::default() }))
    }

    /// When the last answer said to come again, in seconds from then.
    pub(crate) fn retry_after_secs(&self) -> Option<i64> {
        *self.0.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plain GET.
    pub(crate) async fn get(&self, url: &str) -> Result<Response<Bytes>, TransportError> {
        let request = Request::builder().method(Method::GET).uri(url).body(Bytes::new());
        self.send(request.map_err(|_| TransportError::Url(url.chars().take(200).collect()))?).await
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        let response = match tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(&host, request)).await {
            Ok(response) => response?,
            Err(_) => return Err(TransportError::Slow(host)),
        };
        let told = retry_after_secs(response.headers(), SystemTime::now());
        *self.0.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(response)
    }

    async fn exchange(&self, host: &str, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let wrong = |why: String| TransportError::Http { host: host.to_owned(), why };
        let (parts, body) = request.into_parts();
        if parts.uri.scheme_str() != Some("https") || host.is_empty() {
            return Err(TransportError::Url(parts.uri.to_string().chars().take(200).collect()));
        }
        let mut kept = self.0.kept.lock().await;
        let usable = match kept.take() {
            Some((of, mut sender)) if of == host => sender.ready().await.is_ok().then_some(sender),
            _ => None,
        };
        let mut sender = match usable {
            Some(sender) => sender,
            None => self.connect(host, &parts.uri).await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = parts.method;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| TransportError::Url(path.chars().take(200).collect()))?;
        *request.headers_mut() = parts.headers;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(host).map_err(|error| wrong(error.to_string()))?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let response = sender.send_request(request).await.map_err(|error| wrong(error.to_string()))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| wrong(error.to_string()))?;
        *kept = Some((host.to_owned(), sender));
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    async fn connect(&self, host: &str, uri: &Uri) -> Result<SendRequest<Full<Bytes>>, TransportError> {
        let wrong = |why: String| TransportError::Connect { host: host.to_owned(), why };
        let name = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = TcpStream::connect((name.as_str(), uri.port_u16().unwrap_or(443))).await;
        let stream = stream.map_err(|error| wrong(error.to_string()))?;
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(name).map_err(|error| wrong(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(&self.0.tls)).connect(name, stream).await;
        let stream = stream.map_err(|error| wrong(error.to_string()))?;
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| wrong(error.to_string()))?;
        // Ends with its sender.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a certificate authority broke off");
            }
        });
        Ok(sender)
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let other = |error: TransportError| instant_acme::Error::Other(Box::new(error));
            let response = this.send(Request::from_parts(parts, body.to_bytes())).await.map_err(other)?;
            let status = response.status();
            // Whoever stands before an authority that is down speaks HTML.
            if (status.is_client_error() || status.is_server_error()) && !is_problem(response.headers()) {
                return Err(other(TransportError::Status { status }));
            }
            Ok(BytesResponse::from(response.map(Full::new)))
        })
    }
}

fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/problem+json")
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after_secs(headers: &HeaderMap, now: SystemTime) -> Option<i64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let secs = match text.parse::<u64>() {
        Ok(secs) => i64::try_from(secs).unwrap_or(i64::MAX),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            at.duration_since(now).map_or(0, |until| i64::try_from(until.as_secs()).unwrap_or(i64::MAX))
        }
    };
    Some(secs.min(RETRY_AFTER_SECS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_says_when_to_come_again_in_seconds_or_by_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let secs = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            retry_after_secs(&headers, now)
        };
        assert_eq!((secs("120"), secs("0"), secs("soon"), secs("-1")), (Some(120), Some(0), None, None));
        assert_eq!(secs(&httpdate::fmt_http_date(now + Duration::from_secs(90))), Some(90));
        assert_eq!(secs(&httpdate::fmt_http_date(now - Duration::from_secs(90))), Some(0));
        assert_eq!(secs("99999999999999"), Some(RETRY_AFTER_SECS_MAX));
        assert_eq!(retry_after_secs(&HeaderMap::new(), now), None);
    }

    #[test]
    fn who_stands_before_an_authority_is_told_from_it() {
        let of = |status| TransportError::Status { status }.trouble().culprit;
        assert_eq!(of(StatusCode::SERVICE_UNAVAILABLE), Culprit::Unreachable);
        assert_eq!(of(StatusCode::TOO_MANY_REQUESTS), Culprit::RateLimited);
        assert_eq!(of(StatusCode::NOT_FOUND), Culprit::Refused);
    }

    #[tokio::test]
    async fn nothing_is_asked_in_clear() {
        let transport = Transport::new(super::super::tls(Some(&[])));
        for url in ["http://127.0.0.1:1/dir", "ftp://x/", "/dir", "https:///dir"] {
            let error = transport.get(url).await.unwrap_err();
            assert!(matches!(error, TransportError::Url(_)), "{url}: {error}");
        }
    }
}
