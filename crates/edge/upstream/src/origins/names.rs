//! Addresses of origins that are known by name alone (a CNAME to a name elsewhere).
//!
//! A name is looked up once for all who wait for it. What has run out goes on being used while it is looked up again behind the
//! visitors' backs: nobody waits for that, and a resolver that is gone for a while is not noticed.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use poterne_dns_resolver::{ResolveError, Resolver};
use poterne_model::{AccountId, Name};

use crate::OriginError;

/// Most names that are remembered: those in users' records, not those that visitors ask for.
pub(super) const NAMES_MAX: usize = 10_000;
/// For how long an answer is used at least and at most, whatever its TTL; and how much longer while no other comes (RFC 8767).
const FRESH_MIN: Duration = Duration::from_secs(5);
const FRESH_MAX: Duration = Duration::from_secs(3600);
const STALE_MAX: Duration = Duration::from_secs(3600);
/// How long a look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of names, by account: what one may reach another may not.
pub(super) struct Names {
    resolver: Option<Resolver>,
    known: Mutex<HashMap<(AccountId, Name), Arc<Known>>>,
}

#[derive(Default)]
struct Known {
    addresses: Mutex<Option<(Arc<[IpAddr]>, Instant)>>,
    /// Held by whoever looks it up.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Known {
    /// The addresses, and whether they are to be looked up again.
    fn now(&self, now: Instant) -> Option<(Arc<[IpAddr]>, bool)> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, until) = addresses.as_ref().filter(|(_, until)| now < *until + STALE_MAX)?;
        Some((Arc::clone(addresses), now >= *until))
    }

    fn put(&self, addresses: Arc<[IpAddr]>, good: Duration, now: Instant) {
        let until = now + good.clamp(FRESH_MIN, FRESH_MAX);
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = Some((addresses, until));
    }
}

impl Names {
    /// With nobody to ask, no name has an address.
    pub(super) fn new(resolver: Option<Resolver>) -> Self {
        Self { resolver, known: Mutex::default() }
    }

    /// The addresses of a name that the account may reach; at least one.
    pub(super) async fn addresses(&self, account: AccountId, name: &Name) -> Result<Arc<[IpAddr]>, OriginError> {
        let known = self.known(account, name);
        match known.now(Instant::now()) {
            Some((addresses, false)) => return Ok(addresses),
            Some((addresses, true)) => {
                if let (Ok(looking), Some(resolver)) = (Arc::clone(&known.looking).try_lock_owned(), &self.resolver) {
                    let (resolver, name) = (resolver.clone(), name.clone());
                    tokio::spawn(async move {
                        let _looking = looking;
                        if let Err(error) = look_up(&resolver, &known, account, &name).await {
                            tracing::debug!(%name, %error, "an origin's name is not looked up again; the addresses known of it are used");
                        }
                    });
                }
                return Ok(addresses);
            }
            None => {}
        }
        let _looking = known.looking.lock().await;
        // Whoever was before us may have found it.
        if let Some((addresses, _)) = known.now(Instant::now()) {
            return Ok(addresses);
        }
        let resolver = self.resolver.as_ref().ok_or_else(|| unresolved(name, "this node has no resolver"))?;
        look_up(resolver, &known, account, name).await
    }

    fn known(&self, account: AccountId, name: &Name) -> Arc<Known> {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account, name.clone());
        if let Some(known) = all.get(&key) {
            return Arc::clone(known);
        }
        if all.len() >= NAMES_MAX {
            let now = Instant::now();
            all.retain(|_, known| known.now(now).is_some_and(|(_, is_old)| !is_old));
        }
        let known = Arc::new(Known::default());
        // A name for which there is no room is looked up by each who wants it.
        if all.len() < NAMES_MAX {
            all.insert(key, Arc::clone(&known));
        }
        known
    }

    /// Forgets what nobody has asked for since it ran out.
    pub(super) fn sweep(&self, now: Instant) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| Arc::strong_count(known) > 1 || known.now(now).is_some());
    }
}

async fn look_up(resolver: &Resolver, known: &Known, account: AccountId, name: &Name) -> Result<Arc<[IpAddr]>, OriginError> {
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, resolver.addresses(Some(account), name)).await;
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(ResolveError::TooLong(name))) => return Err(OriginError::Circle(name)),
        Ok(Err(error)) => return Err(unresolved(name, &error.to_string())),
        Err(_) => return Err(unresolved(name, "looking it up took too long")),
    };
    if found.reached.is_empty() {
        let refused = found.refused.into_iter().next();
        return Err(refused.map_or_else(|| unresolved(name, "there is none"), OriginError::of_refusal));
    }
    let addresses: Arc<[IpAddr]> = found.reached.into();
    known.put(Arc::clone(&addresses), Duration::from_secs(found.ttl_secs.into()), Instant::now());
    Ok(addresses)
}

fn unresolved(name: &Name, why: &str) -> OriginError {
    OriginError::Unresolved { name: name.clone(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

    #[tokio::test]
    async fn what_ran_out_is_used_for_another_hour_and_then_forgotten() {
        let names = Names::new(None);
        let name = Name::parse("origin.example").unwrap();
        assert!(matches!(names.addresses(ACCOUNT, &name).await, Err(OriginError::Unresolved { .. })));
        let now = Instant::now();
        let known = names.known(ACCOUNT, &name);
        known.put(vec![IpAddr::from([192, 0, 2, 1])].into(), Duration::ZERO, now);
        assert_eq!(names.addresses(ACCOUNT, &name).await.unwrap().len(), 1);
        assert_eq!(known.now(now + FRESH_MIN).map(|(_, is_old)| is_old), Some(true));
        assert!(known.now(now + FRESH_MIN + STALE_MAX).is_none());
        let other = AccountId::from_bytes([2; 16]);
        assert!(names.addresses(other, &name).await.is_err(), "what one account may reach is not another's");
        drop(known);
        names.sweep(now + FRESH_MIN + STALE_MAX);
        assert!(names.known.lock().unwrap().is_empty());
    }
}
