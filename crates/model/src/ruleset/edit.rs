//! What PUT, POST, PATCH and DELETE do to a ruleset.
//!
//! Clients that keep a state of their own (Terraform) hold on to rule ids: a PUT therefore matches each rule it brings by `id`, then
//! by `ref`, and only what matches neither is new (api-v4 §7). Every call decides on a copy: what is refused changed nothing.

use std::collections::HashSet;

use super::{Kind, RULES_MAX, Rule, RuleDraft, Ruleset, RulesetDraft, RulesetPut};
use crate::{At, RuleId, RulesetId, ShapeError, Timestamp};

/// Why a ruleset stayed as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesetError {
    /// The body is wrong.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The ruleset has no such rule.
    #[error("the ruleset has no rule {0}")]
    NoRule(RuleId),
    /// It belongs to the node.
    #[error("a managed ruleset is the node's own and cannot be edited: override its rules where you execute it")]
    Managed,
}

/// Where one rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before all others.
    First,
    /// After all others; where a new rule goes by default.
    Last,
    /// Right before that one.
    Before(RuleId),
    /// Right after that one.
    After(RuleId),
    /// So many-th, counted from 1.
    Index(usize),
}

impl Position {
    /// The `position` of a body with one rule; none when it has none.
    ///
    /// # Errors
    /// It says nothing, two things, or none of the three.
    pub fn read(body: &At<'_>) -> Result<Option<Self>, ShapeError> {
        let Some(at) = body.member("position") else { return Ok(None) };
        let rule = |given: &At<'_>| -> Result<Option<RuleId>, ShapeError> {
            let text = given.text(64)?;
            let id = (!text.is_empty()).then(|| text.parse()).transpose();
            id.map_err(|error: crate::id::IdError| ShapeError::new(given.pointer(), error.to_string()))
        };
        at.object()?;
        match (at.member("before"), at.member("after"), at.member("index")) {
            (Some(given), None, None) => Ok(Some(rule(&given)?.map_or(Self::First, Self::Before))),
            (None, Some(given), None) => Ok(Some(rule(&given)?.map_or(Self::Last, Self::After))),
            (None, None, Some(given)) => {
                let most = i64::try_from(RULES_MAX).unwrap_or(i64::MAX);
                Ok(Some(Self::Index(given.integer(1..=most)?.try_into().unwrap_or(RULES_MAX))))
            }
            _ => Err(at.wrong("write exactly one of before, after and index in it")),
        }
    }

    /// The place in a list of other rules, counted from 0.
    fn among(self, rules: &[Rule]) -> Result<usize, ShapeError> {
        let find = |id: RuleId, member: &str| {
            rules.iter().position(|rule| rule.id == id).ok_or_else(|| {
                ShapeError::new(format!("/position/{member}"), format!("the ruleset has no other rule {id} to stand by"))
            })
        };
        match self {
            Self::First => Ok(0),
            Self::Last => Ok(rules.len()),
            Self::Before(id) => find(id, "before"),
            Self::After(id) => Ok(find(id, "after")? + 1),
            Self::Index(index) if index <= rules.len() + 1 => Ok(index.saturating_sub(1)),
            Self::Index(index) => {
                let why = format!("there is no place {index} among {} other rules", rules.len());
                Err(ShapeError::new("/position/index", why))
            }
        }
    }
}

impl Ruleset {
    /// A new one, at version 1.
    ///
    /// # Errors
    /// Two of its rules have one id or ref.
    pub fn new(
        id: RulesetId,
        draft: RulesetDraft,
        new_id: &mut dyn FnMut() -> RuleId,
        now: Timestamp,
    ) -> Result<Self, RulesetError> {
        let RulesetDraft { name, description, kind, phase, rules } = draft;
        let rules = matched(&[], rules, new_id, now)?;
        Ok(Self { id, name, description, kind, phase, version: 1, last_updated: now, rules })
    }

    /// PUT: what the body names is replaced. Whether anything changed.
    ///
    /// # Errors
    /// Two of its rules have one id or ref; or the ruleset is managed.
    pub fn put(&mut self, put: RulesetPut, new_id: &mut dyn FnMut() -> RuleId, now: Timestamp) -> Result<bool, RulesetError> {
        self.change(now, |after| {
            after.name = put.name.unwrap_or_else(|| after.name.clone());
            after.description = put.description.unwrap_or_else(|| after.description.clone());
            if let Some(rules) = put.rules {
                after.rules = matched(&after.rules, rules, new_id, now)?;
            }
            Ok(())
        })
    }

    /// POST of one rule. An id in the body is passed over: the rule is new.
    ///
    /// # Errors
    /// The ruleset is full or managed, has that ref already, or the position names nothing.
    pub fn insert(
        &mut self,
        draft: RuleDraft,
        position: Option<Position>,
        new_id: &mut dyn FnMut() -> RuleId,
        now: Timestamp,
    ) -> Result<RuleId, RulesetError> {
        let id = new_id();
        self.change(now, |after| {
            if after.rules.len() >= RULES_MAX {
                let why = format!("the ruleset has {RULES_MAX} rules, and takes no more: delete one, or join some");
                return Err(ShapeError::new(draft.pointer, why).into());
            }
            let at = position.unwrap_or(Position::Last).among(&after.rules)?;
            let reference = draft.reference.unwrap_or_else(|| id.to_string());
            after.rules.insert(at, Rule { id, reference, version: 1, last_updated: now, body: draft.body });
            unambiguous(after.rules.iter().map(|rule| (rule, draft.pointer.as_str())))
        })?;
        Ok(id)
    }

