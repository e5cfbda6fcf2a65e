//! Authenticator applications, recovery codes, and accounts that ask for a second factor.

use poterne_control_app::Caller;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use super::browser::{ADMIN, Browser, Node, PASSWORD};

/// What an application shows now.
fn code(node: &Node, secret: &str) -> String {
    let builder = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).with_account_name("a");
    builder.build().unwrap().generate(node.now_secs()).to_string()
}

/// Sets an application up; its secret and the recovery codes.
pub(super) async fn enrol(browser: &Browser<'_>) -> (String, Vec<String>) {
    let told = browser.ask("POST", "/user/poterne/totp", Value::Null).await;
    let secret = told.result()["secret"].as_str().unwrap().to_owned();
    let uri = told.result()["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/") && uri.contains(&secret), "{uri}");
    let shown = json!({ "code": code(browser.node, &secret) });
    let told = browser.ask("PUT", "/user/poterne/totp", shown).await;
    let codes = told.result()["recovery_codes"].as_array().unwrap();
    (secret, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

/// The ticket of somebody whose password was right.
async fn ticket(browser: &Browser<'_>, methods: Value) -> String {
    let told = browser.sign_in(ADMIN, PASSWORD).await;
    assert_eq!((&told.result()["state"], &told.result()["methods"]), (&json!("second_factor"), &methods));
    assert!(browser.cookie.borrow().is_none(), "a password alone opens nothing");
    told.result()["ticket"].as_str().unwrap().to_owned()
}

async fn go_on(browser: &Browser<'_>, ticket: &str, code: &str) -> u16 {
    browser.ask("POST", "/poterne/sign_in/code", json!({ "ticket": ticket, "code": code })).await.status
}

#[tokio::test]
async fn an_application_is_asked_from_its_first_code_on() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let begun = browser.ask("POST", "/user/poterne/totp", Value::Null).await;
    assert_eq!(browser.ask("PUT", "/user/poterne/totp", json!({ "code": "000000" })).await.status, 401);
    let other = node.signed_in().await;
    assert_eq!(other.get("/user").await.result()["two_factor_authentication_enabled"], false, "it has shown no code yet");
    let (secret, codes) = enrol(&browser).await;
    assert_ne!(begun.result()["secret"], json!(secret), "each beginning has its own");
    assert_eq!(codes.len(), 10);
    assert_eq!(browser.ask("POST", "/user/poterne/totp", Value::Null).await.status, 400, "there is one");
    assert_eq!(browser.get("/user").await.result()["two_factor_authentication_enabled"], true);
    let members = browser.get(&format!("/accounts/{}/members", node.account())).await;
    assert_eq!(members.result()[0]["user"]["two_factor_authentication_enabled"], true);
    let factors = browser.get("/user/poterne/second_factors").await;
    assert_eq!((&factors.result()["totp"]["enabled"], &factors.result()["recovery_codes_left"]), (&json!(true), &json!(10)));

    let shown = code(&node, &secret);
    let new = node.browser();
    let asked = ticket(&new, json!(["totp", "recovery_code"])).await;
    assert_eq!(go_on(&new, &asked, &shown).await, 401, "the code that set it up is used");
    node.pass(30);
    let shown = code(&node, &secret);
    assert_eq!(go_on(&new, &asked, &shown).await, 200);
    assert_eq!(new.get("/user/poterne/sessions").await.result()[0]["factors"], json!(["password", "totp"]));
    assert_eq!(go_on(&node.browser(), &asked, &shown).await, 401, "a ticket is used once");
    let again = node.browser();
    let asked = ticket(&again, json!(["totp", "recovery_code"])).await;
    assert_eq!(go_on(&again, &asked, &shown).await, 401, "and so is a code");
    node.pass(60);
    // Within one step early or late.
    let late = code(&node, &secret);
    node.pass(30);
    assert_eq!(go_on(&again, &asked, &late).await, 200);

    browser.ask("POST", "/user/poterne/confirmation", json!({ "password": PASSWORD })).await.result();
    browser.ask("DELETE", "/user/poterne/totp", Value::Null).await.result();
    assert_eq!(browser.ask("DELETE", "/user/poterne/totp", Value::Null).await.status, 404);
    let factors = browser.get("/user/poterne/second_factors").await;
    let expected = json!({ "totp": { "enabled": false, "created_on": null }, "passkeys": 0, "recovery_codes_left": 0 });
    assert_eq!(factors.result(), &expected);
    assert_eq!(browser.ask("POST", "/user/poterne/recovery_codes", Value::Null).await.status, 400, "they stand in for nothing");
    node.signed_in().await;
}

#[tokio::test]
async fn a_recovery_code_lets_in_once() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (_, codes) = enrol(&browser).await;
    for (typed, status) in [(codes[3].to_uppercase(), 200), (codes[3].clone(), 401), (codes[4].replace('-', " "), 200)] {
        let new = node.browser();
        let asked = ticket(&new, json!(["totp", "recovery_code"])).await;
        assert_eq!(go_on(&new, &asked, &typed).await, status, "{typed}");
    }
    let left = browser.get("/user/poterne/second_factors").await;
    assert_eq!(left.result()["recovery_codes_left"], 8);
    let confirm = json!({ "code": codes[5] });
    assert_eq!(browser.ask("POST", "/user/poterne/confirmation", confirm).await.status, 401, "it is for getting in");
    let renewed = browser.ask("POST", "/user/poterne/recovery_codes", Value::Null).await;
    let renewed = renewed.result()["recovery_codes"][0].as_str().unwrap().to_owned();
    let new = node.browser();
    let asked = ticket(&new, json!(["totp", "recovery_code"])).await;
    assert_eq!((go_on(&new, &asked, &codes[6]).await, go_on(&new, &asked, &renewed).await), (401, 200));
}

