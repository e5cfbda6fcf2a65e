//! Members, roles, memberships.

use poterne_control_app::{Caller, TokenOwner, TokenText};
use poterne_model::{
    At, PolicyId, UserId,
    permission::{Policy, Terms, group},
};
use serde_json::{Value, json};

use super::{Client, client};

/// The node, met by another person who may do with their account and themself whatever their roles give.
async fn person(client: &Client, id: &str) -> Client {
    let id: UserId = id.parse().unwrap();
    let policy = |resource: String, name: &str| {
        let groups = json!([{ "id": group::by_name(name).unwrap().id() }]);
        let body = json!({ "effect": "allow", "resources": { resource: "*" }, "permission_groups": groups });
        Policy::read(&At::body(&body), PolicyId::from_bytes([0; 16])).unwrap()
    };
    let policies = vec![
        policy(format!("com.cloudflare.api.user.{id}"), "User Details Write"),
        policy("com.cloudflare.api.account.*".into(), "Account Settings Write"),
    ];
    let text = TokenText { name: "theirs".into(), terms: Terms { policies, ..Terms::default() }, disabled: false };
    let (_, token) = client.app.api_token_create(&Caller::Operator, TokenOwner::Person(id), text).await.unwrap();
    client.with_token(&token)
}

async fn role(client: &Client, name: &str) -> Value {
    let told = client.get(&format!("/accounts/{}/roles", client.account)).await;
    told.result().as_array().unwrap().iter().find(|role| role["name"].as_str().unwrap().starts_with(name)).unwrap()["id"].clone()
}

