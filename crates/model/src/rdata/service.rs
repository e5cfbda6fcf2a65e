//! Records that lead to services: MX, SRV, NAPTR, URI, and who may issue for them: CAA.

use super::{Host, Member, RdataError, source::Source};

/// Longest character string on the wire, in octets (RFC 1035 §3.3).
pub(crate) const STRING_OCTETS_MAX: usize = 255;

/// A mail exchanger (RFC 1035 §3.3.9; `0 .` is "no mail here", RFC 7505).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// The lower, the sooner.
    pub priority: u16,
    /// The exchanger. Shown alone as content.
    pub host: Host,
}

/// Where a service is (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// The lower, the sooner. Not shown in the content.
    pub priority: u16,
    /// The share among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; the root where the service is not offered.
    pub target: Host,
}

/// A rewriting rule (RFC 3403 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// The order rules are tried in.
    pub order: u16,
    /// Preference among equals.
    pub preference: u16,
    /// `S`, `A`, `U`, `P` or nothing.
    pub flags: String,
    /// The service.
    pub service: String,
    /// The substitution.
    pub regex: String,
    /// The next name.
    pub replacement: Host,
}

/// A URI (RFC 7553).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The lower, the sooner. Not shown in the content.
    pub priority: u16,
    /// The share among equals.
    pub weight: u16,
    /// The URI; not empty.
    pub target: String,
}

/// Who may issue certificates (RFC 8659 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caa {
    /// 128 is "refuse if you do not know the tag".
    pub flags: u8,
    /// `issue`, `issuewild`, `iodef`, …: letters and digits.
    pub tag: String,
    /// What the tag says.
    pub value: String,
}

/// The priority: of a text when it has one word more than the type needs without, else the one given beside it.
fn priority(source: &mut Source<'_>, without: usize, beside: Option<u16>) -> Result<u16, RdataError> {
    match (source.left(), beside) {
        (Some(left), Some(priority)) if left <= without => Ok(priority),
        (Some(left), None) if left <= without => Err(RdataError::Missing { rtype: source.rtype, member: "priority" }),
        _ => source.u16("priority"),
    }
}

impl Mx {
    pub(crate) fn read(source: &mut Source<'_>, beside: Option<u16>) -> Result<Self, RdataError> {
        let priority = priority(source, 1, beside)?;
        Ok(Self { priority, host: source.host("content")? })
    }
}

impl Srv {
    /// From `data`, `priority weight port target`, or `weight port target` with the priority beside it (api-v4 §4.2).
    pub(crate) fn read(source: &mut Source<'_>, beside: Option<u16>) -> Result<Self, RdataError> {
        let priority = match priority(source, 3, beside) {
            // In `data` it may be left out when it is beside it.
            Err(RdataError::Missing { .. }) if source.left().is_none() && beside.is_some() => beside.unwrap_or_default(),
            other => other?,
        };
        Ok(Self { priority, weight: source.u16("weight")?, port: source.u16("port")?, target: source.host("target")? })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("priority", self.priority),
            Member::number("weight", self.weight),
            Member::number("port", self.port),
            Member::word("target", self.target.to_string()),
        ]
    }
}

impl Naptr {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let (order, preference) = (source.u16("order")?, source.u16("preference")?);
        let flags = source.string("flags", STRING_OCTETS_MAX)?;
        if !flags.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(source.wrong("flags", &flags, "has other characters than letters and digits"));
        }
        let service = source.string("service", STRING_OCTETS_MAX)?;
        let regex = source.string("regex", STRING_OCTETS_MAX)?;
        Ok(Self { order, preference, flags, service, regex, replacement: source.host("replacement")? })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("order", self.order),
            Member::number("preference", self.preference),
            Member::quoted("flags", &self.flags),
            Member::quoted("service", &self.service),
            Member::quoted("regex", &self.regex),
            Member::word("replacement", self.replacement.to_string()),
        ]
    }
}

impl Uri {
    /// Longest target kept, in octets.
    const TARGET_OCTETS_MAX: usize = 2048;

    pub(crate) fn read(source: &mut Source<'_>, beside: Option<u16>) -> Result<Self, RdataError> {
        // In `data` there is none: it is beside it (api-v4 §4.2).
        let priority = match (source.left(), beside) {
            (None, Some(priority)) => priority,
            _ => priority(source, 2, beside)?,
        };
        let weight = source.u16("weight")?;
        let target = source.string("target", Self::TARGET_OCTETS_MAX)?;
        if target.is_empty() {
            return Err(RdataError::Missing { rtype: source.rtype, member: "target" });
        }
        Ok(Self { priority, weight, target })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![Member::number("weight", self.weight), Member::quoted("target", &self.target)]
    }
}

impl Caa {
    /// Longest value kept, in octets.
    const VALUE_OCTETS_MAX: usize = 2048;

    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let (flags, tag) = (source.u8("flags")?, source.word("tag")?);
        if tag.len() > STRING_OCTETS_MAX || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(source.wrong("tag", &tag, "is not one of letters and digits: use issue, issuewild or iodef"));
        }
        Ok(Self { flags, tag, value: source.string("value", Self::VALUE_OCTETS_MAX)? })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![Member::number("flags", self.flags), Member::word("tag", &*self.tag), Member::quoted("value", &self.value)]
    }
}
