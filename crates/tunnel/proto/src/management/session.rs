//! Who streams, and how a conversation goes. Time is [`Duration`] since any fixed moment of a monotonic clock, handed in.

use std::time::Duration;

use super::message::{ClientMessage, Filters, MessageError};

/// How often the agent pings a client.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// How long a conversation may last in which nothing is streamed.
pub const IDLE_MAX: Duration = Duration::from_secs(5 * 60);
/// How long any may last (edge-behaviour §6.8): as long as a token.
pub const LIFE_MAX: Duration = Duration::from_secs(3600);
/// Entries that wait for a client; more are lost to it.
pub const ENTRIES_MAX: usize = 30;

/// Why a conversation is closed: a WebSocket close code and words (RFC 6455 §7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The client closed it.
    Answered,
    /// The agent stops.
    GoingAway,
    /// A message that is none.
    Malformed,
    /// A message that is too long.
    TooLong,
    /// The first message was no start.
    NotStarted,
    /// Somebody else streams.
    Taken,
    /// The same actor streams elsewhere now.
    Displaced,
    /// Nothing was streamed for [`IDLE_MAX`].
    Idle,
    /// [`LIFE_MAX`], or the token's life, is over.
    Over,
}

impl Close {
    /// The code; from 4001 on the stock agent's own.
    pub const fn code(self) -> u16 {
        match self {
            Self::Answered | Self::Over => 1000,
            Self::GoingAway => 1001,
            Self::Malformed => 1003,
            Self::TooLong => 1009,
            Self::NotStarted => 4001,
            Self::Taken | Self::Displaced => 4002,
            Self::Idle => 4003,
        }
    }

    /// The words; at most 123 bytes (RFC 6455 §5.5).
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Answered => "",
            Self::GoingAway => "the agent stops",
            Self::Malformed => "the message is not understood",
            Self::TooLong => "the message is too long",
            Self::NotStarted => "expected start_streaming as the first message",
            Self::Taken => "somebody else streams this agent's log: one session at a time",
            Self::Displaced => "a newer session of yours streams this agent's log",
            Self::Idle => "nothing was streamed for five minutes",
            Self::Over => "the session's time is over: ask for a new token",
        }
    }
}

/// The agent's one place for who streams.
#[derive(Debug, Default)]
pub struct Gate {
    current: Option<(u64, String)>,
    last: u64,
}

/// What became of asking for the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is this session's.
    Granted {
        /// The session, to be named when it leaves.
        session: u64,
        /// A session of the same actor that had it until now.
        displaced: Option<u64>,
    },
    /// Another actor has it.
    Taken,
}

impl Gate {
    /// An actor wants to stream.
    pub fn enter(&mut self, actor: &str) -> Entered {
        let displaced = match &self.current {
            Some((_, holder)) if holder != actor => return Entered::Taken,
            Some((session, _)) => Some(*session),
            None => None,
        };
        self.last += 1;
        self.current = Some((self.last, actor.to_owned()));
        Entered::Granted { session: self.last, displaced }
    }

    /// A session ends; false if it had been displaced.
    pub fn leave(&mut self, session: u64) -> bool {
        let holds = self.current.as_ref().is_some_and(|(current, _)| *current == session);
        if holds {
            self.current = None;
        }
        holds
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Enter the gate, and stream what passes; where it is taken, close with [`Close::Taken`].
    Start(Filters),
    /// Leave the gate.
    Stop,
    /// Close the conversation.
    Close(Close),
}

/// One client's conversation.
#[derive(Debug)]
pub struct Conversation {
    began: bool,
    idle_since: Option<Duration>,
    ends: Duration,
}

impl Conversation {
    /// Begins one that lasts for `life` at most, and never longer than [`LIFE_MAX`].
    pub fn new(now: Duration, life: Duration) -> Self {
        Self { began: false, idle_since: Some(now), ends: now.saturating_add(life.min(LIFE_MAX)) }
    }

