//! A zone in force: its head, and its owner names arranged for what an edge and a name server ask.

use std::sync::Arc;

use poterne_dns_wire::rtype;
use poterne_model::Name;
use poterne_rules::ZoneRules;

use crate::{
    NameChunk, RulesInForce, Target, TransferChunk, ZoneHead,
    names::{NameView, Names, OwnerChunks},
};

/// A zone: its head and its owner names.
#[derive(Clone)]
pub struct Zone {
    head: Arc<ZoneHead>,
    /// By what stands before the apex.
    names: Names,
    /// How many names are delegated: nearly always none, and then nobody looks for one.
    cuts: u32,
    /// Of few zones: who may have it whole, or where it comes from.
    transfer: Option<Arc<TransferChunk>>,
    /// Where it has any: what its rules make of requests.
    rules: Option<Arc<RulesInForce>>,
}

/// What a zone has at a name (RFC 4592 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// The name itself.
    Name(NameView<'a>),
    /// The wildcard of its closest encloser.
    Wildcard(NameView<'a>),
    /// Nothing of its own: it exists because it is the apex or something below it exists.
    Empty,
    /// It does not exist.
    Nothing,
}

impl Zone {
    pub(crate) fn new(head: ZoneHead) -> Self {
        Self { head: Arc::new(head), names: Names::default(), cuts: 0, transfer: None, rules: None }
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

    /// What its rules make of requests; none: it has none, and paths are put in normal form.
    pub fn rules(&self) -> Option<&Arc<RulesInForce>> {
        self.rules.as_ref()
    }

    pub(crate) fn set_rules(&mut self, rules: Option<ZoneRules>) {
        let before = self.rules.take();
        self.rules = rules.map(|rules| Arc::new(RulesInForce::new(&self.head.apex, rules, before.as_deref())));
    }

    /// What is said of exactly this owner name, `*.x` included.
    pub fn name(&self, name: &str) -> Option<NameView<'_>> {
        let key = self.key(name)?;
        match wildcard_parent(key) {
            Some(parent) => self.names.get(parent)?.wildcard,
            None => self.names.get(key)?.own,
        }
    }

    /// Every owner name that has a chunk.
    pub fn names(&self) -> impl Iterator<Item = (Name, NameView<'_>)> {
        self.names.iter().flat_map(|(key, owner)| {
            let own = owner.own.map(|view| (self.absolute(key, ""), view));
            let wildcard = owner.wildcard.map(|view| (self.absolute(key, "*"), view));
            own.into_iter().chain(wildcard)
        })
    }

    /// How many there are.
    pub fn names_len(&self) -> usize {
        self.names.iter().map(|(_, owner)| usize::from(owner.own.is_some()) + usize::from(owner.wildcard.is_some())).sum()
    }

    /// What is at a name: it itself if it exists, else the wildcard of its closest encloser, and no other (RFC 4592 §3.3.1). `name` is
    /// in canonical form and within the zone. Allocates nothing, O(labels).
    pub fn find(&self, name: &str) -> Found<'_> {
        let Some(key) = self.key(name) else { return Found::Nothing };
        if let Some(parent) = wildcard_parent(key)
            && let Some(view) = self.names.get(parent).and_then(|owner| owner.wildcard)
        {
            return Found::Name(view);
        }
        if let Some(owner) = self.names.get(key) {
            return owner.own.map_or(Found::Empty, Found::Name);
        }
        if key.is_empty() {
            return Found::Empty;
        }
        for encloser in enclosers(key) {
            if let Some(parent) = wildcard_parent(encloser)
                && self.names.get(parent).is_some_and(|owner| owner.wildcard.is_some())
            {
                // A wildcard is a name like others, and nothing stands below it.
                return Found::Nothing;
            }
            if let Some(owner) = self.names.get(encloser) {
                return owner.wildcard.map_or(Found::Nothing, Found::Wildcard);
            }
        }
        Found::Nothing
    }

    /// Where visitors of `host` are led, as [`Zone::find`] finds it.
    pub fn target(&self, host: &str) -> Option<Target> {
        match self.find(host) {
            Found::Name(view) | Found::Wildcard(view) => view.target(),
            Found::Empty | Found::Nothing => None,
        }
    }

    /// The highest delegated name that a name is or lies below, with what stands there: a name server does not answer for it, nor for
    /// what is below (RFC 1034 §4.2.1). NS records at the apex and at wildcards delegate nothing.
    pub fn cut<'n>(&self, name: &'n str) -> Option<(&'n str, NameView<'_>)> {
        if self.cuts == 0 {
            return None;
        }
        let key = self.key(name)?;
        let below_apex = std::iter::once(key).chain(enclosers(key)).filter(|key| !key.is_empty());
        let cuts = below_apex.filter_map(|key| Some((key, self.names.get(key)?.own?)));
        let (cut, view) = cuts.filter(|(_, view)| view.sets.get(rtype::NS).is_some()).last()?;
        // The key's end is where the apex and the dot before it begin.
        Some((&name[key.len() - cut.len()..], view))
    }

    /// Puts or takes a name's chunk. `name` lies within the zone, and so does a wildcard's parent.
    pub(crate) fn set(&mut self, name: &Name, chunk: Option<NameChunk>) {
        let head = self.head.clone();
        let Some(key) = below(name.as_str(), head.apex.as_str()) else { return };
        if chunk.is_none() && self.name(name.as_str()).is_none() {
            return;
        }
        let parent = wildcard_parent(key);
        let anchor = parent.unwrap_or(key);
        let mut owner = self.names.get(anchor).map(OwnerChunks::of).unwrap_or_default();
        if parent.is_none() && !key.is_empty() {
            self.cuts -= u32::from(owner.own.as_ref().is_some_and(delegates));
            self.cuts += u32::from(chunk.as_ref().is_some_and(delegates));
        }
        let place = if parent.is_some() { &mut owner.wildcard } else { &mut owner.own };
        let (had, has) = (place.is_some(), chunk.is_some());
        *place = chunk;
        self.names.put(anchor, &owner);
        if had != has {
            enclosers(anchor).for_each(|above| self.names.count_below(above, has));
        }
    }

    /// What stands before the apex of a name within the zone, and its dot.
    fn key<'n>(&self, name: &'n str) -> Option<&'n str> {
        below(name, self.head.apex.as_str())
    }

    /// The name of a key, or of a label below it.
    fn absolute(&self, key: &str, label: &str) -> Name {
        let mut text = String::with_capacity(label.len() + key.len() + self.head.apex.as_str().len() + 2);
        for part in [label, key, self.head.apex.as_str()].into_iter().filter(|part| !part.is_empty()) {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
        Name::parse(&text).expect("it was a name when it was put")
    }
}

