//! Scans of what a zone has at its present name servers, and their review (api-v4 §4.6).

use std::collections::BTreeMap;

use axum::{body::Bytes, extract::State};
use poterne_control_app::{PassedOver, Reviewed, ScanState};
use poterne_control_wire::{
    WireTime,
    record::{self, RecordAnswer},
};
use poterne_model::{Name, RecordId, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    records::told,
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// Under `/zones/{zone}/dns_records/scan`, and how a scan stands, which is an addition of ours.
pub(crate) fn routes() -> Routes {
    let (at, records) = ("/zones/{zone}/dns_records/scan", Subject::DnsRecords);
    let trigger_op = edits(records, "Look for the records a zone has elsewhere");
    let all_op = edits(records, "Look for records, and make them").about("As older clients do: without a review.").says([429]);
    Routes::of("DNS record scans", "Records that a zone has at its present name servers, proposed for review.")
        .post(at, scan_and_accept, all_op)
        .post(&format!("{at}/trigger"), trigger, trigger_op.about("They are to be reviewed when it has ended.").says([429]))
        .get(
            &format!("{at}/review"),
            review,
            reads(records, "List the records that were found").about("Those not decided about."),
        )
        .post(
            &format!("{at}/review"),
            decide,
            edits(records, "Accept or reject records that were found")
                .about("All of it, or nothing.")
                .body(record::review_schema()),
        )
        .get("/zones/{zone}/poterne/scan", state, reads(records, "Show how a zone's last scan stands"))
}

shown![ReviewAnswer, ScanAnswer, PassedOverObject, ScanObject];

async fn trigger(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Gone<ZoneId>> {
    let zone = door.app.scan_trigger(&caller, zone).await?;
    Ok(Answer::success(Gone { id: zone.id }))
}

async fn review(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Vec<RecordAnswer>> {
    Ok(Answer::success(door.app.scan_review(&caller, zone).await?.iter().map(told).collect()))
}

/// What was decided.
#[derive(Serialize, ToSchema)]
struct ReviewAnswer {
    /// Records that came.
    accepts: Vec<RecordAnswer>,
    /// Proposals that went, by their ids.
    rejects: Vec<RecordId>,
}

async fn decide(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, body: Bytes) -> Answered<ReviewAnswer> {
    let record::Review { accepts, rejects } = record::parse_review(&body)?;
    let Reviewed { accepted, rejected } = door.app.scan_decide(&caller, zone, accepts, &rejects).await?;
    Ok(Answer::success(ReviewAnswer { accepts: accepted.iter().map(told).collect(), rejects: rejected }))
}

/// What a scan without a review did.
#[derive(Serialize, ToSchema)]
struct ScanAnswer {
    recs_added: usize,
    total_records_parsed: usize,
    #[schema(value_type = Object)]
    recs_added_by_type: BTreeMap<String, usize>,
}

async fn scan_and_accept(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<ScanAnswer> {
    let (recs_added_by_type, total_records_parsed) = door.app.scan_and_accept(&caller, zone).await?;
    Ok(Answer::success(ScanAnswer { recs_added: recs_added_by_type.values().sum(), total_records_parsed, recs_added_by_type }))
}

/// How a zone's last scan stands.
#[derive(Serialize, ToSchema)]
struct ScanObject {
    /// `none`, `running` or `ended`.
    status: &'static str,
    requested_on: Option<WireTime>,
    ended_on: Option<WireTime>,
    /// How many records wait for a decision.
    proposed: usize,
    /// What is to be known before the name servers are changed.
    warnings: Vec<String>,
    passed_over: Vec<PassedOverObject>,
    /// The name servers that were asked.
    name_servers: Vec<Name>,
    /// They gave the zone whole: nothing is missing.
    whole: bool,
}

/// A record that is not proposed, and why.
#[derive(Serialize, ToSchema)]
struct PassedOverObject {
    name: String,
    r#type: String,
    why: String,
}

async fn state(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<ScanObject> {
    let time = |micros: i64| WireTime(Timestamp::from_micros(micros));
    let object = match door.app.scan_state(&caller, zone).await? {
        None => ScanObject {
            status: "none",
            requested_on: None,
            ended_on: None,
            proposed: 0,
            warnings: Vec::new(),
            passed_over: Vec::new(),
            name_servers: Vec::new(),
            whole: false,
        },
        Some(ScanState { requested_at, ended_at, proposed, passed_over, warnings, name_servers, whole }) => ScanObject {
            status: if ended_at.is_some() { "ended" } else { "running" },
            requested_on: Some(time(requested_at)),
            ended_on: ended_at.map(time),
            proposed,
            warnings,
            passed_over: passed_over
                .into_iter()
                .map(|PassedOver { name, rtype, why }| PassedOverObject { name, r#type: rtype, why })
                .collect(),
            name_servers,
            whole,
        },
    };
    Ok(Answer::success(object))
}
