//! Members of an account, their roles, and the caller's own memberships (api-v4 §2).

use std::collections::BTreeMap;

use axum::extract::State;
use poterne_control_app::{
    Account, Membership, Person,
    access::Permission,
    outbox::Told,
    role::{self, Role},
};
use poterne_control_wire::query::{
    Parameter,
    filter::{Order, TextFilter},
    page::{Page, PageLimits},
};
use poterne_model::{AccountId, At, MembershipId, Schema, UserId, permission::Subject};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
    tokens::Gone,
    user::AccountObject,
};

/// `/memberships`, and members and roles under `/accounts/{account}`.
pub(crate) fn routes() -> Routes {
    let (one, members) = ("/accounts/{account}/members/{member}", Subject::Members);
    let status = || Parameter::list("status", Schema::one_of(&["accepted", "pending", "rejected"]), "of these");
    let order = Parameter::order(&MEMBERS_BY);
    let list_op = reads(members, "List an account's members").pages(PageLimits::ACCOUNTS).query(order).query([status()]);
    let names = [Parameter::text("account.name", "the account's name"), Parameter::text("name", "the same")];
    let own = reads(Subject::UserDetails, "List the user's memberships").pages(PageLimits::ACCOUNTS);
    let own = own.query(Parameter::order(&MEMBERSHIPS_BY)).query([status()]).query(names).says([404]);
    let answered = Schema::object([("status", Schema::one_of(ANSWERS).required())]);
    let answered = answered.named("MembershipAnswer").example(json!({ "status": "accepted" }));
    Routes::of("Members", "Who belongs to an account, in which role, and the user's own memberships.")
        .get("/accounts/{account}/members", list, list_op)
        .post("/accounts/{account}/members", invite, edits(members, "Invite a member").body(member_schema(true)))
        .get(one, show, reads(members, "Show a member"))
        .put(one, update, edits(members, "Give a member other roles").body(member_schema(false)))
        .delete(one, delete, edits(members, "Take a member away"))
        .get("/accounts/{account}/roles", roles, reads(members, "List the roles there are").pages(PageLimits::OTHERS))
        .get("/accounts/{account}/roles/{role}", one_role, reads(members, "Show a role"))
        .get("/memberships", memberships, own)
        .get("/memberships/{membership}", membership, reads(Subject::UserDetails, "Show a membership"))
        .put(
            "/memberships/{membership}",
            answer,
            edits(Subject::UserDetails, "Accept an invitation, or decline it").body(answered),
        )
        .delete("/memberships/{membership}", leave, edits(Subject::UserDetails, "Leave an account"))
}

/// What an invitation, or a member's change, says.
fn member_schema(is_new: bool) -> Schema {
    let role =
        Schema::any_of([Schema::text(100), Schema::object([("id", Schema::text(100).required())])]).about("a role's id or name");
    let roles = Schema::items(role, role::ROLES.len() * 2).not_empty().required();
    if is_new {
        let email = Schema::text(254).with("format", "email").required();
        let example = json!({ "email": "ada@example.com", "roles": ["DNS"] });
        return Schema::object([("email", email), ("roles", roles)]).named("Invitation").example(example);
    }
    Schema::object([("roles", roles)]).named("MemberChanges").example(json!({ "roles": ["DNS", "Tunnels"] }))
}

/// By what members may be ordered, and memberships.
const MEMBERS_BY: [&str; 4] = ["user.first_name", "user.last_name", "user.email", "status"];
const MEMBERSHIPS_BY: [&str; 3] = ["id", "account.name", "status"];

const ANSWERS: &[&str] = &["accepted", "rejected"];

shown![MemberObject, RoleObject, MembershipObject];

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

/// Whether things of one kind may be seen, and changed.
#[derive(Serialize, ToSchema)]
struct Grant {
    read: bool,
    write: bool,
}

fn grants(gives: impl Fn(Permission) -> bool) -> BTreeMap<String, Grant> {
    let grant = |subject: Option<Subject>| Grant {
        read: subject.is_some_and(|subject| gives(subject.to_read())),
        write: subject.is_some_and(|subject| gives(subject.to_edit())),
    };
    GRANTS.into_iter().map(|(word, subject)| (word.to_owned(), grant(subject))).collect()
}

/// A role.
#[derive(Serialize, ToSchema)]
struct RoleObject {
    id: &'static str,
    name: &'static str,
    description: &'static str,
    permissions: BTreeMap<String, Grant>,
}

