//! The owner names of a zone, packed: a persistent map like [`crate::tree`], whose pages are octets.
//!
//! ```text
//! page     hashes u32… · ends u32… · entries in one buffer, in the order of their hashes
//! entry    length u8 · key · flags u8 · how many names lie below u32, if any · own chunk, if any · wildcard's chunk, if any
//! chunk    shows and kind of target u8 · target, if any · length of sets · sets, as `dns/wire` has them
//! ```
//!
//! A key is a name without its zone's apex and the dot before it; the apex itself is empty. One A record at a name of eight letters takes
//! 37 octets and 4 of room, where objects took 250: no name, no set of records is a block of memory of its own, and a change that
//! copies a page copies three blocks. What is looked up is read where it stands.
//!
//! As in the other tree the hash is SipHash under a key drawn for each zone, so that nobody can choose names that land in one page. Half
//! of it is kept: names whose halves are the same stand side by side.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use poterne_dns_wire::Sets;
use poterne_model::TunnelId;

use crate::{NameChunk, Shows, Target};

/// Most entries in a page; see [`crate::tree::PAGE_ENTRIES_MAX`].
const PAGE_ENTRIES_MAX: usize = 256;

/// Most octets of a page that is not cut for its entries: names with many records are cut sooner, since a change copies a page.
const PAGE_OCTETS_MAX: usize = 32 * 1024;

/// Entries below which a page is not cut, however long they are.
const PAGE_ENTRIES_MIN: usize = 16;

/// A branch with no more below it becomes a page again; far from the cut, so that a name that comes and goes does not rebuild pages.
const MERGE_ENTRIES_MAX: usize = 64;
const MERGE_OCTETS_MAX: usize = PAGE_OCTETS_MAX / 4;

const FAN_OUT: usize = 16;
const BITS: u32 = 4;
const DEPTH_MAX: u32 = u32::BITS / BITS;

const OWN: u8 = 1;
const WILDCARD: u8 = 2;
const BELOW: u8 = 4;

const TUNNEL: u8 = 1;
const UNKNOWN_TUNNEL: u8 = 2;
/// Any other target, as postcard writes it.
const OTHER: u8 = 3;

/// The map. See the module's page.
#[derive(Clone)]
pub(crate) struct Names {
    root: Node,
    hasher: RandomState,
}

#[derive(Clone)]
enum Node {
    Page(Arc<Page>),
    Branch(Arc<Branch>),
}

#[derive(Clone)]
struct Branch {
    len: usize,
    children: [Node; FAN_OUT],
}

#[derive(Clone, Default)]
struct Page {
    hashes: Vec<u32>,
    /// Where each entry ends; it begins where the one before does.
    ends: Vec<u32>,
    octets: Vec<u8>,
}

/// What is known at one name. A wildcard `*.p` is kept at `p`, so that finding it takes neither a second search nor a buffer to
/// build its name in; `below` makes `p` exist when only something under it does (an empty non-terminal, RFC 4592 §2.2.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) below: u32,
    pub(crate) own: Option<NameView<'a>>,
    pub(crate) wildcard: Option<NameView<'a>>,
}

/// The same, to be put.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnerChunks {
    pub(crate) below: u32,
    pub(crate) own: Option<NameChunk>,
    pub(crate) wildcard: Option<NameChunk>,
}

/// What is said of a name, where it stands in the snapshot: a [`NameChunk`] that holds nothing of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NameView<'a> {
    /// Whether the name server answers with the edges' addresses.
    pub shows: Shows,
    /// The records that the name server shows.
    pub sets: Sets<'a>,
    kind: u8,
    target: &'a [u8],
}

impl Default for Names {
    fn default() -> Self {
        Self { root: Node::Page(Arc::default()), hasher: RandomState::new() }
    }
}

