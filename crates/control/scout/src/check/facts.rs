//! What is known of a zone, here and in the world.

use std::net::{IpAddr, SocketAddr};

use poterne_control_app::PartialProof;
use poterne_dns_resolver::{Data, Delegation, Question, Rcode, Record, Resolver};
use poterne_model::{AccountId, Entry, Name, Rtype, ZoneStatus, delegation::Sight};
use tokio::task::JoinSet;

/// What is known.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The zone's name.
    pub apex: Name,
    /// What of it is here; none: it is no zone of this node.
    pub here: Option<Here>,
    /// What the parent's servers say, or why that is not known.
    pub delegation: Result<Delegation, String>,
    /// What the name servers that it is delegated to say.
    pub servers: Vec<ServerFact>,
    /// What resolvers say its name servers are.
    pub resolvers: Vec<(SocketAddr, Result<Vec<Name>, String>)>,
}

/// What of a zone is here.
#[derive(Debug, Clone)]
pub struct Here {
    /// Its status.
    pub status: ZoneStatus,
    /// The name servers it should be delegated to.
    pub assigned: Vec<Name>,
    /// Its records.
    pub records: Vec<Entry>,
    /// Of a partial zone: what shows whose it is, and what each of its own name servers that answers says of that.
    pub proof: Option<(PartialProof, Vec<Sight>)>,
}

/// What one of the zone's name servers says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFact {
    /// What it is called.
    pub name: Name,
    /// Where it was asked; none: nobody knows where it is.
    pub address: Option<IpAddr>,
    /// Its serial and how many keys it has, if it speaks for the zone; else why not.
    pub said: Result<Said, String>,
}

/// What a name server says of the zone it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The zone's serial.
    pub serial: u32,
    /// How many keys the zone has.
    pub keys: usize,
}

/// Asks the world: the servers above the zone, each of its name servers, and the node's resolvers and these.
pub async fn gather(
    resolver: &Resolver,
    account: AccountId,
    apex: Name,
    here: Option<Here>,
    more_resolvers: &[SocketAddr],
) -> Facts {
    let delegation = resolver.delegation(Some(account), &apex).await.map_err(|error| error.to_string());
    let mut asked = JoinSet::new();
    if let Ok(delegation) = &delegation {
        for name in delegation.name_servers() {
            let (resolver, apex, delegation) = (resolver.clone(), apex.clone(), delegation.clone());
            asked.spawn(async move { server(&resolver, account, &apex, name, &delegation).await });
        }
    }
    let everybody: Vec<SocketAddr> = resolver.settings().resolvers.iter().chain(more_resolvers).copied().collect();
    let question = Question::new(apex.clone(), Rtype::Ns);
    let (mut servers, said) = tokio::join!(asked.join_all(), resolver.at_each(&everybody, &question));
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    let mut resolvers = Vec::new();
    for (address, said) in said {
        let names = match said {
            Ok(reply) if matches!(reply.code, Rcode::NoError | Rcode::NxDomain) => {
                let own = reply.answers.iter().filter(|record| record.owner == apex);
                let mut names: Vec<Name> = own.filter_map(Record::name_server).cloned().collect();
                names.sort();
                Ok(names)
            }
            Ok(reply) => Err(format!("it answers {}", reply.code)),
            Err(error) => Err(error.to_string()),
        };
        resolvers.push((address, names));
    }
    Facts { apex, here, delegation, servers, resolvers }
}

async fn server(resolver: &Resolver, account: AccountId, apex: &Name, name: Name, delegation: &Delegation) -> ServerFact {
    let seen = delegation.views.iter().filter_map(|view| view.seen.as_ref().ok());
    let mut glue = seen.flat_map(|seen| &seen.glue).filter(|(owner, _)| *owner == name).map(|(_, address)| *address);
    let address = match glue.next() {
        Some(address) => Ok(address),
        None => match resolver.addresses(Some(account), &name).await {
            Ok(found) => found.reached.first().copied().ok_or_else(|| match found.refused.first() {
                Some(refusal) => refusal.to_string(),
                None => "it has no address".to_owned(),
            }),
            Err(error) => Err(error.to_string()),
        },
    };
    match address {
        Ok(address) => ServerFact { said: said(resolver, account, apex, address).await, name, address: Some(address) },
        Err(why) => ServerFact { name, address: None, said: Err(why) },
    }
}

async fn said(resolver: &Resolver, account: AccountId, apex: &Name, server: IpAddr) -> Result<Said, String> {
    // The SOA: its number is none of the types that records here have.
    let soa = Question::new(apex.clone(), Rtype::Unknown(6));
    let reply = resolver.at(Some(account), server, &soa).await.map_err(|error| error.to_string())?;
    if reply.code != Rcode::NoError {
        return Err(format!("it answers {}", reply.code));
    }
    let serial = reply.answers.iter().find_map(|record| match record.data {
        Data::Soa { serial, .. } if record.owner == *apex && reply.authoritative => Some(serial),
        _ => None,
    });
    let serial = serial.ok_or("it does not speak for the zone")?;
    let keys = match resolver.at(Some(account), server, &Question::new(apex.clone(), Rtype::Dnskey)).await {
        Ok(reply) => reply.answers.iter().filter(|record| record.number() == Rtype::Dnskey.number()).count(),
        Err(_) => 0,
    };
    Ok(Said { serial, keys })
}
