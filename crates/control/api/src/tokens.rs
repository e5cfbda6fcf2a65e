//! API tokens, a user's and an account's (api-v4 §2).

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use poterne_control_app::{AppError, Caller, TokenOwner, TokenText};
use poterne_control_wire::{
    WireTime, codes,
    query::{
        Parameter,
        page::{Page, PageLimits},
    },
    token::{GroupObject, TokenDraft, TokenObject},
};
use poterne_keys::random_bytes;
use poterne_model::{
    AccountId, At, PolicyId, TokenId,
    permission::{GROUPS, Level, PermissionGroup, Subject, TokenStatus},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ClientIp,
    answer::{Answer, Answered},
    body::{Json, Query},
    credential,
    door::{Door, Who, client_ip},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, known, open, reads},
};

/// Under `/user/tokens` and `/accounts/{account}/tokens`. A token that may not be used is asked about, too.
pub(crate) fn routes() -> Routes {
    let (mine, theirs) = (Subject::UserTokens, Subject::AccountTokens);
    let (user, account) = ("/user/tokens", "/accounts/{account}/tokens");
    let path = |base: &str, rest: &str| format!("{base}{rest}");
    let list_op = |subject| reads(subject, "List API tokens").pages(PageLimits::OTHERS);
    let create_op =
        |subject| edits(subject, "Make an API token").about("Its secret is told once, here.").body(TokenDraft::schema());
    let update_op = |subject| edits(subject, "Replace what a token says").body(TokenDraft::schema());
    let roll_op = |subject| edits(subject, "Give a token another secret").about("The old one is good no more.");
    let named = || [Parameter::text("name", "the one of that name"), Parameter::text("scope", "those of that scope")];
    let groups_op = || known("List permission groups").query(named());
    let verify_op = || open("Tell whether a token is valid").says([400, 401, 429]).asks_by_itself();
    Routes::of("API tokens", "A user's, and an account's own.")
        .get(user, list_of_user, list_op(mine))
        .post(user, create_of_user, create_op(mine))
        .get(&path(user, "/permission_groups"), groups_of_user, groups_op())
        .get(&path(user, "/verify"), verify, verify_op())
        .get(&path(user, "/{token}"), show_of_user, reads(mine, "Show an API token"))
        .put(&path(user, "/{token}"), update_of_user, update_op(mine))
        .delete(&path(user, "/{token}"), delete_of_user, edits(mine, "Delete an API token"))
        .put(&path(user, "/{token}/value"), roll_of_user, roll_op(mine))
        .get(account, list_of_account, list_op(theirs))
        .post(account, create_of_account, create_op(theirs))
        .get(&path(account, "/permission_groups"), groups_of_account, groups_op())
        .get(&path(account, "/verify"), verify_of_account, verify_op())
        .get(&path(account, "/{token}"), show_of_account, reads(theirs, "Show an API token"))
        .put(&path(account, "/{token}"), update_of_account, update_op(theirs))
        .delete(&path(account, "/{token}"), delete_of_account, edits(theirs, "Delete an API token"))
        .put(&path(account, "/{token}/value"), roll_of_account, roll_op(theirs))
}

shown![TokenObject, GroupObject, Verified];

#[derive(Serialize, ToSchema)]
struct Verified {
    id: TokenId,
    status: TokenStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<WireTime>,
}

/// Where it comes from: guessing is counted here too.
type From = Option<Extension<ClientIp>>;

async fn verify(State(door): State<Door>, ip: From, headers: HeaderMap) -> Answered<Verified> {
    verified(&door, ip, &headers, None).await
}

async fn verify_of_account(
    State(door): State<Door>,
    ip: From,
    Id(account): Id<AccountId>,
    headers: HeaderMap,
) -> Answered<Verified> {
    verified(&door, ip, &headers, Some(account)).await
}

async fn verified(door: &Door, ip: From, headers: &HeaderMap, account: Option<AccountId>) -> Answered<Verified> {
    let unknown = || Answer::error(StatusCode::UNAUTHORIZED, codes::INVALID_TOKEN, "Invalid API Token");
    let credentials = credential::read(headers, false)?;
    let ip = client_ip(ip.as_deref());
    let request = poterne_control_app::Request { ip, now: door.app.instant(), ray: String::new() };
    let caller = door.app.identify(credentials, request).await.map_err(|error| match error {
        AppError::UnknownToken | AppError::UnknownKey => unknown(),
        // A store that does not answer is nobody's wrong token.
        other => other.into(),
    })?;
    let token = caller.token().ok_or_else(unknown)?.told();
    if let Some(account) = account {
        door.app.account_get(&caller, account).await?;
    }
    Ok(Answer::success(Verified {
        id: token.id,
        status: token.status(door.app.instant()),
        not_before: token.terms.not_before.map(WireTime),
        expires_on: token.terms.expires_on.map(WireTime),
    }))
}

async fn groups_of_user(query: Query) -> Answer<Vec<GroupObject>> {
    Answer::success(GROUPS.iter().filter(|group| is_asked_for(group, &query)).map(GroupObject::from).collect())
}

/// Clients take the first one of a name. The hosted service asks that `name` be encoded once more than the query is, so that some do it.
fn is_asked_for(group: &PermissionGroup, query: &Query) -> bool {
    let named = |name: &str| group.name == name || group.name.replace(' ', "%20") == name;
    query.0.text("name").is_none_or(named) && query.0.text("scope").is_none_or(|scope| group.level().scope() == scope)
}

