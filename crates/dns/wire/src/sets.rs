//! The records at one name, in one buffer.
//!
//! ```text
//! set     type u16 · flags u8 · TTL u32 · octets of its records u32 · record…      numbers big-endian
//! record  length u16 · data                                                       as `rdata` makes it
//! ```
//!
//! One allocation for a name however many records it has, none for a name that has none to show; 11 octets a set and 2 a record
//! beside the data. Sets stand in the order of their types, each type once. Whatever comes out of a file or from a feed is checked
//! when it is read, so that walking it later cannot fail.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{name, rtype};

/// Most octets of one name's sets. A response holds 64 KiB, so what is beyond could not be answered; several sets may be that large.
pub const SETS_OCTETS_MAX: usize = 1024 * 1024;

/// Longest data of a record.
pub const RDATA_OCTETS_MAX: usize = 65_535;

const SET_HEAD: usize = 11;
const FLATTENED: u8 = 1;

/// All records at a name that resolvers may see; cloning shares them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RecordSets(Option<Arc<[u8]>>);

/// The same, standing in somebody else's buffer; what is taken from it lasts as long as the buffer does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets<'a>(&'a [u8]);

/// One record, on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its type.
    pub rtype: u16,
    /// Seconds. Records of a set share the least of theirs (RFC 2181 §5.2).
    pub ttl_secs: u32,
    /// Of a CNAME: whether resolvers see the addresses it leads to instead.
    pub flattened: bool,
    /// Its data, as [`crate::rdata()`] makes it.
    pub data: Vec<u8>,
}

/// The records of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSet<'a> {
    /// The type.
    pub rtype: u16,
    /// Seconds.
    pub ttl_secs: u32,
    /// Of a CNAME: whether resolvers see the addresses it leads to instead.
    pub flattened: bool,
    records: &'a [u8],
}

impl RecordSets {
    /// Of these records. The same data twice is one record. A set that would make all longer than [`SETS_OCTETS_MAX`], or that has data
    /// longer than a record can be, is left out, and its type told.
    pub fn of(mut records: Vec<Record>) -> (Self, Vec<u16>) {
        // By type, and within a type as they came: who writes records decides their order.
        records.sort_by_key(|record| record.rtype);
        let (mut octets, mut left_out) = (Vec::new(), Vec::new());
        for set in records.chunk_by(|one, other| one.rtype == other.rtype) {
            let ttl_secs = set.iter().map(|record| record.ttl_secs).min().unwrap_or_default();
            let flattened = set.iter().any(|record| record.flattened);
            let mut body = Vec::new();
            let mut fits = true;
            for (at, record) in set.iter().enumerate() {
                if set[..at].iter().any(|other| other.data == record.data) {
                    continue;
                }
                match u16::try_from(record.data.len()) {
                    Ok(length) => body.extend_from_slice(&length.to_be_bytes()),
                    Err(_) => fits = false,
                }
                body.extend_from_slice(&record.data);
            }
            let length = u32::try_from(body.len()).ok().filter(|_| octets.len() + SET_HEAD + body.len() <= SETS_OCTETS_MAX);
            let Some(length) = length.filter(|_| fits) else {
                left_out.push(set[0].rtype);
                continue;
            };
            octets.extend_from_slice(&set[0].rtype.to_be_bytes());
            octets.push(if flattened { FLATTENED } else { 0 });
            octets.extend_from_slice(&ttl_secs.to_be_bytes());
            octets.extend_from_slice(&length.to_be_bytes());
            octets.extend_from_slice(&body);
        }
        (Self((!octets.is_empty()).then(|| octets.into())), left_out)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Every set, in the order of types.
    pub fn iter(&self) -> impl Iterator<Item = RecordSet<'_>> {
        self.view().iter()
    }

