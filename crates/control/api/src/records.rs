//! DNS records (api-v4 §4).

use axum::{
    body::Bytes,
    extract::{FromRequest, Multipart, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use poterne_control_app::{AppError, BatchDone, BatchDrafts, KeptRecord, ZONE_FILE_OCTETS_MAX};
use poterne_control_wire::{
    ApiError, Envelope, Source, WireTime,
    query::page::{Page, PageLimits},
    record::{self, BatchAnswer, Kept, ParameterError, RecordAnswer, RequestError},
};
use poterne_model::{RecordId, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Query,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// Longest body of an import, in bytes: the longest file, and a form around it.
const FILE_BYTES_MAX: usize = ZONE_FILE_OCTETS_MAX + 64 * 1024;

/// Under `/zones/{zone}/dns_records`.
pub(crate) fn routes() -> Routes {
    let (all, one, records) = ("/zones/{zone}/dns_records", "/zones/{zone}/dns_records/{record}", Subject::DnsRecords);
    let file = json!({ "type": "object", "required": ["file"], "properties": {
        "file": { "type": "string", "contentMediaType": "text/dns" }, "proxied": { "type": "string", "enum": ["true", "false"] } } });
    let import_op = edits(records, "Import a zone file").about("As a form, or the file alone.").says([400, 413]);
    let import_op = import_op.other_body("multipart/form-data", file).other_body("text/dns", json!({ "type": "string" }));
    let batch_op = edits(records, "Change many records").about("All of it, or nothing.").body(record::batch_schema());
    Routes::of("DNS records", "The records of a zone.")
        .post("/zones/{zone}/dns_records/import", import, import_op.plain("application/json", Imported::envelope()))
        .bodies_within(FILE_BYTES_MAX)
        .get(all, list, reads(records, "List records").pages(PageLimits::DNS_RECORDS).query(record::list_parameters()))
        .post(all, create, edits(records, "Make a record").body(record::draft_schema(true)))
        .post("/zones/{zone}/dns_records/batch", batch, batch_op)
        .get(
            "/zones/{zone}/dns_records/export",
            export,
            reads(records, "Export a zone file").plain("text/plain", json!({ "type": "string" })),
        )
        .get("/zones/{zone}/dns_records/usage", usage, reads(records, "Count the records").about("There is no quota."))
        .get(one, show, reads(records, "Show a record"))
        .put(one, replace, edits(records, "Replace a record").body(record::draft_schema(true)))
        .patch(one, change, edits(records, "Change a record").body(record::draft_schema(false)))
        .delete(one, delete, edits(records, "Delete a record"))
}

shown![RecordAnswer, BatchAnswer, Usage];

pub(crate) fn told(kept: &KeptRecord) -> RecordAnswer {
    RecordAnswer::from(Kept {
        id: kept.id,
        zone: kept.zone,
        zone_name: &kept.zone_name,
        entry: &kept.entry,
        proxiable: kept.proxiable,
        managed_by_tunnel: kept.managed_by_tunnel,
        created_at: kept.created_at,
        modified_at: kept.modified_at,
        comment_modified_at: kept.comment_modified_at,
        tags_modified_at: kept.tags_modified_at,
    })
}

impl From<RequestError> for Answer<()> {
    fn from(error: RequestError) -> Self {
        let source = error.pointer().map(|pointer| Source { pointer: pointer.to_owned() });
        let error = ApiError { source, ..ApiError::new(error.code(), error.to_string()) };
        Self::failure(StatusCode::BAD_REQUEST, Envelope::failure(vec![error]))
    }
}

impl From<ParameterError> for Answer<()> {
    fn from(error: ParameterError) -> Self {
        Self::error(StatusCode::BAD_REQUEST, poterne_control_wire::codes::INVALID_VALUE, error.to_string())
    }
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<Vec<RecordAnswer>> {
    let page = Page::read(&query, PageLimits::DNS_RECORDS)?;
    let (filter, order) = record::parse_list(query.pairs())?;
    let (records, total) = door.app.record_list(&caller, zone, &filter, order, page.offset(), page.per_page).await?;
    let shown: Vec<_> = records.iter().map(told).collect();
    let info = page.info(shown.len(), total);
    Ok(Answer::part(shown, info))
}

/// How many records there are; no number of them is too many.
#[derive(Serialize, ToSchema)]
struct Usage {
    record_quota: Option<u64>,
    record_usage: u64,
}

async fn usage(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Usage> {
    let (every, order) = record::parse_list([])?;
    let (_, record_usage) = door.app.record_list(&caller, zone, &every, order, 0, 1).await?;
    Ok(Answer::success(Usage { record_quota: None, record_usage }))
}

async fn create(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, body: Bytes) -> Answered<RecordAnswer> {
    Ok(Answer::success(told(&door.app.record_create(&caller, zone, record::parse_draft(&body)?).await?)))
}

type OfZone = Ids<ZoneId, RecordId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<RecordAnswer> {
    Ok(Answer::success(told(&door.app.record_get(&caller, zone, id).await?)))
}

async fn replace(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone, body: Bytes) -> Answered<RecordAnswer> {
    Ok(Answer::success(told(&door.app.record_replace(&caller, zone, id, record::parse_draft(&body)?).await?)))
}

async fn change(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone, body: Bytes) -> Answered<RecordAnswer> {
    Ok(Answer::success(told(&door.app.record_change(&caller, zone, id, record::parse_draft(&body)?).await?)))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<Gone<RecordId>> {
    let gone = door.app.record_delete(&caller, zone, id).await?;
    Ok(Answer::success(Gone { id: gone.id }))
}

async fn batch(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, body: Bytes) -> Answered<BatchAnswer> {
    let record::Batch { deletes, patches, puts, posts } = record::parse_batch(&body)?;
    let done = door.app.record_batch(&caller, zone, BatchDrafts { deletes, patches, puts, posts }).await?;
    let BatchDone { deletes, patches, puts, posts } = done;
    let all = |records: Vec<KeptRecord>| records.iter().map(told).collect::<Vec<_>>();
    Ok(Answer::success(BatchAnswer { deletes: all(deletes), patches: all(patches), puts: all(puts), posts: all(posts) }))
}

async fn export(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Result<Response, Answer<()>> {
    let at = WireTime(door.app.instant()).to_string();
    let file = door.app.record_export(&caller, zone, &at).await?;
    let mut response = file.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// What an import says, with the time it took around it: some clients read that.
#[derive(Serialize)]
struct Imported {
    recs_added: usize,
    total_records_parsed: usize,
}

impl Imported {
    fn envelope() -> Value {
        let (count, instant) = (json!({ "type": "integer", "minimum": 0 }), json!({ "type": "string", "format": "date-time" }));
        let result = json!({ "type": "object", "required": ["recs_added", "total_records_parsed"],
            "properties": { "recs_added": count, "total_records_parsed": count } });
        let timing = json!({ "type": "object", "properties": { "start_time": instant, "end_time": instant, "process_time": { "type": "integer" } } });
        let own =
            json!({ "type": "object", "required": ["result", "timing"], "properties": { "result": result, "timing": timing } });
        json!({ "allOf": [{ "$ref": "#/components/schemas/Success" }, own] })
    }
}

async fn import(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Answer<()>> {
    let began = door.app.instant();
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("multipart/"));
    let (file, proxied) = if is_form { form(request).await? } else { (whole(request).await?, false) };
    let done = door.app.record_import(&caller, zone, file, proxied).await?;
    let ended = door.app.instant();
    let result = Imported { recs_added: done.added, total_records_parsed: done.parsed };
    let envelope = serde_json::json!({
        "success": true, "errors": [], "messages": [], "result": result,
        "timing": {
            "start_time": WireTime(began).to_string(), "end_time": WireTime(ended).to_string(),
            "process_time": ended.as_micros().saturating_sub(began.as_micros()) / 1000,
        },
    });
    let mut response = envelope.to_string().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn whole(request: Request) -> Result<Bytes, Answer<()>> {
    Bytes::from_request(request, &()).await.map_err(|error| refused(error.status(), &error.body_text()))
}

/// The parts `file`, with or without a file name, and `proxied`.
async fn form(request: Request) -> Result<(Bytes, bool), Answer<()>> {
    let mut parts = Multipart::from_request(request, &()).await.map_err(|error| refused(error.status(), &error.body_text()))?;
    let (mut file, mut proxied) = (None, false);
    while let Some(part) = parts.next_field().await.map_err(|error| refused(error.status(), &error.body_text()))? {
        let name = part.name().unwrap_or("").to_owned();
        let bytes = part.bytes().await.map_err(|error| refused(error.status(), &error.body_text()))?;
        match name.as_str() {
            "file" => file = Some(bytes),
            "proxied" => proxied = bytes.eq_ignore_ascii_case(b"true"),
            _ => {}
        }
    }
    let file = file.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "the part `file` is missing: it holds the zone file"))?;
    Ok((file, proxied))
}

fn refused(status: StatusCode, why: &str) -> Answer<()> {
    Answer::error(status, poterne_control_wire::codes::INVALID_BODY, why)
}

/// Each wrong line of a zone file is an error of its own.
pub(crate) fn of_file(errors: &[(i64, String)]) -> Answer<()> {
    let errors = errors.iter().map(|(code, why)| ApiError::new(*code, why.clone())).collect();
    Answer::failure(StatusCode::BAD_REQUEST, Envelope::failure(errors))
}

/// A record that cannot be: the old clients' chain says the same once more.
pub(crate) fn of_record(code: i64, error: &AppError) -> Answer<()> {
    Answer::error(StatusCode::BAD_REQUEST, code, error.to_string())
}
