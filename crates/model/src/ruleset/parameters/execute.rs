//! Rulesets that are run, and what is passed over.

use super::{Action, any_of, booleans};
use crate::{At, RuleId, RulesetId, ShapeError, ruleset::Phase};

/// Most ids in one list of a skip or an override.
const IDS_MAX: usize = 1000;

const PRODUCTS: &[&str] = &["bic", "hot", "rateLimit", "securityLevel", "uaBlock", "waf", "zoneLockdown"];

const SENSITIVITY: &[&str] = &["default", "medium", "low", "eoff"];

pub(super) fn skip(at: &At<'_>) -> Result<(), ShapeError> {
    any_of(at, &["ruleset", "phases", "phase", "products", "rulesets", "rules"])?;
    at.member("ruleset").map(|ruleset| ruleset.one_of(&["current"])).transpose()?;
    at.member("phase").map(|phase| phase.one_of(&["current"])).transpose()?;
    if let Some(phases) = at.member("phases") {
        for phase in phases.items(IDS_MAX)? {
            if !Phase::is_known(phase.text(64)?) {
                return Err(phase.wrong(format_args!("write a phase: one of {}", Phase::WORDS.join(", "))));
            }
        }
    }
    if let Some(products) = at.member("products") {
        products.items(IDS_MAX)?.try_for_each(|product| product.one_of(PRODUCTS).map(drop))?;
    }
    if let Some(rulesets) = at.member("rulesets") {
        rulesets.items(IDS_MAX)?.try_for_each(|ruleset| ruleset_id(&ruleset))?;
    }
    if let Some(rules) = at.member("rules") {
        for (ruleset, list) in rules.members()? {
            parsed::<RulesetId>(&list, ruleset)?;
            for rule in list.items(IDS_MAX)? {
                parsed::<RuleId>(&rule, rule.text(64)?)?;
            }
        }
    }
    Ok(())
}

pub(super) fn execute(at: &At<'_>) -> Result<(), ShapeError> {
    ruleset_id(&at.required("id")?)?;
    if let Some(matched) = at.member("matched_data") {
        matched.required("public_key")?.text(512)?;
    }
    let Some(overrides) = at.member("overrides") else { return Ok(()) };
    overridden(&overrides)?;
    if let Some(categories) = overrides.member("categories") {
        for category in categories.items(IDS_MAX)? {
            category.required("category")?.text(255)?;
            overridden(&category)?;
        }
    }
    if let Some(rules) = overrides.member("rules") {
        for rule in rules.items(IDS_MAX)? {
            let id = rule.required("id")?;
            parsed::<RuleId>(&id, id.text(64)?)?;
            rule.member("score_threshold").map(|score| score.integer(0..=1_000_000)).transpose()?;
            overridden(&rule)?;
        }
    }
    Ok(())
}

/// What may be set at every level.
fn overridden(at: &At<'_>) -> Result<(), ShapeError> {
    at.object()?;
    booleans(at, &["enabled"])?;
    at.member("action").map(|action| Action::read(&action)).transpose()?;
    at.member("sensitivity_level").map(|level| level.one_of(SENSITIVITY)).transpose().map(drop)
}

fn ruleset_id(at: &At<'_>) -> Result<(), ShapeError> {
    parsed::<RulesetId>(at, at.text(64)?)
}

fn parsed<T: std::str::FromStr<Err = crate::id::IdError>>(at: &At<'_>, text: &str) -> Result<(), ShapeError> {
    text.parse::<T>().map(drop).map_err(|error| ShapeError::new(at.pointer(), error.to_string()))
}