    /// The client said something.
    pub fn message(&mut self, now: Duration, message: Result<ClientMessage, MessageError>) -> Step {
        match message {
            Err(_) => Step::Close(Close::Malformed),
            Ok(ClientMessage::StartStreaming { filters }) => {
                self.began = true;
                self.idle_since = None;
                Step::Start(filters)
            }
            Ok(ClientMessage::StopStreaming) if !self.began => Step::Close(Close::NotStarted),
            Ok(ClientMessage::StopStreaming) if self.idle_since.is_some() => Step::Nothing,
            Ok(ClientMessage::StopStreaming) => {
                self.idle_since = Some(now);
                Step::Stop
            }
        }
    }

    /// When to call [`Conversation::timeout`].
    pub fn poll_timeout(&self) -> Duration {
        self.idle_since.map_or(self.ends, |since| self.ends.min(since.saturating_add(IDLE_MAX)))
    }

    /// Time has passed.
    pub fn timeout(&self, now: Duration) -> Step {
        if now >= self.ends {
            Step::Close(Close::Over)
        } else if now >= self.poll_timeout() {
            Step::Close(Close::Idle)
        } else {
            Step::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn start() -> Result<ClientMessage, MessageError> {
        Ok(ClientMessage::StartStreaming { filters: Filters::default() })
    }

    #[test]
    fn one_streams_and_a_newer_session_of_the_same_actor_takes_over() {
        let mut gate = Gate::default();
        assert_eq!(gate.enter("ann"), Entered::Granted { session: 1, displaced: None });
        assert_eq!(gate.enter("bob"), Entered::Taken);
        assert_eq!(gate.enter("ann"), Entered::Granted { session: 2, displaced: Some(1) });
        assert!(!gate.leave(1), "what was displaced has nothing to give back");
        assert_eq!(gate.enter("bob"), Entered::Taken);
        assert!(gate.leave(2) && !gate.leave(2));
        assert_eq!(gate.enter("bob"), Entered::Granted { session: 3, displaced: None });
    }

    #[test]
    fn a_conversation_begins_with_a_start_and_may_stop_and_start_again() {
        let mut talk = Conversation::new(secs(0), LIFE_MAX);
        assert_eq!(talk.message(secs(1), start()), Step::Start(Filters::default()));
        assert_eq!(talk.timeout(secs(1000)), Step::Nothing, "who streams is not idle");
        assert_eq!(talk.message(secs(1000), Ok(ClientMessage::StopStreaming)), Step::Stop);
        assert_eq!(talk.message(secs(1001), Ok(ClientMessage::StopStreaming)), Step::Nothing);
        assert_eq!(talk.poll_timeout(), secs(1300));
        assert_eq!(talk.message(secs(1100), start()), Step::Start(Filters::default()));
        assert_eq!(talk.poll_timeout(), secs(3600));
    }

    #[test]
    fn every_way_to_be_closed_has_its_code() {
        let new = || Conversation::new(secs(0), secs(7200));
        let stop = Ok(ClientMessage::StopStreaming);
        assert_eq!(new().message(secs(0), stop), Step::Close(Close::NotStarted));
        assert_eq!(new().message(secs(0), ClientMessage::parse(b"[")), Step::Close(Close::Malformed));
        assert_eq!(new().timeout(secs(299)), Step::Nothing);
        assert_eq!(new().timeout(secs(300)), Step::Close(Close::Idle));
        let mut talk = new();
        talk.message(secs(0), start());
        assert_eq!(talk.timeout(secs(3600)), Step::Close(Close::Over), "no token lasts longer");
        let codes = [Close::NotStarted, Close::Taken, Close::Displaced, Close::Idle, Close::Malformed].map(Close::code);
        assert_eq!(codes, [4001, 4002, 4002, 4003, 1003]);
        let all = [Close::GoingAway, Close::TooLong, Close::Over, Close::Taken, Close::Displaced, Close::NotStarted, Close::Idle];
        assert!(all.iter().all(|close| close.reason().len() <= 123));
    }
}
