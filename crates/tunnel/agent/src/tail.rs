//! The client of an agent's `/logs`: what `tail` is, of either program. It goes by way of the edge, like any visitor.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode, header, uri::Authority};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use poterne_model::ConnectorId;
use poterne_tunnel_proto::{
    management::{
        message::{AGENT_BYTES_MAX, AgentMessage, ClientMessage, Entry, Filters},
        session::PING_EVERY,
    },
    websocket::{
        self,
        messages::{Message, Messages, Sender, TEXT},
    },
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{Proxies, Trust, terminal, trust::TrustError};

/// Longest the edge, and the agent behind it, may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(30);
/// Longest answer read of who refuses, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// An agent pings; one that was silent for so long is gone.
const SILENT_MAX: Duration = PING_EVERY.saturating_mul(3);

/// Which log, and what of it.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The management hostname, with its port unless that is 443.
    pub hostname: String,
    /// Where it is; none: what the system says of the hostname.
    pub address: Option<SocketAddr>,
    /// A management token for logs. Secret.
    pub token: String,
    /// Which of the tunnel's agents; none: any.
    pub connector: Option<ConnectorId>,
    /// Which entries.
    pub filters: Filters,
    /// Verifies the edge.
    pub trust: Trust,
    /// Proxies of the environment.
    pub proxies: Proxies,
}

/// Why a log is not read, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// Not a hostname.
    #[error("the management hostname {0:?} is none; write --management-hostname HOST or HOST:PORT")]
    Hostname(String),
    /// Input or output failed, or TLS.
    #[error("{hostname} cannot be reached: {reason}")]
    Unreachable {
        /// As given.
        hostname: String,
        /// What happened.
        reason: String,
    },
    /// The edge has no agent to ask.
    #[error(
        "no agent of this tunnel is connected, or not the one that --connector-id names; see `tunnel info` for those that are (HTTP 530)"
    )]
    NoConnector,
    /// The edge or the agent refused.
    #[error("{hostname} refused: {reason} (HTTP {status})")]
    Refused {
        /// As given.
        hostname: String,
        /// The status.
        status: u16,
        /// The words, where there are any.
        reason: String,
    },
    /// The agent closed the conversation.
    #[error("the agent ended the session: {reason} ({code})")]
    Closed {
        /// The WebSocket close code.
        code: u16,
        /// The words.
        reason: String,
    },
    /// Nobody is there any more.
    #[error("the connection to the agent was lost: {0}")]
    Lost(String),
    /// Whom to trust.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Entries cannot be written.
    #[error(transparent)]
    Output(io::Error),
}

impl Tail {
    /// Reads entries until the agent ends the session, each told as it comes.
    ///
    /// # Errors
    /// There are none to read, or no more.
    pub async fn run(&self, told: impl FnMut(Entry) -> io::Result<()>) -> Result<(), TailError> {
        let unreachable = |reason: String| TailError::Unreachable { hostname: self.hostname.clone(), reason };
        let begun = timeout(BEGIN_MAX, self.begin()).await;
        let stream = begun.map_err(|_| unreachable(format!("no answer within {BEGIN_MAX:?}")))??;
        self.follow(stream, told).await
    }

    /// Opens the WebSocket.
    async fn begin(&self) -> Result<TokioIo<hyper::upgrade::Upgraded>, TailError> {
        let unreachable = |reason: String| TailError::Unreachable { hostname: self.hostname.clone(), reason };
        let wrong = || TailError::Hostname(self.hostname.clone());
        let authority: Authority = self.hostname.parse().map_err(|_| wrong())?;
        let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(443));
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        let connected = match self.address {
            Some(address) => TcpStream::connect(address).await,
            None => self.proxies.connect(host, port).await,
        };
        let stream = connected.map_err(|error| unreachable(error.to_string()))?;
        // Pins name the tunnel's authority, which is not the visitors'.
        let trust = if matches!(self.trust, Trust::Pins(_)) { &Trust::WebPki } else { &self.trust };
        let connector = TlsConnector::from(Arc::new(trust.client_config(false, false)?));
        let tls = connector
            .connect(name, stream)
            .await
            .map_err(|error| unreachable(format!("{error}; a node without a public certificate is verified with --cacert")))?;

        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        let mut target = format!("/logs?access_token={}", self.token.trim());
        if let Some(connector) = self.connector {
            target.push_str(&format!("&connector_id={connector}"));
        }
        let request = Request::get(target)
            .header(header::HOST, self.hostname.as_str())
            .header(header::USER_AGENT, concat!("poterne-agent/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key.as_str())
            .body(Empty::<Bytes>::new())
            .map_err(|_| self.refused(StatusCode::BAD_REQUEST, "the token has characters that no token has".to_owned()))?;
        let lost = |error: hyper::Error| unreachable(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(lost)?;
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await.map_err(lost)?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            if status.as_u16() == 530 {
                return Err(TailError::NoConnector);
            }
            let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
            return Err(self.refused(status, body.map(|body| reason(&body.to_bytes())).unwrap_or_default()));
        }
        let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes());
        if accepted != Some(websocket::accept_key(key.as_bytes()).as_bytes()) {
            return Err(self.refused(status, "what answers is no WebSocket server".to_owned()));
        }
        Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(lost)?))
    }

    fn refused(&self, status: StatusCode, reason: String) -> TailError {
        TailError::Refused { hostname: self.hostname.clone(), status: status.as_u16(), reason: terminal::plain(&reason) }
    }

    async fn follow<S>(&self, mut stream: S, mut told: impl FnMut(Entry) -> io::Result<()>) -> Result<(), TailError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let lost = |error: io::Error| TailError::Lost(error.to_string());
        let start = ClientMessage::StartStreaming { filters: self.filters.clone() };
        say(&mut stream, TEXT, &start.encode()).await.map_err(lost)?;
        let (mut messages, mut piece) = (Messages::new(Sender::Server, AGENT_BYTES_MAX), BytesMut::new());
        loop {
            let read = timeout(SILENT_MAX, stream.read_buf(&mut piece)).await;
            if read.map_err(|_| TailError::Lost(format!("it was silent for {SILENT_MAX:?}")))?.map_err(lost)? == 0 {
                return Err(TailError::Lost("it was closed".to_owned()));
            }
            messages.push(&piece.split());
            while let Some(message) = messages.message().map_err(|error| TailError::Lost(error.to_string()))? {
                match message {
                    Message::Data(text) => {
                        let message = AgentMessage::parse(&text).map_err(|error| TailError::Lost(error.to_string()))?;
                        let AgentMessage::Logs { logs } = message else { continue };
                        logs.into_iter().try_for_each(&mut told).map_err(TailError::Output)?;
                    }
                    Message::Ping(payload) => say(&mut stream, websocket::PONG, &payload).await.map_err(lost)?,
                    Message::Pong => {}
                    Message::Close(code, reason) => {
                        // It may have gone already.
                        let _ = say(&mut stream, websocket::CLOSE, &[]).await;
                        return match code {
                            None | Some(1000) if reason.is_empty() => Ok(()),
                            code => Err(TailError::Closed { code: code.unwrap_or(1005), reason: terminal::plain(&reason) }),
                        };
                    }
                }
            }
        }
    }
}

