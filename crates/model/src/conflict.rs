//! Which records may stand together at one name.
//!
//! What the API refuses with 81053 to 81058 (api-v4 §4.2, edge-behaviour §1.4).

use std::collections::HashSet;

use crate::{
    Name,
    entry::Entry,
    rdata::{Host, Rdata, Rtype, Txt},
};

/// Most records at one name. A DNS answer holds 64 KiB, so that more of one type could hardly be answered; and each new record is
/// compared with all of them.
pub const NAME_RECORDS_MAX: usize = 1000;

/// What of a zone the rules depend on.
#[derive(Debug, Clone, Copy)]
pub struct Zone<'a> {
    /// Its apex.
    pub apex: &'a Name,
    /// Whether it answers all CNAMEs with the addresses they lead to.
    pub flattens_all: bool,
}

/// Why a record cannot be added at its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A CNAME where something stands that it excludes.
    #[error(
        "an A, AAAA, or CNAME record for {name} exists already: a CNAME stands alone; delete that record first, or change it"
    )]
    CnameBesideAddress {
        /// The name.
        name: Name,
    },
    /// A CNAME that resolvers would see, where another type stands.
    #[error(
        "a {rtype} record for {name} exists already: only a proxied or flattened CNAME can stand beside it; set proxied or settings.flatten_cname"
    )]
    CnameBesideOther {
        /// The name.
        name: Name,
        /// What stands there.
        rtype: Rtype,
    },
    /// Something that a CNAME excludes.
    #[error("a CNAME record for {name} exists already: delete it first, or change it")]
    BesideCname {
        /// The name.
        name: Name,
    },
    /// NS records and others at a name below the apex.
    #[error(
        "{name} is delegated by its NS records: only DS records can stand beside them; delete the others, or use a name of another zone"
    )]
    Delegated {
        /// The name.
        name: Name,
    },
    /// The same record, in other letters.
    #[error("the {rtype} record of {name} with this data exists already, written otherwise: change that one")]
    Exists {
        /// The name.
        name: Name,
        /// The type.
        rtype: Rtype,
    },
    /// The same record.
    #[error("an identical {rtype} record of {name} exists already: change that one, or leave it")]
    Identical {
        /// The name.
        name: Name,
        /// The type.
        rtype: Rtype,
    },
    /// A CNAME to its own name.
    #[error("the CNAME record of {name} leads to itself: give another target")]
    ToItself {
        /// The name.
        name: Name,
    },
    /// A DS record for the zone itself.
    #[error("a DS record of {name} belongs to the zone above, at the registrar: here only delegated names below have one")]
    DsAtApex {
        /// The name.
        name: Name,
    },
    /// More records than one name may have.
    #[error(
        "{name} has {NAME_RECORDS_MAX} records, which are the most: delete one that is no longer needed, or use another name"
    )]
    TooMany {
        /// The name.
        name: Name,
    },
    /// More text than one name may have.
    #[error(
        "the TXT records of {name} would have {octets} octets together; {} are the most: delete one that is no longer needed",
        Txt::NAME_OCTETS_MAX
    )]
    TooMuchText {
        /// The name.
        name: Name,
        /// How much there would be.
        octets: usize,
    },
}

impl Conflict {
    /// The v4 API's code.
    pub fn code(&self) -> i64 {
        match self {
            Self::CnameBesideAddress { .. } | Self::CnameBesideOther { .. } => 81053,
            Self::BesideCname { .. } => 81054,
            Self::Delegated { .. } => 81056,
            Self::Exists { .. } => 81057,
            Self::Identical { .. } => 81058,
            Self::ToItself { .. } => 9039,
            Self::DsAtApex { .. } | Self::TooMany { .. } | Self::TooMuchText { .. } => 1004,
        }
    }
}

