//! Which records give away the address that the edge hides: pure.
//!
//! Whoever wants to go round the edge reads the zone: mail hosts, SPF, hosts that are not proxied, services. An address that is also a
//! proxied record's is the origin's, whatever name it stands under.

use std::{collections::BTreeMap, net::IpAddr};

use poterne_model::{Entry, Name, Network, Rdata, rdata::Host};

use super::{Finding, Level, Topic};

/// What is to be said of a zone's records.
pub fn leaks(apex: &Name, records: &[Entry]) -> Vec<Finding> {
    let mut origins: BTreeMap<IpAddr, &Name> = BTreeMap::new();
    for entry in records.iter().filter(|entry| entry.proxied) {
        if let Some(address) = address(&entry.rdata) {
            origins.entry(address).or_insert(&entry.name);
        }
    }
    let mut findings = Vec::new();
    if origins.is_empty() {
        return findings;
    }
    let shows = |name: &Name| {
        let own = records.iter().filter(|entry| entry.name == *name && !entry.proxied);
        own.filter_map(|entry| address(&entry.rdata)).find(|address| origins.contains_key(address))
    };
    let is_proxied = |name: &Name| records.iter().any(|entry| entry.name == *name && entry.proxied);
    let mut leak = |text: String, remedy: &str| findings.push(Finding::new(Level::Problem, Topic::Origin, text).remedy(remedy));
    for entry in records.iter().filter(|entry| !entry.proxied) {
        let name = &entry.name;
        match &entry.rdata {
            Rdata::A(_) | Rdata::Aaaa(_) => {
                if let Some((address, origin)) = address(&entry.rdata).and_then(|address| Some((address, origins.get(&address)?)))
                {
                    leak(
                        format!("{name} shows {address}, the origin of {origin}"),
                        "proxy it too, or move what it is for to another address",
                    );
                }
            }
            Rdata::Mx(mx) => of_host(&mx.host, &mut |host| {
                if let Some(address) = shows(host) {
                    leak(
                        format!("the mail of {name} goes to {host}, which shows {address}"),
                        "receive mail on another machine: a mail host cannot be proxied, and everybody looks there first",
                    );
                }
            }),
            Rdata::Srv(srv) => of_host(&srv.target, &mut |host| {
                if let Some(address) = shows(host) {
                    leak(
                        format!("the service {name} is at {host}, which shows {address}"),
                        "move the service to another address",
                    );
                }
            }),
            Rdata::Txt(txt) => {
                for shown in of_spf(apex, name, &String::from_utf8_lossy(txt.value()), &origins, &shows) {
                    leak(shown, "send mail by another machine, and name that one");
                }
            }
            _ => {}
        }
    }
    // What does not leak, and does not work either.
    let to_edge = records.iter().filter_map(|entry| match &entry.rdata {
        Rdata::Mx(mx) => Some((entry, &mx.host)),
        Rdata::Srv(srv) => Some((entry, &srv.target)),
        _ => None,
    });
    for (entry, host) in to_edge {
        if let Host::Name(host) = host
            && is_proxied(host)
        {
            let text =
                format!("{} {} leads to {host}, which is proxied: the edge speaks HTTP alone", entry.rdata.rtype(), entry.name);
            findings.push(
                Finding::new(Level::Problem, Topic::Origin, text)
                    .remedy("make a host of its own for it that is not proxied, at another address than the origin's"),
            );
        }
    }
    if findings.is_empty() {
        let count = origins.len();
        let text = format!("no record shows {}", if count == 1 { "the origin's address" } else { "the origins' addresses" });
        findings.push(Finding::new(Level::Fine, Topic::Origin, text));
    }
    findings.push(
        Finding::new(
            Level::Warning,
            Topic::Origin,
            "what names showed before they were proxied is written down elsewhere for good: an origin that was public stays known".into(),
        )
        .remedy("change the origin's address once everything is behind the edge, or let it accept the edge alone; a tunnel needs neither"),
    );
    findings
}

fn address(rdata: &Rdata) -> Option<IpAddr> {
    match rdata {
        Rdata::A(address) => Some((*address).into()),
        Rdata::Aaaa(address) => Some((*address).into()),
        _ => None,
    }
}

fn of_host(host: &Host, then: &mut dyn FnMut(&Name)) {
    if let Host::Name(host) = host {
        then(host);
    }
}

