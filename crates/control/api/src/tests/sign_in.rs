//! Passwords, sessions, throttling, links.

use poterne_control_app::{Caller, notice::Notice, outbox::Channel};
use poterne_control_store::{Membership, MembershipStatus, OneTimeLink, Person};
use poterne_keys::sha256;
use poterne_model::{At, MembershipId, UserId, permission::group};
use serde_json::{Value, json};

use super::browser::{ADMIN, Browser, NAME, Node, PASSWORD};

#[tokio::test]
async fn whoever_signs_in_may_what_they_may_until_they_sign_out() {
    let node = Node::begin().await;
    let browser = node.browser();
    assert_eq!(browser.get("/user").await.codes(), [9106]);
    let told = browser.sign_in(" Admin@Node.Example.NET ", PASSWORD).await;
    assert_eq!((&told.result()["state"], &told.result()["user"]["email"]), (&json!("signed_in"), &json!(ADMIN)));
    assert_eq!(told.result()["session"]["factors"], json!(["password"]));
    let cookie = told.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-poterne_session=pos_"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=604800"), "{cookie}");
    assert_eq!(browser.get("/user").await.result()["two_factor_authentication_enabled"], false);
    let zone = browser.ask("POST", "/zones", json!({ "name": "example.com" })).await;
    assert_eq!(zone.result()["name"], "example.com");
    let logs = browser.get(&format!("/accounts/{}/audit_logs", node.account())).await;
    assert_eq!((&logs.result()[0]["interface"], &logs.result()[0]["actor"]["email"]), (&json!("UI"), &json!(ADMIN)));

    let other = node.signed_in().await;
    let list = other.get("/user/poterne/sessions").await;
    let list = list.result().as_array().unwrap();
    assert_eq!((list.len(), &list[0]["device"], &list[0]["ip"]), (2, &json!("Firefox/150"), &json!("203.0.113.9")));
    let is_current: Vec<_> = list.iter().filter(|one| one["current"] == true).collect();
    assert_eq!(is_current.len(), 1);
    let first = list.iter().find(|one| one["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(other.ask("DELETE", &format!("/user/poterne/sessions/{first}"), Value::Null).await.result()["id"], json!(first));
    let gone = other.ask("DELETE", &format!("/user/poterne/sessions/{first}"), Value::Null).await;
    assert_eq!(gone.status, 404);
    assert_eq!((browser.get("/user").await.status, browser.get("/user").await.codes()), (401, vec![10_000_401]));

    let kept = other.cookie.borrow().clone();
    let told = other.ask("POST", "/user/poterne/sign_out", Value::Null).await;
    assert!(told.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    *other.cookie.borrow_mut() = kept;
    assert_eq!(other.get("/user").await.status, 401, "what was shown is worth nothing");
    let bearer = other.cookie.borrow().clone().unwrap().split_once('=').unwrap().1.to_owned();
    let told = other.send("GET", "/user", &[("authorization", &format!("Bearer {bearer}"))], Value::Null).await;
    assert_eq!(told.codes(), [9109], "nor is it a token");
}

#[tokio::test]
async fn nothing_tells_whether_an_address_is_known() {
    let node = Node::begin().await;
    let (browser, signed_in) = (node.browser(), node.signed_in().await);
    node.pass(1);
    let wrong = browser.sign_in(ADMIN, "something else").await;
    let unknown = browser.sign_in("nobody@example.com", PASSWORD).await;
    assert_eq!((wrong.status, wrong.codes()), (401, vec![10_000_401]));
    assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body));
    assert!(browser.cookie.borrow().is_none());
    // The one who is known reads of it in their trace; it is written after the answer.
    let mut trace = Vec::new();
    for _ in 0..10_000 {
        trace = signed_in.trace().await;
        if trace.len() > 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(trace, [("login_failed".into(), false), ("login".into(), true)]);
    let events = signed_in.get("/user/audit_logs").await;
    assert_eq!(events.result()[0]["actor"]["ip"], "203.0.113.9");
    assert!(!events.body.to_string().contains("something else"));

    let path = "/poterne/password_link";
    let one = browser.ask("POST", path, json!({ "email": ADMIN })).await;
    let other = browser.ask("POST", path, json!({ "email": "nobody@example.com" })).await;
    assert_eq!((one.status, one.body), (other.status, other.body));
    // An account without a password answers as one that is none.
    let person = node.store.read().await.unwrap().person_of_email(ADMIN).await.unwrap().unwrap();
    let mut session = node.store.write().await.unwrap();
    session.update_person(&Person { password: None, ..person }).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(browser.sign_in(ADMIN, PASSWORD).await.body, unknown.body);
}

#[tokio::test]
async fn whoever_guesses_waits_and_whoever_knows_does_not() {
    let node = Node::begin().await;
    let guesser = node.browser();
    for _ in 0..5 {
        assert_eq!(guesser.sign_in(ADMIN, "wrong word").await.status, 401);
    }
    let told = guesser.sign_in(ADMIN, PASSWORD).await;
    assert_eq!((told.status, told.codes()), (429, vec![971]));
    assert_eq!(told.headers["retry-after"], "1");
    let elsewhere = node.browser();
    elsewhere.ip.set([198, 51, 100, 7].into());
    assert_eq!(elsewhere.sign_in(ADMIN, PASSWORD).await.status, 200);
    node.pass(1);
    assert_eq!(guesser.sign_in(ADMIN, PASSWORD).await.status, 200);
    assert_eq!(guesser.sign_in(ADMIN, "wrong word").await.status, 401, "its tries are its own again");
}

#[tokio::test]
async fn a_page_of_another_site_can_do_nothing() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let zone = json!({ "name": "example.com" });
    let json_type = ("content-type", "application/json");
    for fields in [
        &[("origin", "https://evil.example"), json_type][..],
        &[("origin", "null"), json_type],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://node.example.net"), json_type],
        &[json_type],
        &[("origin", "https://node.example.net"), ("content-type", "text/plain")],
    ] {
        let told = browser.send("POST", "/zones", fields, zone.clone()).await;
        assert_eq!((told.status, told.codes()), (403, vec![10_000_403]), "{fields:?}");
    }
    let told = browser.send("DELETE", "/user/poterne/sessions", &[("origin", "https://evil.example")], Value::Null).await;
    assert_eq!(told.codes(), [10_000_403]);
    assert_eq!(browser.ask("POST", "/zones", zone).await.status, 200);
    let body = json!({ "email": ADMIN, "password": PASSWORD });
    let told = node.browser().send("POST", "/poterne/sign_in", &[("origin", "https://evil.example"), json_type], body).await;
    assert_eq!(told.codes(), [10_000_403], "nor sign a browser in");
}

