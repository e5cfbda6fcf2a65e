//! The edge's own answers, in the visitor's language and format. Pure.
//!
//! HTML for whoever accepts it, JSON for whoever asks for it, plain text for the rest (curl). French and English.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use poterne_edge_http::{Body, Refusal, Response};
use poterne_page::{Language, escaped};

use crate::{
    errors::{Culprit, Failure},
    ray::RayId,
    response::sign,
};
use poterne_edge_upstream::{OriginError, UpstreamError};

/// Longest text of an agent shown on a page, in characters.
const DETAIL_CHARS_MAX: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Json,
    Text,
    Grpc,
}

/// What a page tells besides the failure.
pub(crate) struct Subject<'a> {
    pub(crate) ray: &'a RayId,
    pub(crate) host: &'a str,
    pub(crate) visitor: &'a str,
}

/// The answer to a failed request. `asked` holds the request's fields, which choose format and language.
pub(crate) fn page(failure: &Failure, asked: &HeaderMap, subject: &Subject<'_>) -> Response {
    let verdict = failure.verdict();
    let format = format(asked);
    if format == Format::Grpc {
        return grpc(failure, subject);
    }
    let language = Language::asked(asked);
    let (title, advice) = words(failure, language);
    let body = match format {
        Format::Html => html(failure, language, title, advice, subject),
        Format::Json => json(failure, title, advice, subject),
        Format::Text | Format::Grpc => text(failure, language, title, advice, subject),
    };
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = verdict.status;
    let headers = response.headers_mut();
    let kind = match format {
        Format::Html => "text/html; charset=utf-8",
        Format::Json => "application/json",
        Format::Text | Format::Grpc => "text/plain; charset=utf-8",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Language"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("cf-error-type"), HeaderValue::from(verdict.code));
    if format == Format::Html {
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    match verdict.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    sign(headers, subject.ray);
    response
}

/// "Trailers-Only" of the gRPC wire: the status in the head, and no body.
fn grpc(failure: &Failure, subject: &Subject<'_>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(failure.grpc_status())));
    let (title, _) = words(failure, Language::English);
    let message = format!("{title} (error {}, ray {})", failure.verdict().code, subject.ray);
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::try_from(message).expect("the words are ASCII"));
    sign(headers, subject.ray);
    response
}

fn format(asked: &HeaderMap) -> Format {
    let starts =
        |name, prefix: &str| asked.get(name).is_some_and(|value: &HeaderValue| value.as_bytes().starts_with(prefix.as_bytes()));
    if starts(header::CONTENT_TYPE, "application/grpc") {
        return Format::Grpc;
    }
    let accepts = |wanted: fn(&str) -> bool| {
        let values = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|item| {
            let range = item.split(';').next().unwrap_or_default().trim();
            wanted(range)
        })
    };
    if accepts(|range| range.eq_ignore_ascii_case("text/html")) {
        Format::Html
    } else if accepts(|range| range.eq_ignore_ascii_case("application/json") || range.ends_with("+json")) {
        Format::Json
    } else {
        Format::Text
    }
}

