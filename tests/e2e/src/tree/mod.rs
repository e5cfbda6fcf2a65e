//! A delegation tree of our own: a root and a top-level domain that are signed, the provider that zones had before, a resolver that
//! validates, and a node; each at addresses that are routable everywhere, and exist in the test's network alone ([`crate::network`]).
//!
//! ```text
//! .  ──→  com  ──→  oldhost.com, and what it serves: the previous provider      nsd, signed by ldns
//!          ├─────→  newhost.com, the node's own name servers                    poterne
//!          └─────→  whatever Tree::delegate says, as a registrar would
//! ```
//!
//! * [`nsd`]: Debian's `nsd`; [`signer`]: keys, and zones signed with them, by `ldns`;
//! * [`clock`]: the time that the node and the resolvers have, which a test may put forward: days pass between two questions;
//! * [`zone`]: a zone of the node's, as its operator's registrar sees it.

pub mod clock;
pub mod nsd;
pub mod signer;
pub mod zone;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{Api, Node, Running, Setup, eventually};
use clock::Clock;
use nsd::{Nsd, Served};
use signer::Signer;
pub use zone::Zone;

/// Where a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What it is called.
    pub name: &'static str,
    /// Its addresses.
    pub v4: &'static str,
    /// Its addresses.
    pub v6: &'static str,
}

/// The root's server.
pub const ROOT: [Place; 1] = [Place { name: "a.root-servers.net", v4: "198.41.0.4", v6: "2001:503:ba3e::2:30" }];
/// Those of the top-level domain: two, since it takes two to say that a zone is lost.
pub const TOP: [Place; 2] = [
    Place { name: "a.nic.com", v4: "192.5.6.30", v6: "2001:503:a83e::2:30" },
    Place { name: "b.nic.com", v4: "192.33.14.30", v6: "2001:503:231d::2:30" },
];
/// The previous provider's.
pub const OLD: [Place; 2] = [
    Place { name: "ns1.oldhost.com", v4: "185.49.140.10", v6: "2a04:b900::10" },
    Place { name: "ns2.oldhost.com", v4: "185.49.140.11", v6: "2a04:b900::11" },
];
/// The node's, where its edge is too.
pub const NEW: [Place; 2] = [
    Place { name: "ns1.newhost.com", v4: "194.0.25.10", v6: "2001:678:20::10" },
    Place { name: "ns2.newhost.com", v4: "194.0.25.11", v6: "2001:678:20::11" },
];
/// Below which names of partial zones lead to the node.
pub const SUFFIX: &str = "cdn.newhost.com";
/// The resolver.
pub const RESOLVER: Place = Place { name: "resolver", v4: "9.9.9.9", v6: "2620:fe::9" };
/// One that keeps nothing in mind, so that each answer is validated from the root down as things are now.
pub const FORGETFUL: Place = Place { name: "forgetful", v4: "149.112.112.112", v6: "2620:fe::fe" };

/// Runs a row in a network that has all of these.
pub fn alone(test: &str, row: fn()) {
    let places: Vec<Place> = [&ROOT[..], &TOP, &OLD, &NEW, &[RESOLVER, FORGETFUL]].concat();
    let addresses: Vec<&str> = places.iter().flat_map(|place| [place.v4, place.v6]).collect();
    crate::network::alone(test, &addresses, RESOLVER.v4, row);
}

/// A zone that the previous provider serves.
#[derive(Debug, Clone, Copy)]
pub struct Previous {
    /// Its name.
    pub apex: &'static str,
    /// Its records in a zone file's words, without SOA and NS.
    pub records: &'static str,
    /// Whether it is signed, and its parent has the DS.
    pub is_signed: bool,
    /// Whether it is given to whoever asks for the whole of it.
    pub is_given: bool,
}

/// What the top-level domain has of a zone.
#[derive(Debug, Clone, Default)]
struct Delegated {
    name_servers: Vec<String>,
    ds: Vec<String>,
}

