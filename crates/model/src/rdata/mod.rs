//! What one record says: its data, parsed once, for each type the API offers (api-v4 §4.2).
//!
//! Data comes as presentation text, with the priority in it or beside it, or as named members (`data`); both ways each type reads
//! its members in the same order from one `Source`. What goes out are the same members: [`Rdata::content`] as the API shows it,
//! [`Rdata::members`] for `data`, [`Rdata::presentation`] for zone files and the name server.
//!
//! Clients compare what they read with what they sent. So numbers become numbers, addresses canonical text (RFC 5952) and names
//! lower-case without a final dot, while TXT, base64, hexadecimal, and target and parameters of HTTPS and SVCB stay as they came.
//! Whether two spellings mean the same record is [`Rdata::same`]'s to say.
//!
//! `Rdata::parse(rtype, rdata.content(), rdata.priority())` gives the same data again: type, content and priority are all that a
//! store needs to keep. The octets of the wire are not made here: `dns/wire` makes them.
//!
//! * [`rtype`]: the types; [`error`]: refusals and their codes; [`host`]: host names inside data; [`member`]: named members;
//! * [`service`], [`key`], [`svcb`], [`loc`], [`txt`]: the types that are more than one address or name;
//! * `token`, `source`: cutting text, and taking members from it.

pub mod error;
pub mod host;
pub mod key;
pub mod loc;
pub mod member;
pub mod rtype;
pub mod service;
mod source;
pub mod svcb;
#[cfg(test)]
mod tests;
mod token;
pub mod txt;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use error::RdataError;
pub use host::{Host, Hosts};
pub use key::{Cert, Dnskey, Ds, Openpgpkey, Sshfp, Tlsa};
pub use loc::Loc;
pub use member::{Field, Fields, Member, Value};
pub use rtype::Rtype;
pub use service::{Caa, Mx, Naptr, Srv, Uri};
pub use svcb::Svcb;
pub use txt::Txt;

use crate::RecordData;
use source::Source;

/// Longest content read, in octets: a large OpenPGP key in base64. Types have smaller bounds of their own.
pub const CONTENT_OCTETS_MAX: usize = 32 * 1024;

/// The data of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rdata {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Who may issue certificates.
    Caa(Caa),
    /// A certificate.
    Cert(Cert),
    /// The canonical name.
    Cname(Host),
    /// A zone's public key.
    Dnskey(Dnskey),
    /// The digest of a child's key.
    Ds(Ds),
    /// How to reach an HTTP service.
    Https(Svcb),
    /// A place.
    Loc(Loc),
    /// A mail exchanger.
    Mx(Mx),
    /// A naming authority pointer.
    Naptr(Naptr),
    /// A name server.
    Ns(Host),
    /// An OpenPGP key.
    Openpgpkey(Openpgpkey),
    /// A pointer to a name.
    Ptr(Host),
    /// A certificate for S/MIME.
    Smimea(Tlsa),
    /// Where a service is.
    Srv(Srv),
    /// A fingerprint of an SSH host key.
    Sshfp(Sshfp),
    /// How to reach a service.
    Svcb(Svcb),
    /// A certificate for TLS.
    Tlsa(Tlsa),
    /// Text.
    Txt(Txt),
    /// A URI.
    Uri(Uri),
    /// Data of a type without a name here (RFC 3597).
    Unknown {
        /// The type's number.
        number: u16,
        /// Its octets.
        octets: Vec<u8>,
    },
}

impl Rdata {
    /// From presentation text. `priority` is the one beside it, for MX, SRV and URI; one inside the text goes before it.
    pub fn parse(rtype: Rtype, content: &str, priority: Option<u16>, hosts: Hosts<'_>) -> Result<Self, RdataError> {
        if content.len() > CONTENT_OCTETS_MAX {
            return Err(RdataError::TooLong { rtype, length: content.len(), unit: "octets", max: CONTENT_OCTETS_MAX });
        }
        if rtype == Rtype::Txt {
            // Cut by rules of its own: without quotes its spaces are text.
            return Txt::parse(content).map(Self::Txt);
        }
        let mut source = Source::text(rtype, content, hosts)?;
        let rdata = Self::read(&mut source, priority)?;
        source.end()?;
        Ok(rdata)
    }

