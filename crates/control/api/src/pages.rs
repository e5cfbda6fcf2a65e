//! The pages that links in mails lead to: to set a password, and to accept an invitation. In two languages, made once.
//!
//! What lets in stands behind the link's `#`, which browsers send to nobody: a script reads it there, and speaks to the API as every
//! browser does ([`crate::sign_in`]). So the pages know nothing of anybody and are the same for all. Their policy lets in that script and
//! that style, and nothing from elsewhere.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use poterne_keys::sha256;
use poterne_page::Language;
use serde_json::json;

use crate::{
    openapi::document::Page,
    routes::{Op, Routes, open},
    sign_in::PASSWORD_MAX,
};

const SCRIPT: &str = include_str!("pages/page.js");
const STYLE: &str = include_str!("pages/page.css");

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Password,
    Invitation,
}

/// Of each purpose, in English and in French.
static PASSWORD: LazyLock<[Page; 2]> = LazyLock::new(|| made(Purpose::Password));
static INVITATION: LazyLock<[Page; 2]> = LazyLock::new(|| made(Purpose::Invitation));

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(sha256(text.as_bytes())));
    let (script, style) = (digest(SCRIPT), digest(STYLE));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// `/password` and `/invitation`, at the root.
pub(crate) fn routes() -> Routes {
    let op = |summary| -> Op { open(summary).plain("text/html", json!({ "type": "string" })).says([304]) };
    Routes::of("Pages", "What links in mails lead to.")
        .get("/password", password, op("Show the page that sets a password by a link"))
        .get("/invitation", invitation, op("Show the page that accepts an invitation"))
        .at_root()
}

async fn password(headers: HeaderMap) -> Response {
    told(&headers, &PASSWORD)
}

async fn invitation(headers: HeaderMap) -> Response {
    told(&headers, &INVITATION)
}

fn told(headers: &HeaderMap, [english, french]: &'static [Page; 2]) -> Response {
    let language = Language::asked(headers);
    let page = if language == Language::French { french } else { english };
    let mut response = page.answer(headers, "text/html; charset=utf-8");
    let fields = response.headers_mut();
    fields.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    fields.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`, under which some browsers say of a page's own requests that they come from nowhere.
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        fields.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn made(purpose: Purpose) -> [Page; 2] {
    Language::ALL.map(|language| Page::new(render(purpose, language)))
}

fn render(purpose: Purpose, language: Language) -> String {
    let say = |english, french| language.say(english, french);
    let (page, title, done, go) = match purpose {
        Purpose::Password => (
            "password",
            say("Choose a password", "Choisir un mot de passe"),
            say(
                "The password is set, and every session is over: sign in with it.",
                "Le mot de passe est enregistré et toutes les sessions sont fermées : connectez-vous avec lui.",
            ),
            say("Set the password", "Enregistrer le mot de passe"),
        ),
        Purpose::Invitation => (
            "invitation",
            say("Accept an invitation", "Accepter une invitation"),
            say("The invitation is accepted: sign in.", "L’invitation est acceptée : connectez-vous."),
            say("Accept", "Accepter"),
        ),
    };
    let about = match purpose {
        Purpose::Password => String::new(),
        Purpose::Invitation => format!(
            "<dl><dt>{}</dt><dd id=\"account\"></dd><dt>{}</dt><dd id=\"roles\"></dd></dl>\
             <label>{}<input id=\"email\" type=\"email\" autocomplete=\"username\" readonly></label>",
            say("Account", "Compte"),
            say("Roles", "Rôles"),
            say("E-mail address", "Adresse électronique"),
        ),
    };
    let over = say(
        "This link has expired, was used, or was replaced by a later one: ask for another.",
        "Ce lien a expiré, a déjà servi ou a été remplacé par un plus récent : demandez-en un autre.",
    );
    let refused = say(
        "This password is too short, too long, or among those that everybody tries first: choose another; a few words make a good one.",
        "Ce mot de passe est trop court, trop long ou parmi les premiers que l’on essaie : choisissez-en un autre ; quelques mots \
         conviennent bien.",
    );
    let later = say("Too much at once: try again in a minute.", "Trop de demandes à la fois : réessayez dans une minute.");
    let failed = say("It did not work: try again later.", "Cela n’a pas fonctionné : réessayez plus tard.");
    let choice = say("New password", "Nouveau mot de passe");
    let no_script = say(
        "This page needs JavaScript: it reads what lets you in from the end of its address, which is sent to nobody.",
        "Cette page a besoin de JavaScript : elle lit ce qui vous ouvre la porte à la fin de son adresse, qui n’est envoyée à personne.",
    );
    format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body data-page=\"{page}\" data-done=\"{done}\" data-over=\"{over}\" data-refused=\"{refused}\" data-later=\"{later}\" \
         data-failed=\"{failed}\"><main><h1>{title}</h1><noscript><p>{no_script}</p></noscript><form id=\"form\" method=\"post\" hidden>{about}\
         <label id=\"choice\">{choice}<input id=\"password\" type=\"password\" autocomplete=\"new-password\" maxlength=\"{PASSWORD_MAX}\"></label>\
         <button id=\"go\">{go}</button></form><p id=\"said\" role=\"status\"></p></main><script>{SCRIPT}</script></body></html>",
        tag = language.tag(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_its_script_asks_for_and_nothing_from_elsewhere() {
        for language in Language::ALL {
            for purpose in [Purpose::Password, Purpose::Invitation] {
                let page = render(purpose, language);
                for id in SCRIPT.split("element(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                    let is_there = page.contains(&format!("id=\"{id}\""));
                    let of_invitations = ["account", "roles", "email"].contains(&id);
                    assert_eq!(is_there, !of_invitations || purpose == Purpose::Invitation, "{id}");
                }
                for word in
                    SCRIPT.split("words.").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap())
                {
                    assert!(page.contains(&format!("data-{word}=\"")), "{word}");
                }
                assert!(page.contains(&format!("<html lang=\"{}\">", language.tag())));
                assert!(!page.contains("src=") && !page.contains("href=") && !page.contains("http") && !page.contains("@import"));
                // The policy names the digests of what stands between the tags.
                assert_eq!((page.matches("<script>").count(), page.matches("</script>").count()), (1, 1));
                assert_eq!((page.matches("<style>").count(), page.matches("</style>").count()), (1, 1));
            }
        }
    }
}
