//! What of a record set is signed, in one buffer: its owner, and each record's data with its length before it, as octets that the wire
//! would not compress.

use std::net::IpAddr;

use poterne_dns_wire::{RecordSet, RecordSets};
use poterne_snapshot::NodeChunk;
use smallvec::SmallVec;

use crate::{
    plan::{Data, Item},
    write::{MINIMAL, edge_addresses, labels, service, soa},
};

pub(super) struct Canonical {
    octets: SmallVec<[u8; 512]>,
    /// Where the records begin.
    start: usize,
}

/// What stands apart from a plan's items.
pub(super) struct Apart<'a> {
    pub(super) nsec: &'a [u8],
    pub(super) elsewhere: Option<&'a RecordSets>,
}

impl Canonical {
    /// Of an item of a plan. Records are in the order they are kept in: where that changes, so does a digest, and nothing else.
    pub(super) fn of(item: &Item<'_>, owner: &[u8], node: &NodeChunk, turn: u32, apart: &Apart<'_>) -> Self {
        let mut canonical = Self { octets: SmallVec::from_slice(owner), start: owner.len() };
        match item.data {
            Data::Set(set) | Data::OfKeys(set) => canonical.set(&set),
            Data::Edge => edge_addresses(node, item.rtype, turn).for_each(|address| match address {
                IpAddr::V4(address) => canonical.record(&address.octets()),
                IpAddr::V6(address) => canonical.record(&address.octets()),
            }),
            Data::Elsewhere => apart.elsewhere.and_then(|sets| sets.get(item.rtype)).iter().for_each(|set| canonical.set(set)),
            Data::Service(told) => canonical.made(|put| service(node, told, put)),
            Data::Soa(apex, dns) => canonical.made(|put| {
                let (mname, rname, numbers) = soa(apex, dns, &node.nameservers);
                put(&mname);
                put(&rname);
                numbers.iter().for_each(|number| put(&number.to_be_bytes()));
            }),
            Data::Texts(texts) => texts.data().for_each(|data| canonical.record(data)),
            Data::NameServers(given, own) => {
                given.iter().for_each(|name| canonical.record(&labels(name)));
                own.iter().for_each(|own| canonical.set(own));
            }
            Data::Minimal => canonical.record(MINIMAL),
            Data::Nsec => canonical.record(apart.nsec),
            Data::Raw(data) => canonical.record(data),
            Data::Signature(_) => {}
        }
        canonical
    }

    /// Everything.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The data of each record.
    pub(super) fn records(&self) -> SmallVec<[&[u8]; 8]> {
        let mut rest = &self.octets[self.start..];
        let next = || {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (data, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = after;
            Some(data)
        };
        std::iter::from_fn(next).collect()
    }

    fn set(&mut self, set: &RecordSet<'_>) {
        set.records().for_each(|data| self.record(data));
    }

    fn record(&mut self, data: &[u8]) {
        self.octets.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.octets.extend_from_slice(data);
    }

    /// A record that is made piece by piece.
    fn made(&mut self, make: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        let at = self.octets.len();
        self.octets.extend_from_slice(&[0, 0]);
        make(&mut |piece| self.octets.extend_from_slice(piece));
        let length = u16::try_from(self.octets.len() - at - 2).unwrap_or(u16::MAX);
        self.octets[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
}
