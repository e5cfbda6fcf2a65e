//! The document itself (OpenAPI 3.1.1).

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use poterne_control_wire::{
    ApiError,
    query::page::{CursorInfo, PageInfo},
};
use poterne_keys::sha256;
use serde_json::{Map, Value, json};

use super::{
    components::Components,
    operation::{Operation, Told},
};
use crate::routes::{Access, Listed, Routes, open};

/// A text that is made once, and what tells it from another version of itself.
pub(crate) struct Page {
    pub(crate) text: String,
    etag: String,
}

/// What the API is, for programs.
static DOCUMENT: LazyLock<Page> = LazyLock::new(|| Page::new(document(crate::all_routes()).to_string()));

/// `/openapi.json`.
pub(crate) fn routes() -> Routes {
    let about = "What this API is, for programs and for people.";
    Routes::of("Description", about).get(
        "/openapi.json",
        told,
        open("This document").plain("application/json", json!({ "type": "object" })).says([304]),
    )
}

async fn told(headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers, "application/json")
}

impl Page {
    pub(crate) fn new(text: String) -> Self {
        let digest: String = sha256(text.as_bytes()).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        Self { text, etag: format!("\"{digest}\"") }
    }

    /// It, or that it is what the client has (RFC 9110 §13.1.2).
    pub(crate) fn answer(&'static self, headers: &HeaderMap, content_type: &'static str) -> Response {
        let given = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let has = given.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == self.etag || tag == "*");
        let mut response = if has { StatusCode::NOT_MODIFIED.into_response() } else { self.text.as_str().into_response() };
        let fields = response.headers_mut();
        if !has {
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            fields.insert(header::ETAG, etag);
        }
        response
    }
}

/// Said before there is a request that could be answered: without a body.
const URI_TOO_LONG: u16 = 414;

/// Each status that an error may have: its name among the components, and what it means.
const ERRORS: [(u16, &str, &str); 13] = [
    (400, "Wrong", "The request is wrong; `errors` says where and why."),
    (401, "Unknown", "Nobody knows that token."),
    (403, "Forbidden", "The credentials are not valid, or do not allow this."),
    (404, "NotFound", "It is not there, or not within reach of these credentials."),
    (405, "NotAllowed", "The path has no such method."),
    (409, "Conflict", "Something is in its way; another try would end alike."),
    (413, "TooLarge", "The body is larger than any is read."),
    (URI_TOO_LONG, "TooLong", "The address is longer than any is read; nothing more is said."),
    (415, "NotJson", "The body is not JSON, and does not say it were."),
    (429, "TooMany", "Too many requests; `Retry-After` says in how many seconds to come back."),
    (500, "Failed", "The node could not do it; its log says why, under the Ray id of this answer."),
    (503, "Unavailable", "The node's store does not answer: nothing was changed; `Retry-After` says when to come back."),
    (507, "Full", "The disk of the node's store is full: nothing was changed."),
];

const DESCRIPTION: &str = "The v4 API of this node. Answers stand in one envelope: `success`, `errors`, `messages`, `result`, and \
    `result_info` beside lists.\n\nA member of a body that is `null` counts as absent, and members that are not known are passed over. A \
    slash at the end of a path says nothing. Every answer has a Ray id in `CF-Ray`, under which the node's log tells of the request; \
    `Ratelimit` and `Ratelimit-Policy` tell how many requests are left.\n\nA token's permission over what a path means is listed with each \
    operation's security requirement, in the form `#subject:right`; whoever may edit may read. What another account owns is not there.";

