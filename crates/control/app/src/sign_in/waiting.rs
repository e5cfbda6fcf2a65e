//! What waits for the second half of a step: a sign-in for its second factor, a passkey for its authenticator. Pure: the instant is
//! handed in.
//!
//! Each has a secret of 200 bits that names it, lives for five minutes, and can be taken once. All of it is bounded, and so is what one
//! source may leave here: its own oldest goes first. It is kept in memory: after a restart of the node, whoever was in the middle begins
//! again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use poterne_control_store::Micros;
use poterne_keys::{random_token, sha256};

use super::throttle::Source;

/// How long one waits.
pub(crate) const LIFE: Micros = 300_000_000;

/// How many wait, in all and of one source.
const ENTRIES_MAX: usize = 10_000;
const OF_SOURCE_MAX: usize = 32;

type Digest = [u8; 32];

struct Entry<T> {
    number: u64,
    since: Micros,
    source: Source,
    value: T,
}

/// Every entry stands in all three.
pub(crate) struct Waiting<T> {
    entries: HashMap<Digest, Entry<T>>,
    /// By number, so oldest first.
    order: BTreeMap<u64, Digest>,
    /// The numbers of each source, oldest first.
    own: HashMap<Source, VecDeque<u64>>,
    next: u64,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), own: HashMap::new(), next: 0 }
    }
}

impl<T> Waiting<T> {
    /// Lets it wait; the text names it, and is told to whoever may go on.
    pub(crate) fn add(&mut self, now: Micros, source: Source, value: T) -> String {
        while let Some((_, oldest)) = self.order.first_key_value()
            && self.entries.get(oldest).is_none_or(|entry| !is_young(entry.since, now))
        {
            let oldest = *oldest;
            self.remove(&oldest);
        }
        let own = self.own.get(&source).filter(|own| own.len() >= OF_SOURCE_MAX).and_then(|own| own.front());
        if let Some(oldest) = own.and_then(|number| self.order.get(number)).copied() {
            self.remove(&oldest);
        }
        while self.entries.len() >= ENTRIES_MAX
            && let Some(oldest) = self.order.values().next().copied()
        {
            self.remove(&oldest);
        }
        let secret = random_token("");
        let digest = sha256(secret.as_bytes());
        let number = self.next;
        self.next += 1;
        self.entries.insert(digest, Entry { number, since: now, source, value });
        self.order.insert(number, digest);
        self.own.entry(source).or_default().push_back(number);
        secret
    }

    /// Takes it, where it still waits.
    pub(crate) fn take(&mut self, now: Micros, secret: &str) -> Option<T> {
        let entry = self.remove(&sha256(secret.as_bytes()))?;
        is_young(entry.since, now).then_some(entry.value)
    }

    /// How many wait; those that are too old are among them until somebody else comes.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Looks at it, and leaves it waiting.
    pub(crate) fn look(&mut self, now: Micros, secret: &str) -> Option<&mut T> {
        let entry = self.entries.get_mut(&sha256(secret.as_bytes()))?;
        is_young(entry.since, now).then_some(&mut entry.value)
    }

    fn remove(&mut self, digest: &Digest) -> Option<Entry<T>> {
        let entry = self.entries.remove(digest)?;
        self.order.remove(&entry.number);
        if let Some(own) = self.own.get_mut(&entry.source) {
            own.retain(|number| *number != entry.number);
            if own.is_empty() {
                self.own.remove(&entry.source);
            }
        }
        Some(entry)
    }
}

/// A clock that was set back does not make anything live longer than twice its life.
fn is_young(since: Micros, now: Micros) -> bool {
    now.saturating_sub(since).unsigned_abs() <= LIFE.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn source(number: u32) -> Source {
        Source::of(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn each_is_taken_once_and_in_time() {
        let mut waiting = Waiting::default();
        let (one, two) = (waiting.add(0, source(1), 1), waiting.add(0, source(1), 2));
        assert_ne!(one, two);
        assert_eq!(waiting.look(5, &two), Some(&mut 2));
        assert_eq!((waiting.take(5, &one), waiting.take(5, &one), waiting.take(5, "no")), (Some(1), None, None));
        assert_eq!(waiting.look(LIFE + 1, &two), None);
        assert_eq!(waiting.take(LIFE + 1, &two), None);
    }

    #[test]
    fn one_source_leaves_no_more_than_its_share_and_pushes_nobody_out() {
        let mut waiting = Waiting::default();
        let other = waiting.add(0, source(2), 0);
        let all: Vec<_> = (0..OF_SOURCE_MAX + 5).map(|i| waiting.add(0, source(1), i)).collect();
        let left: Vec<_> = all.iter().filter_map(|secret| waiting.take(1, secret)).collect();
        assert_eq!(left.len(), OF_SOURCE_MAX);
        assert_eq!(left.last(), Some(&(OF_SOURCE_MAX + 4)), "its own oldest went");
        assert_eq!(waiting.take(1, &other), Some(0));
    }

    fn sizes<T>(waiting: &Waiting<T>) -> (usize, usize, usize) {
        (waiting.entries.len(), waiting.order.len(), waiting.own.values().map(VecDeque::len).sum())
    }

    #[test]
    fn memory_is_bounded_and_what_is_old_goes() {
        let mut waiting = Waiting::default();
        for i in 0..u32::try_from(ENTRIES_MAX).unwrap() + 100 {
            waiting.add(0, source(i), i);
        }
        assert_eq!(sizes(&waiting), (ENTRIES_MAX, ENTRIES_MAX, ENTRIES_MAX));
        let secret = waiting.add(LIFE + 1, source(1), 7);
        assert_eq!((sizes(&waiting), waiting.own.len()), ((1, 1, 1), 1));
        for _ in 0..ENTRIES_MAX + 100 {
            waiting.add(LIFE + 2, source(2), 8);
        }
        assert_eq!(waiting.take(LIFE + 2, &secret), Some(7), "one source's many do not push out another's");
        assert_eq!(sizes(&waiting), (OF_SOURCE_MAX, OF_SOURCE_MAX, OF_SOURCE_MAX));
    }
}
