//! Passkeys, with an authenticator in software.

use poterne_control_store::Passkey;
use poterne_model::PasskeyId;
use serde_json::{Value, json};

use super::{
    authenticator::{Authenticator, USER_VERIFIED},
    browser::{ADMIN, Browser, NAME, Node, ORIGIN, PASSWORD},
};

/// Makes a passkey, and what was told of it.
async fn enrol(browser: &Browser<'_>, name: &str) -> (Authenticator, Value) {
    let mut authenticator = Authenticator::new(browser.origin);
    let told = browser.ask("POST", "/user/poterne/passkeys/challenge", Value::Null).await;
    let asked = told.result();
    assert_eq!((&asked["options"]["rp"]["id"], &asked["options"]["user"]["name"]), (&json!(NAME), &json!(ADMIN)));
    let selection = &asked["options"]["authenticatorSelection"];
    assert_eq!((&selection["userVerification"], &selection["residentKey"]), (&json!("required"), &json!("preferred")));
    let credential = authenticator.create(&asked["options"]);
    let body = json!({ "ceremony": asked["ceremony"], "name": name, "credential": credential });
    let told = browser.ask("POST", "/user/poterne/passkeys", body.clone()).await;
    assert_eq!(browser.ask("POST", "/user/poterne/passkeys", body).await.status, 401, "a challenge is answered once");
    (authenticator, told.result().clone())
}

async fn challenge(browser: &Browser<'_>, body: Value) -> Value {
    browser.ask("POST", "/poterne/sign_in/passkey/challenge", body).await.result().clone()
}

async fn answer(browser: &Browser<'_>, asked: &Value, credential: Value) -> u16 {
    let body = json!({ "ceremony": asked["ceremony"], "credential": credential });
    browser.ask("POST", "/poterne/sign_in/passkey", body).await.status
}

#[tokio::test]
async fn a_passkey_signs_in_alone() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (mut authenticator, made) = enrol(&browser, "blue key").await;
    assert_eq!((&made["passkey"]["name"], &made["passkey"]["site"]), (&json!("blue key"), &json!(NAME)));
    assert_eq!(made["recovery_codes"].as_array().unwrap().len(), 10, "it is the first second factor");
    assert_eq!(browser.get("/user").await.result()["two_factor_authentication_enabled"], true);

    let new = node.browser();
    let asked = challenge(&new, json!({})).await;
    assert_eq!((&asked["options"]["rpId"], &asked["options"]["allowCredentials"]), (&json!(NAME), &json!([])));
    let answered = authenticator.get(&asked["options"]);
    assert_eq!(answer(&new, &asked, answered.clone()).await, 200);
    let sessions = new.get("/user/poterne/sessions").await;
    let own = sessions.result().as_array().unwrap().iter().find(|one| one["current"] == true).unwrap().clone();
    assert_eq!(own["factors"], json!(["passkey"]));
    assert_eq!(answer(&node.browser(), &asked, answered.clone()).await, 401, "nor is an answer taken twice");
    let other = challenge(&node.browser(), json!({})).await;
    assert_eq!(answer(&node.browser(), &other, answered).await, 401, "nor for another challenge");
    let list = new.get("/user/poterne/passkeys").await;
    assert!(list.result()[0]["last_used_on"].is_string());

    let path = format!("/user/poterne/passkeys/{}", made["passkey"]["id"].as_str().unwrap());
    assert_eq!(new.ask("PATCH", &path, json!({ "name": "red key" })).await.result()["name"], "red key");
    assert_eq!(new.ask("PATCH", &path, json!({ "name": "\u{7}" })).await.status, 400);
    new.ask("DELETE", &path, Value::Null).await.result();
    assert_eq!(new.ask("DELETE", &path, Value::Null).await.status, 404);
    let asked = challenge(&node.browser(), json!({})).await;
    assert_eq!(answer(&node.browser(), &asked, authenticator.get(&asked["options"])).await, 401);
    assert_eq!(new.get("/user/poterne/second_factors").await.result()["recovery_codes_left"], 0);
}

#[tokio::test]
async fn a_passkey_stands_beside_a_password() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (mut authenticator, _) = enrol(&browser, "key").await;
    let new = node.browser();
    let half = new.sign_in(ADMIN, PASSWORD).await;
    assert_eq!(half.result()["methods"], json!(["passkey", "recovery_code"]));
    let ticket = half.result()["ticket"].clone();
    let asked = challenge(&new, json!({ "ticket": ticket })).await;
    assert_eq!(asked["options"]["allowCredentials"].as_array().unwrap().len(), 1);
    let mut foreign = Authenticator::new(ORIGIN);
    assert_eq!(answer(&new, &asked, foreign.get(&asked["options"])).await, 401);
    let asked = challenge(&new, json!({ "ticket": ticket })).await;
    assert_eq!(answer(&new, &asked, authenticator.get(&asked["options"])).await, 200);
    let told = new.ask("POST", "/poterne/sign_in/passkey/challenge", json!({ "ticket": ticket })).await;
    assert_eq!(told.status, 401, "the ticket is used");
}

