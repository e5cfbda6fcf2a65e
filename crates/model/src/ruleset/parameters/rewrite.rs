//! Paths, queries, fields and addresses that a rule writes.

use super::{Phase, any_of, booleans, expression, not_both, value_or_expression};
use crate::{At, ShapeError};

/// Most fields that one rule changes.
const FIELDS_MAX: usize = 100;

/// Longest field value, path, query or target address, in characters.
const VALUE_CHARS_MAX: usize = 4096;

/// Fields that frame a message or belong to one connection: rewriting one would let two readers disagree.
const FRAMING: &[&str] =
    &["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

pub(super) fn rewrite(at: &At<'_>, phase: Phase) -> Result<(), ShapeError> {
    let wanted = if phase == Phase::Transform { "uri" } else { "headers" };
    any_of(at, &[wanted])?;
    if let Some(uri) = at.member("uri") {
        any_of(&uri, &["path", "query"])?;
        for part in ["path", "query"] {
            uri.member(part).map(|part| value_or_expression(&part, VALUE_CHARS_MAX)).transpose()?;
        }
        booleans(&uri, &["origin"])?;
        if let Some(value) = uri.member("path").and_then(|path| path.member("value"))
            && !value.text(VALUE_CHARS_MAX)?.starts_with('/')
        {
            return Err(value.wrong("write a path that begins with /"));
        }
    }
    if let Some(headers) = at.member("headers") {
        let count = headers.object()?.len();
        if count == 0 || count > FIELDS_MAX {
            return Err(headers.wrong(format_args!("write 1 to {FIELDS_MAX} fields in it")));
        }
        for (name, header) in headers.members()? {
            field(name, &header, phase)?;
        }
    }
    Ok(())
}

fn field(name: &str, at: &At<'_>, phase: Phase) -> Result<(), ShapeError> {
    let refuse =
        |why: &str| Err(ShapeError::new(at.pointer(), format!("the field {:?} {why}", &name.escape_debug().to_string())));
    // RFC 9110 §5.1: a field name is a token.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        return refuse("is no field name: write letters, digits and '-'");
    }
    let lower = name.to_ascii_lowercase();
    if FRAMING.contains(&lower.as_str()) {
        return refuse("frames the message and cannot be changed");
    }
    let to_origin = phase == Phase::LateTransform;
    let is_the_edges = lower == "cdn-loop" || ["cf-", "x-cf-", "poterne-"].iter().any(|start| lower.starts_with(start));
    if to_origin && is_the_edges {
        return refuse("is the edge's own word to origins and cannot be changed");
    }
    if to_origin && lower == "host" {
        return refuse("cannot be changed here: write a rule with the action route for http_request_origin");
    }
    if at.required("operation")?.one_of(&["set", "add", "remove"])? == "remove" {
        return match at.member("value").or_else(|| at.member("expression")) {
            Some(more) => Err(more.wrong("a field that is removed has no value, so leave it out")),
            None => Ok(()),
        };
    }
    value_or_expression(at, VALUE_CHARS_MAX)?;
    match at.member("value") {
        Some(value) if value.text(VALUE_CHARS_MAX)?.contains(|c: char| c.is_control() && c != '\t') => {
            Err(value.wrong("a field's value has no line breaks or other control characters"))
        }
        _ => Ok(()),
    }
}

pub(super) fn redirect(at: &At<'_>, phase: Phase) -> Result<(), ShapeError> {
    not_both(at, "from_value", "from_list")?;
    any_of(at, &[if phase == Phase::Redirect { "from_list" } else { "from_value" }])?;
    if let Some(list) = at.member("from_list") {
        let name = list.required("name")?;
        crate::list::check_name(&name)?;
        expression(&list.required("key")?)?;
    }
    if let Some(value) = at.member("from_value") {
        let target = value.required("target_url")?;
        value_or_expression(&target, VALUE_CHARS_MAX)?;
        if let Some(text) = target.member("value") {
            let url = text.text(VALUE_CHARS_MAX)?;
            if url.is_empty() || url.contains(|c: char| c.is_control() || c == ' ') {
                return Err(text.wrong("write an address, as in https://example.com/new"));
            }
        }
        if let Some(status) = value.member("status_code")
            && ![301, 302, 303, 307, 308].contains(&status.integer(300..=399)?)
        {
            return Err(status.wrong("write one of 301, 302, 303, 307, 308"));
        }
        booleans(&value, &["preserve_query_string"])?;
    }
    Ok(())
}