    /// The set of a type.
    pub fn get(&self, rtype: u16) -> Option<RecordSet<'_>> {
        self.view().get(rtype)
    }

    /// Without a claim to the buffer.
    pub fn view(&self) -> Sets<'_> {
        Sets(self.octets())
    }

    /// How many octets they take.
    pub fn octets_len(&self) -> usize {
        self.octets().len()
    }

    fn octets(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Of octets that came from elsewhere.
    fn read(octets: &[u8]) -> Result<Self, &'static str> {
        if octets.len() > SETS_OCTETS_MAX {
            return Err("a name's record sets are too long");
        }
        let (mut rest, mut last) = (octets, None);
        while !rest.is_empty() {
            let (set, after) = split(rest).ok_or("a record set ends early")?;
            if last.is_some_and(|last| last >= set.rtype) {
                return Err("record sets stand out of order");
            }
            if set.records.is_empty() {
                return Err("a record set has no record");
            }
            let mut records = set.records;
            while !records.is_empty() {
                let (data, after) = split_record(records).ok_or("a record ends early")?;
                if !is_whole(set.rtype, data) {
                    return Err("a record's data is not of its type");
                }
                records = after;
            }
            (rest, last) = (after, Some(set.rtype));
        }
        Ok(Self((!octets.is_empty()).then(|| octets.into())))
    }
}

impl<'a> Sets<'a> {
    /// Of octets that [`Sets::octets`] gave, wherever they were kept since. Others are no danger: sets end where they make no sense.
    pub fn kept(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// As they are kept.
    pub fn octets(&self) -> &'a [u8] {
        self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every set, in the order of types.
    pub fn iter(&self) -> impl Iterator<Item = RecordSet<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (set, after) = split(rest)?;
            rest = after;
            Some(set)
        })
    }

    /// The set of a type.
    pub fn get(&self, rtype: u16) -> Option<RecordSet<'a>> {
        self.iter().find(|set| set.rtype == rtype)
    }

    /// In a buffer of their own.
    pub fn to_owned(&self) -> RecordSets {
        RecordSets((!self.0.is_empty()).then(|| self.0.into()))
    }
}

impl<'a> RecordSet<'a> {
    /// The data of each record.
    pub fn records(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.records;
        std::iter::from_fn(move || {
            let (data, after) = split_record(rest)?;
            rest = after;
            Some(data)
        })
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.records().count()
    }
}

fn split(octets: &[u8]) -> Option<(RecordSet<'_>, &[u8])> {
    let (head, rest) = octets.split_first_chunk::<SET_HEAD>()?;
    let [t0, t1, flags, ttl0, ttl1, ttl2, ttl3, l0, l1, l2, l3] = *head;
    let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?;
    let (records, rest) = rest.split_at_checked(length)?;
    let rtype = u16::from_be_bytes([t0, t1]);
    let ttl_secs = u32::from_be_bytes([ttl0, ttl1, ttl2, ttl3]);
    Some((RecordSet { rtype, ttl_secs, flattened: flags & FLATTENED != 0, records }, rest))
}

fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = records.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Whether data is what the name server takes it for, of types it looks into.
fn is_whole(rtype: u16, data: &[u8]) -> bool {
    match rtype {
        rtype::A => data.len() == 4,
        rtype::AAAA => data.len() == 16,
        rtype::NS | rtype::CNAME | rtype::PTR => name::length(data) == Some(data.len()),
        rtype::MX => data.len() > 2 && name::length(&data[2..]) == Some(data.len() - 2),
        _ => true,
    }
}

impl fmt::Debug for RecordSets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for Sets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set =
            |set: RecordSet<'_>| (set.rtype, set.ttl_secs, set.flattened, set.records().map(<[u8]>::to_vec).collect::<Vec<_>>());
        f.debug_list().entries(self.iter().map(set)).finish()
    }
}

impl Serialize for RecordSets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.octets())
    }
}

