//! What people are told by mail of what they sign in with.

use poterne_control_app::{
    Caller,
    notice::{Notice, SignInChange},
    outbox::{Attempt, Channel, Recipient},
};
use serde_json::{Value, json};

use super::{
    authenticator::Authenticator,
    browser::{ADMIN, Node, ORIGIN, PASSWORD},
    second_factors,
};

/// The mails that wait, which are all to the administrator: sent.
async fn told(node: &Node) -> Vec<Notice> {
    let mut told = Vec::new();
    for dispatch in node.app.outbox_take(Channel::Mail, 50).await.unwrap() {
        assert!(matches!(&dispatch.to, Recipient::Mail(address) if address == ADMIN), "{:?}", dispatch.to);
        node.app.outbox_settle(&dispatch, &Attempt::Taken).await.unwrap();
        told.push(dispatch.notice);
    }
    told
}

/// What changed, and from which address.
async fn changed(node: &Node) -> Vec<(SignInChange, Option<String>)> {
    let of = |notice| match notice {
        Notice::SignInChanged { change, ip, .. } => (change, ip),
        other => panic!("{other:?}"),
    };
    told(node).await.into_iter().map(of).collect()
}

#[tokio::test]
async fn a_sign_in_from_a_new_place_is_told_once() {
    let node = Node::mailing().await;
    assert_eq!(changed(&node).await, [(SignInChange::Password, None)], "the operator set one");
    node.signed_in().await;
    let at = node.app.instant();
    let new = |ip: &str| Notice::NewSignIn { at, ip: ip.into(), program: Some("Firefox/150".into()) };
    assert_eq!(told(&node).await, [new("203.0.113.9")]);
    node.signed_in().await;
    assert!(told(&node).await.is_empty());
    let elsewhere = node.browser();
    elsewhere.ip.set([198, 51, 100, 7].into());
    assert_eq!(elsewhere.sign_in(ADMIN, "wrong words").await.status, 401);
    elsewhere.sign_in(ADMIN, PASSWORD).await.result();
    assert_eq!(told(&node).await, [new("198.51.100.7")]);
    node.pass(91 * 24 * 3600);
    elsewhere.sign_in(ADMIN, PASSWORD).await.result();
    assert!(matches!(&told(&node).await[..], [Notice::NewSignIn { ip, .. }] if ip == "198.51.100.7"), "after so long it is new");
}

#[tokio::test]
async fn whatever_changes_how_somebody_signs_in_is_told_them() {
    let node = Node::mailing().await;
    let browser = node.signed_in().await;
    told(&node).await;
    let by_them = |change| vec![(change, Some("203.0.113.9".to_owned()))];

    let words = json!({ "password": "some other words" });
    browser.ask("PUT", "/user/poterne/password", words).await.result();
    assert_eq!(changed(&node).await, by_them(SignInChange::Password));
    second_factors::enrol(&browser).await;
    assert_eq!(changed(&node).await, by_them(SignInChange::SecondFactorAdded));
    browser.ask("POST", "/user/poterne/recovery_codes", Value::Null).await.result();
    assert_eq!(changed(&node).await, by_them(SignInChange::RecoveryCodes));
    browser.ask("DELETE", "/user/poterne/totp", Value::Null).await.result();
    assert_eq!(changed(&node).await, by_them(SignInChange::SecondFactorRemoved));

    let asked = browser.ask("POST", "/user/poterne/passkeys/challenge", Value::Null).await.result().clone();
    let credential = Authenticator::new(ORIGIN).create(&asked["options"]);
    let body = json!({ "ceremony": asked["ceremony"], "name": "key", "credential": credential });
    let made = browser.ask("POST", "/user/poterne/passkeys", body).await;
    assert_eq!(changed(&node).await, by_them(SignInChange::PasskeyAdded));
    let path = format!("/user/poterne/passkeys/{}", made.result()["passkey"]["id"].as_str().unwrap());
    browser.ask("DELETE", &path, Value::Null).await.result();
    assert_eq!(changed(&node).await, by_them(SignInChange::PasskeyRemoved));

    let (token, _) = node.app.user_link(&Caller::Operator, ADMIN).await.unwrap();
    assert!(told(&node).await.is_empty(), "a link changes nothing yet");
    let words = json!({ "token": token, "password": "yet other words" });
    browser.ask("POST", "/poterne/password_reset", words).await.result();
    assert_eq!(changed(&node).await, by_them(SignInChange::Password));
    node.app.user_password_set(&Caller::Operator, ADMIN, None, true).await.unwrap();
    assert_eq!(changed(&node).await, [(SignInChange::Password, None)], "there was no factor to forget");
}
