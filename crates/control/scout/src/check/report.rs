//! What the facts come to, in words: pure.

use std::collections::BTreeSet;

use poterne_control_app::PartialProof;
use poterne_dns_resolver::Delegation;
use poterne_model::{
    Name, ZoneStatus,
    delegation::{Sight, sight},
};

use super::{Facts, Finding, Level, Report, Topic, facts::Here, leaks::leaks};

/// What is to be said.
pub fn report(facts: &Facts) -> Report {
    let mut findings = Vec::new();
    match &facts.delegation {
        Ok(delegation) => {
            of_delegation(facts, delegation, &mut findings);
            of_glue(facts, delegation, &mut findings);
            of_servers(facts, &mut findings);
            of_dnssec(facts, delegation, &mut findings);
            of_propagation(facts, delegation, &mut findings);
        }
        Err(why) => findings.push(
            Finding::new(Level::Problem, Topic::Delegation, format!("the servers above {} are not found: {why}", facts.apex))
                .remedy("see `resolvers` and `root_hints` under [dns], and whether this machine may ask port 53"),
        ),
    }
    if let Some(here) = &facts.here {
        findings.extend(leaks(&facts.apex, &here.records));
    }
    Report { zone: facts.apex.to_string(), findings }
}

fn of_delegation(facts: &Facts, delegation: &Delegation, findings: &mut Vec<Finding>) {
    let apex = &facts.apex;
    let mut say = |level, text: String| findings.push(Finding::new(level, Topic::Delegation, text));
    let answering: Vec<_> = delegation.views.iter().filter_map(|view| Some((&view.server, view.seen.as_ref().ok()?))).collect();
    for view in &delegation.views {
        if let Err(why) = &view.seen {
            say(Level::Warning, format!("{} above {apex} does not say: {why}", view.server.address));
        }
    }
    let Some((_, first)) = answering.first() else {
        return say(Level::Problem, format!("none of the servers above {apex} says what it is delegated to"));
    };
    let named = list(&first.name_servers);
    if answering.iter().any(|(_, seen)| seen.name_servers != first.name_servers) {
        say(Level::Warning, format!("the servers above {apex} do not agree yet: a change is on its way"));
    }
    if let Some(Here { status, proof: Some((proof, seen)), .. }) = &facts.here {
        findings.push(of_proof(apex, &named, *status, proof, seen));
        return;
    }
    let Some(Here { status, assigned, .. }) = &facts.here else {
        return match first.name_servers.is_empty() {
            true => say(Level::Problem, format!("{apex} is delegated to nobody")),
            false => say(Level::Fine, format!("{apex}, which is no zone of this node, is delegated to {named}")),
        };
    };
    let set = format!("set these name servers at the registrar: {}", list(assigned));
    let finding = match sight(&first.name_servers, assigned) {
        _ if assigned.is_empty() => Finding::new(
            Level::Problem,
            Topic::Delegation,
            format!("{apex} is delegated to {named}, and this node has no names for its name servers"),
        )
        .remedy("set `nameservers` under [dns]"),
        Sight::Ours => Finding::new(Level::Fine, Topic::Delegation, format!("{apex} is delegated here, to {named}")),
        Sight::Nobody => Finding::new(Level::Problem, Topic::Delegation, format!("{apex} is delegated to nobody")).remedy(set),
        Sight::Others => {
            let level = if *status == ZoneStatus::Pending { Level::Warning } else { Level::Problem };
            Finding::new(level, Topic::Delegation, format!("{apex} is delegated to {named}, not only to {}", list(assigned)))
                .remedy(set)
        }
    };
    findings.push(finding);
    if first.name_servers.len() == 1 {
        findings.push(Finding::new(Level::Warning, Topic::Delegation, format!("{apex} has one name server alone: {named}")));
    }
}

/// A partial zone stays where it is, and proves there whose it is.
fn of_proof(apex: &Name, named: &str, status: ZoneStatus, proof: &PartialProof, seen: &[Sight]) -> Finding {
    let ours = seen.iter().filter(|sight| **sight == Sight::Ours).count();
    let at = proof.name.as_ref().map_or_else(|| apex.to_string(), ToString::to_string);
    if ours == seen.len() && ours > 0 {
        let text = format!("{apex} is a partial zone: it keeps its name servers ({named}), which show the proof at {at}");
        return Finding::new(Level::Fine, Topic::Delegation, text);
    }
    let level = if status == ZoneStatus::Pending { Level::Warning } else { Level::Problem };
    let text =
        format!("{apex} is a partial zone, and {ours} of {} of its name servers ({named}) show the proof at {at}", seen.len());
    Finding::new(level, Topic::Delegation, text).remedy(format!("set a TXT record there at {at}: {}", proof.text))
}

