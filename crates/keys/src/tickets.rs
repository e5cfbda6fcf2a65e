//! Session tickets (RFC 5077, RFC 8446 §4.6.1): with which key one is made, and which keys open one. Pure but for nonces.
//!
//! ```text
//!   makes tickets           opens them still
//! ├──── PERIOD ────┼──────── LIFETIME ────────┤
//!                  ├──── PERIOD ────┼──────── LIFETIME ────────┤
//! ```
//!
//! Control makes keys [`KEYS_AHEAD`] periods before they are used; when each is, its beginning and a node's own clock say. So all nodes
//! have a key before any makes tickets with it, and go on for a day when control is away; after that the last key goes on. A ticket is
//! RFC 5077 §4's in form, with one cipher that does both halves of the work: it says which key made it, and opens as nothing else than it
//! was made for.

use std::time::Duration;

use crate::{DataKey, KeyId, Purpose, Secret};

/// How long a key makes tickets.
const PERIOD: Duration = Duration::from_secs(12 * 3600);

/// How long a ticket is good, which visitors are told; RFC 8446 §4.6.1 allows seven days.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// What clocks of two nodes may differ by.
const SKEW: Duration = Duration::from_secs(300);

/// How many keys are made before they are used.
const KEYS_AHEAD: u64 = 2;

/// Longest session that is put into a ticket, in bytes; a ticket's length has two octets. Of one that is longer there is none: a visitor's chain of
/// certificates is in it.
pub const TICKET_BYTES_MAX: usize = 16 * 1024;

/// What is to be done with keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTicketKeys {
    /// Those to keep, by their beginnings, rising; all others are forgotten.
    pub kept: Vec<u64>,
    /// The beginnings of those to make.
    pub made: Vec<u64>,
}

/// Which keys there should be, of those that begin at these seconds since the Unix epoch.
pub fn due_ticket_keys(starts: &[u64], now_secs: u64) -> DueTicketKeys {
    let (period, current) = (PERIOD.as_secs(), now_secs - now_secs % PERIOD.as_secs());
    let wanted: Vec<u64> = (0..=KEYS_AHEAD).map(|ahead| current + ahead * period).collect();
    let last = wanted.last().copied().unwrap_or(current);
    let mut rising = starts.to_vec();
    rising.sort_unstable();
    rising.dedup();
    // What lies further ahead was made by a clock that was ahead.
    rising.retain(|start| *start <= last);
    let is_kept = |index: usize| {
        // The next that there will be ends it, whether it is made yet or not.
        let next = rising.get(index + 1).copied().or_else(|| wanted.iter().copied().find(|wanted| *wanted > rising[index]));
        next.is_none_or(|next| now_secs < opens_until(next))
    };
    let kept = (0..rising.len()).filter(|index| is_kept(*index)).map(|index| rising[index]).collect();
    let made = wanted.into_iter().filter(|start| !rising.contains(start)).collect();
    DueTicketKeys { kept, made }
}

/// Until when tickets of a key are opened that another followed at `next`.
const fn opens_until(next: u64) -> u64 {
    next.saturating_add(TICKET_LIFETIME.as_secs() + SKEW.as_secs())
}

/// Keys, ready to be used.
#[derive(Debug, Default)]
pub struct TicketKeys(Vec<(u64, DataKey)>);

