//! Signed zones behind Debian's `unbound`, a resolver that validates.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::{self, Command, Stdio},
};

use poterne_e2e::{Running, eventually};

use super::delv::{ASKED, signed};

fn dig(server: SocketAddr, name: &str, kind: &str) -> String {
    let mut command = Command::new("dig");
    command.args([
        "-r",
        &format!("@{}", server.ip()),
        "-p",
        &server.port().to_string(),
        "+dnssec",
        "+tries=1",
        "+time=10",
        name,
        kind,
    ]);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_resolver_validates_and_hands_on() {
    let (node, ds) = signed("13");
    let dir = tempfile::tempdir().unwrap();
    // unbound cannot be handed a socket, so its port was only free a moment ago: at an address of this process's own, where no other test's
    // name server takes it meanwhile, and answers.
    let [_, high, middle, low] = process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 64 | high, middle, low | 1);
    let at = UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap();
    let port = at.port();
    let server = node.text("dns").rsplit(':').next().unwrap().to_owned();
    let config = format!(
        "server:\n  interface: {address}@{port}\n  do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  directory: \"{dir}\"\n  \
         pidfile: \"\"\n  use-syslog: no\n  do-not-query-localhost: no\n  module-config: \"validator iterator\"\n  \
         private-address: 0.0.0.0/32\n  trust-anchor: \"example.com. 3600 IN DS {ds}\"\n  aggressive-nsec: yes\n\
         remote-control:\n  control-enable: no\n\
         stub-zone:\n  name: \"example.com\"\n  stub-addr: 127.0.0.1@{server}\n",
        dir = dir.path().display()
    );
    let file = dir.path().join("unbound.conf");
    fs::write(&file, config).unwrap();
    // Debian has it where only root looks.
    let program = if fs::exists("/usr/sbin/unbound").unwrap() { "/usr/sbin/unbound" } else { "unbound" };
    let mut command = Command::new(program);
    let _resolver = Running::start(command.args(["-d", "-c"]).arg(&file).stderr(Stdio::null()));
    eventually("the resolver answers", || dig(at, "example.com", "SOA").contains("status: NOERROR"));
    // Twice: what is kept of a denial denies nothing else.
    for (name, kind, is_there) in ASKED.iter().chain(&ASKED) {
        let text = dig(at, name, kind);
        assert!(text.contains("status: NOERROR") && text.contains(" ad"), "{name} {kind}: {text}");
        assert_eq!(text.contains("ANSWER: 0"), !is_there, "{name} {kind}: {text}");
    }
}
