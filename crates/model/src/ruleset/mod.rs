//! Rulesets: rules in order, under a phase of the request's life (api-v4 §7, edge-behaviour §4.1, §4.7).
//!
//! What is checked here is the shape: that the phase is one a scope has, that the action may stand in it, that its parameters and
//! rate limit are of the right kind and within bounds, that ids and refs are unambiguous. An expression is kept as the text it
//! came as, neither empty nor longer than [`EXPRESSION_CHARS_MAX`]: its grammar and types, and those of the expressions inside
//! parameters, are the `rules` crate's to check. Members of `action_parameters` that are not known here are
//! kept and told back as they came. Whether a list, a ruleset or an asset that a rule names is there is for whoever has the store.
//!
//! * [`phase`]: the phases, whose they are, and which are refused;
//! * [`action`]: the actions, and in which phase each may stand;
//! * [`parameters`]: the shape of each action's parameters;
//! * [`ratelimit`]: what a rate limiting rule counts;
//! * [`rule`]: one rule, and reading one;
//! * [`edit`]: what PUT, POST, PATCH and DELETE do to a ruleset; rules keep their ids.
//!
//! Ids and the instant are handed in.

use serde::{Deserialize, Serialize};
use serde_json::json;

pub mod action;
pub mod edit;
pub mod parameters;
pub mod phase;
pub mod ratelimit;
pub mod rule;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use edit::{Position, RulesetError};
pub use phase::{Phase, PhaseError};
pub use rule::{Rule, RuleBody, RuleDraft};

use crate::{At, RulesetId, Schema, ShapeError, Timestamp, word::words};

/// Most rules in one ruleset.
pub const RULES_MAX: usize = 1000;

/// Longest expression, in characters.
pub const EXPRESSION_CHARS_MAX: usize = 4096;

/// Longest name of a ruleset, in characters.
pub const NAME_CHARS_MAX: usize = 255;

/// What an entry point is called that was given no name.
pub const ENTRY_POINT_NAME: &str = "default";

/// Longest description of a ruleset or a rule, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 500;

/// The managed rulesets by the ids that configurations carry: a rule that executes one means ours of that kind.
pub const MANAGED: &[(&str, &str)] = &[
    ("efb7b8c949ac4650a09736fc376e9aee", "Managed"),
    ("4814384a9e5d4991b9815dcfc25d2f1f", "OWASP core"),
    ("c2e184081120413c86c3ab7e14069605", "Exposed credentials"),
    ("70339d97bdb34195bbf054b1ebe81f76", "Normalisation"),
];

words! {
    /// What a ruleset is.
    pub enum Kind {
        /// The node's own; executed, never edited.
        Managed = "managed",
        /// An owner's, executed by a rule of an entry point.
        Custom = "custom",
        /// The entry point of an account's phase.
        Root = "root",
        /// The entry point of a zone's phase.
        Zone = "zone",
    }
}

/// Whose a ruleset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// An account's: for all its zones.
    Account,
    /// A zone's.
    Zone,
}

impl Scope {
    /// The kind of its entry points.
    pub const fn entry_point(self) -> Kind {
        match self {
            Self::Account => Kind::Root,
            Self::Zone => Kind::Zone,
        }
    }
}

/// A ruleset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Its id.
    pub id: RulesetId,
    /// For people.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// What it is.
    pub kind: Kind,
    /// When in a request's life its rules are asked.
    pub phase: Phase,
    /// Raised by every change; begins at 1. A decimal text on the wire.
    pub version: u64,
    /// The last change.
    pub last_updated: Timestamp,
    /// In the order they are asked.
    pub rules: Vec<Rule>,
}

/// What a body says of a new ruleset.
#[derive(Debug, Clone, PartialEq)]
pub struct RulesetDraft {
    /// See [`Ruleset::name`].
    pub name: String,
    /// See [`Ruleset::description`].
    pub description: String,
    /// See [`Ruleset::kind`].
    pub kind: Kind,
    /// See [`Ruleset::phase`].
    pub phase: Phase,
    /// Its rules.
    pub rules: Vec<RuleDraft>,
}