impl TicketKeys {
    /// Those that begin at these seconds since the Unix epoch, in any order.
    pub fn new(mut keys: Vec<(u64, DataKey)>) -> Self {
        keys.sort_by_key(|(starts_at, _)| *starts_at);
        Self(keys)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A ticket that holds this session, for whoever says the same of what it is for. None: it is too long, or there is no key.
    pub fn make(&self, now_secs: u64, what_for: &[u8], session: &[u8]) -> Option<Vec<u8>> {
        let (_, key) = self.makes(now_secs).filter(|_| session.len() <= TICKET_BYTES_MAX)?;
        Some(key.seal(Purpose::SessionTicket, what_for, session))
    }

    /// The session that a ticket holds. None: it was changed, is over, or was for something else.
    pub fn open(&self, now_secs: u64, what_for: &[u8], ticket: &[u8]) -> Option<Secret> {
        let id: &KeyId = ticket.get(1..)?.first_chunk()?;
        let at = self.0.iter().position(|(_, key)| key.id() == *id)?;
        let is_open = self.0.get(at + 1).is_none_or(|(next, _)| now_secs < opens_until(*next));
        self.0[at].1.open(Purpose::SessionTicket, what_for, ticket).ok().filter(|_| is_open)
    }

    /// The newest that has begun; where the clock is before all of them, the first.
    fn makes(&self, now_secs: u64) -> Option<&(u64, DataKey)> {
        self.0.iter().rfind(|(starts_at, _)| *starts_at <= now_secs).or_else(|| self.0.first())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3600;

    fn keys(starts: &[u64]) -> TicketKeys {
        TicketKeys::new(
            starts.iter().map(|start| (*start, DataKey::from_bytes([u8::try_from(start / HOUR).unwrap(); 32]))).collect(),
        )
    }

    #[test]
    fn keys_are_made_before_they_are_used_and_kept_while_their_tickets_are_good() {
        let due = |starts: &[u64], now: u64| {
            let DueTicketKeys { kept, made } = due_ticket_keys(starts, now);
            (
                kept.into_iter().map(|start| start / HOUR).collect::<Vec<_>>(),
                made.into_iter().map(|start| start / HOUR).collect::<Vec<_>>(),
            )
        };
        let at = |hours: &[u64]| hours.iter().map(|hour| hour * HOUR).collect::<Vec<_>>();
        assert_eq!(due(&[], 5 * HOUR), (vec![], vec![0, 12, 24]));
        assert_eq!(due(&at(&[0, 12, 24]), 12 * HOUR - 1), (vec![0, 12, 24], vec![]));
        assert_eq!(due(&at(&[0, 12, 24]), 12 * HOUR), (vec![0, 12, 24], vec![36]));
        let four = at(&[0, 12, 24, 36]);
        assert_eq!(due(&four, 24 * HOUR + 299), (vec![0, 12, 24, 36], vec![48]), "its last ticket may be good still");
        assert_eq!(due(&four, 24 * HOUR + 300), (vec![12, 24, 36], vec![48]));
        // Control was away for long: the last key went on until now.
        assert_eq!(due(&four, 100 * HOUR), (vec![36], vec![96, 108, 120]));
        // A clock that was set back.
        assert_eq!(due(&four, 0), (vec![0, 12, 24], vec![]));
    }

    #[test]
    fn a_ticket_opens_until_it_is_over() {
        let all = keys(&[0, 12 * HOUR, 24 * HOUR]);
        let ticket = all.make(11 * HOUR, b"a", b"session").unwrap();
        let opens = |keys: &TicketKeys, now| keys.open(now, b"a", &ticket).map(|session| session.expose().to_vec());
        assert_eq!(opens(&all, 11 * HOUR).as_deref(), Some(&b"session"[..]));
        assert!(opens(&all, 24 * HOUR + 299).is_some() && opens(&all, 24 * HOUR + 300).is_none());
        assert!(opens(&keys(&[0]), 1000 * HOUR).is_some(), "the last goes on while control is away");
        assert!(opens(&keys(&[12 * HOUR]), 11 * HOUR).is_none(), "another's");
        let next = all.make(12 * HOUR, b"a", b"session").unwrap();
        assert_ne!(next[1..9], ticket[1..9], "made by the next key");
        assert!(all.open(11 * HOUR, b"a", &next).is_some(), "a sibling's clock may be ahead");
        assert!(all.make(0, b"a", &[0; TICKET_BYTES_MAX + 1]).is_none() && TicketKeys::default().make(0, b"", b"").is_none());
    }

    proptest! {
        #[test]
        fn a_ticket_opens_as_what_it_was_made_for_and_unchanged_alone(
            what_for in any::<Vec<u8>>(), other in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), flip in 1u8.., junk in any::<Vec<u8>>(),
        ) {
            let keys = keys(&[0]);
            let mut ticket = keys.make(1, &what_for, b"session").unwrap();
            prop_assert_eq!(keys.open(1, &other, &ticket).is_some(), other == what_for);
            let at = at.index(ticket.len());
            ticket[at] ^= flip;
            prop_assert!(keys.open(1, &what_for, &ticket).is_none());
            prop_assert!(keys.open(1, &what_for, &ticket[..at]).is_none() && keys.open(1, b"", &junk).is_none());
        }
    }
}
