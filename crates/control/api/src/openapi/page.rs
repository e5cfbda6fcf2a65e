//! The document for people: one page without a script, in two languages, made once.

use std::{fmt::Write as _, sync::LazyLock};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use poterne_control_wire::query::Parameter;
use poterne_keys::sha256;
use poterne_page::{Language, escaped};
use serde_json::{Value, json};

use super::{
    document::{Page, document},
    shape::{kind, prose, whole},
};
use crate::{
    answer::Answer,
    body::Query,
    routes::{Routes, open},
};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1b1a;--paper:#fbfaf8;--line:#d8d3cb;--accent:#8a3b12;--soft:#f1ede6}\
@media(prefers-color-scheme:dark){:root{--ink:#ece8e1;--paper:#191817;--line:#3d3934;--accent:#f0a274;--soft:#24221f}}\
*{box-sizing:border-box}html{scroll-padding-top:1rem}body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}\
a{color:var(--accent)}code,pre{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}\
.page{display:grid;grid-template-columns:15rem minmax(0,1fr);gap:2.5rem;max-width:76rem;margin:0 auto;padding:1.5rem}\
nav{position:sticky;top:1.5rem;align-self:start;max-height:calc(100vh - 3rem);overflow:auto}\
nav ul{list-style:none;margin:0;padding:0}nav a{display:block;padding:.2rem 0;text-decoration:none}nav a:hover{text-decoration:underline}\
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .5rem}h2{font-size:1.3rem;margin:2.2rem 0 .3rem;padding-top:.6rem;border-top:1px solid var(--line)}\
h3{font-size:1rem;margin:1.1rem 0 .3rem}details{border:1px solid var(--line);border-radius:.4rem;margin:.45rem 0}\
details[open]{background:var(--soft)}summary{cursor:pointer;padding:.5rem .75rem;overflow-wrap:anywhere}\
summary b{display:inline-block;min-width:4.2rem;font:600 .8rem ui-monospace,monospace;color:var(--accent)}\
summary span{display:block;opacity:.85}details>div{padding:0 .75rem .75rem;border-top:1px solid var(--line)}\
table{width:100%;border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;border-top:1px solid var(--line)}\
th{font-weight:500;width:34%;overflow-wrap:anywhere}thead th{font-weight:600;border-top:0}td b{font-weight:600;font-size:.85em;color:var(--accent)}\
pre{margin:.3rem 0;padding:.6rem .75rem;background:var(--paper);border:1px solid var(--line);border-radius:.4rem;overflow:auto;white-space:pre-wrap}\
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
@media(max-width:52rem){.page{display:block;padding:1rem}nav{position:static;max-height:none;margin-bottom:1.5rem}\
nav ul{columns:2}table,tbody,tr,th,td{display:block;width:auto}thead{display:none}td{border-top:0;padding-top:0}}\
@media print{nav{display:none}.page{display:block}}";

static ENGLISH: LazyLock<Page> = LazyLock::new(|| Page::new(render(Language::English, &document(crate::all_routes()))));
static FRENCH: LazyLock<Page> = LazyLock::new(|| Page::new(render(Language::French, &document(crate::all_routes()))));

/// No script, and nothing from elsewhere: only the style that stands in it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = BASE64_STANDARD.encode(sha256(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
});

/// `/docs`.
pub(crate) fn routes() -> Routes {
    let language = Parameter::word("lang", Language::TAGS, "in which language; absent: as the browser asks");
    let op = open("This document, for people").query([language]).plain("text/html", json!({ "type": "string" }));
    Routes::of("Description", "What this API is, for programs and for people.").get("/docs", told, op.says([304]))
}

async fn told(headers: HeaderMap, Query(query): Query) -> Result<Response, Answer<()>> {
    let language = query.word("lang", Language::of_tag, Language::TAGS)?.unwrap_or_else(|| Language::asked(&headers));
    let page = if language == Language::French { &FRENCH } else { &ENGLISH };
    let mut response = page.answer(&headers, "text/html; charset=utf-8");
    let fields = response.headers_mut();
    fields.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    fields.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        fields.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// The whole page.
fn render(language: Language, document: &Value) -> String {
    let say = |english, french| language.say(english, french);
    let (other, other_name) = (language.other().tag(), language.other().own_name());
    let text = |value: &Value| value.as_str().map(prose).unwrap_or_default();
    let (mut index, mut main) = (String::new(), String::new());
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = tag["name"].as_str().unwrap_or_default();
        let (anchor, shown) = (anchor(name), escaped(name));
        let _ = write!(index, "<li><a href=\"#{anchor}\">{shown}</a></li>");
        let about = text(&tag["description"]);
        let _ = write!(main, "<section aria-labelledby=\"{anchor}\"><h2 id=\"{anchor}\">{shown}</h2><p>{about}</p>");
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for method in ["get", "post", "put", "patch", "delete"] {
                let operation = &item[method];
                if operation["tags"][0] == name {
                    main.push_str(&shown_operation(language, method, path, operation));
                }
            }
        }
        main.push_str("</section>");
    }
    let shapes = say("Shapes", "Formes");
    let _ = write!(index, "<li><a href=\"#shapes\">{shapes}</a></li>");
    let _ = write!(main, "<section aria-labelledby=\"shapes\"><h2 id=\"shapes\">{shapes}</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let about = schema["description"].as_str().map_or_else(String::new, |about| format!("<p>{}</p>", prose(about)));
        let whole = whole(language, schema) + &example(language, schema);
        let name = escaped(name);
        let _ = write!(
            main,
            "<details id=\"shape-{name}\"><summary><code>{name}</code></summary><div>{about}{whole}</div></details>"
        );
    }
    main.push_str("</section>");
    let title = say("The API of this node", "L’API de ce nœud");
    let lead = say(
        "Every operation there is, as this node answers it. The same for programs:",
        "Toutes les opérations, telles que ce nœud y répond. La même chose pour les programmes :",
    );
    let contents = say("Contents", "Sommaire");
    format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><div class=\"page\">\
         <nav aria-label=\"{contents}\"><ul>{index}</ul><p><a href=\"?lang={other}\" hreflang=\"{other}\" lang=\"{other}\">{other_name}</a></p></nav>\
         <main><h1>{title}</h1><p>{lead} <a href=\"openapi.json\"><code>openapi.json</code></a> (OpenAPI {openapi}, {version}).</p>\
         <div lang=\"en\"><p>{about}</p></div>{main}</main></div></body></html>",
        tag = language.tag(),
        openapi = text(&document["openapi"]),
        version = text(&document["info"]["version"]),
        about = text(&document["info"]["description"]),
    )
}