/// What the body of a PUT says; what it leaves out stays. An empty list removes every rule, its absence none: a body that only
/// renames a ruleset must not empty it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RulesetPut {
    /// See [`Ruleset::name`].
    pub name: Option<String>,
    /// See [`Ruleset::description`].
    pub description: Option<String>,
    /// Its rules.
    pub rules: Option<Vec<RuleDraft>>,
}

impl RulesetDraft {
    /// What [`Self::read`] reads.
    pub fn schema(scope: Scope) -> Schema {
        let (kinds, named) = match scope {
            Scope::Account => ([Kind::Custom.as_str(), Kind::Root.as_str()], "NewAccountRuleset"),
            Scope::Zone => ([Kind::Custom.as_str(), Kind::Zone.as_str()], "NewZoneRuleset"),
        };
        let phases: Vec<&str> = Phase::WORDS.iter().copied().filter(|word| Phase::find(word, scope).is_ok()).collect();
        let [(_, name), description, rules] = members();
        let kind = ("kind", Schema::one_of(&kinds).required());
        let members = [("name", name.required()), description, kind, ("phase", Schema::one_of(&phases).required()), rules];
        let rule = json!({ "action": "block", "expression": "(ip.src eq 192.0.2.7)" });
        let example = json!({ "name": "mine", "kind": "custom", "phase": "http_request_firewall_custom", "rules": [rule] });
        Schema::object(members).named(named).example(example)
    }

    /// From the body of a POST.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>, scope: Scope) -> Result<Self, ShapeError> {
        let name = read_name(&body.required("name")?)?;
        let given = body.required("kind")?;
        let kind = Kind::read(&given)?;
        if kind != Kind::Custom && kind != scope.entry_point() {
            return Err(given.wrong(format_args!("write {} or {} here", scope.entry_point(), Kind::Custom)));
        }
        let given = body.required("phase")?;
        let phase = Phase::find(given.text(64)?, scope).map_err(|error| ShapeError::new(given.pointer(), error.to_string()))?;
        let description = read_description(body)?.unwrap_or_default();
        let rules = RuleDraft::read_list(body, phase, kind)?.unwrap_or_default();
        Ok(Self { name, description, kind, phase, rules })
    }
}

impl RulesetPut {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let rule = json!({ "action": "block", "expression": "(ip.src eq 192.0.2.7)" });
        Schema::object(members()).named("RulesetChanges").example(json!({ "description": "mine", "rules": [rule] }))
    }

    /// From the body of a PUT. Members that cannot be changed (`kind`, `phase`, `version`) are passed over.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>, phase: Phase, kind: Kind) -> Result<Self, ShapeError> {
        body.object()?;
        Ok(Self {
            name: body.member("name").map(|name| read_name(&name)).transpose()?,
            description: read_description(body)?,
            rules: RuleDraft::read_list(body, phase, kind)?,
        })
    }

    /// The entry point that a PUT makes where its phase had none.
    pub fn into_entry_point(self, phase: Phase, scope: Scope) -> RulesetDraft {
        RulesetDraft {
            name: self.name.unwrap_or_else(|| ENTRY_POINT_NAME.to_owned()),
            description: self.description.unwrap_or_default(),
            kind: scope.entry_point(),
            phase,
            rules: self.rules.unwrap_or_default(),
        }
    }
}

fn members() -> [(&'static str, Schema); 3] {
    [
        ("name", Schema::text(NAME_CHARS_MAX).not_empty()),
        ("description", Schema::text(DESCRIPTION_CHARS_MAX)),
        ("rules", Schema::items(RuleDraft::schema(), RULES_MAX)),
    ]
}

fn read_name(at: &At<'_>) -> Result<String, ShapeError> {
    let name = at.text(NAME_CHARS_MAX)?.trim();
    if name.is_empty() { Err(at.wrong("write a name")) } else { Ok(name.to_owned()) }
}

fn read_description(body: &At<'_>) -> Result<Option<String>, ShapeError> {
    body.member("description").map(|text| text.text(DESCRIPTION_CHARS_MAX).map(str::to_owned)).transpose()
}
