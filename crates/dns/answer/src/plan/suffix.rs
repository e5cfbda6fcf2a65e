//! Names of partial zones, whose owners keep their own name servers (edge-behaviour §1.1): these lead here by CNAMEs to the same names below
//! the node's suffix.
//!
//! ```text
//! www.example.org  ──CNAME, at its owner's──→  www.example.org.cdn.example.net  ──here──→  the edges' addresses
//! ```
//!
//! Such a name is answered as the zone says of what stands before the suffix, delegations apart, which are its own servers'. The suffix itself
//! is a zone that nobody keeps: it has name servers and a start of authority, is not signed, and no name between it and a zone is told not
//! to exist, since a resolver that asks label by label (RFC 9156) would go no further.

use std::sync::LazyLock;

use poterne_dns_wire::rtype;
use poterne_model::{
    Name,
    setting::{DnsSettings, dns::Soa},
};
use poterne_snapshot::{Found, Snapshot, ZoneDns};

use super::{Data, ExtendedError, Kind, Owner, Place, Rcode, Section, Walk};
use crate::query::Question;

/// How long it may be kept in mind that something is not there, in seconds: a host that is added should not wait for long.
const NEGATIVE_TTL_SECS: u32 = 60;

/// What the start of authority says; nobody copies such a zone, so that its serial number stays.
static DNS: LazyLock<ZoneDns> = LazyLock::new(|| ZoneDns {
    serial: 1,
    name_servers: Vec::new(),
    ns_ttl_secs: 86_400,
    multi_provider: false,
    flattens_all: false,
    soa: Soa { min_ttl: NEGATIVE_TTL_SECS, ..DnsSettings::default().soa },
    keys: None,
});

/// What of a name stands before the node's suffix; empty: it is the suffix. None: it is not below.
pub(super) fn before<'n>(snapshot: &Snapshot, name: &'n str) -> Option<&'n str> {
    let before = name.strip_suffix(snapshot.node().cname_suffix.as_ref()?.as_str())?;
    if before.is_empty() { Some(before) } else { before.strip_suffix('.') }
}

impl<'a> Walk<'a> {
    /// Answers for a name at the suffix or below it; false: it is not, or it is the zone above that has the word (RFC 4035 §3.1.4.1).
    pub(super) fn is_of_suffix(&mut self, question: &Question<'_>) -> bool {
        let name = question.key.as_str();
        let (Some(suffix), Some(before)) = (self.snapshot.node().cname_suffix.as_ref(), before(self.snapshot, name)) else {
            return false;
        };
        if before.is_empty() && self.rtype == rtype::DS {
            return false;
        }
        self.suffix = Some(suffix);
        self.plan.is_authoritative = true;
        if before.is_empty() {
            self.suffix_itself();
        } else {
            self.below_suffix(before);
        }
        true
    }

    fn suffix_itself(&mut self) {
        let servers = &*self.snapshot.node().nameservers;
        match (self.rtype, self.suffix) {
            (rtype::NS, _) if !servers.is_empty() => {
                self.put(Section::Answer, Owner::Question, rtype::NS, DNS.ns_ttl_secs, Data::NameServers(servers, None));
            }
            (rtype::SOA, Some(suffix)) => {
                self.put(Section::Answer, Owner::Question, rtype::SOA, DNS.soa.ttl, Data::Soa(suffix, &DNS));
            }
            (rtype::ANY | rtype::RRSIG, _) => {
                self.minimal(Owner::Question);
            }
            _ => self.nothing_of_suffix(),
        }
    }

    fn below_suffix(&mut self, name: &str) {
        let Some(zone) = self.snapshot.partial_zone_over(name) else { return self.nothing_of_suffix() };
        let Some(dns) = &zone.head().dns else { return self.fail(Rcode::ServFail, ExtendedError::NOT_READY) };
        self.zone = Some((zone, dns));
        let place = Place { zone, dns, name, owner: Owner::Question };
        let found = zone.find(name);
        let texts = self.texts(place, found);
        // Whoever follows a CNAME that is shown does so by himself.
        match (found, texts) {
            (_, Some(texts)) if self.rtype == rtype::TXT => self.challenged(place, texts),
            (Found::Name(_) | Found::Wildcard(_), _) if matches!(self.rtype, rtype::ANY | rtype::RRSIG) => {
                self.minimal(Owner::Question);
            }
            // What the zone says of itself, its owner's servers say.
            (Found::Name(_) | Found::Wildcard(_), _) if matches!(self.rtype, rtype::NS | rtype::SOA | rtype::DS) => {
                self.nothing_of_suffix();
            }
            (Found::Name(chunk) | Found::Wildcard(chunk), _) => {
                self.shown(place, chunk);
            }
            (Found::Empty, _) | (Found::Nothing, Some(_)) => self.nothing_of_suffix(),
            (Found::Nothing, None) => {
                self.plan.rcode = Rcode::NxDomain;
                self.nothing_of_suffix();
                self.plan.kind = Kind::NoName;
            }
        }
    }

    /// RFC 2308 §3, of the suffix.
    pub(super) fn nothing_of_suffix(&mut self) {
        let Some(suffix) = self.suffix else { return };
        self.plan.kind = Kind::NoData;
        let ttl_secs = DNS.soa.ttl.min(DNS.soa.min_ttl);
        self.add(Section::Authority, Owner::Above(suffix.as_str().len()), rtype::SOA, ttl_secs, Data::Soa(suffix, &DNS));
    }
}

/// Whether a name is the suffix itself, which lies below a zone here as a zone of its own would.
pub(super) fn is_suffix(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.node().cname_suffix.as_ref().is_some_and(|suffix: &Name| suffix.as_str() == name)
}
