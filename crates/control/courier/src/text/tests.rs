//! Every text, whole, in both languages.

use poterne_control_app::notice::{Link, Notice, SignInChange};
use poterne_model::{HealthCheckId, Timestamp, TunnelId, TunnelStatus, ZoneId, ZoneStatus, health_check::HealthStatus};

use super::*;

const AT: Timestamp = Timestamp::from_secs(1_798_792_500);
const NODE: &str = "node.example.net";

fn written(notice: &Notice, languages: Languages) -> (String, String) {
    let written = write(notice, languages, NODE, None);
    (written.subject, written.plain)
}

/// The notice says this in English and that in French: subject, then text.
fn says(notice: &Notice, english: (&str, &str), french: (&str, &str)) {
    for (languages, (subject, plain)) in [(Languages::English, english), (Languages::French, french)] {
        let told = written(notice, languages);
        assert_eq!((told.0.as_str(), told.1.as_str()), (subject, plain));
    }
    let both = write(notice, Languages::Both, NODE, None);
    assert_eq!(both.plain, format!("{}\n----\n\n{}", english.1, french.1));
    assert_eq!(both.subject, format!("{} / {}", english.0, french.0));
    assert!(both.html.contains("<div lang=\"en\">") && both.html.contains("<div lang=\"fr\">"));
}

#[test]
fn an_invitation() {
    let notice = Notice::Invitation {
        account: "default".into(),
        inviter: Some("ada@example.com".into()),
        roles: vec!["DNS".into(), "Tunnels".into()],
        link: Link::new("https://node.example.net/invitation#abc"),
        expires_at: AT,
    };
    says(
        &notice,
        (
            "Invitation to the account “default” on node.example.net",
            "ada@example.com invites you to join the account “default” on node.example.net. To answer, follow this link:\n\n\
             https://node.example.net/invitation#abc\n\n\
             Roles: DNS, Tunnels\nThe link is good until: 1 January 2027, 08:35 UTC\n\n\
             If you expected no invitation, ignore this message: nothing happens without you.\n",
        ),
        (
            "Invitation au compte « default » sur node.example.net",
            "ada@example.com vous invite à rejoindre le compte « default » sur node.example.net. Pour répondre, suivez ce lien :\n\n\
             https://node.example.net/invitation#abc\n\n\
             Rôles : DNS, Tunnels\nLe lien est valable jusqu’au : 1er janvier 2027 à 08 h 35 UTC\n\n\
             Si vous n’attendiez pas d’invitation, ignorez ce message : rien ne se fait sans vous.\n",
        ),
    );
    let Notice::Invitation { account, roles, link, expires_at, .. } = notice else { panic!() };
    let by_operator = Notice::Invitation { account, inviter: None, roles, link, expires_at };
    assert!(written(&by_operator, Languages::English).1.starts_with("You are invited to join the account “default” on"));
    assert!(written(&by_operator, Languages::French).1.starts_with("Vous êtes invité(e) à rejoindre le compte « default » sur"));
}

#[test]
fn the_health_of_an_origin() {
    let (zone, check) = (ZoneId::from_bytes([1; 16]), HealthCheckId::from_bytes([2; 16]));
    let notice = |status, before, why: Option<&str>| Notice::HealthCheck {
        zone,
        zone_name: "example.com".into(),
        check,
        name: "shop-1".into(),
        address: "192.0.2.7".into(),
        status,
        before,
        why: why.map(str::to_owned),
        at: AT,
    };
    says(
        &notice(HealthStatus::Unhealthy, HealthStatus::Healthy, Some("it answered 503")),
        (
            "The origin of the health check “shop-1” is unhealthy",
            "192.0.2.7 does not answer node.example.net as it should.\n\n\
             Since: 1 January 2027, 08:35 UTC\nZone: example.com\nWhat went wrong: it answered 503\n",
        ),
        (
            "L’origine du contrôle de santé « shop-1 » est en mauvais état",
            "192.0.2.7 ne répond pas à node.example.net comme il se doit.\n\n\
             Depuis : 1er janvier 2027 à 08 h 35 UTC\nZone : example.com\nCe qui ne va pas : it answered 503\n",
        ),
    );
    says(
        &notice(HealthStatus::Healthy, HealthStatus::Unhealthy, None),
        (
            "The origin of the health check “shop-1” is healthy",
            "192.0.2.7 answers node.example.net as it should again.\n\n\
             Since: 1 January 2027, 08:35 UTC\nZone: example.com\n",
        ),
        (
            "L’origine du contrôle de santé « shop-1 » est en bon état",
            "192.0.2.7 répond de nouveau à node.example.net comme il se doit.\n\n\
             Depuis : 1er janvier 2027 à 08 h 35 UTC\nZone : example.com\n",
        ),
    );
}

