//! Zones that travel over TLS (RFC 9103): what is asked of the other server's certificate.

use serde::{Deserialize, Serialize};

use crate::{At, Name, Schema, ShapeError};

/// Longest text of certificates, in bytes.
pub const CA_BYTES_MAX: usize = 64 * 1024;

/// What is asked of the certificate of a server that is spoken to over TLS. Strict (RFC 9103 §9.3.2) is the name, the authority, or both;
/// opportunistic (§9.3.1) is neither: nobody reads along, and whoever stands between may be the one who answers. In no case is the server
/// asked in clear instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTls {
    /// The name that it is for, which the server is asked for, too (SNI).
    pub name: Option<Name>,
    /// Who vouches for it, in PEM form: authorities, or the certificate itself. None: whom this machine believes.
    pub ca: Option<String>,
    /// Whether it is looked at. False: any will do.
    pub verify: bool,
}

/// What is submitted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TlsDraft {
    /// Nothing: clients that do not know of it change nothing of it.
    #[default]
    AsBefore,
    /// The server is spoken to in clear.
    Clear,
    /// Over TLS.
    Tls(PeerTls),
}

impl TlsDraft {
    /// Of the member `poterne_tls` of a body.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        let Some(at) = body.member("poterne_tls") else {
            let is_null = body.value.get("poterne_tls").is_some();
            return Ok(if is_null { Self::Clear } else { Self::AsBefore });
        };
        at.only(&["name", "ca", "verify"])?;
        let given = |key: &str| at.member(key).filter(|at| at.value.as_str() != Some(""));
        let name = given("name").map(|at| {
            let name = Name::parse(at.text(255)?).map_err(|error| at.wrong(error))?;
            if name.is_wildcard() { Err(at.wrong("write the server's name, without `*`")) } else { Ok(name) }
        });
        let ca = given("ca").map(|at| {
            // Told without its content: people mistake one thing for another.
            let text = at.value.as_str().filter(|text| text.len() <= CA_BYTES_MAX).map(str::to_owned);
            let long = || format!("{}: write a text of at most {CA_BYTES_MAX} characters, in PEM form", at.pointer());
            text.ok_or_else(|| ShapeError::new(at.pointer(), long()))
        });
        let verify = at.member("verify").map(|at| at.boolean()).transpose()?.unwrap_or(true);
        let tls = PeerTls { name: name.transpose()?, ca: ca.transpose()?, verify };
        match (tls.verify, &tls.name, &tls.ca) {
            (true, None, None) => Err(at.wrong(
                "write the `name` that its certificate is for, the `ca` that vouches for it, or both; or `\"verify\": false` for any certificate",
            )),
            (false, _, Some(_)) => Err(at.wrong("with a `ca` the certificate is looked at: leave out `verify`, or the `ca`")),
            _ => Ok(Self::Tls(tls)),
        }
    }

    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        Schema::object([
            ("name", Schema::text(255).about("the name that its certificate is for")),
            (
                "ca",
                Schema::text(CA_BYTES_MAX).about(
                    "who vouches for it, in PEM form: authorities, or the certificate itself; absent: whom this machine believes",
                ),
            ),
            ("verify", Schema::boolean().about("false: any certificate will do; absent: true")),
        ])
        .closed()
        .or_null()
        .about("zones come and go over TLS alone (RFC 9103); null: in clear; absent: as before")
    }

    /// With what there was before.
    pub fn over(self, before: Option<PeerTls>) -> Option<PeerTls> {
        match self {
            Self::AsBefore => before,
            Self::Clear => None,
            Self::Tls(tls) => Some(tls),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(tls: &Value) -> Result<TlsDraft, ShapeError> {
        TlsDraft::read(&At::body(&json!({ "poterne_tls": tls })))
    }

    #[test]
    fn strict_is_what_is_meant_unless_it_is_said_otherwise() {
        let of = |name: Option<&str>, ca: Option<&str>, verify| {
            let name = name.map(|name| Name::parse(name).unwrap());
            TlsDraft::Tls(PeerTls { name, ca: ca.map(str::to_owned), verify })
        };
        assert_eq!(read(&json!({ "name": "ns1.example.net." })).unwrap(), of(Some("ns1.example.net"), None, true));
        assert_eq!(read(&json!({ "ca": "PEM", "name": "" })).unwrap(), of(None, Some("PEM"), true));
        assert_eq!(read(&json!({ "verify": false })).unwrap(), of(None, None, false));
        for (wrong, why) in [
            (json!({}), "`\"verify\": false`"),
            (json!({ "verify": true }), "`name`"),
            (json!({ "verify": false, "ca": "PEM" }), "`ca`"),
            (json!({ "name": "*.example.net" }), "without `*`"),
            (json!({ "pin": "x" }), "pin"),
            (json!({ "ca": "x".repeat(CA_BYTES_MAX + 1) }), "65536"),
            (json!(true), "true"),
        ] {
            let told = read(&wrong).unwrap_err();
            assert!(told.why.contains(why) && told.why.len() < 1000, "{}", told.why);
        }
    }

    #[test]
    fn who_does_not_know_of_it_takes_nothing_away() {
        let tls = PeerTls { name: None, ca: None, verify: false };
        let absent = TlsDraft::read(&At::body(&json!({}))).unwrap();
        assert_eq!((absent.clone().over(Some(tls.clone())), absent.over(None)), (Some(tls.clone()), None));
        assert_eq!(read(&Value::Null).unwrap().over(Some(tls.clone())), None);
        let kept = serde_json::to_string(&tls).unwrap();
        assert_eq!(serde_json::from_str::<PeerTls>(&kept).unwrap(), tls);
    }
}