impl<'de> Deserialize<'de> for RecordSets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Octets;
        impl de::Visitor<'_> for Octets {
            type Value = RecordSets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("record sets as octets")
            }

            fn visit_bytes<E: de::Error>(self, octets: &[u8]) -> Result<RecordSets, E> {
                RecordSets::read(octets).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Octets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(rtype: u16, ttl_secs: u32, data: &[u8]) -> Record {
        Record { rtype, ttl_secs, flattened: false, data: data.to_vec() }
    }

    #[test]
    fn records_of_a_type_stand_together_under_the_least_ttl() {
        let records = vec![
            record(rtype::TXT, 300, b"\x01x"),
            record(rtype::A, 300, &[192, 0, 2, 2]),
            record(rtype::A, 60, &[192, 0, 2, 1]),
            record(rtype::A, 60, &[192, 0, 2, 2]),
        ];
        let (sets, left_out) = RecordSets::of(records);
        assert!(left_out.is_empty());
        assert_eq!(sets.iter().map(|set| set.rtype).collect::<Vec<_>>(), [rtype::A, rtype::TXT]);
        let set = sets.get(rtype::A).unwrap();
        assert_eq!((set.ttl_secs, set.count()), (60, 2));
        assert_eq!(set.records().collect::<Vec<_>>(), [&[192, 0, 2, 2][..], &[192, 0, 2, 1]]);
        assert_eq!(sets.get(rtype::AAAA), None);
        assert_eq!(sets.octets_len(), 11 + 2 * 6 + 11 + 4);
    }

    #[test]
    fn a_set_that_no_response_could_hold_is_left_out_and_told() {
        let large: Vec<Record> = (0..17u8).map(|number| record(999, 1, &[number; 65_000])).collect();
        let small = record(rtype::A, 1, &[192, 0, 2, 1]);
        let (sets, left_out) = RecordSets::of(large.into_iter().chain([small, record(998, 1, &[0; 65_536])]).collect());
        assert_eq!(left_out, [998, 999]);
        assert_eq!(sets.iter().count(), 1);
    }

    #[test]
    fn what_came_from_elsewhere_is_checked() {
        let read = |octets: &[u8]| postcard::from_bytes::<RecordSets>(&postcard::to_allocvec(octets).unwrap());
        let (good, _) = RecordSets::of(vec![record(rtype::A, 1, &[192, 0, 2, 1]), record(rtype::NS, 1, b"\x02ns\0")]);
        assert_eq!(read(good.octets()).unwrap(), good);
        assert_eq!(read(b"").unwrap(), RecordSets::default());
        let octets = good.octets().to_vec();
        for at in 1..octets.len() {
            if at != 17 {
                assert!(read(&octets[..at]).is_err(), "cut at {at}");
            }
        }
        let (short, _) = RecordSets::of(vec![record(rtype::A, 1, &[192, 0, 2])]);
        let (nameless, _) = RecordSets::of(vec![record(rtype::MX, 1, b"\0\x01\x03mx")]);
        for wrong in [short, nameless] {
            assert!(read(wrong.octets()).is_err(), "{wrong:?}");
        }
        let twice = [&octets[..17], &octets[..17]].concat();
        assert!(read(&twice).is_err());
    }

    proptest! {
        /// Any records: what goes in comes out, by type, and survives the journey.
        #[test]
        fn what_goes_in_comes_out(records in prop::collection::vec((1u16..9, 0u32..5, prop::collection::vec(any::<u8>(), 0..4)), 0..20)) {
            let records: Vec<Record> = records.into_iter()
                .map(|(number, ttl, data)| record(number + 1000, ttl, &data)).collect();
            let (sets, left_out) = RecordSets::of(records.clone());
            prop_assert!(left_out.is_empty());
            for number in 1001..1010 {
                let mut expected: Vec<&[u8]> = Vec::new();
                for record in records.iter().filter(|record| record.rtype == number) {
                    if !expected.contains(&&*record.data) {
                        expected.push(&record.data);
                    }
                }
                let found: Vec<&[u8]> = sets.get(number).map(|set| set.records().collect()).unwrap_or_default();
                prop_assert_eq!(found, expected);
            }
            let bytes = postcard::to_allocvec(&sets).unwrap();
            prop_assert_eq!(postcard::from_bytes::<RecordSets>(&bytes).unwrap(), sets);
        }

        /// Any octets are refused or walked.
        #[test]
        fn any_octets_are_refused_or_walked(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(sets) = RecordSets::read(&octets) {
                prop_assert!(sets.iter().all(|set| set.count() > 0));
            }
        }
    }
}
