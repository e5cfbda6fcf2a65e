//! Every key of poterne.toml, declared once: documentation, kind and default.

use std::fmt::Write as _;

use toml::{Table, Value};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its section.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How its text form in a variable or a flag is read.
    pub kind: Kind,
    /// Its default, in TOML.
    pub default: Default,
    /// What it means, and when one would want it.
    pub doc: &'static str,
}

/// How a key's text form (variable, flag) is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// Texts separated by commas.
    List,
    /// A TOML value.
    Toml,
}

/// A key's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This TOML value.
    Is(&'static str),
    /// None; the TOML value is an example for the template.
    AbsentAsIn(&'static str),
}

/// The sections, in the template's order, each with its heading.
pub const SECTIONS: &[(&str, &str)] = &[
    ("node", "Who this node is."),
    ("edge", "The visitors' side."),
    ("tunnel", "The agents' side: where they dial in, and what tunnels are called."),
    ("dns", "The name server: who answers for your zones."),
    ("control", "The control plane: API, store, operator's decisions."),
    (
        "acme",
        "Certificates of public authorities. Without `directory` none is ordered, and the node's own authority vouches for all names.",
    ),
    ("mail", "Outgoing mail: invitations, new passwords, and what notification policies ask for. Without `smtp` none is sent."),
    ("log", "What the node writes down."),
    ("telemetry", "Traces of requests, for a collector of OpenTelemetry's. Without `otlp` there are none (docs/tracing.md)."),
];

/// The keys, by section and name, that `poterne reload` obeys. The others are read when the node starts.
pub const RELOADED: &[(&str, &str)] = &[
    ("edge", "trusted_proxies"),
    ("edge", "proxy_protocol"),
    ("edge", "certificates"),
    ("edge", "connections_max"),
    ("edge", "connections_per_address_max"),
    ("edge", "upload_bytes_per_sec_min"),
    ("edge", "stalled_write_secs"),
    ("edge", "serve_half_closed"),
    ("edge", "drain_secs"),
    ("log", "level"),
    ("log", "access"),
    ("log", "access_format"),
    ("log", "access_sample"),
    ("log", "access_query"),
];

use self::Default::{AbsentAsIn, Is};

macro_rules! key {
    ($section:literal $name:literal $kind:ident $default:expr, $doc:literal) => {
        Key { section: $section, name: $name, kind: Kind::$kind, default: $default, doc: $doc }
    };
}

/// The table.
pub const KEYS: &[Key] = &[
    key!("node" "name" Text AbsentAsIn(r#""node.example.net""#),
        "The node's own name. Its API answers under it, agents are told it. Default: the host name of this machine."),
    key!("node" "roles" List Is(r#"["control", "dns", "edge"]"#),
        "What the node does. Roles can live in one process, which is the default."),
    key!("node" "state_dir" Text Is(r#""/var/lib/poterne""#),
        "Where store, keys and certificates are kept. Made at the first start, readable by its owner alone."),
    key!("node" "public_addresses" List Is("[]"),
        "Addresses the world reaches this node at, as in [\"203.0.113.10\", \"2001:db8::10\"]. They need not be on an interface. \
         Tunnel tokens name them where the node has no name that resolves."),
    key!("edge" "http" List Is(r#"["[::]:80"]"#),
        "Where visitors are received in clear; [::] is every address, IPv4 and IPv6. Empty: nowhere."),
    key!("edge" "https" List Is(r#"["[::]:443"]"#),
        "Where visitors are received over TLS, by TCP and, for HTTP/3, by UDP. Agents whose network lets nothing else out are \
         received here too."),
    key!("edge" "trusted_proxies" List Is("[]"),
        "Addresses or ranges of proxies in front of this node, whose X-Forwarded-For is believed. Everyone else's is dropped."),
    key!("edge" "proxy_protocol" List Is("[]"),
        "Addresses or ranges of load balancers that pass connections on as they are and say first whose they bring (PROXY protocol, \
         version 1 or 2). One of theirs that begins otherwise is closed; nobody else's is looked at."),
    key!("edge" "certificates" Toml Is("[]"),
        "Your own certificates, as in [{ cert = \"/etc/ssl/example.pem\", key = \"/etc/ssl/example.key\" }]. \
         Names they do not cover get one from the node's local authority."),
    key!("edge" "origins_allowed" Toml Is("[]"),
        "Private ranges that webhooks may be called in, and direct origins may be in, as in [{ cidr = \"10.0.0.0/8\" }]; `accounts` \
         limits that to some accounts. Services behind a tunnel do not need it."),
    key!("edge" "origin_connections_max" Number AbsentAsIn("20000"),
        "Connections to direct origins at once, idle ones included; beyond it visitors read error 1200. Default: an eighth of the \
         descriptors this process may have."),
    key!("edge" "origin_connections_per_zone_max" Number AbsentAsIn("2000"),
        "The same of one zone, so that slow origins of one keep no other's visitors out. Default: half of the above."),
    key!("edge" "connections_max" Number AbsentAsIn("100000"),
        "Visitors' connections at once; one more is closed. Default: three quarters of the descriptors this process may have. \
         Lower it where memory is short."),
    key!("edge" "connections_per_address_max" Number Is("4096"),
        "Visitors' connections at once from one IPv4 address or one IPv6 /64. Raise it where a proxy in front of this node brings \
         everyone from one address."),
    key!("edge" "upload_bytes_per_sec_min" Number AbsentAsIn("500"),
        "Least average rate of a request's body over HTTP/1.1, counted after 5 seconds of waiting for the visitor; a slower one is \
         broken off. Absent: an upload may take its time. Set it where slow uploads take all connections."),
    key!("edge" "stalled_mib_max" Number AbsentAsIn("256"),
        "MiB of answers that may lie at this node for visitors who stopped reading, all together; beyond it some are let go, the longest \
         of whoever has most. Default: an eighth of the machine's memory, 1024 at most. A paused player's answer takes some 1.2."),
    key!("edge" "stalled_write_secs" Number AbsentAsIn("60"),
        "Seconds a visitor may take nothing of an answer that is ready before it is let go. Absent: a player that pauses keeps its \
         place. Set it where visitors that do not read take all connections."),
    key!("edge" "serve_half_closed" Toml Is("false"),
        "Whether a visitor that closes its sending side after a request is answered all the same. Most proxies take it for gone, and so \
         does this one. Set it for clients that do so, as `nc -N` does."),
    key!("edge" "drain_secs" Number Is("30"),
        "Seconds that requests in flight get to end when the node is asked to stop. A second signal stops it at once."),
    key!("tunnel" "listen" List Is(r#"["[::]:7844"]"#),
        "Where agents dial in, UDP (QUIC) and TCP (HTTP/2) on the same number. Stock agents expect 7844."),
    key!("tunnel" "domain" Text AbsentAsIn(r#""tunnels.example.net""#),
        "Your own suffix for the names of tunnels, {tunnel-id}.DOMAIN. {tunnel-id}.cfargotunnel.com always means the same."),
    key!("tunnel" "quick_domain" Text AbsentAsIn(r#""quick.example.net""#),
        "Lets anyone who reaches the API have a random name under this domain, without an account, for 8 hours. Absent: nobody can."),
    key!("tunnel" "management_hostname" Text AbsentAsIn(r#""management.node.example.net""#),
        "Where `tail` reads agents' logs, by way of this node; it must lead here. Default: management. before the node's name. \
         management.argotunnel.com, the stock agent's own, always means the same where clients are led here."),
    key!("tunnel" "edges" List Is("[]"),
        "What tokens tell agents to dial, as in [\"edge.example.net:7844\"]. Empty: the node's name if it is set, else \
         its public addresses, with the port of `listen`."),
    key!("tunnel" "congestion" Text Is(r#""bbr""#),
        "How fast the node sends to agents: bbr holds its rate over lossy links, cubic yields to others as most senders do. \
         Over HTTP/2 that is the kernel's to grant: net.ipv4.tcp_allowed_congestion_control must name bbr."),
    key!("dns" "listen" List Is("[]"),
        "Where the name server listens, UDP and TCP. Empty: port 53 of each address of this machine that is not loopback, so that a \
         local resolver may live beside it; but nowhere while `nameservers` is empty, since nobody asks it then."),
    key!("dns" "listen_tls" List AbsentAsIn(r#"["203.0.113.10:853"]"#),
        "Where it listens for DNS over TLS, with the node's certificates. Absent: port 853 beside each port 53 of `listen`."),
    key!("dns" "nameservers" List Is("[]"),
        "The names that zones are delegated to, as in [\"ns1.example.net\", \"ns2.example.net\"]. They must lead to this node."),
    key!("dns" "cname_suffix" Text AbsentAsIn(r#""cdn.example.net""#),
        "The domain below which names of partial zones, whose owners keep their own name servers, lead here: there www.example.org is a \
         CNAME to www.example.org.cdn.example.net. It must be delegated to this node, or lie in a zone that is. Absent: no such zones."),
    key!("dns" "responses_per_sec" Number Is("20"),
        "Times the same answer is sent in a second to one network (an IPv4 /24, an IPv6 /56) over UDP; of all answers of a kind it \
         gets twenty times as many. Resolvers that are cut off come back over TCP. Against floods in others' names. Raise it for large resolvers; 0: no limit."),
    key!("dns" "resolvers" List Is("[]"),
        "Resolvers by which this node looks names up, and finds the servers above a zone to see whether it is delegated here: addresses, \
         with or without a port. Empty: those of /etc/resolv.conf."),
    key!("dns" "root_hints" Text AbsentAsIn(r#""/usr/share/dns/root.hints""#),
        "A file with the addresses of the root's name servers. Where it is set, the servers above a zone are found from the root, and \
         without `resolvers` every name is; for a world of one's own, or a machine whose resolvers are not to be believed."),
    key!("control" "listen" Text Is(r#""127.0.0.1:8600""#),
        "Where the API listens in clear. It is reached under the node's names on the edge too, so keep this one on loopback."),
    key!("control" "url" Text AbsentAsIn(r#""https://control.example.net""#),
        "Where people reach this node's pages, as links in mails begin: a proxy's address, where one stands in front of `listen`. \
         Absent: the node's name over TLS, or else `listen`. One day also where control is, for an edge that lives apart."),
    key!("control" "aliases" List Is("[]"),
        "Other names of the API, for clients that are led here by DNS."),
    key!("control" "store" Text Is(r#""sqlite""#),
        "The database. \"sqlite\" keeps it in the state directory; postgres://USER:PASSWORD@HOST/DATABASE uses a PostgreSQL server."),
    key!("control" "activate" List Is("[]"),
        "Zones that you, who run this node, declare active without waiting for their delegation: names, or \"*.test\" for all below."),
    key!("control" "rate_limit" Number Is("1200"),
        "API requests that a token, or a user who is signed in, may make in a minute; 0: as many as it likes. Every answer tells what is left."),
    key!("control" "metrics" Text Is(r#""127.0.0.1:8601""#),
        "Where /metrics, /ready and /live are served, in clear and to anyone who reaches it."),
    key!("acme" "directory" Text AbsentAsIn(r#""https://acme-v02.api.letsencrypt.org/directory""#),
        "The authority's directory (ACME, RFC 8555). Once it is set, every active zone gets certificates for its name, for all names one \
         label below, and for deeper proxied ones, and they are renewed by themselves. Setting it means that you agree to the authority's terms."),
    key!("acme" "email" Text AbsentAsIn(r#""you@example.net""#), "Whom the authorities may write to."),
    key!("acme" "ca_file" Text AbsentAsIn(r#""/etc/poterne/acme-ca.pem""#),
        "Certificates (PEM) that verify the directory, instead of the system's: for an authority of your own."),
    key!("acme" "eab_kid" Text AbsentAsIn(r#""kid-1""#),
        "Name of the key by which the authority knows you, where it gives certificates to its customers alone (external account binding)."),
    key!("acme" "eab_hmac_key" Text AbsentAsIn(r#""c2VjcmV0""#),
        "That key, in base64url as the authority gave it; from the environment, POTERNE_ACME_EAB_HMAC_KEY."),
    key!("acme" "profile" Text AbsentAsIn(r#""shortlived""#),
        "Which of the authority's profiles is asked for; absent: its default."),
    key!("acme" "issuers" List Is("[]"),
        "What CAA records call the authority, as in [\"letsencrypt.org\"], where its directory does not say. Where a zone has CAA records, \
         the name server adds one that lets the authority issue, to your account alone."),
    key!("acme" "challenges" List Is(r#"["dns-01", "http-01", "tls-alpn-01"]"#),
        "How names are proven: the first that can be. A wildcard is by dns-01, whatever stands here. Your own name server shows it."),
    key!("acme" "others" Toml Is("[]"),
        "More authorities, asked in their order where the first does not give, as in [{ directory = \"https://acme.example/dir\", eab_kid = \
         \"kid-1\", eab_hmac_key = \"c2VjcmV0\" }]; ca_file, profile and issuers are as above."),
    key!("mail" "smtp" Text AbsentAsIn(r#""smtps://user@mail.example.net""#),
        "The mail server. smtps:// speaks TLS from the first byte (port 465); smtp:// asks for TLS and writes over nothing else \
         (port 587), but for a server on this machine, which is spoken to in clear (smtp://localhost, port 25). \
         In a user or password, write @ as %40, : as %3A and / as %2F. Try it: poterne mail test ADDRESS."),
    key!("mail" "from" Text AbsentAsIn(r#""Poterne <poterne@example.net>""#), "Whom the node's mails come from; the mail server must let its user send so."),
    key!("mail" "password" Text AbsentAsIn(r#""secret""#),
        "The user's password, where it is not in the URL; from the environment, POTERNE_MAIL_PASSWORD."),
    key!("mail" "password_file" Text AbsentAsIn(r#""/etc/poterne/mail-password""#), "A file that holds the user's password, instead."),
    key!("mail" "ca_file" Text AbsentAsIn(r#""/etc/poterne/mail-ca.pem""#),
        "Certificates (PEM) that vouch for the mail server, beside the system's: for a server with a private authority."),
    key!("mail" "language" Text Is(r#""both""#),
        "What mails are written in: en, fr, or both in one message, since the node does not know what its readers speak."),
    key!("log" "level" Text Is(r#""info""#),
        "How much is logged: error, warn, info, debug or trace; or directives such as \"info,poterne_edge_pipeline=debug\". The variable \
         POTERNE_LOG wins."),
    key!("log" "access" Text AbsentAsIn(r#""/var/log/poterne/access.log""#),
        "Where requests are written, a line each, once they are over: a file, which a reload opens anew (for logrotate), or stdout. Absent: nowhere."),
    key!("log" "access_format" Text Is(r#""json""#),
        "How such a line looks: json, or text for a person to read."),
    key!("log" "access_sample" Toml Is("1.0"),
        "The share of requests that is written, from 0.0 to 1.0. Those answered with a status of 500 or more always are."),
    key!("log" "access_query" Toml Is("false"),
        "Whether what follows the ? of a target is written too. It holds secrets more often than one would like."),
    key!("telemetry" "otlp" Text AbsentAsIn(r#""http://localhost:4318""#),
        "The collector's base URL (OTLP over HTTP, in protobuf); spans go to /v1/traces below it. Absent: OTEL_EXPORTER_OTLP_ENDPOINT, and \
         where that is not set, requests are not traced and the fields of a visitor's trace pass to origins as they came."),
    key!("telemetry" "headers" Text AbsentAsIn(r#""authorization=Bearer%20SECRET""#),
        "Header fields that the collector wants, name=value,name=value, values percent-encoded; from the environment, \
         POTERNE_TELEMETRY_HEADERS or OTEL_EXPORTER_OTLP_HEADERS."),
    key!("telemetry" "ca_file" Text AbsentAsIn(r#""/etc/poterne/collector-ca.pem""#),
        "Certificates (PEM) that verify the collector, instead of the system's. Absent: OTEL_EXPORTER_OTLP_CERTIFICATE, if that is set."),
    key!("telemetry" "service" Text AbsentAsIn(r#""edge-paris""#),
        "What this node is called in traces (service.name). Absent: OTEL_SERVICE_NAME, else poterne."),
    key!("telemetry" "sample" Toml AbsentAsIn("0.1"),
        "The share of requests whose trace is recorded, from 0.0 to 1.0, chosen by chance. Absent: what OTEL_TRACES_SAMPLER and \
         OTEL_TRACES_SAMPLER_ARG say, else all. Lower it where visitors are many."),
    key!("telemetry" "parents" Text Is(r#""continue""#),
        "What becomes of a trace that a visitor's request says it is part of (traceparent): continue goes on with its ids, and decides here \
         whether it is recorded; trust takes the visitor's word on that too, for visitors who are all your own; ignore begins another."),
];

/// All defaults, as one table.
pub fn defaults() -> Table {
    let mut table = Table::new();
    table.insert("version".into(), Value::Integer(1));
    for (section, _) in SECTIONS {
        table.insert((*section).into(), Value::Table(Table::new()));
    }
    for key in KEYS {
        if let (Is(default), Some(Value::Table(section))) = (key.default, table.get_mut(key.section)) {
            section.insert(key.name.into(), value(default).expect("a default is TOML: a test holds it"));
        }
    }
    table
}

/// Puts `over` on top of `table`, key by key.
pub fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(section)), Value::Table(over)) => merge(section, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// The key of this section and name.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The candidate nearest to `text`, if one is near enough to be meant.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates.map(|c| (distance(text, c), c)).filter(|(d, c)| *d <= c.len().max(3) / 2).min().map(|(_, c)| c)
}

/// A configuration file in which every key stands, documented, at its default, and commented out.
pub fn template() -> String {
    template_with(&[])
}

/// The same with these keys, by section and name, at these values in TOML.
pub fn template_with(set: &[(&str, &str, String)]) -> String {
    let mut text = String::from(
        "# Poterne's configuration. Every key has a default, shown here behind '#': take the '#' away to change it.\n\
         # Environment variables (POTERNE_EDGE_HTTP=127.0.0.1:8080) win over this file, flags over both.\n\
         # Keys marked (reload) are obeyed by `poterne reload`, the others when the node starts.\n\n\
         version = 1\n",
    );
    for (section, heading) in SECTIONS {
        let _ = write!(text, "\n# {heading}\n[{section}]\n");
        for key in KEYS.iter().filter(|key| key.section == *section) {
            text.push('\n');
            let reloaded = RELOADED.contains(&(key.section, key.name));
            let doc = format!("{}{}", key.doc, if reloaded { " (reload)" } else { "" });
            for line in wrap(&doc, 110) {
                let _ = writeln!(text, "# {line}");
            }
            if let Some((_, _, value)) = set.iter().find(|(section, name, _)| (*section, *name) == (key.section, key.name)) {
                let _ = writeln!(text, "{} = {value}", key.name);
                continue;
            }
            let _ = match key.default {
                Is(default) => writeln!(text, "#{} = {default}", key.name),
                AbsentAsIn(example) => writeln!(text, "# Absent by default; an example:\n#{} = {example}", key.name),
            };
        }
    }
    text
}

/// One TOML value out of its text.
pub fn value(text: &str) -> Result<Value, toml::de::Error> {
    let mut table: Table = format!("value = {text}").parse()?;
    Ok(table.remove("value").unwrap_or(Value::Boolean(false)))
}

/// How many letters must be inserted, removed, changed or swapped with a neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best.min(rows[i - 2][j - 2] + 1)
                } else {
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

/// Breaks a text into lines of at most `width` bytes at its spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one line at least");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.into());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, file};

    #[test]
    fn the_template_as_it_stands_changes_nothing() {
        let parsed = file::parse("t".as_ref(), &template()).unwrap();
        let mut table = defaults();
        merge(&mut table, parsed);
        assert_eq!(<Config as serde::Deserialize>::deserialize(table).unwrap(), Config::defaults());
    }

    #[test]
    fn every_default_of_the_template_is_the_default() {
        // Take the '#' away from every key that is not only an example.
        let template = template();
        let mut lines = Vec::new();
        let mut example = false;
        for line in template.lines() {
            let is_key = line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
            lines.push(if is_key && !example { &line[1..] } else { line });
            example = line.starts_with("# Absent by default");
        }
        let table = file::parse("t".as_ref(), &lines.join("\n")).unwrap();
        let config = <Config as serde::Deserialize>::deserialize(table).unwrap();
        assert_eq!(config, Config::defaults());
    }

    #[test]
    fn every_example_of_the_template_is_accepted() {
        let uncommented: Vec<&str> = template_lines();
        let table = file::parse("t".as_ref(), &uncommented.join("\n")).unwrap();
        <Config as serde::Deserialize>::deserialize(table).unwrap();
    }

    fn template_lines() -> Vec<&'static str> {
        let text: &'static str = Box::leak(template().into_boxed_str());
        text.lines().map(|l| if l.starts_with('#') && !l.starts_with("# ") && l.contains(" = ") { &l[1..] } else { l }).collect()
    }

    #[test]
    fn the_checked_in_example_is_the_template() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/poterne.example.toml");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text == template(), "docs/poterne.example.toml is behind: write `poterne config template` into it");
    }

    #[test]
    fn what_is_reloaded_is_a_key() {
        for (section, name) in RELOADED {
            assert!(find(section, name).is_some(), "[{section}] {name}");
        }
    }

    #[test]
    fn the_nearest_key_is_found_and_nonsense_has_none() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("htpp", names()), Some("http"));
        assert_eq!(nearest("quick_domian", names()), Some("quick_domain"));
        assert_eq!(nearest("zzzzzzzzzzzz", names()), None);
    }
}
