use super::*;

fn load(text: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("poterne.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let flags: Vec<String> = flags.iter().map(|s| s.to_string()).collect();
    Config::load(Some(&path), environment, &flags)
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "version = 1\n[edge]\nhttp = [\"127.0.0.1:1\"]\nhttps = [\"127.0.0.1:1\"]\n[tunnel]\nlisten = [\"127.0.0.1:1\"]\n";
    let config = load(
        file,
        &[("POTERNE_EDGE_HTTPS", "127.0.0.1:2,[::1]:2"), ("POTERNE_TUNNEL_LISTEN", "127.0.0.1:2")],
        &["tunnel.listen=127.0.0.1:3", "tunnel.quick_domain=quick.test"],
    )
    .unwrap();
    assert_eq!(config.edge.http, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.edge.https, ["127.0.0.1:2".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    assert_eq!(config.tunnel.listen, ["127.0.0.1:3".parse().unwrap()]);
    assert_eq!(config.tunnel.quick_domain.unwrap().as_str(), "quick.test");
    assert_eq!(config.control, Config::defaults().control);
}

#[test]
fn a_named_file_must_be_there_and_the_default_one_need_not() {
    let error = Config::load(Some(Path::new("/nowhere/poterne.toml")), [], &[]).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/poterne.toml cannot be read") && error.contains("--config"), "{error}");
}

#[test]
fn the_name_server_listens_where_it_is_told_or_can_be_found() {
    let listens = |text: &str| {
        let config = load(&format!("version = 1\n{text}"), &[], &[]).unwrap();
        let (plain, tls) = config.dns_listens(|| vec!["192.0.2.1".parse().unwrap()]);
        [plain, tls].map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(listens(""), ["", ""]);
    assert_eq!(listens("[dns]\nnameservers = [\"ns1.test\"]\n"), ["192.0.2.1:53", "192.0.2.1:853"]);
    assert_eq!(
        listens("[dns]\nlisten = [\"127.0.0.1:5300\", \"127.0.0.2:53\"]\n"),
        ["127.0.0.1:5300 127.0.0.2:53", "127.0.0.2:853"]
    );
    assert_eq!(listens("[dns]\nlisten = [\"127.0.0.1:53\"]\nlisten_tls = []\n"), ["127.0.0.1:53", ""]);
    assert_eq!(listens("[node]\nroles = [\"control\", \"edge\"]\n[dns]\nlisten = [\"127.0.0.1:53\"]\n"), ["", ""]);
}

#[test]
fn proxied_names_are_answered_with_where_visitors_are_received() {
    let addresses = |text: &str| load(&format!("version = 1\n{text}"), &[], &[]).unwrap().edge_addresses().len();
    assert_eq!(addresses(""), 0);
    assert_eq!(addresses("[edge]\nhttps = [\"127.0.0.1:443\", \"[::]:443\"]\n"), 1);
    assert_eq!(addresses("[node]\npublic_addresses = [\"192.0.2.1\", \"2001:db8::1\"]\n"), 2);
}

#[test]
fn names_are_looked_up_where_the_operator_says() {
    let read = |text: &str| load(&format!("version = 1\n[dns]\n{text}"), &[], &[]);
    let settings = |text: &str| read(text).unwrap().resolver(poterne_guard::Guard::default());
    let resolvers = settings("resolvers = [\"192.0.2.53\", \"[2001:db8::53]:5353\"]\n").unwrap().resolvers;
    assert_eq!(resolvers, ["192.0.2.53:53".parse().unwrap(), "[2001:db8::53]:5353".parse().unwrap()]);
    let error = read("resolvers = [\"dns.example\"]\n").unwrap_err().to_string();
    assert!(error.contains("no address of a resolver"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let hints = dir.path().join("root.hints");
    let named = format!("root_hints = {:?}\n", hints.to_str().unwrap());
    assert!(matches!(settings(&named), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&hints, "nothing\n").unwrap();
    assert!(settings(&named).unwrap_err().to_string().contains("names no address"));
    std::fs::write(&hints, ". NS a.\na. A 198.41.0.4\n").unwrap();
    let settings = settings(&named).unwrap();
    assert_eq!((settings.roots.len(), settings.resolvers.len()), (1, 0), "the machine's resolvers are left alone");
}

#[test]
fn agents_are_told_what_the_operator_says_then_name_then_addresses() {
    let dial = |text: &str| load(&format!("version = 1\n{text}"), &[], &[]).unwrap().agents_dial();
    assert_eq!(dial("[tunnel]\nedges = [\"e:1\"]\n[node]\nname = \"n.test\"\n"), ["e:1"]);
    assert_eq!(dial("[node]\nname = \"n.test\"\npublic_addresses = [\"192.0.2.1\"]\n"), ["n.test:7844"]);
    assert_eq!(dial("[node]\npublic_addresses = [\"192.0.2.1\", \"2001:db8::1\"]\n"), ["192.0.2.1:7844", "[2001:db8::1]:7844"]);
    assert_eq!(dial("[tunnel]\nlisten = [\"127.0.0.1:9\"]\n"), ["127.0.0.1:9"]);
}

#[test]
fn agents_logs_are_read_under_the_nodes_name_unless_the_operator_says_otherwise() {
    let names = |text: &str| {
        let config = load(&format!("version = 1\n[edge]\nhttps = [\"[::]:8443\"]\n{text}"), &[], &[]).unwrap();
        (config.management_names().iter().map(Name::to_string).collect::<Vec<_>>(), config.management_authority().unwrap())
    };
    let (all, first) = names("[node]\nname = \"n.test\"\n");
    assert_eq!(all, ["management.n.test", "management.argotunnel.com"]);
    assert_eq!(first, "management.n.test:8443");
    let (all, _) = names("[tunnel]\nmanagement_hostname = \"logs.test\"\n");
    assert_eq!(all, ["logs.test", "management.argotunnel.com"]);
    let (all, _) = names("[tunnel]\nmanagement_hostname = \"management.argotunnel.com\"\n");
    assert_eq!(all, ["management.argotunnel.com"]);
}

#[test]
fn links_begin_where_people_reach_the_node() {
    let pages = |text: &str| load(&format!("version = 1\n{text}"), &[], &[]).map(|config| config.pages());
    let name = "[node]\nname = \"n.test\"\n";
    assert_eq!(pages(name).unwrap(), "https://n.test");
    assert_eq!(pages(&format!("{name}[edge]\nhttps = [\"[::]:8443\"]\n")).unwrap(), "https://n.test:8443");
    let behind_a_proxy = format!("{name}[edge]\nhttps = []\n[control]\n");
    assert_eq!(pages(&behind_a_proxy).unwrap(), "http://127.0.0.1:8600");
    for url in ["https://control.n.test", "https://control.n.test/"] {
        assert_eq!(pages(&format!("{behind_a_proxy}url = {url:?}\n")).unwrap(), "https://control.n.test");
    }
    for wrong in ["control.n.test", "https://", "https://n.test/pages", "ftp://n.test", "https://u:p@n.test"] {
        let error = pages(&format!("{behind_a_proxy}url = {wrong:?}\n")).unwrap_err().to_string();
        assert!(error.contains("[control] url"), "{error}");
    }
}

#[test]
fn what_no_key_alone_can_know_has_a_place_where_the_file_says_it() {
    let text = "version = 1\n[log]\nlevel = \"info\"\n\n[edge]\n  trusted_proxies = [\"10.0.0.0/40\"]\n";
    let error = load(text, &[], &[]).unwrap_err().to_string();
    assert!(error.contains("poterne.toml:6:3: [edge] trusted_proxies: \"10.0.0.0/40\""), "{error}");
    let error = load(text, &[], &["edge.trusted_proxies=[\"10.0.0.0/50\"]"]).unwrap_err().to_string();
    assert!(error.starts_with("[edge] trusted_proxies: \"10.0.0.0/50\""), "the file is not to blame: {error}");
    let error = load("version = 1\n[log]\nlevel = \"loud=very\"\n", &[], &[]).unwrap_err().to_string();
    assert!(error.contains("poterne.toml:3:1: [log] level: log filter \"loud=very\""), "{error}");
}

#[test]
fn a_wrong_range_is_named() {
    let error = load("version = 1\n[edge]\ntrusted_proxies = [\"10.0.0.0/40\"]\n", &[], &[]).unwrap_err().to_string();
    assert!(error.contains("10.0.0.0/40") && error.contains("trusted_proxies"), "{error}");
}
