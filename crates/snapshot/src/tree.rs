//! A persistent map: cloning is one reference count, a change copies one page and the spine above it.
//!
//! Keys are spread by a 64-bit hash over a trie of sixteen-way branches; its leaves are pages of at most
//! [`PAGE_ENTRIES_MAX`] entries sorted by hash. A page that overflows becomes a branch, a branch that empties becomes a page.
//!
//! The hash is SipHash under a key drawn at random for each tree (and shared by its clones): tenants choose owner names, and
//! with a public hash they could choose names that all land in one page. Ids are drawn by control, not chosen, and are asked for with every
//! request: an [`IdTree`] takes a faster hash.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

/// Most entries in a page: large enough that the spine is short (two levels for 16,000 names), small enough that copying one
/// costs microseconds.
pub const PAGE_ENTRIES_MAX: usize = 256;

/// A branch with no more entries than this below it becomes a page again; far from the split, so that a name that comes
/// and goes does not rebuild pages each time.
const MERGE_ENTRIES_MAX: usize = 64;

const FAN_OUT: usize = 16;
const BITS: u32 = 4;
/// Levels after which all 64 bits of the hash are spent; a page below takes any number of (equal) hashes.
const DEPTH_MAX: u32 = u64::BITS / BITS;

/// The map. See the module's page.
#[derive(Clone)]
pub struct PageTree<K, V, S = RandomState> {
    root: Node<K, V>,
    hasher: S,
}

/// A map of what has an id.
pub type IdTree<K, V> = PageTree<K, V, foldhash::fast::RandomState>;

enum Node<K, V> {
    Page(Arc<Page<K, V>>),
    Branch(Arc<Branch<K, V>>),
}

#[derive(Clone)]
struct Branch<K, V> {
    len: usize,
    children: [Node<K, V>; FAN_OUT],
}

/// Entries sorted by hash; the hashes lie apart so that the search touches few cache lines.
#[derive(Clone)]
struct Page<K, V> {
    hashes: Vec<u64>,
    entries: Vec<(K, V)>,
}

impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Page(page) => Self::Page(page.clone()),
            Self::Branch(branch) => Self::Branch(branch.clone()),
        }
    }
}

impl<K, V, S: Default> Default for PageTree<K, V, S> {
    fn default() -> Self {
        Self { root: Node::empty(), hasher: S::default() }
    }
}

impl<K, V, S> PageTree<K, V, S> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.root.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every entry, in no useful order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { nodes: vec![&self.root], entries: [].iter() }
    }

    /// How many pages of `self` are not shared with `other`: what a change cost.
    #[cfg(test)]
    fn pages_unshared(&self, other: &Self) -> usize {
        let pages = |tree: &Self| {
            let (mut found, mut nodes) = (std::collections::HashSet::new(), vec![tree.root.clone()]);
            while let Some(node) = nodes.pop() {
                match node {
                    Node::Page(page) => drop(found.insert(Arc::as_ptr(&page).addr())),
                    Node::Branch(branch) => nodes.extend(branch.children.iter().cloned()),
                }
            }
            found
        };
        let theirs = pages(other);
        pages(self).into_iter().filter(|page| !theirs.contains(page)).count()
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> PageTree<K, V, S> {
    /// The value of a key; allocates nothing.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(_, value)| value)
    }

    fn entry<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let mut node = &self.root;
        let mut depth = 0;
        loop {
            match node {
                Node::Page(page) => return page.find(hash, key).ok().map(|at| &page.entries[at]),
                Node::Branch(branch) => node = &branch.children[slot(hash, depth)],
            }
            depth += 1;
        }
    }

    /// The key that is there, where it says more than what it is found by; allocates nothing.
    pub fn get_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(key, _)| key)
    }

    /// Whether the key is there.
    pub fn contains<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// The value of a key, to be changed in place; copies what is shared. Copies nothing when the key is absent.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.contains(key) {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let mut node = &mut self.root;
        let mut depth = 0;
        loop {
            match node {
                Node::Page(page) => {
                    let at = page.find(hash, key).ok()?;
                    return Some(&mut Arc::make_mut(page).entries[at].1);
                }
                Node::Branch(branch) => node = &mut Arc::make_mut(branch).children[slot(hash, depth)],
            }
            depth += 1;
        }
    }

    /// Puts a value, and returns the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.hasher.hash_one(&key);
        self.root.insert(hash, 0, key, value)
    }

    /// Takes a key out, and returns its value. Copies nothing when the key is absent.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.contains(key) {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        self.root.remove(hash, 0, key)
    }
}

