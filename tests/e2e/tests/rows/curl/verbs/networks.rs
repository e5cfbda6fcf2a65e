//! `route ip …` and `vnet …`.

use poterne_e2e::Kind;
use serde_json::{Value, json};

use super::{OURS, STOCK, User, both, line};

both!(private_networks, virtual_networks);

fn networks(routes: &Value) -> Vec<&str> {
    routes.as_array().unwrap().iter().map(|route| route["network"].as_str().unwrap()).collect()
}

fn private_networks(kind: Kind) {
    let user = User::new(kind);
    let web = user.create("web");
    user.tunnel(&["route", "ip", "add", "10.0.0.0/8", "web", "the lab"]);
    user.tunnel(&["route", "ip", "add", "10.1.0.0/16", &web]);
    assert!(!user.refused(&["route", "ip", "add", "10.0.0.0/8", "web"]).is_empty(), "it is there");
    assert!(user.refused(&["route", "ip", "add", "10.0.0.0.0/8", "web"]).contains("10.0.0.0.0/8"));
    let routes = user.account("/teamnet/routes?is_deleted=false");
    let mut listed = networks(&routes);
    listed.sort_unstable();
    assert_eq!(listed, ["10.0.0.0/8", "10.1.0.0/16"]);

    let shown = user.tunnel(&["route", "ip", "show"]);
    let head: Vec<_> = line(&shown, "ID ").split_whitespace().collect();
    assert_eq!(head.join(" "), "ID NETWORK VIRTUAL NET ID COMMENT TUNNEL ID TUNNEL NAME CREATED DELETED");
    let row = shown.lines().find(|line| line.contains("10.0.0.0/8")).unwrap();
    assert!(row.contains("the lab") && row.contains(&web) && row.contains(" web "), "{row}");
    let filtered = |words: &[&str]| user.json(&[&["route", "ip", "show"], words].concat());
    assert_eq!(networks(&filtered(&["--filter-network-is-superset-of", "10.1.2.3/32"])).len(), 2);
    assert_eq!(networks(&filtered(&["--filter-comment-is", "the lab"])), ["10.0.0.0/8"]);
    assert_eq!(networks(&filtered(&["--filter-tunnel-id", &web])).len(), 2);

    let get = |ip: &str| user.tunnel(&["route", "ip", "get", ip]);
    assert!(get("10.1.2.3").contains("10.1.0.0/16") && get("10.2.3.4").contains("10.0.0.0/8"));
    assert!(get("192.0.2.7").contains("No route matches the IP 192.0.2.7"));

    user.tunnel(&["route", "ip", "delete", "10.1.0.0/16"]);
    assert!(get("10.1.2.3").contains("10.0.0.0/8"));
    let id = networks_id(&user, "10.0.0.0/8");
    user.tunnel(&["route", "ip", "delete", &id]);
    assert!(get("10.1.2.3").contains("No route matches"));
    assert_eq!(user.run(&["route", "ip", "delete", "10.0.0.0/8"]).status.code(), Some(1));
    let deleted = filtered(&["--filter-is-deleted"]);
    assert_eq!(deleted.as_array().map(Vec::len), Some(2));
}

fn networks_id(user: &User, network: &str) -> String {
    let routes = user.account("/teamnet/routes?is_deleted=false");
    let route = routes.as_array().unwrap().iter().find(|route| route["network"] == network).unwrap();
    route["id"].as_str().unwrap().to_owned()
}

fn virtual_networks(kind: Kind) {
    let user = User::new(kind);
    user.create("web");
    let told = user.tunnel(&["vnet", "add", "lab", "of the lab"]);
    let (_, id) = told.split_once("with ID: ").unwrap();
    let id = id.split_whitespace().next().unwrap();
    let one = |name: &str| {
        let all = user.account("/teamnet/virtual_networks?is_deleted=false");
        all.as_array().unwrap().iter().find(|one| one["name"] == name).cloned()
    };
    let made = one("lab").unwrap();
    assert_eq!((&made["id"], &made["comment"], &made["is_default_network"]), (&json!(id), &json!("of the lab"), &json!(false)));

    let listed = user.tunnel(&["vnet", "list"]);
    let head: Vec<_> = line(&listed, "ID ").split_whitespace().collect();
    assert_eq!(head.join(" "), "ID NAME IS DEFAULT COMMENT CREATED DELETED");
    assert!(line(&listed, id).contains("lab") && listed.contains("default"), "{listed}");
    let names = |words: &[&str]| {
        let all = user.json(&[&["vnet", "list"], words].concat());
        all.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--is-default"]), ["default"]);
    assert_eq!(names(&["--is-default=false"]), ["lab"]);
    assert_eq!((names(&["--id", id]), names(&["--name", "lab"])), (vec!["lab".to_owned()], vec!["lab".to_owned()]));

    // The same network twice, kept apart.
    user.tunnel(&["route", "ip", "add", "10.0.0.0/8", "web"]);
    user.tunnel(&["route", "ip", "add", "--vnet", "lab", "10.0.0.0/8", "web"]);
    assert!(user.tunnel(&["route", "ip", "get", "--vnet", "lab", "10.1.2.3"]).contains(id));
    assert!(!user.tunnel(&["route", "ip", "get", "10.1.2.3"]).contains(id));
    assert!(!user.refused(&["route", "ip", "delete", "10.0.0.0/8"]).is_empty(), "which of the two is not said");
    assert!(!user.refused(&["vnet", "delete", "lab"]).is_empty(), "it is in use");
    user.tunnel(&["route", "ip", "delete", "--vnet", "lab", "10.0.0.0/8"]);

    user.tunnel(&["vnet", "update", "--name", "workshop", "--comment", "moved", "--default", "lab"]);
    let changed = one("workshop").unwrap();
    assert_eq!((&changed["comment"], &changed["is_default_network"]), (&json!("moved"), &json!(true)));
    assert_eq!(one("default").unwrap()["is_default_network"], false);
    user.tunnel(&["vnet", "update", "--default", "default"]);
    user.tunnel(&["vnet", "delete", "workshop"]);
    assert!(one("workshop").is_none());
    assert_eq!(names(&["--show-deleted"]), ["workshop"]);
    user.refused(&["vnet", "delete", "workshop"]);
}
