//! Bulk redirects: a list of addresses, each of which leads elsewhere (edge-behaviour §4.7).
//!
//! Of several that an address meets the most specific one counts: the host itself before a name above it, and a nearer one before one further
//! up; the path itself before what stands above it, and the longer before the shorter; one for a scheme before one for both. The query is
//! not looked at.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound::{Included, Unbounded},
};

use serde::{Deserialize, Serialize};

/// One of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Host and path, with a scheme where it is for that one alone: `https://example.com/old`.
    pub source: String,
    /// Where it leads.
    pub target: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Whether it is for all names below the host too.
    pub subdomains: bool,
    /// Whether it is for all paths below too.
    pub subpaths: bool,
    /// Whether the request's query goes along.
    pub keeps_query: bool,
    /// Whether what the path has more than the source goes along.
    pub keeps_suffix: bool,
}

/// A list, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    all: Vec<Redirect>,
    /// By host, whatever is for it.
    hosts: HashMap<Box<str>, Paths>,
    /// By host, what is for the names below it.
    above: HashMap<Box<str>, Paths>,
}

/// Of one host, by scheme (clear, TLS, both).
#[derive(Debug, Default)]
struct Paths([OfScheme; 3]);

/// By path, which of [`Redirects::all`].
#[derive(Debug, Default)]
struct OfScheme {
    exact: HashMap<Box<str>, usize>,
    /// For whatever is below, too.
    below: BTreeMap<Box<str>, usize>,
}

const BOTH: usize = 2;

/// Longest host that is looked for, in bytes (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// An address, as far as it matters here.
struct Asked<'a> {
    /// None: it says none.
    scheme: Option<usize>,
    host: &'a str,
    path: &'a str,
}

impl Redirects {
    pub(crate) fn of(list: &[Redirect]) -> Self {
        let mut made = Self { all: list.to_vec(), ..Self::default() };
        for (at, redirect) in list.iter().enumerate() {
            let Asked { scheme, host, path } = split(&redirect.source);
            let put = |hosts: &mut HashMap<Box<str>, Paths>| {
                let of = &mut hosts.entry(host.into()).or_default().0[scheme.unwrap_or(BOTH)];
                of.exact.insert(path.into(), at);
                if redirect.subpaths {
                    of.below.insert(path.into(), at);
                }
            };
            put(&mut made.hosts);
            if redirect.subdomains {
                put(&mut made.above);
            }
        }
        made
    }

    /// What an address meets, and where that leads: all but the query.
    pub(crate) fn find(&self, address: &[u8]) -> Option<(&Redirect, String)> {
        let address = std::str::from_utf8(address).ok()?;
        let asked = split(address);
        let host = asked.host.to_ascii_lowercase();
        if host.len() > HOST_BYTES_MAX {
            return None;
        }
        let path = asked.path;
        let found = |paths: Option<&Paths>| paths.and_then(|paths| paths.find(asked.scheme, path));
        let mut at = found(self.hosts.get(host.as_str()));
        let mut rest = host.as_str();
        while let (None, Some((_, parent))) = (at, rest.split_once('.')) {
            at = found(self.above.get(parent));
            rest = parent;
        }
        let redirect = self.all.get(at?)?;
        let source = split(&redirect.source).path;
        let suffix = path.strip_prefix(source).filter(|_| redirect.subpaths && redirect.keeps_suffix).unwrap_or_default();
        Some((redirect, joined(&redirect.target, suffix)))
    }
}

impl Paths {
    fn find(&self, scheme: Option<usize>, path: &str) -> Option<usize> {
        let of: [Option<&OfScheme>; 2] = [scheme.map(|scheme| &self.0[scheme]), Some(&self.0[BOTH])];
        let of = || of.into_iter().flatten();
        if let Some(exact) = of().find_map(|of| of.exact.get(path)) {
            return Some(*exact);
        }
        // The longest; of two alike the one for the scheme, which comes first.
        let below = of().filter_map(|of| of.above(path));
        below.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, at)| at)
    }
}