    /// From the members of `data`, and the priority beside them.
    pub fn from_fields(rtype: Rtype, fields: &Fields, priority: Option<u16>, hosts: Hosts<'_>) -> Result<Self, RdataError> {
        if !rtype.is_structured() {
            return Err(RdataError::Missing { rtype, member: "content" });
        }
        let length: usize = fields.values().map(|field| if let Field::Text(text) = field { text.len() } else { 0 }).sum();
        if length > CONTENT_OCTETS_MAX {
            return Err(RdataError::TooLong { rtype, length, unit: "octets", max: CONTENT_OCTETS_MAX });
        }
        Self::read(&mut Source::fields(rtype, fields, hosts), priority)
    }

    fn read(source: &mut Source<'_>, priority: Option<u16>) -> Result<Self, RdataError> {
        Ok(match source.rtype {
            Rtype::A => {
                let text = source.word("content")?;
                let why = "is not an IPv4 address: write four numbers from 0 to 255, such as 192.0.2.1";
                Self::A(text.parse().map_err(|_| source.wrong("content", &text, why))?)
            }
            Rtype::Aaaa => {
                let text = source.word("content")?;
                let why = "is not an IPv6 address: write one such as 2001:db8::1";
                Self::Aaaa(text.parse().map_err(|_| source.wrong("content", &text, why))?)
            }
            Rtype::Caa => Self::Caa(Caa::read(source)?),
            Rtype::Cert => Self::Cert(Cert::read(source)?),
            Rtype::Cname => Self::Cname(named(source)?),
            Rtype::Dnskey => Self::Dnskey(Dnskey::read(source)?),
            Rtype::Ds => Self::Ds(Ds::read(source)?),
            Rtype::Https => Self::Https(Svcb::read(source)?),
            Rtype::Loc => Self::Loc(Loc::read(source)?),
            Rtype::Mx => Self::Mx(Mx::read(source, priority)?),
            Rtype::Naptr => Self::Naptr(Naptr::read(source)?),
            Rtype::Ns => Self::Ns(named(source)?),
            Rtype::Openpgpkey => Self::Openpgpkey(Openpgpkey::read(source)?),
            Rtype::Ptr => Self::Ptr(named(source)?),
            Rtype::Smimea => Self::Smimea(Tlsa::read(source)?),
            Rtype::Srv => Self::Srv(Srv::read(source, priority)?),
            Rtype::Sshfp => Self::Sshfp(Sshfp::read(source)?),
            Rtype::Svcb => Self::Svcb(Svcb::read(source)?),
            Rtype::Tlsa => Self::Tlsa(Tlsa::read(source)?),
            Rtype::Txt => unreachable!("its text is read whole by `parse`, and it has no members"),
            Rtype::Uri => Self::Uri(Uri::read(source, priority)?),
            Rtype::Unknown(number) => Self::Unknown { number, octets: unknown(source)? },
        })
    }

    /// Its type.
    pub fn rtype(&self) -> Rtype {
        match self {
            Self::A(_) => Rtype::A,
            Self::Aaaa(_) => Rtype::Aaaa,
            Self::Caa(_) => Rtype::Caa,
            Self::Cert(_) => Rtype::Cert,
            Self::Cname(_) => Rtype::Cname,
            Self::Dnskey(_) => Rtype::Dnskey,
            Self::Ds(_) => Rtype::Ds,
            Self::Https(_) => Rtype::Https,
            Self::Loc(_) => Rtype::Loc,
            Self::Mx(_) => Rtype::Mx,
            Self::Naptr(_) => Rtype::Naptr,
            Self::Ns(_) => Rtype::Ns,
            Self::Openpgpkey(_) => Rtype::Openpgpkey,
            Self::Ptr(_) => Rtype::Ptr,
            Self::Smimea(_) => Rtype::Smimea,
            Self::Srv(_) => Rtype::Srv,
            Self::Sshfp(_) => Rtype::Sshfp,
            Self::Svcb(_) => Rtype::Svcb,
            Self::Tlsa(_) => Rtype::Tlsa,
            Self::Txt(_) => Rtype::Txt,
            Self::Uri(_) => Rtype::Uri,
            Self::Unknown { number, .. } => Rtype::Unknown(*number),
        }
    }