/// An account's own token reaches no user.
async fn groups_of_account(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    query: Query,
) -> Answered<Vec<GroupObject>> {
    door.app.account_get(&caller, account).await?;
    let fits = |group: &&PermissionGroup| group.level() != Level::User && is_asked_for(group, &query);
    Ok(Answer::success(GROUPS.iter().filter(fits).map(GroupObject::from).collect()))
}

fn user(caller: &Caller) -> Result<TokenOwner, Answer<()>> {
    let none = || Answer::error(StatusCode::FORBIDDEN, codes::FORBIDDEN, "an account's own token has no user");
    caller.person().map(|person| TokenOwner::Person(person.id)).ok_or_else(none)
}

async fn list(door: Door, caller: Caller, owner: TokenOwner, query: Query) -> Answered<Vec<TokenObject>> {
    let page = Page::read(&query.0, PageLimits::OTHERS)?;
    let tokens = door.app.api_token_list(&caller, owner).await?;
    let now = door.app.instant();
    let shown: Vec<_> = page.of(&tokens).iter().map(|token| TokenObject::new(&token.told(), now)).collect();
    let info = page.info(shown.len(), tokens.len() as u64);
    Ok(Answer::part(shown, info))
}

fn text(body: &serde_json::Value, owner: TokenOwner) -> Result<TokenText, Answer<()>> {
    let account = match owner {
        TokenOwner::Account(id) => Some(id),
        TokenOwner::Person(_) => None,
    };
    let draft = TokenDraft::read(&At::body(body), account, &mut || PolicyId::from_bytes(random_bytes()))?;
    Ok(TokenText { name: draft.name, terms: draft.terms, disabled: draft.disabled })
}

async fn create(door: Door, caller: Caller, owner: TokenOwner, body: Json) -> Answered<TokenObject> {
    let (token, secret) = door.app.api_token_create(&caller, owner, text(&body.0, owner)?).await?;
    Ok(Answer::success(TokenObject::new(&token.told(), door.app.instant()).with_secret(secret)))
}

async fn show(door: Door, caller: Caller, owner: TokenOwner, id: TokenId) -> Answered<TokenObject> {
    let token = door.app.api_token_get(&caller, owner, id).await?;
    Ok(Answer::success(TokenObject::new(&token.told(), door.app.instant())))
}

async fn update(door: Door, caller: Caller, owner: TokenOwner, id: TokenId, body: Json) -> Answered<TokenObject> {
    let token = door.app.api_token_update(&caller, owner, id, text(&body.0, owner)?).await?;
    Ok(Answer::success(TokenObject::new(&token.told(), door.app.instant())))
}

/// What is left of a thing that was deleted.
#[derive(Serialize)]
pub(crate) struct Gone<T> {
    pub(crate) id: T,
}

async fn delete(door: Door, caller: Caller, owner: TokenOwner, id: TokenId) -> Answered<Gone<TokenId>> {
    door.app.api_token_delete(&caller, owner, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn list_of_user(State(door): State<Door>, Who(caller): Who, query: Query) -> Answered<Vec<TokenObject>> {
    let owner = user(&caller)?;
    list(door, caller, owner, query).await
}

async fn create_of_user(State(door): State<Door>, Who(caller): Who, body: Json) -> Answered<TokenObject> {
    let owner = user(&caller)?;
    create(door, caller, owner, body).await
}

async fn show_of_user(State(door): State<Door>, Who(caller): Who, Id(id): Id<TokenId>) -> Answered<TokenObject> {
    let owner = user(&caller)?;
    show(door, caller, owner, id).await
}

async fn update_of_user(State(door): State<Door>, Who(caller): Who, Id(id): Id<TokenId>, body: Json) -> Answered<TokenObject> {
    let owner = user(&caller)?;
    update(door, caller, owner, id, body).await
}

async fn delete_of_user(State(door): State<Door>, Who(caller): Who, Id(id): Id<TokenId>) -> Answered<Gone<TokenId>> {
    let owner = user(&caller)?;
    delete(door, caller, owner, id).await
}

async fn roll_of_user(State(door): State<Door>, Who(caller): Who, Id(id): Id<TokenId>) -> Answered<String> {
    Ok(Answer::success(door.app.api_token_roll(&caller, user(&caller)?, id).await?))
}

type OfAccount = Ids<AccountId, TokenId>;

async fn list_of_account(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    query: Query,
) -> Answered<Vec<TokenObject>> {
    list(door, caller, TokenOwner::Account(account), query).await
}

async fn create_of_account(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    body: Json,
) -> Answered<TokenObject> {
    create(door, caller, TokenOwner::Account(account), body).await
}

async fn show_of_account(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<TokenObject> {
    show(door, caller, TokenOwner::Account(account), id).await
}

async fn update_of_account(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    body: Json,
) -> Answered<TokenObject> {
    update(door, caller, TokenOwner::Account(account), id, body).await
}

async fn delete_of_account(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<Gone<TokenId>> {
    delete(door, caller, TokenOwner::Account(account), id).await
}

async fn roll_of_account(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<String> {
    Ok(Answer::success(door.app.api_token_roll(&caller, TokenOwner::Account(account), id).await?))
}