#[tokio::test]
async fn an_answer_that_is_not_right_is_refused() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (mut authenticator, _) = enrol(&browser, "key").await;
    let new = node.browser();
    let try_with = async |change: &dyn Fn(&mut Authenticator), after: &dyn Fn(&mut Value), authenticator: &mut Authenticator| {
        new.ip.set([198, 51, 100, 20].into());
        let asked = challenge(&new, json!({})).await;
        change(authenticator);
        let mut credential = authenticator.get(&asked["options"]);
        after(&mut credential);
        answer(&new, &asked, credential).await
    };
    let same: &dyn Fn(&mut Authenticator) = &|_| {};
    let as_it_is: &dyn Fn(&mut Value) = &|_| {};
    assert_eq!(try_with(same, as_it_is, &mut authenticator).await, 200);
    assert_eq!(try_with(&|one| one.origin = "https://evil.example".into(), as_it_is, &mut authenticator).await, 401, "phished");
    authenticator.origin = ORIGIN.into();
    assert_eq!(try_with(&|one| one.flags &= !USER_VERIFIED, as_it_is, &mut authenticator).await, 401, "nobody looked who it is");
    authenticator.flags |= USER_VERIFIED;
    assert_eq!(try_with(&|one| one.counter = 0, as_it_is, &mut authenticator).await, 401, "a copy");
    authenticator.counter = 50;
    let other_user: &dyn Fn(&mut Value) = &|credential| credential["response"]["userHandle"] = json!("AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(try_with(same, other_user, &mut authenticator).await, 401);
    let nobody: &dyn Fn(&mut Value) = &|credential| {
        credential["response"].as_object_mut().unwrap().remove("userHandle");
    };
    assert_eq!(try_with(same, nobody, &mut authenticator).await, 401);
    let bent: &dyn Fn(&mut Value) = &|credential| credential["response"]["signature"] = json!("MEQCIAAA");
    assert_eq!(try_with(same, bent, &mut authenticator).await, 401);
    let garbage: &dyn Fn(&mut Value) = &|credential| *credential = json!({ "id": 7 });
    assert_eq!(try_with(same, garbage, &mut authenticator).await, 400);
    assert_eq!(try_with(same, as_it_is, &mut authenticator).await, 200, "and the right one still is");
}

#[tokio::test]
async fn challenges_are_for_pages_of_ours_and_for_a_while() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (mut authenticator, _) = enrol(&browser, "key").await;
    let json_type = ("content-type", "application/json");
    let path = "/poterne/sign_in/passkey/challenge";
    let told = node.browser().send("POST", path, &[json_type], json!({})).await;
    assert!(told.status == 400 && told.body.to_string().contains("without Origin"), "{}", told.body);
    let asked = challenge(&node.browser(), json!({})).await;
    node.pass(301);
    assert_eq!(answer(&node.browser(), &asked, authenticator.get(&asked["options"])).await, 401);
    // Another's ceremony is no way to show who one is.
    let asked = challenge(&browser, json!({})).await;
    let body = json!({ "ceremony": asked["ceremony"], "credential": authenticator.get(&asked["options"]) });
    assert_eq!(browser.ask("POST", "/user/poterne/confirmation", body).await.status, 401);
    node.pass(600);
    assert_eq!(browser.ask("POST", "/user/poterne/passkeys/challenge", Value::Null).await.codes(), [10_000_411]);
    let asked = browser.ask("POST", "/user/poterne/confirmation/challenge", Value::Null).await.result().clone();
    let body = json!({ "ceremony": asked["ceremony"], "credential": authenticator.get(&asked["options"]) });
    assert!(browser.ask("POST", "/user/poterne/confirmation", body).await.result()["until"].is_string());
    let again = browser.ask("POST", "/user/poterne/passkeys/challenge", Value::Null).await;
    assert_eq!(again.result()["options"]["excludeCredentials"].as_array().unwrap().len(), 1, "the same one is not made twice");
}

#[tokio::test]
async fn challenges_without_a_ticket_are_counted_until_one_is_answered() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (mut authenticator, _) = enrol(&browser, "key").await;
    let new = node.browser();
    new.ip.set([198, 51, 100, 20].into());
    for _ in 0..35 {
        let asked = challenge(&new, json!({})).await;
        assert_eq!(answer(&new, &asked, authenticator.get(&asked["options"])).await, 200);
    }
    for _ in 0..30 {
        challenge(&new, json!({})).await;
    }
    let told = new.ask("POST", "/poterne/sign_in/passkey/challenge", json!({})).await;
    assert_eq!((told.status, told.codes(), &told.headers["retry-after"]), (429, vec![971], &"20".parse().unwrap()));
    challenge(&node.browser(), json!({})).await;
}

#[tokio::test]
async fn nobody_has_more_passkeys_than_there_is_room_for() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let begun = browser.ask("POST", "/user/poterne/passkeys/challenge", Value::Null).await.result().clone();
    let mut session = node.store.write().await.unwrap();
    let person = session.person_of_email(ADMIN).await.unwrap().unwrap().id;
    for number in 0..20 {
        let passkey = Passkey {
            id: PasskeyId::from_bytes([number; 16]),
            person,
            credential_id: vec![number],
            site: NAME.into(),
            name: number.to_string(),
            credential: "{}".into(),
            created_at: 0,
            last_used_at: None,
        };
        session.insert_passkey(&passkey).await.unwrap();
    }
    session.commit().await.unwrap();
    let credential = Authenticator::new(ORIGIN).create(&begun["options"]);
    let body = json!({ "ceremony": begun["ceremony"], "name": "one more", "credential": credential });
    let told = browser.ask("POST", "/user/poterne/passkeys", body).await;
    assert!(told.status == 400 && told.body.to_string().contains("20 already"), "{}", told.body);
    assert_eq!(browser.ask("POST", "/user/poterne/passkeys/challenge", Value::Null).await.status, 400);
}