impl Names {
    /// How many keys there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.root.len()
    }

    /// What is known at a key; allocates nothing.
    pub(crate) fn get(&self, key: &str) -> Option<Owner<'_>> {
        let hash = self.hash(key);
        let mut node = &self.root;
        let mut depth = 0;
        loop {
            match node {
                Node::Page(page) => {
                    return page.find(hash, key).ok().and_then(|at| Owner::read(page.entry(at)).map(|(_, owner)| owner));
                }
                Node::Branch(branch) => node = &branch.children[slot(hash, depth)],
            }
            depth += 1;
        }
    }

    /// Puts what is known at a key, in place of what was; of nothing, takes the key away.
    pub(crate) fn put(&mut self, key: &str, owner: &OwnerChunks) {
        let hash = self.hash(key);
        if owner.below == 0 && owner.own.is_none() && owner.wildcard.is_none() {
            if self.get(key).is_some() {
                self.root.remove(hash, 0, key);
            }
            return;
        }
        let mut entry = Vec::with_capacity(64);
        owner.write(key, &mut entry);
        self.root.put(hash, 0, key, &entry);
    }

    /// Says that one name more, or less, lies below a key. The key comes to be with the first, and goes with the last.
    pub(crate) fn count_below(&mut self, key: &str, more: bool) {
        let hash = self.hash(key);
        let before = self.get(key);
        let below = before.map_or(0, |owner| owner.below);
        let now = if more { below + 1 } else { below.saturating_sub(1) };
        if below > 0 && now > 0 {
            self.root.set_below(hash, 0, key, now);
        } else {
            let mut owner = before.map(OwnerChunks::of).unwrap_or_default();
            owner.below = now;
            self.put(key, &owner);
        }
    }

    /// Every key with what is known there, in no useful order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Owner<'_>)> {
        let mut nodes = vec![&self.root];
        let mut page: Option<(&Page, usize)> = None;
        std::iter::from_fn(move || {
            loop {
                if let Some((found, at)) = page.take().filter(|(page, at)| *at < page.ends.len()) {
                    page = Some((found, at + 1));
                    if let Some(entry) = Owner::read(found.entry(at)) {
                        return Some(entry);
                    }
                    continue;
                }
                match nodes.pop()? {
                    Node::Page(found) => page = Some((&**found, 0)),
                    Node::Branch(branch) => nodes.extend(&branch.children),
                }
            }
        })
    }

    fn hash(&self, key: &str) -> u32 {
        u32::try_from(self.hasher.hash_one(key) >> 32).expect("half of 64 bits")
    }
}

impl Node {
    #[cfg(test)]
    fn len(&self) -> usize {
        match self {
            Self::Page(page) => page.ends.len(),
            Self::Branch(branch) => branch.len,
        }
    }

    fn octets(&self) -> usize {
        match self {
            Self::Page(page) => page.octets.len(),
            Self::Branch(branch) => branch.children.iter().map(Self::octets).sum(),
        }
    }

