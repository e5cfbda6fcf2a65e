//! Which names of a zone need which certificate (edge-behaviour §7.1).
//!
//! One for the apex and all that lies one label below it, always; and for proxied names that lie deeper, certificates of some names each. A
//! pack once made keeps its names: what is added goes into another, so that a name whose proof fails keeps no other from its renewal. Names of
//! a partial zone are led here one by one, by somebody else, and have a certificate each.

use std::collections::BTreeSet;

use poterne_model::Name;
use serde::{Deserialize, Serialize};

/// Most names of a certificate that this program puts together: few enough that one that fails holds few others up.
pub const NAMES_PREFERRED: usize = 25;

/// Most names of a certificate that somebody asks for: as many as authorities give.
pub const NAMES_MAX: usize = 100;

/// Most deeper names of a zone that are looked after; the first by name.
pub const DEEPER_NAMES_MAX: usize = 500;

/// What a pack is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A zone's apex and what is one label below it.
    Universal,
    /// Deeper names.
    TotalTls,
    /// Names that somebody asked for.
    Advanced,
    /// A certificate that somebody brought.
    SniCustom,
}

impl Kind {
    /// As the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Universal => "universal",
            Self::TotalTls => "total_tls",
            Self::Advanced => "advanced",
            Self::SniCustom => "sni_custom",
        }
    }

    /// Reads what [`Kind::as_str`] shows.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Universal, Self::TotalTls, Self::Advanced, Self::SniCustom].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Of two certificates for one name, that of the greater rank is used (edge-behaviour §7.6).
    pub const fn rank(self) -> u8 {
        match self {
            Self::Universal => 0,
            Self::TotalTls => 1,
            Self::Advanced => 2,
            Self::SniCustom => 3,
        }
    }

    /// Whether an authority is asked for it.
    pub const fn is_ordered(self) -> bool {
        !matches!(self, Self::SniCustom)
    }
}

/// A pack that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<Id> {
    /// Which.
    pub id: Id,
    /// What it is for.
    pub kind: Kind,
    /// Its names, in order.
    pub hosts: Vec<Name>,
    /// Whether an authority was asked for it.
    pub is_tried: bool,
}

/// What is to be done so that a zone's names are covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<Id> {
    /// A pack that is not there.
    Make(Kind, Vec<Name>),
    /// It is to have these names, from its next order on.
    Rename(Id, Vec<Name>),
    /// It is for nothing any more.
    End(Id),
}

/// Whether a certificate for `host` is good for a name: a wildcard stands for one label (RFC 9525 §6.3), and no wildcard for another.
pub fn covers(host: &Name, name: &Name) -> bool {
    host == name
        || !name.is_wildcard()
            && host
                .as_str()
                .strip_prefix("*.")
                .is_some_and(|parent| name.as_str().split_once('.').is_some_and(|(_, of)| of == parent))
}

/// What every zone has: its apex, and what is one label below.
pub fn universal(apex: &Name) -> Option<Vec<Name>> {
    Some(vec![Name::parse(&format!("*.{apex}")).ok()?, apex.clone()])
}

/// What a zone should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The names of its universal pack, where it has one.
    universal: Option<Vec<Name>>,
    /// The others, so many to a pack.
    others: BTreeSet<Name>,
    others_per_pack: usize,
}

impl Wanted {
    /// Nothing at all.
    pub const fn nothing() -> Self {
        Self { universal: None, others: BTreeSet::new(), others_per_pack: NAMES_PREFERRED }
    }

    /// Of a zone that is delegated here, with these proxied names.
    pub fn of_zone(apex: &Name, proxied: impl IntoIterator<Item = Name>) -> Self {
        Self { universal: universal(apex), others: deeper(apex, proxied), others_per_pack: NAMES_PREFERRED }
    }

    /// Of a partial zone: a host each. A wildcard would have to be proven by a record, which others answer for.
    pub fn of_hosts(proxied: impl IntoIterator<Item = Name>) -> Self {
        let is_host = |name: &Name| !name.is_wildcard() && !name.as_str().contains('_');
        let others: BTreeSet<Name> = proxied.into_iter().filter(is_host).take(DEEPER_NAMES_MAX).collect();
        Self { universal: None, others, others_per_pack: 1 }
    }
}

