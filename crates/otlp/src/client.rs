//! One connection to the collector, kept from batch to batch and made anew when it is gone.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::settings::Settings;

/// Longest that a batch may take to be sent and answered, connection and all. OpenTelemetry's default.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest answer read, in bytes: what a collector has to say of a batch is short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a collector answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct Client {
    settings: Settings,
    tls: Option<Arc<ClientConfig>>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, tls: None, sender: None }
    }

    /// Sends a batch, and reads the whole answer.
    ///
    /// # Errors
    /// There is none, in words. The next batch goes over a new connection.
    pub(crate) async fn post(&mut self, body: Bytes) -> Result<Answer, String> {
        // Taken while it is used: whatever is cut off in the middle is not used again.
        let kept = self.sender.take().filter(|sender| !sender.is_closed());
        match timeout(ANSWER_MAX, self.exchange(kept, body)).await {
            Ok(answered) => answered.map_err(|error| chain(&*error)),
            Err(_) => Err(format!("no answer within {} seconds", ANSWER_MAX.as_secs())),
        }
    }

    async fn exchange(&mut self, kept: Option<SendRequest<Full<Bytes>>>, body: Bytes) -> Result<Answer, Failed> {
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await?;
        let endpoint = &self.settings.endpoint;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&endpoint.path)
            .header(header::HOST, endpoint.authority.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .header(header::CONTENT_LENGTH, body.len())
            .header(header::USER_AGENT, concat!("poterne/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))?;
        for (name, value) in &self.settings.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, Failed> {
        let endpoint = self.settings.endpoint.clone();
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
        stream.set_nodelay(true)?;
        if !endpoint.tls {
            return handshake(stream).await;
        }
        let tls = match &self.tls {
            Some(tls) => Arc::clone(tls),
            None => Arc::clone(self.tls.insert(tls_config(self.settings.ca_file())?)),
        };
        let name = ServerName::try_from(endpoint.host)?;
        handshake(TlsConnector::from(tls).connect(name, stream).await?).await
    }
}

async fn handshake<IO>(io: IO) -> Result<SendRequest<Full<Bytes>>, Failed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // It ends by itself once its sender is dropped.
    tokio::spawn(connection);
    Ok(sender)
}

fn tls_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failed> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let unread = |error: rustls_pki_types::pem::Error| format!("the authorities in {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
                roots.add(certificate.map_err(unread)?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(
            "no authority is known that could vouch for it: install ca-certificates, or name a file of authorities".into()
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
