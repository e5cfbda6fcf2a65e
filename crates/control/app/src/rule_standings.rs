//! Of each rule that a zone or an account stores, whether nodes obey it, and why not.
//!
//! The language is read whole, and rules that ask for what this node does not have are kept, so that configurations written for
//! another service are taken as they are; whoever wrote one asks here what came of it.

use std::collections::BTreeSet;

use poterne_control_store::{RulesetOwner, Session, StoreError};
use poterne_model::{
    AccountId, RulesetId, ZoneId,
    list::{ItemValue, List, ListKind},
    permission::Right,
    ruleset::{Kind, Phase, Rule, Ruleset, Scope},
};
use poterne_rules::{
    Host, Items, KnownNames, NamedList, Redirect, Standing, Unobeyed, ZoneRules, executes,
    listed::{BYTES_MAX, ITEMS_MAX},
};

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
    /// The rules of a zone, or of an account, whose phases the caller may read: those behind `after`, at most `count`; and whether there
    /// are more.
    ///
    /// One ruleset is held at a time, beside the entry points and what they execute.
    pub async fn rule_standings(
        &self,
        caller: &Caller,
        owner: RulesetOwner,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<RuleStanding>, bool), AppError> {
        let mut session = self.0.store.read().await?;
        let (account, zone, scope) = match owner {
            RulesetOwner::Zone(zone) => {
                (session.zone(zone).await?.ok_or(AppError::NotFound("zone"))?.account, Some(zone), Scope::Zone)
            }
            RulesetOwner::Account(id) => {
                session.account(id).await?.ok_or(AppError::NotFound("account"))?;
                (id, None, Scope::Account)
            }
        };
        let target = zone.map_or(Target::Account(account), |zone| Target::Zone(account, zone));
        let readable = |phase| caller.may(Subject::of_phase(phase, scope).to_read(), target);
        if !Phase::ALL.iter().any(|phase| readable(*phase)) {
            let subject = Subject::of_phase(Phase::FirewallCustom, scope);
            caller.needs(Permission { subject, right: Right::Read }, target)?;
        }
        let entry_points = match zone {
            Some(zone) => session.zone_entry_points(Some(zone)).await?.remove(&zone),
            None => session.account_entry_points(Some(account)).await?.remove(&account),
        };
        let named = names_of(&mut session, account, zone, entry_points.unwrap_or_default()).await?;
        let known = KnownNames::of(named.lists, &named.entry_points, &named.customs);
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

/// Entry points, and what their rules name.
#[derive(Debug)]
pub struct Named {
    /// As they were given.
    pub entry_points: Vec<Ruleset>,
    /// The custom rulesets that they may execute; none where no rule executes any.
    pub customs: Vec<Ruleset>,
    /// The account's lists that rules of either name.
    pub lists: Vec<NamedList>,
}

/// What rules of entry points name: an account's, or those of a zone of its. A list that has more items than there is room for is cut where
/// that is seen.
///
/// # Errors
/// The store's.
pub async fn names_of(
    session: &mut Session,
    account: AccountId,
    zone: Option<ZoneId>,
    entry_points: Vec<Ruleset>,
) -> Result<Named, StoreError> {
    let executes = entry_points.iter().flat_map(|ruleset| &ruleset.rules).any(|rule| executes(&rule.body).is_some());
    let customs = if executes { session.custom_rulesets(account, zone).await? } else { Vec::new() };
    let mut lists = Vec::new();
    for name in ZoneRules::lists_of(&entry_points, &customs) {
        // One more than there is room for, so that a list is in force whole or not at all.
        let most = u32::try_from(ITEMS_MAX + 1).unwrap_or(u32::MAX);
        if let Some((kind, items)) = session.items_of_list(account, &name, most).await? {
            lists.push(NamedList { name, items: items_of(kind, items) });
        }
    }
    Ok(Named { entry_points, customs, lists })
}

/// As they travel.
fn items_of(kind: ListKind, values: Vec<ItemValue>) -> Items {
    let values = values.into_iter();
    match kind {
        ListKind::Ip => Items::Networks(
            values.filter_map(|value| if let ItemValue::Ip(network) = value { Some(network) } else { None }).collect(),
        ),
        ListKind::Asn => Items::Numbers(
            values.filter_map(|value| if let ItemValue::Asn(number) = value { Some(number) } else { None }).collect(),
        ),
        ListKind::Hostname => Items::Hosts(
            values
                .filter_map(|value| match value {
                    ItemValue::Hostname { name, exclude_exact } => {
                        Some(Host { name, excludes_exact: exclude_exact.unwrap_or_default() })
                    }
                    _ => None,
                })
                .collect(),
        ),
        ListKind::Redirect => Items::Redirects(
            values
                .filter_map(|value| {
                    let source = value.key();
                    let ItemValue::Redirect(redirect) = value else { return None };
                    let says = |option: &str| redirect.options.iter().find(|(known, _)| *known == option).map(|(_, on)| *on);
                    Some(Redirect {
                        source,
                        subdomains: says("include_subdomains").unwrap_or_default(),
                        subpaths: says("subpath_matching").unwrap_or_default(),
                        keeps_query: says("preserve_query_string").unwrap_or_default(),
                        keeps_suffix: says("preserve_path_suffix").unwrap_or(true),
                        status: redirect.status_code,
                        target: redirect.target_url,
                    })
                })
                .collect(),
        ),
    }
}

fn standing(ruleset: &Ruleset, index: usize, rule: &Rule, known: &KnownNames, lists: &[(List, u64)]) -> RuleStanding {
    let state = match Standing::of(ruleset, rule, known) {
        Standing::InForce => RuleState::InForce,
        Standing::Off => RuleState::Off,
        Standing::Dormant(unobeyed) => RuleState::Dormant(reasons(&unobeyed, lists)),
        Standing::Wrong(wrong) => {
            let message = format!("this version does not take it: {}: {wrong}", wrong.pointer);
            RuleState::Dormant(vec![Reason { code: "expression", name: None, message }])
        }
        Standing::Unreached => {
            let message = "it is in no phase's entry point, and no rule there that is in force executes its ruleset".to_owned();
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
        Unobeyed::Ruleset(id) => one("ruleset", Some(id.clone())),
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
        None => format!("the account has no list ${name}: make one"),
        Some((list, items)) if usize::try_from(*items).is_ok_and(|items| items <= ITEMS_MAX) => {
            format!(
                "${name} is a list of kind {} with {items} items: what is looked for in it is of another kind, or all lists that the rules name have no room for it ({ITEMS_MAX} items, {BYTES_MAX} bytes)",
                list.kind
            )
        }
        Some((_, items)) => {
            format!("${name} has {items} items, and all lists that the rules name have room for {ITEMS_MAX} together")
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
