//! The sample site's page, in two languages that say the same.

use std::fmt::Write as _;

use axum::http::{HeaderMap, Method, Uri};
use poterne_page::{Language, escaped};

/// What `?lang=` asks for, else what the browser does.
pub(super) fn language(query: Option<&str>, headers: &HeaderMap) -> Language {
    let asked = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("lang=")));
    asked.and_then(Language::of_tag).unwrap_or_else(|| Language::asked(headers))
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1b1a;--paper:#fbfaf8;--line:#d8d3cb;--accent:#8a3b12;--soft:#f1ede6}\
@media(prefers-color-scheme:dark){:root{--ink:#ece8e1;--paper:#191817;--line:#3d3934;--accent:#f0a274;--soft:#24221f}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.6 system-ui,sans-serif}\
main,header,footer{max-width:46rem;margin:0 auto;padding:1rem 1.25rem}header{padding-top:2.5rem}\
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}a{color:var(--accent)}\
code,td,output{font-family:ui-monospace,monospace;font-size:.92em}.big{font-size:1.35rem;display:block}\
table{width:100%;border-collapse:collapse}caption{text-align:left;padding-bottom:.4rem}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}\
th{font-weight:600;width:36%}form{display:flex;gap:.5rem;flex-wrap:wrap;align-items:end}label{flex:1 1 14rem}\
input{display:block;width:100%;font:inherit;padding:.45rem .6rem;border:1px solid var(--ink);border-radius:.35rem;background:var(--paper);color:inherit}\
button{font:inherit;padding:.45rem 1rem;border:1px solid var(--accent);border-radius:.35rem;background:var(--accent);color:var(--paper);cursor:pointer}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}.box{background:var(--soft);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem}\
ol{margin:.6rem 0 0;padding-left:1.4rem;font-family:ui-monospace,monospace;font-size:.92em}footer{color:inherit;border-top:1px solid var(--line);margin-top:2rem}";

