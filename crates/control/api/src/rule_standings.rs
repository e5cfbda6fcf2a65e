//! Ours: of each stored rule of a zone or an account, whether nodes obey it, and why not.

use axum::extract::State;
use poterne_control_app::{Reason, RuleStanding, RuleState};
use poterne_control_wire::query::page::{CursorPage, PageLimits};
use poterne_model::{AccountId, RuleId, RulesetId, ZoneId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Query,
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    routes::{Routes, known},
    rulesets::Owner,
};

/// Under `/zones/{zone}` and `/accounts/{account}`.
pub(crate) fn routes() -> Routes {
    let about = "Those of phases whose rules may be read, ruleset by ruleset. A rule that asks for what this node does not have (a country, a bot score), or \
                 does what it does not do yet, is kept and does nothing: it is dormant.";
    let listed = |summary| known(summary).about(about).cursors(PageLimits::OTHERS);
    Routes::of("Poterne", "What the hosted service has not: this node's own resources.")
        .get("/zones/{zone}/poterne/rules", list::<ZoneId>, listed("List a zone's rules, and which are in force"))
        .get("/accounts/{account}/poterne/rules", list::<AccountId>, listed("List an account's rules, and which are in force"))
}

/// A rule, and how it stands.
#[derive(Serialize, ToSchema)]
struct RuleStandingObject {
    ruleset_id: RulesetId,
    /// `zone` or `root` of an entry point, `custom` of one that rules execute.
    kind: &'static str,
    phase: &'static str,
    id: RuleId,
    r#ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    action: &'static str,
    /// `in_force`, `off` where its owner switched it off, or `dormant`.
    state: &'static str,
    /// Why it is dormant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<ReasonObject>,
}

/// Why a rule does nothing.
#[derive(Serialize, ToSchema)]
struct ReasonObject {
    /// `field`, `list`, `action`, `parameters`, `phase`, `ruleset` or `expression`.
    code: &'static str,
    /// The field, list, action or phase that is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    message: String,
}

shown![RuleStandingObject];

impl From<RuleStanding> for RuleStandingObject {
    fn from(standing: RuleStanding) -> Self {
        let RuleStanding { ruleset, kind, phase, rule, state, .. } = standing;
        let (state, reasons) = match state {
            RuleState::InForce => ("in_force", Vec::new()),
            RuleState::Off => ("off", Vec::new()),
            RuleState::Dormant(reasons) => ("dormant", reasons),
        };
        let reason = |Reason { code, name, message }| ReasonObject { code, name, message };
        Self {
            ruleset_id: ruleset,
            kind: kind.as_str(),
            phase: phase.as_str(),
            id: rule.id,
            r#ref: rule.reference,
            description: rule.body.description,
            action: rule.body.action.as_str(),
            state,
            reasons: reasons.into_iter().map(reason).collect(),
        }
    }
}

async fn list<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Id(owner): Id<O>,
    Query(query): Query,
) -> Answered<Vec<RuleStandingObject>> {
    let page = CursorPage::read(&query, PageLimits::OTHERS)?;
    let (rules, more) = door.app.rule_standings(&caller, owner.owner(), page.after.as_deref(), page.per_page as usize).await?;
    let last = rules.last().filter(|_| more).map(RuleStanding::key);
    let rules: Vec<RuleStandingObject> = rules.into_iter().map(Into::into).collect();
    let info = page.info(rules.len(), last.as_deref());
    Ok(Answer::part(rules, info))
}
