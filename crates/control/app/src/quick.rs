//! Quick tunnels: a name for a while, for anybody, where the operator allows it (edge-behaviour §6.9).

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::PoisonError,
    time::Duration,
};

use poterne_control_store::{ConfigSource, Micros, Tunnel};
use poterne_keys::{Secret, random_bytes, random_name};
use poterne_model::{AccountId, Name, TunnelId};

use crate::{App, AppError};

/// Longest life of a quick tunnel.
pub const QUICK_LIFE: Duration = Duration::from_secs(8 * 3600);

/// Quick tunnels one source address (or IPv6 /64) may make in [`QUICK_WINDOW`]. The machine itself is not counted.
pub const QUICK_CREATIONS_MAX: usize = 20;

/// The time over which creations are counted.
const QUICK_WINDOW: Duration = Duration::from_secs(3600);

/// Live quick tunnels in all; beyond it new ones are refused.
pub const QUICK_TUNNELS_MAX: usize = 10_000;

/// Sources remembered; beyond it the one heard of longest ago is forgotten.
const SOURCES_MAX: usize = 10_000;

/// Characters of a quick tunnel's label, five random bits each: 80 bits, so that a name is as good as a password.
const LABEL_CHARACTERS: usize = 16;

/// The mark on quick tunnels' records.
pub(crate) const MANAGED_BY_QUICK: &str = "quick_tunnel";

/// A quick tunnel, as told once to whoever asked for it.
#[derive(Debug, Clone)]
pub struct QuickTunnel {
    /// The tunnel.
    pub id: TunnelId,
    /// Its name.
    pub name: String,
    /// Where visitors reach it.
    pub hostname: Name,
    /// The account of quick tunnels.
    pub account: AccountId,
    /// What the agent proves itself with.
    pub secret: Secret,
}

impl App {
    /// Makes a quick tunnel for a source address. It is deleted after [`QUICK_LIFE`].
    pub async fn quick_tunnel_create(&self, source: IpAddr) -> Result<QuickTunnel, AppError> {
        let Some(domain) = self.settings().quick_domain else { return Err(AppError::QuickTunnelsOff) };
        let now = self.now();
        self.0.limiter.lock().unwrap_or_else(PoisonError::into_inner).admit(source, now)?;
        let mut session = self.0.store.write().await?;
        let account = self.0.quick_account;
        if session.tunnel_count(account).await? >= QUICK_TUNNELS_MAX as u64 {
            return Err(AppError::QuickTunnelsLimited { whose: "on this node", retry_secs: 60 });
        }
        let label = random_name(LABEL_CHARACTERS);
        let hostname = Name::parse(&format!("{label}.{domain}"))?;
        let zone = session.zone_named(account, &domain).await?.ok_or(AppError::QuickTunnelsOff)?;
        let tunnel = Tunnel {
            id: TunnelId::from_random_bytes(random_bytes()),
            account,
            name: label,
            config_source: ConfigSource::Local,
            created_at: now,
            deleted_at: None,
            conns_active_at: None,
            conns_inactive_at: None,
            first_connected_at: None,
            last_loss_at: None,
            quick: true,
            expires_at: Some(now.saturating_add(micros(QUICK_LIFE))),
        };
        session.insert_tunnel(&tunnel).await?;
        let secret = self.add_secret(&mut session, tunnel.id).await?;
        self.put_cname(&mut session, &zone, &hostname, tunnel.id, MANAGED_BY_QUICK).await?;
        self.finish(session).await?;
        tracing::info!(tunnel = %tunnel.id, %hostname, %source, "quick tunnel created");
        Ok(QuickTunnel { id: tunnel.id, name: tunnel.name, hostname, account, secret })
    }

    /// Deletes quick tunnels whose time is over; returns how many. Called by the publisher, so it does not wait for publication.
    pub async fn expire_quick_tunnels(&self) -> Result<usize, AppError> {
        if self.0.store.read().await?.tunnels_expired(self.now()).await?.is_empty() {
            return Ok(0);
        }
        let mut session = self.0.store.write().await?;
        let expired = session.tunnels_expired(self.now()).await?;
        let count = expired.len();
        for tunnel in expired {
            tracing::info!(tunnel = %tunnel.id, name = tunnel.name, "quick tunnel expired");
            self.delete_in(&mut session, tunnel, MANAGED_BY_QUICK).await?;
        }
        session.commit().await?;
        Ok(count)
    }
}

/// Remembers who made quick tunnels lately.
#[derive(Default)]
pub(crate) struct Limiter {
    sources: HashMap<IpAddr, VecDeque<Micros>>,
}

impl Limiter {
    fn admit(&mut self, source: IpAddr, now: Micros) -> Result<(), AppError> {
        let source = network(source);
        if source.is_loopback() {
            return Ok(());
        }
        let window = micros(QUICK_WINDOW);
        if !self.sources.contains_key(&source) && self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, times| times.back().is_some_and(|last| now.saturating_sub(*last) < window));
            if self.sources.len() >= SOURCES_MAX {
                let oldest = self.sources.iter().min_by_key(|(_, times)| times.back().copied()).map(|(source, _)| *source);
                oldest.map(|oldest| self.sources.remove(&oldest));
            }
        }
        let times = self.sources.entry(source).or_default();
        while times.front().is_some_and(|first| now.saturating_sub(*first) >= window) {
            times.pop_front();
        }
        if times.len() >= QUICK_CREATIONS_MAX {
            let wait = times.front().map_or(0, |first| window - now.saturating_sub(*first));
            let retry_secs = wait.max(0).unsigned_abs().div_ceil(1_000_000);
            return Err(AppError::QuickTunnelsLimited { whose: "from your address", retry_secs });
        }
        times.push_back(now);
        Ok(())
    }
}

/// The unit addresses are given out in: one IPv4 address, or an IPv6 /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

fn micros(duration: Duration) -> Micros {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_limited_for_an_hour_and_its_neighbours_are_not() {
        let mut limiter = Limiter::default();
        let (one, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8:0:1::1".parse().unwrap());
        let same_network: IpAddr = "2001:db8::ffff".parse().unwrap();
        for _ in 0..QUICK_CREATIONS_MAX {
            limiter.admit(one, 0).unwrap();
        }
        let error = limiter.admit(same_network, 1_000_000).unwrap_err();
        assert!(matches!(error, AppError::QuickTunnelsLimited { retry_secs: 3599, .. }), "{error}");
        limiter.admit(other, 0).unwrap();
        limiter.admit(one, micros(QUICK_WINDOW)).unwrap();
        for _ in 0..100 {
            limiter.admit("127.0.0.1".parse().unwrap(), 0).unwrap();
        }
    }

    #[test]
    fn the_memory_of_sources_is_bounded() {
        let mut limiter = Limiter::default();
        for number in 0..u32::try_from(SOURCES_MAX).unwrap() + 50 {
            limiter.admit(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into(), i64::from(number)).unwrap();
        }
        assert_eq!(limiter.sources.len(), SOURCES_MAX);
    }
}