    /// Whether the key is new.
    fn put(&mut self, hash: u32, depth: u32, key: &str, entry: &[u8]) -> bool {
        match self {
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let is_new = branch.children[slot(hash, depth)].put(hash, depth + 1, key, entry);
                branch.len += usize::from(is_new);
                is_new
            }
            Self::Page(page) => {
                let found = page.find(hash, key);
                let page = Arc::make_mut(page);
                match found {
                    Ok(at) => page.replace(at, entry),
                    Err(at) => {
                        page.make_room();
                        page.hashes.insert(at, hash);
                        let start = page.start(at);
                        page.ends.insert(at, start);
                        page.replace(at, entry);
                    }
                }
                if page.is_full() && depth < DEPTH_MAX {
                    *self = page.cut(depth);
                }
                found.is_err()
            }
        }
    }

    /// The key is there, and something is below it.
    fn set_below(&mut self, hash: u32, depth: u32, key: &str, below: u32) {
        match self {
            Self::Branch(branch) => Arc::make_mut(branch).children[slot(hash, depth)].set_below(hash, depth + 1, key, below),
            Self::Page(page) => {
                if let Ok(at) = page.find(hash, key) {
                    let page = Arc::make_mut(page);
                    // Behind the key's length, the key and the flags.
                    let from = page.start(at) as usize + key.len() + 2;
                    page.octets[from..from + 4].copy_from_slice(&below.to_le_bytes());
                }
            }
        }
    }

    /// The key is there.
    fn remove(&mut self, hash: u32, depth: u32, key: &str) {
        match self {
            Self::Page(page) => {
                if let Ok(at) = page.find(hash, key) {
                    let page = Arc::make_mut(page);
                    page.replace(at, &[]);
                    page.hashes.remove(at);
                    page.ends.remove(at);
                }
            }
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                branch.children[slot(hash, depth)].remove(hash, depth + 1, key);
                branch.len -= 1;
                if branch.len <= MERGE_ENTRIES_MAX && self.octets() <= MERGE_OCTETS_MAX {
                    let mut page = Page::default();
                    self.collect(&mut page);
                    *self = Self::Page(Arc::new(page));
                }
            }
        }
    }

    /// All entries, in the order of their hashes.
    fn collect(&self, into: &mut Page) {
        match self {
            Self::Branch(branch) => branch.children.iter().for_each(|child| child.collect(into)),
            Self::Page(page) => {
                let begins = into.octets.len();
                into.hashes.extend_from_slice(&page.hashes);
                into.octets.extend_from_slice(&page.octets);
                into.ends.extend(page.ends.iter().map(|end| offset(begins + *end as usize)));
            }
        }
    }
}

impl Page {
    fn start(&self, at: usize) -> u32 {
        if at == 0 { 0 } else { self.ends[at - 1] }
    }

    fn entry(&self, at: usize) -> &[u8] {
        &self.octets[self.start(at) as usize..self.ends[at] as usize]
    }

    /// Where the key is, or where it would go.
    fn find(&self, hash: u32, key: &str) -> Result<usize, usize> {
        let first = self.hashes.partition_point(|other| *other < hash);
        let same = self.hashes[first..].iter().take_while(|other| **other == hash).count();
        (first..first + same).find(|at| key_of(self.entry(*at)) == key.as_bytes()).ok_or(first)
    }

    fn is_full(&self) -> bool {
        let entries = self.ends.len();
        entries > PAGE_ENTRIES_MAX || (entries > PAGE_ENTRIES_MIN && self.octets.len() > PAGE_OCTETS_MAX)
    }

    /// For one entry more. By an eighth and not by twice as vectors grow: there are so many pages that what they leave empty is memory.
    fn make_room(&mut self) {
        if self.ends.len() == self.ends.capacity() {
            let more = (self.ends.len() / 8).max(4);
            self.hashes.reserve_exact(more);
            self.ends.reserve_exact(more);
        }
    }

    /// Puts these octets in place of an entry's.
    fn replace(&mut self, at: usize, entry: &[u8]) {
        let (start, end) = (self.start(at) as usize, self.ends[at] as usize);
        let (old, new) = (end - start, entry.len());
        let length = self.octets.len();
        if new > old {
            let more = new - old;
            if length + more > self.octets.capacity() {
                self.octets.reserve_exact(more.max(length / 8));
            }
            self.octets.resize(length + more, 0);
            self.octets.copy_within(end..length, end + more);
        } else {
            self.octets.copy_within(end..length, start + new);
            self.octets.truncate(length - (old - new));
        }
        self.octets[start..start + new].copy_from_slice(entry);
        // No end is beyond the last one.
        let (_, more, less) = (offset(self.octets.len()), offset(new.saturating_sub(old)), offset(old.saturating_sub(new)));
        self.ends[at..].iter_mut().for_each(|end| *end = *end + more - less);
    }

