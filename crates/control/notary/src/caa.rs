//! Whether a CAA record above a zone forbids what is about to be ordered (RFC 8659 §3).
//!
//! Within the zone this node answers, and lets its authorities issue wherever a user's records say who may. Above it others answer, and for a
//! partial zone throughout: the closest ancestor that has any CAA records has the word. What cannot be looked up is the authority's to find
//! out.

use std::time::Duration;

use poterne_acme::{
    Culprit, Method, Trouble,
    caa::{Issuing, Property, permits},
};
use poterne_control_app::DuePack;
use poterne_dns_resolver::Resolver;
use poterne_model::{Name, Rdata, Rtype, name::ancestors};

/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the names above the zone.
pub(crate) async fn allow_above(
    resolver: &Resolver,
    due: &DuePack,
    issuers: &[String],
    account: &str,
    methods: &[Method],
) -> Result<(), Trouble> {
    let above = ancestors(due.zone.apex.as_str()).nth(1);
    let asked = async || {
        let mut asked = Vec::new();
        for host in &due.pack.hosts {
            // A wildcard is its parent's to allow.
            let first = if due.zone.partial { Some(host.as_str().trim_start_matches("*.")) } else { above };
            asked.push((
                host,
                match first {
                    Some(first) => closest(resolver, first).await,
                    None => None,
                },
            ));
        }
        asked
    };
    let Ok(asked) = tokio::time::timeout(TIMEOUT, asked()).await else { return Ok(()) };
    for (host, found) in asked {
        let Some((at, records)) = found else { continue };
        let (is_wildcard, method) = (host.is_wildcard(), Method::planned(methods, host.is_wildcard()));
        let issuing = Issuing { issuers, account: Some(account), method, is_wildcard };
        permits(&records, issuing).map_err(|why| Trouble::new(Culprit::Caa, format!("{host}: {at} says no: {why}")))?;
    }
    Ok(())
}

/// The closest name from this one upwards that has CAA records, and they.
async fn closest(resolver: &Resolver, first: &str) -> Option<(Name, Vec<Property>)> {
    for ancestor in ancestors(first) {
        let name = Name::parse(ancestor).ok()?;
        let Ok(found) = resolver.lookup(&name, Rtype::Caa).await else { continue };
        let records: Vec<Property> = found
            .records
            .iter()
            .filter_map(|record| match record.held() {
                Some(Rdata::Caa(caa)) => Some(Property { flags: caa.flags, tag: caa.tag.clone(), value: caa.value.clone() }),
                _ => None,
            })
            .collect();
        if !records.is_empty() {
            return Some((name, records));
        }
    }
    None
}