impl OfScheme {
    /// The longest path that this one is below, by its length.
    fn above(&self, path: &str) -> Option<(usize, usize)> {
        let mut within = path;
        loop {
            let (source, at) = self.below.range::<str, _>((Unbounded, Included(within))).next_back()?;
            if is_below(path, source) {
                return Some((source.len(), *at));
            }
            // Whatever is above is above what both have in common.
            let common = within.bytes().zip(source.bytes()).take_while(|(one, other)| one == other).count();
            let mut shorter = common.min(within.len().checked_sub(1)?);
            while !within.is_char_boundary(shorter) {
                shorter -= 1;
            }
            within = &within[..shorter];
        }
    }
}

/// Whether a path is another one, or below it.
fn is_below(path: &str, source: &str) -> bool {
    let Some(rest) = path.strip_prefix(source) else { return false };
    rest.is_empty() || rest.starts_with('/') || source.ends_with('/')
}

/// Scheme, host without its port, and path without query.
fn split(address: &str) -> Asked<'_> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(0), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(1), rest),
        _ => (None, address),
    };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    Asked { scheme, host, path: if path.is_empty() { "/" } else { path } }
}

/// The target with more behind its path.
fn joined(target: &str, suffix: &str) -> String {
    let suffix = suffix.trim_start_matches('/');
    if suffix.is_empty() {
        return target.to_owned();
    }
    let (start, end) = target.split_at(target.find(['?', '#']).unwrap_or(target.len()));
    format!("{}/{suffix}{end}", start.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redirect(source: &str, target: &str, words: &str) -> Redirect {
        let is = |word| words.contains(word);
        Redirect {
            source: source.into(),
            target: target.into(),
            status: 301,
            subdomains: is("subdomains"),
            subpaths: is("subpaths"),
            keeps_query: false,
            keeps_suffix: is("suffix"),
        }
    }

    fn led(list: &[Redirect], address: &str) -> Option<String> {
        Redirects::of(list).find(address.as_bytes()).map(|(_, to)| to)
    }

    #[test]
    fn the_most_specific_counts() {
        let list = [
            redirect("a.test/", "https://t/root", "subdomains subpaths"),
            redirect("a.test/old", "https://t/old", "subpaths suffix"),
            redirect("a.test/old/page", "https://t/page", ""),
            redirect("https://a.test/old", "https://t/tls", "subpaths suffix"),
            redirect("w.a.test/", "https://t/w", ""),
        ];
        for (address, to) in [
            ("http://a.test/", Some("https://t/root")),
            ("http://a.test", Some("https://t/root")),
            ("http://a.test/other", Some("https://t/root")),
            ("http://a.test/old", Some("https://t/old")),
            ("http://a.test/old/x/y?z", Some("https://t/old/x/y")),
            ("http://a.test/older", Some("https://t/root")),
            ("http://A.test:8080/old/page?q", Some("https://t/page")),
            ("https://a.test/old/page/x", Some("https://t/tls/page/x")),
            ("a.test/old/", Some("https://t/old")),
            ("https://w.a.test/", Some("https://t/w")),
            ("https://w.a.test/deeper", Some("https://t/root")),
            ("https://b.test/", None),
            ("https://test/", None),
            ("", None),
        ] {
            assert_eq!(led(&list, address).as_deref(), to, "{address}");
        }
        assert!(Redirects::of(&list).find(b"a.test/\xff").is_none());
    }

    #[test]
    fn a_suffix_stands_before_the_query_of_the_target() {
        let to = |target: &str| led(&[redirect("a.test/x/", target, "subpaths suffix")], "http://a.test/x/y/").unwrap();
        assert_eq!(to("https://t/"), "https://t/y/");
        assert_eq!(to("https://t/z?a#b"), "https://t/z/y/?a#b");
        assert_eq!(to("https://t"), "https://t/y/");
        assert_eq!(led(&[redirect("a.test/x", "https://t/z", "subpaths")], "http://a.test/x/y").unwrap(), "https://t/z");
    }

    proptest! {
        /// Beside a search that looks at each.
        #[test]
        fn the_longest_path_above_is_found(sources in prop::collection::vec("(/[ab\u{e9}]{0,2}){1,3}", 0..8), path in "(/[ab\u{e9}]{0,2}){1,4}") {
            let list: Vec<Redirect> = sources.iter().map(|path| redirect(&format!("a.test{path}"), path, "subpaths")).collect();
            let above = sources.iter().filter(|source| is_below(&path, source)).max_by_key(|source| source.len());
            prop_assert_eq!(led(&list, &format!("a.test{path}")), above.cloned());
        }
    }
}
