//! Zones that are shared with other name servers: the account's networks, peers and keys, and what its zones give and take.

use std::net::IpAddr;

use axum::extract::State;
use poterne_control_app::{TransferAcl, TransferPeer, TsigKey, ZoneIncoming, ZoneOutgoing};
use poterne_control_wire::WireTime;
use poterne_model::{
    AccountId, AclId, At, Network, PeerId, Timestamp, TsigId, ZoneId,
    permission::Subject,
    secondary::{AclDraft, IncomingDraft, OutgoingDraft, PeerDraft, PeerTls, TsigDraft},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// Under `/accounts/{account}/secondary_dns` and `/zones/{zone}/secondary_dns`.
pub(crate) fn routes() -> Routes {
    let records = Subject::DnsRecords;
    let account = |rest: &str| format!("/accounts/{{account}}/secondary_dns{rest}");
    let zone = |rest: &str| format!("/zones/{{zone}}/secondary_dns{rest}");
    let acl_body = || AclDraft::schema().example(json!({ "name": "my-acl", "ip_range": "192.0.2.48/28" }));
    let peer_body = || PeerDraft::schema().example(json!({ "name": "second", "ip": "9.9.9.9", "port": 53, "ixfr_enable": true }));
    let tsig_body = || {
        let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        TsigDraft::schema().example(json!({ "name": "xfr.example.net.", "algo": "hmac-sha256.", "secret": secret }))
    };
    let incoming_body = || {
        let example = json!({ "name": "example.com.", "auto_refresh_seconds": 0, "peers": ["23ff594956f20c2a721606e94745a8aa"] });
        IncomingDraft::schema().example(example)
    };
    let outgoing_body =
        || OutgoingDraft::schema().example(json!({ "name": "example.com.", "peers": ["23ff594956f20c2a721606e94745a8aa"] }));
    let secret = "The secret is shown to whoever may change it.";
    let unsigned = "Peers sign with their TSIG; those without one are let in only where `poterne_allow_unsigned` is true.";
    Routes::of("Secondary DNS", "Zones that other name servers have from here, and zones that come from there.")
        .get(&account("/acls"), acls, reads(records, "List networks that other name servers ask from"))
        .post(&account("/acls"), acl_create, edits(records, "Name a network that other name servers ask from").body(acl_body()))
        .get(&account("/acls/{acl}"), acl, reads(records, "Show a network"))
        .put(&account("/acls/{acl}"), acl_edit, edits(records, "Change a network").body(acl_body()))
        .delete(&account("/acls/{acl}"), acl_delete, edits(records, "Forget a network"))
        .get(&account("/peers"), peers, reads(records, "List peers"))
        .post(&account("/peers"), peer_create, edits(records, "Name a peer").body(peer_body()))
        .get(&account("/peers/{peer}"), peer, reads(records, "Show a peer"))
        .put(&account("/peers/{peer}"), peer_edit, edits(records, "Change a peer").body(peer_body()))
        .delete(&account("/peers/{peer}"), peer_delete, edits(records, "Forget a peer"))
        .get(&account("/tsigs"), tsigs, reads(records, "List TSIG keys").about(secret))
        .post(&account("/tsigs"), tsig_create, edits(records, "Name a TSIG key").body(tsig_body()))
        .get(&account("/tsigs/{tsig}"), tsig, reads(records, "Show a TSIG key").about(secret))
        .put(&account("/tsigs/{tsig}"), tsig_edit, edits(records, "Change a TSIG key").body(tsig_body()))
        .delete(&account("/tsigs/{tsig}"), tsig_delete, edits(records, "Forget a TSIG key"))
        .get(&zone("/incoming"), incoming, reads(records, "Show where a secondary zone comes from"))
        .post(&zone("/incoming"), incoming_create, edits(records, "Say where a secondary zone comes from").body(incoming_body()))
        .put(&zone("/incoming"), incoming_edit, edits(records, "Change where a secondary zone comes from").body(incoming_body()))
        .delete(&zone("/incoming"), incoming_delete, edits(records, "Take a secondary zone's primaries away"))
        .post(&zone("/force_axfr"), force_axfr, edits(records, "Have a secondary zone come whole, now"))
        .get(&zone("/outgoing"), outgoing, reads(records, "Show who may have a zone"))
        .post(
            &zone("/outgoing"),
            outgoing_create,
            edits(records, "Say who may have a zone").about(unsigned).body(outgoing_body()),
        )
        .put(
            &zone("/outgoing"),
            outgoing_edit,
            edits(records, "Change who may have a zone").about(unsigned).body(outgoing_body()),
        )
        .delete(&zone("/outgoing"), outgoing_delete, edits(records, "Let nobody have a zone"))
        .post(&zone("/outgoing/enable"), enable, edits(records, "Let those who are named have a zone"))
        .post(&zone("/outgoing/disable"), disable, edits(records, "Let nobody have a zone for now"))
        .post(&zone("/outgoing/force_notify"), force_notify, edits(records, "Tell those who have a zone that it changed"))
        .get(&zone("/outgoing/status"), status, reads(records, "Tell whether those who are named may have a zone"))
}

shown![AclObject, PeerObject, TsigObject, IncomingObject, OutgoingObject];

/// A network that other name servers ask from.
#[derive(Serialize, ToSchema)]
struct AclObject {
    id: AclId,
    name: String,
    ip_range: Network,
}

impl From<TransferAcl> for AclObject {
    fn from(TransferAcl { id, name, network }: TransferAcl) -> Self {
        Self { id, name, ip_range: network }
    }
}

/// Another name server.
#[derive(Serialize, ToSchema)]
struct PeerObject {
    id: PeerId,
    name: String,
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    port: u16,
    ixfr_enable: bool,
    tsig_id: Option<TsigId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poterne_tls: Option<TlsObject>,
}

/// What is asked of another name server's certificate.
#[derive(Serialize, ToSchema)]
struct TlsObject {
    name: Option<String>,
    ca: Option<String>,
    verify: bool,
}

impl From<PeerTls> for TlsObject {
    fn from(PeerTls { name, ca, verify }: PeerTls) -> Self {
        Self { name: name.map(|name| name.to_string()), ca, verify }
    }
}

impl From<TransferPeer> for PeerObject {
    fn from(TransferPeer { id, name, ip, port, ixfr, tsig, tls }: TransferPeer) -> Self {
        Self { id, name, ip, port, ixfr_enable: ixfr, tsig_id: tsig, poterne_tls: tls.map(Into::into) }
    }
}

/// A secret that is shared with another name server.
#[derive(Serialize, ToSchema)]
struct TsigObject {
    id: TsigId,
    name: String,
    algo: String,
    secret: Option<String>,
}

impl From<(TsigKey, Option<String>)> for TsigObject {
    fn from((key, secret): (TsigKey, Option<String>)) -> Self {
        Self { id: key.id, name: format!("{}.", key.name), algo: key.algorithm, secret }
    }
}

/// Where a secondary zone comes from, and how that goes.
#[derive(Serialize, ToSchema)]
struct IncomingObject {
    id: ZoneId,
    name: Option<String>,
    peers: Vec<PeerId>,
    auto_refresh_seconds: u32,
    soa_serial: u32,
    checked_time: Option<WireTime>,
    created_time: WireTime,
    modified_time: WireTime,
    poterne_expired: bool,
    poterne_error: Option<String>,
}

impl From<ZoneIncoming> for IncomingObject {
    fn from(of: ZoneIncoming) -> Self {
        Self {
            id: of.zone,
            name: of.name,
            peers: of.peers,
            auto_refresh_seconds: of.every_secs,
            soa_serial: of.refresh.held.as_ref().map_or(0, |held| held.serial),
            checked_time: of.refresh.heard_at.map(|secs| time(secs.saturating_mul(1_000_000))),
            created_time: time(of.created_at),
            modified_time: time(of.modified_at),
            poterne_expired: of.refresh.is_expired,
            poterne_error: of.refresh.why,
        }
    }
}

/// Who may have a zone, and who last had it.
#[derive(Serialize, ToSchema)]
struct OutgoingObject {
    id: ZoneId,
    name: String,
    peers: Vec<PeerId>,
    soa_serial: u32,
    checked_time: Option<WireTime>,
    created_time: WireTime,
    last_transferred_time: Option<WireTime>,
    poterne_allow_unsigned: bool,
}

impl From<ZoneOutgoing> for OutgoingObject {
    fn from(of: ZoneOutgoing) -> Self {
        Self {
            id: of.zone,
            name: of.name,
            peers: of.peers,
            soa_serial: of.serial.unwrap_or(0),
            checked_time: of.transferred_at.map(time),
            created_time: time(of.created_at),
            last_transferred_time: of.transferred_at.map(time),
            poterne_allow_unsigned: of.allows_unsigned,
        }
    }
}

fn time(micros: i64) -> WireTime {
    WireTime(Timestamp::from_micros(micros))
}

/// The one of a list that has the id.
fn one<T, O: From<T>>(all: Vec<T>, is_it: impl Fn(&T) -> bool, what: &str) -> Answered<O> {
    let found = all.into_iter().find(is_it);
    found.map(|one| Answer::success(one.into())).ok_or_else(|| Answer::no_route(what))
}

fn all<T, O: From<T>>(all: Vec<T>) -> Answered<Vec<O>> {
    Ok(Answer::success(all.into_iter().map(Into::into).collect()))
}

async fn acls(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<AclObject>> {
    all(door.app.transfer_acls(&caller, account).await?)
}

async fn acl_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<AclObject> {
    Ok(Answer::success(door.app.transfer_acl_put(&caller, account, None, &At::body(&body)).await?.into()))
}

async fn acl(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, AclId>) -> Answered<AclObject> {
    one(door.app.transfer_acls(&caller, account).await?, |acl| acl.id == id, &format!("ACL {id}"))
}

async fn acl_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, AclId>,
    Json(body): Json,
) -> Answered<AclObject> {
    Ok(Answer::success(door.app.transfer_acl_put(&caller, account, Some(id), &At::body(&body)).await?.into()))
}

async fn acl_delete(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, AclId>,
) -> Answered<Gone<AclId>> {
    door.app.transfer_acl_delete(&caller, account, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn peers(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<PeerObject>> {
    all(door.app.transfer_peers(&caller, account).await?)
}

async fn peer_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<PeerObject> {
    Ok(Answer::success(door.app.transfer_peer_put(&caller, account, None, &At::body(&body)).await?.into()))
}

async fn peer(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, PeerId>) -> Answered<PeerObject> {
    one(door.app.transfer_peers(&caller, account).await?, |peer| peer.id == id, &format!("peer {id}"))
}

async fn peer_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, PeerId>,
    Json(body): Json,
) -> Answered<PeerObject> {
    Ok(Answer::success(door.app.transfer_peer_put(&caller, account, Some(id), &At::body(&body)).await?.into()))
}

async fn peer_delete(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, PeerId>,
) -> Answered<Gone<PeerId>> {
    door.app.transfer_peer_delete(&caller, account, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn tsigs(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<TsigObject>> {
    all(door.app.tsig_keys(&caller, account).await?)
}

async fn tsig_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<TsigObject> {
    Ok(Answer::success(door.app.tsig_key_put(&caller, account, None, &At::body(&body)).await?.into()))
}

async fn tsig(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, TsigId>) -> Answered<TsigObject> {
    one(door.app.tsig_keys(&caller, account).await?, |(key, _)| key.id == id, &format!("TSIG {id}"))
}

async fn tsig_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, TsigId>,
    Json(body): Json,
) -> Answered<TsigObject> {
    Ok(Answer::success(door.app.tsig_key_put(&caller, account, Some(id), &At::body(&body)).await?.into()))
}

async fn tsig_delete(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, TsigId>,
) -> Answered<Gone<TsigId>> {
    door.app.tsig_key_delete(&caller, account, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn incoming(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<IncomingObject> {
    Ok(Answer::success(door.app.zone_incoming(&caller, zone).await?.into()))
}

async fn incoming_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<IncomingObject> {
    Ok(Answer::success(door.app.zone_incoming_put(&caller, zone, true, &At::body(&body)).await?.into()))
}

async fn incoming_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<IncomingObject> {
    Ok(Answer::success(door.app.zone_incoming_put(&caller, zone, false, &At::body(&body)).await?.into()))
}

async fn incoming_delete(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Gone<ZoneId>> {
    Ok(Answer::success(Gone { id: door.app.zone_incoming_delete(&caller, zone).await? }))
}

async fn force_axfr(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<String> {
    door.app.zone_force_axfr(&caller, zone).await?;
    Ok(Answer::success("OK".to_owned()))
}

async fn outgoing(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<OutgoingObject> {
    Ok(Answer::success(door.app.zone_outgoing(&caller, zone).await?.into()))
}

async fn outgoing_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<OutgoingObject> {
    Ok(Answer::success(door.app.zone_outgoing_put(&caller, zone, true, &At::body(&body)).await?.into()))
}

async fn outgoing_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<OutgoingObject> {
    Ok(Answer::success(door.app.zone_outgoing_put(&caller, zone, false, &At::body(&body)).await?.into()))
}

async fn outgoing_delete(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Gone<ZoneId>> {
    Ok(Answer::success(Gone { id: door.app.zone_outgoing_delete(&caller, zone).await? }))
}

async fn enable(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<String> {
    door.app.zone_outgoing_enable(&caller, zone, true).await?;
    Ok(Answer::success("Enabled".to_owned()))
}

async fn disable(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<String> {
    door.app.zone_outgoing_enable(&caller, zone, false).await?;
    Ok(Answer::success("Disabled".to_owned()))
}

async fn force_notify(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<String> {
    door.app.zone_outgoing_notify(&caller, zone).await?;
    Ok(Answer::success("OK".to_owned()))
}

async fn status(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<String> {
    let enabled = door.app.zone_outgoing(&caller, zone).await?.enabled;
    Ok(Answer::success(if enabled { "Enabled" } else { "Disabled" }.to_owned()))
}
