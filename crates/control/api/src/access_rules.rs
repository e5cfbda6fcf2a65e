//! Access rules of zones, accounts and the user (api-v4 §8).

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, RawPathParams, State},
    http::{StatusCode, request::Parts},
};
use poterne_control_app::Caller;
use poterne_control_wire::{
    access_rule::{AccessRuleObject, filter_parameters, read_filter},
    codes,
    query::page::{Page, PageLimits},
};
use poterne_model::{
    AccessRuleId, AccountId, At, ZoneId,
    access_rule::{AccessRule, AccessRuleDraft, AccessScope},
    permission::Subject,
};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::{
        components::{Shown, shown},
        operation::{Asks, Telling},
    },
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// Under `/zones/{zone}`, `/accounts/{account}` and `/user`.
pub(crate) fn routes() -> Routes {
    let owners = [
        ("/zones/{zone}", Subject::ZoneAccessRules),
        ("/accounts/{account}", Subject::AccountAccessRules),
        ("/user", Subject::UserDetails),
    ];
    let start = Routes::of("Access rules", "Addresses, networks, systems and countries that are let in or kept out.");
    owners.into_iter().fold(start, |routes, (owner, subject)| {
        let base = format!("{owner}/firewall/access_rules/rules");
        let one = format!("{base}/{{rule}}");
        // What a user has, an account's own token has not.
        let statuses = [400, 403, 404];
        routes
            .get(
                &base,
                list,
                reads(subject, "List access rules").pages(PageLimits::ACCESS_RULES).query(filter_parameters()).says(statuses),
            )
            .post(&base, create, edits(subject, "Make an access rule").body(AccessRuleDraft::schema(true)).says(statuses))
            .get(&one, show, reads(subject, "Show an access rule"))
            .patch(&one, edit, edits(subject, "Change an access rule's mode or notes").body(AccessRuleDraft::schema(false)))
            .put(&one, edit, edits(subject, "Change an access rule, as PATCH does").body(AccessRuleDraft::schema(false)))
            .delete(&one, delete, edits(subject, "Delete an access rule"))
    })
}

/// Whose rules the path means.
struct Scope(AccessScope);

/// Which rule it means.
struct Rule(AccessRuleId);

async fn parameter<T: FromStr, S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Option<Result<T, Answer<()>>> {
    let values = RawPathParams::from_request_parts(parts, state).await.ok()?;
    let value = values.iter().find(|(key, _)| *key == name)?.1;
    Some(value.parse().map_err(|_| Answer::no_route(parts.uri.path())))
}

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer<()>> {
        if let Some(zone) = parameter(parts, state, "zone").await {
            return zone.map(AccessScope::Zone).map(Self);
        }
        if let Some(account) = parameter(parts, state, "account").await {
            return account.map(AccessScope::Account).map(Self);
        }
        let Who(caller) = Who::from_request_parts(parts, state).await?;
        let none = || Answer::error(StatusCode::FORBIDDEN, codes::FORBIDDEN, "an account's own token has no user");
        caller.person().map(|person| Self(AccessScope::User(person.id))).ok_or_else(none)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Rule {
    type Rejection = Answer<()>;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer<()>> {
        let rule = parameter(parts, state, "rule").await;
        rule.unwrap_or_else(|| Err(Answer::no_route(parts.uri.path()))).map(Self)
    }
}

shown![AccessRuleObject];

impl Asks for Scope {
    fn ask(telling: &mut Telling<'_>) {
        let names: Vec<String> = telling.operation.names().map(str::to_owned).collect();
        for name in names {
            let schema = match name.as_str() {
                "zone" => ZoneId::shown(telling.components),
                "account" => AccountId::shown(telling.components),
                _ => continue,
            };
            telling.variable(name, schema);
        }
    }
}

impl Asks for Rule {
    fn ask(telling: &mut Telling<'_>) {
        let schema = AccessRuleId::shown(telling.components);
        telling.variable("rule".to_owned(), schema);
    }
}

fn object(caller: &Caller, rule: AccessRule) -> AccessRuleObject {
    let of_user = matches!(rule.scope, AccessScope::User(_));
    let email = caller.person().filter(|_| of_user).map(|person| person.email.clone());
    AccessRuleObject::new(rule, email)
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Scope(scope): Scope,
    Query(query): Query,
) -> Answered<Vec<AccessRuleObject>> {
    let page = Page::read(&query, PageLimits::ACCESS_RULES)?;
    let (filter, order) = read_filter(&query)?;
    let mut rules = door.app.access_rule_list(&caller, scope).await?;
    rules.retain(|rule| filter.matches(rule));
    if let Some(field) = order.field {
        rules.sort_by(|one, other| {
            order.apply(match field {
                "mode" => one.mode.as_str().cmp(other.mode.as_str()),
                "configuration.target" => one.configuration.target.as_str().cmp(other.configuration.target.as_str()),
                _ => one.configuration.value.cmp(&other.configuration.value),
            })
        });
    }
    let shown: Vec<_> = page.of(&rules).iter().cloned().map(|rule| object(&caller, rule)).collect();
    let info = page.info(shown.len(), rules.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn create(State(door): State<Door>, Who(caller): Who, Scope(scope): Scope, Json(body): Json) -> Answered<AccessRuleObject> {
    let rule = door.app.access_rule_create(&caller, scope, &At::body(&body)).await?;
    Ok(Answer::success(object(&caller, rule)))
}

async fn show(State(door): State<Door>, Who(caller): Who, Scope(scope): Scope, Rule(id): Rule) -> Answered<AccessRuleObject> {
    let rule = door.app.access_rule_get(&caller, scope, id).await?;
    Ok(Answer::success(object(&caller, rule)))
}

async fn edit(
    State(door): State<Door>,
    Who(caller): Who,
    Scope(scope): Scope,
    Rule(id): Rule,
    Json(body): Json,
) -> Answered<AccessRuleObject> {
    let rule = door.app.access_rule_patch(&caller, scope, id, &At::body(&body)).await?;
    Ok(Answer::success(object(&caller, rule)))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Scope(scope): Scope, Rule(id): Rule) -> Answered<Gone<AccessRuleId>> {
    door.app.access_rule_delete(&caller, scope, id).await?;
    Ok(Answer::success(Gone { id }))
}