/// Which mechanisms of an SPF record (RFC 7208 §5) show an origin.
fn of_spf(
    apex: &Name,
    owner: &Name,
    text: &str,
    origins: &BTreeMap<IpAddr, &Name>,
    shows: &dyn Fn(&Name) -> Option<IpAddr>,
) -> Vec<String> {
    let mut words = text.split_ascii_whitespace();
    if !words.next().is_some_and(|version| version.eq_ignore_ascii_case("v=spf1")) {
        return Vec::new();
    }
    let mut shown = Vec::new();
    for word in words {
        let mechanism = word.trim_start_matches(['+', '-', '~', '?']);
        let (kind, value) = mechanism.split_once(':').unwrap_or((mechanism.split('/').next().unwrap_or_default(), ""));
        match kind.to_ascii_lowercase().as_str() {
            "ip4" | "ip6" => {
                let Ok(network) = value.parse::<Network>() else { continue };
                for (address, origin) in origins.iter().filter(|(address, _)| network.contains(**address)) {
                    shown.push(format!("the SPF record of {owner} names {value}, and {address} is the origin of {origin}"));
                }
            }
            "a" => {
                let host = value.split('/').next().unwrap_or_default();
                let host = if host.is_empty() { Ok(owner.clone()) } else { Name::parse(host) };
                if let Ok(host) = host
                    && host.is_within(apex)
                    && let Some(address) = shows(&host)
                {
                    shown.push(format!("the SPF record of {owner} points at {host}, which shows {address}"));
                }
            }
            // What MX records show is said of them.
            _ => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use poterne_model::{
        Rtype,
        entry::{Settings, TTL_AUTOMATIC},
        rdata::Hosts,
    };

    use super::*;

    fn entry(name: &str, rtype: Rtype, content: &str, proxied: bool) -> Entry {
        Entry {
            name: Name::parse(name).unwrap(),
            rdata: Rdata::parse(rtype, content, None, Hosts::default()).unwrap(),
            ttl_secs: TTL_AUTOMATIC,
            proxied,
            settings: Settings::default(),
            comment: None,
            tags: Vec::new(),
        }
    }

    fn said(records: &[Entry]) -> Vec<String> {
        let findings = leaks(&Name::parse("example.com").unwrap(), records);
        findings.into_iter().filter(|finding| finding.level == Level::Problem).map(|finding| finding.text).collect()
    }

    #[test]
    fn whatever_shows_the_origin_is_found() {
        let records = [
            entry("example.com", Rtype::A, "9.9.9.9", true),
            entry("www.example.com", Rtype::Aaaa, "2620:fe::9", true),
            entry("ftp.example.com", Rtype::A, "9.9.9.9", false),
            entry("mail.example.com", Rtype::Aaaa, "2620:fe::9", false),
            entry("example.com", Rtype::Mx, "10 mail.example.com.", false),
            entry("_sip._tcp.example.com", Rtype::Srv, "1 1 5060 ftp.example.com.", false),
            entry("example.com", Rtype::Txt, "\"v=spf1 ip4:9.9.9.0/24 ip6:2620:fe::9 a:ftp.example.com mx -all\"", false),
            entry("other.example.com", Rtype::A, "9.9.9.8", false),
        ];
        let expected = [
            "ftp.example.com shows 9.9.9.9, the origin of example.com",
            "mail.example.com shows 2620:fe::9, the origin of www.example.com",
            "the mail of example.com goes to mail.example.com, which shows 2620:fe::9",
            "the service _sip._tcp.example.com is at ftp.example.com, which shows 9.9.9.9",
            "the SPF record of example.com names 9.9.9.0/24, and 9.9.9.9 is the origin of example.com",
            "the SPF record of example.com names 2620:fe::9, and 2620:fe::9 is the origin of www.example.com",
            "the SPF record of example.com points at ftp.example.com, which shows 9.9.9.9",
        ];
        assert_eq!(said(&records), expected);
    }

    #[test]
    fn what_shows_nothing_is_left_alone() {
        let records = [
            entry("example.com", Rtype::A, "9.9.9.9", true),
            entry("mail.example.com", Rtype::A, "9.9.9.8", false),
            entry("example.com", Rtype::Mx, "10 mail.example.com.", false),
            entry("example.com", Rtype::Txt, "\"v=spf1 a ip4:9.9.9.8 include:spf.example.net -all\"", false),
            entry("text.example.com", Rtype::Txt, "\"9.9.9.9\"", false),
        ];
        assert!(said(&records).is_empty(), "{:?}", said(&records));
        assert!(leaks(&Name::parse("example.com").unwrap(), &records[1..]).is_empty(), "nothing is hidden, and nothing shown");
    }

    #[test]
    fn mail_that_goes_to_the_edge_does_not_arrive() {
        let records =
            [entry("example.com", Rtype::A, "9.9.9.9", true), entry("example.com", Rtype::Mx, "10 example.com.", false)];
        assert_eq!(said(&records), ["MX example.com leads to example.com, which is proxied: the edge speaks HTTP alone"]);
    }
}
