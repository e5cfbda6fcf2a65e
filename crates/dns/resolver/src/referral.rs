//! What one reply means on the way down from the root: pure.
//!
//! A server is believed within the zone it was asked as a server of, and not beyond (RFC 5452 §6): a referral must go further down on
//! the way to the name, glue must lie within that zone, and of an answer only what is of the asked name counts. Where a CNAME leads is
//! asked anew.

use std::net::IpAddr;

use poterne_dns_wire::Rcode;
use poterne_model::{Name, Rdata, Rtype, rdata::Host};

use crate::message::{Question, Record, Reply};

/// Most name servers of one referral that are looked at.
pub const NAME_SERVERS_MAX: usize = 13;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This is it.
    Answer(Vec<Record>),
    /// It is called otherwise; for so many seconds.
    Alias(Name, u32),
    /// There is no such record, or no such name; for so many seconds.
    Nothing {
        /// Whether the name exists.
        exists: bool,
        /// How long that is good, in seconds.
        ttl_secs: u32,
    },
    /// Others know.
    Referral {
        /// The zone they serve.
        cut: Name,
        /// They, with the addresses that came along.
        servers: Vec<(Name, Vec<IpAddr>)>,
    },
    /// This server does not do what it is there for: ask another.
    Lame(String),
}

/// What the reply of a server of `zone` (none: the root) means.
pub fn step(reply: &Reply, question: &Question, zone: Option<&Name>) -> Step {
    let believed = |name: &Name| zone.is_none_or(|zone| name.is_within(zone));
    match reply.code {
        Rcode::NoError | Rcode::NxDomain => {}
        code => return Step::Lame(code.to_string()),
    }
    let own: Vec<&Record> = reply.answers.iter().filter(|record| record.owner == question.name).collect();
    let wanted: Vec<Record> =
        own.iter().filter(|record| record.number() == question.rtype.number()).map(|record| (*record).clone()).collect();
    if !wanted.is_empty() && believed(&question.name) {
        return Step::Answer(wanted);
    }
    if question.rtype != Rtype::Cname
        && let Some((target, ttl)) = own.iter().find_map(|record| alias(record))
    {
        return Step::Alias(target, ttl);
    }
    let cut = reply.authorities.iter().find(|record| {
        let is_below = zone.is_none_or(|zone| record.owner != *zone && record.owner.is_within(zone));
        record.name_server().is_some() && is_below && question.name.is_within(&record.owner)
    });
    if let Some(cut) = cut.filter(|_| reply.code == Rcode::NoError && !reply.authoritative) {
        return Step::Referral { cut: cut.owner.clone(), servers: servers(reply, &cut.owner, believed) };
    }
    if reply.authoritative {
        return Step::Nothing { exists: reply.code == Rcode::NoError, ttl_secs: reply.negative_ttl_secs().unwrap_or(0) };
    }
    Step::Lame("it does not speak for the zone".to_owned())
}

/// The name servers that a reply names for `cut`, with the glue that may be believed.
pub(crate) fn servers(reply: &Reply, cut: &Name, believed: impl Fn(&Name) -> bool) -> Vec<(Name, Vec<IpAddr>)> {
    let mut servers: Vec<(Name, Vec<IpAddr>)> = Vec::new();
    for record in reply.answers.iter().chain(&reply.authorities).filter(|record| record.owner == *cut) {
        let Some(name) = record.name_server() else { continue };
        if servers.len() == NAME_SERVERS_MAX || servers.iter().any(|(known, _)| known == name) {
            continue;
        }
        let glue = reply.additionals.iter().filter(|record| record.owner == *name && believed(name));
        servers.push((name.clone(), glue.filter_map(Record::address).take(4).collect()));
    }
    servers
}

fn alias(record: &Record) -> Option<(Name, u32)> {
    match record.held()? {
        Rdata::Cname(Host::Name(target)) => Some((target.clone(), record.ttl_secs)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::Data,
        testing::{TTL_SECS, name, record},
    };

    fn reply(code: Rcode, authoritative: bool, sections: [Vec<Record>; 3]) -> Reply {
        let [answers, authorities, additionals] = sections;
        Reply { code, authoritative, truncated: false, authentic: false, answers, authorities, additionals }
    }

    fn meant(of: &Reply, zone: &str) -> Step {
        step(of, &Question::new(name("www.example.com"), Rtype::A), Some(&name(zone)))
    }

    #[test]
    fn a_referral_leads_further_down_with_glue_of_its_own_zone_alone() {
        let ns = vec![record("example.com", Rtype::Ns, "ns.example.com."), record("example.com", Rtype::Ns, "ns.other.net.")];
        let glue = vec![record("ns.example.com", Rtype::A, "9.9.9.9"), record("ns.other.net", Rtype::A, "9.9.9.8")];
        let of = reply(Rcode::NoError, false, [vec![], ns, glue]);
        let servers = vec![(name("ns.example.com"), vec!["9.9.9.9".parse().unwrap()]), (name("ns.other.net"), vec![])];
        assert_eq!(meant(&of, "com"), Step::Referral { cut: name("example.com"), servers });
        // To itself, upwards, or beside: nowhere.
        assert!(matches!(meant(&of, "example.com"), Step::Lame(_)));
        assert!(matches!(meant(&of, "net"), Step::Lame(_)));
        let upward = reply(Rcode::NoError, false, [vec![], vec![record("com", Rtype::Ns, "a.gtld.net.")], vec![]]);
        assert!(matches!(meant(&upward, "example.com"), Step::Lame(_)));
        let beside = reply(Rcode::NoError, false, [vec![], vec![record("a.example.com", Rtype::Ns, "ns.a.net.")], vec![]]);
        assert!(matches!(meant(&beside, "com"), Step::Lame(_)));
    }

    #[test]
    fn only_what_was_asked_for_is_an_answer() {
        let of = |answers| reply(Rcode::NoError, true, [answers, vec![], vec![]]);
        let own = record("www.example.com", Rtype::A, "9.9.9.9");
        let other = record("mail.example.com", Rtype::A, "9.9.9.8");
        assert_eq!(meant(&of(vec![other.clone(), own.clone()]), "com"), Step::Answer(vec![own.clone()]));
        assert!(matches!(meant(&of(vec![other]), "com"), Step::Nothing { exists: true, .. }));
        assert!(!matches!(meant(&of(vec![own.clone()]), "net"), Step::Answer(_)), "no server of net speaks for it");
        let alias = record("www.example.com", Rtype::Cname, "host.example.net.");
        let beyond = record("host.example.net", Rtype::A, "10.0.0.1");
        assert_eq!(meant(&of(vec![alias, beyond]), "com"), Step::Alias(name("host.example.net"), TTL_SECS));
    }

    #[test]
    fn nothing_is_believed_of_those_who_speak_for_the_zone() {
        let soa = Record { owner: name("example.com"), ttl_secs: 900, data: Data::Soa { serial: 1, minimum_secs: 300 } };
        let nothing = reply(Rcode::NxDomain, true, [vec![], vec![soa], vec![]]);
        assert_eq!(meant(&nothing, "example.com"), Step::Nothing { exists: false, ttl_secs: 300 });
        assert!(matches!(meant(&Reply { authoritative: false, ..nothing }, "com"), Step::Lame(_)));
        assert_eq!(meant(&reply(Rcode::Refused, false, [vec![], vec![], vec![]]), "com"), Step::Lame("REFUSED".into()));
    }
}