/// Whether `new` can stand beside `existing`, the other records at its name; without the one it takes the place of.
pub fn check<'a>(existing: impl IntoIterator<Item = &'a Entry>, new: &Entry, zone: &Zone<'_>) -> Result<(), Conflict> {
    let (name, rtype) = (&new.name, new.rdata.rtype());
    match &new.rdata {
        Rdata::Cname(Host::Name(target)) if target == name => return Err(Conflict::ToItself { name: name.clone() }),
        Rdata::Ds(_) if name == zone.apex => return Err(Conflict::DsAtApex { name: name.clone() }),
        _ => {}
    }
    let mut text_octets = text_octets(&new.rdata);
    let (mut first, mut records) = (None, 0);
    for standing in existing {
        debug_assert_eq!(standing.name, *name, "only records of one name are compared");
        if standing.rdata.same(&new.rdata) {
            // A client that repeats itself is told so, whatever else stands there.
            return Err(identical(standing, new));
        }
        first = first.or_else(|| beside(standing, new, zone));
        text_octets += self::text_octets(&standing.rdata);
        records += 1;
    }
    match first {
        Some(conflict) => Err(conflict),
        None if records >= NAME_RECORDS_MAX => Err(Conflict::TooMany { name: name.clone() }),
        None if rtype == Rtype::Txt && text_octets > Txt::NAME_OCTETS_MAX => {
            Err(Conflict::TooMuchText { name: name.clone(), octets: text_octets })
        }
        None => Ok(()),
    }
}

/// The records at one name, to which many come at once. It says of each what [`check`] says of those that stand there in the order of type
/// and content, and compares it with the others only where one of them could exclude it: a thousand addresses cost a thousand look-ups, and
/// not half a million comparisons.
#[derive(Debug, Default)]
pub struct Standing {
    entries: Vec<Entry>,
    data: HashSet<(Rtype, String)>,
    text_octets: usize,
    /// Whether any is of a type that excludes others.
    excludes: bool,
}

impl Standing {
    /// These records, which stand together already.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut standing = Self::default();
        entries.into_iter().for_each(|entry| standing.put(entry));
        standing
    }

    /// Whether the same record is there, in these or other letters: [`check`] would say so by [`Conflict::Exists`] or
    /// [`Conflict::Identical`].
    pub fn has(&self, rdata: &Rdata) -> bool {
        // Nothing is there most often, and then nothing is made to look up.
        !self.entries.is_empty() && self.data.contains(&key(rdata))
    }

    /// Adds a record, if it can stand there.
    pub fn add(&mut self, new: Entry, zone: &Zone<'_>) -> Result<(), Conflict> {
        let compared = self.excludes
            || is_exclusive(&new.rdata)
            || self.entries.len() >= NAME_RECORDS_MAX
            || self.text_octets + text_octets(&new.rdata) > Txt::NAME_OCTETS_MAX
            || self.has(&new.rdata);
        if compared && check(&self.entries, &new, zone).is_err() {
            // Which of several records is named does not depend on which came first, but on their order in the store.
            self.entries.sort_by_cached_key(|entry| (entry.rdata.rtype().to_string(), entry.rdata.content()));
            check(&self.entries, &new, zone)?;
        }
        self.put(new);
        Ok(())
    }

    fn put(&mut self, entry: Entry) {
        self.excludes |= is_exclusive(&entry.rdata);
        self.text_octets += text_octets(&entry.rdata);
        self.data.insert(key(&entry.rdata));
        self.entries.push(entry);
    }
}

fn key(rdata: &Rdata) -> (Rtype, String) {
    (rdata.rtype(), rdata.canonical())
}

/// Whether a record of this data may exclude another, or be refused for what it says itself.
fn is_exclusive(rdata: &Rdata) -> bool {
    matches!(rdata, Rdata::Cname(_) | Rdata::Ns(_) | Rdata::Ds(_))
}

fn identical(standing: &Entry, new: &Entry) -> Conflict {
    let (name, rtype) = (new.name.clone(), new.rdata.rtype());
    // Quotes do not make another text (api-v4 §17).
    let spelled = rtype == Rtype::Txt || standing.rdata.content() == new.rdata.content();
    if spelled { Conflict::Identical { name, rtype } } else { Conflict::Exists { name, rtype } }
}

/// Two different records of one name.
fn beside(standing: &Entry, new: &Entry, zone: &Zone<'_>) -> Option<Conflict> {
    let name = new.name.clone();
    let (there, here) = (standing.rdata.rtype(), new.rdata.rtype());
    match (there, here) {
        (_, Rtype::Cname) if there.is_web() => Some(Conflict::CnameBesideAddress { name }),
        (Rtype::Cname, _) if here.is_web() => Some(Conflict::BesideCname { name }),
        (Rtype::Ns, Rtype::Ns | Rtype::Ds) | (Rtype::Ds, Rtype::Ns) => None,
        (Rtype::Ns, _) | (_, Rtype::Ns) if new.name != *zone.apex => Some(Conflict::Delegated { name }),
        (_, Rtype::Cname) if !is_flattened(new, zone) => Some(Conflict::CnameBesideOther { name, rtype: there }),
        (Rtype::Cname, _) if !is_flattened(standing, zone) => Some(Conflict::BesideCname { name }),
        _ => None,
    }
}

