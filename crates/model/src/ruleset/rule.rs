//! One rule, and reading one out of a body.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Action, DESCRIPTION_CHARS_MAX, EXPRESSION_CHARS_MAX, Kind, Phase, RULES_MAX, parameters, ratelimit};
use crate::{At, RuleId, Schema, ShapeError, Timestamp, shape::without_nulls};

/// Longest `ref`, in characters.
pub const REF_CHARS_MAX: usize = 128;

/// One rule of a ruleset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// What the client calls it; its id where the client says nothing. Unique in its ruleset.
    pub reference: String,
    /// Raised by every change of this rule; begins at 1. A decimal text on the wire.
    pub version: u64,
    /// The last change of this rule.
    pub last_updated: Timestamp,
    /// What it says.
    pub body: RuleBody,
}

/// What a rule says, in normal form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleBody {
    /// What is done.
    pub action: Action,
    /// How; members not known to this version included.
    pub action_parameters: Option<Map<String, Value>>,
    /// When, as it was written.
    pub expression: String,
    /// For people; may be empty.
    pub description: String,
    /// Whether it is asked at all. Default true.
    pub enabled: bool,
    /// For people and overrides.
    pub categories: Vec<String>,
    /// Whether it says so in the log, where that was chosen.
    pub logging: Option<bool>,
    /// What it counts; in the phase of rate limits alone.
    pub ratelimit: Option<Value>,
    /// Where user name and password stand in the request.
    pub exposed_credential_check: Option<Value>,
}

/// A rule as a body brings it, with the place it stood at.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleDraft {
    /// The rule it means to be.
    pub id: Option<RuleId>,
    /// What the client calls it.
    pub reference: Option<String>,
    /// What it says.
    pub body: RuleBody,
    /// JSON pointer to it.
    pub pointer: String,
}

impl RuleDraft {
    /// What [`Self::read`] reads. What an action's parameters and a rate limit may say depends on action and phase, and is not told.
    pub fn schema() -> Schema {
        let object = || Schema::object([]);
        Schema::object([
            ("id", Schema::hex("the rule it continues")),
            ("ref", Schema::text(REF_CHARS_MAX).about("what the client calls it; unique in the ruleset")),
            ("action", Schema::one_of(Action::WORDS).required().about("one that has a place in the phase")),
            ("action_parameters", object().about("what the action does, as its kind asks")),
            ("expression", Schema::text(EXPRESSION_CHARS_MAX).not_empty().required()),
            ("description", Schema::text(DESCRIPTION_CHARS_MAX)),
            ("enabled", Schema::boolean().by_default(true)),
            ("categories", Schema::items(Schema::text(100), 100)),
            ("logging", Schema::object([("enabled", Schema::boolean())])),
            ("ratelimit", object().about("what is counted; of http_ratelimit alone, and required there")),
            ("exposed_credential_check", object()),
        ])
    }

    /// What POST of one rule reads, and PATCH of one that is there.
    pub fn schema_of_one(is_new: bool) -> Schema {
        let position = Schema::object([
            ("before", Schema::text(64).about("the rule it stands before; empty: before all")),
            ("after", Schema::text(64).about("the rule it stands after; empty: after all")),
            ("index", Schema::integer(1..=RULES_MAX as i64)),
        ]);
        let position = position.about("where it goes: exactly one of the three");
        let example = json!({ "action": "block", "expression": "(ip.src eq 192.0.2.7)", "description": "knocks" });
        let name = if is_new { "NewRule" } else { "RuleChanges" };
        let mut out = Self::schema().into_value();
        out["properties"]["position"] = position.into_value();
        if !is_new {
            out["required"] = json!([]);
            // The path says which rule it is.
            out["properties"].as_object_mut().map(|members| members.remove("id"));
        }
        Schema::of(out).named(name).example(example)
    }

    /// The `rules` of a body; none when it has none.
    ///
    /// # Errors
    /// There are too many, or one is wrong.
    pub fn read_list(body: &At<'_>, phase: Phase, kind: Kind) -> Result<Option<Vec<Self>>, ShapeError> {
        let Some(rules) = body.member("rules") else { return Ok(None) };
        rules.items(RULES_MAX)?.map(|rule| Self::read(&rule, phase, kind)).collect::<Result<_, _>>().map(Some)
    }