    /// A branch of what overflows a page.
    fn cut(&self, depth: u32) -> Node {
        let mut at = 0;
        let children = std::array::from_fn(|child| {
            let from = at;
            at += self.hashes[at..].iter().take_while(|hash| slot(**hash, depth) == child).count();
            let begins = self.start(from);
            let octets = self.octets[begins as usize..self.start(at) as usize].to_vec();
            let ends = self.ends[from..at].iter().map(|end| end - begins).collect();
            Node::Page(Arc::new(Page { hashes: self.hashes[from..at].to_vec(), ends, octets }))
        });
        Node::Branch(Arc::new(Branch { len: self.ends.len(), children }))
    }
}

/// A page holds at most 257 entries of 2 MiB, and more only where as many hashes are the same.
fn offset(octets: usize) -> u32 {
    u32::try_from(octets).expect("a page is cut long before it is that large")
}

/// Which child of a branch at this depth; the highest bits first, so that a page's hashes stay sorted when it is cut.
fn slot(hash: u32, depth: u32) -> usize {
    let shifted = hash >> (u32::BITS - BITS * (depth + 1));
    shifted as usize % FAN_OUT
}

fn key_of(entry: &[u8]) -> &[u8] {
    entry.split_first().and_then(|(length, rest)| rest.get(..usize::from(*length))).unwrap_or_default()
}

impl<'a> Owner<'a> {
    /// An entry with its key. What does not read is not there: pages are written here alone.
    fn read(entry: &'a [u8]) -> Option<(&'a str, Self)> {
        let key = key_of(entry);
        let (flags, mut rest) = entry.get(key.len() + 1..)?.split_first()?;
        let mut owner = Self { below: 0, own: None, wildcard: None };
        if flags & BELOW != 0 {
            let (below, after) = rest.split_first_chunk()?;
            (owner.below, rest) = (u32::from_le_bytes(*below), after);
        }
        if flags & OWN != 0 {
            owner.own = Some(NameView::read(&mut rest)?);
        }
        if flags & WILDCARD != 0 {
            owner.wildcard = Some(NameView::read(&mut rest)?);
        }
        Some((std::str::from_utf8(key).ok()?, owner))
    }
}

impl OwnerChunks {
    pub(crate) fn of(owner: Owner<'_>) -> Self {
        let Owner { below, own, wildcard } = owner;
        Self { below, own: own.map(|view| view.to_chunk()), wildcard: wildcard.map(|view| view.to_chunk()) }
    }

    fn write(&self, key: &str, to: &mut Vec<u8>) {
        to.push(u8::try_from(key.len()).expect("a name has at most 253 characters"));
        to.extend_from_slice(key.as_bytes());
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        to.push(flag(self.below > 0, BELOW) | flag(self.own.is_some(), OWN) | flag(self.wildcard.is_some(), WILDCARD));
        if self.below > 0 {
            to.extend_from_slice(&self.below.to_le_bytes());
        }
        for chunk in self.own.iter().chain(&self.wildcard) {
            write_chunk(chunk, to);
        }
    }
}

fn write_chunk(chunk: &NameChunk, to: &mut Vec<u8>) {
    let shows = match chunk.shows {
        Shows::Records => 0,
        Shows::Edge => 1,
        Shows::EdgeIpv4 => 2,
        Shows::EdgeIpv6 => 3,
    };
    let kind = match &chunk.target {
        None => 0,
        Some(Target::Tunnel(_)) => TUNNEL,
        Some(Target::UnknownTunnel(_)) => UNKNOWN_TUNNEL,
        Some(_) => OTHER,
    };
    to.push((shows << 4) | kind);
    match &chunk.target {
        None => {}
        Some(Target::Tunnel(id) | Target::UnknownTunnel(id)) => to.extend_from_slice(id.as_bytes()),
        Some(other) => {
            let other = postcard::to_allocvec(other).expect("plain data always serializes into memory");
            write_length(other.len(), to);
            to.extend_from_slice(&other);
        }
    }
    let sets = chunk.sets.view().octets();
    write_length(sets.len(), to);
    to.extend_from_slice(sets);
}