#[tokio::test]
async fn codes_are_not_guessed_at() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (secret, _) = enrol(&browser).await;
    node.pass(30);
    let guesser = node.browser();
    let asked = ticket(&guesser, json!(["totp", "recovery_code"])).await;
    for _ in 0..5 {
        assert_eq!(go_on(&guesser, &asked, "000000").await, 401);
    }
    let told = guesser.ask("POST", "/poterne/sign_in/code", json!({ "ticket": asked, "code": code(&node, &secret) })).await;
    assert!(told.status == 401 && told.body["errors"][0]["message"].as_str().unwrap().contains("begin again"), "{}", told.body);
    let asked = ticket(&guesser, json!(["totp", "recovery_code"])).await;
    for _ in 0..5 {
        assert_eq!(go_on(&guesser, &asked, "000000").await, 401);
    }
    let asked = ticket(&guesser, json!(["totp", "recovery_code"])).await;
    let told = guesser.ask("POST", "/poterne/sign_in/code", json!({ "ticket": asked, "code": "000000" })).await;
    assert_eq!((told.status, told.headers["retry-after"].to_str().unwrap()), (429, "300"));
    assert_eq!(go_on(&guesser, "no such ticket", "000000").await, 401);
}

#[tokio::test]
async fn another_password_makes_a_ticket_worth_nothing() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (secret, _) = enrol(&browser).await;
    node.pass(30);
    let new = node.browser();
    let asked = ticket(&new, json!(["totp", "recovery_code"])).await;
    node.app.user_password_set(&Caller::Operator, ADMIN, Some("some other words"), false).await.unwrap();
    assert_eq!(go_on(&new, &asked, &code(&node, &secret)).await, 401);
    let told = new.sign_in(ADMIN, "some other words").await;
    assert_eq!(told.result()["state"], "second_factor", "a password that was set leaves the second factor");
    node.app.user_password_set(&Caller::Operator, ADMIN, Some(PASSWORD), true).await.unwrap();
    assert_eq!(new.sign_in(ADMIN, PASSWORD).await.result()["state"], "signed_in", "unless the operator says otherwise");
}

#[tokio::test]
async fn an_account_that_asks_for_a_second_factor_keeps_others_out() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let account = format!("/accounts/{}", node.account());
    let (_, token) = node.app.api_token_of_operator(&Caller::Operator, "ci", &["all".into()]).await.unwrap();
    let bearer = format!("Bearer {token}");
    let by_token = [("authorization", bearer.as_str())];
    let enforce = |on: bool| json!({ "settings": { "enforce_twofactor": on } });
    let refused = browser.ask("PATCH", &account, enforce(true)).await;
    assert!(refused.status == 400 && refused.body.to_string().contains("set one up first"), "{}", refused.body);
    let (secret, _) = enrol(&browser).await;
    assert_eq!(browser.ask("PATCH", &account, enforce(true)).await.result()["settings"]["enforce_twofactor"], true);
    assert_eq!(browser.ask("PATCH", &account, json!({ "name": "mine" })).await.result()["settings"]["enforce_twofactor"], true);
    assert_eq!(browser.get("/zones").await.status, 200);
    assert_eq!(node.browser().send("GET", "/zones", &by_token, Value::Null).await.status, 200);
    node.pass(30);
    let new = node.browser();
    let asked = ticket(&new, json!(["totp", "recovery_code"])).await;
    assert_eq!(go_on(&new, &asked, &code(&node, &secret)).await, 200);
    // Without one they may say who they are, and enrol.
    browser.ask("DELETE", "/user/poterne/totp", Value::Null).await.result();
    for path in [format!("{account}/members"), format!("{account}/rules/lists"), format!("{account}/tokens")] {
        for told in [browser.get(&path).await, node.browser().send("GET", &path, &by_token, Value::Null).await] {
            assert_eq!((told.status, told.codes()), (403, vec![10_000_412]), "{path}");
        }
    }
    let told = browser.ask("POST", "/zones", json!({ "name": "example.com", "account": { "id": node.account() } })).await;
    assert_eq!(told.codes(), [10_000_412]);
    assert_eq!(browser.get("/zones").await.result(), &json!([]));
    assert_eq!(browser.get(&account).await.result()["settings"]["enforce_twofactor"], true, "they may know why");
    assert_eq!(browser.ask("PATCH", &account, enforce(false)).await.codes(), [10_000_412]);
    enrol(&browser).await;
    assert_eq!(browser.get(&format!("{account}/members")).await.status, 200);
    assert_eq!(browser.ask("PATCH", &account, enforce(false)).await.result()["settings"]["enforce_twofactor"], false);
    let logs = browser.get(&format!("{account}/audit_logs")).await;
    assert_eq!(logs.result()[0]["newValueJson"]["enforce_twofactor"], false);
}