/// What happened, and what to do about it. English is ASCII: it also goes into `grpc-message`.
fn words(failure: &Failure, language: Language) -> (&'static str, &'static str) {
    let (en, fr) = match failure {
        Failure::Refused(refusal) => refusal_words(*refusal),
        Failure::BadHost => (
            ("The host name of this request is not valid", "Check the address you typed."),
            ("Le nom d'hôte de cette requête n'est pas valide", "Vérifiez l'adresse saisie."),
        ),
        Failure::BadPath(_) => (
            ("The address of this page is not well-formed", "Check the address you typed, above all what follows a %."),
            ("L'adresse de cette page est mal formée", "Vérifiez l'adresse saisie, surtout ce qui suit un %."),
        ),
        Failure::Blocked(_) => (
            (
                "This site does not let this request in",
                "If you think that it should, tell the site's owner, with the ray below. If the site is yours, look at its rules.",
            ),
            (
                "Ce site ne laisse pas entrer cette requête",
                "Si elle devrait passer, dites-le au propriétaire du site, avec le ray ci-dessous. Si le site est à vous, voyez ses règles.",
            ),
        ),
        Failure::Rule(..) => (
            (
                "A rule of this site cannot be followed",
                "If the site is yours, look for the ray below in the edge's log: it names the rule.",
            ),
            (
                "Une règle de ce site ne peut être suivie",
                "Si le site est à vous, cherchez le ray ci-dessous dans le journal de la périphérie : il nomme la règle.",
            ),
        ),
        Failure::DirectAddress => (
            ("Sites cannot be reached by address here", "Use the site's name instead of the server's address."),
            ("Ici, on n'atteint pas un site par son adresse", "Utilisez le nom du site plutôt que l'adresse du serveur."),
        ),
        Failure::Misdirected => (
            ("This site is not served on this connection", "Open the address again; your browser will use a new connection."),
            (
                "Ce site n'est pas servi sur cette connexion",
                "Rouvrez l'adresse ; votre navigateur prendra une nouvelle connexion.",
            ),
        ),
        Failure::NoZone | Failure::NoHost => (
            (
                "There is no site of this name here",
                "If it is yours, add its zone and a route for this name: poterne tunnel route.",
            ),
            (
                "Il n'y a pas de site de ce nom ici",
                "S'il est à vous, ajoutez sa zone et une route pour ce nom : poterne tunnel route.",
            ),
        ),
        Failure::ZonePending => (
            ("This site is not active yet", "If it is yours, have its zone activated: poterne zone activate."),
            ("Ce site n'est pas encore actif", "S'il est à vous, faites activer sa zone : poterne zone activate."),
        ),
        Failure::BrokenChain => (
            ("This name leads nowhere", "If it is yours, correct the CNAME records: they loop, or the chain is too long."),
            (
                "Ce nom ne mène nulle part",
                "S'il est à vous, corrigez les enregistrements CNAME : ils bouclent, ou la chaîne est trop longue.",
            ),
        ),
        Failure::UnknownTunnel(_) | Failure::Upstream(UpstreamError::UnknownTunnel(_)) => (
            (
                "The tunnel of this site does not exist",
                "If the site is yours, lead its name to one of your tunnels: poterne tunnel route.",
            ),
            (
                "Le tunnel de ce site n'existe pas",
                "Si le site est à vous, menez son nom à l'un de vos tunnels : poterne tunnel route.",
            ),
        ),
        Failure::Loop => (
            ("This request goes round in circles", "If the site is yours, its local service sends requests back to this name."),
            ("Cette requête tourne en rond", "Si le site est à vous, son service local renvoie les requêtes vers ce même nom."),
        ),
        Failure::NoReserved => (
            ("There is nothing here", "Addresses under /cdn-cgi/ belong to the edge."),
            ("Il n'y a rien ici", "Les adresses sous /cdn-cgi/ appartiennent au serveur de périphérie."),
        ),
        Failure::WebSocketsOff => (
            ("WebSockets are switched off for this site", "If it is yours, turn on its zone's setting \"websockets\"."),
            ("Les WebSockets sont désactivés pour ce site", "S'il est à vous, activez le réglage « websockets » de sa zone."),
        ),
        Failure::InvalidResponse(_) | Failure::Upstream(UpstreamError::Protocol(_)) => (
            (
                "The site's server gave an answer that makes no sense",
                "Try again in a moment. If the site is yours, look at its log and the agent's.",
            ),
            (
                "Le serveur du site a donné une réponse incompréhensible",
                "Réessayez dans un instant. Si le site est à vous, voyez son journal et celui de l'agent.",
            ),
        ),
        Failure::Upstream(UpstreamError::NoConnector(_)) => (
            (
                "The tunnel of this site is not connected",
                "Try again in a moment. If the site is yours, start its agent: poterne-agent tunnel run.",
            ),
            (
                "Le tunnel de ce site n'est pas connecté",
                "Réessayez dans un instant. Si le site est à vous, démarrez son agent : poterne-agent tunnel run.",
            ),
        ),
        Failure::Upstream(UpstreamError::LocalService(_)) => (
            (
                "The agent cannot reach the site's service",
                "If the site is yours, check that the service runs and that the ingress rule names it.",
            ),
            (
                "L'agent ne parvient pas à joindre le service du site",
                "Si le site est à vous, vérifiez que le service tourne et que la règle d'entrée le désigne.",
            ),
        ),
        Failure::Upstream(UpstreamError::FlowLimited | UpstreamError::TooManyRequests(_)) => (
            ("Too many requests at once", "Try again in a moment."),
            ("Trop de requêtes à la fois", "Réessayez dans un instant."),
        ),
        Failure::Upstream(UpstreamError::ConnectionLost(_)) => (
            ("The connection to the site's agent was lost", "Try again: another connection takes over."),
            ("La connexion avec l'agent du site a été perdue", "Réessayez : une autre connexion prend le relais."),
        ),
        Failure::Upstream(UpstreamError::Timeout(_)) => (
            (
                "The site's service took too long to answer",
                "Try again later. If the site is yours, look at what its service is waiting for.",
            ),
            (
                "Le service du site a mis trop de temps à répondre",
                "Réessayez plus tard. Si le site est à vous, voyez ce que son service attend.",
            ),
        ),
        Failure::Upstream(UpstreamError::Origin(error)) => origin_words(error),
        Failure::Upstream(UpstreamError::Visitor(_)) => {
            (("The request was cut off", "Send it again."), ("La requête a été interrompue", "Envoyez-la de nouveau."))
        }
    };
    match language {
        Language::English => en,
        Language::French => fr,
    }
}

