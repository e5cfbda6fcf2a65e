//! Settings for one request, and how its origin is reached.

use super::{any_of, booleans};
use crate::{At, Name, ShapeError};

const SWITCHES: &[&str] = &[
    "automatic_https_rewrites",
    "bic",
    "email_obfuscation",
    "hotlink_protection",
    "mirage",
    "opportunistic_encryption",
    "rocket_loader",
    "server_side_excludes",
    "sxg",
    "fonts",
];

pub(super) fn set_config(at: &At<'_>) -> Result<(), ShapeError> {
    booleans(at, SWITCHES)?;
    for (key, words) in [
        ("ssl", &["off", "flexible", "full", "strict", "origin_pull"][..]),
        ("security_level", &["off", "essentially_off", "low", "medium", "high", "under_attack"]),
        ("polish", &["off", "lossless", "lossy", "webp"]),
        ("request_body_buffering", &["none", "standard", "full"]),
        ("response_body_buffering", &["none", "standard"]),
    ] {
        at.member(key).map(|word| word.one_of(words)).transpose()?;
    }
    // These can only be turned off: their absence is what leaves them on.
    for key in ["disable_apps", "disable_zaraz", "disable_rum"] {
        if let Some(given) = at.member(key)
            && !given.boolean()?
        {
            return Err(given.wrong("write true, or leave it out"));
        }
    }
    if let Some(minify) = at.member("autominify") {
        minify.object()?;
        booleans(&minify, &["html", "css", "js"])?;
    }
    match at.object()?.values().find(|value| !value.is_null()) {
        Some(_) => Ok(()),
        None => {
            Err(ShapeError::new(at.pointer(), format!("{} sets nothing: write a setting, as in \"ssl\": \"full\"", at.pointer())))
        }
    }
}

pub(super) fn route(at: &At<'_>) -> Result<(), ShapeError> {
    any_of(at, &["host_header", "sni", "origin"])?;
    at.member("host_header").map(|host| name(&host)).transpose()?;
    at.member("sni").map(|sni| name(&sni.required("value")?)).transpose()?;
    if let Some(origin) = at.member("origin") {
        any_of(&origin, &["host", "port"])?;
        origin.member("host").map(|host| name(&host)).transpose()?;
        origin.member("port").map(|port| port.integer(1..=65_535)).transpose()?;
    }
    Ok(())
}

fn name(at: &At<'_>) -> Result<(), ShapeError> {
    Name::parse(at.text(254)?).map(drop).map_err(|error| ShapeError::new(at.pointer(), error.to_string()))
}
