//! A zone in force: its head, and its owner names arranged for what an edge and a name server ask.

use std::sync::Arc;

use poterne_dns_wire::rtype;
use poterne_model::{Name, name};

use crate::{NameChunk, Target, TransferChunk, ZoneHead, tree::PageTree};

/// A zone: its head and its owner names.
#[derive(Clone)]
pub struct Zone {
    head: Arc<ZoneHead>,
    owners: PageTree<Name, Owner>,
    /// How many names are delegated: nearly always none, and then nobody looks for one.
    cuts: u32,
    /// Of few zones: who may have it whole, or where it comes from.
    transfer: Option<Arc<TransferChunk>>,
}

/// What a zone has at a name (RFC 4592 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// The name itself.
    Name(&'a NameChunk),
    /// The wildcard of its closest encloser.
    Wildcard(&'a NameChunk),
    /// Nothing of its own: it exists because it is the apex or something below it exists.
    Empty,
    /// It does not exist.
    Nothing,
}

/// What is known at one name. A wildcard `*.p` is kept at `p`, so that finding it takes neither a second search nor a buffer to
/// build its name in; `below` makes `p` exist when only something under it does (an empty non-terminal, RFC 4592 §2.2.2).
#[derive(Clone, Default)]
struct Owner {
    own: Option<NameChunk>,
    wildcard: Option<Box<NameChunk>>,
    below: u32,
}

impl Zone {
    pub(crate) fn new(head: ZoneHead) -> Self {
        Self { head: Arc::new(head), owners: PageTree::default(), cuts: 0, transfer: None }
    }

    /// The head.
    pub fn head(&self) -> &ZoneHead {
        &self.head
    }

    pub(crate) fn set_head(&mut self, head: ZoneHead) {
        self.head = Arc::new(head);
    }

    /// Who may have it whole, or where it comes from.
    pub fn transfer(&self) -> Option<&Arc<TransferChunk>> {
        self.transfer.as_ref()
    }

    pub(crate) fn set_transfer(&mut self, transfer: Option<TransferChunk>) {
        self.transfer = transfer.map(Arc::new);
    }

    /// What is said of exactly this owner name, `*.x` included.
    pub fn name(&self, name: &str) -> Option<&NameChunk> {
        match name.strip_prefix("*.") {
            Some(parent) => self.owners.get(parent)?.wildcard.as_deref(),
            None => self.owners.get(name)?.own.as_ref(),
        }
    }

    /// Every owner name that has a chunk.
    pub fn names(&self) -> impl Iterator<Item = (Name, &NameChunk)> {
        self.owners.iter().flat_map(|(name, owner)| {
            let wildcard = owner.wildcard.as_deref().map(|chunk| (wildcard_of(name), chunk));
            owner.own.as_ref().map(|chunk| (name.clone(), chunk)).into_iter().chain(wildcard)
        })
    }

    /// What is at a name: it itself if it exists, else the wildcard of its closest encloser, and no other (RFC 4592 §3.3.1). `name` is
    /// in canonical form and within the zone. Allocates nothing, O(labels).
    pub fn find(&self, name: &str) -> Found<'_> {
        if let Some(parent) = name.strip_prefix("*.")
            && let Some(chunk) = self.owners.get(parent).and_then(|owner| owner.wildcard.as_deref())
        {
            return Found::Name(chunk);
        }
        if let Some(owner) = self.owners.get(name) {
            return owner.own.as_ref().map_or(Found::Empty, Found::Name);
        }
        let apex = self.head.apex.as_str();
        if name == apex {
            return Found::Empty;
        }
        for encloser in name::ancestors(name).skip(1) {
            if let Some(parent) = encloser.strip_prefix("*.")
                && self.owners.get(parent).is_some_and(|owner| owner.wildcard.is_some())
            {
                // A wildcard is a name like others, and nothing stands below it.
                return Found::Nothing;
            }
            match self.owners.get(encloser) {
                Some(owner) => return owner.wildcard.as_deref().map_or(Found::Nothing, Found::Wildcard),
                None if encloser.len() <= apex.len() => break,
                None => {}
            }
        }
        Found::Nothing
    }

    /// Where visitors of `host` are led, as [`Zone::find`] finds it.
    pub fn target(&self, host: &str) -> Option<&Target> {
        match self.find(host) {
            Found::Name(chunk) | Found::Wildcard(chunk) => chunk.target.as_ref(),
            Found::Empty | Found::Nothing => None,
        }
    }

    /// The highest delegated name that a name is or lies below, with what stands there: a name server does not answer for it, nor for
    /// what is below (RFC 1034 §4.2.1). NS records at the apex and at wildcards delegate nothing.
    pub fn cut<'n>(&self, name: &'n str) -> Option<(&'n str, &NameChunk)> {
        if self.cuts == 0 {
            return None;
        }
        let below_apex = name::ancestors(name).take_while(|name| name.len() > self.head.apex.as_str().len());
        let cuts = below_apex.filter_map(|name| Some((name, self.owners.get(name)?.own.as_ref()?)));
        cuts.filter(|(_, chunk)| delegates(chunk)).last()
    }

    /// Puts or takes a name's chunk. `name` lies within the zone, and so does a wildcard's parent.
    pub(crate) fn set(&mut self, name: &Name, chunk: Option<NameChunk>) {
        let parent = name.is_wildcard().then(|| name.parent()).flatten();
        let anchor = parent.as_ref().unwrap_or(name);
        if chunk.is_none() && self.name(name.as_str()).is_none() {
            return;
        }
        let mut owner = self.owners.get(anchor.as_str()).cloned().unwrap_or_default();
        if parent.is_none() && *name != self.head.apex {
            self.cuts -= u32::from(owner.own.as_ref().is_some_and(delegates));
            self.cuts += u32::from(chunk.as_ref().is_some_and(delegates));
        }
        let (had, has) = if parent.is_some() {
            let had = std::mem::replace(&mut owner.wildcard, chunk.map(Box::new));
            (had.is_some(), owner.wildcard.is_some())
        } else {
            let had = std::mem::replace(&mut owner.own, chunk);
            (had.is_some(), owner.own.is_some())
        };
        self.store(anchor.clone(), owner);
        if had == has {
            return;
        }
        let mut above = anchor.parent();
        while let Some(name) = above.filter(|name| name.is_within(&self.head.apex)) {
            let mut owner = self.owners.get(name.as_str()).cloned().unwrap_or_default();
            owner.below = if has { owner.below + 1 } else { owner.below - 1 };
            above = name.parent();
            self.store(name, owner);
        }
    }

    fn store(&mut self, name: Name, owner: Owner) {
        if owner.own.is_none() && owner.wildcard.is_none() && owner.below == 0 {
            self.owners.remove(name.as_str());
        } else {
            self.owners.insert(name, owner);
        }
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zone").field("head", &self.head).finish_non_exhaustive()
    }
}