type Words = (&'static str, &'static str);

/// What is wrong with an origin, without saying where it is (edge-behaviour §2.4).
fn origin_words(error: &OriginError) -> (Words, Words) {
    match error {
        OriginError::Own(_) | OriginError::Circle(_) => (
            (
                "This name leads back to where it came from",
                "If it is yours, correct its records: they lead to this edge itself, or round in circles.",
            ),
            (
                "Ce nom ramène à son point de départ",
                "S'il est à vous, corrigez ses enregistrements : ils mènent à cette périphérie même, ou tournent en rond.",
            ),
        ),
        OriginError::Prohibited(_) => (
            (
                "This name leads to an address that is not reached from here",
                "If it is yours, give it a public address, lead it to a tunnel, or ask the node's operator to allow the address.",
            ),
            (
                "Ce nom mène à une adresse qui n'est pas jointe d'ici",
                "S'il est à vous, donnez-lui une adresse publique, menez-le à un tunnel, ou faites autoriser l'adresse par l'exploitant.",
            ),
        ),
        OriginError::Unresolved { .. } => (
            (
                "The name of the site's server has no address",
                "Try again in a moment. If the site is yours, check the name that its CNAME record leads to.",
            ),
            (
                "Le nom du serveur du site n'a pas d'adresse",
                "Réessayez dans un instant. Si le site est à vous, vérifiez le nom auquel mène son enregistrement CNAME.",
            ),
        ),
        OriginError::TooManyConnections(_) => (
            (
                "Too many requests wait for the site's server",
                "Try again in a moment. If the site is yours, its server answers too slowly for what is asked of it.",
            ),
            (
                "Trop de requêtes attendent le serveur du site",
                "Réessayez dans un instant. Si le site est à vous, son serveur répond trop lentement pour ce qui lui est demandé.",
            ),
        ),
        OriginError::Invalid(..) => (
            (
                "The site's server gave an answer that makes no sense",
                "Try again in a moment. If the site is yours, look at its server's log.",
            ),
            (
                "Le serveur du site a donné une réponse incompréhensible",
                "Réessayez dans un instant. Si le site est à vous, voyez le journal de son serveur.",
            ),
        ),
        OriginError::Refused(_) => (
            (
                "The site's server refuses connections",
                "Try again in a moment. If the site is yours, check that its web server runs and that no firewall keeps this edge out.",
            ),
            (
                "Le serveur du site refuse les connexions",
                "Réessayez dans un instant. Si le site est à vous, vérifiez que son serveur web tourne et qu'aucun pare-feu n'écarte cette périphérie.",
            ),
        ),
        OriginError::ConnectTimeout(..) | OriginError::Unacknowledged(_) => (
            (
                "The site's server does not answer",
                "Try again in a moment. If the site is yours, check its address, and that no firewall drops what this edge sends.",
            ),
            (
                "Le serveur du site ne répond pas",
                "Réessayez dans un instant. Si le site est à vous, vérifiez son adresse, et qu'aucun pare-feu ne rejette les envois de cette périphérie.",
            ),
        ),
        OriginError::Unreachable(..) => (
            (
                "The site's server cannot be reached",
                "Try again later. If the site is yours, check the address in its records: no network leads there.",
            ),
            (
                "Le serveur du site est injoignable",
                "Réessayez plus tard. Si le site est à vous, vérifiez l'adresse dans ses enregistrements : aucun réseau n'y mène.",
            ),
        ),
        OriginError::Slow(..) => (
            (
                "The site's server took too long to answer",
                "Try again later. If the site is yours, look at what its server is waiting for.",
            ),
            (
                "Le serveur du site a mis trop de temps à répondre",
                "Réessayez plus tard. Si le site est à vous, voyez ce que son serveur attend.",
            ),
        ),
        OriginError::Handshake(..) => (
            (
                "There is no secure connection to the site's server",
                "If the site is yours, check that its server speaks TLS on this port and for this name, or choose another SSL mode.",
            ),
            (
                "Il n'y a pas de connexion sûre avec le serveur du site",
                "Si le site est à vous, vérifiez que son serveur parle TLS sur ce port et pour ce nom, ou choisissez un autre mode SSL.",
            ),
        ),
        OriginError::Certificate(..) => (
            (
                "The certificate of the site's server is not valid",
                "If the site is yours, give its server a certificate in force for this name, or choose another SSL mode than strict.",
            ),
            (
                "Le certificat du serveur du site n'est pas valable",
                "Si le site est à vous, donnez à son serveur un certificat en vigueur pour ce nom, ou choisissez un autre mode SSL que strict.",
            ),
        ),
    }
}

