//! What of a head concerns one connection alone (RFC 9110 §7.6.1), either way. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Drops `Connection`, the fields that it names, and those that `dropped` does, which are `Keep-Alive` and `Upgrade` at least.
pub(crate) fn strip(headers: &mut HeaderMap, dropped: impl Fn(&HeaderName) -> bool) {
    let mut said = headers.get_all(header::CONNECTION).iter().peekable();
    let (connection, nominates) = (said.peek().is_some(), said.any(nominates));
    let mut found: [Option<HeaderName>; 16] = Default::default();
    // A head has a bounded number of fields, so a few rounds always end.
    loop {
        let mut count = 0;
        for name in headers.keys() {
            if count < found.len() && (dropped(name) || nominates && is_nominated(name, headers)) {
                found[count] = Some(name.clone());
                count += 1;
            }
        }
        let full = count == found.len();
        for name in found[..count].iter_mut().filter_map(Option::take) {
            headers.remove(name);
        }
        if !full {
            break;
        }
    }
    if connection {
        headers.remove(header::CONNECTION);
    }
}

/// Whether a value names any field but those that go anyway. Nearly all say no more than one such word: then the fields need not be
/// compared with it one by one.
fn nominates(value: &HeaderValue) -> bool {
    !["keep-alive", "close", "upgrade"].iter().any(|word| value.as_bytes().eq_ignore_ascii_case(word.as_bytes()))
}

/// What is read after this (`TE`), goes last (`Connection`), or is checked and ours to keep or write (the host, the length) is nobody's to
/// take away.
fn is_nominated(name: &HeaderName, headers: &HeaderMap) -> bool {
    if matches!(*name, header::CONNECTION | header::TE | header::HOST | header::CONTENT_LENGTH) {
        return false;
    }
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_nominated_goes_however_much_it_is() {
        let mut headers = HeaderMap::new();
        for number in 0..40 {
            let name = HeaderName::try_from(format!("x-hop-{number}")).unwrap();
            headers.append(header::CONNECTION, HeaderValue::try_from(format!("X-Hop-{number}, Host")).unwrap());
            headers.insert(name, HeaderValue::from_static("1"));
        }
        for kept in [header::HOST, header::TE, header::CONTENT_LENGTH, header::ACCEPT] {
            headers.insert(kept, HeaderValue::from_static("1"));
        }
        headers.insert(header::UPGRADE, HeaderValue::from_static("1"));
        strip(&mut headers, |name| *name == header::UPGRADE);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "content-length", "host", "te"]);
    }

    #[test]
    fn one_word_of_several_values_is_enough_to_name_a_field() {
        let left = |said: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(header::CONNECTION, HeaderValue::from_static(value));
            }
            headers.insert("x-hop", HeaderValue::from_static("1"));
            strip(&mut headers, |_| false);
            headers.len()
        };
        assert_eq!((left(&[]), left(&["Keep-Alive"]), left(&["close"]), left(&["Close", "upgrade"])), (1, 1, 1, 1));
        assert_eq!((left(&["close, x-hop"]), left(&["keep-alive", "X-Hop"]), left(&["x-hop "])), (0, 0, 0));
    }
}
