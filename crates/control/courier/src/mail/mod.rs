//! Mail: the server, messages, failures.
//!
//! * [`server`]: `[mail] smtp` as a person writes it; pure;
//! * [`message`]: a notice as a message; pure;
//! * [`failure`]: what a mail server's refusal means, in plain words;
//! * [`Mailer`]: the three together.

pub mod failure;
pub mod message;
pub mod server;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use lettre::{
    SmtpTransport, Transport as _,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use poterne_control_app::notice::Notice;
use poterne_model::{NoticeId, Timestamp};

pub use self::{
    failure::Failure,
    message::{From, FromError},
    server::{Security, Server, ServerError},
};
use crate::text::{self, Languages};

/// How long the server may take for one answer, and for a whole message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// What mail needs to know.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// The server.
    pub server: Server,
    /// The sender.
    pub from: From,
    /// Certificates that vouch for the server, PEM, beside the system's.
    pub authorities: Option<Vec<u8>>,
    /// The node's own name: what it says hello by, and the right part of Message-ID.
    pub node: String,
    /// In which languages it writes.
    pub languages: Languages,
}

/// Why there is no mailer.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// Of the certificates given.
    #[error("[mail] ca_file holds no certificates that can be read: {0}")]
    Authorities(String),
    /// Of the system's certificates, or the server's name.
    #[error("[mail] smtp: no TLS with {host}: {why}")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        why: String,
    },
}

/// Sends mails. Clones share one.
#[derive(Clone)]
pub struct Mailer {
    transport: SmtpTransport,
    settings: MailSettings,
}

impl Mailer {
    /// A mailer; nothing is connected to yet.
    ///
    /// # Errors
    /// TLS cannot be prepared as it is asked for.
    pub fn new(settings: MailSettings) -> Result<Self, MailerError> {
        let server = &settings.server;
        let tls = match server.security {
            Security::Clear => Tls::None,
            Security::StartTls => Tls::Required(tls(&settings)?),
            Security::Tls => Tls::Wrapper(tls(&settings)?),
        };
        let mut builder = SmtpTransport::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .hello_name(ClientId::Domain(settings.node.clone()))
            .timeout(Some(ANSWER_TIMEOUT));
        if let Some((user, password)) = &server.credentials {
            let password = String::from_utf8_lossy(password.expose()).into_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self { transport: builder.build(), settings })
    }

    /// Sends a notice. Sent again, it has the same Message-ID.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn send(
        &self,
        id: NoticeId,
        to: &str,
        notice: &Notice,
        policy: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let MailSettings { from, node, languages, .. } = &self.settings;
        let written = text::write(notice, *languages, node, policy);
        let message = message::build(from, to, &format!("{id}@{node}"), now, written).map_err(Failure::Message)?;
        // On a thread of its own, which a node that stops need not wait for. One that is given up ends by the timeouts of its answers.
        let transport = self.transport.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        let sending = std::thread::Builder::new().name("mail".to_owned()).spawn(move || tell.send(transport.send(&message)));
        sending.map_err(|error| Failure::Unreachable { server: self.settings.server.to_string(), why: error.to_string() })?;
        match tokio::time::timeout(MESSAGE_TIMEOUT, told).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(failure::of(&self.settings.server, &error)),
            Ok(Err(_)) | Err(_) => {
                Err(Failure::Slow { server: self.settings.server.to_string(), secs: MESSAGE_TIMEOUT.as_secs() })
            }
        }
    }

    /// The server, for messages.
    pub fn server(&self) -> &Server {
        &self.settings.server
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn tls(settings: &MailSettings) -> Result<TlsParameters, MailerError> {
    let host = settings.server.host.clone();
    let mut builder = TlsParameters::builder(host.clone());
    if let Some(pem) = &settings.authorities {
        let certificates = pem_blocks(pem).map_err(MailerError::Authorities)?;
        for der in certificates {
            let certificate = Certificate::from_der(der).map_err(|error| MailerError::Authorities(failure::chain(&error)))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build_rustls().map_err(|error| MailerError::Tls { host, why: failure::chain(&error) })
}

fn pem_blocks(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Err("it has no block that begins with -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}
