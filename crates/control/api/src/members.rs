//! Members of an account, their roles, and the caller's own memberships (api-v4 §2).

use axum::{Router, extract::State, routing::get};
use poterne_control_app::{
    Account, Membership, Person,
    access::Permission,
    role::{self, Role},
};
use poterne_control_wire::query::{
    filter::{Order, TextFilter},
    page::{Page, PageLimits},
};
use poterne_model::{AccountId, At, MembershipId, UserId, permission::Subject};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    path::{Id, Ids},
    tokens::Gone,
    user::AccountObject,
};

/// `/memberships`, and members and roles under `/accounts/{account}`.
pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/accounts/{account}/members", get(list).post(invite))
        .route("/accounts/{account}/members/{member}", get(show).put(update).delete(delete))
        .route("/accounts/{account}/roles", get(roles))
        .route("/accounts/{account}/roles/{role}", get(one_role))
        .route("/memberships", get(memberships))
        .route("/memberships/{membership}", get(membership).put(answer).delete(leave))
}

/// The words in which clients know what may be done, and what each is here; there are no bills.
const GRANTS: [(&str, Option<Subject>); 12] = [
    ("analytics", Some(Subject::Analytics)),
    ("billing", None),
    ("cache_purge", Some(Subject::CachePurge)),
    ("dns", Some(Subject::DnsRecords)),
    ("dns_records", Some(Subject::DnsRecords)),
    ("lb", Some(Subject::LoadBalancers)),
    ("logs", Some(Subject::AuditLogs)),
    ("organization", Some(Subject::Accounts)),
    ("ssl", Some(Subject::Certificates)),
    ("waf", Some(Subject::ZoneRulesets)),
    ("zone_settings", Some(Subject::ZoneSettings)),
    ("zones", Some(Subject::Zones)),
];

fn grants(gives: impl Fn(Permission) -> bool) -> Value {
    let grant = |subject: Option<Subject>| {
        let (read, write) = subject.map_or((false, false), |subject| (gives(subject.to_read()), gives(subject.to_edit())));
        json!({ "read": read, "write": write })
    };
    Value::Object(GRANTS.into_iter().map(|(word, subject)| (word.to_owned(), grant(subject))).collect::<Map<_, _>>())
}

fn role_object(role: &Role) -> Value {
    let permissions = grants(|permission| role.gives(permission));
    json!({ "id": role.id, "name": role.name, "description": role.description, "permissions": permissions })
}

/// A member.
#[derive(Serialize)]
struct MemberObject {
    id: MembershipId,
    email: String,
    status: &'static str,
    user: UserOfMember,
    roles: Vec<Value>,
    policies: [Value; 0],
    /// Of those who have not answered yet: how they were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation: Option<Value>,
}

#[derive(Serialize)]
struct UserOfMember {
    id: UserId,
    email: String,
    first_name: Option<String>,
    last_name: Option<String>,
    two_factor_authentication_enabled: bool,
}