#[tokio::test]
async fn nothing_secret_is_taken_in_clear_but_on_this_machine() {
    let node = Node::begin().await;
    let clear = Browser { over_tls: false, origin: "http://node.example.net", ..node.browser() };
    let told = clear.sign_in(ADMIN, PASSWORD).await;
    assert_eq!((told.status, told.codes()), (403, vec![10_000_426]));
    let here = Browser { over_tls: false, origin: "http://localhost:8600", ..node.browser() };
    let told = here.sign_in(ADMIN, PASSWORD).await;
    assert!(told.headers["set-cookie"].to_str().unwrap().starts_with("poterne_session=pos_"));
    assert_eq!(here.get("/user").await.status, 200);
    let planted = Browser { cookie: here.cookie.borrow().clone().into(), ..node.browser() };
    assert_eq!(planted.get("/user").await.codes(), [9106], "without the prefix it is not looked at over TLS");
    let behind_a_proxy = Browser { over_tls: false, cookie: here.cookie.borrow().clone().into(), ..node.browser() };
    assert_eq!(behind_a_proxy.get("/user").await.codes(), [9106], "nor where a proxy ended it");
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_in_any_case() {
    let node = Node::begin().await;
    let (idle, used) = (node.signed_in().await, node.signed_in().await);
    let hour = 3600;
    for hours in 1..7 * 24 {
        node.pass(hour);
        assert_eq!(used.get("/user").await.status, 200, "{hours}");
        // What is noted is noted after the answer.
        for _ in 0..10_000 {
            let listed = used.get("/user/poterne/sessions").await;
            let seen = listed.result()[0]["last_seen_on"].as_str().unwrap().to_owned();
            let now = poterne_control_wire::WireTime(node.app.instant()).to_string();
            if seen == now {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(idle_status(&idle, hours).await, if hours < 12 { None } else { Some(401) }, "{hours}");
    }
    node.pass(hour);
    assert_eq!(used.get("/user").await.status, 401, "after seven days");
}

/// Looking at it would be using it: it is looked at once it should be over.
async fn idle_status(idle: &Browser<'_>, hours: u64) -> Option<u16> {
    if hours < 12 { None } else { Some(idle.get("/user").await.status) }
}

#[tokio::test]
async fn what_opens_the_door_is_changed_only_by_whoever_has_just_shown_who_they_are() {
    let node = Node::begin().await;
    let (browser, other) = (node.signed_in().await, node.signed_in().await);
    node.pass(601);
    let new = json!({ "password": "some other words" });
    let groups = json!([{ "id": group::by_name("Zone Read").unwrap().id() }]);
    let policy =
        json!({ "effect": "allow", "resources": { "com.cloudflare.api.account.zone.*": "*" }, "permission_groups": groups });
    let token = json!({ "name": "ci", "policies": [policy] });
    for (method, path, body) in [
        ("PUT", "/user/poterne/password", &new),
        ("POST", "/user/poterne/totp", &Value::Null),
        ("POST", "/user/poterne/passkeys/challenge", &Value::Null),
        ("POST", "/user/poterne/global_key", &Value::Null),
        ("POST", "/user/tokens", &token),
    ] {
        let told = browser.ask(method, path, body.clone()).await;
        assert_eq!((told.status, told.codes()), (403, vec![10_000_411]), "{path} {}", told.body);
    }
    let confirm = |password: &str| json!({ "password": password });
    assert_eq!(browser.ask("POST", "/user/poterne/confirmation", confirm("no")).await.status, 401);
    assert_eq!(browser.ask("POST", "/user/poterne/confirmation", json!({})).await.status, 400);
    browser.ask("POST", "/user/poterne/confirmation", confirm(PASSWORD)).await.result();
    let made = browser.ask("POST", "/user/tokens", token).await;
    assert!(made.status == 200, "{}", made.body);
    let secret = made.result()["value"].as_str().unwrap().to_owned();
    let key = browser.ask("POST", "/user/poterne/global_key", Value::Null).await.result()["key"].as_str().unwrap().to_owned();
    assert!(key.len() == 37 && key.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let by_key = [("x-auth-email", ADMIN), ("x-auth-key", key.as_str())];
    assert_eq!(node.browser().send("GET", "/user", &by_key, Value::Null).await.status, 200);
    let json_type = ("content-type", "application/json");
    let by_key = [by_key[0], by_key[1], json_type, ("origin", "https://node.example.net")];
    let told = node.browser().send("PUT", "/user/poterne/password", &by_key, new.clone()).await;
    assert_eq!((told.status, told.codes()), (403, vec![10_000_410]), "a key is nobody who sits there");
    let bearer = format!("Bearer {secret}");
    let by_token = [("authorization", bearer.as_str()), json_type];
    let told = node.browser().send("PUT", "/user/poterne/password", &by_token, new.clone()).await;
    assert_eq!(told.codes(), [10_000_410]);
    browser.ask("DELETE", "/user/poterne/global_key", Value::Null).await.result();
    assert_eq!(node.browser().send("GET", "/user", &by_key, Value::Null).await.codes(), [9103]);

    for (wrong, why) in [("short", "bytes"), ("password", "tried first"), (ADMIN, "tried first")] {
        let told = browser.ask("PUT", "/user/poterne/password", confirm(wrong)).await;
        assert_eq!(told.status, 400);
        let message = told.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
    browser.ask("PUT", "/user/poterne/password", new).await.result();
    assert_eq!((browser.get("/user").await.status, other.get("/user").await.status), (200, 401));
    assert_eq!(node.browser().sign_in(ADMIN, PASSWORD).await.status, 401);
    assert_eq!(node.browser().sign_in(ADMIN, "some other words").await.status, 200);
    let done: Vec<_> = browser.trace().await.into_iter().map(|(word, _)| word).collect();
    for word in ["password_change", "global_key_roll", "global_key_delete", "confirm"] {
        assert!(done.iter().any(|done| done == word), "{word} in {done:?}");
    }
}

#[tokio::test]
async fn hashes_of_former_times_are_made_anew_when_their_password_is_shown() {
    let node = Node::begin().await;
    // argon2id with 8 KiB and one pass, of the words "a few good words".
    let old = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$OLD";
    let old = old.replace("OLD", &old_hash());
    let person = node.store.read().await.unwrap().person_of_email(ADMIN).await.unwrap().unwrap();
    let mut session = node.store.write().await.unwrap();
    session.update_person(&Person { password: Some(old), ..person }).await.unwrap();
    session.commit().await.unwrap();
    node.signed_in().await;
    let kept = node.store.read().await.unwrap().person_of_email(ADMIN).await.unwrap().unwrap().password.unwrap();
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    node.signed_in().await;
}

fn old_hash() -> String {
    use argon2::{Algorithm, Argon2, Params, Version};
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    let mut out = [0; 32];
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    hasher.hash_password_into(PASSWORD.as_bytes(), b"somesaltsomesalt", &mut out).unwrap();
    STANDARD_NO_PAD.encode(out)
}

#[tokio::test]
async fn a_link_sets_a_password_once_and_ends_what_was_open() {
    let node = Node::begin().await;
    let (signed_in, stranger) = (node.signed_in().await, node.browser());
    let (first, _) = node.app.user_link(&Caller::Operator, ADMIN).await.unwrap();
    let (token, until) = node.app.user_link(&Caller::Operator, ADMIN).await.unwrap();
    assert_eq!(until.as_secs().unsigned_abs(), node.now_secs() + 24 * 3600);
    let reset = async |token: &str, password: &str| {
        stranger.ask("POST", "/poterne/password_reset", json!({ "token": token, "password": password })).await
    };
    assert_eq!((reset(&first, "some other words").await.status, reset("pol_no", "some other words").await.status), (401, 401));
    assert_eq!(reset(&token, "short").await.status, 400, "the link is not spent on that");
    reset(&token, "some other words").await.result();
    assert_eq!(reset(&token, "yet other words").await.codes(), [10_000_401]);
    assert_eq!(signed_in.get("/user").await.status, 401);
    assert!(stranger.cookie.borrow().is_none(), "a link signs nobody in");
    assert_eq!(stranger.sign_in(ADMIN, "some other words").await.status, 200);
    let (token, _) = node.app.user_link(&Caller::Operator, ADMIN).await.unwrap();
    node.pass(24 * 3600);
    assert_eq!(reset(&token, "yet other words").await.status, 401, "a day is over");
    assert!(node.app.user_link(&Caller::Operator, "nobody@example.com").await.unwrap_err().to_string().contains("nobody here"));
    let link = node.app.link(poterne_control_app::LinkTo::Password, "pol_x");
    assert_eq!(link.expose(), format!("https://{NAME}/password#pol_x"));
}

#[tokio::test]
async fn an_invitation_is_accepted_by_its_link() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let members = format!("/accounts/{}/members", node.account());
    let alerting = format!("/accounts/{}/alerting/v3", node.account());
    let hook = json!({ "name": "ops", "url": "https://hooks.example.com/x" });
    let hook = browser.ask("POST", &format!("{alerting}/destinations/webhooks"), hook).await.result()["id"].clone();
    let policy = json!({ "name": "members", "alert_type": "poterne_member_event", "enabled": true, "filters": {},
        "mechanisms": { "webhooks": [{ "id": hook }] } });
    browser.ask("POST", &format!("{alerting}/policies"), policy).await.result();
    let invited = browser.ask("POST", &members, json!({ "email": "ada@example.com", "roles": ["DNS"] })).await;
    let person = invited.result()["user"]["id"].as_str().unwrap().parse().unwrap();
    let membership = invited.result()["id"].as_str().unwrap().parse().unwrap();
    // What is kept is a digest: the test makes a link whose secret it knows.
    let now = node.app.instant().as_micros();
    let link = OneTimeLink {
        digest: sha256(b"pol_ada"),
        person,
        membership: Some(membership),
        created_at: now,
        expires_at: now + 1_000_000_000,
    };
    let mut session = node.store.write().await.unwrap();
    session.put_one_time_link(&link).await.unwrap();
    session.commit().await.unwrap();
    let ada = node.browser();
    let token = json!({ "token": "pol_ada" });
    let shown = ada.ask("POST", "/poterne/invitation", token.clone()).await;
    let expected = json!({ "email": "ada@example.com", "account": "default", "roles": ["DNS"], "needs_password": true });
    assert_eq!(shown.result(), &expected);
    let accept = "/poterne/invitation/acceptance";
    assert_eq!(ada.ask("POST", accept, token).await.status, 400, "a password is missing");
    let misused = json!({ "token": "pol_ada", "password": "words of hers" });
    assert_eq!(ada.ask("POST", "/poterne/password_reset", misused.clone()).await.status, 401, "it is no such link");
    assert!(node.app.outbox_take(Channel::Webhook, 9).await.unwrap().is_empty(), "nobody came to belong to the account yet");
    ada.ask("POST", accept, misused.clone()).await.result();
    assert_eq!(ada.ask("POST", accept, misused).await.status, 401);
    let told = node.app.outbox_take(Channel::Webhook, 9).await.unwrap();
    let [dispatch] = &told[..] else { panic!("as if she had answered through the API: {told:?}") };
    assert!(matches!(&dispatch.notice, Notice::MemberAdded { email, .. } if email == "ada@example.com"), "{dispatch:?}");
    assert_eq!(ada.sign_in("ada@example.com", "words of hers").await.status, 200);
    assert_eq!(ada.get("/memberships").await.result()[0]["status"], "accepted");
    assert_eq!(ada.get("/zones").await.status, 200);
    assert_eq!(ada.ask("POST", "/zones", json!({ "name": "example.com" })).await.status, 403, "she has her role and no more");
}

#[tokio::test]
async fn who_is_among_the_members_can_be_invited_again_when_there_is_room_for_nobody_else() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let members = format!("/accounts/{}/members", node.account());
    let invitation = |email: &str| json!({ "email": email, "roles": ["DNS"] });
    let by_operator = async |email: &str| {
        let body = invitation(email);
        node.app.member_invite(&Caller::Operator, node.app.account(), &At::body(&body)).await.map(drop)
    };
    by_operator("ada@example.com").await.unwrap();
    let declined = browser.ask("POST", &members, invitation("bob@example.com")).await;
    let mut session = node.store.write().await.unwrap();
    let declined = declined.result()["id"].as_str().unwrap().parse().unwrap();
    let (declined, _) = session.member(node.app.account(), declined).await.unwrap().unwrap();
    session.update_membership(&Membership { status: MembershipStatus::Rejected, ..declined.clone() }).await.unwrap();
    for number in 3..1000_u16 {
        let bytes = u128::from(number).to_be_bytes();
        let person = Person {
            id: UserId::from_bytes(bytes),
            email: format!("{number}@example.com"),
            first_name: None,
            last_name: None,
            password: None,
            suspended: false,
            second_factor: false,
            created_at: 0,
            modified_at: 0,
        };
        session.insert_person(&person).await.unwrap();
        let id = MembershipId::from_bytes(bytes);
        session.insert_membership(&Membership { id, person: person.id, ..declined.clone() }).await.unwrap();
    }
    session.commit().await.unwrap();
    let told = browser.ask("POST", &members, invitation("eve@example.com")).await;
    assert!(told.status == 400 && told.body.to_string().contains("1000 already"), "{}", told.body);
    browser.ask("POST", &members, invitation("bob@example.com")).await.result();
    by_operator("ada@example.com").await.unwrap();
}

#[tokio::test]
async fn the_operator_lets_whoever_is_shut_out_back_in() {
    let node = Node::begin().await;
    let browser = node.signed_in().await;
    let (person, made) = node.app.user_password_set(&Caller::Operator, ADMIN, None, true).await.unwrap();
    let made = made.unwrap();
    assert!(!person.second_factor && made.len() == 20);
    assert_eq!(browser.get("/user").await.status, 401);
    assert_eq!(node.browser().sign_in(ADMIN, PASSWORD).await.status, 401);
    assert_eq!(node.browser().sign_in(ADMIN, &made).await.status, 200);
    let users = node.app.user_list(&Caller::Operator).await.unwrap();
    assert_eq!(users.iter().map(|user| user.email.as_str()).collect::<Vec<_>>(), [ADMIN]);
    for refused in ["nobody@example.com", ""] {
        assert!(node.app.user_password_set(&Caller::Operator, refused, None, false).await.is_err());
    }
    assert!(node.app.user_list(&Caller::Anybody).await.is_err());
}

#[tokio::test]
async fn wrong_bodies_are_named_and_never_repeated() {
    let node = Node::begin().await;
    let browser = node.browser();
    for (body, pointer) in [
        (json!({ "password": PASSWORD }), "/email"),
        (json!({ "email": ADMIN }), "/password"),
        (json!({ "email": ADMIN, "password": 12_345_678 }), "/password"),
        (json!({ "email": ADMIN, "password": "x".repeat(1025) }), "/password"),
        (json!({ "email": "x".repeat(255), "password": PASSWORD }), "/email"),
    ] {
        let told = browser.ask("POST", "/poterne/sign_in", body).await;
        assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!(pointer)));
        assert!(!told.body.to_string().contains("12345678"));
    }
    let long = json!({ "email": ADMIN, "password": PASSWORD, "more": "x".repeat(70_000) });
    assert_eq!(browser.ask("POST", "/poterne/sign_in", long).await.status, 413);
}
