//! Answers of the administration verbs, for a person at a terminal.

use std::fmt::Write as _;

use poterne_control_wire::LoginCertificate;
use poterne_tunnel_agent::terminal::plain;

use poterne_control_scout::check::{Level, Report, Topic};

use crate::admin::protocol::{Answer, ApiToken, Login, Pack, Reloaded, Tunnel, User, Zone};

/// An answer as text; always ends with a line break. `now` is in seconds since the Unix epoch.
pub fn render(answer: &Answer, now: u64) -> String {
    match answer {
        Answer::Zone(zone) => match zone.status.as_str() {
            "pending" => {
                let mut text = format!("Zone {} is there, and pending: it serves nothing yet.\n", zone.name);
                if !zone.name_servers.is_empty() {
                    let _ = writeln!(
                        text,
                        "Set these name servers at your registrar; the zone is active once they are seen:  {}\n\
                         To see what the world sees meanwhile:  poterne dns check {}",
                        zone.name_servers.join("  "),
                        zone.name
                    );
                }
                let _ = writeln!(text, "If it is served here without a delegation:  poterne zone activate {}", zone.name);
                text
            }
            status => format!("Zone {} is {status}.\n", zone.name),
        },
        Answer::Zones(zones) if zones.is_empty() => "No zone yet. Add one: poterne zone add example.org\n".into(),
        Answer::Zones(zones) => table(["NAME", "STATUS", "ID"], zones.iter().map(zone_row)),
        Answer::Certificates { zone, packs } if packs.is_empty() => format!(
            "{} has no certificates of its own{}.\n",
            zone.name,
            if zone.status == "active" {
                ": set `directory` under [acme] in poterne.toml to order some"
            } else {
                ": it is not active"
            }
        ),
        Answer::Certificates { packs, .. } => certificates(packs),
        Answer::ZoneDeleted { zone, purged: true } => format!("Zone {} is gone, with all its records.\n", zone.name),
        Answer::ZoneDeleted { zone, purged: false } => format!(
            "Zone {} is gone, with all its records.\nTo take it back, within seven days:  poterne zone restore {}\n",
            zone.name, zone.name
        ),
        // Told before anything is printed.
        Answer::Doubtful { message } => format!("{message}\n"),
        Answer::Challenge(challenge) => format!(
            "{} says {:?} now, beside what stands there, until {}.\n",
            challenge.owner,
            plain(&challenge.text),
            challenge.expires_at
        ),
        Answer::ChallengesRemoved(gone) if gone.is_empty() => "Nothing of that was shown.\n".into(),
        Answer::ChallengesRemoved(gone) => {
            gone.iter().map(|challenge| format!("{} says {:?} no more.\n", challenge.owner, plain(&challenge.text))).collect()
        }
        Answer::Created { tunnel, token } => format!(
            "Tunnel {} is there, its id is {}.\nIts token, which is all an agent needs and as secret as a password:\n\n{token}\n\n\
             On the machine of the service:  poterne-agent tunnel run --token TOKEN\n\
             Then give it a name:            poterne tunnel route app.example.org {} http://localhost:8080\n",
            tunnel.name, tunnel.id, tunnel.name
        ),
        Answer::Routed { hostname, tunnel, service, zone } => {
            let mut text = format!("{hostname} goes through tunnel {} to {service}.\n", tunnel.name);
            if !matches!(zone.status.as_str(), "active" | "moved") {
                let _ = writeln!(
                    text,
                    "Zone {0} is {1}: nothing is served until it is active. If it is yours: poterne zone activate {0}",
                    zone.name, zone.status
                );
            }
            text
        }
        Answer::Token { token, .. } => format!("{token}\n"),
        Answer::Tunnels(tunnels) if tunnels.is_empty() => "No tunnel yet. Create one: poterne tunnel create home\n".into(),
        Answer::Tunnels(tunnels) => table(["NAME", "STATUS", "AGENTS", "ID"], tunnels.iter().map(tunnel_row)),
        Answer::Tunnel(tunnel) => info(tunnel, now),
        Answer::Deleted { tunnel, removed, left } => {
            let mut text = format!("Tunnel {} is gone, and its connections with it.\n", tunnel.name);
            for hostname in removed {
                let _ = writeln!(text, "The record of {hostname} is gone too.");
            }
            for hostname in left {
                let _ = writeln!(
                    text,
                    "The record of {hostname} still points to it, since `poterne tunnel route` did not make it: visitors there get error 1016."
                );
            }
            text
        }
        Answer::Checked(report) => checked(report),
        Answer::Reloaded(reloaded) => self::reloaded(reloaded),
        Answer::Request { text, .. } => format!("{text}\n"),
        Answer::Missed(count) => format!("({count} requests are not shown)\n"),
        Answer::Upgraded(upgraded) => {
            let mut text = format!(
                "Process {} ({}) serves visitors and agents now; the former one ends what it has begun.\n",
                upgraded.process,
                upgraded.program.display()
            );
            if upgraded.agents_missing > 0 {
                let _ = writeln!(
                    text,
                    "Agents of {} tunnels followed the visitors: their requests may have waited.",
                    upgraded.agents_missing
                );
            }
            text
        }
        Answer::BackedUp { path, bytes } => format!(
            "{} is there, {} KiB. It holds every secret of this node: keep it as you keep passwords.\n\
             On another machine:  poterne restore {}\n",
            path.display(),
            bytes.div_ceil(1024),
            path.file_name().unwrap_or_default().display()
        ),
        Answer::Certificate { zone_id, account_id, api_token, api, authorities } => {
            let certificate = LoginCertificate {
                zone: zone_id.clone(),
                account: account_id.clone(),
                token: api_token.clone(),
                api: api.clone(),
                authorities: authorities.clone(),
            };
            certificate.encode()
        }
        Answer::Logins(logins) if logins.is_empty() => {
            "No agent waits. On the agent's machine: poterne-agent login --url https://NODE\n".into()
        }
        Answer::Logins(logins) => {
            table(["CODE", "FROM", "CALLS ITSELF", "WAITS", "APPROVED FOR"], logins.iter().map(|login| login_row(login, now)))
        }
        Answer::LoginApproved { login, zone } => format!(
            "The agent that shows {} may now change this account's tunnels, and the names of {zone}. It asked from {}{}.\n\
             Was that you? If not, take it back at once: poterne login refuse {}, or poterne token list and poterne token delete ID\n",
            login.code,
            login.source,
            said(&login.who),
            login.code
        ),
        Answer::LoginRefused { login } => {
            format!("The agent that showed {}, from {}{}, was sent away.\n", login.code, login.source, said(&login.who))
        }
        Answer::ApiToken { token, secret } => format!(
            "API token {} is there, its id is {}. This is its text, told this once and as secret as a password:\n\n{secret}\n\n\
             As in:  curl -H \"Authorization: Bearer TOKEN\" http://127.0.0.1:8600/client/v4/user/tokens/verify\n",
            token.name, token.id
        ),
        Answer::ApiTokens(tokens) if tokens.is_empty() => {
            "No API token yet. Make one: poterne token create --name ci --permissions \"Zone Read,DNS Write\"\n".into()
        }
        Answer::ApiTokens(tokens) => table(["NAME", "STATUS", "LAST USED", "ID"], tokens.iter().map(api_token_row)),
        Answer::ApiTokenDeleted { id } => format!("API token {id} is gone.\n"),
        Answer::ManagementToken { token, .. } => format!("{token}\n"),
        Answer::Users(users) => table(["E-MAIL", "PASSWORD", "SECOND FACTOR", "STATUS", "ID"], users.iter().map(user_row)),
        Answer::Password { user, made } => password(user, made.as_deref()),
        Answer::PasswordLink { email, token, until } => format!(
            "With this code {email} sets a password, once, until {until}:\n\n{token}\n\n\
             As in:  curl -H \"Content-Type: application/json\" -d '{{\"token\":\"CODE\",\"password\":\"…\"}}' \
             http://127.0.0.1:8600/client/v4/poterne/password_reset\n"
        ),
        Answer::Invited { email, roles, link, expires_at, by_mail } => {
            let told = if *by_mail {
                "A mail with this link is on its way to them"
            } else {
                "No mail goes to them from here: hand them this link yourself"
            };
            let until = expires_at.as_ref().map(|at| format!(", and is good until {at}")).unwrap_or_default();
            format!(
                "{email} is invited as {}.\n{told}. It lets in whoever has it, as {email}{until}:\n\n{link}\n",
                roles.join(", ")
            )
        }
        Answer::MailTaken { address, server } => {
            format!("The mail server {server} has taken a message to {address}: look there, and among what was sorted out.\n")
        }
        Answer::Refused { message } => format!("{message}\n"),
    }
}

