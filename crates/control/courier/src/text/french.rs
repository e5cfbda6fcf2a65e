//! Notices in French.

use poterne_control_app::notice::{Notice, SignInChange};
use poterne_model::{Timestamp, TunnelStatus, ZoneStatus, health_check::HealthStatus};

use super::{Text, calendar, known, shown};

const MONTHS: [&str; 12] =
    ["janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"];

fn date(at: Timestamp) -> String {
    let (day, month, year, hour, minute) = calendar(at);
    let day = if day == 1 { "1er".to_owned() } else { day.to_string() };
    format!("{day} {} {year} à {hour:02} h {minute:02} UTC", MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"?"))
}

const fn status(status: TunnelStatus) -> &'static str {
    match status {
        TunnelStatus::Inactive => "inactif",
        TunnelStatus::Healthy => "en bon état",
        TunnelStatus::Degraded => "dégradé",
        TunnelStatus::Down => "hors service",
    }
}

const fn change(change: SignInChange) -> &'static str {
    match change {
        SignInChange::Password => "Votre mot de passe a été changé",
        SignInChange::SecondFactorAdded => "Un second facteur a été ajouté à votre connexion",
        SignInChange::SecondFactorRemoved => "Un second facteur a été retiré de votre connexion",
        SignInChange::PasskeyAdded => "Une clé d’accès a été ajoutée à votre connexion",
        SignInChange::PasskeyRemoved => "Une clé d’accès a été retirée de votre connexion",
        SignInChange::RecoveryCodes => "Vos codes de secours ont été remplacés",
    }
}

/// A notice in French.
pub(super) fn text(notice: &Notice, node: &str, policy: Option<&str>) -> Text {
    let mut text = of(notice, node);
    text.language = "fr";
    if let Some(policy) = policy {
        let policy = shown(policy);
        text.then.push(format!("Vous recevez ce message en raison de la règle de notification « {policy} » sur {node}."));
    }
    text
}