    /// PATCH of one rule, and its move. Whether anything changed.
    ///
    /// # Errors
    /// There is no such rule, another has that ref, the position names nothing, or the ruleset is managed.
    pub fn patch(
        &mut self,
        id: RuleId,
        draft: RuleDraft,
        position: Option<Position>,
        now: Timestamp,
    ) -> Result<bool, RulesetError> {
        self.change(now, |after| {
            let at = after.rules.iter().position(|rule| rule.id == id).ok_or(RulesetError::NoRule(id))?;
            let pointer = draft.pointer.clone();
            let rule = renewed(&after.rules[at], draft, now);
            after.rules.remove(at);
            let to = position.map_or(Ok(at), |position| position.among(&after.rules))?;
            after.rules.insert(to, rule);
            unambiguous(after.rules.iter().map(|rule| (rule, pointer.as_str())))
        })
    }

    /// DELETE of one rule.
    ///
    /// # Errors
    /// There is no such rule, or the ruleset is managed.
    pub fn remove(&mut self, id: RuleId, now: Timestamp) -> Result<(), RulesetError> {
        self.change(now, |after| {
            let at = after.rules.iter().position(|rule| rule.id == id).ok_or(RulesetError::NoRule(id))?;
            after.rules.remove(at);
            Ok(())
        })
        .map(drop)
    }

    /// Decides on a copy; what differs then is the next version.
    fn change(
        &mut self,
        now: Timestamp,
        decide: impl FnOnce(&mut Self) -> Result<(), RulesetError>,
    ) -> Result<bool, RulesetError> {
        if self.kind == Kind::Managed {
            return Err(RulesetError::Managed);
        }
        let mut after = self.clone();
        decide(&mut after)?;
        if after == *self {
            return Ok(false);
        }
        after.version += 1;
        after.last_updated = now;
        *self = after;
        Ok(true)
    }
}

/// The rules a PUT brings, each with the id of the rule it continues.
fn matched(
    before: &[Rule],
    drafts: Vec<RuleDraft>,
    new_id: &mut dyn FnMut() -> RuleId,
    now: Timestamp,
) -> Result<Vec<Rule>, RulesetError> {
    let mut named = HashSet::new();
    for draft in &drafts {
        if let Some(id) = draft.id
            && !named.insert(id)
        {
            return Err(ShapeError::new(format!("{}/id", draft.pointer), format!("two rules have the id {id}")).into());
        }
    }
    // Ids are claimed first, all of them: a ref must not take a rule away from the draft that names its id.
    let mut taken = HashSet::new();
    let mut claims: Vec<Option<&Rule>> = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let claim = before.iter().find(|rule| Some(rule.id) == draft.id);
        taken.extend(claim.map(|rule| rule.id));
        claims.push(claim);
    }
    for (draft, claim) in drafts.iter().zip(&mut claims) {
        if claim.is_none()
            && let Some(reference) = &draft.reference
        {
            *claim = before.iter().find(|rule| &rule.reference == reference && !taken.contains(&rule.id));
            taken.extend(claim.map(|rule| rule.id));
        }
    }
    let pointers: Vec<String> = drafts.iter().map(|draft| draft.pointer.clone()).collect();
    let rules: Vec<Rule> = drafts
        .into_iter()
        .zip(claims)
        .map(|(draft, claim)| match claim {
            Some(rule) => renewed(rule, draft, now),
            None => {
                let id = new_id();
                let reference = draft.reference.unwrap_or_else(|| id.to_string());
                Rule { id, reference, version: 1, last_updated: now, body: draft.body }
            }
        })
        .collect();
    unambiguous(rules.iter().zip(pointers.iter().map(String::as_str)))?;
    Ok(rules)
}

/// The rule as the draft has it; the next version where that differs.
fn renewed(rule: &Rule, draft: RuleDraft, now: Timestamp) -> Rule {
    let reference = draft.reference.unwrap_or_else(|| rule.reference.clone());
    if rule.body == draft.body && rule.reference == reference {
        return rule.clone();
    }
    Rule { id: rule.id, reference, version: rule.version + 1, last_updated: now, body: draft.body }
}

fn unambiguous<'a>(rules: impl Iterator<Item = (&'a Rule, &'a str)>) -> Result<(), RulesetError> {
    let mut seen = HashSet::new();
    for (rule, pointer) in rules {
        if !seen.insert(&rule.reference) {
            let why = format!("two rules have the ref {:?}: each needs one of its own", rule.reference);
            return Err(ShapeError::new(format!("{pointer}/ref"), why).into());
        }
    }
    Ok(())
}
