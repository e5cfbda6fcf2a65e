//! Every kind of id, born in one list.
//!
//! Tunnels, connectors and connections carry UUIDs because the agent's wire does (16 raw bytes); accounts, zones and
//! records carry 32 hexadecimal digits because the v4 API does. Both are 16 bytes here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An id that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {kind}: expected {expected}")]
pub struct IdError {
    kind: &'static str,
    expected: &'static str,
    value: String,
}

impl IdError {
    /// Keeps at most 64 characters of the offending value: it comes from outside and ends in logs.
    fn new(kind: &'static str, expected: &'static str, value: &str) -> Self {
        Self { kind, expected, value: value.chars().take(64).collect() }
    }
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// From the 16 bytes that travel on the wire.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// A version 4 UUID made of these random bytes.
            pub const fn from_random_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The 16 bytes that travel on the wire.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                uuid::Uuid::try_parse(s).map(Self).map_err(|_| IdError::new($kind, "a UUID", s))
            }
        }

        $crate::openapi::described!($name, $crate::Schema::uuid($kind));
    )*};
}

macro_rules! hex_ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                let wrong = || IdError::new($kind, "32 hexadecimal digits", s);
                let digits: &[u8; 32] = s.as_bytes().try_into().map_err(|_| wrong())?;
                let mut bytes = [0; 16];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    *byte = hex_digit(pair[0]).ok_or_else(wrong)? << 4 | hex_digit(pair[1]).ok_or_else(wrong)?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self)
                }
            }
        }

        $crate::openapi::described!($name, $crate::Schema::hex($kind));
    )*};
}

uuid_ids! {
    /// A tunnel: a persistent object of an account, under which connectors register.
    TunnelId = "tunnel id";
    /// A connector: one running agent process. Random at its start, new after a restart.
    ConnectorId = "connector id";
    /// One transport connection of a connector.
    ConnectionId = "connection id";
    /// A private network led through a tunnel.
    RouteId = "route id";
    /// A virtual network: what keeps routes of equal addresses apart.
    VirtualNetworkId = "virtual network id";
    /// Names that one certificate is for, and then the next.
    CertificatePackId = "certificate pack id";
}

hex_ids! {
    /// A tenant. Its text form is the `AccountTag` of the agent's wire.
    AccountId = "account id";
    /// A zone.
    ZoneId = "zone id";
    /// One record of a record set, as the v4 API numbers them.
    RecordId = "record id";
    /// A user.
    UserId = "user id";
    /// A user in an account.
    MembershipId = "membership id";
    /// One entry of the audit log.
    AuditId = "audit log id";
    /// An API token; not its secret.
    TokenId = "token id";
    /// One policy of a token.
    PolicyId = "policy id";
    /// A stay of somebody who signed in; not its secret.
    SessionId = "session id";
    /// A passkey, as its owner sees it in a list.
    PasskeyId = "passkey id";
    /// A permission group.
    PermissionGroupId = "permission group id";
    /// A ruleset.
    RulesetId = "ruleset id";
    /// One rule of a ruleset.
    RuleId = "rule id";
    /// A list that rules refer to.
    ListId = "list id";
    /// One item of a list.
    ListItemId = "list item id";
    /// The writing of a list, as clients ask after it.
    ListOperationId = "bulk operation id";
    /// An access rule.
    AccessRuleId = "access rule id";
    /// A notice on its way to somebody; what receivers tell a repeated one by.
    NoticeId = "notice id";
    /// A webhook that notices are sent to.
    WebhookId = "webhook id";
    /// Which notices of an account go to whom.
    NotificationPolicyId = "notification policy id";
    /// What a certificate authority asks to be shown, once.
    ChallengeId = "challenge id";
    /// A certificate; the one that replaces it has another.
    CertificateId = "certificate id";
    /// A network that other name servers ask from.
    AclId = "ACL id";
    /// Another name server.
    PeerId = "peer id";
    /// A secret that is shared with other name servers.
    TsigId = "TSIG id";
    /// What is asked of an origin, again and again.
    HealthCheckId = "health check id";
}

fn hex_digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_shown() {
        let text = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
        assert_eq!(text.parse::<TunnelId>().unwrap().to_string(), text);
        let text = "0123456789abcdef0123456789abcdef";
        assert_eq!(text.parse::<AccountId>().unwrap().to_string(), text);
        assert_eq!(serde_json::to_string(&text.parse::<ZoneId>().unwrap()).unwrap(), format!("\"{text}\""));
    }

    #[test]
    fn a_wrong_id_is_refused_with_its_value() {
        let error = "0123".parse::<ZoneId>().unwrap_err();
        assert_eq!(error.to_string(), "\"0123\" is not a valid zone id: expected 32 hexadecimal digits");
        assert!("zz23456789abcdef0123456789abcdef".parse::<AccountId>().is_err());
        assert!("3d539f97".parse::<TunnelId>().is_err());
    }
}
