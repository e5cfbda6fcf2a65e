//! A tunnel without an account: one POST, and a random name (reference §9.7).

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use poterne_model::TunnelId;
use poterne_tunnel_proto::token::Secret;
use serde::Deserialize;

use crate::{
    AgentConfig, Identity, Proxies, Trust, terminal,
    trust::{self, TrustError},
    web::{self, WebError, WebRequest},
};

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A tunnel just made.
#[derive(Debug, Clone)]
pub struct QuickTunnel {
    /// Which tunnel, and the proof.
    pub identity: Identity,
    /// The public name it was given.
    pub hostname: String,
    /// Where the edges are and how to know them; absent in the answer of a service that is not Poterne.
    pub poterne: Option<(Vec<String>, [u8; 32])>,
}

impl QuickTunnel {
    /// An agent's configuration: one connection; `None` when the answer does not say where the edges are.
    pub fn agent_config(&self) -> Option<AgentConfig> {
        let (edges, pin) = self.poterne.clone()?;
        let mut config = AgentConfig::new(self.identity.clone(), edges, Trust::Pins(vec![pin]));
        config.ha_connections = 1;
        config.quick_hostname = Some(self.hostname.clone());
        Some(config)
    }
}

/// No quick tunnel.
#[derive(Debug, thiserror::Error)]
pub enum QuickError {
    /// Not a URL this can be asked at.
    #[error("the quick service {0:?} is not a URL; write https://HOST")]
    Url(String),
    /// Without encryption the secret would be anybody's.
    #[error(
        "the quick service {0:?} is plain http:// and not on this machine: the tunnel's secret would travel in the clear; use https://"
    )]
    PlainHttp(String),
    /// Input or output failed.
    #[error("the quick service {url} cannot be reached: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It answered, and refused.
    #[error("the quick service {url} refused: {reason}")]
    Refused {
        /// Scheme, host and port.
        url: String,
        /// Its words.
        reason: String,
    },
    /// It answered something else.
    #[error("the quick service {url} answered what is not a quick tunnel: {reason}")]
    Answer {
        /// Scheme, host and port.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Asks `url` for a tunnel. `trust` verifies the service's certificate; pins do not, since they name the tunnel's CA.
pub async fn request_quick_tunnel(url: &str, trust: &Trust, proxies: &Proxies) -> Result<QuickTunnel, QuickError> {
    let asked = format!("{}/tunnel", url.trim_end_matches('/'));
    // What stands before an `@` is a secret.
    let url = web::origin_of(url);
    let request = WebRequest { method: Method::POST, url: &asked, token: None, body: None, answer_bytes_max: ANSWER_BYTES_MAX };
    let answer = web::ask(request, trust, proxies).await.map_err(|error| match error {
        WebError::Url(url) => QuickError::Url(url),
        WebError::PlainHttp(url) => QuickError::PlainHttp(url),
        WebError::Unreachable { url, reason } => QuickError::Unreachable { url, reason },
        WebError::Trust(error) => QuickError::Trust(error),
    })?;
    read(&url, &answer.body)
}

/// The answer's status says nothing; its body does.
fn read(url: &str, body: &[u8]) -> Result<QuickTunnel, QuickError> {
    let wrong = |reason: String| QuickError::Answer { url: url.to_owned(), reason };
    let answer: Answer = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    let Some(result) = answer.result.filter(|_| answer.success) else {
        let reasons: Vec<String> = answer.errors.into_iter().map(|error| error.message).collect();
        let reason = if reasons.is_empty() { "it did not say why".to_owned() } else { terminal::plain(&reasons.join("; ")) };
        return Err(QuickError::Refused { url: url.to_owned(), reason });
    };
    let tunnel: TunnelId = result.id.parse().map_err(|error: poterne_model::id::IdError| wrong(error.to_string()))?;
    let secret = STANDARD.decode(&result.secret).map_err(|_| wrong("its secret is not base64".to_owned()))?;
    // `p` stands in the result, or beside it.
    let poterne = result.p.or(answer.p).and_then(|p| {
        let pin: [u8; 32] = STANDARD.decode(p.k).ok()?.try_into().ok()?;
        Some((p.e, pin)).filter(|(edges, _)| !edges.is_empty())
    });
    let identity = Identity { account: result.account_tag, tunnel, secret: Secret::new(secret) };
    Ok(QuickTunnel { identity, hostname: result.hostname, poterne })
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    result: Option<QuickResult>,
    #[serde(default)]
    errors: Vec<AnswerError>,
    p: Option<AnswerPoterne>,
}

#[derive(Deserialize)]
struct QuickResult {
    id: String,
    hostname: String,
    account_tag: String,
    secret: String,
    p: Option<AnswerPoterne>,
}

#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct AnswerPoterne {
    e: Vec<String>,
    k: String,
}

/// Installs the cryptography this process uses where a library asks for the process's own; harmless when done twice.
pub fn install_crypto() {
    let _ = rustls::crypto::CryptoProvider::install_default(Arc::unwrap_or_clone(trust::provider(false)));
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ID: &str = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";

    #[test]
    fn an_answer_gives_a_tunnel_with_or_without_edges() {
        let pin = STANDARD.encode([7u8; 32]);
        let body = format!(
            r#"{{"success":true,"result":{{"id":"{ID}","name":"x","hostname":"a.example","account_tag":"acc","secret":"AAEC",
                "p":{{"e":["edge:7844"],"k":"{pin}"}}}},"errors":[]}}"#
        );
        let tunnel = read("u", body.as_bytes()).unwrap();
        assert_eq!(tunnel.identity.tunnel.to_string(), ID);
        assert_eq!(tunnel.poterne, Some((vec!["edge:7844".to_owned()], [7; 32])));
        assert_eq!(tunnel.agent_config().unwrap().ha_connections, 1);
        let stock = format!(r#"{{"success":true,"result":{{"id":"{ID}","hostname":"a","account_tag":"acc","secret":"AAEC"}}}}"#);
        assert!(read("u", stock.as_bytes()).unwrap().agent_config().is_none());
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        let body = br#"{"success":false,"result":null,"errors":[{"code":1,"message":"quick tunnels\u001b[2J are off"}]}"#;
        assert_eq!(
            read("https://n", body).unwrap_err().to_string(),
            "the quick service https://n refused: quick tunnels\u{fffd}[2J are off"
        );
        assert!(matches!(read("u", b"<html>"), Err(QuickError::Answer { .. })));
    }

    #[tokio::test]
    async fn the_secret_never_travels_in_the_clear() {
        let error = request_quick_tunnel("http://node.example", &Trust::WebPki, &Proxies::default()).await.unwrap_err();
        assert!(matches!(error, QuickError::PlainHttp(_)), "{error}");
    }

    #[tokio::test]
    async fn a_user_of_the_service_is_not_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
        });
        for url in [
            format!("http://user:s3cret@127.0.0.1:{port}").as_str(),
            "http://user:s3cret@node.example",
            "https://user:s3cret@[::1",
            "user:s3cret@node.example",
        ] {
            let error = request_quick_tunnel(url, &Trust::WebPki, &Proxies::default()).await.unwrap_err().to_string();
            let named = ["node.example", "127.0.0.1", "::1"].iter().any(|host| error.contains(host));
            assert!(named && !error.contains("s3cret"), "{error}");
        }
    }
}
