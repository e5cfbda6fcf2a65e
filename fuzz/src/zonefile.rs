//! Checks of `poterne-control-zonefile`.

use poterne_control_zonefile::{Soa, export, import};
use poterne_model::{Name, entry::Entry, entry::Place, proxy::Edge, rdata::Hosts};

/// A zone file: what is read and written again stands for the same records.
pub fn zonefile(data: &[u8]) {
    let apex = Name::parse("example.com").expect("a name");
    let edge = Edge { addresses: &[], allows: &|_| false };
    let place = Place { apex: &apex, tunnel_domain: None, edge, to_ascii: Hosts::default().to_ascii };
    for proxied in [false, true] {
        let Ok(read) = import(data, &place, proxied) else { return };
        let entries: Vec<Entry> = read.entries.into_iter().map(|(_, entry)| entry).collect();
        let file = written(&apex, &entries);
        let again = import(file.as_bytes(), &place, false).unwrap_or_else(|errors| panic!("{errors:?} in {file}"));
        assert_eq!(again.parsed, entries.len());
        let again: Vec<Entry> = again.entries.into_iter().map(|(_, entry)| entry).collect();
        assert_eq!(written(&apex, &again), file);
    }
}

fn written(apex: &Name, entries: &[Entry]) -> String {
    let soa = Soa {
        mname: apex.clone(),
        rname: apex.clone(),
        serial: 1,
        refresh_secs: 2,
        retry_secs: 3,
        expire_secs: 4,
        minimum_secs: 5,
        ttl_secs: 6,
    };
    export(apex, "now", &soa, (&[], 0), entries)
}
