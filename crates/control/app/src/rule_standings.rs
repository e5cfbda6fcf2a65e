//! Of each rule that a zone stores, whether nodes obey it, and why not.
//!
//! The language is read whole, and rules that ask for what this node does not have are kept, so that configurations written for
//! another service are taken as they are; whoever wrote one asks here what came of it.

use std::collections::BTreeSet;

use poterne_control_store::{RulesetOwner, Session, StoreError};
use poterne_model::{
    AccountId, RulesetId, ZoneId,
    list::{List, ListKind},
    permission::Right,
    ruleset::{Kind, Phase, Rule, Ruleset, Scope},
};
use poterne_rules::{AddressList, KnownLists, Standing, Unobeyed, ZoneRules, definition::NETWORKS_MAX};

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
};

/// A rule, and how it stands.
#[derive(Debug, Clone)]
pub struct RuleStanding {
    /// The ruleset it is in.
    pub ruleset: RulesetId,
    /// What that ruleset is.
    pub kind: Kind,
    /// The phase it is of.
    pub phase: Phase,
    /// Where it stands in it, from 0.
    pub index: usize,
    /// The rule.
    pub rule: Rule,
    /// How it stands.
    pub state: RuleState,
}

impl RuleStanding {
    /// What a list of them is ordered by.
    pub fn key(&self) -> String {
        key(self.ruleset, self.index)
    }
}

/// How a rule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleState {
    /// Nodes obey it.
    InForce,
    /// Its owner switched it off.
    Off,
    /// It does nothing, for these reasons.
    Dormant(Vec<Reason>),
}

/// Why a rule does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `field`, `list`, `action`, `parameters`, `phase`, `ruleset` or `expression`.
    pub code: &'static str,
    /// What of that kind: a field, a list, an action or a phase; absent where there is no more to say.
    pub name: Option<String>,
    /// In words.
    pub message: String,
}

/// Rulesets are ordered by their ids, and rules as they are asked. A ruleset has a thousand at most.
fn key(ruleset: RulesetId, index: usize) -> String {
    format!("{ruleset}/{index:04}")
}

impl App {
    /// The rules of a zone whose phases the caller may read: those behind `after`, at most `count`; and whether there are more.
    ///
    /// One ruleset is held at a time, beside the entry points.
    pub async fn rule_standings(
        &self,
        caller: &Caller,
        zone: ZoneId,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<RuleStanding>, bool), AppError> {
        let mut session = self.0.store.read().await?;
        let account = session.zone(zone).await?.ok_or(AppError::NotFound("zone"))?.account;
        let (owner, target) = (RulesetOwner::Zone(zone), Target::Zone(account, zone));
        let readable = |phase| caller.may(Subject::of_phase(phase, Scope::Zone).to_read(), target);
        if !Phase::ALL.iter().any(|phase| readable(*phase)) {
            let subject = Subject::of_phase(Phase::FirewallCustom, Scope::Zone);
            caller.needs(Permission { subject, right: Right::Read }, target)?;
        }
        let entry_points = session.zone_entry_points(Some(zone)).await?.remove(&zone).unwrap_or_default();
        let known = KnownLists::of(lists_named(&mut session, account, &entry_points).await?);
        drop(entry_points);
        let lists = session.lists(account).await?;
        let mut found = Vec::new();
        for head in session.rulesets(owner).await? {
            if !readable(head.phase) || after.is_some_and(|after| *after >= *key(head.id, usize::MAX)) {
                continue;
            }
            let Some(ruleset) = session.ruleset(owner, head.id).await? else { continue };
            for (index, rule) in ruleset.rules.iter().enumerate() {
                if after.is_some_and(|after| *key(ruleset.id, index) <= *after) {
                    continue;
                }
                if found.len() == count {
                    return Ok((found, true));
                }
                found.push(standing(&ruleset, index, rule, &known, &lists));
            }
        }
        Ok((found, false))
    }
}

/// The account's lists of addresses that a zone's rules name. One that has more networks than there is room for is cut where that is
/// seen.
///
/// # Errors
/// The store's.
pub async fn lists_named(
    session: &mut Session,
    account: AccountId,
    entry_points: &[Ruleset],
) -> Result<Vec<AddressList>, StoreError> {
    let mut lists = Vec::new();
    for name in ZoneRules::lists_of(entry_points) {
        // One more than there is room for, so that a list is in force whole or not at all.
        let most = u32::try_from(NETWORKS_MAX + 1).unwrap_or(u32::MAX);
        if let Some(networks) = session.addresses_of_list(account, &name, most).await? {
            lists.push(AddressList { name, networks });
        }
    }
    Ok(lists)
}

fn standing(ruleset: &Ruleset, index: usize, rule: &Rule, known: &KnownLists, lists: &[(List, u64)]) -> RuleStanding {
    let state = match Standing::of(ruleset, rule, known) {
        Standing::InForce => RuleState::InForce,
        Standing::Off => RuleState::Off,
        Standing::Dormant(unobeyed) => RuleState::Dormant(reasons(&unobeyed, lists)),
        Standing::Wrong(wrong) => {
            let message = format!("this version does not take it: {}: {wrong}", wrong.pointer);
            RuleState::Dormant(vec![Reason { code: "expression", name: None, message }])
        }
        Standing::Executed => {
            let message = "it is in no phase's entry point, and rulesets that rules execute are not obeyed yet".to_owned();
            RuleState::Dormant(vec![Reason { code: "ruleset", name: None, message }])
        }
    };
    RuleStanding { ruleset: ruleset.id, kind: ruleset.kind, phase: ruleset.phase, index, rule: rule.clone(), state }
}

fn reasons(unobeyed: &Unobeyed, lists: &[(List, u64)]) -> Vec<Reason> {
    let one = |code, name: Option<String>| vec![Reason { code, name, message: unobeyed.to_string() }];
    match unobeyed {
        Unobeyed::Action(action) => one("action", Some(action.to_string())),
        Unobeyed::Parameters(action) => one("parameters", Some(action.to_string())),
        Unobeyed::Phase(phase) => one("phase", Some(phase.to_string())),
        Unobeyed::Lacking(lacking) => {
            let fields: BTreeSet<&String> = lacking.fields.iter().collect();
            let of_fields = fields.into_iter().map(|field| Reason {
                code: "field",
                name: Some(field.clone()),
                message: format!("this node does not fill {field}"),
            });
            let named: BTreeSet<&String> = lacking.lists.iter().collect();
            of_fields.chain(named.into_iter().map(|name| of_list(name, lists))).collect()
        }
    }
}

fn of_list(name: &str, lists: &[(List, u64)]) -> Reason {
    let message = match lists.iter().find(|(list, _)| list.name == *name) {
        None => format!("the account has no list ${name}: make one of kind ip"),
        Some((list, _)) if list.kind != ListKind::Ip => {
            format!("${name} is a list of kind {}: only those of kind ip are looked into", list.kind)
        }
        Some((_, items)) => {
            format!(
                "${name} has {items} items, and all lists that a zone's rules name have room for {NETWORKS_MAX} networks together"
            )
        }
    };
    Reason { code: "list", name: Some(name.to_owned()), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_rules() {
        let (one, other) = (RulesetId::from_bytes([1; 16]), RulesetId::from_bytes([2; 16]));
        let keys = [key(one, 0), key(one, 9), key(one, 10), key(one, 999), key(one, usize::MAX), key(other, 0)];
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
    }
}