/// The document of these routes.
pub(crate) fn document(routes: Routes) -> Value {
    let Routes { operations, tags, mut components, .. } = routes;
    let mut paths = Map::new();
    for operation in operations {
        let (path, method) = (operation.path.clone(), operation.method);
        let item = paths.entry(path).or_insert_with(|| json!({}));
        if operation.is_at_root {
            item["servers"] = json!([{ "url": "/" }]);
        }
        item[method] = object(operation, &mut components);
    }
    let error = components.reference::<ApiError>();
    let messages = json!({ "type": "array", "items": { "type": "string" } });
    let mut schemas = components.into_map();
    let success = json!({
        "type": "object", "description": "What stands around every result.", "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": { "type": "boolean", "const": true }, "errors": { "type": "array", "maxItems": 0 }, "messages": messages,
            "result": {},
        },
    });
    let failure = json!({
        "type": "object", "description": "What stands around every error.", "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": { "type": "boolean", "const": false }, "errors": { "type": "array", "items": error, "minItems": 1 },
            "messages": messages, "result": { "type": "null" },
        },
    });
    schemas.extend([("Success".to_owned(), success), ("Failure".to_owned(), failure)]);
    let responses: Map<String, Value> = ERRORS
        .iter()
        .map(|(status, name, what)| {
            let mut answer = json!({ "description": what });
            if *status != URI_TOO_LONG {
                answer["content"] = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Failure" } } });
            }
            ((*name).to_owned(), answer)
        })
        .collect();
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Poterne", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/client/v4" }],
        "tags": tags.iter().map(|(name, about)| json!({ "name": name, "description": about })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An API token, as `poterne token create` makes one." },
                "email": { "type": "apiKey", "in": "header", "name": "X-Auth-Email", "description": "A user's address, beside its key." },
                "key": { "type": "apiKey", "in": "header", "name": "X-Auth-Key", "description": "A user's key, beside its address." },
            },
        },
    })
}

fn object(operation: Operation, components: &mut Components) -> Value {
    let id = format!("{}{}", operation.method, operation.path.replace('/', "_").replace(['{', '}'], ""));
    let responses = responses(&operation, components);
    let Operation { tag, op, variables, .. } = operation;
    let variable = |(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema });
    let parameters: Vec<Value> =
        variables.into_iter().map(variable).chain(op.query.into_iter().map(|parameter| parameter.into_object())).collect();
    let roles: Vec<String> = match op.access {
        Access::Needs(permission) => vec![permission.to_string()],
        _ => Vec::new(),
    };
    let security =
        if op.access == Access::Open { json!([]) } else { json!([{ "token": roles }, { "email": roles, "key": roles }]) };
    let mut out =
        json!({ "operationId": id, "tags": [tag], "summary": op.summary, "security": security, "responses": responses });
    if let Some(about) = op.about {
        out["description"] = about.into();
    }
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    let mut bodies = Map::new();
    for (content_type, schema) in op.body.map(|body| ("application/json", body.into_value())).into_iter().chain(op.other_bodies) {
        bodies.insert(content_type.to_owned(), json!({ "schema": components.by_title(schema) }));
    }
    if !bodies.is_empty() {
        out["requestBody"] = json!({ "required": true, "content": bodies });
    }
    out
}

fn responses(operation: &Operation, components: &mut Components) -> Value {
    let mut out = Map::new();
    let plain = operation.op.plain.as_ref().map(|(content_type, schema)| (*content_type, schema.clone()));
    let (status, content) = match (&operation.told, plain) {
        (Told::Nothing, _) => ("204", None),
        (_, Some(plain)) => ("200", Some(plain)),
        (Told::Own, None) => ("200", None),
        (Told::Result(result), None) => {
            let mut members = json!({ "result": result });
            let info = match operation.op.listed {
                Listed::No => None,
                Listed::Pages => Some(components.reference::<PageInfo>()),
                Listed::Cursors => Some(components.reference::<CursorInfo>()),
            };
            let mut required = vec!["result"];
            if let Some(info) = info {
                members["result_info"] = info;
                required.push("result_info");
            }
            let own = json!({ "type": "object", "required": required, "properties": members });
            ("200", Some(("application/json", json!({ "allOf": [{ "$ref": "#/components/schemas/Success" }, own] }))))
        }
    };
    let mut success = json!({ "description": if content.is_some() { "Done." } else { "Done; without a body." } });
    if let Some((content_type, schema)) = content {
        success["content"] = json!({ content_type: { "schema": schema } });
    }
    out.insert(status.to_owned(), success);
    for status in &operation.statuses {
        let answer = match ERRORS.iter().find(|(known, ..)| known == status) {
            Some((_, name, _)) => json!({ "$ref": format!("#/components/responses/{name}") }),
            None => json!({ "description": "What the client has is still so." }),
        };
        out.insert(status.to_string(), answer);
    }
    Value::Object(out)
}
