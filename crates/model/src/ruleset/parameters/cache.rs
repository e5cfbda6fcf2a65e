//! How requests are cached and responses stored (api-v4 §7, edge-behaviour §3.11).

use super::{any_of, booleans, expression, not_both};
use crate::{At, ShapeError};

/// Longest time to live, in seconds: ten years.
const TTL_MAX: i64 = 10 * 31_536_000;

/// Most items of one list.
const ITEMS_MAX: usize = 200;

pub(super) fn settings(at: &At<'_>) -> Result<(), ShapeError> {
    const SWITCHES: &[&str] = &[
        "cache",
        "respect_strong_etags",
        "origin_error_page_passthru",
        "origin_cache_control",
        "strip_etags",
        "strip_last_modified",
        "strip_set_cookie",
    ];
    booleans(at, SWITCHES)?;
    if let Some(ttl) = at.member("edge_ttl") {
        time_to_live(&ttl, &["respect_origin", "bypass_by_default", "override_origin"])?;
        if let Some(list) = ttl.member("status_code_ttl") {
            list.items(ITEMS_MAX)?.try_for_each(|item| status_ttl(&item))?;
        }
    }
    if let Some(ttl) = at.member("browser_ttl") {
        time_to_live(&ttl, &["respect_origin", "bypass_by_default", "override_origin", "bypass"])?;
    }
    at.member("cache_key").map(|key| cache_key(&key)).transpose()?;
    if let Some(stale) = at.member("serve_stale") {
        stale.object()?;
        booleans(&stale, &["disable_stale_while_updating"])?;
    }
    if let Some(ports) = at.member("additional_cacheable_ports") {
        ports.items(ITEMS_MAX)?.try_for_each(|port| port.integer(1..=65_535).map(drop))?;
    }
    at.member("read_timeout").map(|seconds| seconds.integer(1..=6000)).transpose()?;
    if let Some(reserve) = at.member("cache_reserve") {
        reserve.object()?;
        booleans(&reserve, &["eligible"])?;
        reserve.member("minimum_file_size").map(|bytes| bytes.integer(0..=i64::MAX)).transpose()?;
    }
    Ok(())
}

fn time_to_live(at: &At<'_>, modes: &[&str]) -> Result<(), ShapeError> {
    let mode = at.required("mode")?.one_of(modes)?;
    match (mode, at.member("default")) {
        ("override_origin", None) => at.required("default").map(drop),
        (_, default) => default.map(|seconds| seconds.integer(0..=TTL_MAX)).transpose().map(drop),
    }
}

/// −1: not stored; 0: stored and asked again each time.
fn status_ttl(at: &At<'_>) -> Result<(), ShapeError> {
    any_of(at, &["status_code", "status_code_range"])?;
    not_both(at, "status_code", "status_code_range")?;
    at.required("value")?.integer(-1..=TTL_MAX)?;
    at.member("status_code").map(|status| status.integer(100..=999)).transpose()?;
    if let Some(range) = at.member("status_code_range") {
        any_of(&range, &["from", "to"])?;
        let from = range.member("from").map(|from| from.integer(100..=999)).transpose()?;
        let to = range.member("to").map(|to| to.integer(100..=999)).transpose()?;
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(range.wrong("write the smaller status as from"));
        }
    }
    Ok(())
}

fn cache_key(at: &At<'_>) -> Result<(), ShapeError> {
    at.object()?;
    booleans(at, &["cache_by_device_type", "cache_deception_armor", "ignore_query_strings_order"])?;
    let Some(custom) = at.member("custom_key") else { return Ok(()) };
    custom.object()?;
    if let Some(query) = custom.member("query_string") {
        query.object()?;
        not_both(&query, "include", "exclude")?;
        for side in ["include", "exclude"] {
            query.member(side).map(|which| query_keys(&which)).transpose()?;
        }
    }
    if let Some(header) = custom.member("header") {
        header.object()?;
        names(&header, &["include", "check_presence"])?;
        booleans(&header, &["exclude_origin"])?;
        if let Some(contains) = header.member("contains") {
            for (_, values) in contains.members()? {
                texts(&values)?;
            }
        }
    }
    if let Some(cookie) = custom.member("cookie") {
        cookie.object()?;
        names(&cookie, &["include", "check_presence"])?;
    }
    if let Some(host) = custom.member("host") {
        host.object()?;
        booleans(&host, &["resolved"])?;
    }
    if let Some(user) = custom.member("user") {
        user.object()?;
        booleans(&user, &["device_type", "geo", "lang"])?;
    }
    Ok(())
}

/// `{"all": true}`, `{"list": […]}`, or the bare list older clients send (`["*"]`: all).
fn query_keys(at: &At<'_>) -> Result<(), ShapeError> {
    if at.value.is_array() {
        return texts(at);
    }
    any_of(at, &["all", "list"])?;
    booleans(at, &["all"])?;
    match at.member("list") {
        // Terraform's older line nests the list once more.
        Some(list) if list.value.is_object() => list.member("list").map_or(Ok(()), |list| texts(&list)),
        Some(list) => texts(&list),
        None => Ok(()),
    }
}

fn names(at: &At<'_>, keys: &[&str]) -> Result<(), ShapeError> {
    keys.iter().filter_map(|key| at.member(key)).try_for_each(|list| texts(&list))
}

fn texts(at: &At<'_>) -> Result<(), ShapeError> {
    at.items(ITEMS_MAX)?.try_for_each(|item| item.text(1024).map(drop))
}

pub(super) fn tags(at: &At<'_>) -> Result<(), ShapeError> {
    at.required("operation")?.one_of(&["add", "remove", "set"])?;
    any_of(at, &["values", "expression"])?;
    not_both(at, "values", "expression")?;
    at.member("values").map(|values| texts(&values)).transpose()?;
    at.member("expression").map(|given| expression(&given)).transpose().map(drop)
}

pub(super) fn control(at: &At<'_>) -> Result<(), ShapeError> {
    const DIRECTIVES: &[&str] = &[
        "immutable",
        "max-age",
        "must-revalidate",
        "must-understand",
        "no-cache",
        "no-store",
        "no-transform",
        "private",
        "proxy-revalidate",
        "public",
        "s-maxage",
        "stale-if-error",
        "stale-while-revalidate",
    ];
    any_of(at, DIRECTIVES)?;
    for directive in DIRECTIVES.iter().filter_map(|name| at.member(name)) {
        directive.required("operation")?.one_of(&["set", "remove"])?;
        directive.member("value").map(|seconds| seconds.integer(0..=TTL_MAX)).transpose()?;
        directive.member("qualifiers").map(|names| texts(&names)).transpose()?;
        booleans(&directive, &["cloudflare_only"])?;
    }
    Ok(())
}
