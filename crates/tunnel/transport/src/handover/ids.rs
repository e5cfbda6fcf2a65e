//! Connection ids that say which generation of a program made them.
//!
//! ```text
//! generation (1) │ random (3) │ check (4): HMAC-SHA256 of what is before it, cut
//! ```
//!
//! Whoever does not have the key learns nothing but the generation, which all connections of a program share, and guesses 56 bits. The check
//! tells an id that a program of this key made from one that a client chose for its first packet (RFC 9000 §7.2): one of those in 2^32 is
//! taken for another's while a predecessor is there, and its client tries again.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{hmac, rand};
use quinn::{ConnectionId, ConnectionIdGenerator};

/// Bytes of an id.
pub const ID_BYTES: usize = 8;
const RANDOM_BYTES: usize = 3;
const CHECKED_BYTES: usize = 1 + RANDOM_BYTES;

/// Makes ids of one generation, and recognises those of others.
#[derive(Clone)]
pub struct Ids {
    generation: u8,
    key: Arc<hmac::Key>,
}

impl Ids {
    /// `secret`: the same in every generation, and of this endpoint alone.
    pub fn new(secret: &[u8], generation: u8) -> Self {
        Self { generation, key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)) }
    }

    fn check(&self, checked: &[u8]) -> [u8; ID_BYTES - CHECKED_BYTES] {
        let tag = hmac::sign(&self.key, checked);
        *tag.as_ref().first_chunk().expect("32 bytes")
    }

    fn make(&self, random: [u8; RANDOM_BYTES]) -> [u8; ID_BYTES] {
        let mut id = [0; ID_BYTES];
        id[0] = self.generation;
        id[1..CHECKED_BYTES].copy_from_slice(&random);
        let check = self.check(&id[..CHECKED_BYTES]);
        id[CHECKED_BYTES..].copy_from_slice(&check);
        id
    }

    /// Whether a datagram belongs to a connection of another generation, by the first packet's destination id (RFC 8999 §5). Never one that
    /// asks for a new connection.
    pub fn is_anothers(&self, datagram: &[u8]) -> bool {
        let Some(first) = datagram.first() else { return false };
        if first & 0x80 == 0 {
            // A short header: only who was given an id sends one.
            return datagram.get(1).is_some_and(|generation| *generation != self.generation);
        }
        // A long one: four bytes of version, then the id with its length. Its id may be the client's own choice still.
        let id = datagram.get(5).filter(|length| usize::from(**length) == ID_BYTES).and_then(|_| datagram.get(6..6 + ID_BYTES));
        id.is_some_and(|id| id[0] != self.generation && self.check(&id[..CHECKED_BYTES]) == id[CHECKED_BYTES..])
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random).expect("the system gives random bytes");
        ConnectionId::new(&self.make(random))
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40][..], id, &[9; 30]].concat()
    }

    fn long(id: &[u8]) -> Vec<u8> {
        let length = u8::try_from(id.len()).unwrap();
        [&[0xc0, 0, 0, 0, 1, length][..], id, &[0; 1200]].concat()
    }

    #[test]
    fn what_a_program_made_is_its_own_and_anothers_elsewhere() {
        let [mut old, mut new] = [7, 8].map(|generation| Ids::new(b"secret", generation));
        for _ in 0..100 {
            let (of_old, of_new) = (old.generate_cid(), new.generate_cid());
            for packet in [short, long] {
                assert!(new.is_anothers(&packet(&of_old)) && !old.is_anothers(&packet(&of_old)));
                assert!(old.is_anothers(&packet(&of_new)) && !new.is_anothers(&packet(&of_new)));
            }
        }
        assert_ne!(old.generate_cid(), old.generate_cid());
    }

    #[test]
    fn who_asks_for_a_new_connection_is_nobodys_yet() {
        let ids = Ids::new(b"secret", 0);
        // Ids that a client chose, some of which begin like a generation.
        for first in 0..=u8::MAX {
            assert!(!ids.is_anothers(&long(&[first, 2, 3, 4, 5, 6, 7, 8])));
        }
        for length in [0, 4, 7, 9, 20] {
            assert!(!ids.is_anothers(&long(&vec![1; length])));
        }
        let of_another_key = Ids::new(b"other", 1).make([1, 2, 3]);
        assert!(!ids.is_anothers(&long(&of_another_key)));
    }

    #[test]
    fn cut_short_it_is_ours_to_drop() {
        let (ids, other) = (Ids::new(b"secret", 0), Ids::new(b"secret", 1).make([1, 2, 3]));
        assert!(!ids.is_anothers(&[]) && !ids.is_anothers(&[0x40]));
        for length in 0..14 {
            assert!(!ids.is_anothers(&long(&other)[..length]), "{length}");
        }
    }
}