/// Whether resolvers see addresses instead of the CNAME (edge-behaviour §1.6). One that they see excludes all else (RFC 1034 §3.6.2).
pub fn is_flattened(cname: &Entry, zone: &Zone<'_>) -> bool {
    let within = matches!(&cname.rdata, Rdata::Cname(Host::Name(target)) if target.is_within(zone.apex));
    cname.proxied || cname.settings.flatten_cname == Some(true) || zone.flattens_all || cname.name == *zone.apex || within
}

fn text_octets(rdata: &Rdata) -> usize {
    match rdata {
        Rdata::Txt(txt) => txt.value().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{entry::Settings, rdata::Hosts};

    fn entry(name: &str, rtype: Rtype, content: &str) -> Entry {
        let rdata = Rdata::parse(rtype, content, Some(1), Hosts::default()).unwrap();
        let name = Name::parse(name).unwrap();
        Entry { name, rdata, ttl_secs: 1, proxied: false, settings: Settings::default(), comment: None, tags: Vec::new() }
    }

    fn at(name: &str, standing: &[(Rtype, &str)], rtype: Rtype, content: &str) -> Result<(), i64> {
        let standing: Vec<Entry> = standing.iter().map(|(rtype, content)| entry(name, *rtype, content)).collect();
        let apex = Name::parse("example.com").unwrap();
        let zone = Zone { apex: &apex, flattens_all: false };
        check(&standing, &entry(name, rtype, content), &zone).map_err(|conflict| conflict.code())
    }

    fn www(standing: &[(Rtype, &str)], rtype: Rtype, content: &str) -> Result<(), i64> {
        at("www.example.com", standing, rtype, content)
    }

    const A: (Rtype, &str) = (Rtype::A, "192.0.2.1");
    const AAAA: (Rtype, &str) = (Rtype::Aaaa, "2001:db8::1");
    const CNAME: (Rtype, &str) = (Rtype::Cname, "example.net");
    const MX: (Rtype, &str) = (Rtype::Mx, "mx.example.net");
    const NS: (Rtype, &str) = (Rtype::Ns, "ns1.example.net");
    const DS: (Rtype, &str) = (Rtype::Ds, "1 13 9 ab");
    const TXT: (Rtype, &str) = (Rtype::Txt, "abc");

    #[test]
    fn a_cname_excludes_addresses_and_another_cname() {
        for standing in [A, AAAA, (Rtype::Cname, "other.example.net")] {
            assert_eq!(www(&[standing], CNAME.0, CNAME.1), Err(81053));
            // At the apex it is flattened, and excludes them all the same.
            assert_eq!(at("example.com", &[standing], CNAME.0, CNAME.1), Err(81053));
        }
        assert_eq!(www(&[CNAME], A.0, A.1), Err(81054));
        assert_eq!(www(&[CNAME], AAAA.0, AAAA.1), Err(81054));
        assert_eq!(www(&[A, MX, TXT], AAAA.0, AAAA.1), Ok(()));
    }

    #[test]
    fn a_cname_that_resolvers_see_excludes_all_else() {
        assert_eq!(www(&[MX], CNAME.0, CNAME.1), Err(81053));
        assert_eq!(www(&[CNAME], TXT.0, TXT.1), Err(81054));
        assert_eq!(www(&[(Rtype::Cname, "a.example.com")], TXT.0, TXT.1), Ok(()));
        assert_eq!(at("example.com", &[MX, TXT], CNAME.0, CNAME.1), Ok(()));
        let apex = Name::parse("example.com").unwrap();
        let zone = Zone { apex: &apex, flattens_all: false };
        let txt = entry("www.example.com", TXT.0, TXT.1);
        let mut cname = entry("www.example.com", CNAME.0, CNAME.1);
        assert!(check([&txt], &cname, &zone).is_err());
        assert_eq!(check([&txt], &cname, &Zone { flattens_all: true, ..zone }), Ok(()));
        cname.settings.flatten_cname = Some(true);
        assert_eq!(check([&txt], &cname, &zone), Ok(()));
        cname.settings.flatten_cname = None;
        cname.proxied = true;
        assert_eq!(check([&cname], &txt, &zone), Ok(()));
    }

    #[test]
    fn duplicates_are_told_apart_by_spelling() {
        assert_eq!(www(&[TXT], Rtype::Txt, "abc"), Err(81058));
        assert_eq!(www(&[TXT], Rtype::Txt, "\"abc\""), Err(81058));
        assert_eq!(www(&[TXT], Rtype::Txt, "ABC"), Ok(()));
        assert_eq!(www(&[A], A.0, A.1), Err(81058));
        assert_eq!(www(&[CNAME], CNAME.0, "EXAMPLE.net."), Err(81058));
        assert_eq!(www(&[(Rtype::Ds, "1 13 9 ab")], Rtype::Ds, "1 13 9 AB"), Err(81057));
        assert_eq!(www(&[(Rtype::Mx, "1 mx.example.net")], Rtype::Mx, "2 mx.example.net"), Ok(()));
    }

    #[test]
    fn a_delegated_name_has_only_ns_and_ds() {
        assert_eq!(www(&[NS], Rtype::Ns, "ns2.example.net"), Ok(()));
        assert_eq!(www(&[NS], DS.0, DS.1), Ok(()));
        assert_eq!(www(&[DS], NS.0, NS.1), Ok(()));
        assert_eq!(www(&[NS], TXT.0, TXT.1), Err(81056));
        assert_eq!(www(&[TXT], NS.0, NS.1), Err(81056));
        assert_eq!(at("example.com", &[TXT, A], NS.0, NS.1), Ok(()));
        assert_eq!(at("example.com", &[NS], DS.0, DS.1), Err(1004));
    }

    #[test]
    fn a_name_has_a_bound() {
        let addresses: Vec<String> = (0..NAME_RECORDS_MAX).map(|at| format!("2001:db8::{at:x}")).collect();
        let standing: Vec<(Rtype, &str)> = addresses.iter().map(|text| (Rtype::Aaaa, text.as_str())).collect();
        assert_eq!(www(&standing[1..], A.0, A.1), Ok(()));
        assert_eq!(www(&standing, A.0, A.1), Err(1004));
        assert_eq!(www(&standing, Rtype::Aaaa, "2001:db8::"), Err(81058));
    }

    #[test]
    fn a_cname_to_itself_and_too_much_text_are_refused() {
        assert_eq!(www(&[], Rtype::Cname, "www.example.com"), Err(9039));
        let long: Vec<String> = (0..4).map(|at| format!("{at}{}", "x".repeat(2047))).collect();
        let standing: Vec<(Rtype, &str)> = long.iter().map(|text| (Rtype::Txt, text.as_str())).collect();
        assert_eq!(www(&standing[..3], Rtype::Txt, &long[3]), Ok(()));
        assert_eq!(www(&standing, Rtype::Txt, "x"), Err(1004));
        assert_eq!(www(&standing, A.0, A.1), Ok(()));
    }

    #[test]
    fn of_several_records_the_first_by_type_is_named_whichever_came_first() {
        let apex = Name::parse("example.com").unwrap();
        let zone = Zone { apex: &apex, flattens_all: false };
        let mut standing = Standing::of([entry("www.example.com", TXT.0, TXT.1)]);
        standing.add(entry("www.example.com", A.0, A.1), &zone).unwrap();
        let name = Name::parse("www.example.com").unwrap();
        assert_eq!(standing.add(entry("www.example.com", CNAME.0, CNAME.1), &zone), Err(Conflict::CnameBesideAddress { name }));
    }

    #[test]
    fn bounds_are_met_by_many_at_once_too() {
        let apex = Name::parse("example.com").unwrap();
        let zone = Zone { apex: &apex, flattens_all: false };
        let mut standing = Standing::default();
        for at in 0..NAME_RECORDS_MAX {
            standing.add(entry("www.example.com", Rtype::Aaaa, &format!("2001:db8::{at:x}")), &zone).unwrap();
        }
        assert_eq!(standing.add(entry("www.example.com", A.0, A.1), &zone).map_err(|conflict| conflict.code()), Err(1004));
        assert!(standing.has(&entry("www.example.com", Rtype::Aaaa, "2001:db8:0::").rdata));
        let mut standing = Standing::default();
        for at in 0..4 {
            standing.add(entry("www.example.com", Rtype::Txt, &format!("{at}{}", "x".repeat(2047))), &zone).unwrap();
        }
        assert_eq!(standing.add(entry("www.example.com", Rtype::Txt, "x"), &zone).map_err(|conflict| conflict.code()), Err(1004));
        assert_eq!(standing.add(entry("www.example.com", A.0, A.1), &zone), Ok(()));
    }

    proptest! {
        /// Many at once are told what each is told alone, in the same words.
        #[test]
        fn many_are_told_what_one_is(
            order in prop::collection::vec((0usize..12, any::<bool>(), any::<bool>()), 0..16),
            begun in 0usize..16,
        ) {
            let apex = Name::parse("example.com").unwrap();
            let zone = Zone { apex: &apex, flattens_all: false };
            for name in ["example.com", "www.example.com"] {
                let mut one_by_one: Vec<Entry> = Vec::new();
                let mut standing = Standing::default();
                for (number, (at, proxied, flattened)) in order.iter().enumerate() {
                    let others = [(Rtype::Ds, "1 13 9 AB"), (Rtype::Txt, "ABC"), (Rtype::Cname, "in.example.com"),
                        (Rtype::Cname, "www.example.com"), (Rtype::A, "192.0.2.2")];
                    let (rtype, content) = [A, AAAA, CNAME, MX, NS, DS, TXT].into_iter().chain(others).nth(*at).unwrap();
                    let mut new = entry(name, rtype, content);
                    new.proxied = *proxied && rtype.is_web();
                    new.settings.flatten_cname = (rtype == Rtype::Cname && *flattened).then_some(true);
                    if number == begun {
                        standing = Standing::of(one_by_one.clone());
                    }
                    one_by_one.sort_by_key(|entry| (entry.rdata.rtype().to_string(), entry.rdata.content()));
                    let alone = check(&one_by_one, &new, &zone);
                    prop_assert_eq!(matches!(alone, Err(Conflict::Exists { .. } | Conflict::Identical { .. })),
                        standing.has(&new.rdata) && !matches!(alone, Err(Conflict::ToItself { .. } | Conflict::DsAtApex { .. })));
                    prop_assert_eq!(standing.add(new.clone(), &zone), alone.clone());
                    if alone.is_ok() {
                        one_by_one.push(new);
                    }
                }
            }
        }

        /// Records added one after the other: whatever the order, no excluded pair stands at the end.
        #[test]
        fn what_stands_together_may(order in prop::collection::vec((0usize..7, any::<bool>(), any::<bool>()), 0..12)) {
            let apex = Name::parse("example.com").unwrap();
            let zone = Zone { apex: &apex, flattens_all: false };
            let mut standing: Vec<Entry> = Vec::new();
            for (at, proxied, apex) in order {
                let (rtype, content) = [A, AAAA, CNAME, MX, NS, DS, TXT][at];
                let mut new = entry(if apex { "example.com" } else { "www.example.com" }, rtype, content);
                new.proxied = proxied && rtype.is_web();
                if check(standing.iter().filter(|other| other.name == new.name), &new, &zone).is_ok() {
                    standing.push(new);
                }
            }
            for name in ["example.com", "www.example.com"] {
                let count = |of: &dyn Fn(&Entry) -> bool| standing.iter().filter(|entry| entry.name.as_str() == name && of(entry)).count();
                let of = |rtype: Rtype| count(&|entry| entry.rdata.rtype() == rtype);
                let all = count(&|_| true);
                prop_assert!(of(Rtype::Cname) == 0 || of(Rtype::Cname) == 1 && of(Rtype::A) + of(Rtype::Aaaa) == 0);
                let seen = count(&|entry| entry.rdata.rtype() == Rtype::Cname && !is_flattened(entry, &zone));
                prop_assert!(seen == 0 || all == 1);
                prop_assert!(name == "example.com" || of(Rtype::Ns) == 0 || all == of(Rtype::Ns) + of(Rtype::Ds));
            }
        }
    }
}
