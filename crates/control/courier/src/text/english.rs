//! Notices in English.

use poterne_control_app::notice::{Notice, SignInChange};
use poterne_model::{Timestamp, TunnelStatus, ZoneStatus, health_check::HealthStatus};

use super::{Text, calendar, known, shown};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

fn date(at: Timestamp) -> String {
    let (day, month, year, hour, minute) = calendar(at);
    format!("{day} {} {year}, {hour:02}:{minute:02} UTC", MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"?"))
}

const fn status(status: TunnelStatus) -> &'static str {
    match status {
        TunnelStatus::Inactive => "inactive",
        TunnelStatus::Healthy => "healthy",
        TunnelStatus::Degraded => "degraded",
        TunnelStatus::Down => "down",
    }
}

const fn change(change: SignInChange) -> &'static str {
    match change {
        SignInChange::Password => "Your password was changed",
        SignInChange::SecondFactorAdded => "A second factor was added to your sign-in",
        SignInChange::SecondFactorRemoved => "A second factor was removed from your sign-in",
        SignInChange::PasskeyAdded => "A passkey was added to your sign-in",
        SignInChange::PasskeyRemoved => "A passkey was removed from your sign-in",
        SignInChange::RecoveryCodes => "Your recovery codes were replaced",
    }
}

/// A notice in English.
pub(super) fn text(notice: &Notice, node: &str, policy: Option<&str>) -> Text {
    let mut text = of(notice, node);
    text.language = "en";
    if let Some(policy) = policy {
        text.then.push(format!("You receive this because of the notification policy “{}” on {node}.", shown(policy)));
    }
    text
}

