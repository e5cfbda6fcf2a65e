//! A name with its labels from the right, so that what lies below a name is one range of a sorted map.
//!
//! `www.example.com` is `com example www` ([`name::path`]): a name comes right before all that is within it, and nothing else lies
//! between. A path below a zone's apex leaves the apex out: the apex itself is the empty path.

use std::{collections::BTreeMap, sync::Arc};

use poterne_model::{Name, name};

/// The bytes, shared between the maps that hold them.
pub(crate) type Path = Arc<[u8]>;

const BETWEEN: u8 = b' ';

/// A name, turned round.
pub(crate) fn path(name: &str) -> Vec<u8> {
    name::path(name).into_bytes()
}

/// The name again.
pub(crate) fn name(path: &[u8]) -> Name {
    let text = std::str::from_utf8(path).expect("it was a name's labels when it was turned round");
    Name::parse(&name::of_path(text)).expect("it was a name when it was turned round")
}

/// The name's text, in place of what is there.
pub(crate) fn write_name(path: &[u8], text: &mut String) {
    text.clear();
    for label in path.rsplit(|byte| *byte == BETWEEN) {
        if !text.is_empty() {
            text.push('.');
        }
        // It was a name's label, which is ASCII.
        text.extend(label.iter().map(|byte| char::from(*byte)));
    }
}

/// Whether `path` is `root` or lies below it.
pub(crate) fn is_within(path: &[u8], root: &[u8]) -> bool {
    root.is_empty() || path.strip_prefix(root).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == BETWEEN))
}

/// What is left of a path when the root, within which it lies, is taken off.
pub(crate) fn below<'a>(path: &'a [u8], root: &[u8]) -> &'a [u8] {
    path.get(root.len() + 1..).unwrap_or_default()
}

/// The root and what is below it, in one path.
pub(crate) fn join(root: &[u8], below: &[u8]) -> Vec<u8> {
    let mut path = root.to_vec();
    if !root.is_empty() && !below.is_empty() {
        path.push(BETWEEN);
    }
    path.extend_from_slice(below);
    path
}

/// The path and what it lies within, the longest first; the empty path comes last.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| parent(path))
}

/// What a path lies right below; none above the empty one.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    let cut = path.iter().rposition(|byte| *byte == BETWEEN);
    (!path.is_empty()).then(|| &path[..cut.unwrap_or(0)])
}

/// The path a wildcard stands under.
pub(crate) fn wildcard_parent(path: &[u8]) -> Option<&[u8]> {
    (path == b"*" || path.ends_with(b" *")).then(|| parent(path)).flatten()
}

/// Everything within `root`.
pub(crate) fn within<'a, V>(map: &'a BTreeMap<Path, V>, root: &'a [u8]) -> impl Iterator<Item = (&'a Path, &'a V)> {
    use std::ops::Bound::{Included, Unbounded};
    let from = map.range::<[u8], _>((Included(root), Unbounded));
    from.take_while(move |(path, _)| is_within(path, root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_turned_round_and_back() {
        for text in ["com", "www.example.com", "*.a-b._c.example.com"] {
            assert_eq!(name(&path(text)).as_str(), text);
            let mut written = "before".to_owned();
            write_name(&path(text), &mut written);
            assert_eq!(written, text);
        }
        assert_eq!(path("www.example.com"), b"com example www");
        assert_eq!(join(b"com example", below(b"com example www", b"com example")), b"com example www");
        assert_eq!(below(b"com example", b"com example"), b"");
        assert_eq!(wildcard_parent(&path("*.example.com")), Some(&b"com example"[..]));
        assert_eq!((wildcard_parent(b"*"), wildcard_parent(b"a b"), wildcard_parent(b"a*")), (Some(&b""[..]), None, None));
    }

    #[test]
    fn what_lies_below_a_name_is_one_range() {
        let names = ["example.com", "a.example.com", "b.a.example.com", "a-b.example.com", "ab.example.com", "exampleb.com"];
        let map: BTreeMap<Path, ()> = names.iter().map(|text| (path(text).into(), ())).collect();
        let found = |root: &str| within(&map, &path(root)).map(|(path, ())| name(path).to_string()).collect::<Vec<_>>();
        assert_eq!(found("a.example.com"), ["a.example.com", "b.a.example.com"]);
        assert_eq!(found("example.com").len(), 5);
        assert!(found("c.example.com").is_empty());
    }
}