/// What an agent says of itself, marked as that.
fn said(who: &str) -> String {
    if who.is_empty() { String::new() } else { format!(", and calls its machine {who:?}") }
}

fn login_row(login: &Login, now: u64) -> [String; 5] {
    let approved = login.approved.clone().unwrap_or_else(|| "-".into());
    [login.code.clone(), login.source.clone(), login.who.clone(), ago(now.saturating_sub(login.since)), approved]
}

/// What was done with a password, and what is left to know.
fn password(user: &User, made: Option<&str>) -> String {
    let mut text = format!("{} has another password, and every session of theirs is over.\n", user.email);
    if let Some(made) = made {
        let _ = writeln!(text, "It is told this once:\n\n{made}\n");
    }
    if user.second_factor {
        text.push_str("They are still asked for their second factor; where it is lost: --forget-second-factors\n");
    }
    text
}

fn user_row(user: &User) -> [String; 5] {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let status = if user.suspended { "suspended" } else { "active" };
    [user.email.clone(), yes(user.password), yes(user.second_factor), status.into(), user.id.clone()]
}

/// What the world sees, topic by topic.
fn checked(report: &Report) -> String {
    let mut text = String::new();
    let mut before = None;
    for finding in &report.findings {
        if before != Some(finding.topic) {
            let heading = match finding.topic {
                Topic::Delegation => "Delegation",
                Topic::Glue => "Glue",
                Topic::NameServers => "Name servers",
                Topic::Dnssec => "DNSSEC",
                Topic::Propagation => "Propagation",
                Topic::Origin => "The origin's address",
            };
            let _ = writeln!(text, "{}{heading}", if before.is_some() { "\n" } else { "" });
            before = Some(finding.topic);
        }
        let mark = match finding.level {
            Level::Fine => "ok  ",
            Level::Warning => "note",
            Level::Problem => "WRONG",
        };
        let _ = writeln!(text, "  {mark:<5}  {}", finding.text);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "         → {remedy}");
        }
    }
    let problems = report.findings.iter().filter(|finding| finding.level == Level::Problem).count();
    let _ = match problems {
        0 => writeln!(text, "\n{} is as it should be.", report.zone),
        1 => writeln!(text, "\n{}: one thing is wrong.", report.zone),
        many => writeln!(text, "\n{}: {many} things are wrong.", report.zone),
    };
    text
}