/// Of a zone's proxied names, those that need a certificate beside the universal one. A name with an underscore is no host name, and no
/// authority gives one for it.
fn deeper(apex: &Name, proxied: impl IntoIterator<Item = Name>) -> BTreeSet<Name> {
    let is_deeper = |name: &Name| {
        let below = name.as_str().strip_suffix(apex.as_str()).and_then(|rest| rest.strip_suffix('.'));
        below.is_some_and(|below| below.contains('.')) && !name.as_str().contains('_')
    };
    let names: BTreeSet<Name> = proxied.into_iter().filter(is_deeper).collect();
    let is_covered = |name: &Name| {
        let wildcard = name.parent().and_then(|parent| Name::parse(&format!("*.{parent}")).ok());
        !name.is_wildcard() && wildcard.is_some_and(|wildcard| names.contains(&wildcard))
    };
    names.iter().filter(|name| !is_covered(name)).take(DEEPER_NAMES_MAX).cloned().collect()
}

/// What has to change so that a zone has what it should.
pub fn arrange<Id: Clone>(wanted: &Wanted, standing: &[Standing<Id>]) -> Vec<Change<Id>> {
    let of = |kind| standing.iter().filter(move |pack| pack.kind == kind);
    let mut changes = Vec::new();
    match &wanted.universal {
        Some(hosts) if of(Kind::Universal).next().is_none() => changes.push(Change::Make(Kind::Universal, hosts.clone())),
        Some(_) => {}
        None => changes.extend(of(Kind::Universal).map(|pack| Change::End(pack.id.clone()))),
    }
    let mut missing = wanted.others.clone();
    let mut kept = Vec::new();
    for pack in of(Kind::TotalTls) {
        let hosts: Vec<Name> = pack.hosts.iter().filter(|host| missing.remove(*host)).cloned().collect();
        kept.push((pack, hosts));
    }
    for (pack, mut hosts) in kept {
        if !pack.is_tried {
            while hosts.len() < wanted.others_per_pack {
                let Some(name) = missing.pop_first() else { break };
                hosts.push(name);
            }
            hosts.sort();
        }
        if hosts.is_empty() {
            changes.push(Change::End(pack.id.clone()));
        } else if hosts != pack.hosts {
            changes.push(Change::Rename(pack.id.clone(), hosts));
        }
    }
    let missing: Vec<Name> = missing.into_iter().collect();
    changes.extend(missing.chunks(wanted.others_per_pack).map(|names| Change::Make(Kind::TotalTls, names.to_vec())));
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn names(texts: &[&str]) -> BTreeSet<Name> {
        deeper(&name("example.com"), texts.iter().map(|text| name(text)))
    }

    #[test]
    fn names_that_the_universal_certificate_has_not_are_deeper() {
        let found = names(&["example.com", "www.example.com", "*.example.com", "a.b.example.com", "x_y.b.example.com", "b.org"]);
        assert_eq!(found, BTreeSet::from([name("a.b.example.com")]));
        let found = names(&["a.b.example.com", "*.b.example.com", "x.a.b.example.com", "*.c.b.example.com"]);
        assert_eq!(found, BTreeSet::from(["*.b.example.com", "*.c.b.example.com", "x.a.b.example.com"].map(name)));
        assert!(covers(&name("*.example.com"), &name("a.example.com")) && !covers(&name("*.example.com"), &name("example.com")));
        assert!(!covers(&name("*.example.com"), &name("a.b.example.com")) && !covers(&name("*.com"), &name("*.example.com")));
    }

    #[test]
    fn a_zone_begins_with_its_universal_pack_and_ends_with_none() {
        let apex = name("example.com");
        let wanted = Wanted::of_zone(&apex, []);
        let made = arrange::<u32>(&wanted, &[]);
        assert_eq!(made, [Change::Make(Kind::Universal, vec![name("*.example.com"), apex.clone()])]);
        let standing = [
            Standing { id: 1, kind: Kind::Universal, hosts: vec![apex.clone()], is_tried: true },
            Standing { id: 2, kind: Kind::Advanced, hosts: vec![apex.clone()], is_tried: true },
        ];
        assert_eq!(arrange(&wanted, &standing), []);
        assert_eq!(arrange(&Wanted::nothing(), &standing), [Change::End(1)], "what somebody asked for stays");
    }

    #[test]
    fn a_host_of_a_partial_zone_has_a_certificate_of_its_own() {
        let hosts = ["example.com", "www.example.com", "*.example.com", "a.b.example.com", "_x.example.com"].map(name);
        let wanted = Wanted::of_hosts(hosts.clone());
        let made = |host: &Name| Change::Make(Kind::TotalTls, vec![host.clone()]);
        let changes = arrange::<u32>(&wanted, &[]);
        assert_eq!(changes, [&hosts[3], &hosts[0], &hosts[1]].map(made));
        let standing: Vec<_> =
            [vec![hosts[0].clone()], vec![hosts[2].clone(), hosts[1].clone()]].into_iter().enumerate().collect();
        let standing: Vec<_> = standing
            .into_iter()
            .map(|(id, hosts)| Standing { id, kind: Kind::TotalTls, hosts, is_tried: false })
            .chain([Standing { id: 9, kind: Kind::Universal, hosts: vec![hosts[0].clone()], is_tried: true }])
            .collect();
        let changes = arrange(&wanted, &standing);
        assert_eq!(
            changes,
            [Change::End(9), Change::Rename(1, vec![hosts[1].clone()]), Change::Make(Kind::TotalTls, vec![hosts[3].clone()])]
        );
    }

    /// Does what is to be done, as the store would.
    fn apply(standing: &mut Vec<Standing<u32>>, changes: Vec<Change<u32>>, next: &mut u32) {
        for change in changes {
            match change {
                Change::Make(kind, hosts) => {
                    *next += 1;
                    standing.push(Standing { id: *next, kind, hosts, is_tried: false });
                }
                Change::Rename(id, hosts) => standing.iter_mut().find(|pack| pack.id == id).unwrap().hosts = hosts,
                Change::End(id) => standing.retain(|pack| pack.id != id),
            }
        }
    }

    proptest! {
        /// Names come and go, packs are ordered at any time: each name is in one pack, no pack is too large, and what was ordered is given
        /// no name that it had not.
        #[test]
        fn every_name_is_in_one_pack(
            steps in prop::collection::vec((prop::collection::btree_set("[a-d][a-z]?\\.[a-c]\\.example\\.com", 0..60), any::<bool>(), any::<u8>()), 1..12),
        ) {
            let (apex, mut standing, mut next) = (name("example.com"), Vec::new(), 0);
            for (texts, is_wanted, tried) in steps {
                let deeper = names(&texts.iter().map(String::as_str).collect::<Vec<_>>());
                let proxied = texts.iter().map(|text| name(text));
                let due = if is_wanted { Wanted::of_zone(&apex, proxied) } else { Wanted::nothing() };
                let before = standing.clone();
                let changes = arrange(&due, &standing);
                apply(&mut standing, changes, &mut next);
                prop_assert_eq!(arrange(&due, &standing), vec![]);
                let total: Vec<&Name> =
                    standing.iter().filter(|pack| pack.kind == Kind::TotalTls).flat_map(|pack| &pack.hosts).collect();
                let wanted: Vec<&Name> = if is_wanted { deeper.iter().collect() } else { Vec::new() };
                let mut sorted = total.clone();
                sorted.sort();
                prop_assert_eq!(sorted, wanted);
                for pack in &standing {
                    prop_assert!(!pack.hosts.is_empty() && pack.hosts.len() <= NAMES_PREFERRED);
                    if let Some(old) = before.iter().find(|old| old.id == pack.id && old.is_tried) {
                        prop_assert!(pack.hosts.iter().all(|host| old.hosts.contains(host)));
                    }
                }
                for (place, pack) in standing.iter_mut().enumerate() {
                    pack.is_tried |= tried >> (place % 8) & 1 == 1;
                }
            }
        }
    }
}
