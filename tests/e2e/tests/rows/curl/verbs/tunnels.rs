//! `create`, `list`, `info`, `token`, `cleanup`, `delete`, `route dns`, `route lb`, `run`.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_e2e::{Agent, Curl, Kind, Raw, eventually};
use serde_json::{Value, json};

use super::{OURS, STOCK, User, both, line};

both!(create_list_info_token_delete, info_cleanup_and_delete_of_a_tunnel_that_runs, route_dns_and_run, what_cannot_be_is_refused);

fn create_list_info_token_delete(kind: Kind) {
    let user = User::new(kind);
    let id = user.create("web");
    let file = user.node.file(&format!("{id}.json"));
    let credentials: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(credentials["TunnelID"], *id);
    assert_eq!(credentials["AccountTag"], user.node.text("account_id"));
    assert!(fs::metadata(&file).unwrap().permissions().readonly());
    let made = user.account(&format!("/cfd_tunnel/{id}"));
    assert_eq!((&made["name"], &made["config_src"], &made["status"]), (&json!("web"), &json!("local"), &json!("inactive")));
    assert!(user.refused(&["create", "web"]).contains("already exists"));

    let listed = user.tunnel(&["list"]);
    assert!(listed.contains(&format!("{id} web")) && listed.contains(&format!("{} demo", user.node.tunnel)), "{listed}");
    let names = |words: &[&str]| {
        let listed = user.json(&[&["list"], words].concat());
        listed.as_array().unwrap().iter().map(|tunnel| tunnel["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["demo", "web"]);
    assert_eq!(names(&["--invert-sort"]), ["web", "demo"]);
    let paged = user.command(&["list", "-o", "json"]).env("TUNNEL_MAX_FETCH_SIZE", "1").output().unwrap();
    let paged: Value = serde_json::from_slice(&paged.stdout).unwrap();
    assert_eq!(paged.as_array().map(Vec::len), Some(2), "page by page");
    assert_eq!(names(&["--name", "web"]), ["web"]);
    assert_eq!(names(&["--name-prefix", "we", "--exclude-name-prefix", "de"]), ["web"]);
    assert_eq!(names(&["-np", "we"]), ["web"]);
    assert_eq!(names(&["--id", &user.node.tunnel]), ["demo"]);
    assert!(user.tunnel(&["info", "web"]).contains("active connection"));

    let token: Value = serde_json::from_slice(&STANDARD.decode(user.tunnel(&["token", "web"]).trim()).unwrap()).unwrap();
    assert_eq!((&token["t"], &token["s"]), (&json!(id), &credentials["TunnelSecret"]));
    let copy = user.node.file("copy.json");
    user.tunnel(&["token", "--cred-file", copy.to_str().unwrap(), &id]);
    let copied: Value = serde_json::from_slice(&fs::read(&copy).unwrap()).unwrap();
    assert_eq!(copied["TunnelSecret"], credentials["TunnelSecret"]);
    assert!(user.refused(&["token", "--cred-file", copy.to_str().unwrap(), &id]).contains("exists"));

    user.tunnel(&["delete", "web"]);
    assert!(!file.exists(), "its credentials go with it");
    assert!(user.account(&format!("/cfd_tunnel/{id}"))["deleted_at"].is_string());
    assert_eq!(names(&[]), ["demo"]);
    assert_eq!(names(&["--show-deleted"]), ["demo", "web"]);
    assert!(user.refused(&["info", "web"]).contains("neither the ID nor the name of"));
    user.refused(&["delete", "web"]);
    assert!(user.refused(&["delete", &id]).contains("deleted"));

    let secret = STANDARD.encode([7; 40]);
    let named = user.node.file("named.json");
    user.tunnel(&["create", "--secret", &secret, "--credentials-file", named.to_str().unwrap(), "mine"]);
    let credentials: Value = serde_json::from_slice(&fs::read(&named).unwrap()).unwrap();
    assert_eq!(credentials["TunnelSecret"], *secret);
    // Credentials that cannot be kept: the tunnel goes again.
    user.refused(&["create", "--credentials-file", named.to_str().unwrap(), "lost"]);
    assert_eq!(names(&[]), ["demo", "mine"]);
    let made: Value = serde_json::from_str(&user.shown(&["create", "-o", "json", "told"])).unwrap();
    assert_eq!((&made["name"], made["token"].is_string()), (&json!("told"), true));
}

fn info_cleanup_and_delete_of_a_tunnel_that_runs(kind: Kind) {
    let user = User::new(kind);
    let agent = Agent::connect(&user.node, OURS);
    let connections = format!("/cfd_tunnel/{}/connections", user.node.tunnel);
    let connectors = || user.account(&connections).as_array().unwrap().clone();
    let before = connectors();
    assert_eq!(before.len(), 1);
    let id = before[0]["id"].as_str().unwrap();
    let info = user.tunnel(&["info", "demo"]);
    let row = line(&info, id);
    assert!(row.contains("127.0.0.1") && row.contains(before[0]["version"].as_str().unwrap()), "{row}");
    let location = before[0]["conns"][0]["colo_name"].as_str().unwrap();
    assert!(row.contains(&format!("4x{location}")), "{row}");
    assert!(user.tunnel(&["list"]).contains(&format!("4x{location}")));

    assert!(user.refused(&["delete", "demo"]).contains("1022"));
    assert_eq!(user.node.get("/").status, 200, "it was not deleted");

    let ids = |connectors: &[Value]| {
        let connections = connectors.iter().flat_map(|connector| connector["conns"].as_array().unwrap());
        connections.map(|connection| connection["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let old = ids(&before);
    let told = user.tunnel(&["cleanup", "--connector-id", "3d539f97-cd3a-4d8e-833b-65e9099c7a8d", "demo"]);
    assert!(!told.contains("rror"), "{told}");
    assert_eq!(ids(&connectors()), old, "another connector is meant");
    let told = user.tunnel(&["cleanup", "--connector-id", id, "demo"]);
    assert!(!told.contains("rror"), "{told}");
    // The agent comes back by itself.
    eventually("all connections are new", || {
        let new = ids(&connectors());
        new.len() == 4 && !new.iter().any(|id| old.contains(id))
    });

    user.tunnel(&["delete", "--force", "demo"]);
    assert!(user.account(&format!("/cfd_tunnel/{}", user.node.tunnel))["deleted_at"].is_string());
    eventually("its connections end", || connectors().is_empty());
    eventually("the agent is refused, and says so", || agent.log().contains("Unauthorized"));
}

fn route_dns_and_run(kind: Kind) {
    let user = User::new(kind);
    let origin = Raw::saying("by its own commands");
    let (web, other) = (user.create("web"), user.create("other"));
    let hostname = "app.poterne.localhost";
    let content = || {
        let found = user.records(hostname);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["type"], &found[0]["proxied"]), (&json!("CNAME"), &json!(true)));
        found[0]["content"].as_str().unwrap().to_owned()
    };
    let told = user.tunnel(&["route", "dns", "web", hostname]);
    assert!(told.contains(&format!("Added CNAME {hostname}")), "{told}");
    assert_eq!(content(), format!("{web}.cfargotunnel.com"));
    let told = user.tunnel(&["route", "dns", "web", hostname]);
    assert!(told.contains(&format!("{hostname} is already configured")), "{told}");
    let told = user.refused(&["route", "dns", "other", hostname]);
    assert!(told.contains("code: 1003, reason: ") && told.contains("already exists"), "{told}");
    assert_eq!(content(), format!("{web}.cfargotunnel.com"));
    let told = user.tunnel(&["route", "dns", "--overwrite-dns", "other", hostname]);
    assert!(told.contains(&format!("{hostname} updated")), "{told}");
    assert_eq!(content(), format!("{other}.cfargotunnel.com"));
    // As the hosted service does.
    let told = user.tunnel(&["route", "dns", "web", "elsewhere.test"]);
    assert!(told.contains("Added CNAME elsewhere.test.poterne.localhost"), "{told}");

    let get = || Curl::http(&user.node, hostname, "/").run();
    assert!(get().is_error(530, 1033), "{:?}", get());
    // By its name: the API knows the id, and the file that `create` wrote the secret.
    let _agent = Agent::run_named(&user.node, kind, "other", &origin.url(), &user.variables());
    eventually("its credentials let it in", || !get().is_error(530, 1033));
    assert_eq!(get().text(), "by its own commands");
}

fn what_cannot_be_is_refused(kind: Kind) {
    let user = User::new(kind);
    let told = user.refused(&["route", "lb", "demo", "lb.poterne.localhost", "pool"]);
    assert!(told.contains("load balancers are not offered yet"), "the server's own words: {told}");
    assert!(user.refused(&["route", "dns", "nobody", "a.poterne.localhost"]).contains("neither the ID nor the name of"));
    assert_eq!(user.run(&["create"]).status.code(), Some(255));
    assert_eq!(user.run(&["delete"]).status.code(), Some(255));
    assert_eq!(user.run(&["list", "--id", "web"]).status.code(), Some(1));
    let nowhere = user.command(&["list"]).env("TUNNEL_ORIGIN_CERT", user.node.file("nowhere.pem")).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
    let elsewhere = user.command(&["list"]).env("TUNNEL_API_URL", "http://127.0.0.1:9/client/v4").output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(1));
}

/// Scripts that were written for one go on with the other.
mod stock_agent_beside_ours {
    use super::*;

    #[test]
    fn both_print_the_same() {
        let user = User::new(STOCK);
        let _agent = Agent::connect(&user.node, OURS);
        user.create("web");
        user.tunnel(&["route", "ip", "add", "10.0.0.0/8", "web", "the lab"]);
        user.tunnel(&["vnet", "add", "lab", "of the lab"]);
        let asked: &[&[&str]] = &[
            &["list", "-o", "json"],
            &["list", "-o", "yaml"],
            &["list", "--sort-by", "createdAt", "--invert-sort", "-o", "json"],
            &["info", "-o", "json", "demo"],
            &["info", "-o", "yaml", "demo"],
            &["info", "demo"],
            &["route", "ip", "show"],
            &["route", "ip", "show", "-o", "json"],
            &["route", "ip", "get", "10.1.2.3"],
            &["route", "ip", "get", "192.0.2.7"],
            &["vnet", "list"],
            &["vnet", "list", "-o", "json"],
            &["vnet", "list", "-o", "yaml"],
        ];
        let ask = |user: &User| asked.iter().map(|words| user.shown(words)).collect::<Vec<_>>();
        let table = |user: &User| user.shown(&["list"]).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let (theirs, their_table) = (ask(&user), table(&user));
        let user = user.with(OURS);
        for (words, (ours, theirs)) in asked.iter().zip(ask(&user).iter().zip(&theirs)) {
            assert_eq!(ours, theirs, "{words:?}");
        }
        assert_eq!(table(&user), their_table);
    }
}