fn zone_row(zone: &Zone) -> [String; 3] {
    [zone.name.clone(), zone.status.clone(), zone.id.clone()]
}

fn api_token_row(token: &ApiToken) -> [String; 4] {
    let used = token.last_used.clone().unwrap_or_else(|| "never".into());
    [token.name.clone(), token.status.clone(), used, token.id.clone()]
}

fn tunnel_row(tunnel: &Tunnel) -> [String; 4] {
    let status = tunnel.status.clone().unwrap_or_else(|| "-".into());
    [tunnel.name.clone(), status, tunnel.connectors.len().to_string(), tunnel.id.clone()]
}

fn info(tunnel: &Tunnel, now: u64) -> String {
    let mut text = format!("Name        {}\nId          {}\n", tunnel.name, tunnel.id);
    let _ = match (&tunnel.status, tunnel.since) {
        (Some(status), Some(since)) => writeln!(text, "Status      {status}, since {} ago", ago(now.saturating_sub(since))),
        (Some(status), None) => writeln!(text, "Status      {status}"),
        (None, _) => Ok(()),
    };
    if let Some(created) = &tunnel.created_at {
        let _ = writeln!(text, "Created     {created}");
    }
    for hostname in &tunnel.hostnames {
        let _ = writeln!(text, "Hostname    {hostname}");
    }
    for agent in &tunnel.connectors {
        // An agent says of itself what it likes.
        let _ = writeln!(text, "Agent       {} {} {}", agent.id, plain(&agent.version), plain(&agent.arch));
        for connection in &agent.connections {
            let _ = writeln!(text, "              {connection}");
        }
    }
    text
}

