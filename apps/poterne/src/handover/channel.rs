//! What the two programs say to each other: a message a word, in JSON, some with descriptors (`SCM_RIGHTS`, unix(7)).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};
use serde::{Deserialize, Serialize};

/// Longest word in bytes; the kernel takes three times as much.
const WORD_BYTES_MAX: usize = 64 * 1024;
/// Most descriptors with one word: a UDP socket, and the way by which its predecessor is reached.
const DESCRIPTORS_MAX: usize = 2;
/// Tunnels told in one word.
pub(super) const TUNNELS_PER_WORD: usize = 1000;

/// In the order in which they are said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// A socket, by the setting that it is of and the address as it is set there; with its descriptor, and for QUIC with the end by which
    /// the predecessor is reached.
    Socket { setting: String, address: SocketAddr, udp: bool },
    /// The state directory; with the descriptor of its lock, which both hold from now on.
    State { path: PathBuf },
    /// That is all.
    Begin { generation: u8 },
    /// Back: the configuration is right, and every port is there.
    Prepared,
    /// Control has stopped: the state is yours.
    Yours,
    /// Back: everything is put together.
    Ready,
    /// Agents are yours, and those of these tunnels are on their way; `more` follow.
    Agents { tunnels: Vec<String>, more: bool },
    /// Back: all came but those of these.
    Arrived { missing: Vec<String>, more: bool },
    /// Visitors are yours, and agents of these tunnels are on their way.
    Visitors { expected: Vec<String>, more: bool },
    /// Back: everything is served.
    Serving,
    /// Back, at any time: it came to nothing.
    Failed { message: String },
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// An end, and the other for the program to come.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), theirs))
    }

    /// The end that a predecessor gave this program.
    pub(super) fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Says a word. To a program that has ended it says nothing: its end, or why, is heard next.
    pub(super) fn say(&self, word: &Word, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(word)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            // The first after its end if it had not heard all, and those after.
            Ok(_) | Err(rustix::io::Errno::CONNRESET | rustix::io::Errno::PIPE) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a word, with what came with it. `UnexpectedEof`: the other program has ended. `WouldBlock`: it says nothing.
    pub(super) fn hear(&self, patience: Option<Duration>) -> io::Result<(Word, Vec<OwnedFd>)> {
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, patience)?;
        let mut bytes = vec![0; WORD_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let heard = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                // The other has ended without having heard all: what it said, or its end, is told next.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                heard => break heard?,
            }
        };
        let descriptors = ancillary
            .drain()
            .filter_map(|message| if let RecvAncillaryMessage::ScmRights(rights) = message { Some(rights) } else { None })
            .flatten()
            .collect();
        if heard.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((serde_json::from_slice(&bytes[..heard.bytes])?, descriptors))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn words_and_descriptors_arrive_and_an_end_is_told() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::of(theirs);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let word = Word::Socket { setting: "edge.http".into(), address, udp: false };
        ours.say(&word, &[listener.as_fd()]).unwrap();
        ours.say(&Word::Begin { generation: 3 }, &[]).unwrap();
        drop(listener);
        let (heard, descriptors) = theirs.hear(None).unwrap();
        assert_eq!(heard, word);
        let listener = TcpListener::from(descriptors.into_iter().next().unwrap());
        assert_eq!(listener.local_addr().unwrap(), address, "it listens still");
        assert_eq!(theirs.hear(None).unwrap().0, Word::Begin { generation: 3 });
        let silent = theirs.hear(Some(Duration::from_millis(1))).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::WouldBlock);
        theirs.say(&Word::Failed { message: "no".into() }, &[]).unwrap();
        ours.say(&Word::Yours, &[]).unwrap();
        drop(theirs);
        let told = Word::Failed { message: "no".into() };
        assert_eq!(ours.hear(None).unwrap().0, told, "although it did not hear all");
        assert_eq!(ours.hear(None).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn why_a_program_ended_is_heard_by_whoever_still_speaks_to_it() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::of(theirs);
        let told = Word::Failed { message: "no".into() };
        theirs.say(&told, &[]).unwrap();
        ours.say(&Word::Yours, &[]).unwrap();
        drop(theirs);
        for _ in 0..2 {
            ours.say(&Word::Begin { generation: 3 }, &[]).unwrap();
        }
        assert_eq!(ours.hear(None).unwrap().0, told);
        assert_eq!(ours.hear(None).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
