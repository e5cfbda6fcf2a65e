//! What a policy is given over, in the API's grammar of dotted keys (api-v4 §2).
//!
//! | key | means |
//! |---|---|
//! | `com.cloudflare.api.account.<account>` or `.*` | the account itself: what is account-wide in it |
//! | `com.cloudflare.api.account.zone.<zone>` or `.*` | a zone, or all that the token's owner has |
//! | the second nested under the first | the zones of that account alone |
//! | `com.cloudflare.api.user.<user>` | the user |
//!
//! An account does not bring its zones with it: a token made for tunnels must not edit records.

use std::{collections::BTreeSet, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Target;
use crate::{AccountId, At, Schema, ShapeError, UserId, ZoneId};

const ACCOUNT: &str = "com.cloudflare.api.account.";
const ZONE: &str = "com.cloudflare.api.account.zone.";
const USER: &str = "com.cloudflare.api.user.";

/// Most resources of one policy.
pub const RESOURCES_MAX: usize = 1000;

/// One, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Selector<T> {
    /// Every one.
    All,
    /// That one.
    One(T),
}

impl<T: PartialEq> Selector<T> {
    fn selects(&self, id: &T) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == id,
        }
    }
}

/// One resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resource {
    /// Accounts.
    Account(Selector<AccountId>),
    /// Zones, of whichever account.
    Zone(Selector<ZoneId>),
    /// Zones of these accounts.
    ZoneOf(Selector<AccountId>, Selector<ZoneId>),
    /// A user.
    User(UserId),
}

impl Resource {
    /// The one zone it names.
    pub(crate) fn zone(&self) -> Option<ZoneId> {
        match self {
            Self::Zone(Selector::One(zone)) | Self::ZoneOf(_, Selector::One(zone)) => Some(*zone),
            _ => None,
        }
    }

    /// Whether a policy over it reaches the target.
    pub fn covers(&self, target: Target) -> bool {
        match (self, target) {
            (Self::Account(accounts), Target::Account(account)) => accounts.selects(&account),
            (Self::Zone(zones), Target::Zone(_, zone)) => zones.selects(&zone),
            (Self::ZoneOf(accounts, zones), Target::Zone(account, zone)) => accounts.selects(&account) && zones.selects(&zone),
            (Self::Zone(zones), Target::NewZone(_)) => *zones == Selector::All,
            (Self::ZoneOf(accounts, zones), Target::NewZone(account)) => accounts.selects(&account) && *zones == Selector::All,
            (Self::User(user), Target::User(target)) => *user == target,
            _ => false,
        }
    }

    /// Whether a policy that denies over it reaches the target. An account denied is denied with its zones: whoever writes that
    /// does not mean to leave them open.
    pub fn bars(&self, target: Target) -> bool {
        match (self, target) {
            (Self::Account(accounts), Target::Zone(account, _) | Target::NewZone(account)) => accounts.selects(&account),
            _ => self.covers(target),
        }
    }
}

/// What [`read`] reads.
pub fn schema() -> Schema {
    let about = "what the policy is over: `com.cloudflare.api.account.<id>`, `com.cloudflare.api.account.zone.<id>` or \
        `com.cloudflare.api.user.<id>`, `*` for all of a kind; the value is \"*\", or of an account an object of its zones";
    Schema::object([]).with("minProperties", 1).with("maxProperties", RESOURCES_MAX).about(about)
}

/// The `resources` of a policy.
///
/// # Errors
/// There are none, too many, or one is not of the grammar.
pub fn read(at: &At<'_>) -> Result<BTreeSet<Resource>, ShapeError> {
    let mut out = BTreeSet::new();
    for (key, value) in at.members()? {
        if value.value != "*" && !value.value.is_object() {
            return Err(value.wrong("write \"*\", or an object of zones"));
        }
        if let Some(rest) = key.strip_prefix(ZONE) {
            all(&value)?;
            out.insert(Resource::Zone(selector(rest, &value)?));
        } else if let Some(rest) = key.strip_prefix(ACCOUNT) {
            let account = selector(rest, &value)?;
            if !value.value.is_object() {
                out.insert(Resource::Account(account));
                continue;
            }
            for (key, value) in value.members()? {
                let zone = key.strip_prefix(ZONE).ok_or_else(|| unknown(&value, key))?;
                all(&value)?;
                out.insert(Resource::ZoneOf(account, selector(zone, &value)?));
            }
        } else if let Some(rest) = key.strip_prefix(USER) {
            all(&value)?;
            out.insert(Resource::User(id(rest, &value)?));
        } else {
            return Err(unknown(&value, key));
        }
        if out.len() > RESOURCES_MAX {
            return Err(at.wrong(format_args!("a policy has at most {RESOURCES_MAX} resources")));
        }
    }
    if out.is_empty() { Err(at.wrong(format_args!("write at least one resource, as in \"{ZONE}*\": \"*\""))) } else { Ok(out) }
}

/// As [`read`] reads it.
pub fn write(resources: &BTreeSet<Resource>) -> Map<String, Value> {
    fn key<T: std::fmt::Display>(start: &str, selector: &Selector<T>) -> String {
        match selector {
            Selector::All => format!("{start}*"),
            Selector::One(id) => format!("{start}{id}"),
        }
    }
    let mut out = Map::new();
    // One key cannot say both the account and some of its zones; a body never brings both in one policy.
    for resource in resources {
        match resource {
            Resource::Account(account) => drop(out.insert(key(ACCOUNT, account), "*".into())),
            Resource::Zone(zone) => drop(out.insert(key(ZONE, zone), "*".into())),
            Resource::User(user) => drop(out.insert(format!("{USER}{user}"), "*".into())),
            Resource::ZoneOf(account, zone) => {
                let nested = out.entry(key(ACCOUNT, account)).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(zones) = nested {
                    zones.insert(key(ZONE, zone), "*".into());
                }
            }
        }
    }
    out
}

fn all(at: &At<'_>) -> Result<(), ShapeError> {
    if at.value == "*" { Ok(()) } else { Err(at.wrong("write \"*\"")) }
}

fn selector<T: FromStr<Err = crate::id::IdError>>(text: &str, at: &At<'_>) -> Result<Selector<T>, ShapeError> {
    if text == "*" { Ok(Selector::All) } else { id(text, at).map(Selector::One) }
}

fn id<T: FromStr<Err = crate::id::IdError>>(text: &str, at: &At<'_>) -> Result<T, ShapeError> {
    text.parse().map_err(|error: crate::id::IdError| ShapeError::new(at.pointer(), error.to_string()))
}

fn unknown(at: &At<'_>, key: &str) -> ShapeError {
    let key: String = key.chars().take(120).collect();
    ShapeError::new(
        at.pointer(),
        format!("{key:?} is no resource: write {ACCOUNT}<account>, {ZONE}<zone> or {USER}<user>, or * for the id"),
    )
}