/// Name servers within the zone are found by the addresses that the parent has of them, and by nothing else.
fn of_glue(facts: &Facts, delegation: &Delegation, findings: &mut Vec<Finding>) {
    let glued: BTreeSet<&Name> = delegation
        .views
        .iter()
        .filter_map(|view| view.seen.as_ref().ok())
        .flat_map(|seen| &seen.glue)
        .map(|(name, _)| name)
        .collect();
    for name in delegation.name_servers().iter().filter(|name| name.is_within(&facts.apex)) {
        if glued.contains(name) {
            findings.push(Finding::new(Level::Fine, Topic::Glue, format!("the parent has the address of {name}")));
        } else {
            let text = format!("{name} lies within {}, and the parent has no address of it: nobody finds it", facts.apex);
            findings.push(
                Finding::new(Level::Problem, Topic::Glue, text).remedy(format!("add a glue record for {name} at the registrar")),
            );
        }
    }
}

fn of_servers(facts: &Facts, findings: &mut Vec<Finding>) {
    let mut serials = BTreeSet::new();
    for server in &facts.servers {
        let at = server.address.map_or_else(String::new, |address| format!(" ({address})"));
        match &server.said {
            Ok(said) => {
                serials.insert(said.serial);
                let text = format!("{}{at} speaks for {}, serial {}", server.name, facts.apex, said.serial);
                findings.push(Finding::new(Level::Fine, Topic::NameServers, text));
            }
            Err(why) => {
                let text = format!("{}{at} is lame for {}: {why}", server.name, facts.apex);
                findings.push(
                    Finding::new(Level::Problem, Topic::NameServers, text)
                        .remedy("let it serve the zone, or take it away at the registrar: every query that goes there is lost"),
                );
            }
        }
    }
    if serials.len() > 1 {
        let text = format!("the name servers do not have the same serial: a change of {} is on its way", facts.apex);
        findings.push(Finding::new(Level::Warning, Topic::NameServers, text));
    }
}

fn of_dnssec(facts: &Facts, delegation: &Delegation, findings: &mut Vec<Finding>) {
    let (ds, apex) = (delegation.ds().len(), &facts.apex);
    let speaking: Vec<_> = facts.servers.iter().filter_map(|server| server.said.as_ref().ok()).collect();
    let signed = speaking.iter().filter(|said| said.keys > 0).count();
    findings.push(match (ds, signed) {
        (0, 0) => Finding::new(Level::Fine, Topic::Dnssec, format!("{apex} is not signed, and the parent expects nothing else")),
        (0, _) => {
            Finding::new(Level::Warning, Topic::Dnssec, format!("{apex} is signed, and nobody checks it: the parent has no DS"))
                .remedy("hand the DS record to the registrar")
        }
        (_, signed) if signed < speaking.len() || speaking.is_empty() => Finding::new(
            Level::Problem,
            Topic::Dnssec,
            format!("the parent has a DS for {apex}, and its name servers have no keys: resolvers that validate find nothing"),
        )
        .remedy("remove the DS at the registrar, or sign the zone with the keys that it is of"),
        _ => Finding::new(Level::Fine, Topic::Dnssec, format!("{apex} is signed, and the parent has {ds} DS")),
    });
}

