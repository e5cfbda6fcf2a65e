//! A program that takes the place of another under load: `poterne upgrade` ([docs/decisions/0026](../../../../docs/decisions/0026-upgrade.md)).
//!
//! ```text
//! predecessor                                    successor, its child
//!   sockets, the lock of the state       ──→
//!                                        ←──  prepared: configuration right, ports there
//!   control stops; the state is yours    ──→
//!                                        ←──  ready: snapshot, store and all put together
//!   agents are yours; half of ours leave ──→  accepts agents, control runs
//!                                        ←──  arrived
//!   visitors are yours; drains           ──→  accepts visitors
//! ```
//!
//! Until it is ready nothing is lost by its failing: the predecessor kills it, starts its own control again, and serves on.

mod channel;

use std::{
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use poterne_model::TunnelId;

use self::channel::{Channel, TUNNELS_PER_WORD, Word};
use crate::inherited::Named;

/// Set for a successor, whose standard input is its end of the channel.
const VARIABLE: &str = "POTERNE_HANDOVER";
/// How long each step of a successor may take.
const PREPARE_PATIENCE: Duration = Duration::from_secs(30);
const READY_PATIENCE: Duration = Duration::from_secs(120);
/// How long agents are waited for; most need a second.
pub const AGENTS_PATIENCE: Duration = Duration::from_secs(45);
/// How often a program that is about to end is asked whether it has.
const ENDED_EVERY: Duration = Duration::from_secs(1);
/// How long a program may take to say what it only needs to say.
const WORD_PATIENCE: Duration = Duration::from_secs(10);

/// Why no other program took this one's place; this one serves on.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// It cannot be started.
    #[error("{program} cannot be started: {error}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It says why itself.
    #[error("the new program could not start: {0}")]
    Failed(String),
    /// It ended without a word.
    #[error("the new program ended before it was ready: look at the log")]
    Ended,
    /// It took too long.
    #[error("the new program was not ready within {} seconds", .0.as_secs())]
    Slow(Duration),
    /// The channel broke.
    #[error("the new program cannot be spoken to: {0}")]
    Channel(#[from] io::Error),
    /// It said something else.
    #[error("the new program said something unexpected; is it a `poterne`?")]
    Unexpected,
}

/// A program that is to take this one's place.
pub struct Heir {
    channel: Arc<Channel>,
    child: Child,
}

impl Heir {
    /// Starts it with these arguments.
    pub fn start(program: &Path, arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, HandoverError> {
        let (channel, theirs) = Channel::pair()?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).env(VARIABLE, "1").stdin(theirs);
        let child = command.spawn().map_err(|error| HandoverError::Start { program: program.into(), error })?;
        Ok(Self { channel: Arc::new(channel), child })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives it a socket.
    pub fn give(&self, socket: &Named, forward: Option<BorrowedFd<'_>>) -> Result<(), HandoverError> {
        let word = Word::Socket { setting: socket.setting.clone(), address: socket.address, udp: socket.udp };
        let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(socket.descriptor.as_fd()).chain(forward).collect();
        Ok(self.channel.say(&word, &descriptors)?)
    }

    /// Gives it the state directory's lock, and says that this was all; returns once it is prepared.
    pub async fn begin(&self, state: &Path, lock: BorrowedFd<'_>, generation: u8) -> Result<(), HandoverError> {
        self.channel.say(&Word::State { path: state.into() }, &[lock])?;
        self.channel.say(&Word::Begin { generation }, &[])?;
        match self.hear(PREPARE_PATIENCE).await? {
            Word::Prepared => Ok(()),
            _ => Err(HandoverError::Unexpected),
        }
    }

    /// Gives it the state; returns once it is ready.
    pub async fn yours(&self) -> Result<(), HandoverError> {
        self.channel.say(&Word::Yours, &[])?;
        match self.hear(READY_PATIENCE).await? {
            Word::Ready => Ok(()),
            _ => Err(HandoverError::Unexpected),
        }
    }

    /// Gives it the agents, of whom those of these tunnels are on their way; returns those that did not come.
    pub async fn agents(&self, tunnels: &[TunnelId]) -> Result<Vec<TunnelId>, HandoverError> {
        say_tunnels(&self.channel, tunnels, |tunnels, more| Word::Agents { tunnels, more })?;
        let mut all = Vec::new();
        loop {
            match self.hear(AGENTS_PATIENCE + WORD_PATIENCE).await? {
                Word::Arrived { missing, more } => {
                    all.extend(missing.iter().filter_map(|tunnel| tunnel.parse::<TunnelId>().ok()));
                    if !more {
                        return Ok(all);
                    }
                }
                _ => return Err(HandoverError::Unexpected),
            }
        }
    }

    /// Gives it the visitors; returns once it serves them.
    pub async fn visitors(&self, expected: &[TunnelId]) -> Result<(), HandoverError> {
        say_tunnels(&self.channel, expected, |expected, more| Word::Visitors { expected, more })?;
        match self.hear(WORD_PATIENCE).await? {
            Word::Serving => Ok(()),
            _ => Err(HandoverError::Unexpected),
        }
    }

    /// Ends it: it is not wanted.
    pub async fn kill(mut self) {
        let _ = self.child.kill();
        let _ = tokio::task::spawn_blocking(move || self.child.wait()).await;
    }

    async fn hear(&self, patience: Duration) -> Result<Word, HandoverError> {
        let channel = Arc::clone(&self.channel);
        let heard = tokio::task::spawn_blocking(move || channel.hear(Some(patience))).await;
        match heard.map_err(io::Error::other)? {
            Ok((Word::Failed { message }, _)) => Err(HandoverError::Failed(message)),
            Ok((word, _)) => Ok(word),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(HandoverError::Ended),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(HandoverError::Slow(patience)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says tunnels in as many words as they need, at least one.
fn say_tunnels(channel: &Channel, tunnels: &[TunnelId], word: impl Fn(Vec<String>, bool) -> Word) -> io::Result<()> {
    let mut rest = tunnels;
    loop {
        let (now, later) = rest.split_at(rest.len().min(TUNNELS_PER_WORD));
        channel.say(&word(now.iter().map(ToString::to_string).collect(), !later.is_empty()), &[])?;
        rest = later;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// The program whose place this one takes.
#[derive(Debug, Clone)]
pub struct Predecessor {
    channel: Arc<Channel>,
}

/// What it gave.
#[derive(Debug)]
pub struct Given {
    /// Its sockets.
    pub sockets: Vec<Named>,
    /// The state directory, and the descriptor that holds its lock.
    pub state: (PathBuf, OwnedFd),
    /// Which program of a row this is.
    pub generation: u8,
}

impl Predecessor {
    /// Where this program was started to take another's place.
    pub fn of_environment() -> io::Result<Option<Self>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let end = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Some(Self { channel: Arc::new(Channel::of(end)) }))
    }

    /// What it gives. Blocks for a moment.
    pub fn given(&self) -> anyhow::Result<Given> {
        let (mut sockets, mut state) = (Vec::new(), None);
        loop {
            let (word, descriptors) = self
                .channel
                .hear(Some(WORD_PATIENCE))
                .with_context(|| format!("{VARIABLE} is set, and standard input is nothing that `poterne upgrade` gives"))?;
            let mut descriptors = descriptors.into_iter();
            match word {
                Word::Socket { setting, address, udp } => {
                    let descriptor =
                        descriptors.next().context("a socket did not arrive; does this process have descriptors left?")?;
                    sockets.push(Named { setting, address, udp, descriptor, forward: descriptors.next().map(Into::into) });
                }
                Word::State { path } => state = Some((path, descriptors.next().context("the state's lock did not arrive")?)),
                Word::Begin { generation } => {
                    return Ok(Given { sockets, state: state.context("the predecessor gave no state")?, generation });
                }
                _ => anyhow::bail!("the predecessor speaks otherwise than this version: restart the node instead"),
            }
        }
    }

    /// Says that nothing of the configuration stands in the way; returns once the state is this program's.
    pub async fn prepared(&self) {
        self.exchange(&Word::Prepared).await;
    }

    /// Says that everything is put together; returns the tunnels whose agents are on their way, once agents are this program's.
    pub async fn ready(&self) -> Vec<TunnelId> {
        self.tunnels(self.exchange(&Word::Ready).await).await
    }

    /// Says whose agents did not come; returns the tunnels whose agents come now, once visitors are this program's.
    pub async fn arrived(&self, missing: &[TunnelId]) -> Vec<TunnelId> {
        let (last, rest) = (missing.len().saturating_sub(1) / TUNNELS_PER_WORD * TUNNELS_PER_WORD, missing);
        let words = |all: &[TunnelId]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        for part in rest[..last].chunks(TUNNELS_PER_WORD) {
            self.say(&Word::Arrived { missing: words(part), more: true });
        }
        let answer = self.exchange(&Word::Arrived { missing: words(&rest[last..]), more: false }).await;
        self.tunnels(answer).await
    }

    /// Says that everything is served.
    pub fn serving(&self) {
        self.say(&Word::Serving);
    }

    /// Says why there will be no successor.
    pub fn failed(&self, message: &str) {
        self.say(&Word::Failed { message: message.chars().take(4096).collect() });
        let _ = io::stderr().flush();
    }

    /// Returns once it has ended.
    pub async fn ended(&self) {
        let is_there = |heard: io::Result<_>| heard.err().is_none_or(|error| error.kind() == io::ErrorKind::WouldBlock);
        loop {
            let channel = Arc::clone(&self.channel);
            // Asked again and again, so that this program may end first.
            let heard = tokio::task::spawn_blocking(move || channel.hear(Some(ENDED_EVERY)));
            if !heard.await.is_ok_and(is_there) {
                return;
            }
        }
    }

    fn say(&self, word: &Word) {
        if let Err(error) = self.channel.say(word, &[]) {
            tracing::warn!(%error, "the program that is replaced hears nothing any more");
        }
    }

    /// One that has ended before its time leaves everything to this program.
    async fn exchange(&self, word: &Word) -> Option<Word> {
        self.say(word);
        self.hear().await
    }

    async fn hear(&self) -> Option<Word> {
        let channel = Arc::clone(&self.channel);
        let heard = tokio::task::spawn_blocking(move || channel.hear(None)).await.ok()?;
        heard.inspect_err(|error| tracing::info!(%error, "the program that was replaced is gone")).ok().map(|(word, _)| word)
    }

    async fn tunnels(&self, mut word: Option<Word>) -> Vec<TunnelId> {
        let mut all = Vec::new();
        while let Some(Word::Agents { tunnels, more } | Word::Visitors { expected: tunnels, more }) = word {
            all.extend(tunnels.iter().filter_map(|tunnel| tunnel.parse::<TunnelId>().ok()));
            if !more {
                break;
            }
            word = self.hear().await;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> (Arc<Channel>, Predecessor) {
        let (ours, theirs) = Channel::pair().unwrap();
        (Arc::new(ours), Predecessor { channel: Arc::new(Channel::of(theirs)) })
    }

    #[tokio::test]
    async fn any_number_of_tunnels_is_told() {
        for count in [0, 1, 999, 1000, 1001, 2500] {
            let (ours, predecessor) = both();
            let tunnels: Vec<_> = (0..count).map(|n: u32| TunnelId::from_bytes(u128::from(n).to_be_bytes())).collect();
            say_tunnels(&ours, &tunnels, |tunnels, more| Word::Agents { tunnels, more }).unwrap();
            assert_eq!(predecessor.ready().await, tunnels);
            assert_eq!(ours.hear(None).unwrap().0, Word::Ready);
            say_tunnels(&ours, &[], |expected, more| Word::Visitors { expected, more }).unwrap();
            assert_eq!(predecessor.arrived(&tunnels).await, []);
            let mut heard = Vec::new();
            while let Word::Arrived { missing, more } = ours.hear(None).unwrap().0 {
                heard.extend(missing);
                if !more {
                    break;
                }
            }
            assert_eq!(heard.len(), tunnels.len());
        }
    }

    #[tokio::test]
    async fn a_predecessor_that_is_gone_leaves_everything_to_its_successor() {
        let (ours, predecessor) = both();
        drop(ours);
        predecessor.prepared().await;
        assert!(predecessor.ready().await.is_empty());
        predecessor.ended().await;
    }
}
