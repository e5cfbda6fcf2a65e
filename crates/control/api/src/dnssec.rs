//! Signing of zones (api-v4 §5).

use axum::extract::State;
use base64::{Engine, prelude::BASE64_STANDARD};
use poterne_control_app::{Dnssec, DnssecAlgorithm, DnssecRole};
use poterne_control_wire::WireTime;
use poterne_model::{At, Schema, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    routes::{Routes, edits, reads},
};

/// TTL that a DS record is suggested with, in seconds.
const DS_TTL_SECS: u32 = 3600;

/// What a zone is not signed with here.
const SWITCHES: [&str; 3] = ["dnssec_multi_signer", "dnssec_presigned", "dnssec_use_nsec3"];

/// Under `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let (at, roll_at, records) = ("/zones/{zone}/dnssec", "/zones/{zone}/poterne/dnssec/roll", Subject::DnsRecords);
    let never = || Schema::boolean().about("not offered here: false");
    let changes = Schema::object([
        ("status", Schema::one_of(&["active", "disabled"]).about("whether the zone is to be signed")),
        ("algorithm", Schema::one_of(&["13", "15"]).about("with what, the first time; absent: 13, ECDSA P-256")),
        (SWITCHES[0], never()),
        (SWITCHES[1], never()),
        (SWITCHES[2], never()),
    ]);
    let changes = changes.named("DnssecChanges").example(json!({ "status": "active" }));
    let which = Schema::object([("key", Schema::one_of(&["ksk", "zsk"]).required().about("which key"))]);
    let which = which.named("DnssecRoll").example(json!({ "key": "ksk" }));
    let about =
        "A zone is pending until its parent is seen to show the DS record, and pending-disabled until it is seen to show none.";
    Routes::of("DNSSEC", about)
        .get(at, show, reads(records, "Show how a zone is signed"))
        .patch(at, change, edits(records, "Sign a zone, or sign it no more").body(changes))
        .delete(
            at,
            delete,
            edits(records, "Forget a zone's keys")
                .about("Refused while the zone is to be signed; they go once no resolver can rely on them."),
        )
        .post(
            roll_at,
            roll,
            edits(records, "Begin to roll a key").about("The parent must take over a new ksk's digest.").body(which),
        )
}

shown![DnssecObject];

/// How a zone is signed. Of one that is not, everything but the status is null; the switches always are, being not offered: Terraform takes
/// a false that is told for one that its user must write down.
#[derive(Default, Serialize, ToSchema)]
struct DnssecObject {
    status: &'static str,
    flags: Option<u16>,
    algorithm: Option<String>,
    key_type: Option<&'static str>,
    digest_type: Option<String>,
    digest_algorithm: Option<&'static str>,
    digest: Option<String>,
    ds: Option<String>,
    key_tag: Option<u16>,
    public_key: Option<String>,
    modified_on: Option<WireTime>,
    dnssec_multi_signer: Option<bool>,
    dnssec_presigned: Option<bool>,
    dnssec_use_nsec3: Option<bool>,
}

impl From<Option<Dnssec>> for DnssecObject {
    fn from(dnssec: Option<Dnssec>) -> Self {
        let Some(dnssec) = dnssec else { return Self { status: "disabled", ..Self::default() } };
        let (algorithm, digest) = (dnssec.algorithm.number(), hex(&dnssec.digest));
        let Dnssec { apex, key_tag, digest_type, .. } = &dnssec;
        Self {
            status: dnssec.status.as_str(),
            flags: Some(dnssec.flags),
            algorithm: Some(algorithm.to_string()),
            key_type: Some(dnssec.algorithm.as_str()),
            digest_type: Some(digest_type.to_string()),
            digest_algorithm: Some("SHA256"),
            ds: Some(format!("{apex}. {DS_TTL_SECS} IN DS {key_tag} {algorithm} {digest_type} {digest}")),
            digest: Some(digest),
            key_tag: Some(*key_tag),
            public_key: Some(BASE64_STANDARD.encode(&dnssec.public_key)),
            modified_on: Some(WireTime(Timestamp::from_micros(dnssec.modified_at))),
            ..Self::default()
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

async fn show(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<DnssecObject> {
    Ok(Answer::success(door.app.zone_dnssec(&caller, zone).await?.into()))
}

async fn change(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Json(body): Json) -> Answered<DnssecObject> {
    let body = At::body(&body);
    body.object()?;
    for switch in SWITCHES {
        if let Some(given) = body.member(switch).filter(|given| !given.value.is_null())
            && given.boolean()?
        {
            return Err(given.wrong("zones are signed here as they are answered, with one signer and NSEC: leave it out").into());
        }
    }
    let algorithm = match body.member("algorithm").map(|given| given.one_of(&["13", "15"])).transpose()? {
        Some("15") => DnssecAlgorithm::Ed25519,
        _ => DnssecAlgorithm::EcdsaP256Sha256,
    };
    let dnssec = match body.member("status").map(|given| given.one_of(&["active", "disabled"])).transpose()? {
        Some("active") => Some(door.app.zone_dnssec_enable(&caller, zone, algorithm).await?),
        Some(_) => door.app.zone_dnssec_disable(&caller, zone).await?,
        None => door.app.zone_dnssec(&caller, zone).await?,
    };
    Ok(Answer::success(dnssec.into()))
}

/// The result is an empty text, as clients know it.
async fn delete(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<String> {
    door.app.zone_dnssec_delete(&caller, zone).await?;
    Ok(Answer::success(String::new()))
}

async fn roll(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Json(body): Json) -> Answered<DnssecObject> {
    let body = At::body(&body);
    let role = match body.required("key")?.one_of(&["ksk", "zsk"])? {
        "ksk" => DnssecRole::Entry,
        _ => DnssecRole::Zone,
    };
    Ok(Answer::success(Some(door.app.zone_dnssec_roll(&caller, zone, role).await?).into()))
}