/// The tree.
pub struct Tree {
    /// The time that the node and the resolvers have.
    pub clock: Clock,
    /// The root's DS, as tag, algorithm, type and digest.
    anchor: String,
    top: Nsd,
    top_signer: Signer,
    /// Its serial, and what it has of each zone.
    delegated: RefCell<(u32, BTreeMap<String, Delegated>)>,
    previous_ds: BTreeMap<String, Vec<String>>,
    resolver: RefCell<Running>,
    _forgetful: Running,
    _root: Nsd,
    /// The previous provider's server, who signs its zones, and which version of each it has.
    old: Nsd,
    old_signers: BTreeMap<String, Signer>,
    old_serials: RefCell<BTreeMap<String, u32>>,
    dir: TempDir,
}

impl Tree {
    /// Everything but a node; what the previous provider serves is delegated to it.
    pub fn grow(previous: &[Previous]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let [root_dir, top_dir, old_dir] = ["root", "top", "old"].map(folder);

        let mut delegated = BTreeMap::new();
        let names = |places: &[Place]| places.iter().map(|place| place.name.to_owned()).collect::<Vec<_>>();
        let mut served = Vec::new();
        let (mut previous_ds, mut old_signers) = (BTreeMap::new(), BTreeMap::new());
        for zone in [Previous { apex: "oldhost.com", records: "", is_signed: false, is_given: false }].iter().chain(previous) {
            let mut ds = Vec::new();
            let text = format!("{}{}", head(zone.apex, &OLD, 1, 300), zone.records);
            let file = if zone.is_signed {
                let signer = Signer::new(&old_dir, zone.apex);
                ds.push(signer.ds());
                let file = signer.sign(&text);
                old_signers.insert(zone.apex.to_owned(), signer);
                file
            } else {
                fs::write(old_dir.join(zone.apex), &text).unwrap();
                zone.apex.to_owned()
            };
            served.push(Served { apex: zone.apex, file, is_given: zone.is_given });
            previous_ds.insert(zone.apex.to_owned(), ds.clone());
            // Those below another zone are that zone's to delegate.
            if zone.apex.matches('.').count() == 1 {
                delegated.insert(zone.apex.to_owned(), Delegated { name_servers: names(&OLD), ds });
            }
        }
        let old = Nsd::start(&old_dir, &OLD, &served);
        delegated.insert("newhost.com".to_owned(), Delegated { name_servers: names(&NEW), ds: Vec::new() });

        let top_signer = Signer::new(&top_dir, "com");
        let file = top_signer.sign(&top_zone(1, &delegated));
        let top = Nsd::start(&top_dir, &TOP, &[Served { apex: "com", file, is_given: false }]);

        let root_signer = Signer::new(&root_dir, ".");
        let mut text = head(".", &ROOT, 1, 86_400);
        text += &delegation("com", &names(&TOP), &[top_signer.ds()], &TOP);
        let file = root_signer.sign(&text);
        let root = Nsd::start(&root_dir, &ROOT, &[Served { apex: ".", file, is_given: false }]);

        fs::write(dir.path().join("hints"), delegation(".", &names(&ROOT), &[], &ROOT)).unwrap();
        let (clock, anchor) = (Clock::start(dir.path()), root_signer.ds());
        let [remembers, forgets] = [RESOLVER, FORGETFUL].map(|place| resolver(place, dir.path(), &anchor, &clock));
        Self {
            clock,
            anchor,
            top,
            top_signer,
            delegated: RefCell::new((1, delegated)),
            previous_ds,
            resolver: RefCell::new(remembers),
            _forgetful: forgets,
            _root: root,
            old,
            old_signers,
            old_serials: RefCell::default(),
            dir,
        }
    }