fn of(notice: &Notice, node: &str) -> Text {
    const NOT_YOU: &str = "Si ce n’était pas vous, prévenez la personne qui gère ce nœud et changez votre mot de passe.";
    match notice {
        Notice::Invitation { account, inviter, roles, link, expires_at } => {
            let account = shown(account);
            let by = match inviter {
                Some(by) => format!("{} vous invite", shown(by)),
                None => "Vous êtes invité(e)".to_owned(),
            };
            Text {
                subject: format!("Invitation au compte « {account} » sur {node}"),
                said: vec![format!("{by} à rejoindre le compte « {account} » sur {node}. Pour répondre, suivez ce lien :")],
                link: Some(link.expose().to_owned()),
                facts: vec![("Rôles :", roles.join(", ")), ("Le lien est valable jusqu’au :", date(*expires_at))],
                then: vec!["Si vous n’attendiez pas d’invitation, ignorez ce message : rien ne se fait sans vous.".to_owned()],
                ..Text::default()
            }
        }
        Notice::PasswordReset { link, expires_at, ip } => Text {
            subject: format!("Nouveau mot de passe pour {node}"),
            said: vec![format!(
                "Quelqu’un a demandé à choisir un nouveau mot de passe pour votre accès à {node}. Si c’était vous, suivez ce lien :"
            )],
            link: Some(link.expose().to_owned()),
            facts: known([
                ("Le lien est valable jusqu’au :", Some(date(*expires_at))),
                ("Demandé depuis :", ip.as_deref().map(shown)),
            ]),
            then: vec!["Si ce n’était pas vous, ignorez ce message : votre mot de passe reste le même.".to_owned()],
            ..Text::default()
        },
        Notice::NewSignIn { at, ip, program } => Text {
            subject: format!("Nouvelle connexion à {node}"),
            said: vec![format!("Quelqu’un s’est connecté à {node} avec votre accès, d’un endroit encore inconnu.")],
            facts: known([
                ("Quand :", Some(date(*at))),
                ("Depuis :", Some(shown(ip))),
                ("Avec :", program.as_deref().map(shown)),
            ]),
            then: vec![NOT_YOU.to_owned()],
            ..Text::default()
        },
        Notice::SignInChanged { change: what, at, ip } => Text {
            subject: format!("{} sur {node}", change(*what)),
            said: vec![format!("{} sur {node}.", change(*what))],
            facts: known([("Quand :", Some(date(*at))), ("Depuis :", ip.as_deref().map(shown))]),
            then: vec![NOT_YOU.to_owned()],
            ..Text::default()
        },
        Notice::MemberAdded { account, email, roles, at } => {
            let (account, email) = (shown(account), shown(email));
            Text {
                subject: format!("{email} a rejoint le compte « {account} »"),
                said: vec![format!("{email} a accepté l’invitation au compte « {account} » sur {node}.")],
                facts: vec![("Rôles :", roles.join(", ")), ("Quand :", date(*at))],
                ..Text::default()
            }
        }
        Notice::MemberRemoved { account, email, at } => {
            let (account, email) = (shown(account), shown(email));
            Text {
                subject: format!("{email} a quitté le compte « {account} »"),
                said: vec![format!("{email} n’est plus membre du compte « {account} » sur {node}.")],
                facts: vec![("Quand :", date(*at))],
                ..Text::default()
            }
        }
        Notice::TokenCreated { name, by, ip, at } => {
            let name = shown(name);
            Text {
                subject: format!("Nouveau jeton d’API « {name} » sur {node}"),
                said: vec![format!("Un jeton d’API nommé « {name} » a été créé sur {node}.")],
                facts: known([
                    ("Par :", by.as_deref().map(shown)),
                    ("Depuis :", ip.as_deref().map(shown)),
                    ("Quand :", Some(date(*at))),
                ]),
                ..Text::default()
            }
        }
        Notice::TunnelHealth { name, status: now, before, at, .. } => {
            let (name, now, before) = (shown(name), status(*now), status(*before));
            Text {
                subject: format!("Le tunnel « {name} » est {now}"),
                said: vec![format!("Le tunnel « {name} » sur {node} est {now}. Avant, il était {before}.")],
                facts: vec![("Depuis :", date(*at))],
                ..Text::default()
            }
        }
        Notice::TunnelUpdate { name, deleted, by, at, .. } => {
            let (name, what) = (shown(name), if *deleted { "supprimé" } else { "créé" });
            Text {
                subject: format!("Le tunnel « {name} » a été {what}"),
                said: vec![format!("Le tunnel « {name} » a été {what} sur {node}.")],
                facts: known([("Par :", by.as_deref().map(shown)), ("Quand :", Some(date(*at)))]),
                ..Text::default()
            }
        }
        Notice::ZoneStatus { name, status, at, .. } => {
            let name = shown(name);
            let (subject, said, then) = match status {
                ZoneStatus::Active => (
                    format!("La zone {name} est active"),
                    format!("La zone {name} est active sur {node} : ses noms y ont leurs réponses, et ses noms relayés sont servis."),
                    Vec::new(),
                ),
                ZoneStatus::Moved => (
                    format!("La zone {name} n’est plus déléguée à {node}"),
                    format!("Depuis plus d’un jour, les serveurs au-dessus de {name} nomment d’autres serveurs de noms que ceux de {node}."),
                    vec!["Si ce n’est pas voulu, remettez chez votre bureau d’enregistrement les serveurs de noms attribués : la zone redevient active d’elle-même."
                        .to_owned()],
                ),
                ZoneStatus::Pending => (
                    format!("La zone {name} attend sa délégation"),
                    format!("La zone {name} sur {node} attend que les serveurs au-dessus d’elle nomment ses serveurs de noms."),
                    Vec::new(),
                ),
            };
            Text { subject, said: vec![said], facts: vec![("Quand :", date(*at))], then, ..Text::default() }
        }
        Notice::ZoneEnd { name, status, ends_at, over, at, .. } => {
            let name = shown(name);
            let why = match status {
                ZoneStatus::Pending => {
                    format!("Les serveurs au-dessus de {name} n’ont jamais nommé les serveurs de noms de {node}.")
                }
                ZoneStatus::Active | ZoneStatus::Moved => {
                    format!("Les serveurs au-dessus de {name} nomment d’autres serveurs de noms que ceux de {node}.")
                }
            };
            if *over {
                let said = format!("La zone {name} a été supprimée sur {node}, avec tous ses enregistrements. {why}");
                let back = format!("Elle peut être reprise pendant sept jours : poterne zone restore {name}");
                return Text {
                    subject: format!("La zone {name} est supprimée"),
                    said: vec![said, back],
                    facts: vec![("Quand :", date(*at))],
                    ..Text::default()
                };
            }
            let kept = match status {
                ZoneStatus::Pending => {
                    "Pour la garder, mettez chez votre bureau d’enregistrement les serveurs de noms attribués, ou demandez une vérification de la délégation, après quoi elle attend quatre semaines de plus."
                }
                ZoneStatus::Active | ZoneStatus::Moved => {
                    "Pour la garder, remettez chez votre bureau d’enregistrement les serveurs de noms attribués : la zone redevient active d’elle-même."
                }
            };
            let operator = format!("L’exploitant peut la garder pour de bon sans délégation : poterne zone activate {name}");
            Text {
                subject: format!("La zone {name} va être supprimée"),
                said: vec![format!("La zone {name} sur {node} va être supprimée, avec tous ses enregistrements. {why}")],
                facts: vec![("Quand :", date(*ends_at))],
                then: vec![kept.to_owned(), operator],
                ..Text::default()
            }
        }
        Notice::SecondaryZone { name, event, why, at, .. } => {
            let name = shown(name);
            let (subject, said, then) = match event.as_str() {
                "recovered" => (
                    format!("La zone secondaire {name} est de nouveau transférée"),
                    format!("Les serveurs primaires de {name} donnent de nouveau la zone à {node}."),
                    Vec::new(),
                ),
                "expired" => (
                    format!("La zone secondaire {name} a expiré"),
                    format!("{node} n’a plus de nouvelles des serveurs primaires de {name} depuis plus longtemps que la zone ne peut être crue : elle n’a plus de réponses."),
                    vec!["Elle en aura de nouveau dès que l’un d’eux la donnera.".to_owned()],
                ),
                _ => (
                    format!("La zone secondaire {name} n’est pas transférée"),
                    format!("Aucun des serveurs primaires de {name} ne donne la zone à {node}. Jusqu’à son expiration, ses réponses restent celles d’avant."),
                    vec!["Voyez s’ils fonctionnent, s’ils laissent ce nœud prendre la zone, et si la clé TSIG est la même des deux côtés.".to_owned()],
                ),
            };
            let facts = known([("Quand :", Some(date(*at))), ("Ce qui ne va pas :", why.as_deref().map(shown))]);
            Text { subject, said: vec![said], facts, then, ..Text::default() }
        }
        Notice::HealthCheck { zone_name, name, address, status, why, at, .. } => {
            let (zone, name, address) = (shown(zone_name), shown(name), shown(address));
            let is_well = *status == HealthStatus::Healthy;
            let (word, said) = match is_well {
                true => ("en bon état", format!("{address} répond de nouveau à {node} comme il se doit.")),
                false => ("en mauvais état", format!("{address} ne répond pas à {node} comme il se doit.")),
            };
            let facts =
                known([("Depuis :", Some(date(*at))), ("Zone :", Some(zone)), ("Ce qui ne va pas :", why.as_deref().map(shown))]);
            let subject = format!("L’origine du contrôle de santé « {name} » est {word}");
            Text { subject, said: vec![said], facts, ..Text::default() }
        }
        Notice::Test { at } => Text {
            subject: format!("Message d’essai de {node}"),
            said: vec![format!("Ceci est un message d’essai de {node} : ses notifications vous parviennent.")],
            facts: vec![("Envoyé :", date(*at))],
            ..Text::default()
        },
    }
}
