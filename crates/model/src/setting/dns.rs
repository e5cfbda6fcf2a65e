//! The settings of a zone's DNS (api-v4 §5): what the name server says of the zone itself.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{At, Name, Schema, ShapeError, ZoneId};

/// All of them, whole. A PATCH changes the members it carries.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsSettings {
    /// Answer every CNAME with the addresses behind it.
    pub flatten_all_cnames: bool,
    /// Kept and told back: the name servers are this installation's own.
    pub foundation_dns: bool,
    /// NS records at the apex that are not ours are served too.
    pub multi_provider: bool,
    /// Proxied records of a secondary zone are answered as such.
    pub secondary_overrides: bool,
    /// TTL of the apex's NS records, in seconds, 30 to 86,400.
    pub ns_ttl: u32,
    /// What the zone is for.
    pub zone_mode: ZoneMode,
    /// Which name servers it has.
    pub nameservers: Nameservers,
    /// The start of authority (RFC 1035 §3.3.13).
    pub soa: Soa,
    /// A zone that is asked before this one, in private DNS.
    pub internal_dns: InternalDns,
}

/// What a zone is for.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneMode {
    /// Names and proxying.
    Standard,
    /// Proxying only.
    CdnOnly,
    /// Names only.
    DnsOnly,
}

/// Which name servers a zone has.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nameservers {
    /// One of [`NAMESERVER_TYPES`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Which set of one's own, 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_set: Option<u8>,
}

const ZONE_MODES: &[&str] = &["standard", "cdn_only", "dns_only"];

/// The kinds of name servers that may be asked for.
pub const NAMESERVER_TYPES: &[&str] = &[
    "cloudflare.standard",
    "cloudflare.advanced",
    "cloudflare.standard.random",
    "custom.account",
    "custom.tenant",
    "custom.zone",
];

/// The start of authority; times in seconds. Names: none leaves them to the name server.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields of RFC 1035 §3.3.13 under the names the API gives them")]
pub struct Soa {
    pub mname: Option<Name>,
    pub rname: Option<Name>,
    pub refresh: u32,
    pub retry: u32,
    pub expire: u32,
    pub min_ttl: u32,
    pub ttl: u32,
}

/// The zone that is asked first.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalDns {
    /// Which; none: no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_zone_id: Option<ZoneId>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            flatten_all_cnames: false,
            foundation_dns: false,
            multi_provider: false,
            secondary_overrides: false,
            ns_ttl: 86_400,
            zone_mode: ZoneMode::Standard,
            nameservers: Nameservers { kind: NAMESERVER_TYPES[0].to_owned(), ns_set: None },
            soa: Soa { mname: None, rname: None, refresh: 10_000, retry: 2400, expire: 604_800, min_ttl: 1800, ttl: 3600 },
            internal_dns: InternalDns::default(),
        }
    }
}

impl DnsSettings {
    /// What [`Self::patched`] reads.
    pub fn changes() -> Schema {
        let nameservers = Schema::object([
            ("type", Schema::one_of(NAMESERVER_TYPES).required()),
            ("ns_set", Schema::integer(1..=5).about("which set of one's own")),
        ]);
        let seconds = |range| Schema::integer(range).about("seconds");
        let soa = Schema::object([
            ("mname", Schema::name().or_null()),
            ("rname", Schema::name().or_null()),
            ("refresh", seconds(600..=86_400)),
            ("retry", seconds(600..=86_400)),
            ("expire", seconds(86_400..=2_419_200)),
            ("min_ttl", seconds(60..=86_400)),
            ("ttl", seconds(300..=86_400)),
        ]);
        let internal = Schema::object([("reference_zone_id", Schema::hex("the zone that is asked first"))]);
        let members = [
            ("flatten_all_cnames", Schema::boolean()),
            ("foundation_dns", Schema::boolean()),
            ("multi_provider", Schema::boolean()),
            ("secondary_overrides", Schema::boolean()),
            ("ns_ttl", seconds(30..=86_400)),
            ("zone_mode", Schema::one_of(ZONE_MODES)),
            ("nameservers", nameservers),
            ("soa", soa),
            ("internal_dns", internal),
        ];
        Schema::object(members).named("DnsSettingsChanges").example(json!({ "ns_ttl": 3600, "soa": { "retry": 1200 } }))
    }