fn role_object(role: &Role) -> RoleObject {
    let permissions = grants(|permission| role.gives(permission));
    RoleObject { id: role.id, name: role.name, description: role.description, permissions }
}

/// A member.
#[derive(Serialize, ToSchema)]
struct MemberObject {
    id: MembershipId,
    email: String,
    status: &'static str,
    user: UserOfMember,
    roles: Vec<RoleObject>,
    #[schema(value_type = Vec<Object>, max_items = 0)]
    policies: [Value; 0],
    /// Of those who have not answered yet: how they were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    invitation: Option<Value>,
}

#[derive(Serialize, ToSchema)]
struct UserOfMember {
    id: UserId,
    email: String,
    first_name: Option<String>,
    last_name: Option<String>,
    two_factor_authentication_enabled: bool,
}

/// `by_mail`: whether invitations are sent from here.
fn object(by_mail: bool, (membership, person): (Membership, Person)) -> MemberObject {
    let status = membership.status.as_str();
    MemberObject {
        id: membership.id,
        email: person.email.clone(),
        status,
        user: UserOfMember {
            id: person.id,
            email: person.email,
            first_name: person.first_name,
            last_name: person.last_name,
            two_factor_authentication_enabled: person.second_factor,
        },
        roles: membership.roles.iter().filter_map(|name| role::find(name)).map(role_object).collect(),
        policies: [],
        invitation: (status == "pending").then(|| invitation(by_mail)),
    }
}

/// How whoever has not answered yet is told. The link lets in whoever has it, as the person invited: it is in no answer.
fn invitation(by_mail: bool) -> Value {
    let otherwise = "this node sends no mail: its operator has the link, by `poterne member invite ADDRESS`";
    if by_mail { json!({ "by_mail": true }) } else { json!({ "by_mail": false, "why": otherwise }) }
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<MemberObject>> {
    let page = Page::read(&query, PageLimits::ACCOUNTS)?;
    let order = Order::read(&query, &MEMBERS_BY)?;
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
    let by_mail = door.app.invites_by_mail();
    let shown: Vec<_> = page.of(&members).iter().cloned().map(|member| object(by_mail, member)).collect();
    let info = page.info(shown.len(), members.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn invite(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<MemberObject> {
    let invited = door.app.member_invite(&caller, account, &At::body(&body)).await?;
    let mut shown = object(door.app.invites_by_mail(), (invited.membership, invited.person));
    if invited.told == Told::Full {
        shown.invitation = Some(json!({ "by_mail": false, "why": "too many mails wait to be sent: invite them again later" }));
    }
    Ok(Answer::success(shown))
}

type OfAccount = Ids<AccountId, MembershipId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<MemberObject> {
    let member = door.app.member_get(&caller, account, id).await?;
    Ok(Answer::success(object(door.app.invites_by_mail(), member)))
}

async fn update(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Json(body): Json,
) -> Answered<MemberObject> {
    let member = door.app.member_update(&caller, account, id, &At::body(&body)).await?;
    Ok(Answer::success(object(door.app.invites_by_mail(), member)))
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
) -> Answered<Vec<RoleObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let roles = door.app.role_list(&caller, account)?;
    let shown: Vec<_> = page.of(roles).iter().map(role_object).collect();
    let info = page.info(shown.len(), roles.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn one_role(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, String>) -> Answered<RoleObject> {
    let found = door.app.role_list(&caller, account)?.iter().find(|role| role.id == id);
    found.map(|role| Answer::success(role_object(role))).ok_or_else(|| Answer::no_route(&format!("role {id}")))
}

/// One of the caller's own memberships.
#[derive(Serialize, ToSchema)]
struct MembershipObject {
    id: MembershipId,
    status: &'static str,
    api_access_enabled: Option<bool>,
    account: AccountObject,
    roles: Vec<String>,
    permissions: BTreeMap<String, Grant>,
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
    let order = Order::read(&query, &MEMBERSHIPS_BY)?;
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
    let accepted = body.required("status")?.one_of(ANSWERS)? == "accepted";
    Ok(Answer::success(own(door.app.membership_answer(&caller, id, accepted).await?)))
}

async fn leave(State(door): State<Door>, Who(caller): Who, Id(id): Id<MembershipId>) -> Answered<Gone<MembershipId>> {
    door.app.membership_leave(&caller, id).await?;
    Ok(Answer::success(Gone { id }))
}