    /// One rule. Members that only answers carry (`version`, `last_updated`) are passed over.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(at: &At<'_>, phase: Phase, kind: Kind) -> Result<Self, ShapeError> {
        at.object()?;
        // An empty id or ref is what generated clients send for none.
        let told = |key: &str| at.member(key).filter(|member| member.value != &Value::from(""));
        let id =
            told("id").map(|id| id.text(64)?.parse::<RuleId>().map_err(|error| ShapeError::new(id.pointer(), error.to_string())));
        let reference = told("ref").map(|reference| reference.text(REF_CHARS_MAX).map(str::to_owned));
        Ok(Self {
            id: id.transpose()?,
            reference: reference.transpose()?,
            body: RuleBody::read(at, phase, kind)?,
            pointer: at.pointer().to_owned(),
        })
    }

    /// An existing rule with the members of a PATCH in their places. A member that is null goes back to its default; parameters
    /// that the body does not bring stay, unless the action becomes another.
    ///
    /// # Errors
    /// The rule would be wrong.
    pub fn patching(rule: &Rule, body: &At<'_>, phase: Phase, kind: Kind) -> Result<Self, ShapeError> {
        let mut whole = rule.body.members();
        let given = body.object()?;
        if given.get("action").is_some_and(|action| Some(action) != whole.get("action")) {
            whole.remove("action_parameters");
        }
        for (key, value) in given {
            whole.insert(key.clone(), value.clone());
        }
        // The path says which rule it is; a body that names another does not move it there.
        whole.insert("id".into(), rule.id.to_string().into());
        if body.member("ref").is_none() {
            whole.insert("ref".into(), rule.reference.clone().into());
        }
        Self::read(&At::new(&Value::Object(whole), body.pointer()), phase, kind)
    }
}

impl RuleBody {
    fn read(at: &At<'_>, phase: Phase, kind: Kind) -> Result<Self, ShapeError> {
        let given = at.required("action")?;
        let action = Action::read(&given)?;
        if !phase.allows(kind, action) {
            let words: Vec<&str> = phase.actions().iter().map(|action| action.as_str()).collect();
            return Err(given.wrong(format_args!("it has no place in {phase}, so write one of {}", words.join(", "))));
        }
        let counts = phase == Phase::Ratelimit && action != Action::Execute;
        let ratelimit = match at.member("ratelimit") {
            Some(given) if counts => Some(ratelimit::read(&given, action)?),
            Some(given) if given.object()?.is_empty() => None,
            Some(given) => {
                return Err(given.wrong("only rules of http_ratelimit that do not execute others count, so leave it out"));
            }
            None if counts => {
                let pointer = format!("{}/ratelimit", at.pointer());
                return Err(ShapeError::new(
                    pointer.clone(),
                    format!("{pointer} is missing: every rule of this phase counts something"),
                ));
            }
            None => None,
        };
        Ok(Self {
            action,
            action_parameters: parameters::read(action, phase, at)?,
            expression: read_expression(&at.required("expression")?)?,
            description: at.member("description").map_or(Ok(""), |text| text.text(DESCRIPTION_CHARS_MAX))?.to_owned(),
            enabled: at.member("enabled").map_or(Ok(true), |enabled| enabled.boolean())?,
            categories: categories(at)?,
            logging: logging(at)?,
            ratelimit,
            exposed_credential_check: credentials(at)?,
        })
    }

    /// As members of a JSON object; those that say nothing are left out, except `description` and `enabled`.
    pub fn members(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
        put("action", self.action.as_str().into());
        put("expression", self.expression.as_str().into());
        put("description", self.description.as_str().into());
        put("enabled", self.enabled.into());
        if let Some(parameters) = &self.action_parameters {
            put("action_parameters", Value::Object(parameters.clone()));
        }
        if !self.categories.is_empty() {
            put("categories", self.categories.clone().into());
        }
        if let Some(enabled) = self.logging {
            put("logging", json!({ "enabled": enabled }));
        }
        if let Some(ratelimit) = &self.ratelimit {
            put("ratelimit", ratelimit.clone());
        }
        if let Some(check) = &self.exposed_credential_check {
            put("exposed_credential_check", check.clone());
        }
        out
    }
}

/// What can be said of an expression without its language: it is there, has no stray control characters, and is not too long.
fn read_expression(at: &At<'_>) -> Result<String, ShapeError> {
    let text = at.text(EXPRESSION_CHARS_MAX)?.trim();
    if text.is_empty() {
        return Err(at.wrong("write an expression; true matches every request"));
    }
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(at.wrong("an expression has no control characters"));
    }
    Ok(text.to_owned())
}

fn categories(at: &At<'_>) -> Result<Vec<String>, ShapeError> {
    let Some(list) = at.member("categories") else { return Ok(Vec::new()) };
    list.items(100)?.map(|category| category.text(100).map(str::to_owned)).collect()
}

fn logging(at: &At<'_>) -> Result<Option<bool>, ShapeError> {
    let Some(logging) = at.member("logging") else { return Ok(None) };
    logging.object()?;
    logging.member("enabled").map(|enabled| enabled.boolean()).transpose()
}

fn credentials(at: &At<'_>) -> Result<Option<Value>, ShapeError> {
    let Some(check) = at.member("exposed_credential_check") else { return Ok(None) };
    for key in ["username_expression", "password_expression"] {
        parameters::expression(&check.required(key)?)?;
    }
    Ok(Some(without_nulls(check.value)))
}
