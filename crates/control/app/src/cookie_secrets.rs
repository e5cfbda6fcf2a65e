//! The secrets that name servers make cookies with (RFC 7873): all nodes have the same, so that a client who was known to one is known to
//! all, and each is followed by another after a while.
//!
//! RFC 9018 §5, in three steps: a new secret is believed by every node before any node makes cookies with it; then it makes them; and the one
//! before goes when the last cookie that it made has run out.
//!
//! ```text
//! made ── LEAD ──→ makes cookies ──────────────→ is followed ── KEPT ──→ forgotten
//! ├──── believed ────────────────────────────────────────────────────────┤
//! ```

use std::time::Duration;

use poterne_control_store::{CookieSecret, Micros};
use poterne_keys::{Purpose, Secret};

use crate::{App, AppError};

/// How long a secret makes cookies (RFC 9018 §5: a month is adequate).
const LIFE: Duration = Duration::from_secs(30 * 86_400);

/// How long nodes have a secret before they make cookies with it: by then each has heard of it, or is told of nothing else either.
const LEAD: Duration = Duration::from_secs(3600);

/// How long it is believed when it makes none any more: as long as its last cookie is (RFC 9018 §4.3), and what clocks may differ by.
const KEPT: Duration = Duration::from_secs(3600 + 300);

/// Octets of a secret: SipHash-2-4's key.
const OCTETS: usize = 16;

/// What a secret that travels is taken for.
const SUBJECT: &[u8] = b"cookie";

/// Which of the secrets that were made at these instants, in order, are in force: their indices, that of the one that makes cookies first;
/// and whether it is time for another.
fn in_force(made_at: &[Micros], now: Micros) -> (Vec<usize>, bool) {
    let since = |at: Micros| Duration::from_micros(u64::try_from(now.saturating_sub(at)).unwrap_or(0));
    // The first that there was waits for nobody.
    let makes = made_at.iter().rposition(|at| since(*at) >= LEAD).unwrap_or(0);
    let is_kept = |index: usize| match made_at.get(index + 1) {
        Some(next) if index < makes => since(*next) < LEAD + KEPT,
        _ => true,
    };
    let mut order: Vec<usize> = (0..made_at.len()).filter(|index| *index != makes && is_kept(*index)).rev().collect();
    if makes < made_at.len() {
        order.insert(0, makes);
    }
    (order, made_at.last().is_none_or(|last| since(*last) >= LIFE))
}

impl App {
    /// Does what is due with the secrets of cookies. Returns whether nodes are to have others than before.
    pub async fn tend_cookie_secrets(&self) -> Result<bool, AppError> {
        let now = self.now();
        let before = self.0.store.read().await?.cookie_secrets().await?;
        if self.cookie_secrets_after(&before, now)? == before {
            return Ok(false);
        }
        let mut session = self.0.store.write().await?;
        let before = session.cookie_secrets().await?;
        let after = self.cookie_secrets_after(&before, now)?;
        if after == before {
            return Ok(false);
        }
        session.put_cookie_secrets(&after).await?;
        session.commit().await?;
        tracing::info!(secrets = after.len(), "the name servers' secrets of cookies took a step");
        Ok(true)
    }

    fn cookie_secrets_after(&self, before: &[CookieSecret], now: Micros) -> Result<Vec<CookieSecret>, AppError> {
        let mut all = before.to_vec();
        all.sort_by_key(|secret| secret.number);
        let made_at = |all: &[CookieSecret]| all.iter().map(|secret| secret.made_at).collect::<Vec<_>>();
        let (mut order, wants_another) = in_force(&made_at(&all), now);
        if wants_another {
            let number = all.last().map_or(0, |last| last.number.wrapping_add(1));
            let secret = Secret::random(OCTETS);
            let sealed = self.0.keys.seal(Purpose::CookieSecret, &number.to_be_bytes(), secret.expose());
            let wrapped = self.0.node_key.seal(Purpose::CookieSecret, SUBJECT, secret.expose());
            all.push(CookieSecret { number, made_at: now, sealed, wrapped });
            (order, _) = in_force(&made_at(&all), now);
        }
        order.into_iter().map(|index| self.cookie_secret_for_node(&all[index])).collect()
    }

    /// The same secret, wrapped for this node: as it was, where that opens.
    fn cookie_secret_for_node(&self, kept: &CookieSecret) -> Result<CookieSecret, AppError> {
        if self.0.node_key.open(Purpose::CookieSecret, SUBJECT, &kept.wrapped).is_ok() {
            return Ok(kept.clone());
        }
        let secret = self.0.keys.open(Purpose::CookieSecret, &kept.number.to_be_bytes(), &kept.sealed)?;
        let wrapped = self.0.node_key.seal(Purpose::CookieSecret, SUBJECT, secret.expose());
        Ok(CookieSecret { wrapped, ..kept.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Micros = 3_600_000_000;
    const DAY: Micros = 24 * HOUR;

    #[test]
    fn a_secret_is_believed_before_it_is_used_and_while_its_cookies_last() {
        let of = |made_at: &[Micros], now| in_force(made_at, now);
        assert_eq!(of(&[], 0), (vec![], true));
        assert_eq!(of(&[0], 0), (vec![0], false), "the first is used at once");
        assert_eq!(of(&[0], 30 * DAY - 1), (vec![0], false));
        assert_eq!(of(&[0], 30 * DAY), (vec![0], true));
        let two = [0, 30 * DAY];
        assert_eq!(of(&two, 30 * DAY), (vec![0, 1], false), "the next is believed");
        assert_eq!(of(&two, 30 * DAY + HOUR - 1), (vec![0, 1], false));
        assert_eq!(of(&two, 30 * DAY + HOUR), (vec![1, 0], false), "it makes them, the one before is believed");
        let last = 30 * DAY + 2 * HOUR + HOUR / 12;
        assert_eq!(of(&two, last - 1), (vec![1, 0], false));
        assert_eq!(of(&two, last), (vec![1], false));
        // A clock that was set back makes nothing worse than early.
        assert_eq!(of(&two, -DAY), (vec![0, 1], false));
        // Control was away for long.
        assert_eq!(of(&two, 300 * DAY), (vec![1], true));
    }
}
