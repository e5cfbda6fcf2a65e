//! Answers, error pages, compression and logged fields.

use super::any_of;
use crate::{At, ShapeError};

/// Longest body of an answer of one's own, in characters.
const CONTENT_CHARS_MAX: usize = 30 * 1024;

const CONTENT_TYPES: &[&str] = &["text/html", "text/plain", "text/xml", "application/json"];

/// Most fields of one kind that one rule logs.
const FIELDS_MAX: usize = 100;

pub(super) fn block(at: &At<'_>) -> Result<(), ShapeError> {
    let Some(response) = at.member("response") else { return Ok(()) };
    response.required("status_code")?.integer(400..=499)?;
    response.required("content")?.text(CONTENT_CHARS_MAX)?;
    response.required("content_type")?.one_of(CONTENT_TYPES).map(drop)
}

pub(super) fn serve_error(at: &At<'_>) -> Result<(), ShapeError> {
    any_of(at, &["content", "asset_name"])?;
    super::not_both(at, "content", "asset_name")?;
    if let Some(content) = at.member("content") {
        content.text(CONTENT_CHARS_MAX)?;
        at.required("content_type")?;
    }
    at.member("asset_name").map(|name| name.text(64)).transpose()?;
    at.member("content_type").map(|kind| kind.one_of(CONTENT_TYPES)).transpose()?;
    at.member("status_code").map(|status| status.integer(400..=599)).transpose().map(drop)
}

pub(super) fn compress(at: &At<'_>) -> Result<(), ShapeError> {
    let algorithms = at.required("algorithms")?;
    let items = algorithms.items(16)?;
    if items.len() == 0 {
        return Err(algorithms.wrong("write at least one, as in {\"name\": \"auto\"}"));
    }
    for item in items {
        item.required("name")?.one_of(&["none", "auto", "default", "gzip", "brotli", "zstd"])?;
    }
    Ok(())
}

pub(super) fn log_fields(at: &At<'_>) -> Result<(), ShapeError> {
    let kinds = ["request_fields", "response_fields", "raw_response_fields", "transformed_request_fields", "cookie_fields"];
    any_of(at, &kinds)?;
    for list in kinds.iter().filter_map(|kind| at.member(kind)) {
        for item in list.items(FIELDS_MAX)? {
            let name = item.required("name")?;
            if name.text(255)?.is_empty() {
                return Err(name.wrong("write the field's name"));
            }
            super::booleans(&item, &["preserve_duplicates"])?;
        }
    }
    Ok(())
}
