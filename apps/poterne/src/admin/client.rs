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

/// Asks for what is answered again and again; false when no node runs. `take` says whether it wants more.
pub async fn watch(socket: &Path, verb: &Verb, mut take: impl FnMut(Answer) -> io::Result<bool>) -> Result<bool, ClientError> {
    let Some(mut stream) = connect(socket).await? else { return Ok(false) };
    protocol::write_request(&mut stream, verb).await?;
    loop {
        let answer = match protocol::read_answer(&mut stream).await {
            Ok(answer) => answer,
            // The node has ended, or was replaced.
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        if !take(answer).map_err(FrameError::Io)? {
            return Ok(true);
        }
    }
}

async fn connect(socket: &Path) -> Result<Option<UnixStream>, ClientError> {
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(ClientError::Unusable { path: socket.into(), error }),
    }
}

/// Asks the node that listens on this socket; none when no node runs.
pub async fn ask(socket: &Path, verb: &Verb) -> Result<Option<Answer>, ClientError> {
    let Some(mut stream) = connect(socket).await? else { return Ok(None) };
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
