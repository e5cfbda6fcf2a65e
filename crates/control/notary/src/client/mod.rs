//! One authority: what its directory says, our account with it, and how it is spoken to.

mod account;
mod directory;
mod transport;

use std::sync::{Arc, OnceLock};

use instant_acme::{Account, RevocationReason, RevocationRequest};
use poterne_acme::{Authority, Culprit, Trouble, Window, window};
use poterne_keys::Secret;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

pub(crate) use directory::Directory;
pub(crate) use transport::{Transport, TransportError};

/// An authority, and what it takes to be its customer.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// It.
    pub authority: Authority,
    /// What verifies its directory; none: the system's authorities.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// Whom it may write to, a mail address.
    pub contact: Option<String>,
    /// The account elsewhere that ours is bound to (RFC 8555 §7.3.4).
    pub binding: Option<Binding>,
    /// What CAA records call it, where its directory does not say.
    pub issuers: Vec<String>,
}

/// What an account is bound to another with.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The key's name.
    pub key_id: String,
    /// The key.
    pub key: Secret,
}

/// An authority, as it is spoken to.
pub(crate) struct Client {
    settings: AuthoritySettings,
    tls: OnceLock<Arc<ClientConfig>>,
    /// Held by whoever makes the account: there is to be one.
    registering: tokio::sync::Mutex<()>,
}

/// A stay at an authority: one connection, with one account.
pub(crate) struct Stay {
    pub(crate) transport: Transport,
    pub(crate) directory: Directory,
    pub(crate) account: Account,
    /// What the authority calls the account.
    pub(crate) uri: String,
    /// What CAA records call the authority; none where nobody knows.
    pub(crate) issuers: Vec<String>,
}

impl Client {
    pub(crate) fn new(settings: AuthoritySettings) -> Self {
        Self { settings, tls: OnceLock::new(), registering: tokio::sync::Mutex::default() }
    }

    /// The URL of its directory, which names it.
    pub(crate) fn url(&self) -> &str {
        &self.settings.authority.directory
    }

    fn transport(&self) -> Transport {
        Transport::new(Arc::clone(self.tls.get_or_init(|| tls(self.settings.roots.as_deref()))))
    }

    /// When a certificate should be renewed, where the authority says so, and when to ask again.
    pub(crate) async fn window(&self, ari: &str) -> (Option<Window>, Option<i64>) {
        let transport = self.transport();
        let asked = async {
            let directory = Directory::fetch(&transport, self.url()).await?;
            let Some(url) = directory.renewal_info else { return Ok::<_, TransportError>((None, None)) };
            let response = transport.get(&format!("{}/{ari}", url.trim_end_matches('/'))).await?;
            let retry_after = transport.retry_after_secs();
            let body = response.body();
            if !response.status().is_success() || body.len() > window::ANSWER_BYTES_MAX {
                tracing::debug!(directory = self.url(), status = %response.status(), "no word of when to renew");
                return Ok((None, retry_after));
            }
            match Window::parse(body) {
                Ok(window) => Ok((Some(window), retry_after)),
                Err(error) => {
                    tracing::warn!(directory = self.url(), error, "the authority's word of when to renew is not understood");
                    Ok((None, retry_after))
                }
            }
        };
        match asked.await {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(directory = self.url(), %error, "no word of when to renew");
                (None, None)
            }
        }
    }
}

impl Stay {
    /// Has a certificate revoked. One that was before is so too.
    pub(crate) async fn revoke(&self, leaf: &[u8], reason: u8) -> Result<(), Trouble> {
        let reason = match reason {
            1 => RevocationReason::KeyCompromise,
            3 => RevocationReason::AffiliationChanged,
            4 => RevocationReason::Superseded,
            5 => RevocationReason::CessationOfOperation,
            _ => RevocationReason::Unspecified,
        };
        let certificate = CertificateDer::from(leaf);
        let request = RevocationRequest { certificate: &certificate, reason: Some(reason) };
        match self.account.revoke(&request).await {
            Err(instant_acme::Error::Api(problem))
                if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:alreadyRevoked") =>
            {
                Ok(())
            }
            done => done.map_err(|error| trouble(error, &self.transport)),
        }
    }
}

/// What went wrong, in the words of `poterne_acme`.
pub(crate) fn trouble(error: instant_acme::Error, transport: &Transport) -> Trouble {
    use instant_acme::Error;
    match error {
        Error::Api(problem) => {
            let mut detail = problem.detail.clone().unwrap_or_else(|| "no reason given".to_owned());
            for one in problem.subproblems.iter().take(10) {
                let named = one.identifier.as_ref().map(|name| format!("{}: ", name.authorized(false))).unwrap_or_default();
                detail.push_str(&format!("; {named}{}", one.detail.as_deref().unwrap_or_default()));
            }
            Trouble::of_problem(problem.r#type.as_deref(), problem.status, &detail).after(transport.retry_after_secs())
        }
        Error::Other(other) => match other.downcast_ref::<TransportError>() {
            Some(error) => error.trouble().after(transport.retry_after_secs()),
            None => Trouble::new(Culprit::Refused, other.to_string()),
        },
        Error::Unsupported(what) => Trouble::new(Culprit::Refused, format!("the authority does not offer {what}")),
        Error::Crypto | Error::KeyRejected => Trouble::new(Culprit::Internal, error.to_string()),
        other => Trouble::new(Culprit::Unreachable, other.to_string()),
    }
}

/// Whether the authority does not know our account any more.
pub(crate) fn is_stranger(error: &instant_acme::Error) -> bool {
    matches!(error, instant_acme::Error::Api(problem)
        if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist"))
}

fn tls(roots: Option<&[CertificateDer<'static>]>) -> Arc<ClientConfig> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(roots) => drop(store.add_parsable_certificates(roots.iter().cloned())),
        None => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if store.is_empty() {
        tracing::error!("nothing verifies the certificate authority's directory (on Debian: ca-certificates)");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider speaks the default versions");
    Arc::new(builder.with_root_certificates(store).with_no_client_auth())
}