/// A span of seconds, to its largest two units.
fn ago(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// Packs, one a line; what went wrong stands below.
fn certificates(packs: &[Pack]) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let row = |pack: &Pack| {
        let first = pack.hosts.first().cloned().unwrap_or_default();
        let names =
            if pack.hosts.len() > 2 { format!("{first} and {} more", pack.hosts.len() - 1) } else { pack.hosts.join(" ") };
        [names, pack.kind.clone(), pack.status.clone(), or_dash(&pack.issuer), or_dash(&pack.expires_at), or_dash(&pack.next_at)]
    };
    let mut text = table(["NAMES", "KIND", "STATUS", "BY", "UNTIL", "NEXT"], packs.iter().map(row));
    for pack in packs {
        if let Some(error) = &pack.error {
            let _ = writeln!(text, "\n{}: {}", plain(&pack.hosts.join(" ")), plain(error));
        }
    }
    text
}

/// Columns as wide as their widest cell, two spaces apart.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows = rows.map(|row| row.map(|cell| plain(&cell)));
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn reloaded(reloaded: &Reloaded) -> String {
    let mut text = match (reloaded.changed.is_empty(), reloaded.left.is_empty()) {
        (true, true) => "The configuration says what it said before.\n".to_owned(),
        (true, false) => String::new(),
        (false, _) => format!("Changed and obeyed:  {}\n", reloaded.changed.join("  ")),
    };
    if !reloaded.left.is_empty() {
        let _ = writeln!(text, "Changed, and obeyed after a restart only:  {}", reloaded.left.join("  "));
    }
    if reloaded.certificate_names > 0 {
        let names = if reloaded.certificate_names == 1 { "name" } else { "names" };
        let _ = writeln!(text, "Your certificates were read again; they cover {} {names}.", reloaded.certificate_names);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::Connector;

    fn zone(name: &str, status: &str) -> Zone {
        Zone { id: "0123".into(), name: name.into(), status: status.into(), name_servers: Vec::new() }
    }

    #[test]
    fn lists_are_aligned_and_empty_ones_say_what_next() {
        let answer = Answer::Zones(vec![zone("example.org", "pending"), zone("a.b", "active")]);
        assert_eq!(render(&answer, 0), "NAME         STATUS   ID\nexample.org  pending  0123\na.b          active   0123\n");
        assert!(render(&Answer::Zones(vec![]), 0).contains("poterne zone add"));
        assert!(render(&Answer::Tunnels(vec![]), 0).contains("poterne tunnel create"));
    }

    #[test]
    fn certificates_say_until_when_and_what_went_wrong() {
        let pack = |hosts: &[&str], error: Option<&str>| Pack {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            kind: "universal".into(),
            status: "active".into(),
            issuer: Some("CA".into()),
            expires_at: Some("2027-01-01T00:00:00Z".into()),
            next_at: None,
            error: error.map(str::to_owned),
        };
        let packs = vec![pack(&["*.a.b", "a.b"], None), pack(&["x", "y", "z"], Some("no \u{1b}record"))];
        let text = render(&Answer::Certificates { zone: zone("a.b", "active"), packs }, 0);
        assert!(text.contains("*.a.b a.b     universal  active  CA  2027-01-01T00:00:00Z  -\n"), "{text}");
        assert!(text.contains("x and 2 more") && text.ends_with("\nx y z: no \u{fffd}record\n"), "{text}");
        let none = Answer::Certificates { zone: zone("a.b", "active"), packs: Vec::new() };
        assert!(render(&none, 0).contains("[acme]"));
    }

    #[test]
    fn a_pending_zone_says_how_to_activate_it() {
        assert!(render(&Answer::Zone(zone("example.org", "pending")), 0).contains("poterne zone activate example.org"));
        let delegated =
            Zone { name_servers: vec!["ns1.node.net".into(), "ns2.node.net".into()], ..zone("example.org", "pending") };
        let told = render(&Answer::Zone(delegated), 0);
        assert!(told.contains("registrar; the zone is active once they are seen:  ns1.node.net  ns2.node.net\n"), "{told}");
        assert_eq!(render(&Answer::Zone(zone("example.org", "active")), 0), "Zone example.org is active.\n");
    }

    #[test]
    fn what_the_world_sees_is_told_by_topic_with_what_to_do() {
        let finding = |level, topic, text: &str, remedy: Option<&str>| poterne_control_scout::check::Finding {
            level,
            topic,
            text: text.into(),
            remedy: remedy.map(str::to_owned),
        };
        let fine = finding(Level::Fine, Topic::Delegation, "it is delegated here", None);
        let wrong = finding(Level::Problem, Topic::Origin, "ftp shows it", Some("proxy it too"));
        let report = Report { zone: "a.b".into(), findings: vec![fine.clone(), wrong] };
        let expected = "Delegation\n  ok     it is delegated here\n\nThe origin's address\n  WRONG  ftp shows it\n         → proxy it too\n\n\
            a.b: one thing is wrong.\n";
        assert_eq!(render(&Answer::Checked(report), 0), expected);
        let good = Report { zone: "a.b".into(), findings: vec![fine] };
        assert!(render(&Answer::Checked(good), 0).ends_with("\na.b is as it should be.\n"));
    }

    #[test]
    fn whoever_approves_a_login_is_told_whence_it_came() {
        let login =
            Login { code: "K7QM-2XPD".into(), source: "192.0.2.7".into(), who: "nas \u{1b}".into(), since: 40, approved: None };
        let listed = render(&Answer::Logins(vec![login.clone()]), 100);
        assert!(listed.contains("K7QM-2XPD  192.0.2.7") && listed.contains("1 min 0 s"), "{listed}");
        let approved = render(&Answer::LoginApproved { login, zone: "example.org".into() }, 100);
        assert!(approved.contains("It asked from 192.0.2.7, and calls its machine \"nas \\u{1b}\"."), "{approved}");
        assert!(approved.contains("poterne login refuse K7QM-2XPD"), "{approved}");
    }

    #[test]
    fn a_password_that_was_made_is_shown_and_one_that_was_chosen_is_not() {
        let user = |second_factor| User {
            id: "1".into(),
            email: "a@example.net".into(),
            password: true,
            second_factor,
            suspended: false,
        };
        let text = render(&Answer::Password { user: user(true), made: Some("abc".into()) }, 0);
        assert!(text.contains("\nabc\n") && text.contains("--forget-second-factors"), "{text}");
        assert!(!render(&Answer::Password { user: user(false), made: None }, 0).contains("forget"));
        let text = render(&Answer::Users(vec![user(false)]), 0);
        assert!(text.contains("a@example.net  yes       no             active  1"), "{text}");
        let answer = Answer::PasswordLink { email: "a@b.c".into(), token: "pol_x".into(), until: "2026-01-02T00:00:00Z".into() };
        assert!(render(&answer, 0).contains("\npol_x\n"));
    }

    #[test]
    fn what_a_reload_left_is_told() {
        let told = |changed: &[&str], left: &[&str], certificate_names| {
            let owned = |all: &[&str]| all.iter().map(|s| s.to_string()).collect();
            render(&Answer::Reloaded(Reloaded { changed: owned(changed), left: owned(left), certificate_names }), 0)
        };
        assert_eq!(told(&[], &[], 0), "The configuration says what it said before.\n");
        let text = told(&["edge.drain_secs"], &["edge.http", "mail.smtp"], 2);
        assert_eq!(
            text,
            "Changed and obeyed:  edge.drain_secs\nChanged, and obeyed after a restart only:  edge.http  mail.smtp\n\
             Your certificates were read again; they cover 2 names.\n"
        );
    }

    #[test]
    fn a_tunnel_shows_its_agents_and_since_when() {
        let tunnel = Tunnel {
            id: "t".into(),
            name: "home".into(),
            status: Some("healthy".into()),
            since: Some(100),
            created_at: None,
            hostnames: vec!["app.example.org".into()],
            connectors: vec![Connector {
                id: "c".into(),
                version: "1\u{1b}[2J".into(),
                arch: "linux_amd64".into(),
                connections: vec!["0 quic ::1".into()],
            }],
        };
        let text = render(&Answer::Tunnel(tunnel), 100 + 3661);
        assert!(text.contains("healthy, since 1 h 1 min ago"), "{text}");
        assert!(text.contains("Hostname    app.example.org\n"), "{text}");
        assert!(text.contains("Agent       c 1\u{fffd}[2J linux_amd64\n              0 quic ::1\n"), "{text}");
    }
}
