//! The shape of `action_parameters`, action by action (api-v4 §7).
//!
//! Members that are known are checked; those that are not stay as they came, for a client must read back what it wrote. Members
//! that are null are left out.

mod cache;
mod config;
mod execute;
mod respond;
mod rewrite;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{Action, EXPRESSION_CHARS_MAX, Phase};
use crate::{At, ShapeError, shape::without_nulls};

/// Most bytes of one rule's parameters, as JSON.
pub const PARAMETERS_BYTES_MAX: usize = 64 * 1024;

/// Checks what a rule says of its action. `rule` is the rule; its `action_parameters` may be missing. None when they are empty.
///
/// # Errors
/// The first member that is wrong.
pub fn read(action: Action, phase: Phase, rule: &At<'_>) -> Result<Option<Map<String, Value>>, ShapeError> {
    let nothing = Value::Object(Map::new());
    let given = rule.member("action_parameters");
    let at = given.clone().unwrap_or_else(|| At::new(&nothing, format!("{}/action_parameters", rule.pointer())));
    at.object()?;
    match action {
        Action::Block => respond::block(&at)?,
        Action::ServeError => respond::serve_error(&at)?,
        Action::CompressResponse => respond::compress(&at)?,
        Action::LogCustomField => respond::log_fields(&at)?,
        Action::Skip => execute::skip(&at)?,
        Action::Execute => execute::execute(&at)?,
        Action::Score => drop(at.required("increment")?.integer(-1000..=1000)?),
        Action::Rewrite => rewrite::rewrite(&at, phase)?,
        Action::Redirect => rewrite::redirect(&at, phase)?,
        Action::Route => config::route(&at)?,
        Action::SetConfig => config::set_config(&at)?,
        Action::SetCacheSettings => cache::settings(&at)?,
        Action::SetCacheTags => cache::tags(&at)?,
        Action::SetCacheControl => cache::control(&at)?,
        Action::Challenge
        | Action::JsChallenge
        | Action::ManagedChallenge
        | Action::Log
        | Action::ForceConnectionClose
        | Action::DdosDynamic => {}
    }
    let Some(Value::Object(normal)) = given.map(|given| without_nulls(given.value)) else { return Ok(None) };
    let bytes = serde_json::to_vec(&normal).map_or(0, |json| json.len());
    if bytes > PARAMETERS_BYTES_MAX {
        let why = format!("{} takes {bytes} bytes: at most {PARAMETERS_BYTES_MAX} are kept", at.pointer());
        return Err(ShapeError::new(at.pointer(), why));
    }
    Ok(Some(normal).filter(|normal| !normal.is_empty()))
}

/// An expression inside parameters or a rate limit: a text within bounds.
pub(super) fn expression(at: &At<'_>) -> Result<(), ShapeError> {
    if at.text(EXPRESSION_CHARS_MAX)?.trim().is_empty() { Err(at.wrong("write an expression")) } else { Ok(()) }
}

/// Exactly one of `value` and `expression`; the value may have so many characters.
fn value_or_expression(at: &At<'_>, max: usize) -> Result<(), ShapeError> {
    at.object()?;
    match (at.member("value"), at.member("expression")) {
        (Some(value), None) => value.text(max).map(drop),
        (None, Some(given)) => expression(&given),
        _ => Err(at.wrong("write either value or expression in it")),
    }
}

/// Each of these members, where it is there, is true or false.
fn booleans(at: &At<'_>, keys: &[&str]) -> Result<(), ShapeError> {
    keys.iter().filter_map(|key| at.member(key)).try_for_each(|member| member.boolean().map(drop))
}

/// At least one of these members is there.
fn any_of(at: &At<'_>, keys: &[&str]) -> Result<(), ShapeError> {
    if keys.iter().any(|key| at.member(key).is_some()) {
        Ok(())
    } else {
        Err(ShapeError::new(at.pointer(), format!("{} says nothing: write one of {}", at.pointer(), keys.join(", "))))
    }
}

/// Not both.
fn not_both(at: &At<'_>, one: &str, other: &str) -> Result<(), ShapeError> {
    if at.member(one).is_some() && at.member(other).is_some() {
        return Err(ShapeError::new(at.pointer(), format!("{} has both {one} and {other}: write one", at.pointer())));
    }
    Ok(())
}