    /// A node whose name servers' names are a zone of its own; what its zones are delegated to is asked of the top-level domain's
    /// servers, found from the root.
    pub fn node(&self) -> Node {
        let at = |port: u16| {
            let addresses = NEW.iter().flat_map(|place| [format!("{}:{port}", place.v4), format!("[{}]:{port}", place.v6)]);
            addresses.collect::<Vec<_>>().join(",")
        };
        let addresses: Vec<&str> = NEW.iter().flat_map(|place| [place.v4, place.v6]).collect();
        let settings = [
            format!("node.public_addresses={}", addresses.join(",")),
            format!("dns.nameservers={},{}", NEW[0].name, NEW[1].name),
            format!("dns.cname_suffix={SUFFIX}"),
            format!("dns.root_hints={}", self.hints().display()),
            format!("dns.resolvers={}", RESOLVER.v4),
            format!("dns.listen={}", at(53)),
            format!("dns.listen_tls={}", at(853)),
            "tunnel.listen=0.0.0.0:7844".to_owned(),
            format!("edge.http={}", at(80)),
            format!("edge.https={}", at(443)),
        ];
        let (environment, log) = (self.clock.rules(), Some("info,poterne_control_scout=debug"));
        let node = Node::bare_with(Setup { settings: settings.into(), environment, log, ..Setup::default() });
        let api = Api::of(&node);
        let own = api.zone(&node, "newhost.com");
        for place in NEW {
            for (kind, content) in [("A", place.v4), ("AAAA", place.v6)] {
                let body = json!({ "type": kind, "name": place.name, "content": content, "proxied": false, "ttl": 3600 });
                api.done("POST", &format!("{own}/dns_records"), &body);
            }
        }
        node
    }

    /// What a registrar does: the top-level domain has these name servers and these DS records of a zone from now on; none: it does not
    /// know the zone.
    pub fn delegate(&self, zone: &str, name_servers: &[&str], ds: &[String]) {
        let mut held = self.delegated.borrow_mut();
        let (serial, delegated) = &mut *held;
        *serial += 1;
        if name_servers.is_empty() {
            delegated.remove(zone);
        } else {
            let name_servers = name_servers.iter().map(ToString::to_string).collect();
            delegated.insert(zone.to_owned(), Delegated { name_servers, ds: ds.to_vec() });
        }
        self.top_signer.sign(&top_zone(*serial, delegated));
        self.top.reload("com", *serial);
    }

    /// The same with the name servers that it has.
    pub fn set_ds(&self, zone: &str, ds: &[String]) {
        let name_servers = self.delegated.borrow().1[zone].name_servers.clone();
        self.delegate(zone, &name_servers.iter().map(String::as_str).collect::<Vec<_>>(), ds);
    }

    /// The previous provider has these records of a zone from now on.
    pub fn set_previous(&self, apex: &str, records: &str) {
        let serial = *self.old_serials.borrow_mut().entry(apex.to_owned()).and_modify(|serial| *serial += 1).or_insert(2);
        let text = format!("{}{records}", head(apex, &OLD, serial, 300));
        match self.old_signers.get(apex) {
            Some(signer) => drop(signer.sign(&text)),
            None => fs::write(self.dir.path().join("old").join(apex), text).unwrap(),
        }
        self.old.reload(apex, serial);
    }

    /// The DS records of a zone that the previous provider has signed.
    pub fn previous_ds(&self, zone: &str) -> &[String] {
        &self.previous_ds[zone]
    }

    /// Where the root is, as a zone file.
    pub fn hints(&self) -> PathBuf {
        self.dir.path().join("hints")
    }

    /// A resolver that remembers nothing.
    pub fn forget(&self) {
        let mut held = self.resolver.borrow_mut();
        held.kill();
        *held = resolver(RESOLVER, self.dir.path(), &self.anchor, &self.clock);
    }

    /// What the resolver says, as `dig` shows it.
    pub fn resolved(&self, name: &str, kind: &str) -> String {
        self.resolved_by(RESOLVER, name, kind)
    }

    /// What this one of both says.
    pub fn resolved_by(&self, resolver: Place, name: &str, kind: &str) -> String {
        dig(resolver.v4, name, kind, &["+dnssec", "+recurse"])
    }

    /// What `delv` says of it, which validates by itself, from the root's key on. It has the machine's time (its allocator and the clock's
    /// library wait for each other for ever), and signatures hold from three hours before they were made.
    pub fn validated(&self, name: &str, kind: &str) -> String {
        let [tag, algorithm, digest_type, digest] = self.anchor.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{}", self.anchor)
        };
        let anchors = self.dir.path().join("anchors");
        fs::write(&anchors, format!("trust-anchors {{ . static-ds {tag} {algorithm} {digest_type} \"{digest}\"; }};\n")).unwrap();
        let mut command = Command::new("delv");
        command.arg(format!("@{}", RESOLVER.v4)).arg("-a").arg(&anchors).args(["+root=.", name, kind]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }
}

