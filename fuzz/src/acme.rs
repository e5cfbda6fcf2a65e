//! Checks of `poterne-acme`.

use poterne_acme::{
    Method, Window,
    bundle::Bundle,
    caa::{Issuer, Issuing, Property, permits},
    leaf::{CHAIN_LENGTH_MAX, Leaf},
};

/// A chain, as somebody brings it or an authority gives it: DER, or PEM where it is text.
pub fn certificate(data: &[u8]) {
    let read = match std::str::from_utf8(data) {
        Ok(text) => Leaf::parse(text),
        Err(_) => Leaf::of_chain(vec![data.to_vec()]),
    };
    if let Ok(leaf) = std::str::from_utf8(data).map_err(drop).and_then(|text| Leaf::parse_any(text).map_err(drop)) {
        assert_eq!(read.is_ok(), !leaf.names.is_empty(), "a client's need name nobody");
    }
    if let Ok(bundle) = std::str::from_utf8(data).map_err(drop).and_then(|text| Bundle::parse(text).map_err(drop)) {
        assert!(!bundle.pem.contains("PRIVATE"), "{}", bundle.pem);
        assert_eq!(Bundle::parse(&bundle.pem), Ok(bundle), "what is kept is read again");
    }
    let Ok(leaf) = read else { return };
    assert!((1..=CHAIN_LENGTH_MAX).contains(&leaf.chain.len()) && !leaf.names.is_empty());
    assert!(leaf.names.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(Leaf::of_chain(leaf.chain.clone()), Ok(leaf));
}

/// What an authority says of renewing, and what CAA records say, a line each.
pub fn authority(data: &[u8]) {
    if let Ok(window) = Window::parse(data) {
        for chance in [0, 1, u64::MAX] {
            assert!((window.start..window.end).contains(&window.pick(chance)));
        }
    }
    let text = String::from_utf8_lossy(data);
    let property = |line: &str| {
        let (tag, value) = line.split_once(' ')?;
        Some(Property { flags: u8::try_from(value.len() % 256).ok()?, tag: tag.to_owned(), value: value.to_owned() })
    };
    let mut records: Vec<Property> = text.lines().filter_map(property).collect();
    let (issuers, account) = (["ca.example".to_owned()], "https://ca.example/acct/1");
    let issuing = |is_wildcard| Issuing { issuers: &issuers, account: Some(account), method: Method::Dns01, is_wildcard };
    let before = [false, true].map(|is_wildcard| permits(&records, issuing(is_wildcard)).is_ok());
    // What is added lets us, unless a critical tag lets nobody.
    let ours = Issuer { domain: "ca.example".into(), account: Some(account.into()) }.value();
    for tag in ["issue", "issuewild"] {
        records.push(Property { flags: 0, tag: tag.to_owned(), value: ours.clone() });
    }
    let after = [false, true].map(|is_wildcard| permits(&records, issuing(is_wildcard)).is_ok());
    assert!(after == [true; 2] || before == [false; 2], "{before:?} {after:?}");
}