    /// The priority that stands beside the content.
    pub fn priority(&self) -> Option<u16> {
        match self {
            Self::Mx(mx) => Some(mx.priority),
            Self::Srv(srv) => Some(srv.priority),
            Self::Uri(uri) => Some(uri.priority),
            _ => None,
        }
    }

    /// The members of `data`; none for types that have only content.
    pub fn members(&self) -> Option<Vec<Member>> {
        Some(match self {
            Self::Caa(data) => data.members(),
            Self::Cert(data) => data.members(),
            Self::Dnskey(data) => data.members(),
            Self::Ds(data) => data.members(),
            Self::Https(data) | Self::Svcb(data) => data.members(),
            Self::Loc(data) => data.members(),
            Self::Naptr(data) => data.members(),
            Self::Smimea(data) | Self::Tlsa(data) => data.members(),
            Self::Srv(data) => data.members(),
            Self::Sshfp(data) => data.members(),
            Self::Uri(data) => data.members(),
            _ => return None,
        })
    }

    /// The content as the API shows it: without the priority, and without the final dots of names.
    pub fn content(&self) -> String {
        match self {
            Self::A(address) => address.to_string(),
            Self::Aaaa(address) => address.to_string(),
            Self::Cname(host) | Self::Ns(host) | Self::Ptr(host) => host.to_string(),
            Self::Mx(mx) => mx.host.to_string(),
            Self::Openpgpkey(key) => key.0.clone(),
            Self::Txt(txt) => txt.content().to_owned(),
            Self::Srv(srv) => member::content(&srv.members()[1..]),
            Self::Unknown { octets, .. } => {
                let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
                format!("\\# {} {digits}", octets.len()).trim_end().to_owned()
            }
            structured => member::content(&structured.members().unwrap_or_default()),
        }
    }

    /// The whole data as a zone file has it (RFC 1035 §5.1): in ASCII, names with their final dots, text in quotes.
    pub fn presentation(&self) -> String {
        match self {
            Self::Cname(host) | Self::Ns(host) | Self::Ptr(host) => host.absolute(),
            Self::Mx(mx) => format!("{} {}", mx.priority, mx.host.absolute()),
            Self::Srv(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target.absolute()),
            Self::Uri(uri) => format!("{} {}", uri.priority, self.content()),
            Self::Naptr(naptr) => {
                let mut members = naptr.members();
                members.pop();
                format!("{} {}", member::content(&members), naptr.replacement.absolute())
            }
            Self::Https(svcb) | Self::Svcb(svcb) => {
                format!("{} {} {}", svcb.priority, svcb.target.absolute(), token::ascii(&svcb.params)).trim_end().to_owned()
            }
            Self::Txt(txt) => txt.strings().map(token::quote).collect::<Vec<_>>().join(" "),
            other => other.content(),
        }
    }

    /// Whether both say the same on the wire, however they are written. TXT values are compared as whole texts (api-v4 §0.8).
    pub fn same(&self, other: &Self) -> bool {
        // As the canonical texts say, without making them: a name's records are compared with each other.
        match (self, other) {
            (Self::Txt(one), Self::Txt(other)) => one.value() == other.value(),
            (Self::Https(one), Self::Https(other)) | (Self::Svcb(one), Self::Svcb(other)) => {
                (one.priority, &one.target) == (other.priority, &other.target)
                    && (one.params == other.params || one.canonical_params() == other.canonical_params())
            }
            (Self::Ds(one), Self::Ds(other)) => {
                (one.key_tag, one.algorithm, one.digest_type) == (other.key_tag, other.algorithm, other.digest_type)
                    && one.digest.eq_ignore_ascii_case(&other.digest)
            }
            (Self::Sshfp(one), Self::Sshfp(other)) => {
                (one.algorithm, one.kind) == (other.algorithm, other.kind)
                    && one.fingerprint.eq_ignore_ascii_case(&other.fingerprint)
            }
            (Self::Tlsa(one), Self::Tlsa(other)) | (Self::Smimea(one), Self::Smimea(other)) => {
                (one.usage, one.selector, one.matching_type) == (other.usage, other.selector, other.matching_type)
                    && one.certificate.eq_ignore_ascii_case(&other.certificate)
            }
            (Self::Caa(one), Self::Caa(other)) => {
                (one.flags, &one.value) == (other.flags, &other.value) && one.tag.eq_ignore_ascii_case(&other.tag)
            }
            (Self::Openpgpkey(_), Self::Openpgpkey(_)) | (Self::Cert(_), Self::Cert(_)) | (Self::Dnskey(_), Self::Dnskey(_)) => {
                self.canonical() == other.canonical()
            }
            _ => self == other,
        }
    }

