//! What another reader makes of our exports: the `domain` crate's.

use domain::{base::name::Name as WireName, zonefile::inplace};
use poterne_control_zonefile::{Soa, export, import};
use poterne_model::{
    Name,
    entry::{Entry, Place},
    proxy::Edge,
    rdata::Hosts,
};

/// Of the types that reader knows; LOC and URI are none of them.
const FILE: &str = r#"
@ A 192.0.2.1 ; cf_tags=cf-proxied:true,owner:a%20b ; a note; and "more (
  AAAA 2001:db8::1
  MX 10 mx
  CAA 128 issue "ca.example; account=1"
  TXT v=spf1 "include:example.net \"x\" \; -all" caf\195\169
  HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1 ech="AQID"
  OPENPGPKEY AQIDBA==
*.www 300 CNAME @
_sip._tcp SRV 1 2 5060 sip.example.net.
_25._tcp TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
ssh SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
sub NS ns.sub
sub DS 42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
key DNSKEY 257 3 15 AQIDBA==
nap NAPTR 1 2 "U" "E2U+sip" "!^.*$!sip:x@example.com!" .
ptr PTR host.example.net.
old TYPE731 \# 3 abcdef
"#;

#[test]
fn another_reader_finds_the_same_records() {
    let apex = Name::parse("example.com").unwrap();
    let edge = Edge { addresses: &[], allows: &|_| false };
    let place = Place { apex: &apex, tunnel_domain: None, edge, to_ascii: Hosts::default().to_ascii };
    let ours: Vec<Entry> = import(FILE.as_bytes(), &place, false).unwrap().entries.into_iter().map(|(_, entry)| entry).collect();
    let soa = Soa {
        mname: Name::parse("ns1.example.net").unwrap(),
        rname: Name::parse("dns.example.net").unwrap(),
        serial: 1,
        refresh_secs: 2,
        retry_secs: 3,
        expire_secs: 4,
        minimum_secs: 5,
        ttl_secs: 6,
    };
    let file = export(&apex, "now", &soa, (&[Name::parse("ns1.example.net").unwrap()], 86_400), &ours);

    let mut reader = inplace::Zonefile::from(file.as_str());
    reader.set_origin(WireName::root());
    let mut shown = "$ORIGIN .\n".to_owned();
    while let Some(entry) = reader.next_entry().unwrap_or_else(|error| panic!("{error}:\n{file}")) {
        let inplace::Entry::Record(record) = entry else { panic!("only records were written") };
        // That reader shows the root as "..".
        let data = record.data().to_string().replace(" ..", " .");
        shown.push_str(&format!("{}. {} IN {} {data}\n", record.owner(), record.ttl().as_secs(), record.rtype()));
    }
    let theirs = import(shown.as_bytes(), &place, false).unwrap_or_else(|errors| panic!("{errors:?}:\n{shown}"));
    let theirs: Vec<Entry> = theirs.entries.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(theirs.len(), ours.len());
    for entry in &ours {
        let same = |other: &&Entry| other.name == entry.name && other.rdata.same(&entry.rdata);
        let found = theirs.iter().find(same).unwrap_or_else(|| panic!("{entry:?} is not in\n{shown}"));
        assert_eq!(found.ttl_secs, entry.ttl_secs);
    }
}
