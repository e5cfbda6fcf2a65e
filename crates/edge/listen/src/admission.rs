//! Who may come in: a total, and a share per visitor.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use poterne_telemetry::{Counter, Gauge, Metrics};

/// Bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Connections in all. See [`AdmissionLimits::for_files`].
    pub connections_max: usize,
    /// Connections of one IPv4 address or one IPv6 /64. Default 4096: generous, because a whole company or mobile network can
    /// hide behind one address; issue D brings finer means.
    pub connections_per_prefix_max: usize,
}

impl AdmissionLimits {
    /// The default for a process that may open this many files: three quarters of them, for a connection costs one and the
    /// rest is for agents, the store and files.
    pub fn for_files(nofile: u64) -> Self {
        let nofile = usize::try_from(nofile).unwrap_or(usize::MAX);
        Self { connections_max: (nofile / 4 * 3).max(16), connections_per_prefix_max: 4096 }
    }
}

/// Why a connection is closed as soon as it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// All are taken.
    #[error("all {0} connections are taken; raise nofile to allow more")]
    Full(usize),
    /// This visitor has its share.
    #[error("this address has {0} connections, its share")]
    Share(usize),
}

/// Counts connections, shared by all listeners of a process.
#[derive(Debug)]
pub struct Admission {
    connections_max: AtomicUsize,
    connections_per_prefix_max: AtomicUsize,
    open: AtomicUsize,
    /// Sharded by prefix so that listeners on several cores seldom meet; at most `connections_max` entries in all.
    shares: [Mutex<HashMap<Prefix, usize>>; 16],
    max: Gauge,
    gauge: Gauge,
    accepted: Counter,
    full: Counter,
    share: Counter,
}

/// What shares one allowance: an IPv4 address, or the /64 that one IPv6 visitor is given whole.
type Prefix = u64;

impl Admission {
    /// Nobody in yet; counted as visitors.
    pub fn new(limits: AdmissionLimits, metrics: &Metrics) -> Arc<Self> {
        Self::counted_as(limits, metrics, "edge_connections", "Visitor connections")
    }

    /// The same under another name, as in `dns_connections` and `Name server connections`.
    pub fn counted_as(limits: AdmissionLimits, metrics: &Metrics, name: &str, what: &str) -> Arc<Self> {
        let max = metrics.gauge(&format!("{name}_max"), &format!("{what} allowed"));
        let [full, share] =
            metrics.counters(&format!("{name}_refused"), &format!("{what} closed at once"), "reason", ["full", "share"]);
        let admission = Arc::new(Self {
            connections_max: AtomicUsize::new(0),
            connections_per_prefix_max: AtomicUsize::new(0),
            max,
            open: AtomicUsize::new(0),
            shares: Default::default(),
            gauge: metrics.gauge(name, &format!("{what} open")),
            accepted: metrics.counter(&format!("{name}_accepted"), &format!("{what} accepted")),
            full,
            share,
        });
        admission.set(limits);
        admission
    }

    /// Obeys these from the next connection on; those that are there stay.
    pub fn set(&self, limits: AdmissionLimits) {
        self.connections_max.store(limits.connections_max, Relaxed);
        self.connections_per_prefix_max.store(limits.connections_per_prefix_max, Relaxed);
        self.max.set(i64::try_from(limits.connections_max).unwrap_or(i64::MAX));
    }

    /// Lets a visitor in, or says why not.
    pub fn admit(self: &Arc<Self>, visitor: IpAddr) -> Result<Permit, Refused> {
        let mut permit = self.admit_anyone()?;
        permit.share_of(visitor)?;
        Ok(permit)
    }

    /// Lets someone in of whom it is not known yet who it is: a place of all, and nobody's share.
    pub fn admit_anyone(self: &Arc<Self>) -> Result<Permit, Refused> {
        let max = self.connections_max.load(Relaxed);
        if self.open.fetch_add(1, Relaxed) >= max {
            self.open.fetch_sub(1, Relaxed);
            self.full.inc();
            return Err(Refused::Full(max));
        }
        self.gauge.inc();
        Ok(Permit { admission: Arc::clone(self), prefix: None })
    }