    /// With the members of a PATCH in their places; members not known here are passed over.
    ///
    /// # Errors
    /// A member is none of its kind or out of its bounds.
    pub fn patched(&self, body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let mut after = self.clone();
        for (key, flag) in [
            ("flatten_all_cnames", &mut after.flatten_all_cnames),
            ("foundation_dns", &mut after.foundation_dns),
            ("multi_provider", &mut after.multi_provider),
            ("secondary_overrides", &mut after.secondary_overrides),
        ] {
            if let Some(given) = body.member(key) {
                *flag = given.boolean()?;
            }
        }
        number(body, "ns_ttl", 30..=86_400, &mut after.ns_ttl)?;
        if let Some(given) = body.member("zone_mode") {
            after.zone_mode = match given.one_of(ZONE_MODES)? {
                "cdn_only" => ZoneMode::CdnOnly,
                "dns_only" => ZoneMode::DnsOnly,
                _ => ZoneMode::Standard,
            };
        }
        if let Some(given) = body.member("nameservers") {
            let kind = given.required("type")?.one_of(NAMESERVER_TYPES)?.to_owned();
            let set = given.member("ns_set").map(|set| set.integer(1..=5)).transpose()?;
            after.nameservers = Nameservers { kind, ns_set: set.and_then(|set| set.try_into().ok()) };
        }
        if let Some(given) = body.member("soa") {
            after.soa = self.soa.patched(&given)?;
        }
        if let Some(given) = body.member("internal_dns") {
            given.object()?;
            let id = given
                .member("reference_zone_id")
                .map(|id| id.text(64)?.parse::<ZoneId>().map_err(|error| ShapeError::new(id.pointer(), error.to_string())));
            after.internal_dns.reference_zone_id = id.transpose()?;
        }
        Ok(after)
    }
}

impl Soa {
    fn patched(&self, body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let mut after = self.clone();
        for (key, name) in [("mname", &mut after.mname), ("rname", &mut after.rname)] {
            // Null is a value here: it gives the choice back to the name server.
            match (body.value.get(key), body.member(key)) {
                (_, Some(given)) => {
                    let text = given.text(254)?;
                    *name = Some(Name::parse(text).map_err(|error| ShapeError::new(given.pointer(), error.to_string()))?);
                }
                (Some(_), None) => *name = None,
                (None, None) => {}
            }
        }
        number(body, "refresh", 600..=86_400, &mut after.refresh)?;
        number(body, "retry", 600..=86_400, &mut after.retry)?;
        number(body, "expire", 86_400..=2_419_200, &mut after.expire)?;
        number(body, "min_ttl", 60..=86_400, &mut after.min_ttl)?;
        number(body, "ttl", 300..=86_400, &mut after.ttl)?;
        Ok(after)
    }
}

fn number(body: &At<'_>, key: &str, range: std::ops::RangeInclusive<i64>, into: &mut u32) -> Result<(), ShapeError> {
    if let Some(given) = body.member(key) {
        *into = given.integer(range)?.try_into().expect("every range here is one of u32");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let before = DnsSettings::default();
        let body = json!({"ns_ttl": 3600, "soa": {"rname": "admin.example.com.", "ttl": 300}, "zone_mode": "dns_only", "x": 1});
        let after = before.patched(&At::body(&body)).unwrap();
        assert_eq!((after.ns_ttl, after.zone_mode, after.soa.ttl, after.soa.retry), (3600, ZoneMode::DnsOnly, 300, 2400));
        assert_eq!(after.soa.rname.as_ref().unwrap().as_str(), "admin.example.com");
        let again = after.patched(&At::body(&json!({"soa": {"rname": null}}))).unwrap();
        assert_eq!(again.soa.rname, None);
        assert_eq!(after.patched(&At::body(&json!({}))).unwrap(), after);
    }

    #[test]
    fn the_defaults_are_told_in_the_apis_words() {
        let told = serde_json::to_value(DnsSettings::default()).unwrap();
        assert_eq!(told["nameservers"], json!({"type": "cloudflare.standard"}));
        assert_eq!(told["soa"]["mname"], json!(null));
        assert_eq!(
            (&told["zone_mode"], &told["ns_ttl"], &told["soa"]["refresh"]),
            (&json!("standard"), &json!(86400), &json!(10000))
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (body, pointer) in [
            (json!({"ns_ttl": 29}), "/ns_ttl"),
            (json!({"soa": {"mname": "a b"}}), "/soa/mname"),
            (json!({"nameservers": {"type": "mine"}}), "/nameservers/type"),
            (json!({"internal_dns": {"reference_zone_id": "7"}}), "/internal_dns/reference_zone_id"),
            (json!({"multi_provider": "yes"}), "/multi_provider"),
            (json!([]), ""),
        ] {
            assert_eq!(DnsSettings::default().patched(&At::body(&body)).unwrap_err().pointer, pointer);
        }
    }
}
