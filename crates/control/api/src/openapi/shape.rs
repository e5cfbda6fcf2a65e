//! A schema for people: what it is in a few words, and its members in a table.

use std::fmt::Write as _;

use poterne_page::{Language, escaped};
use serde_json::Value;

/// How deep members of members are shown.
const DEPTH_MAX: usize = 4;

/// Text of the document: its `code` stands as such.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = escaped(part).replace("\n\n", "</p><p>");
        let _ = if place % 2 == 1 { write!(out, "<code>{part}</code>") } else { write!(out, "{part}") };
    }
    out
}

/// What a value of it is, in a few words.
pub(super) fn kind(language: Language, schema: &Value) -> String {
    let say = |english, french| language.say(english, french);
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#shape-{name}\">{name}</a>");
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("<code>{}</code>", escaped(&plain(word)))).collect();
        return words.join(", ");
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[keyword].as_array() {
            let choices: Vec<String> = choices.iter().map(|choice| kind(language, choice)).collect();
            return choices.join(say(" or ", " ou "));
        }
    }
    if let Some(kinds) = schema["type"].as_array() {
        let one = |kind_of: &Value| {
            let mut schema = schema.clone();
            schema["type"] = kind_of.clone();
            kind(language, &schema)
        };
        return kinds.iter().map(one).collect::<Vec<_>>().join(say(" or ", " ou "));
    }
    match schema["type"].as_str() {
        Some("string") => text(language, schema),
        Some("integer" | "number") => number(language, schema),
        Some("boolean") => say("true or false", "vrai ou faux").to_owned(),
        Some("null") => "null".to_owned(),
        Some("array") => {
            let most = match (schema["maxItems"].as_u64(), schema.get("items")) {
                (Some(0), _) => return say("empty list", "liste vide").to_owned(),
                (Some(max), _) => format!(" (≤ {max})"),
                _ => String::new(),
            };
            format!("{}{most}{}{}", say("list", "liste"), say(" of ", " de "), kind(language, &schema["items"]))
        }
        Some("object") => say("object", "objet").to_owned(),
        _ => say("any value", "toute valeur").to_owned(),
    }
}

fn text(language: Language, schema: &Value) -> String {
    let say = |english, french| language.say(english, french);
    let what = match schema["format"].as_str() {
        Some("date-time") => say("instant", "instant"),
        Some("uuid") => "UUID",
        Some("email") => say("e-mail address", "adresse électronique"),
        _ => say("text", "texte"),
    };
    let mut out = what.to_owned();
    if schema["pattern"] == "^[0-9a-f]{32}$" {
        return say("32 hexadecimal digits", "32 chiffres hexadécimaux").to_owned();
    }
    if let Some(max) = schema["maxLength"].as_u64() {
        let _ = write!(out, " (≤ {max})");
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let _ = write!(out, " <code>{}</code>", escaped(pattern));
    }
    out
}

fn number(language: Language, schema: &Value) -> String {
    let name = language.say("number", "nombre");
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(min), Some(max)) if min == max => min.to_string(),
        (Some(min), Some(max)) if max < i64::MAX => format!("{name}, {min} … {max}"),
        (Some(min), _) => format!("{name} ≥ {min}"),
        _ => name.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Its members, where it has some; else what it is.
pub(super) fn whole(language: Language, schema: &Value) -> String {
    let mut rows = String::new();
    members(language, schema, "", 0, &mut rows);
    if rows.is_empty() {
        return format!("<p>{}</p>", kind(language, schema));
    }
    let say = |english, french| language.say(english, french);
    let (member, what) = (say("Member", "Membre"), say("What it is", "Ce que c’est"));
    format!(
        "<table><thead><tr><th scope=\"col\">{member}</th><th scope=\"col\">{what}</th></tr></thead><tbody>{rows}</tbody></table>"
    )
}

fn members(language: Language, schema: &Value, before: &str, depth: usize, rows: &mut String) {
    if depth > DEPTH_MAX {
        return;
    }
    if schema["type"] == "array" {
        return members(language, &schema["items"], &format!("{before}[]"), depth + 1, rows);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, member) in properties {
        let path = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        let must = if required(name) { format!(" <b>{}</b>", language.say("required", "obligatoire")) } else { String::new() };
        let default = member.get("default").map_or_else(String::new, |default| {
            format!("; {} <code>{}</code>", language.say("by default", "par défaut"), escaped(&plain(default)))
        });
        let about = member["description"].as_str().map_or_else(String::new, |about| format!("<br>{}", prose(about)));
        let kind = kind(language, member);
        let _ = write!(
            rows,
            "<tr><th scope=\"row\"><code>{path}</code></th><td>{kind}{default}{must}{about}</td></tr>",
            path = escaped(&path)
        );
        members(language, member, &path, depth + 1, rows);
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::Schema;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_told_in_both_languages() {
        let told = |schema: Schema, language| kind(language, &schema.into_value());
        assert_eq!(told(Schema::text(5), Language::French), "texte (≤ 5)");
        assert_eq!(told(Schema::items(Schema::boolean(), 3), Language::English), "list (≤ 3) of true or false");
        assert_eq!(told(Schema::integer(1..=3), Language::English), "number, 1 … 3");
        assert_eq!(told(Schema::text(5).or_null(), Language::English), "text (≤ 5) or null");
        let reference = Schema::of(json!({ "$ref": "#/components/schemas/Zone" }));
        assert_eq!(told(reference, Language::English), "<a href=\"#shape-Zone\">Zone</a>");
    }

    #[test]
    fn whatever_a_schema_says_is_text() {
        let schema = Schema::object([("<b>", Schema::one_of(&["<i>"]).about("`<u>` & more").required())]).into_value();
        let shown = whole(Language::English, &schema);
        assert!(
            shown.contains("&lt;b&gt;") && shown.contains("&lt;i&gt;") && shown.contains("<code>&lt;u&gt;</code> &amp; more")
        );
    }
}