/// Seven bits an octet, the lowest first.
fn write_length(mut length: usize, to: &mut Vec<u8>) {
    while length >= 0x80 {
        to.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    to.push(length.to_le_bytes()[0]);
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let (octet, after) = rest.split_first()?;
        *rest = after;
        length |= usize::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(length);
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

impl<'a> NameView<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let (head, after) = rest.split_first()?;
        *rest = after;
        let shows = match head >> 4 {
            0 => Shows::Records,
            1 => Shows::Edge,
            2 => Shows::EdgeIpv4,
            _ => Shows::EdgeIpv6,
        };
        let kind = head & 0xf;
        let target = match kind {
            0 => &[][..],
            TUNNEL | UNKNOWN_TUNNEL => take(rest, 16)?,
            _ => {
                let length = read_length(rest)?;
                take(rest, length)?
            }
        };
        let length = read_length(rest)?;
        Some(Self { shows, sets: Sets::kept(take(rest, length)?), kind, target })
    }

    /// Where visitors are led; none when no record of this name is proxied.
    pub fn target(&self) -> Option<Target> {
        let tunnel = || <[u8; 16]>::try_from(self.target).ok().map(TunnelId::from_bytes);
        match self.kind {
            0 => None,
            TUNNEL => tunnel().map(Target::Tunnel),
            UNKNOWN_TUNNEL => tunnel().map(Target::UnknownTunnel),
            _ => Some(postcard::from_bytes(self.target).unwrap_or(Target::Broken)),
        }
    }

    /// The chunk that was put.
    pub fn to_chunk(&self) -> NameChunk {
        NameChunk { target: self.target(), shows: self.shows, sets: self.sets.to_owned() }
    }
}

impl PartialEq<NameChunk> for NameView<'_> {
    fn eq(&self, other: &NameChunk) -> bool {
        self.shows == other.shows && self.sets == other.sets.view() && self.target() == other.target
    }
}