/// The whole page.
pub(super) fn render(language: Language, method: &Method, uri: &Uri, headers: &HeaderMap) -> String {
    let say = |english, french| language.say(english, french);
    let field = |name: &str| headers.get(name).map(|value| escaped(&String::from_utf8_lossy(value.as_bytes())));
    let mut rows = String::new();
    for (name, value) in headers {
        let value = escaped(&String::from_utf8_lossy(value.as_bytes()));
        let _ = write!(rows, "<tr><th scope=\"row\"><code>{}</code></th><td>{value}</td></tr>", escaped(name.as_str()));
    }
    let (other, other_name) = (language.other().tag(), language.other().own_name());
    let ray = field("cf-ray").unwrap_or_else(|| {
        say("none: this request did not come through the edge", "aucun : cette requête n’est pas passée par le bord").into()
    });
    let mut page = String::with_capacity(8 * 1024);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\
         <header><h1>{title}</h1><p>{lead}</p><p><a href=\"?lang={other}\" hreflang=\"{other}\" lang=\"{other}\">{other_name}</a></p></header><main>\
         <section aria-labelledby=\"ray\"><h2 id=\"ray\">{ray_title}</h2><p class=\"box\"><code class=\"big\">{ray}</code>{ray_text}</p></section>\
         <section aria-labelledby=\"clock\"><h2 id=\"clock\">{clock_title}</h2><p class=\"box\"><output class=\"big\" id=\"time\" aria-live=\"off\">…</output>{clock_text}</p></section>\
         <section aria-labelledby=\"echo\"><h2 id=\"echo\">{echo_title}</h2><div class=\"box\"><p>{echo_text}</p>\
         <form id=\"form\"><label>{echo_label}<input id=\"text\" maxlength=\"200\" autocomplete=\"off\" value=\"{echo_value}\"></label><button>{echo_send}</button></form>\
         <ol id=\"log\" role=\"log\" aria-label=\"{echo_log}\"></ol></div></section>\
         <section aria-labelledby=\"fields\"><h2 id=\"fields\">{fields_title}</h2><table><caption>{fields_text} <code>{method} {uri}</code></caption><tbody>{rows}</tbody></table></section>\
         </main><footer><p>{footer}</p></footer>{noscript}<script>{script}</script></body></html>",
        tag = language.tag(),
        title = say("You came in through the gate", "Vous êtes entré par la poterne"),
        lead = say(
            "This page is served by a program that listens on loopback only. Your request reached Poterne’s edge, which sent it down a tunnel that the agent had opened from inside.",
            "Cette page est servie par un programme qui n’écoute que sur la boucle locale. Votre requête a atteint le bord de Poterne, qui l’a envoyée dans un tunnel que l’agent avait ouvert de l’intérieur.",
        ),
        ray_title = say("The ray id of this request", "L’identifiant de rayon de cette requête"),
        ray_text = say(
            "Look for it in the node’s log: it is on every line about this request.",
            "Cherchez-le dans le journal du nœud : il est sur chaque ligne qui parle de cette requête."
        ),
        clock_title = say("A clock, as server-sent events", "Une horloge, par événements envoyés du serveur"),
        clock_text = say(
            "One event a second. Nothing on the way waits for the next one.",
            "Un événement par seconde. Rien, en chemin, n’attend le suivant."
        ),
        echo_title = say("An echo, over WebSocket", "Un écho, par WebSocket"),
        echo_text = say(
            "What you send goes all the way to the local service and back; the time it took is shown.",
            "Ce que vous envoyez va jusqu’au service local et en revient ; la durée du trajet est affichée."
        ),
        echo_label = say("Message", "Message"),
        echo_value = say("Hello from outside", "Bonjour du dehors"),
        echo_send = say("Send", "Envoyer"),
        echo_log = say("Echoes", "Échos"),
        fields_title = say("What the local service received", "Ce que le service local a reçu"),
        fields_text = say("Fields of", "Champs de"),
        footer = say(
            "Publish a service of your own: <code>poterne demo --url http://localhost:3000</code>",
            "Publiez votre propre service : <code>poterne demo --url http://localhost:3000</code>",
        ),
        noscript = say(
            "<noscript><p>Clock and echo need JavaScript.</p></noscript>",
            "<noscript><p>L’horloge et l’écho ont besoin de JavaScript.</p></noscript>",
        ),
        method = escaped(method.as_str()),
        uri = escaped(&uri.to_string()),
        script = script(language),
    );
    page
}

fn script(language: Language) -> String {
    let lost = language.say("connection lost, trying again", "connexion perdue, nouvel essai");
    let closed = language.say("the connection is closed; reload the page", "la connexion est fermée ; rechargez la page");
    format!(
        "'use strict';const $=i=>document.getElementById(i);const time=$('time'),log=$('log');\
         const es=new EventSource('events');es.addEventListener('tick',e=>time.textContent=e.data);es.onerror=()=>time.textContent='{lost}';\
         const add=t=>{{const li=document.createElement('li');li.textContent=t;log.append(li);while(log.children.length>8)log.firstChild.remove()}};\
         let ws;const sent=[];const open=()=>{{ws=new WebSocket(new URL('echo',location.href).href.replace(/^http/,'ws'));\
         ws.onmessage=e=>add(e.data+' · '+(performance.now()-sent.shift()).toFixed(1)+' ms')}};open();\
         const send=()=>{{sent.push(performance.now());ws.send($('text').value)}};\
         $('form').addEventListener('submit',e=>{{e.preventDefault();if(ws.readyState===1)send();else if(ws.readyState===0)ws.addEventListener('open',send,{{once:true}});\
         else{{add('{closed}');sent.length=0;open()}}}});"
    )
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn the_reader_chooses_the_language() {
        let asked = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, "fr".parse().unwrap())]);
        for (query, chosen) in [
            (None, Language::French),
            (Some("lang=en"), Language::English),
            (Some("a=b&lang=en"), Language::English),
            (Some("lang=de"), Language::French),
        ] {
            assert_eq!(language(query, &asked), chosen, "{query:?}");
        }
        assert_eq!(language(Some("lang=fr"), &HeaderMap::new()), Language::French);
    }
}