impl<K, V> Node<K, V> {
    fn empty() -> Self {
        Self::Page(Arc::new(Page { hashes: Vec::new(), entries: Vec::new() }))
    }

    fn len(&self) -> usize {
        match self {
            Self::Page(page) => page.entries.len(),
            Self::Branch(branch) => branch.len,
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Node<K, V> {
    fn insert(&mut self, hash: u64, depth: u32, key: K, value: V) -> Option<V> {
        match self {
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let old = branch.children[slot(hash, depth)].insert(hash, depth + 1, key, value);
                branch.len += usize::from(old.is_none());
                old
            }
            Self::Page(page) => {
                match page.find(hash, &key) {
                    Ok(at) => return Some(std::mem::replace(&mut Arc::make_mut(page).entries[at].1, value)),
                    Err(at) => {
                        let page = Arc::make_mut(page);
                        page.make_room();
                        page.hashes.insert(at, hash);
                        page.entries.insert(at, (key, value));
                    }
                }
                if page.entries.len() > PAGE_ENTRIES_MAX && depth < DEPTH_MAX {
                    *self = split(page, depth);
                }
                None
            }
        }
    }

    fn remove<Q: Hash + Eq + ?Sized>(&mut self, hash: u64, depth: u32, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Page(page) => {
                let at = page.find(hash, key).ok()?;
                let page = Arc::make_mut(page);
                page.hashes.remove(at);
                Some(page.entries.remove(at).1)
            }
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                let old = branch.children[slot(hash, depth)].remove(hash, depth + 1, key)?;
                branch.len -= 1;
                if branch.len <= MERGE_ENTRIES_MAX {
                    *self = merge(self);
                }
                Some(old)
            }
        }
    }
}

impl<K: Eq, V> Page<K, V> {
    /// Where the key is, or where it would go.
    fn find<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        let first = self.hashes.partition_point(|&other| other < hash);
        let same = self.hashes[first..].iter().take_while(|&&other| other == hash).count();
        (first..first + same).find(|&at| self.entries[at].0.borrow() == key).ok_or(first)
    }
}

impl<K, V> Page<K, V> {
    /// For one more. By a quarter and not by twice as vectors grow: a page is small enough to be copied often, and there are so many of
    /// them that what they leave empty is memory.
    fn make_room(&mut self) {
        if self.entries.len() == self.entries.capacity() {
            let more = (self.entries.len() / 4).max(4);
            self.hashes.reserve_exact(more);
            self.entries.reserve_exact(more);
        }
    }
}

/// Which child of a branch at this depth; the highest bits first, so that a page's hashes stay sorted when it is cut.
fn slot(hash: u64, depth: u32) -> usize {
    let shifted = hash >> (u64::BITS - BITS * (depth + 1));
    usize::try_from(shifted % FAN_OUT as u64).expect("below the fan-out")
}

fn split<K: Clone, V: Clone>(page: &Page<K, V>, depth: u32) -> Node<K, V> {
    let mut at = 0;
    let children = std::array::from_fn(|child| {
        let end = at + page.hashes[at..].iter().take_while(|&&hash| slot(hash, depth) == child).count();
        let range = at..end;
        at = end;
        Node::Page(Arc::new(Page { hashes: page.hashes[range.clone()].to_vec(), entries: page.entries[range].to_vec() }))
    });
    Node::Branch(Arc::new(Branch { len: page.entries.len(), children }))
}