impl std::fmt::Debug for NameView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_chunk().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use poterne_dns_wire::{Record, RecordSets};
    use poterne_model::Name;
    use proptest::prelude::*;

    use super::*;

    fn chunk(number: u16) -> NameChunk {
        let shows = [Shows::Records, Shows::Edge, Shows::EdgeIpv4, Shows::EdgeIpv6][usize::from(number % 4)];
        let id = TunnelId::from_bytes([number.to_be_bytes()[1]; 16]);
        let target = match number / 4 % 6 {
            0 => None,
            1 => Some(Target::Tunnel(id)),
            2 => Some(Target::UnknownTunnel(id)),
            3 => Some(Target::Origin(vec![[192, 0, 2, 1].into(); usize::from(number % 50)])),
            4 => Some(Target::OriginName(Name::parse(&format!("n{number}.example")).unwrap())),
            _ => Some(Target::Broken),
        };
        // Up to two thousand octets: pages are cut by their length, too.
        let data = vec![7; usize::from(number) % 2000];
        let sets = RecordSets::of(vec![Record { rtype: 65_280, ttl_secs: number.into(), flattened: false, data }]).0;
        NameChunk { target, shows, sets: if number.is_multiple_of(3) { RecordSets::default() } else { sets } }
    }

    fn owner(number: u16) -> OwnerChunks {
        OwnerChunks {
            below: u32::from(number % 5 / 3),
            own: (!number.is_multiple_of(7)).then(|| chunk(number)),
            wildcard: number.is_multiple_of(11).then(|| chunk(number / 2)),
        }
    }

    fn same(found: Option<Owner<'_>>, put: Option<&OwnerChunks>) -> bool {
        match (found, put) {
            (None, None) => true,
            (Some(found), Some(put)) => {
                let equal = |view: Option<NameView<'_>>, chunk: &Option<NameChunk>| match (view, chunk) {
                    (Some(view), Some(chunk)) => view == *chunk && view.to_chunk() == *chunk,
                    (None, None) => true,
                    _ => false,
                };
                found.below == put.below && equal(found.own, &put.own) && equal(found.wildcard, &put.wildcard)
            }
            _ => false,
        }
    }

    #[test]
    fn a_record_takes_little_more_than_its_octets() {
        let mut names = Names::default();
        let data = vec![192, 0, 2, 1];
        let sets = RecordSets::of(vec![Record { rtype: 1, ttl_secs: 300, flattened: false, data }]).0;
        let owner = OwnerChunks { own: Some(NameChunk { sets, ..NameChunk::default() }), ..OwnerChunks::default() };
        for number in 0..100_000 {
            names.put(&format!("h{number:07}"), &owner);
        }
        let (mut held, mut nodes) = (0, vec![&names.root]);
        while let Some(node) = nodes.pop() {
            match node {
                Node::Page(page) => {
                    held += 4 * (page.hashes.capacity() + page.ends.capacity()) + page.octets.capacity() + size_of::<Page>() + 16;
                }
                Node::Branch(branch) => {
                    held += size_of::<Branch>() + 16;
                    nodes.extend(&branch.children);
                }
            }
        }
        assert!(held < 45 * names.len(), "{} octets a name", held / names.len());
    }

    #[test]
    fn equal_hashes_lie_side_by_side_in_one_page() {
        let mut node = Node::Page(Arc::default());
        let put = owner(13);
        for number in 0..1000 {
            let (key, mut entry) = (format!("n{number}"), Vec::new());
            put.write(&key, &mut entry);
            assert!(node.put(42, 0, &key, &entry));
            assert!(!node.put(42, 0, &key, &entry));
        }
        assert_eq!(node.len(), 1000);
        for number in 0..1000 {
            node.remove(42, 0, &format!("n{number}"));
        }
        assert_eq!((node.len(), node.octets()), (0, 0));
    }

    #[test]
    fn lengths_of_every_size_are_read_as_they_are_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 1 << 20, (1 << 28) - 1] {
            let mut octets = Vec::new();
            write_length(length, &mut octets);
            assert_eq!(read_length(&mut &*octets), Some(length));
        }
        assert_eq!((read_length(&mut &[0x80][..]), read_length(&mut &[0xff; 9][..])), (None, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_behaves_as_an_ordered_map_and_old_clones_never_change(
            steps in prop::collection::vec((0u16..700, prop::option::weighted(0.7, any::<u16>()), any::<bool>()), 0..3000),
        ) {
            let mut names = Names::default();
            let mut model: BTreeMap<String, OwnerChunks> = BTreeMap::new();
            let mut kept = Vec::new();
            for (number, (key, value, below)) in steps.into_iter().enumerate() {
                let key = if key == 0 { String::new() } else { format!("n{key}.{}", "x".repeat(usize::from(key % 40) + 1)) };
                match value {
                    Some(value) if below && value % 2 == 0 => {
                        names.count_below(&key, value % 4 == 0);
                        let owner = model.entry(key.clone()).or_default();
                        owner.below = if value % 4 == 0 { owner.below + 1 } else { owner.below.saturating_sub(1) };
                        if owner.below == 0 && owner.own.is_none() && owner.wildcard.is_none() {
                            model.remove(&key);
                        }
                    }
                    Some(value) => {
                        let put = owner(value);
                        names.put(&key, &put);
                        if put.below == 0 && put.own.is_none() && put.wildcard.is_none() {
                            model.remove(&key);
                        } else {
                            model.insert(key.clone(), put);
                        }
                    }
                    None => {
                        names.put(&key, &OwnerChunks::default());
                        model.remove(&key);
                    }
                }
                prop_assert_eq!(names.len(), model.len());
                prop_assert!(same(names.get(&key), model.get(&key)), "{}", key);
                if number % 500 == 0 {
                    kept.push((names.clone(), model.clone()));
                }
            }
            kept.push((names, model));
            for (names, model) in kept {
                prop_assert_eq!(names.iter().count(), model.len());
                for (key, owner) in names.iter() {
                    prop_assert!(same(Some(owner), model.get(key)), "{}", key);
                }
                prop_assert!(model.iter().all(|(key, owner)| same(names.get(key), Some(owner))));
            }
        }
    }
}