    fn shard(&self, prefix: Prefix) -> std::sync::MutexGuard<'_, HashMap<Prefix, usize>> {
        let spread = prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let shard = &self.shares[usize::try_from(spread).unwrap_or(0) % self.shares.len()];
        // Nothing in these few lines panics; a poisoned map is still right.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefix(visitor: IpAddr) -> Prefix {
    match visitor.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // The upper 32 bits of a global /64 are never zero, so no IPv6 prefix is taken for an IPv4 address.
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

/// One connection's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    /// Whose share it counts in; none: nobody's yet.
    prefix: Option<Prefix>,
}

impl Permit {
    /// Counts it in a visitor's share, once, or says that there is nothing left of it; the permit is then good for nothing but being dropped.
    pub fn share_of(&mut self, visitor: IpAddr) -> Result<(), Refused> {
        let prefix = prefix(visitor);
        let admission = &self.admission;
        let mut shares = admission.shard(prefix);
        let share = shares.entry(prefix).or_insert(0);
        let max = admission.connections_per_prefix_max.load(Relaxed);
        if *share >= max {
            admission.share.inc();
            return Err(Refused::Share(max));
        }
        *share += 1;
        drop(shares);
        admission.accepted.inc();
        self.prefix = Some(prefix);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admission = &self.admission;
        admission.open.fetch_sub(1, Relaxed);
        admission.gauge.dec();
        let Some(prefix) = self.prefix else { return };
        let mut shares = admission.shard(prefix);
        if let Some(share) = shares.get_mut(&prefix) {
            *share -= 1;
            if *share == 0 {
                shares.remove(&prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(all: usize, share: usize) -> Arc<Admission> {
        Admission::new(AdmissionLimits { connections_max: all, connections_per_prefix_max: share }, &Metrics::new())
    }

    #[test]
    fn a_visitor_has_its_share_and_gets_it_back() {
        let admission = admission(10, 2);
        let one = "192.0.2.1".parse().unwrap();
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(one).unwrap();
        assert_eq!(admission.admit(one).unwrap_err(), Refused::Share(2));
        assert!(admission.admit("::ffff:192.0.2.1".parse().unwrap()).is_err());
        let other = admission.admit("192.0.2.2".parse().unwrap()).unwrap();
        drop(first);
        assert!(admission.admit(one).is_ok());
        drop(other);
    }

    #[test]
    fn other_limits_are_obeyed_by_whoever_comes_next() {
        let admission = admission(10, 1);
        let one = "192.0.2.1".parse().unwrap();
        let _first = admission.admit(one).unwrap();
        assert_eq!(admission.admit(one).unwrap_err(), Refused::Share(1));
        admission.set(AdmissionLimits { connections_max: 2, connections_per_prefix_max: 3 });
        let _second = admission.admit(one).unwrap();
        assert_eq!(admission.admit(one).unwrap_err(), Refused::Full(2));
    }

    #[test]
    fn one_ipv6_network_is_one_visitor() {
        let admission = admission(10, 1);
        let _first = admission.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(admission.admit("2001:db8::2".parse().unwrap()).is_err());
        assert!(admission.admit("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn who_is_known_later_has_a_share_later() {
        let admission = admission(3, 1);
        let one = "192.0.2.1".parse().unwrap();
        let mut permits =
            [admission.admit_anyone().unwrap(), admission.admit_anyone().unwrap(), admission.admit_anyone().unwrap()];
        assert_eq!(admission.admit_anyone().unwrap_err(), Refused::Full(3));
        permits[0].share_of(one).unwrap();
        assert_eq!(permits[1].share_of(one), Err(Refused::Share(1)));
        drop(permits);
        assert!(admission.admit(one).is_ok(), "every place and every share came back");
        assert!(admission.shares.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn all_places_can_be_taken_and_freed() {
        let admission = admission(2, 10);
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let permits = [admission.admit(address(1)).unwrap(), admission.admit(address(2)).unwrap()];
        assert_eq!(admission.admit(address(3)).unwrap_err(), Refused::Full(2));
        drop(permits);
        assert!(admission.admit(address(3)).is_ok());
        assert!(admission.shares.iter().all(|shard| shard.lock().unwrap().is_empty()), "no entry outlives its connections");
    }
}