#[tokio::test]
async fn whoever_is_invited_belongs_to_the_account_once_they_accept() {
    let client = client().await;
    let members = format!("/accounts/{}/members", client.account);
    let body = json!({ "email": "Ada@Example.com", "roles": [role(&client, "Administrator Read").await] });
    let invited = client.ask("POST", &members, body.clone()).await;
    let member = invited.result();
    assert_eq!((&member["email"], &member["status"]), (&json!("ada@example.com"), &json!("pending")));
    assert_eq!(
        (&member["invitation"]["by_mail"], &member["roles"][0]["permissions"]["dns"]["read"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(client.ask("POST", &members, body.clone()).await.codes(), [10_000_409]);
    let ada = person(&client, member["user"]["id"].as_str().unwrap()).await;
    assert_eq!(ada.get(&members).await.status, 404, "an invitation gives nothing");
    let mine = ada.get("/memberships?status=pending").await;
    let path = format!("/memberships/{}", mine.result()[0]["id"].as_str().unwrap());
    assert_eq!(mine.result()[0]["roles"], json!(["Administrator Read Only"]));
    assert_eq!(client.get(&path).await.status, 404, "another's membership");
    assert_eq!(ada.ask("PUT", &path, json!({ "status": "accepted" })).await.result()["status"], "accepted");
    assert_eq!(ada.get(&members).await.body["result_info"]["total_count"], 2);
    let one = format!("{members}/{}", member["id"].as_str().unwrap());
    assert_eq!(ada.ask("DELETE", &one, Value::Null).await.codes(), [10000], "reading only");
    let changed = client.ask("PUT", &one, json!({ "roles": [{ "id": role(&client, "Super").await }] })).await;
    assert!(changed.result()["roles"][0]["permissions"]["zones"]["write"].as_bool().unwrap());
    assert!(changed.result().get("invitation").is_none());
    client.ask("DELETE", &one, Value::Null).await.result();
    assert_eq!(ada.get("/memberships").await.result(), &json!([]));
    assert_eq!(ada.get(&members).await.status, 404, "at once");
}

#[tokio::test]
async fn what_is_declined_needs_another_invitation() {
    let client = client().await;
    let members = format!("/accounts/{}/members", client.account);
    let body = json!({ "email": "bob@example.com", "roles": ["DNS"] });
    let invited = client.ask("POST", &members, body.clone()).await;
    let bob = person(&client, invited.result()["user"]["id"].as_str().unwrap()).await;
    let path = format!("/memberships/{}", invited.result()["id"].as_str().unwrap());
    assert_eq!(bob.ask("PUT", &path, json!({ "status": "rejected" })).await.result()["status"], "rejected");
    assert_eq!(bob.ask("PUT", &path, json!({ "status": "accepted" })).await.status, 400);
    assert_eq!(client.get(&members).await.result().as_array().unwrap().len(), 1);
    client.ask("POST", &members, body).await.result();
    assert_eq!(bob.ask("PUT", &path, json!({ "status": "accepted" })).await.result()["status"], "accepted");
    assert_eq!(bob.ask("DELETE", &path, Value::Null).await.result()["id"], invited.result()["id"]);
}

#[tokio::test]
async fn an_account_keeps_somebody_who_may_do_everything() {
    let client = client().await;
    let members = format!("/accounts/{}/members", client.account);
    let me = client.get(&members).await.result()[0].clone();
    let path = format!("{members}/{}", me["id"].as_str().unwrap());
    for (method, path, body) in [
        ("DELETE", path.clone(), Value::Null),
        ("PUT", path.clone(), json!({ "roles": ["DNS"] })),
        ("DELETE", format!("/memberships/{}", me["id"].as_str().unwrap()), Value::Null),
    ] {
        let told = client.ask(method, &path, body).await;
        assert_eq!((told.status, told.codes()), (400, vec![10_000_409]), "{method} {path}");
    }
    // Somebody who has not accepted is nobody yet.
    let body = json!({ "email": "ada@example.com", "roles": [role(&client, "Super").await] });
    let invited = client.ask("POST", &members, body).await;
    assert_eq!(client.ask("DELETE", &path, Value::Null).await.status, 400);
    let ada = person(&client, invited.result()["user"]["id"].as_str().unwrap()).await;
    let own = format!("/memberships/{}", invited.result()["id"].as_str().unwrap());
    ada.ask("PUT", &own, json!({ "status": "accepted" })).await.result();
    client.ask("DELETE", &path, Value::Null).await.result();
    assert_eq!(ada.ask("DELETE", &own, Value::Null).await.status, 400, "now she is the last one");
}

#[tokio::test]
async fn wrong_invitations_are_named() {
    let client = client().await;
    let members = format!("/accounts/{}/members", client.account);
    for (body, pointer) in [
        (json!({ "roles": ["DNS"] }), "/email"),
        (json!({ "email": "ada", "roles": ["DNS"] }), "/email"),
        (json!({ "email": "ada@example.com" }), "/roles"),
        (json!({ "email": "ada@example.com", "roles": ["Everything"] }), "/roles/0"),
        (json!({ "email": "ada@example.com", "roles": ["DNS"], "status": "accepted" }), "/status"),
        (json!({ "email": "ada@example.com", "policies": [{}] }), "/policies"),
    ] {
        let told = client.ask("POST", &members, body).await;
        assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!(pointer)));
    }
    let unknown = format!("/accounts/{}/roles/{}", client.account, "0".repeat(32));
    assert_eq!(client.get(&unknown).await.status, 404);
}

#[tokio::test]
async fn the_operator_takes_an_address_that_was_invited_and_no_members() {
    let client = client().await;
    let members = format!("/accounts/{}/members", client.account);
    let owner = client.get("/user").await.result()["id"].clone();
    client.ask("POST", &members, json!({ "email": "ada@example.com", "roles": ["DNS"] })).await.result();
    let invited = client.ask("POST", &members, json!({ "email": "bob@example.com", "roles": ["DNS"] })).await;
    client.app.own_by("Ada@Example.com").await.unwrap();
    let told = client.get("/user").await;
    assert_eq!((&told.result()["id"], &told.result()["email"]), (&owner, &json!("ada@example.com")));
    let all = client.get(&members).await;
    let mut emails: Vec<_> = all.result().as_array().unwrap().iter().map(|member| member["email"].as_str().unwrap()).collect();
    emails.sort_unstable();
    assert_eq!(emails, ["ada@example.com", "bob@example.com"], "the invitation of oneself is gone");
    // Said twice, nothing changes.
    client.app.own_by("ada@example.com").await.unwrap();
    let bob = person(&client, invited.result()["user"]["id"].as_str().unwrap()).await;
    let path = format!("/memberships/{}", invited.result()["id"].as_str().unwrap());
    bob.ask("PUT", &path, json!({ "status": "accepted" })).await.result();
    let error = client.app.own_by("bob@example.com").await.unwrap_err().to_string();
    assert!(error.contains("bob@example.com is another user's address"), "{error}");
    assert_eq!(client.get("/user").await.result()["email"], "ada@example.com", "nothing half-done");
    assert_eq!(bob.get("/memberships").await.result()[0]["status"], "accepted");
}