/// What of a name stands before its zone's apex and the dot between; the apex itself is empty.
fn below<'n>(name: &'n str, apex: &str) -> Option<&'n str> {
    let before = name.strip_suffix(apex)?;
    if before.is_empty() { Some(before) } else { before.strip_suffix('.') }
}

/// The key that a wildcard stands under.
fn wildcard_parent(key: &str) -> Option<&str> {
    if key == "*" { Some("") } else { key.strip_prefix("*.") }
}

/// The keys that a key lies below, the longest first; the apex comes last.
fn enclosers(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(above(key), |key| above(key))
}

fn above(key: &str) -> Option<&str> {
    (!key.is_empty()).then(|| key.split_once('.').map_or("", |(_, rest)| rest))
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zone").field("head", &self.head).finish_non_exhaustive()
    }
}

fn delegates(chunk: &NameChunk) -> bool {
    chunk.sets.get(rtype::NS).is_some()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use poterne_dns_wire::{Record, RecordSets};
    use poterne_model::{
        AccountId, TunnelId, ZoneId, ZoneStatus, name,
        setting::{EdgeSettings, OriginSettings},
    };
    use proptest::prelude::*;

    use super::*;

    fn zone() -> Zone {
        Zone::new(ZoneHead {
            id: ZoneId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            apex: Name::parse("example.com").unwrap(),
            status: ZoneStatus::Active,
            dns: None,
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
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