#[test]
fn a_new_password() {
    let link = Link::new("https://node.example.net/password#abc");
    says(
        &Notice::PasswordReset { link, expires_at: AT, ip: Some("203.0.113.9".into()) },
        (
            "A new password for node.example.net",
            "Somebody asked to choose a new password for your access to node.example.net. If it was you, follow this link:\n\n\
             https://node.example.net/password#abc\n\n\
             The link is good until: 1 January 2027, 08:35 UTC\nAsked from: 203.0.113.9\n\n\
             If it was not you, ignore this message: your password stays as it is.\n",
        ),
        (
            "Nouveau mot de passe pour node.example.net",
            "Quelqu’un a demandé à choisir un nouveau mot de passe pour votre accès à node.example.net. Si c’était vous, suivez ce lien :\n\n\
             https://node.example.net/password#abc\n\n\
             Le lien est valable jusqu’au : 1er janvier 2027 à 08 h 35 UTC\nDemandé depuis : 203.0.113.9\n\n\
             Si ce n’était pas vous, ignorez ce message : votre mot de passe reste le même.\n",
        ),
    );
}

#[test]
fn a_sign_in_and_what_it_takes() {
    says(
        &Notice::NewSignIn { at: AT, ip: "203.0.113.9".into(), program: Some("Firefox".into()) },
        (
            "New sign-in to node.example.net",
            "Somebody signed in to node.example.net with your access, from where there was no sign-in before.\n\n\
             When: 1 January 2027, 08:35 UTC\nFrom: 203.0.113.9\nWith: Firefox\n\n\
             If this was not you, tell whoever runs this node, and change your password.\n",
        ),
        (
            "Nouvelle connexion à node.example.net",
            "Quelqu’un s’est connecté à node.example.net avec votre accès, d’un endroit encore inconnu.\n\n\
             Quand : 1er janvier 2027 à 08 h 35 UTC\nDepuis : 203.0.113.9\nAvec : Firefox\n\n\
             Si ce n’était pas vous, prévenez la personne qui gère ce nœud et changez votre mot de passe.\n",
        ),
    );
    for (change, english, french) in [
        (SignInChange::Password, "Your password was changed", "Votre mot de passe a été changé"),
        (
            SignInChange::SecondFactorAdded,
            "A second factor was added to your sign-in",
            "Un second facteur a été ajouté à votre connexion",
        ),
        (
            SignInChange::SecondFactorRemoved,
            "A second factor was removed from your sign-in",
            "Un second facteur a été retiré de votre connexion",
        ),
        (SignInChange::PasskeyAdded, "A passkey was added to your sign-in", "Une clé d’accès a été ajoutée à votre connexion"),
        (
            SignInChange::PasskeyRemoved,
            "A passkey was removed from your sign-in",
            "Une clé d’accès a été retirée de votre connexion",
        ),
        (SignInChange::RecoveryCodes, "Your recovery codes were replaced", "Vos codes de secours ont été remplacés"),
    ] {
        says(
            &Notice::SignInChanged { change, at: AT, ip: None },
            (
                &format!("{english} on {NODE}"),
                &format!(
                    "{english} on {NODE}.\n\nWhen: 1 January 2027, 08:35 UTC\n\n\
                     If this was not you, tell whoever runs this node, and change your password.\n"
                ),
            ),
            (
                &format!("{french} sur {NODE}"),
                &format!(
                    "{french} sur {NODE}.\n\nQuand : 1er janvier 2027 à 08 h 35 UTC\n\n\
                     Si ce n’était pas vous, prévenez la personne qui gère ce nœud et changez votre mot de passe.\n"
                ),
            ),
        );
    }
}

