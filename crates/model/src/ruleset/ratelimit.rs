//! What a rate limiting rule counts, and for how long it acts (api-v4 §7, edge-behaviour §4.9).

use serde_json::Value;

use super::{Action, parameters::expression};
use crate::{At, ShapeError, shape::without_nulls};

/// The periods counted over, in seconds.
pub const PERIODS: &[i64] = &[10, 60, 120, 300, 600, 3600];

/// Most requests in a period.
const REQUESTS_MAX: i64 = 1_000_000_000;

/// Longest time a rule acts once it was met, in seconds.
const MITIGATION_SECS_MAX: i64 = 86_400;

/// Most characteristics of one rule.
const CHARACTERISTICS_MAX: usize = 16;

/// Characteristics that stand alone. `cf.colo.id` is one that clients must send elsewhere: it is kept, and counts nothing, since
/// each node counts for itself.
const PLAIN: &[&str] = &[
    "cf.colo.id",
    "cf.unique_visitor_id",
    "cf.bot_management.ja3_hash",
    "cf.bot_management.ja4",
    "http.host",
    "http.request.uri.path",
    "ip.geoip.asnum",
    "ip.geoip.country",
    "ip.src",
    "ip.src.asnum",
    "ip.src.country",
];

/// Characteristics that name what they mean, as in `http.request.headers["x-key"]`.
const NAMED: &[&str] = &["http.request.headers", "http.request.cookies", "http.request.uri.args"];

/// Checks a `ratelimit`, and gives its normal form: header names in lower case, whatever it has besides as it came.
///
/// # Errors
/// The first member that is wrong.
pub fn read(at: &At<'_>, action: Action) -> Result<Value, ShapeError> {
    at.object()?;
    let mut normal = without_nulls(at.value);
    let period = at.required("period")?;
    if !PERIODS.contains(&period.integer(0..=i64::MAX)?) {
        return Err(period.wrong("write one of 10, 60, 120, 300, 600, 3600 seconds"));
    }
    match (at.member("requests_per_period"), at.member("score_per_period")) {
        (Some(requests), None) => drop(requests.integer(1..=REQUESTS_MAX)?),
        (None, Some(score)) => {
            score.integer(1..=REQUESTS_MAX)?;
            at.required("score_response_header_name")?.text(256)?;
        }
        _ => return Err(at.wrong("write either requests_per_period or score_per_period in it")),
    }
    if let Some(timeout) = at.member("mitigation_timeout")
        && timeout.integer(0..=MITIGATION_SECS_MAX)? != 0
        && action.is_challenge()
    {
        return Err(timeout.wrong(format_args!("write 0, since {action} lasts until the visitor has passed it")));
    }
    if let Some(counting) = at.member("counting_expression").filter(|counting| counting.value != &Value::from("")) {
        expression(&counting)?;
    }
    at.member("requests_to_origin").map(|to_origin| to_origin.boolean()).transpose()?;
    normal["characteristics"] = characteristics(&at.required("characteristics")?)?.into();
    Ok(normal)
}

fn characteristics(at: &At<'_>) -> Result<Vec<String>, ShapeError> {
    let mut all = Vec::new();
    for item in at.items(CHARACTERISTICS_MAX)? {
        let text = characteristic(item.text(512)?).ok_or_else(|| {
            item.wrong("write one such as ip.src, http.host, http.request.uri.path or http.request.headers[\"x-api-key\"]")
        })?;
        if all.contains(&text) {
            return Err(item.wrong("it stands there twice"));
        }
        all.push(text);
    }
    let has = |name: &str| all.iter().any(|text| text == name);
    if all.is_empty() {
        return Err(at.wrong("write at least one, as in ip.src"));
    }
    if has("ip.src") && has("cf.unique_visitor_id") {
        return Err(ShapeError::new(at.pointer(), "ip.src and cf.unique_visitor_id exclude each other: write one of them"));
    }
    Ok(all)
}

fn characteristic(text: &str) -> Option<String> {
    if PLAIN.contains(&text) {
        return Some(text.to_owned());
    }
    let (field, rest) = text.split_once('[')?;
    let name = rest.strip_suffix(']')?.strip_prefix('"')?.strip_suffix('"')?;
    let valid = NAMED.contains(&field) && !name.is_empty() && !name.contains(|c: char| c.is_control() || c == '"');
    valid.then(|| match field {
        "http.request.headers" => format!("{field}[\"{}\"]", name.to_ascii_lowercase()),
        _ => text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value, action: Action) -> Result<Value, String> {
        read(&At::new(value, "/ratelimit"), action).map_err(|error| error.pointer)
    }

    #[test]
    fn a_limit_is_told_back_with_header_names_in_lower_case() {
        let given = json!({"characteristics": ["cf.colo.id", "ip.src", "http.request.headers[\"X-Key\"]"], "period": 60,
            "requests_per_period": 100, "mitigation_timeout": 600, "counting_expression": "", "future": 1});
        let normal = check(&given, Action::Block).unwrap();
        assert_eq!(normal["characteristics"][2], "http.request.headers[\"x-key\"]");
        assert_eq!((&normal["future"], &normal["counting_expression"]), (&json!(1), &json!("")));
        assert_eq!(check(&normal, Action::Block), Ok(normal.clone()));
        assert_eq!(check(&given, Action::ManagedChallenge), Err("/ratelimit/mitigation_timeout".into()));
    }

    #[test]
    fn what_is_out_of_shape_is_named() {
        let good = json!({"characteristics": ["ip.src"], "period": 10, "requests_per_period": 1});
        assert!(check(&good, Action::Log).is_ok());
        for (key, value, pointer) in [
            ("period", json!(11), "/ratelimit/period"),
            ("requests_per_period", json!(0), "/ratelimit/requests_per_period"),
            ("requests_per_period", Value::Null, "/ratelimit"),
            ("score_per_period", json!(5), "/ratelimit"),
            ("mitigation_timeout", json!(86_401), "/ratelimit/mitigation_timeout"),
            ("characteristics", json!([]), "/ratelimit/characteristics"),
            ("characteristics", json!(["ip.src", "ip.src"]), "/ratelimit/characteristics/1"),
            ("characteristics", json!(["ip.src", "cf.unique_visitor_id"]), "/ratelimit/characteristics"),
            ("characteristics", json!(["http.request.headers[x]"]), "/ratelimit/characteristics/0"),
            ("counting_expression", json!(" "), "/ratelimit/counting_expression"),
        ] {
            let mut wrong = good.clone();
            wrong[key] = value;
            assert_eq!(check(&wrong, Action::Block), Err(pointer.to_owned()), "{wrong}");
        }
    }
}
