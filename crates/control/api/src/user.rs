//! The person who calls, and accounts (api-v4 §2).

use axum::extract::State;
use poterne_control_app::{Account, Person};
use poterne_control_wire::{
    WireTime,
    query::{
        Parameter,
        filter::{Order, TextFilter},
        page::{Page, PageLimits},
    },
};
use poterne_model::{AccountId, At, Schema, Timestamp, UserId, permission::Subject};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    routes::{Routes, edits, known},
    tokens::Gone,
};

/// Longest text of a name that is looked at.
const NAME_MAX: usize = 60;

/// Longest name of an account, in characters.
const ACCOUNT_NAME_MAX: usize = 100;

/// Who makes and deletes accounts.
const MAKERS: &str = "For Super Administrators of the node's first account.";

/// `/user` and `/accounts`.
pub(crate) fn routes() -> Routes {
    let (one, accounts_) = ("/accounts/{account}", Subject::Accounts);
    let name = || Schema::text(NAME_MAX).or_null();
    let names = Schema::object([("first_name", name()), ("last_name", name())]);
    let names = names.named("UserChanges").example(json!({ "first_name": "Ada", "last_name": null }));
    let changes = || {
        let enforce = Schema::boolean().about("whether members need a second factor");
        let members = [
            ("name", Schema::text(ACCOUNT_NAME_MAX).not_empty().about("absent: as it is, where there are `settings`")),
            ("settings", Schema::object([("enforce_twofactor", enforce)])),
        ];
        let example = json!({ "name": "home", "settings": { "enforce_twofactor": false } });
        Schema::object(members).named("AccountChanges").example(example)
    };
    let named = Parameter::text("name", "of that name; or after starts_with:, ends_with: or contains:");
    let list_op = known("List accounts").pages(PageLimits::ACCOUNTS).query(Parameter::order(&["name"])).query([named]);
    let new = Schema::object([
        ("name", Schema::text(ACCOUNT_NAME_MAX).not_empty().required()),
        ("type", Schema::one_of(&["standard"])),
    ]);
    let new = new.named("NewAccount").example(json!({ "name": "home", "type": "standard" }));
    let account_create_op = edits(accounts_, "Make an account").about(MAKERS).body(new);
    Routes::of("User and accounts", "The person who calls, and the accounts within reach.")
        .get("/user", show, known("Show the user").says([404]))
        .patch("/user", rename, edits(Subject::UserDetails, "Change what the user is called").body(names).says([404]))
        .get("/accounts", accounts, list_op)
        .post("/accounts", account_create, account_create_op)
        .get(one, account, known("Show an account"))
        .delete(one, account_delete, edits(accounts_, "Delete an account that has nothing").about(MAKERS).says([409]))
        .put(one, account_update, edits(accounts_, "Change an account").body(changes()))
        .patch(one, account_update, edits(accounts_, "Change an account, as PUT does").body(changes()))
}

shown![UserObject, AccountObject];

/// A person, as clients know them: what Poterne has not is said to be off.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserObject {
    id: UserId,
    email: String,
    first_name: Option<String>,
    last_name: Option<String>,
    username: String,
    telephone: Option<String>,
    country: Option<String>,
    zipcode: Option<String>,
    two_factor_authentication_enabled: bool,
    two_factor_authentication_locked: bool,
    suspended: bool,
    has_pro_zones: bool,
    has_business_zones: bool,
    has_enterprise_zones: bool,
    #[schema(value_type = Vec<String>, max_items = 0)]
    betas: [String; 0],
    #[schema(value_type = Vec<Object>, max_items = 0)]
    organizations: [Value; 0],
    created_on: WireTime,
    modified_on: WireTime,
}