#[test]
fn members_and_tokens() {
    let (account, email) = ("default".to_owned(), "bob@example.com".to_owned());
    says(
        &Notice::MemberAdded { account: account.clone(), email: email.clone(), roles: vec!["DNS".into()], at: AT },
        (
            "bob@example.com joined the account “default”",
            "bob@example.com accepted the invitation to the account “default” on node.example.net.\n\n\
             Roles: DNS\nWhen: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "bob@example.com a rejoint le compte « default »",
            "bob@example.com a accepté l’invitation au compte « default » sur node.example.net.\n\n\
             Rôles : DNS\nQuand : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    says(
        &Notice::MemberRemoved { account, email, at: AT },
        (
            "bob@example.com left the account “default”",
            "bob@example.com is no longer a member of the account “default” on node.example.net.\n\n\
             When: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "bob@example.com a quitté le compte « default »",
            "bob@example.com n’est plus membre du compte « default » sur node.example.net.\n\n\
             Quand : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    says(
        &Notice::TokenCreated { name: "ci".into(), by: Some("ada@example.com".into()), ip: Some("203.0.113.9".into()), at: AT },
        (
            "New API token “ci” on node.example.net",
            "An API token named “ci” was created on node.example.net.\n\n\
             By: ada@example.com\nFrom: 203.0.113.9\nWhen: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "Nouveau jeton d’API « ci » sur node.example.net",
            "Un jeton d’API nommé « ci » a été créé sur node.example.net.\n\n\
             Par : ada@example.com\nDepuis : 203.0.113.9\nQuand : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
}

#[test]
fn tunnels() {
    let (tunnel, name) = (TunnelId::from_bytes([1; 16]), "home".to_owned());
    let health = |status, before| Notice::TunnelHealth { tunnel, name: name.clone(), status, before, at: AT };
    says(
        &health(TunnelStatus::Down, TunnelStatus::Degraded),
        (
            "Tunnel “home” is down",
            "The tunnel “home” on node.example.net is down. It was degraded before.\n\nSince: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "Le tunnel « home » est hors service",
            "Le tunnel « home » sur node.example.net est hors service. Avant, il était dégradé.\n\n\
             Depuis : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    let healthy = health(TunnelStatus::Healthy, TunnelStatus::Inactive);
    assert_eq!(
        short(&healthy, Languages::Both, NODE),
        "The tunnel “home” on node.example.net is healthy. It was inactive before."
    );
    assert_eq!(
        short(&healthy, Languages::French, NODE),
        "Le tunnel « home » sur node.example.net est en bon état. Avant, il était inactif."
    );
    let update = |deleted| Notice::TunnelUpdate { tunnel, name: name.clone(), deleted, by: None, at: AT };
    says(
        &update(true),
        ("Tunnel “home” was deleted", "The tunnel “home” was deleted on node.example.net.\n\nWhen: 1 January 2027, 08:35 UTC\n"),
        (
            "Le tunnel « home » a été supprimé",
            "Le tunnel « home » a été supprimé sur node.example.net.\n\nQuand : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    assert_eq!(written(&update(false), Languages::English).0, "Tunnel “home” was created");
    assert_eq!(written(&update(false), Languages::French).0, "Le tunnel « home » a été créé");
}

#[test]
fn a_test_and_a_policy() {
    let notice = Notice::Test { at: AT };
    says(
        &notice,
        (
            "Test message from node.example.net",
            "This is a test message from node.example.net: notices from there reach you.\n\nSent: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "Message d’essai de node.example.net",
            "Ceci est un message d’essai de node.example.net : ses notifications vous parviennent.\n\n\
             Envoyé : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    let asked = write(&notice, Languages::Both, NODE, Some("tunnels"));
    assert!(asked.plain.contains("\n\nYou receive this because of the notification policy “tunnels” on node.example.net.\n"));
    assert!(
        asked
            .plain
            .ends_with("\n\nVous recevez ce message en raison de la règle de notification « tunnels » sur node.example.net.\n")
    );
}

#[test]
fn what_a_user_has_written_is_no_markup_nor_a_line_of_its_own() {
    let name = "<b>x</b>\r\nBcc: all@example.com\u{202e}".to_owned() + &"y".repeat(200);
    let notice = Notice::TokenCreated { name, by: None, ip: None, at: AT };
    let told = write(&notice, Languages::Both, NODE, None);
    assert!(!told.subject.contains(['\r', '\n', '\u{202e}']) && told.subject.chars().count() < 350, "{}", told.subject);
    assert!(told.html.contains("&lt;b&gt;x&lt;/b&gt;Bcc") && !told.html.contains("<b>"));
    assert!(told.plain.lines().all(|line| !line.starts_with("Bcc")));
}

#[test]
fn a_zones_status() {
    let (zone, name) = (ZoneId::from_bytes([1; 16]), "example.com".to_owned());
    let told = |status, before| Notice::ZoneStatus { zone, name: name.clone(), status, before, at: AT };
    says(
        &told(ZoneStatus::Active, ZoneStatus::Pending),
        (
            "The zone example.com is active",
            "The zone example.com is active on node.example.net: its names are answered here, and its proxied ones are served.\n\n\
             When: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "La zone example.com est active",
            "La zone example.com est active sur node.example.net : ses noms y ont leurs réponses, et ses noms relayés sont servis.\n\n\
             Quand : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    let (english, _) = (written(&told(ZoneStatus::Moved, ZoneStatus::Active), Languages::English), ());
    assert_eq!(english.0, "The zone example.com is no longer delegated to node.example.net");
    assert!(english.1.contains("set the assigned name servers again at your registrar"), "{}", english.1);
    let french = written(&told(ZoneStatus::Moved, ZoneStatus::Active), Languages::French);
    assert!(french.1.contains("remettez chez votre bureau d’enregistrement"), "{}", french.1);
}

#[test]
fn a_zones_end_is_told_with_what_keeps_it() {
    let (zone, name) = (ZoneId::from_bytes([1; 16]), "example.com".to_owned());
    let told = |status, over| Notice::ZoneEnd { zone, name: name.clone(), status, ends_at: AT, over, at: AT };
    says(
        &told(ZoneStatus::Pending, true),
        (
            "The zone example.com is deleted",
            "The zone example.com was deleted on node.example.net, with all its records. The servers above example.com never named the \
             name servers of node.example.net.\n\nIt may be taken back for seven days: poterne zone restore example.com\n\nWhen: 1 January 2027, 08:35 UTC\n",
        ),
        (
            "La zone example.com est supprimée",
            "La zone example.com a été supprimée sur node.example.net, avec tous ses enregistrements. Les serveurs au-dessus de \
             example.com n’ont jamais nommé les serveurs de noms de node.example.net.\n\nElle peut être reprise pendant sept jours : poterne zone \
             restore example.com\n\nQuand : 1er janvier 2027 à 08 h 35 UTC\n",
        ),
    );
    for (status, keeps) in [(ZoneStatus::Pending, "four weeks more"), (ZoneStatus::Moved, "becomes active by itself")] {
        let (subject, text) = written(&told(status, false), Languages::English);
        assert_eq!(subject, "The zone example.com will be deleted");
        assert!(text.contains(keeps) && text.contains("poterne zone activate example.com"), "{text}");
        assert!(text.contains("When: 1 January 2027, 08:35 UTC"), "{text}");
        assert!(written(&told(status, false), Languages::French).1.contains("Pour la garder"));
    }
}