fn delegates(chunk: &NameChunk) -> bool {
    chunk.sets.get(rtype::NS).is_some()
}

fn wildcard_of(parent: &Name) -> Name {
    Name::parse(&format!("*.{parent}")).expect("it was a name when it was put")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use poterne_dns_wire::{Record, RecordSets};
    use poterne_model::{AccountId, TunnelId, ZoneId, ZoneStatus};
    use proptest::prelude::*;

    use super::*;

    fn zone() -> Zone {
        Zone::new(ZoneHead {
            id: ZoneId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            apex: Name::parse("example.com").unwrap(),
            status: ZoneStatus::Active,
            dns: None,
        })
    }

    fn to(tunnel: u8) -> Option<NameChunk> {
        Some(NameChunk::leading_to(Target::Tunnel(TunnelId::from_bytes([tunnel; 16]))))
    }

    fn delegated() -> Option<NameChunk> {
        let data = b"\x02ns\x03net\0".to_vec();
        let (sets, _) = RecordSets::of(vec![Record { rtype: rtype::NS, ttl_secs: 60, flattened: false, data }]);
        Some(NameChunk { sets, ..NameChunk::default() })
    }

    fn tunnel(zone: &Zone, host: &str) -> Option<u8> {
        match zone.target(host)? {
            Target::Tunnel(id) => Some(id.as_bytes()[0]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wildcards_answer_as_rfc_4592_says() {
        let mut zone = zone();
        let mut set = |name: &str, chunk| zone.set(&Name::parse(name).unwrap(), chunk);
        set("*.example.com", to(1));
        set("sub1.example.com", Some(NameChunk::default()));
        set("deep.ent.example.com", to(2));
        set("*.wild.example.com", to(3));
        for (host, expected) in [
            ("a.example.com", Some(1)),
            ("x.y.sub2.example.com", Some(1)),
            ("sub1.example.com", None),
            ("x.sub1.example.com", None),
            ("ent.example.com", None),
            ("x.ent.example.com", None),
            ("deep.ent.example.com", Some(2)),
            ("x.deep.ent.example.com", None),
            ("wild.example.com", None),
            ("a.b.wild.example.com", Some(3)),
            ("example.com", None),
            ("*.example.com", Some(1)),
            ("*.sub1.example.com", None),
            ("a.*.example.com", None),
        ] {
            assert_eq!(tunnel(&zone, host), expected, "{host}");
        }
        zone.set(&Name::parse("deep.ent.example.com").unwrap(), None);
        assert_eq!(tunnel(&zone, "x.ent.example.com"), Some(1), "the empty non-terminal is gone with what was below it");
        zone.set(&Name::parse("*.wild.example.com").unwrap(), None);
        assert_eq!(tunnel(&zone, "wild.example.com"), Some(1));
    }

    #[test]
    fn a_name_that_exists_without_records_is_told_from_one_that_does_not() {
        let mut zone = zone();
        zone.set(&Name::parse("deep.ent.example.com").unwrap(), to(2));
        zone.set(&Name::parse("*.wild.example.com").unwrap(), to(3));
        for name in ["example.com", "ent.example.com", "wild.example.com"] {
            assert_eq!(zone.find(name), Found::Empty, "{name}");
        }
        for name in ["no.example.com", "x.ent.example.com", "*.ent.example.com", "a.*.wild.example.com", "a?.example.com"] {
            assert_eq!(zone.find(name), Found::Nothing, "{name}");
        }
        assert!(matches!(zone.find("*.wild.example.com"), Found::Name(_)));
        assert!(matches!(zone.find("?.wild.example.com"), Found::Wildcard(_)));
    }

    #[test]
    fn the_highest_delegated_name_cuts_the_zone() {
        let mut zone = zone();
        let mut set = |name: &str, chunk| zone.set(&Name::parse(name).unwrap(), chunk);
        set("example.com", delegated());
        set("*.wild.example.com", delegated());
        set("low.sub.example.com", delegated());
        set("sub.example.com", delegated());
        set("sub.example.com", delegated());
        let at = |zone: &Zone, name: &'static str| zone.cut(name).map(|(name, _)| name);
        for (name, cut) in [
            ("example.com", None),
            ("a.example.com", None),
            ("a.wild.example.com", None),
            ("sub.example.com", Some("sub.example.com")),
            ("x.low.sub.example.com", Some("sub.example.com")),
        ] {
            assert_eq!(at(&zone, name), cut, "{name}");
        }
        zone.set(&Name::parse("sub.example.com").unwrap(), to(1));
        assert_eq!(at(&zone, "x.low.sub.example.com"), Some("low.sub.example.com"));
        zone.set(&Name::parse("low.sub.example.com").unwrap(), None);
        assert_eq!((at(&zone, "x.low.sub.example.com"), zone.cuts), (None, 0));
    }

    /// RFC 4592 spelled out over a plain map: exists(n) if n or anything below n is there.
    fn model(names: &BTreeMap<String, u8>, host: &str) -> Option<u8> {
        let exists = |name: &str| name == "example.com" || names.keys().any(|other| name::is_within(other, name));
        if exists(host) {
            return names.get(host).copied();
        }
        let encloser = name::ancestors(host).find(|name| exists(name))?;
        names.get(&format!("*.{encloser}")).copied()
    }

    fn owner() -> impl Strategy<Value = String> {
        let labels = prop::collection::vec("[ab]", 0..4).prop_map(|labels| labels.join("."));
        (labels, any::<bool>()).prop_map(|(labels, wildcard)| {
            let name = if labels.is_empty() { "example.com".to_owned() } else { format!("{labels}.example.com") };
            if wildcard { format!("*.{name}") } else { name }
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_text_of_the_rfc(
            steps in prop::collection::vec((owner(), prop::option::weighted(0.6, 1u8..)), 0..40),
            hosts in prop::collection::vec("(\\*\\.)?([abc]\\.){0,5}example\\.com", 20),
        ) {
            let (mut zone, mut names) = (zone(), BTreeMap::new());
            for (owner, value) in steps {
                zone.set(&Name::parse(&owner).unwrap(), value.and_then(to));
                match value {
                    Some(value) => names.insert(owner, value),
                    None => names.remove(&owner),
                };
                for host in &hosts {
                    prop_assert_eq!(tunnel(&zone, host), model(&names, host), "{} in {:?}", host, names);
                }
                let listed: BTreeMap<String, u8> =
                    zone.names().map(|(name, _)| (name.to_string(), names[name.as_str()])).collect();
                prop_assert_eq!(&listed, &names);
            }
        }
    }
}