    /// A text that data of this type shares with all that is the [same](Self::same), and with no other; for looking up, not for
    /// showing.
    pub fn canonical(&self) -> String {
        match self {
            Self::Txt(txt) => token::quote(txt.value()),
            Self::Https(svcb) | Self::Svcb(svcb) => {
                format!("{} {} {:?}", svcb.priority, svcb.target, svcb.canonical_params())
            }
            // Base64 with and without its padding.
            Self::Openpgpkey(key) => format!("{:?}", key::decoded(&key.0)),
            Self::Cert(Cert { kind, key_tag, algorithm, certificate }) => {
                format!("{kind} {key_tag} {algorithm} {:?}", key::decoded(certificate))
            }
            Self::Dnskey(Dnskey { flags, protocol, algorithm, public_key }) => {
                format!("{flags} {protocol} {algorithm} {:?}", key::decoded(public_key))
            }
            // Hexadecimal, and the tags of CAA, in either case.
            Self::Ds(_) | Self::Sshfp(_) | Self::Tlsa(_) | Self::Smimea(_) => self.content().to_ascii_lowercase(),
            Self::Caa(caa) => format!("{} {} {}", caa.flags, caa.tag.to_ascii_lowercase(), caa.value),
            other => other.presentation(),
        }
    }

    /// What filters and searches compare beside the content itself: the value of TXT without its quotes.
    pub fn unquoted(&self) -> Option<String> {
        match self {
            Self::Txt(txt) => Some(String::from_utf8_lossy(txt.value()).into_owned()),
            _ => None,
        }
    }
}

/// Words of a zone file's TXT record as content: each in quotes, which those of one already are.
pub fn quoted_strings(words: &[&str]) -> Result<String, RdataError> {
    let mut strings = Vec::with_capacity(words.len());
    for word in words {
        if word.starts_with('"') {
            strings.push((*word).to_owned());
        } else {
            let octets = token::unescape(word).map_err(|error| source::quoting(Rtype::Txt, word, error))?;
            strings.push(token::quote(&octets));
        }
    }
    Ok(strings.join(" "))
}

impl Rtype {
    /// Whether its data has named members.
    pub const fn is_structured(self) -> bool {
        !matches!(
            self,
            Self::A
                | Self::Aaaa
                | Self::Cname
                | Self::Mx
                | Self::Ns
                | Self::Openpgpkey
                | Self::Ptr
                | Self::Txt
                | Self::Unknown(_)
        )
    }
}

impl From<&Rdata> for RecordData {
    fn from(rdata: &Rdata) -> Self {
        match rdata {
            Rdata::A(address) => Self::A(*address),
            Rdata::Aaaa(address) => Self::Aaaa(*address),
            Rdata::Cname(Host::Name(name)) => Self::Cname(name.clone()),
            other => Self::Other(other.presentation()),
        }
    }
}

/// A host that must be a name: the root is none that a CNAME, NS or PTR could mean.
fn named(source: &mut Source<'_>) -> Result<Host, RdataError> {
    match source.host("content")? {
        Host::Root => Err(source.wrong("content", ".", "is the root: write a host name")),
        host => Ok(host),
    }
}

/// `\# length octets` (RFC 3597 §5).
fn unknown(source: &mut Source<'_>) -> Result<Vec<u8>, RdataError> {
    let mark = source.word("content")?;
    let length = usize::from(source.u16("length")?);
    let digits = if length == 0 { String::new() } else { source.joined("octets")? };
    let octets: Option<Vec<u8>> = (mark == "\\#" && digits.is_ascii())
        .then(|| (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect())
        .flatten();
    match octets {
        Some(octets) if octets.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(octets),
        _ => {
            let why = "is not the data of an unknown type: write \\#, the number of octets, and them in hexadecimal";
            Err(source.wrong("content", &format!("{mark} {length} {digits}"), why))
        }
    }
}