fn of(notice: &Notice, node: &str) -> Text {
    const NOT_YOU: &str = "If this was not you, tell whoever runs this node, and change your password.";
    match notice {
        Notice::Invitation { account, inviter, roles, link, expires_at } => {
            let account = shown(account);
            let by = inviter.as_deref().map_or_else(|| "You are invited".to_owned(), |by| format!("{} invites you", shown(by)));
            Text {
                subject: format!("Invitation to the account “{account}” on {node}"),
                said: vec![format!("{by} to join the account “{account}” on {node}. To answer, follow this link:")],
                link: Some(link.expose().to_owned()),
                facts: vec![("Roles:", roles.join(", ")), ("The link is good until:", date(*expires_at))],
                then: vec!["If you expected no invitation, ignore this message: nothing happens without you.".to_owned()],
                ..Text::default()
            }
        }
        Notice::PasswordReset { link, expires_at, ip } => Text {
            subject: format!("A new password for {node}"),
            said: vec![format!(
                "Somebody asked to choose a new password for your access to {node}. If it was you, follow this link:"
            )],
            link: Some(link.expose().to_owned()),
            facts: known([("The link is good until:", Some(date(*expires_at))), ("Asked from:", ip.as_deref().map(shown))]),
            then: vec!["If it was not you, ignore this message: your password stays as it is.".to_owned()],
            ..Text::default()
        },
        Notice::NewSignIn { at, ip, program } => Text {
            subject: format!("New sign-in to {node}"),
            said: vec![format!("Somebody signed in to {node} with your access, from where there was no sign-in before.")],
            facts: known([("When:", Some(date(*at))), ("From:", Some(shown(ip))), ("With:", program.as_deref().map(shown))]),
            then: vec![NOT_YOU.to_owned()],
            ..Text::default()
        },
        Notice::SignInChanged { change: what, at, ip } => Text {
            subject: format!("{} on {node}", change(*what)),
            said: vec![format!("{} on {node}.", change(*what))],
            facts: known([("When:", Some(date(*at))), ("From:", ip.as_deref().map(shown))]),
            then: vec![NOT_YOU.to_owned()],
            ..Text::default()
        },
        Notice::MemberAdded { account, email, roles, at } => {
            let (account, email) = (shown(account), shown(email));
            Text {
                subject: format!("{email} joined the account “{account}”"),
                said: vec![format!("{email} accepted the invitation to the account “{account}” on {node}.")],
                facts: vec![("Roles:", roles.join(", ")), ("When:", date(*at))],
                ..Text::default()
            }
        }
        Notice::MemberRemoved { account, email, at } => {
            let (account, email) = (shown(account), shown(email));
            Text {
                subject: format!("{email} left the account “{account}”"),
                said: vec![format!("{email} is no longer a member of the account “{account}” on {node}.")],
                facts: vec![("When:", date(*at))],
                ..Text::default()
            }
        }
        Notice::TokenCreated { name, by, ip, at } => {
            let name = shown(name);
            Text {
                subject: format!("New API token “{name}” on {node}"),
                said: vec![format!("An API token named “{name}” was created on {node}.")],
                facts: known([
                    ("By:", by.as_deref().map(shown)),
                    ("From:", ip.as_deref().map(shown)),
                    ("When:", Some(date(*at))),
                ]),
                ..Text::default()
            }
        }
        Notice::TunnelHealth { name, status: now, before, at, .. } => {
            let (name, now, before) = (shown(name), status(*now), status(*before));
            Text {
                subject: format!("Tunnel “{name}” is {now}"),
                said: vec![format!("The tunnel “{name}” on {node} is {now}. It was {before} before.")],
                facts: vec![("Since:", date(*at))],
                ..Text::default()
            }
        }
        Notice::TunnelUpdate { name, deleted, by, at, .. } => {
            let (name, what) = (shown(name), if *deleted { "deleted" } else { "created" });
            Text {
                subject: format!("Tunnel “{name}” was {what}"),
                said: vec![format!("The tunnel “{name}” was {what} on {node}.")],
                facts: known([("By:", by.as_deref().map(shown)), ("When:", Some(date(*at)))]),
                ..Text::default()
            }
        }
        Notice::ZoneStatus { name, status, at, .. } => {
            let name = shown(name);
            let (subject, said, then) = match status {
                ZoneStatus::Active => (
                    format!("The zone {name} is active"),
                    format!("The zone {name} is active on {node}: its names are answered here, and its proxied ones are served."),
                    Vec::new(),
                ),
                ZoneStatus::Moved => (
                    format!("The zone {name} is no longer delegated to {node}"),
                    format!("For more than a day, the servers above {name} have named other name servers than those of {node}."),
                    vec!["If that was not meant, set the assigned name servers again at your registrar: the zone becomes active by itself."
                        .to_owned()],
                ),
                ZoneStatus::Pending => (
                    format!("The zone {name} waits for its delegation"),
                    format!("The zone {name} on {node} waits until the servers above it name its name servers."),
                    Vec::new(),
                ),
            };
            Text { subject, said: vec![said], facts: vec![("When:", date(*at))], then, ..Text::default() }
        }
        Notice::ZoneEnd { name, status, ends_at, over, at, .. } => {
            let name = shown(name);
            let why = match status {
                ZoneStatus::Pending => format!("The servers above {name} never named the name servers of {node}."),
                ZoneStatus::Active | ZoneStatus::Moved => {
                    format!("The servers above {name} name other name servers than those of {node}.")
                }
            };
            if *over {
                let said = format!("The zone {name} was deleted on {node}, with all its records. {why}");
                let back = format!("It may be taken back for seven days: poterne zone restore {name}");
                return Text {
                    subject: format!("The zone {name} is deleted"),
                    said: vec![said, back],
                    facts: vec![("When:", date(*at))],
                    ..Text::default()
                };
            }
            let kept = match status {
                ZoneStatus::Pending => {
                    "To keep it, set the assigned name servers at your registrar, or ask for a look at the delegation, after which it waits for four weeks more."
                }
                ZoneStatus::Active | ZoneStatus::Moved => {
                    "To keep it, set the assigned name servers again at your registrar: the zone becomes active by itself."
                }
            };
            let operator = format!("The operator can keep it for good without a delegation: poterne zone activate {name}");
            Text {
                subject: format!("The zone {name} will be deleted"),
                said: vec![format!("The zone {name} on {node} will be deleted, with all its records. {why}")],
                facts: vec![("When:", date(*ends_at))],
                then: vec![kept.to_owned(), operator],
                ..Text::default()
            }
        }
        Notice::SecondaryZone { name, event, why, at, .. } => {
            let name = shown(name);
            let (subject, said, then) = match event.as_str() {
                "recovered" => (
                    format!("The secondary zone {name} is transferred again"),
                    format!("The primaries of {name} give the zone to {node} again."),
                    Vec::new(),
                ),
                "expired" => (
                    format!("The secondary zone {name} has expired"),
                    format!("{node} has not heard of the primaries of {name} for longer than the zone may be believed: it is answered no more."),
                    vec!["It is answered again as soon as one of them gives it.".to_owned()],
                ),
                _ => (
                    format!("The secondary zone {name} is not transferred"),
                    format!("None of the primaries of {name} gives the zone to {node}. Until it expires it is answered as it was."),
                    vec!["See whether they run, whether they let this node have the zone, and whether both have the same TSIG key.".to_owned()],
                ),
            };
            let facts = known([("When:", Some(date(*at))), ("What went wrong:", why.as_deref().map(shown))]);
            Text { subject, said: vec![said], facts, then, ..Text::default() }
        }
        Notice::HealthCheck { zone_name, name, address, status, why, at, .. } => {
            let (zone, name, address) = (shown(zone_name), shown(name), shown(address));
            let is_well = *status == HealthStatus::Healthy;
            let (word, said) = match is_well {
                true => ("healthy", format!("{address} answers {node} as it should again.")),
                false => ("unhealthy", format!("{address} does not answer {node} as it should.")),
            };
            let facts =
                known([("Since:", Some(date(*at))), ("Zone:", Some(zone)), ("What went wrong:", why.as_deref().map(shown))]);
            Text {
                subject: format!("The origin of the health check “{name}” is {word}"),
                said: vec![said],
                facts,
                ..Text::default()
            }
        }
        Notice::Test { at } => Text {
            subject: format!("Test message from {node}"),
            said: vec![format!("This is a test message from {node}: notices from there reach you.")],
            facts: vec![("Sent:", date(*at))],
            ..Text::default()
        },
    }
}
