//! One request to a stranger's program.
//!
//! Bounded in every way: the guard says where it may go, nothing is followed, the whole takes [`CALL_TIMEOUT`] at most, and of the answer
//! no more than [`ANSWER_BYTES_MAX`] are read, none of which is told to anybody.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use poterne_guard::{ConnectError, Guard, Scheme, Target, TargetError, connect, guard::Admitted};
use poterne_keys::Secret;
use poterne_model::AccountId;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::sign;

/// How long a call takes at most.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of an answer's body is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

const USER_AGENT: &str = concat!("Poterne/", env!("CARGO_PKG_VERSION"));

/// Why a call was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL leads nowhere.
    #[error("its URL cannot be gone to: {0}")]
    Target(#[from] TargetError),
    /// Nobody is reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// In clear, over the world.
    #[error("{0} is in clear, and not on a network that the node's operator trusts with [edge] origins_allowed: write https://")]
    Clear(String),
    /// No TLS.
    #[error("no TLS with {target}: {why}")]
    Tls {
        /// With whom.
        target: String,
        /// Why.
        why: String,
    },
    /// The exchange broke off.
    #[error("{target} does not answer as an HTTP server: {why}")]
    Http {
        /// Who.
        target: String,
        /// How.
        why: String,
    },
    /// It points elsewhere.
    #[error("{target} answers {status}, a redirect, and none is followed: write the URL it leads to")]
    Redirect {
        /// Who.
        target: String,
        /// The status.
        status: StatusCode,
    },
    /// Gone for good (410).
    #[error("{0} answers 410 Gone: it wants no more")]
    Gone(String),
    /// It does not take it.
    #[error("{target} answers {status}")]
    Status {
        /// Who.
        target: String,
        /// The status.
        status: StatusCode,
    },
    /// It takes too long.
    #[error("{0} takes longer than {secs} seconds", secs = CALL_TIMEOUT.as_secs())]
    Slow(String),
}

impl CallError {
    /// Whether another attempt ends the same way, until somebody changes the webhook or the node's configuration.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Target(_) | Self::Clear(_) | Self::Gone(_) => true,
            Self::Connect(error) => error.is_refusal(),
            _ => false,
        }
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Call<'c> {
    /// Whose webhook it is.
    pub account: AccountId,
    /// Where.
    pub url: &'c str,
    /// By what the receiver knows us.
    pub secret: Option<&'c Secret>,
    /// The notice's id; the same in every attempt.
    pub id: String,
    /// Now, in seconds since the Unix epoch.
    pub at_secs: i64,
    /// JSON.
    pub body: Vec<u8>,
}

/// Makes calls. The system's authorities are read when the first over TLS is made.
#[derive(Debug, Default)]
pub struct Caller {
    tls: OnceLock<Arc<ClientConfig>>,
}

impl Caller {
    /// One that trusts these authorities instead of the system's.
    pub fn with_tls(config: Arc<ClientConfig>) -> Self {
        Self { tls: OnceLock::from(config) }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn call(&self, guard: &Guard, call: Call<'_>) -> Result<(), CallError> {
        let target = Target::parse(call.url)?;
        let name = target.to_string();
        match tokio::time::timeout(CALL_TIMEOUT, self.exchange(guard, &target, call)).await {
            Ok(done) => done,
            Err(_) => Err(CallError::Slow(name)),
        }
    }

    async fn exchange(&self, guard: &Guard, target: &Target, call: Call<'_>) -> Result<(), CallError> {
        let (stream, admitted) = connect(guard, call.account, target).await?;
        let request = request(target, &call)?;
        let status = match target.scheme {
            Scheme::Http if admitted != Admitted::Allowed => return Err(CallError::Clear(target.to_string())),
            Scheme::Http => send(target, stream, request).await?,
            Scheme::Https => {
                let wrong = |why: String| CallError::Tls { target: target.to_string(), why };
                let host = ServerName::try_from(target.host.clone()).map_err(|error| wrong(error.to_string()))?;
                let connector = TlsConnector::from(Arc::clone(self.tls.get_or_init(system_tls)));
                let stream = connector.connect(host, stream).await.map_err(|error| wrong(error.to_string()))?;
                send(target, stream, request).await?
            }
        };
        let target = target.to_string();
        match status {
            StatusCode::GONE => Err(CallError::Gone(target)),
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(CallError::Redirect { target, status }),
            status => Err(CallError::Status { target, status }),
        }
    }
}

fn request(target: &Target, call: &Call<'_>) -> Result<Request<Full<Bytes>>, CallError> {
    const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
    const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&target.path)
        .header(header::HOST, target.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(WEBHOOK_ID, &call.id)
        .header(WEBHOOK_TIMESTAMP, call.at_secs);
    if let Some(secret) = call.secret {
        let signature = sign::signature(secret.expose(), &call.id, call.at_secs, &call.body);
        request = request.header("webhook-signature", signature);
        if let Ok(mut value) = HeaderValue::from_bytes(secret.expose()) {
            value.set_sensitive(true);
            request = request.header("cf-webhook-auth", value);
        }
    }
    let wrong = |error: http::Error| CallError::Http { target: target.to_string(), why: error.to_string() };
    request.body(Full::new(Bytes::from(call.body.clone()))).map_err(wrong)
}

async fn send(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, CallError> {
    let wrong = |error: hyper::Error| CallError::Http { target: target.to_string(), why: error.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(ANSWER_BYTES_MAX)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(wrong)?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        // A receiver that still writes is heard to its end, within reason: some take a closed connection for a failure.
        let mut body = response.into_body();
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok::<_, hyper::Error>(status)
    };
    // Both in this task: what is dropped here is over.
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        status = &mut exchange => status.map_err(wrong),
        // Many close without a goodbye once they have answered: what was read counts. Else the connection knows better what went wrong.
        ended = &mut connection => match (exchange.await, ended) {
            (Ok(status), _) => Ok(status),
            (Err(_), Err(error)) | (Err(error), Ok(())) => Err(wrong(error)),
        },
    }
}

fn system_tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::error!(
            "this system has no certificate authorities: no webhook over https can be called (on Debian: ca-certificates)"
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider speaks the default versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;