/// An entry as a line for a person.
pub fn line(entry: &Entry) -> String {
    let Entry { time, level, message, event, fields } = entry;
    let mut line = format!("{time} {} {} {message}", level.as_str(), event.as_str());
    for (name, value) in fields {
        match value {
            serde_json::Value::String(text) => line.push_str(&format!(" {name}={text:?}")),
            value => line.push_str(&format!(" {name}={value}")),
        }
    }
    // An agent's words are not the terminal's.
    terminal::plain(&line)
}

/// An entry as a line of JSON.
pub fn json(entry: &Entry) -> String {
    terminal::json(&serde_json::to_string(entry).expect("strings and JSON serialise"))
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, opcode: u8, payload: &[u8]) -> io::Result<()> {
    stream.write_all(&websocket::masked_frame(opcode, payload, rand::random())).await?;
    stream.flush().await
}

/// The words of a refusal: those of its first error, where it is JSON as agents and edges answer.
fn reason(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json["errors"][0]["message"].as_str());
    message.map_or_else(|| String::from_utf8_lossy(body).lines().next().unwrap_or_default().to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use poterne_tunnel_proto::websocket::{frame_header, messages::close_payload};

    use super::*;

    fn tail() -> Tail {
        Tail {
            hostname: "management.test".into(),
            address: None,
            token: "t".into(),
            connector: None,
            filters: Filters::default(),
            trust: Trust::WebPki,
            proxies: Proxies::default(),
        }
    }

    async fn followed(frames: &[(u8, &[u8])]) -> (Vec<String>, Result<(), TailError>) {
        let (client, mut agent) = tokio::io::duplex(64 * 1024);
        for (opcode, payload) in frames {
            agent.write_all(&[&frame_header(*opcode, payload.len())[..], payload].concat()).await.unwrap();
        }
        agent.shutdown().await.unwrap();
        let mut told = Vec::new();
        let tail = tail();
        let ended = tail.follow(client, |entry| {
            told.push(entry.message);
            Ok(())
        });
        let ended = ended.await;
        (told, ended)
    }

    #[tokio::test]
    async fn entries_are_told_until_the_agent_says_why_it_ends() {
        let logs = br#"{"type":"logs","logs":[{"time":"t","message":"one"}]}"#;
        let unknown = br#"{"type":"later","x":1}"#;
        let taken = close_payload(4002, "somebody\u{1b}[2J else");
        let frames: [(u8, &[u8]); 4] = [(TEXT, logs), (websocket::PING, b"p"), (TEXT, unknown), (websocket::CLOSE, &taken)];
        let (told, ended) = followed(&frames).await;
        assert_eq!(told, ["one"]);
        assert_eq!(ended.unwrap_err().to_string(), "the agent ended the session: somebody\u{fffd}[2J else (4002)");
        assert!(followed(&[(websocket::CLOSE, &close_payload(1000, ""))]).await.1.is_ok());
        assert!(matches!(followed(&[(TEXT, logs)]).await.1, Err(TailError::Lost(_))));
        assert!(matches!(followed(&[(TEXT, b"<html>")]).await.1, Err(TailError::Lost(_))));
    }

    #[test]
    fn an_entry_is_a_line() {
        let fields = serde_json::json!({ "connIndex": 0, "originService": "http://s" }).as_object().cloned().unwrap();
        let entry = Entry { time: "t".into(), message: "a\u{1b}[31m\nb\u{9b}".into(), fields, ..Entry::default() };
        assert_eq!(line(&entry), "t debug cloudflared a\u{fffd}[31m\u{fffd}b\u{fffd} connIndex=0 originService=\"http://s\"");
        assert!(json(&entry).starts_with(r#"{"time":"t","message":"a\u001b[31m\nb\u009b""#), "{}", json(&entry));
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        let refused = tail().refused(StatusCode::FORBIDDEN, "a\u{1b}]0;b".to_owned()).to_string();
        assert_eq!(refused, "management.test refused: a\u{fffd}]0;b (HTTP 403)");
        assert_eq!(reason(br#"{"errors":[{"code":1004,"message":"expired"}]}"#), "expired");
        assert_eq!(reason(b"Bad things\nand more"), "Bad things");
        assert_eq!(reason(b""), "");
    }
}
