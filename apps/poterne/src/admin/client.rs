//! The program's side of the administration socket.

use std::{io, path::Path, time::Duration};

use tokio::net::UnixStream;

use super::protocol::{self, Answer, FrameError, Verb};

/// How long an answer may take: a verb waits until the edge obeys it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// And an upgrade, which has steps that each may take long.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(240);

/// Why the running node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket is there and nobody may, or can, use it.
    #[error("the node's socket {path} cannot be used: {error}; run this as the node's own user")]
    Unusable {
        /// The socket.
        path: std::path::PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The exchange failed.
    #[error("the running node gave no answer: {0}")]
    Frame(#[from] FrameError),
    /// No answer in time.
    #[error("the running node gave no answer within {} seconds: look at its log", .0.as_secs())]
    Silent(Duration),
}

/// Asks the node that listens on this socket; none when no node runs.
pub async fn ask(socket: &Path, verb: &Verb) -> Result<Option<Answer>, ClientError> {
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(ClientError::Unusable { path: socket.into(), error }),
    };
    let exchange = async {
        protocol::write_request(&mut stream, verb).await?;
        protocol::read_answer(&mut stream).await
    };
    let patience = if matches!(verb, Verb::Upgrade { .. }) { UPGRADE_TIMEOUT } else { ANSWER_TIMEOUT };
    match tokio::time::timeout(patience, exchange).await {
        Ok(answer) => Ok(Some(answer?)),
        Err(_) => Err(ClientError::Silent(patience)),
    }
}