fn refusal_words(refusal: Refusal) -> (Words, Words) {
    match refusal {
        Refusal::Malformed(why) => {
            (("This request is not well-formed HTTP", why), ("Cette requête n'est pas du HTTP bien formé", why))
        }
        Refusal::TargetTooLong => (
            ("The address is too long", "The longest address accepted here has 16384 characters."),
            ("L'adresse est trop longue", "La plus longue adresse acceptée ici a 16384 caractères."),
        ),
        Refusal::HeadTooLarge => (
            ("The request header fields are too large", "Clearing this site's cookies often helps."),
            ("Les en-têtes de la requête sont trop volumineux", "Effacer les cookies de ce site suffit souvent."),
        ),
        Refusal::Slow => {
            (("The request took too long to arrive", "Try again."), ("La requête a mis trop de temps à arriver", "Réessayez."))
        }
        Refusal::Method => (
            ("This method is not allowed", "CONNECT, TRACE and TRACK are not forwarded."),
            ("Cette méthode n'est pas permise", "CONNECT, TRACE et TRACK ne sont pas transmises."),
        ),
        Refusal::Expectation => (
            ("This expectation cannot be met", "Only 100-continue can."),
            ("Cette attente ne peut être satisfaite", "Seule 100-continue peut l'être."),
        ),
        Refusal::WebSocketVersion => (
            ("This WebSocket version is not spoken here", "Use version 13."),
            ("Cette version de WebSocket n'est pas parlée ici", "Utilisez la version 13."),
        ),
        Refusal::AnswerTooLarge => (
            (
                "The answer's header fields are too large",
                "Your program takes fewer than this page has. Try another one, or HTTP/2.",
            ),
            (
                "Les en-têtes de la réponse sont trop volumineux",
                "Votre programme en accepte moins que cette page n'en a. Essayez-en un autre, ou HTTP/2.",
            ),
        ),
    }
}

/// The agent's words, shortened and without anything but visible characters.
fn detail(failure: &Failure) -> Option<String> {
    let text: String = failure.detail()?.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect();
    (!text.is_empty()).then_some(text)
}

fn text(failure: &Failure, language: Language, title: &str, advice: &str, subject: &Subject<'_>) -> Bytes {
    let error = if language == Language::French { "Erreur" } else { "Error" };
    let mut out = format!("{error} {}: {title}\n{advice}\n", failure.verdict().code);
    if let Some(detail) = detail(failure) {
        out.push_str(&detail);
        out.push('\n');
    }
    out.push_str(&format!("Ray: {}\n", subject.ray));
    out.into()
}

