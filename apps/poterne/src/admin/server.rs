//! The node's side of the administration socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncReadExt as _,
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::protocol::{self, Answer, FrameError, Verb};

/// Exchanges at once; one more waits to be accepted.
const EXCHANGES_MAX: usize = 16;
/// How long a request may take to arrive, and its answer to leave.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);

/// Who answers.
pub trait Administrator: Send + Sync + 'static {
    /// Does what is asked; a refusal is an answer too.
    fn execute(&self, verb: Verb) -> impl Future<Output = Answer> + Send;

    /// Begins what is answered again and again, until the receiver is dropped; none: [`Administrator::execute`] answers.
    fn watch(&self, _verb: &Verb) -> Option<mpsc::Receiver<Answer>> {
        None
    }
}

/// The bound socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket, mode 0600. The caller holds the state directory, so a file already there is a dead node's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.into() })
    }

    /// Answers until told to stop; `tracked` are the exchanges, which may last longer.
    pub async fn serve(self, administrator: Arc<impl Administrator>, shutdown: CancellationToken, tracked: TaskTracker) {
        let exchanges = Arc::new(Semaphore::new(EXCHANGES_MAX));
        loop {
            let permit = Arc::clone(&exchanges).acquire_owned().await.expect("the semaphore is never closed");
            let stream = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "the administration socket could not accept; trying on");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let administrator = Arc::clone(&administrator);
            tracked.spawn(async move {
                if let Err(error) = exchange(stream, &*administrator, TRANSFER_TIMEOUT).await {
                    tracing::debug!(%error, "an administration exchange failed");
                }
                drop(permit);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// One request, one answer.
async fn exchange(mut stream: UnixStream, administrator: &impl Administrator, timeout: Duration) -> Result<(), FrameError> {
    // The file's mode says the same; this also holds where the directory was opened by mistake.
    let (peer, me) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if peer != me && peer != 0 {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
    }
    let timed_out = |_| FrameError::Io(io::ErrorKind::TimedOut.into());
    let answer = match tokio::time::timeout(timeout, protocol::read_request(&mut stream)).await.map_err(timed_out)? {
        Ok(verb) => match administrator.watch(&verb) {
            Some(answers) => return stream_answers(stream, answers, timeout).await,
            None => administrator.execute(verb).await,
        },
        Err(error @ FrameError::Io(_)) => return Err(error),
        Err(error) => Answer::Refused { message: error.to_string() },
    };
    tokio::time::timeout(timeout, protocol::write_answer(&mut stream, answer)).await.map_err(timed_out)?
}

/// Answers until there is no more, or whoever asked has left.
async fn stream_answers(stream: UnixStream, mut answers: mpsc::Receiver<Answer>, timeout: Duration) -> Result<(), FrameError> {
    let timed_out = |_| FrameError::Io(io::ErrorKind::TimedOut.into());
    let (mut reader, mut writer) = stream.into_split();
    let mut byte = [0];
    loop {
        let answer = tokio::select! {
            answer = answers.recv() => answer,
            // Nothing more is asked: that is its end.
            _ = reader.read(&mut byte) => None,
        };
        let Some(answer) = answer else { return Ok(()) };
        tokio::time::timeout(timeout, protocol::write_answer(&mut writer, answer)).await.map_err(timed_out)??;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::admin::client;

    struct Echo;
    impl Administrator for Echo {
        async fn execute(&self, verb: Verb) -> Answer {
            Answer::Refused { message: format!("{verb:?}") }
        }
    }

    async fn served() -> (tempfile::TempDir, PathBuf, CancellationToken, tokio::task::JoinHandle<()>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(socket.serve(Arc::new(Echo), stop.clone(), TaskTracker::new()));
        (dir, path, stop, task)
    }

    #[tokio::test]
    async fn a_verb_is_answered_and_the_socket_is_its_owners_alone() {
        let (_dir, path, stop, task) = served().await;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let answer = client::ask(&path, &Verb::ZoneList { deleted: false }).await.unwrap();
        assert_eq!(answer, Some(Answer::Refused { message: "ZoneList { deleted: false }".into() }));
        stop.cancel();
        task.await.unwrap();
        assert_eq!(client::ask(&path, &Verb::ZoneList { deleted: false }).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_oversized_request_is_told_so_and_nothing_is_stored() {
        let (_dir, path, _stop, _task) = served().await;
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let Answer::Refused { message } = protocol::read_answer(&mut stream).await.unwrap() else { panic!() };
        assert!(message.contains("exceeds the bound"), "{message}");
    }

    #[tokio::test]
    async fn a_silent_client_is_let_go() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let error = exchange(server, &Echo, Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(&error, FrameError::Io(e) if e.kind() == io::ErrorKind::TimedOut), "{error}");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn silent_clients_do_not_keep_others_out() {
        let (_dir, path, _stop, _task) = served().await;
        let mut silent = Vec::new();
        for _ in 0..EXCHANGES_MAX - 1 {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        assert!(client::ask(&path, &Verb::TunnelList {}).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_dead_nodes_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(client::ask(&path, &Verb::ZoneList { deleted: false }).await.unwrap(), None);
        AdminSocket::bind(&path).unwrap();
    }
}