fn object((membership, person): (Membership, Person)) -> MemberObject {
    let status = membership.status.as_str();
    let untold = "this node sends no mail yet: tell them yourself";
    MemberObject {
        id: membership.id,
        email: person.email.clone(),
        status,
        user: UserOfMember {
            id: person.id,
            email: person.email,
            first_name: person.first_name,
            last_name: person.last_name,
            two_factor_authentication_enabled: false,
        },
        roles: membership.roles.iter().filter_map(|name| role::find(name)).map(role_object).collect(),
        policies: [],
        invitation: (status == "pending").then(|| json!({ "sent": false, "why": untold })),
    }
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<MemberObject>> {
    let page = Page::read(&query, PageLimits::ACCOUNTS)?;
    let order = Order::read(&query, &["user.first_name", "user.last_name", "user.email", "status"])?;
    let statuses = query.list("status")?;
    let mut members = door.app.member_list(&caller, account).await?;
    members.retain(|(membership, _)| statuses.is_empty() || statuses.contains(&membership.status.as_str()));
    if let Some(field) = order.field {
        members.sort_by(|(one, person), (other, of_other)| {
            order.apply(match field {
                "user.first_name" => person.first_name.cmp(&of_other.first_name),
                "user.last_name" => person.last_name.cmp(&of_other.last_name),
                "status" => one.status.as_str().cmp(other.status.as_str()),
                _ => person.email.cmp(&of_other.email),
            })
        });
    }
    let shown: Vec<_> = page.of(&members).iter().cloned().map(object).collect();
    let info = page.info(shown.len(), members.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn invite(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<MemberObject> {
    Ok(Answer::success(object(door.app.member_invite(&caller, account, &At::body(&body)).await?)))
}

type OfAccount = Ids<AccountId, MembershipId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<MemberObject> {
    Ok(Answer::success(object(door.app.member_get(&caller, account, id).await?)))
}

async fn update(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Json(body): Json,
) -> Answered<MemberObject> {
    Ok(Answer::success(object(door.app.member_update(&caller, account, id, &At::body(&body)).await?)))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<Gone<MembershipId>> {
    door.app.member_delete(&caller, account, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn roles(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<Value>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let roles = door.app.role_list(&caller, account)?;
    let shown: Vec<_> = page.of(roles).iter().map(role_object).collect();
    let info = page.info(shown.len(), roles.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn one_role(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, String>) -> Answered<Value> {
    let found = door.app.role_list(&caller, account)?.iter().find(|role| role.id == id);
    found.map(|role| Answer::success(role_object(role))).ok_or_else(|| Answer::no_route(&format!("role {id}")))
}

/// One of the caller's own memberships.
#[derive(Serialize)]
struct MembershipObject {
    id: MembershipId,
    status: &'static str,
    api_access_enabled: Option<bool>,
    account: AccountObject,
    roles: Vec<String>,
    permissions: Value,
}

fn own((membership, account): (Membership, Account)) -> MembershipObject {
    let roles: Vec<_> = membership.roles.iter().filter_map(|name| role::find(name)).collect();
    MembershipObject {
        id: membership.id,
        status: membership.status.as_str(),
        api_access_enabled: None,
        account: (&account).into(),
        permissions: grants(|permission| roles.iter().any(|role| role.gives(permission))),
        roles: membership.roles,
    }
}

async fn memberships(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<MembershipObject>> {
    let page = Page::read(&query, PageLimits::ACCOUNTS)?;
    let order = Order::read(&query, &["id", "account.name", "status"])?;
    let named = query.text("account.name").or(query.text("name")).map(TextFilter::with_operator);
    let statuses = query.list("status")?;
    let mut memberships = door.app.membership_list(&caller).await?;
    memberships.retain(|(membership, account)| {
        named.as_ref().is_none_or(|filter| filter.matches(&account.name))
            && (statuses.is_empty() || statuses.contains(&membership.status.as_str()))
    });
    if let Some(field) = order.field {
        memberships.sort_by(|(one, account), (other, of_other)| {
            order.apply(match field {
                "account.name" => account.name.cmp(&of_other.name),
                "status" => one.status.as_str().cmp(other.status.as_str()),
                _ => one.id.cmp(&other.id),
            })
        });
    }
    let shown: Vec<_> = page.of(&memberships).iter().cloned().map(own).collect();
    let info = page.info(shown.len(), memberships.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn membership(State(door): State<Door>, Who(caller): Who, Id(id): Id<MembershipId>) -> Answered<MembershipObject> {
    Ok(Answer::success(own(door.app.membership_get(&caller, id).await?)))
}

async fn answer(
    State(door): State<Door>,
    Who(caller): Who,
    Id(id): Id<MembershipId>,
    Json(body): Json,
) -> Answered<MembershipObject> {
    let body = At::body(&body);
    let accepted = body.required("status")?.one_of(&["accepted", "rejected"])? == "accepted";
    Ok(Answer::success(own(door.app.membership_answer(&caller, id, accepted).await?)))
}

async fn leave(State(door): State<Door>, Who(caller): Who, Id(id): Id<MembershipId>) -> Answered<Gone<MembershipId>> {
    door.app.membership_leave(&caller, id).await?;
    Ok(Answer::success(Gone { id }))
}
