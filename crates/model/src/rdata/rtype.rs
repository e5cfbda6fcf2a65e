//! The types a record may have.

use std::fmt;

use super::{RdataError, error::shown};
use crate::RecordType;

macro_rules! rtypes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $mnemonic:literal;)*) => {
        /// A record's type: those of api-v4 §4.2 by name, and any other data type by its number.
        ///
        /// [`RecordType`] is the open list that routing and the snapshot need; this is the closed one that knows what the data of
        /// each type looks like. The numbers are IANA's ("Resource Record (RR) TYPEs").
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rtype {
            $($(#[$doc])* $name,)*
            /// A type without a name here, kept as RFC 3597 writes it. Never one of the numbers above.
            Unknown(u16),
        }

        impl Rtype {
            /// The types the API offers, in alphabetical order.
            pub const OFFERED: &[Self] = &[$(Self::$name,)*];

            /// IANA's number.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Unknown(number) => number,
                }
            }

            /// Its mnemonic; none of a type without a name here.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($mnemonic),)*
                    Self::Unknown(_) => None,
                }
            }
        }
    };
}

rtypes! {
    /// An IPv4 address (RFC 1035 §3.4.1).
    A = 1 "A";
    /// An IPv6 address (RFC 3596).
    Aaaa = 28 "AAAA";
    /// Who may issue certificates (RFC 8659).
    Caa = 257 "CAA";
    /// A certificate (RFC 4398).
    Cert = 37 "CERT";
    /// The canonical name (RFC 1035 §3.3.1).
    Cname = 5 "CNAME";
    /// A zone's public key (RFC 4034 §2).
    Dnskey = 48 "DNSKEY";
    /// The digest of a child's key (RFC 4034 §5).
    Ds = 43 "DS";
    /// How to reach an HTTP service (RFC 9460).
    Https = 65 "HTTPS";
    /// A place (RFC 1876).
    Loc = 29 "LOC";
    /// A mail exchanger (RFC 1035 §3.3.9).
    Mx = 15 "MX";
    /// A naming authority pointer (RFC 3403).
    Naptr = 35 "NAPTR";
    /// A name server (RFC 1035 §3.3.11).
    Ns = 2 "NS";
    /// An OpenPGP key (RFC 7929).
    Openpgpkey = 61 "OPENPGPKEY";
    /// A pointer to a name (RFC 1035 §3.3.12).
    Ptr = 12 "PTR";
    /// A certificate for S/MIME (RFC 8162).
    Smimea = 53 "SMIMEA";
    /// Where a service is (RFC 2782).
    Srv = 33 "SRV";
    /// A fingerprint of an SSH host key (RFC 4255).
    Sshfp = 44 "SSHFP";
    /// How to reach a service (RFC 9460).
    Svcb = 64 "SVCB";
    /// A certificate for TLS (RFC 6698).
    Tlsa = 52 "TLSA";
    /// Text (RFC 1035 §3.3.14).
    Txt = 16 "TXT";
    /// A URI (RFC 7553).
    Uri = 256 "URI";
}

/// SOA, OPT and what signing makes: the name server's own. No data types: 0, and the question types 128 to 255.
const NEVER_KEPT: [u16; 6] = [0, 6, 41, 46, 47, 50];

impl Rtype {
    /// Reads a mnemonic in either case, or `TYPEnnn` (RFC 3597 §5).
    pub fn parse(text: &str) -> Result<Self, RdataError> {
        let offered = Self::OFFERED.iter().find(|rtype| rtype.mnemonic().is_some_and(|known| known.eq_ignore_ascii_case(text)));
        if let Some(rtype) = offered {
            return Ok(*rtype);
        }
        let digits = text.get(..4).filter(|word| word.eq_ignore_ascii_case("TYPE")).map(|_| &text[4..]);
        let number =
            digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())).and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if !NEVER_KEPT.contains(&number) && !(128..=255).contains(&number) => Ok(Self::of_number(number)),
            _ => Err(RdataError::UnknownType { value: shown(text) }),
        }
    }

    /// The type of this number.
    pub fn of_number(number: u16) -> Self {
        Self::OFFERED.iter().copied().find(|rtype| rtype.number() == number).unwrap_or(Self::Unknown(number))
    }

    /// Whether the API lets one be made. The others come with zone files, and are kept and answered.
    pub const fn is_offered(self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Whether the edge can stand before a record of this type (edge-behaviour §1.5).
    pub const fn is_web(self) -> bool {
        matches!(self, Self::A | Self::Aaaa | Self::Cname)
    }
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mnemonic() {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "TYPE{}", self.number()),
        }
    }
}

impl From<Rtype> for RecordType {
    fn from(rtype: Rtype) -> Self {
        Self::from(rtype.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_shown() {
        for rtype in Rtype::OFFERED {
            assert_eq!(Rtype::parse(&rtype.to_string().to_lowercase()), Ok(*rtype));
            assert_eq!(Rtype::parse(&format!("TYPE{}", rtype.number())), Ok(*rtype));
        }
        assert_eq!(Rtype::parse("type65280"), Ok(Rtype::Unknown(65_280)));
        assert_eq!(RecordType::from(Rtype::Unknown(99)), RecordType::Other("TYPE99".into()));
        assert_eq!(RecordType::from(Rtype::Cname), RecordType::Cname);
    }

    #[test]
    fn what_is_no_data_type_is_refused() {
        for wrong in ["", "SOA", "ANY", "TYPE6", "TYPE0", "TYPE255", "TYPE", "TYPE70000", "TYPE+1", "HINFO", "éééé"] {
            assert!(matches!(Rtype::parse(wrong), Err(RdataError::UnknownType { .. })), "{wrong:?}");
        }
    }
}
