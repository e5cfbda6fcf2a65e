//! One look at one zone's delegation.

use poterne_control_app::{DueZone, SeenDelegation};
use poterne_dns_resolver::{Question, Rcode, Record, Resolver};
use poterne_model::{
    Name, Rtype,
    delegation::{Sight, sight},
};

/// What the parent's servers say of a zone, and, where not all of them say that it is ours, what the resolvers do.
pub async fn look(resolver: &Resolver, due: &DueZone) -> SeenDelegation {
    let apex = &due.zone.apex;
    let delegation = match resolver.delegation(Some(due.zone.account), apex).await {
        Ok(delegation) => delegation,
        Err(error) => {
            tracing::debug!(zone = %apex, %error, "the servers above a zone are not found");
            return SeenDelegation::default();
        }
    };
    let mut parent = Vec::new();
    for view in &delegation.views {
        match &view.seen {
            Ok(seen) => parent.push(sight(&seen.name_servers, &due.assigned)),
            Err(why) => tracing::debug!(zone = %apex, server = %view.server.address, why, "a server above a zone does not say"),
        }
    }
    let mut others = Vec::new();
    if parent.iter().any(|sight| *sight != Sight::Ours) {
        for (_, said) in resolver.at_resolvers(&Question::new(apex.clone(), Rtype::Ns)).await {
            let Ok(reply) = said else { continue };
            if matches!(reply.code, Rcode::NoError | Rcode::NxDomain) {
                let own = reply.answers.iter().filter(|record| record.owner == *apex);
                let names: Vec<Name> = own.filter_map(Record::name_server).cloned().collect();
                others.push(sight(&names, &due.assigned));
            }
        }
    }
    let name_servers = (!parent.is_empty()).then(|| delegation.name_servers());
    let ds = delegation.agreed_ds().map(|all| all.into_iter().cloned().collect());
    SeenDelegation { name_servers, parent, others, ds }
}
