//! What a zone's parent says of it: each of its servers is asked for itself, past every cache (edge-behaviour §1.1).

use std::{net::IpAddr, time::Instant};

use poterne_dns_wire::Rcode;
use poterne_model::{AccountId, Name, Rdata, Rtype, name::ancestors};

use crate::{
    message::{Question, Record, Reply},
    referral,
    resolver::{Budget, ResolveError, Resolver, Server},
};

/// Most servers of the parent that are asked.
pub const VIEWS_MAX: usize = 4;

/// What the parent's servers say.
#[derive(Debug, Clone)]
pub struct Delegation {
    /// The parent; none: the root.
    pub parent: Option<Name>,
    /// What each of them says.
    pub views: Vec<View>,
}

/// What one server of the parent says.
#[derive(Debug, Clone)]
pub struct View {
    /// The server.
    pub server: Server,
    /// What it says, or why it says nothing.
    pub seen: Result<Seen, String>,
}

/// A delegation as one server has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The name servers, in order; none: the zone is not delegated.
    pub name_servers: Vec<Name>,
    /// Their addresses that came along.
    pub glue: Vec<(Name, IpAddr)>,
    /// The digests of the zone's keys; none where it did not say whether there are any.
    pub ds: Option<Vec<Rdata>>,
}

impl Delegation {
    /// The name servers that any of the parent's servers names, in order.
    pub fn name_servers(&self) -> Vec<Name> {
        let seen = self.views.iter().filter_map(|view| view.seen.as_ref().ok());
        let mut all: Vec<Name> = seen.flat_map(|seen| seen.name_servers.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The digests of keys that all of the parent's servers have, where each of them says so and all say the same.
    pub fn agreed_ds(&self) -> Option<Vec<&Rdata>> {
        let mut said = self.views.iter().map(|view| view.seen.as_ref().ok().and_then(|seen| seen.ds.as_ref()));
        let first = said.next()??;
        let same = |other: &Vec<Rdata>| {
            let within = |some: &[Rdata], all: &[Rdata]| some.iter().all(|one| all.iter().any(|known| known.same(one)));
            within(first, other) && within(other, first)
        };
        said.all(|other| other.is_some_and(same)).then(|| first.iter().collect())
    }

    /// The digests of keys that any of them has.
    pub fn ds(&self) -> Vec<&Rdata> {
        let mut all: Vec<&Rdata> = Vec::new();
        for rdata in self.views.iter().filter_map(|view| view.seen.as_ref().ok()).flat_map(|seen| seen.ds.iter().flatten()) {
            if !all.iter().any(|known| known.same(rdata)) {
                all.push(rdata);
            }
        }
        all
    }
}

/// What a server of the parent says of the zone, as its reply to a question for its NS records has it.
///
/// # Errors
/// It does not say.
pub fn seen(reply: &Reply, zone: &Name, parent: Option<&Name>) -> Result<Seen, String> {
    let believed = |name: &Name| parent.is_none_or(|parent| name.is_within(parent));
    match reply.code {
        Rcode::NoError => {}
        Rcode::NxDomain if reply.authoritative => return Ok(Seen { ds: Some(Vec::new()), ..Seen::default() }),
        code => return Err(code.to_string()),
    }
    let servers = referral::servers(reply, zone, believed);
    if servers.is_empty() && !reply.authoritative {
        return Err("it does not speak for the zone above".to_owned());
    }
    let mut name_servers: Vec<Name> = servers.iter().map(|(name, _)| name.clone()).collect();
    name_servers.sort();
    let glue = servers.into_iter().flat_map(|(name, glue)| glue.into_iter().map(move |address| (name.clone(), address)));
    Ok(Seen { name_servers, glue: glue.collect(), ds: None })
}

impl Resolver {
    /// What the parent's servers say of a zone.
    ///
    /// # Errors
    /// They are not found.
    pub async fn delegation(&self, account: Option<AccountId>, zone: &Name) -> Result<Delegation, ResolveError> {
        let (parent, servers) = self.servers_of_parent(account, zone).await?;
        let mut views = Vec::new();
        for server in one_of_each(servers).into_iter().take(VIEWS_MAX) {
            let asked = self.at_parent(account, server.address, &Question::new(zone.clone(), Rtype::Ns)).await;
            let mut of = asked.and_then(|reply| seen(&reply, zone, parent.as_ref()));
            if let Ok(seen) = &mut of
                && seen.ds.is_none()
                && let Ok(reply) = self.at_parent(account, server.address, &Question::new(zone.clone(), Rtype::Ds)).await
            {
                let own = reply.answers.iter().filter(|record| record.owner == *zone);
                let digests = own.filter_map(Record::held).filter(|rdata| rdata.rtype() == Rtype::Ds).cloned();
                // A DS is the parent's own record: only who speaks for the parent can say that there is none.
                let said = matches!(reply.code, Rcode::NoError | Rcode::NxDomain) && reply.authoritative;
                seen.ds = said.then(|| digests.collect());
            }
            views.push(View { server, seen: of });
        }
        Ok(Delegation { parent, views })
    }

    /// The root's servers are the operator's word; every other's address was learned.
    async fn at_parent(&self, account: Option<AccountId>, server: IpAddr, question: &Question) -> Result<Reply, String> {
        let known = self.settings().roots.contains(&server);
        let asked = if known { self.at_known(server, question).await } else { self.at(account, server, question).await };
        asked.map_err(|error| error.to_string())
    }

    /// From the root, where its servers are known; else as resolvers say.
    async fn servers_of_parent(
        &self,
        account: Option<AccountId>,
        zone: &Name,
    ) -> Result<(Option<Name>, Vec<Server>), ResolveError> {
        if !self.settings().roots.is_empty() {
            let arrived = self.descend(zone, Rtype::Ns, Some(zone), account, &mut Budget::new(Instant::now()), 0).await?;
            return Ok((arrived.zone, arrived.servers));
        }
        if self.settings().resolvers.is_empty() {
            return Err(ResolveError::NoServer);
        }
        for above in ancestors(zone.as_str()).skip(1) {
            let Ok(above) = Name::parse(above) else { continue };
            let found = self.lookup(&above, Rtype::Ns).await?;
            let named: Vec<Name> = found.records.iter().filter_map(Record::name_server).cloned().collect();
            if named.is_empty() || found.canonical != above {
                continue;
            }
            let mut servers = Vec::new();
            for name in named.into_iter().take(VIEWS_MAX) {
                if let Ok(addresses) = self.addresses(account, &name).await {
                    servers.extend(addresses.reached.into_iter().map(|address| Server { name: Some(name.clone()), address }));
                }
            }
            return Ok((Some(above), servers));
        }
        Err(ResolveError::Failed { name: zone.clone(), why: "the resolvers know no zone above it".to_owned() })
    }
}

/// One address of each server, the others after them.
fn one_of_each(servers: Vec<Server>) -> Vec<Server> {
    let mut first: Vec<Server> = Vec::new();
    let mut more = Vec::new();
    for server in servers {
        if server.name.is_some() && first.iter().any(|known| known.name == server.name) {
            more.push(server);
        } else {
            first.push(server);
        }
    }
    first.extend(more);
    first
}

#[cfg(test)]
mod tests {
    use poterne_model::rdata::Hosts;

    use super::*;
    use crate::message::Data;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn ns(owner: &str, host: &str) -> Record {
        let rdata = Rdata::parse(Rtype::Ns, host, None, Hosts::default()).unwrap();
        Record { owner: name(owner), ttl_secs: 60, data: Data::Held(rdata) }
    }

    fn reply(code: Rcode, authoritative: bool, answers: Vec<Record>, authorities: Vec<Record>) -> Reply {
        Reply { code, authoritative, truncated: false, authentic: false, answers, authorities, additionals: vec![] }
    }

    #[test]
    fn a_delegation_is_read_from_referrals_and_from_those_who_serve_both() {
        let (zone, com) = (name("example.com"), name("com"));
        let records = || vec![ns("example.com", "NS2.example.net."), ns("example.com", "ns1.example.net.")];
        let expected = vec![name("ns1.example.net"), name("ns2.example.net")];
        let referral = seen(&reply(Rcode::NoError, false, vec![], records()), &zone, Some(&com)).unwrap();
        assert_eq!(referral.name_servers, expected);
        let both = seen(&reply(Rcode::NoError, true, records(), vec![]), &zone, Some(&com)).unwrap();
        assert_eq!(both.name_servers, expected);
    }

    #[test]
    fn not_delegated_is_something_else_than_not_said() {
        let (zone, com) = (name("example.com"), name("com"));
        let nothing = Seen { ds: Some(vec![]), ..Seen::default() };
        assert_eq!(seen(&reply(Rcode::NxDomain, true, vec![], vec![]), &zone, Some(&com)), Ok(nothing), "no DS either");
        assert_eq!(seen(&reply(Rcode::NoError, true, vec![], vec![]), &zone, Some(&com)), Ok(Seen::default()));
        assert!(seen(&reply(Rcode::NxDomain, false, vec![], vec![]), &zone, Some(&com)).is_err());
        assert!(seen(&reply(Rcode::Refused, false, vec![], vec![]), &zone, Some(&com)).is_err());
        assert!(seen(&reply(Rcode::NoError, false, vec![], vec![ns("com", "a.net.")]), &zone, Some(&com)).is_err());
    }
}
