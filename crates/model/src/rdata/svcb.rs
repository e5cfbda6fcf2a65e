//! SVCB and HTTPS: how to reach a service (RFC 9460).
//!
//! Target and parameters are kept as submitted, since clients compare them; what they say is read to refuse what resolvers would.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Host, Member, RdataError,
    error::shown,
    key::decoded,
    source::{Source, quoting},
    token::{ascii, tokens, unescape},
};

/// How to reach a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svcb {
    /// 0 is an alias.
    pub priority: u16,
    /// The target.
    pub target: Host,
    /// The target as it is shown.
    pub target_text: String,
    /// The parameters as they are shown.
    pub params: String,
}

/// Longest parameters, in octets of ASCII: as a zone file has them.
const PARAMS_OCTETS_MAX: usize = 4096;

/// RFC 9460 §14.3.2, RFC 9461, RFC 9540.
const KEYS: [&str; 9] = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

/// The numbers of the keys whose values are more than octets.
pub mod keys {
    /// Keys that must be understood.
    pub const MANDATORY: u16 = 0;
    /// Protocols.
    pub const ALPN: u16 = 1;
    /// HTTP/1.1 is not offered.
    pub const NO_DEFAULT_ALPN: u16 = 2;
    /// The port.
    pub const PORT: u16 = 3;
    /// Addresses that need not be asked for.
    pub const IPV4HINT: u16 = 4;
    /// How to hide the name that is asked for.
    pub const ECH: u16 = 5;
    /// Addresses that need not be asked for.
    pub const IPV6HINT: u16 = 6;
}

use keys::{ALPN, MANDATORY, NO_DEFAULT_ALPN};

impl Svcb {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let priority = source.u16("priority")?;
        let text = source.word("target")?;
        let target = source.read_host("target", &text)?;
        // Echoed as submitted, save what would read otherwise elsewhere: names relative to a zone file's origin, and other letters.
        let target_text = if text.is_ascii() && !source.has_origin() { text } else { target.absolute() };
        let params = source.verbatim("value")?;
        let (length, max) = (ascii(&params).len(), PARAMS_OCTETS_MAX);
        if length > max {
            return Err(RdataError::TooLong { rtype: source.rtype, length, unit: "octets of parameters", max });
        }
        if params.chars().any(char::is_control) {
            return Err(source.wrong("value", &params, "has control characters: put the parameters on one line"));
        }
        check(&read_params(source, &params)?).map_err(|why| source.wrong("value", &params, why))?;
        Ok(Self { priority, target, target_text, params })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("priority", self.priority),
            Member::word("target", &*self.target_text),
            Member::word("value", &*self.params),
        ]
    }

    /// The parameters by number, in the order of the numbers, each with its value without quotes and escapes: what comparing takes, and
    /// what the wire's form is made of.
    pub fn canonical_params(&self) -> Vec<(u16, Vec<u8>)> {
        let params = tokens(&self.params).unwrap_or_default();
        let mut params: Vec<_> = params.iter().filter_map(|token| split(token.raw).ok()).collect();
        params.sort();
        params
    }
}

type Params = Vec<(u16, Vec<u8>)>;

fn read_params(source: &Source<'_>, text: &str) -> Result<Params, RdataError> {
    let cut = tokens(text).map_err(|error| quoting(source.rtype, text, error))?;
    let mut params: Params = Vec::with_capacity(cut.len());
    for token in cut {
        let (key, value) = split(token.raw).map_err(|why| source.wrong("value", token.raw, why))?;
        if token.quoted || params.iter().any(|(other, _)| *other == key) {
            let why = if token.quoted { "has no key: write key=\"value\"" } else { "comes twice: keep one" };
            return Err(RdataError::Member { rtype: source.rtype, member: "value", value: shown(token.raw), why });
        }
        params.push((key, value));
    }
    Ok(params)
}

/// `key`, `key=value` or `key="value"`.
fn split(raw: &str) -> Result<(u16, Vec<u8>), &'static str> {
    let (key, value) = raw.split_once('=').unwrap_or((raw, ""));
    let number = key_number(key).ok_or("has no known key: use alpn, port, ipv4hint, ipv6hint, ech, … or keyNNNNN")?;
    let value = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or("goes on after its quotes")?,
        None => value,
    };
    if value.is_empty() && raw.contains('=') && !raw.ends_with("\"\"") {
        return Err("has no value after the '='");
    }
    Ok((number, unescape(value).map_err(|error| error.why)?))
}

/// The number of a key, by its name or as `keyNNNNN`.
pub fn key_number(key: &str) -> Option<u16> {
    if let Some(at) = KEYS.iter().position(|known| *known == key) {
        return u16::try_from(at).ok();
    }
    let digits = key.strip_prefix("key").filter(|digits| !digits.is_empty() && (*digits == "0" || !digits.starts_with('0')))?;
    // 65535 is reserved as invalid.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten().filter(|number| *number != u16::MAX)
}

/// RFC 9460 §7 and §8.
fn check(params: &Params) -> Result<(), &'static str> {
    let has = |key: u16| params.iter().any(|(other, _)| *other == key);
    for (key, value) in params {
        let text = std::str::from_utf8(value).unwrap_or("\0");
        let each = |ok: fn(&str) -> bool| text.split(',').all(ok);
        let fine = match KEYS.get(usize::from(*key)).copied().unwrap_or_default() {
            "mandatory" => {
                let keys: Vec<_> = text.split(',').map(key_number).collect();
                let known = keys.iter().all(|key| key.is_some_and(|key| key != MANDATORY && has(key)));
                known && (1..keys.len()).all(|at| !keys[..at].contains(&keys[at]))
            }
            // A comma inside one is escaped twice over; such ids do not exist.
            "alpn" => each(|id| (1..=255).contains(&id.len())),
            "no-default-alpn" | "ohttp" => value.is_empty(),
            "port" => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
            "ipv4hint" => each(|address| address.parse::<Ipv4Addr>().is_ok()),
            "ipv6hint" => each(|address| address.parse::<Ipv6Addr>().is_ok()),
            "ech" => !decoded(text).is_empty(),
            "dohpath" => text.starts_with('/') && text.contains("{?dns}"),
            _ => true,
        };
        if !fine {
            return Err(match KEYS.get(usize::from(*key)).copied().unwrap_or_default() {
                "mandatory" => "names in `mandatory` a key that is not there, twice, or itself",
                "alpn" => "has an `alpn` that is no list of protocols, such as h3,h2",
                "no-default-alpn" | "ohttp" => "gives a value to a key that takes none",
                "port" => "has a `port` that is not a number from 0 to 65535",
                "ipv4hint" => "has an `ipv4hint` that is no list of IPv4 addresses",
                "ipv6hint" => "has an `ipv6hint` that is no list of IPv6 addresses",
                "ech" => "has an `ech` that is not base64",
                _ => "has a `dohpath` that is no path with {?dns}",
            });
        }
    }
    if has(NO_DEFAULT_ALPN) && !has(ALPN) {
        return Err("has `no-default-alpn` without `alpn`: name a protocol");
    }
    Ok(())
}
