//! Mail, with PyPI's `aiosmtpd` as the server that takes it: `peers/with_aiosmtpd.py`.

use std::{fs, time::SystemTime};

use poterne_e2e::{Client, Node, Reserved, eventually};
use poterne_keys::{CaSpec, LocalCa};

fn node(smtp: &str, more: &[&str]) -> Node {
    let mut settings = vec![format!("mail.smtp={smtp}"), "mail.from=Poterne <poterne@example.net>".to_owned()];
    settings.extend(["node.name=node.example.net".to_owned()].into_iter().chain(more.iter().map(ToString::to_string)));
    Node::bare(&settings)
}

#[test]
fn an_invitation_made_through_the_api_arrives() {
    let reserved = Reserved::new();
    let port = reserved.port;
    let mut node = node(&format!("smtp://127.0.0.1:{port}"), &[]);
    node.line["smtp_port"] = port.into();
    Client::run("with_aiosmtpd.py", &["invitation"], &node);
}

#[test]
fn what_was_put_off_is_sent_after_a_kill() {
    let reserved = Reserved::new();
    let port = reserved.port;
    let mut node = node(&format!("smtp://127.0.0.1:{port}"), &["mail.language=fr"]);
    node.line["smtp_port"] = port.into();
    let mut client = Client::start("with_aiosmtpd.py", &["put_off"], &node);
    // The change is answered, and the server has said "not now".
    assert_eq!(client.hear()["put_off"], true);
    node.kill_and_restart();
    client.go_on();
    client.end();
}

#[test]
fn over_tls_with_a_password_or_with_the_reason_why_not() {
    let reserved = Reserved::new();
    let port = reserved.port;
    let ca = LocalCa::generate(&CaSpec { name: "mail".into(), permitted: Vec::new() }, SystemTime::now()).unwrap();
    let leaf = ca.issue(&["localhost".to_owned()], SystemTime::now(), None).unwrap();
    let smtp = format!("smtps://ada%40example.net@localhost:{port}");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    let chain: String = leaf.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    let (cert, key) = (file("cert.pem", &chain), file("key.pem", &pem("PRIVATE KEY", leaf.key.secret_der())));
    let (password, authority) = (file("password", "open sesame\n"), file("ca.pem", ca.certificate_pem()));
    let with_password = format!("mail.password_file={password}");
    let mut node = node(&smtp, &[&with_password, &format!("mail.ca_file={authority}")]);
    let refused = node.verb(&["mail", "test", "bob@example.com"]).unwrap_err();
    assert!(refused.contains(&format!("the mail server localhost:{port} is not reached")), "{refused}");
    node.line["smtp_port"] = port.into();
    (node.line["certificate"], node.line["key"]) = (cert.into(), key.into());
    let mut server = Client::start("with_aiosmtpd.py", &["over_tls"], &node);
    assert_eq!(server.hear()["listens"], true);
    let taken = node.verb(&["mail", "test", "bob@example.com"]).unwrap();
    assert!(taken.contains(&format!("localhost:{port} has taken a message to bob@example.com")), "{taken}");
    fs::write(&password, "wrong").unwrap();
    node.kill_and_restart();
    let refused = node.verb(&["mail", "test", "bob@example.com"]).unwrap_err();
    assert!(refused.contains("does not take this user and password (535"), "{refused}");
    assert!(!refused.contains("wrong") && !node.log().contains("open sesame"), "{refused}");
    let refused = node.verb(&["mail", "test", "nobody"]).unwrap_err();
    assert!(refused.contains("\"nobody\" is no address"), "{refused}");
    server.go_on();
    server.end();
}

#[test]
fn without_a_server_the_operator_has_the_link() {
    let node = Node::bare(&["node.name=node.example.net".to_owned()]);
    let told = node.verb(&["member", "invite", "ada@example.com", "--role", "DNS"]).unwrap();
    assert!(told.contains("ada@example.com is invited as DNS.") && told.contains("hand them this link yourself"), "{told}");
    let link = told.lines().last().unwrap();
    assert!(link.starts_with("https://node.example.net:") && link.contains("/invitation#"), "{link}");
    let again = node.verb(&["member", "invite", "ada@example.com", "--role", "DNS"]).unwrap();
    assert_ne!(again.lines().last().unwrap(), link, "another link");
    let refused = node.verb(&["mail", "test", "ada@example.com"]).unwrap_err();
    assert!(refused.contains("this node sends no mail"), "{refused}");
    eventually("nothing of the link is logged", || !node.log().contains(link.split_once('#').unwrap().1));
}