/// One question to one server, as `dig` shows the answer.
pub fn dig(server: &str, name: &str, kind: &str, words: &[&str]) -> String {
    let mut command = Command::new("dig");
    command.args(["-r", &format!("@{server}"), "+norecurse", "+tries=2", "+time=5", name, kind]).args(words);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The data of an answer, a line each, in order.
pub fn answer(server: &str, name: &str, kind: &str) -> Vec<String> {
    let words: &[&str] = if server == RESOLVER.v4 { &["+short", "+recurse"] } else { &["+short"] };
    let mut lines: Vec<String> = dig(server, name, kind, words).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A zone's first records: SOA, and name servers with their addresses where these lie within.
fn head(apex: &str, servers: &[Place], serial: u32, ttl_secs: u32) -> String {
    let dotted = if apex == "." { String::new() } else { apex.to_owned() };
    let names: Vec<String> = servers.iter().map(|place| place.name.to_owned()).collect();
    // Addresses of servers elsewhere are not this zone's to tell.
    let within: Vec<Place> = servers.iter().copied().filter(|place| place.name.ends_with(&dotted)).collect();
    format!(
        "$ORIGIN {dotted}.\n$TTL {ttl_secs}\n{dotted}. SOA {}. hostmaster.{}. {serial} 14400 3600 1209600 300\n{}",
        servers[0].name,
        servers[0].name,
        delegation(apex, &names, &[], &within)
    )
}

/// NS and DS records, and the addresses of the servers that are called so.
fn delegation(zone: &str, name_servers: &[String], ds: &[String], known: &[Place]) -> String {
    let dotted = if zone == "." { ".".to_owned() } else { format!("{zone}.") };
    let mut text = String::new();
    for name in name_servers {
        text += &format!("{dotted} NS {name}.\n");
        for place in known.iter().filter(|place| place.name == name) {
            text += &format!("{name}. A {}\n{name}. AAAA {}\n", place.v4, place.v6);
        }
    }
    for data in ds {
        text += &format!("{dotted} DS {data}\n");
    }
    text
}

/// The top-level domain: glue stands with the zone that it lies in.
fn top_zone(serial: u32, delegated: &BTreeMap<String, Delegated>) -> String {
    let mut text = head("com", &TOP, serial, 3600);
    for (zone, Delegated { name_servers, ds }) in delegated {
        let known: Vec<Place> =
            [OLD, NEW].concat().into_iter().filter(|place| place.name.ends_with(&format!(".{zone}"))).collect();
        text += &delegation(zone, name_servers, ds, &known);
    }
    text
}

/// Debian's unbound, which trusts the root's key and nothing else.
fn resolver(place: Place, dir: &Path, anchor: &str, clock: &Clock) -> Running {
    let (Place { name, v4, v6 }, dir_shown) = (place, dir.display());
    let memory = if place == FORGETFUL { "  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n" } else { "" };
    let config = format!(
        "server:\n  interface: {v4}\n  interface: {v6}\n  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
         do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  directory: \"{dir_shown}\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         num-threads: 1\n  root-hints: \"{dir_shown}/hints\"\n  trust-anchor: \". IN DS {anchor}\"\n  \
         module-config: \"validator iterator\"\n  aggressive-nsec: yes\n  val-log-level: 2\n{memory}\
         remote-control:\n  control-enable: no\n"
    );
    let file = dir.join(name).with_extension("conf");
    fs::write(&file, config).unwrap();
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("unbound.log")).unwrap();
    let mut command = Command::new(server("unbound"));
    command.args(["-d", "-c"]).arg(file).envs(clock.rules()).stdin(Stdio::null()).stderr(log);
    let running = Running::start(&mut command);
    eventually("the resolver validates", || dig(v4, "com", "SOA", &["+dnssec", "+recurse"]).contains(" ad;"));
    running
}

/// Debian has servers where only root looks.
fn server(program: &str) -> PathBuf {
    let path = PathBuf::from("/usr/sbin").join(program);
    if path.exists() { path } else { program.into() }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for file in ["top/com", "unbound.log"] {
                eprintln!("== {file}\n{}", fs::read_to_string(self.dir.path().join(file)).unwrap_or_default());
            }
        }
    }
}
