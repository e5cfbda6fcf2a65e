//! API tokens, a user's and an account's (api-v4 §2).

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, put},
};
use poterne_control_app::{Caller, TokenOwner, TokenText};
use poterne_control_wire::{
    WireTime, codes,
    query::page::{Page, PageLimits},
    token::{GroupObject, TokenDraft, TokenObject},
};
use poterne_keys::random_bytes;
use poterne_model::{
    AccountId, At, PolicyId, TokenId,
    permission::{GROUPS, Level, TokenStatus},
};
use serde::Serialize;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    credential,
    door::{Door, Who},
    path::{Id, Ids},
};

/// Under `/user/tokens` and `/accounts/{account}/tokens`.
pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/user/tokens", get(list_of_user).post(create_of_user))
        .route("/user/tokens/permission_groups", get(groups_of_user))
        .route("/user/tokens/{token}", get(show_of_user).put(update_of_user).delete(delete_of_user))
        .route("/user/tokens/{token}/value", put(roll_of_user))
        .route("/accounts/{account}/tokens", get(list_of_account).post(create_of_account))
        .route("/accounts/{account}/tokens/permission_groups", get(groups_of_account))
        .route("/accounts/{account}/tokens/{token}", get(show_of_account).put(update_of_account).delete(delete_of_account))
        .route("/accounts/{account}/tokens/{token}/value", put(roll_of_account))
}

/// Without [`crate::door::identify`]: a token that may not be used is asked about too.
pub(crate) fn verify_routes() -> Router<Door> {
    Router::new().route("/user/tokens/verify", get(verify)).route("/accounts/{account}/tokens/verify", get(verify))
}

#[derive(Serialize)]
struct Verified {
    id: TokenId,
    status: TokenStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<WireTime>,
}

async fn verify(State(door): State<Door>, headers: HeaderMap) -> Answered<Verified> {
    let unknown = || Answer::error(StatusCode::UNAUTHORIZED, codes::INVALID_TOKEN, "Invalid API Token");
    let credentials = credential::read(&headers)?;
    let request = poterne_control_app::Request { ip: [0, 0, 0, 0].into(), now: door.app.instant(), ray: String::new() };
    let caller = door.app.identify(credentials, request).await.map_err(|_| unknown())?;
    let token = caller.token().ok_or_else(unknown)?.told();
    Ok(Answer::success(Verified {
        id: token.id,
        status: token.status(door.app.instant()),
        not_before: token.terms.not_before.map(WireTime),
        expires_on: token.terms.expires_on.map(WireTime),
    }))
}

async fn groups_of_user() -> Answer<Vec<GroupObject>> {
    Answer::success(GROUPS.iter().map(GroupObject::from).collect())
}

/// An account's own token reaches no user.
async fn groups_of_account() -> Answer<Vec<GroupObject>> {
    Answer::success(GROUPS.iter().filter(|group| group.level() != Level::User).map(GroupObject::from).collect())
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
