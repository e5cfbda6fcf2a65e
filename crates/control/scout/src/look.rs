//! One look at one zone's delegation or, where its owner keeps his own name servers, at the record by which he proves that it is his.

use poterne_control_app::{DueZone, PartialProof, SeenDelegation};
use poterne_dns_resolver::{Question, Rcode, Record, Reply, Resolver};
use poterne_model::{
    Name, Rdata, Rtype,
    delegation::{Sight, sight},
};

/// Most name servers of a partial zone that are asked.
const SERVERS_MAX: usize = 8;

/// What the parent's servers say of a zone, and, where not all of them say that it is ours, what the resolvers do.
pub async fn look(resolver: &Resolver, due: &DueZone) -> SeenDelegation {
    let apex = &due.zone.apex;
    if due.zone.partial {
        return look_for_proof(resolver, due).await;
    }
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

/// What the zone's own name servers say of the proof, each of them, and, where one has it not, what the resolvers do.
async fn look_for_proof(resolver: &Resolver, due: &DueZone) -> SeenDelegation {
    let (apex, account) = (&due.zone.apex, Some(due.zone.account));
    let PartialProof { name: Some(name), text } = PartialProof::of(&due.zone) else { return SeenDelegation::default() };
    let question = Question::new(name, Rtype::Txt);
    let delegation = match resolver.delegation(account, apex).await {
        Ok(delegation) => delegation,
        Err(error) => {
            tracing::debug!(zone = %apex, %error, "the servers above a zone are not found");
            return SeenDelegation::default();
        }
    };
    let name_servers = delegation.name_servers();
    let mut own = Vec::new();
    for server in name_servers.iter().take(SERVERS_MAX) {
        let Ok(addresses) = resolver.addresses(account, server).await else { continue };
        let Some(address) = addresses.reached.first() else { continue };
        match resolver.at(account, *address, &question).await {
            Ok(reply) => own.extend(proven(&reply, &question, &text)),
            Err(error) => tracing::debug!(zone = %apex, %server, %error, "a name server of a partial zone does not say"),
        }
    }
    let mut others = Vec::new();
    if own.iter().any(|sight| *sight != Sight::Ours) {
        let said = resolver.at_resolvers(&question).await;
        others.extend(said.into_iter().filter_map(|(_, said)| proven(&said.ok()?, &question, &text)));
    }
    SeenDelegation { name_servers: Some(name_servers).filter(|names| !names.is_empty()), parent: own, others, ds: None }
}

/// What a reply says of the proof; none: nothing.
fn proven(reply: &Reply, question: &Question, text: &str) -> Option<Sight> {
    if !matches!(reply.code, Rcode::NoError | Rcode::NxDomain) {
        return None;
    }
    let is_proof = |record: &Record| {
        record.owner == question.name && matches!(record.held(), Some(Rdata::Txt(txt)) if txt.value() == text.as_bytes())
    };
    Some(if reply.answers.iter().any(is_proof) { Sight::Ours } else { Sight::Nobody })
}
