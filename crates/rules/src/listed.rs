//! An account's lists as rules look into them: how they travel, and how they are asked.
//!
//! * addresses: `ip.src in $office`; systems (numbers): where a field is filled that has one;
//! * hosts: `http.host in $ours`; a wildcard is for all names below it and, unless that was excluded, for itself;
//! * redirects ([`crate::redirects`]): `http.request.full_uri in $moved`, and the action `redirect` with `from_list`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use poterne_model::{Name, Network};
use serde::{Deserialize, Serialize};

use crate::{
    redirects::{Redirect, Redirects},
    sets::{self, Addresses, Numbers},
};

/// Most items in all lists together that the rules of a zone, or of an account, name; a list beyond it is not there for them.
pub const ITEMS_MAX: usize = 50_000;

/// Most bytes of all of them together, of which addresses and numbers take [`ITEM_BYTES`] each: they travel in one chunk with the rules.
pub const BYTES_MAX: usize = 1_500_000;

/// What an item takes beside its texts.
const ITEM_BYTES: usize = 18;

/// Longest name that hosts are looked for under, in bytes (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// A list of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedList {
    /// As rules name it, without `$`.
    pub name: String,
    /// What is in it.
    pub items: Items,
}

/// What is in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Items {
    /// Addresses and networks.
    Networks(Vec<Network>),
    /// Autonomous systems.
    Numbers(Vec<u32>),
    /// Hosts.
    Hosts(Vec<Host>),
    /// Where requests for an address are led.
    Redirects(Vec<Redirect>),
}

/// A host of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// A name, or `*.` and a name.
    pub name: Name,
    /// Of a wildcard: whether the name itself is left out.
    pub excludes_exact: bool,
}

/// Lists by their names, ready to be asked.
pub(crate) type Lists = BTreeMap<String, Listed>;

/// A list, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) enum Listed {
    Addresses(Arc<Addresses>),
    Numbers(Arc<Numbers>),
    Hosts(Arc<Hosts>),
    Redirects(Arc<Redirects>),
}

impl Items {
    fn count(&self) -> usize {
        match self {
            Self::Networks(all) => all.len(),
            Self::Numbers(all) => all.len(),
            Self::Hosts(all) => all.len(),
            Self::Redirects(all) => all.len(),
        }
    }

    fn bytes(&self) -> usize {
        let texts = match self {
            Self::Networks(_) | Self::Numbers(_) => 0,
            Self::Hosts(all) => all.iter().map(|host| host.name.as_str().len()).sum(),
            Self::Redirects(all) => all.iter().map(|redirect| redirect.source.len() + redirect.target.len()).sum(),
        };
        texts + self.count() * ITEM_BYTES
    }

    fn ready(&self) -> Listed {
        match self {
            Self::Networks(networks) => {
                let ranges = networks.iter().filter_map(|network| sets::network(network.address(), network.bits()));
                Listed::Addresses(Arc::new(Addresses::of(ranges)))
            }
            Self::Numbers(numbers) => {
                let ranges = numbers.iter().map(|number| (i64::from(*number), i64::from(*number)));
                Listed::Numbers(Arc::new(Numbers::of(ranges.collect())))
            }
            Self::Hosts(hosts) => Listed::Hosts(Arc::new(Hosts::of(hosts))),
            Self::Redirects(redirects) => Listed::Redirects(Arc::new(Redirects::of(redirects))),
        }
    }
}

/// Those that there is room for, in their order.
pub(crate) fn that_fit(lists: Vec<NamedList>) -> Vec<NamedList> {
    let (mut items, mut bytes) = (ITEMS_MAX, BYTES_MAX);
    let mut fits = |list: &NamedList| {
        let left = items.checked_sub(list.items.count()).zip(bytes.checked_sub(list.items.bytes()));
        (items, bytes) = left.unwrap_or((items, bytes));
        left.is_some()
    };
    lists.into_iter().filter(|list| fits(list)).collect()
}

/// By their names.
pub(crate) fn ready(lists: &[NamedList]) -> Lists {
    lists.iter().map(|list| (list.name.clone(), list.items.ready())).collect()
}

/// Hosts.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    names: HashSet<Name>,
    /// What stands behind `*.`, and whether that itself is left out.
    wildcards: HashMap<String, bool>,
}

impl Hosts {
    fn of(hosts: &[Host]) -> Self {
        let mut all = Self::default();
        for Host { name, excludes_exact } in hosts {
            match name.as_str().strip_prefix("*.") {
                Some(parent) => drop(all.wildcards.insert(parent.to_owned(), *excludes_exact)),
                None => drop(all.names.insert(name.clone())),
            }
        }
        all
    }

    /// Whether a host is one of them, whatever its case.
    pub(crate) fn contains(&self, host: &[u8]) -> bool {
        let Some(host) = std::str::from_utf8(host).ok().filter(|host| host.len() <= HOST_BYTES_MAX) else { return false };
        let host = host.to_ascii_lowercase();
        if self.names.contains(host.as_str()) || self.wildcards.get(&host) == Some(&false) {
            return true;
        }
        let mut rest = host.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            if self.wildcards.contains_key(parent) {
                return true;
            }
            rest = parent;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_for_what_is_below_it_and_mostly_for_itself() {
        let host = |name: &str, excludes_exact| Host { name: Name::parse(name).unwrap(), excludes_exact };
        let hosts = Hosts::of(&[host("a.test", false), host("*.b.test", false), host("*.c.test", true)]);
        let is_in = |host: &str| hosts.contains(host.as_bytes());
        assert!(is_in("a.test") && is_in("A.Test") && !is_in("x.a.test"));
        assert!(is_in("b.test") && is_in("x.b.test") && is_in("y.x.b.test") && !is_in("xb.test"));
        assert!(!is_in("c.test") && is_in("x.c.test"));
        assert!(!is_in("") && !is_in(&"a.".repeat(30_000)) && !hosts.contains(&[0xff]));
    }

    #[test]
    fn a_list_is_there_whole_or_not_at_all() {
        let list = |name: &str, items: Items| NamedList { name: name.into(), items };
        let networks = |count| Items::Networks(vec!["192.0.2.0/24".parse().unwrap(); count]);
        let redirect = Redirect { source: "a.test/".into(), target: "b".repeat(BYTES_MAX / 2), ..Redirect::default() };
        let redirects = |count| Items::Redirects(vec![redirect.clone(); count]);
        let lists = vec![
            list("huge", networks(ITEMS_MAX + 1)),
            list("long", redirects(2)),
            list("most", networks(ITEMS_MAX - 1)),
            list("one", Items::Numbers(vec![1])),
            list("more", Items::Numbers(vec![2])),
        ];
        let names: Vec<String> = that_fit(lists).into_iter().map(|list| list.name).collect();
        assert_eq!(names, ["most", "one"]);
    }
}