/// One page of all that lies below; children in order keep the hashes sorted.
fn merge<K: Clone, V: Clone>(node: &Node<K, V>) -> Node<K, V> {
    fn collect<K: Clone, V: Clone>(node: &Node<K, V>, page: &mut Page<K, V>) {
        match node {
            Node::Page(part) => {
                page.hashes.extend_from_slice(&part.hashes);
                page.entries.extend_from_slice(&part.entries);
            }
            Node::Branch(branch) => branch.children.iter().for_each(|child| collect(child, page)),
        }
    }
    let mut page = Page { hashes: Vec::new(), entries: Vec::new() };
    collect(node, &mut page);
    Node::Page(Arc::new(page))
}

/// Every entry of a [`PageTree`].
pub struct Iter<'a, K, V> {
    nodes: Vec<&'a Node<K, V>>,
    entries: std::slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.entries.next() {
                return Some((key, value));
            }
            match self.nodes.pop()? {
                Node::Page(page) => self.entries = page.entries.iter(),
                Node::Branch(branch) => self.nodes.extend(branch.children.iter()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_copies_one_page_and_spares_the_clone() {
        let mut tree: PageTree<_, _> = PageTree::default();
        for number in 0..100_000u32 {
            tree.insert(number, number);
        }
        let before = tree.clone();
        tree.insert(7, 8);
        assert_eq!((before.get(&7), tree.get(&7)), (Some(&7), Some(&8)));
        assert_eq!(tree.pages_unshared(&before), 1);
        assert_eq!(tree.remove(&100_000), None);
        assert_eq!(tree.pages_unshared(&before), 1, "asking for what is absent copies nothing");
    }

    #[test]
    fn pages_leave_little_room_empty() {
        let mut tree: PageTree<_, _> = PageTree::default();
        for number in 0..50_000u32 {
            tree.insert(number, number);
        }
        // A change copies its page, which grows anew.
        let kept = tree.clone();
        for number in 50_000..51_000u32 {
            tree.insert(number, number);
        }
        let (mut room, mut nodes) = (0, vec![&tree.root]);
        while let Some(node) = nodes.pop() {
            match node {
                Node::Page(page) => room += page.entries.capacity(),
                Node::Branch(branch) => nodes.extend(&branch.children),
            }
        }
        assert!(room * 4 < tree.len() * 5, "room for {room}");
        assert_eq!(kept.len(), 50_000);
    }

    #[test]
    fn equal_hashes_lie_side_by_side_in_one_page() {
        let mut node = Node::empty();
        for key in 0..1000u32 {
            assert_eq!(node.insert(42, 0, key, key), None);
        }
        assert_eq!(node.len(), 1000);
        for key in 0..1000u32 {
            assert_eq!(node.remove(42, 0, &key), Some(key));
        }
        assert_eq!(node.len(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_behaves_as_an_ordered_map_and_old_clones_never_change(
            steps in prop::collection::vec((0u16..700, prop::option::weighted(0.7, any::<u8>())), 0..3000),
        ) {
            let mut tree: PageTree<_, _> = PageTree::default();
            let mut model = BTreeMap::new();
            let mut kept = Vec::new();
            for (number, (key, value)) in steps.into_iter().enumerate() {
                match value {
                    Some(value) => prop_assert_eq!(tree.insert(key, value), model.insert(key, value)),
                    None => prop_assert_eq!(tree.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(tree.len(), model.len());
                if let Some(value) = tree.get_mut(&(key / 2)) {
                    *value = value.wrapping_add(1);
                    *model.get_mut(&(key / 2)).expect("the model has what the tree has") = *value;
                }
                if number % 500 == 0 {
                    kept.push((tree.clone(), model.clone()));
                }
            }
            kept.push((tree, model));
            for (tree, model) in kept {
                let all: BTreeMap<u16, u8> = tree.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(&all, &model);
                prop_assert!((0..700).all(|key| tree.get(&key) == model.get(&key)));
            }
        }
    }
}