impl From<Person> for UserObject {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            username: person.email.clone(),
            email: person.email,
            first_name: person.first_name,
            last_name: person.last_name,
            telephone: None,
            country: None,
            zipcode: None,
            two_factor_authentication_enabled: person.second_factor,
            two_factor_authentication_locked: false,
            suspended: person.suspended,
            has_pro_zones: false,
            has_business_zones: false,
            has_enterprise_zones: false,
            betas: [],
            organizations: [],
            created_on: WireTime(Timestamp::from_micros(person.created_at)),
            modified_on: WireTime(Timestamp::from_micros(person.modified_at)),
        }
    }
}

async fn show(State(door): State<Door>, Who(caller): Who) -> Answered<UserObject> {
    Ok(Answer::success(door.app.person_get(&caller).await?.into()))
}

async fn rename(State(door): State<Door>, Who(caller): Who, Json(body): Json) -> Answered<UserObject> {
    let body = At::body(&body);
    body.object()?;
    // Absent: as it was. Null: none.
    let name = |key: &str| -> Result<Option<Option<String>>, Answer<()>> {
        match body.value.get(key) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(_) => Ok(Some(Some(body.required(key)?.text(NAME_MAX)?.to_owned()))),
        }
    };
    let (first, last) = (name("first_name")?, name("last_name")?);
    Ok(Answer::success(door.app.person_rename(&caller, first, last).await?.into()))
}

/// An account, as lists and its own path show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountObject {
    id: AccountId,
    name: String,
    r#type: &'static str,
    created_on: WireTime,
    #[schema(value_type = Object)]
    settings: Value,
}

impl From<&Account> for AccountObject {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id,
            name: account.name.clone(),
            r#type: "standard",
            created_on: WireTime(Timestamp::from_micros(account.created_at)),
            settings: json!({
                "enforce_twofactor": account.enforces_second_factor, "api_access_enabled": null, "abuse_contact_email": null,
            }),
        }
    }
}

async fn accounts(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<AccountObject>> {
    let page = Page::read(&query, PageLimits::ACCOUNTS)?;
    let order = Order::read(&query, &["name"])?;
    let named = query.text("name").map(TextFilter::with_operator);
    let mut accounts = door.app.account_list(&caller).await?;
    accounts.retain(|account| named.as_ref().is_none_or(|filter| filter.matches(&account.name)));
    if order.field.is_some() || order.descending {
        accounts.sort_by(|one, other| order.apply(one.name.cmp(&other.name)));
    }
    let shown: Vec<_> = page.of(&accounts).iter().map(AccountObject::from).collect();
    let info = page.info(shown.len(), accounts.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn account(State(door): State<Door>, Who(caller): Who, Id(id): Id<AccountId>) -> Answered<AccountObject> {
    Ok(Answer::success((&door.app.account_get(&caller, id).await?).into()))
}

async fn account_create(State(door): State<Door>, Who(caller): Who, Json(body): Json) -> Answered<AccountObject> {
    let body = At::body(&body);
    let name = body.required("name")?.text(ACCOUNT_NAME_MAX)?;
    if let Some(given) = body.member("type") {
        given.one_of(&["standard"])?;
    }
    Ok(Answer::success((&door.app.account_create(&caller, name).await?).into()))
}

async fn account_delete(State(door): State<Door>, Who(caller): Who, Id(id): Id<AccountId>) -> Answered<Gone<AccountId>> {
    door.app.account_delete(&caller, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn account_update(
    State(door): State<Door>,
    Who(caller): Who,
    Id(id): Id<AccountId>,
    Json(body): Json,
) -> Answered<AccountObject> {
    let body = At::body(&body);
    let settings = body.member("settings");
    if let Some(settings) = &settings {
        settings.object()?;
    }
    let enforce = settings.as_ref().and_then(|settings| settings.member("enforce_twofactor"));
    let enforce = enforce.map(|enforce| enforce.boolean()).transpose()?;
    let name = match body.member("name") {
        None if settings.is_some() => None,
        _ => Some(body.required("name")?.text(ACCOUNT_NAME_MAX)?),
    };
    Ok(Answer::success((&door.app.account_update(&caller, id, name, enforce).await?).into()))
}
