//! What an upstream tells of a request's way, where somebody traces the request.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use poterne_model::{ConnectionId, ConnectorId, tunnel::Transport};

/// The ways that a request was sent by, in order. Where nobody traces it, nothing is kept.
#[derive(Debug, Default)]
pub struct Trail(Option<Kept>);

#[derive(Debug)]
struct Kept {
    begun: Instant,
    tries: Vec<Try>,
}

/// One way that a request was sent by. There are as many as an upstream sends a request again: a handful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// When, counted from the trail's beginning.
    pub after: Duration,
    /// Over which connection.
    pub over: Over,
    /// Why it was sent again; none of the last one.
    pub failed: Option<String>,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// To an agent.
    Tunnel {
        /// Its id, as the API and the logs tell it.
        connection: ConnectionId,
        /// The agent.
        connector: ConnectorId,
        /// What it speaks.
        transport: Transport,
        /// Where it is.
        agent: SocketAddr,
    },
    /// To an origin.
    Origin(SocketAddr),
}

impl Trail {
    /// Of a request that nobody traces: a look at an empty place is all it costs.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Of one that somebody does, from now on.
    pub fn on() -> Self {
        Self(Some(Kept { begun: Instant::now(), tries: Vec::new() }))
    }

    /// The request is sent over this connection.
    pub fn sent(&mut self, over: impl FnOnce() -> Over) {
        if let Some(Kept { begun, tries }) = &mut self.0 {
            tries.push(Try { after: begun.elapsed(), over: over(), failed: None });
        }
    }

    /// That came to nothing, and the request is sent again.
    pub fn failed(&mut self, why: &impl ToString) {
        if let Some(last) = self.0.as_mut().and_then(|kept| kept.tries.last_mut()) {
            last.failed = Some(why.to_string());
        }
    }

    /// All of them.
    pub fn into_tries(self) -> Vec<Try> {
        self.0.map_or_else(Vec::new, |kept| kept.tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_nothing_is_told_of_the_last_way() {
        let at = |port| Over::Origin(SocketAddr::from(([127, 0, 0, 1], port)));
        let mut trail = Trail::on();
        trail.failed(&"before anything was sent");
        trail.sent(|| at(1));
        trail.failed(&"closed");
        trail.sent(|| at(2));
        let tries: Vec<_> = trail.into_tries().into_iter().map(|one| (one.over, one.failed)).collect();
        assert_eq!(tries, [(at(1), Some("closed".to_owned())), (at(2), None)]);
    }

    #[test]
    fn where_nobody_traces_nothing_is_asked() {
        let mut trail = Trail::off();
        trail.sent(|| panic!("nobody wants to know"));
        trail.failed(&"closed");
        assert!(trail.into_tries().is_empty());
    }
}