fn json(failure: &Failure, title: &str, advice: &str, subject: &Subject<'_>) -> Bytes {
    let verdict = failure.verdict();
    let mut out = format!(
        r#"{{"status":{},"error":{},"title":{},"advice":{},"ray":{},"host":{}"#,
        verdict.status.as_u16(),
        verdict.code,
        quoted(title),
        quoted(advice),
        quoted(subject.ray.as_str()),
        quoted(subject.host),
    );
    if let Some(detail) = detail(failure) {
        out.push_str(r#","detail":"#);
        out.push_str(&quoted(&detail));
    }
    out.push_str("}\n");
    out.into()
}

/// RFC 8259 §7.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn html(failure: &Failure, language: Language, title: &str, advice: &str, subject: &Subject<'_>) -> Bytes {
    let verdict = failure.verdict();
    let french = language == Language::French;
    let (error, you, edge, site, works, fails) = if french {
        ("Erreur", "Vous", "Périphérie", "Site", "fonctionne", "en défaut")
    } else {
        ("Error", "You", "Edge", "Site", "works", "failing")
    };
    let (host_label, address_label) = if french { ("Nom", "Votre adresse") } else { ("Host", "Your address") };
    let leg = |name: &str, failing: bool| {
        let (class, state) = if failing { ("no", fails) } else { ("ok", works) };
        format!(r#"<li class="{class}"><b>{name}</b><span>{state}</span></li>"#)
    };
    let legs = [leg(you, verdict.culprit == Culprit::Visitor), leg(edge, false), leg(site, verdict.culprit != Culprit::Visitor)]
        .concat();
    let detail = detail(failure).map(|detail| format!("<p><code>{}</code></p>", escaped(&detail))).unwrap_or_default();
    format!(
        r#"<!DOCTYPE html>
<html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title} · {code}</title>
<style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:10vh auto;padding:0 1.25rem}}
h1{{font-size:1.6rem;line-height:1.25}}ul{{display:flex;gap:1rem;padding:0;list-style:none}}li{{flex:1;border-top:.3rem solid;padding-top:.5rem}}
li span{{display:block}}.ok{{border-color:#1a7f37}}.no{{border-color:#cf222e}}dt{{font-weight:600}}dd{{margin:0 0 .5rem}}code{{overflow-wrap:anywhere}}</style></head>
<body><main><p>{error} {code}</p><h1>{title}</h1><p>{advice}</p>{detail}<ul>{legs}</ul>
<dl><dt>{host_label}</dt><dd>{host}</dd><dt>{address_label}</dt><dd>{visitor}</dd><dt>Ray</dt><dd><code>{ray}</code></dd></dl></main></body></html>
"#,
        lang = language.tag(),
        code = verdict.code,
        title = escaped(title),
        advice = escaped(advice),
        host = escaped(subject.host),
        visitor = escaped(subject.visitor),
        ray = escaped(subject.ray.as_str()),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ray::Site;

    async fn answer(failure: &Failure, fields: &[(&str, &str)]) -> (http::response::Parts, String) {
        let fields = fields.iter().map(|(n, v)| (HeaderName::try_from(*n).unwrap(), HeaderValue::try_from(*v).unwrap()));
        let ray = RayId::new(&Site::new("X"));
        let subject = Subject { ray: &ray, host: "a.test", visitor: "192.0.2.1" };
        let (head, mut body) = page(failure, &HeaderMap::from_iter(fields), &subject).into_parts();
        let text = match body.frame().await {
            Some(frame) => String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap(),
            None => String::new(),
        };
        assert_eq!(head.headers["cf-ray"], ray.as_str());
        (head, text)
    }

    fn no_connector() -> Failure {
        Failure::Upstream(UpstreamError::NoConnector(TunnelId::from_bytes([7; 16])))
    }
    use poterne_model::TunnelId;

    #[tokio::test]
    async fn a_browser_reads_its_language() {
        let (head, text) =
            answer(&no_connector(), &[("accept", "text/html,*/*;q=0.8"), ("accept-language", "de, fr-CH;q=0.9, en;q=0.5")]).await;
        assert_eq!((head.status.as_u16(), &head.headers["cf-error-type"]), (530, &HeaderValue::from_static("1033")));
        assert_eq!(head.headers["content-language"], "fr");
        assert!(text.contains(r#"<html lang="fr">"#) && text.contains("Le tunnel de ce site n&#39;est pas connecté"), "{text}");
        let (head, text) = answer(&no_connector(), &[("accept", "text/html")]).await;
        assert_eq!(head.headers["cache-control"], "no-store");
        assert!(text.contains(r#"<html lang="en">"#) && text.contains("Error 1033"));
    }

    #[tokio::test]
    async fn programs_get_json_text_or_a_grpc_status() {
        let (head, text) = answer(&Failure::NoZone, &[("accept", "application/json")]).await;
        assert_eq!((head.status.as_u16(), &head.headers["content-type"]), (409, &HeaderValue::from_static("application/json")));
        assert!(text.starts_with(r#"{"status":409,"error":1001,"#) && text.ends_with("}\n"), "{text}");
        let (head, text) = answer(&Failure::DirectAddress, &[("accept", "*/*")]).await;
        assert_eq!(head.status.as_u16(), 403);
        assert!(text.starts_with("Error 1003: "), "{text}");
        let timeout = Failure::Upstream(UpstreamError::Timeout(100));
        let (head, text) = answer(&timeout, &[("content-type", "application/grpc+proto")]).await;
        assert_eq!(
            (head.status.as_u16(), &head.headers["grpc-status"], text.as_str()),
            (200, &HeaderValue::from_static("4"), "")
        );
    }

    #[tokio::test]
    async fn an_agents_words_are_shown_but_not_believed() {
        let failure = Failure::Upstream(UpstreamError::LocalService("<script>\u{7}\"x\"".into()));
        let (head, text) = answer(&failure, &[("accept", "text/html")]).await;
        assert_eq!(head.status.as_u16(), 502);
        assert!(text.contains("&lt;script&gt;&quot;x&quot;") && !text.contains("<script>"), "{text}");
        let (_, text) = answer(&failure, &[("accept", "application/json")]).await;
        assert!(text.contains(r#""detail":"<script>\"x\"""#), "{text}");
    }

    #[tokio::test]
    async fn no_page_says_where_an_origin_is() {
        let (at, why) = (|| "192.0.2.66:443".to_owned(), || "192.0.2.66 is down".to_owned());
        let errors = [
            OriginError::Own("192.0.2.66".parse().unwrap()),
            OriginError::Unresolved { name: poterne_model::Name::parse("origin.secret.test").unwrap(), why: why() },
            OriginError::TooManyConnections(64),
            OriginError::Invalid(at(), why()),
            OriginError::Refused(at()),
            OriginError::ConnectTimeout(at(), 10),
            OriginError::Unacknowledged(at()),
            OriginError::Unreachable(at(), why()),
            OriginError::Slow(at(), why()),
            OriginError::Handshake(at(), why()),
            OriginError::Certificate(at(), why()),
        ];
        let codes = [1000, 1016, 1200, 520, 521, 522, 522, 523, 524, 525, 526];
        for (error, code) in errors.into_iter().zip(codes) {
            let failure = Failure::from(UpstreamError::from(error));
            assert!(words(&failure, Language::English).0.is_ascii());
            assert_eq!(failure.verdict().code, code);
            for accept in ["text/html", "application/json", "*/*"] {
                for language in ["fr", "en"] {
                    let (head, text) = answer(&failure, &[("accept", accept), ("accept-language", language)]).await;
                    assert_eq!(head.headers["cf-error-type"], code.to_string());
                    assert!(!text.contains("192.0.2.66") && !text.contains("secret"), "{text}");
                }
            }
        }
    }

    #[test]
    fn every_english_word_fits_a_field() {
        let all = [Refusal::Slow, Refusal::Method, Refusal::HeadTooLarge, Refusal::Malformed("x"), Refusal::AnswerTooLarge];
        for refusal in all {
            assert!(words(&Failure::Refused(refusal), Language::English).0.is_ascii());
        }
        for failure in
            [Failure::NoZone, Failure::Loop, Failure::WebSocketsOff, Failure::BadHost, Failure::NoReserved, no_connector()]
        {
            assert!(words(&failure, Language::English).0.is_ascii());
        }
    }
}