fn of_propagation(facts: &Facts, delegation: &Delegation, findings: &mut Vec<Finding>) {
    let now = delegation.name_servers();
    for (resolver, said) in &facts.resolvers {
        findings.push(match said {
            Ok(names) if *names == now => {
                Finding::new(Level::Fine, Topic::Propagation, format!("the resolver {resolver} knows the same name servers"))
            }
            Ok(names) => Finding::new(
                Level::Warning,
                Topic::Propagation,
                format!("the resolver {resolver} still knows {}", if names.is_empty() { "none".to_owned() } else { list(names) }),
            )
            .remedy("wait: what it remembers runs out, at the latest after two days"),
            Err(why) => Finding::new(Level::Warning, Topic::Propagation, format!("the resolver {resolver} does not say: {why}")),
        });
    }
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use poterne_dns_resolver::{Seen, Server, View};
    use poterne_model::{Rdata, Rtype, rdata::Hosts};

    use super::*;
    use crate::check::facts::{Said, ServerFact};

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    fn facts(delegated: &[&str], ds: bool, keys: usize) -> Facts {
        let digest = format!("42 13 2 {}", "ab".repeat(32));
        let ds = ds.then(|| Rdata::parse(Rtype::Ds, &digest, None, Hosts::default()).unwrap());
        let seen = Seen { name_servers: names(delegated), glue: Vec::new(), ds: Some(ds.into_iter().collect()) };
        let server = Server { name: None, address: "9.9.9.9".parse().unwrap() };
        let said = |name: &Name| ServerFact { name: name.clone(), address: None, said: Ok(Said { serial: 7, keys }) };
        Facts {
            apex: Name::parse("example.com").unwrap(),
            here: Some(Here {
                status: ZoneStatus::Active,
                assigned: names(&["ns1.node.net", "ns2.node.net"]),
                records: Vec::new(),
                proof: None,
            }),
            servers: seen.name_servers.iter().map(said).collect(),
            delegation: Ok(Delegation { parent: Name::parse("com").ok(), views: vec![View { server, seen: Ok(seen) }] }),
            resolvers: vec![("9.9.9.9:53".parse().unwrap(), Ok(names(&["ns1.node.net", "ns2.node.net"])))],
        }
    }

    fn problems(facts: &Facts) -> Vec<Topic> {
        report(facts).findings.iter().filter(|finding| finding.level == Level::Problem).map(|finding| finding.topic).collect()
    }

    #[test]
    fn a_zone_as_it_should_be_has_nothing_but_good_said_of_it() {
        let told = report(&facts(&["ns1.node.net", "ns2.node.net"], false, 0));
        assert!(told.findings.iter().all(|finding| finding.level == Level::Fine), "{told:?}");
        assert!(!told.has_problems() && told.findings.len() == 5);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let elsewhere = facts(&["ns.old.net", "ns1.node.net"], false, 0);
        assert_eq!(problems(&elsewhere), [Topic::Delegation]);
        assert!(report(&elsewhere).findings[0].remedy.as_ref().unwrap().contains("ns1.node.net, ns2.node.net"));
        let mut waiting = elsewhere;
        waiting.here.as_mut().unwrap().status = ZoneStatus::Pending;
        assert!(problems(&waiting).is_empty(), "which is what pending means");
        assert_eq!(problems(&facts(&[], false, 0)), [Topic::Delegation]);
        assert_eq!(problems(&facts(&["ns1.node.net", "ns2.node.net"], true, 0)), [Topic::Dnssec]);
        assert!(problems(&facts(&["ns1.node.net", "ns2.node.net"], true, 2)).is_empty());
        let mut within = facts(&["ns1.example.com"], false, 0);
        within.here.as_mut().unwrap().assigned = names(&["ns1.example.com"]);
        assert_eq!(problems(&within), [Topic::Glue]);
        let mut lame = facts(&["ns1.node.net", "ns2.node.net"], false, 0);
        lame.servers[1].said = Err("it answers REFUSED".into());
        assert_eq!(problems(&lame), [Topic::NameServers]);
    }

    #[test]
    fn a_partial_zone_is_where_it_should_be_and_its_proof_is_looked_for() {
        let name = Name::parse("cloudflare-verify.example.com").ok();
        let told = |seen: &[Sight], status| {
            let mut facts = facts(&["ns.old.net"], false, 0);
            let here = facts.here.as_mut().unwrap();
            here.proof = Some((PartialProof { name: name.clone(), text: "the proof".into() }, seen.to_vec()));
            (here.status, facts.resolvers) = (status, Vec::new());
            let mut told = report(&facts);
            told.findings.swap_remove(0)
        };
        let shown = told(&[Sight::Ours, Sight::Ours], ZoneStatus::Active);
        assert!(shown.level == Level::Fine && shown.text.contains("ns.old.net"), "{shown:?}");
        let half = told(&[Sight::Ours, Sight::Nobody], ZoneStatus::Active);
        assert!(half.level == Level::Problem && half.text.contains("1 of 2"), "{half:?}");
        assert!(half.remedy.unwrap().ends_with("cloudflare-verify.example.com: the proof"));
        assert_eq!(told(&[], ZoneStatus::Pending).level, Level::Warning);
    }

    #[test]
    fn what_a_resolver_still_remembers_is_said() {
        let mut old = facts(&["ns1.node.net", "ns2.node.net"], false, 0);
        old.resolvers[0].1 = Ok(names(&["ns.old.net"]));
        let told = report(&old);
        assert!(told.findings.iter().any(|finding| finding.text.contains("still knows ns.old.net")), "{told:?}");
    }
}