fn example(language: Language, schema: &Value) -> String {
    let Some(example) = schema["examples"].get(0) else { return String::new() };
    let shown = serde_json::to_string_pretty(example).unwrap_or_default();
    format!("<h3>{}</h3><pre>{}</pre>", language.say("Example", "Exemple"), escaped(&shown))
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn shown_operation(language: Language, method: &str, path: &str, operation: &Value) -> String {
    let say = |english, french| language.say(english, french);
    let text = |value: &Value| value.as_str().map(prose).unwrap_or_default();
    let mut out = String::new();
    let _ = write!(
        out,
        "<details id=\"{id}\"><summary><b>{method}</b> <code>{path}</code><span>{summary}</span></summary><div>",
        id = text(&operation["operationId"]),
        method = method.to_uppercase(),
        path = escaped(path),
        summary = text(&operation["summary"]),
    );
    if operation["description"].is_string() {
        let _ = write!(out, "<p>{}</p>", text(&operation["description"]));
    }
    let permission = match (operation["security"].get(0), operation["security"][0]["token"][0].as_str()) {
        (None, _) => say("Open to everybody.", "Ouvert à tous.").to_owned(),
        (_, None) => say("For whoever is known.", "Pour toute personne connue.").to_owned(),
        (_, Some(role)) => format!("{} <code>{}</code>.", say("Permission:", "Permission :"), escaped(role)),
    };
    let _ = write!(out, "<p>{permission}</p>");
    let mut rows = String::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let must = if parameter["required"] == true && parameter["in"] == "query" {
            format!(" <b>{}</b>", say("required", "obligatoire"))
        } else {
            String::new()
        };
        let about = parameter["description"].as_str().map_or_else(String::new, |about| format!("<br>{}", prose(about)));
        let place = if parameter["in"] == "path" { format!(" ({})", say("path", "chemin")) } else { String::new() };
        let _ = write!(
            rows,
            "<tr><th scope=\"row\"><code>{}</code>{place}</th><td>{}{must}{about}</td></tr>",
            text(&parameter["name"]),
            kind(language, &parameter["schema"]),
        );
    }
    if !rows.is_empty() {
        let _ = write!(out, "<h3>{}</h3><table><tbody>{rows}</tbody></table>", say("Parameters", "Paramètres"));
    }
    for (content_type, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let kind = kind(language, &body["schema"]);
        let _ = write!(out, "<h3>{}</h3><p>{kind} (<code>{}</code>)</p>", say("Body", "Corps"), escaped(content_type));
    }
    let _ = write!(out, "<h3>{}</h3><table><tbody>", say("Answers", "Réponses"));
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let shown = match (answer["$ref"].as_str().and_then(|name| name.rsplit('/').next()), answer["content"].as_object()) {
            (Some(name), _) => escaped(name),
            (None, Some(content)) => {
                content.iter().map(|(kind_of, content)| result(language, kind_of, &content["schema"])).collect()
            }
            (None, None) => text(&answer["description"]),
        };
        let _ = write!(out, "<tr><th scope=\"row\"><code>{}</code></th><td>{shown}</td></tr>", escaped(status));
    }
    out.push_str("</tbody></table></div></details>");
    out
}

/// What stands in the envelope; or, without one, what there is.
fn result(language: Language, content_type: &str, schema: &Value) -> String {
    let members = &schema["allOf"][1]["properties"];
    match members.get("result") {
        None => format!("<code>{}</code>", escaped(content_type)),
        Some(result) => {
            let info = members
                .get("result_info")
                .map_or_else(String::new, |info| format!("; <code>result_info</code>: {}", kind(language, info)));
            format!("<code>result</code>: {}{info}", kind(language, result))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_shape_is_on_the_page_and_every_link_leads_somewhere() {
        let document = document(crate::all_routes());
        for language in Language::ALL {
            let page = render(language, &document);
            for (path, item) in document["paths"].as_object().unwrap() {
                for operation in item.as_object().unwrap().values().filter(|operation| operation.is_object()) {
                    let id = operation["operationId"].as_str().unwrap();
                    assert_eq!(page.matches(&format!("<details id=\"{id}\">")).count(), 1, "{path} {id}");
                }
            }
            for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(page.contains(&format!("id=\"{link}\"")), "#{link}");
            }
            assert!(page.contains(&format!("<html lang=\"{}\">", language.tag())) && !page.contains("<script"));
            assert!(
                !page.contains("src=") && !page.contains("href=\"http") && !page.contains("@import"),
                "nothing from elsewhere"
            );
        }
    }
}
