//! Requests: one record, or a batch (api-v4 §4.1, §4.5).

use poterne_model::{
    Draft, RecordId, Rtype, Schema,
    entry::{self, Settings},
    rdata::{Field, Fields},
};
use serde_json::{Map, Value, json};

/// Most operations in one batch. Hosted plans end at 3,500; a zone is moved here in one.
pub const BATCH_OPERATIONS_MAX: usize = 20_000;

/// Most members of `data` that are looked at: no type has more than 12, old clients send a few beside.
const DATA_MEMBERS_MAX: usize = 32;

/// Why a request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, or not an object.
    #[error("the request body is not a JSON object: {0}")]
    Malformed(String),
    /// A member has another type than it must.
    #[error("{pointer} must be {expected}, not {found}")]
    Member {
        /// Where it is: a JSON pointer (RFC 6901) into the body.
        pointer: String,
        /// What it must be.
        expected: &'static str,
        /// What it is, at most 80 characters.
        found: String,
    },
    /// More operations than a batch takes.
    #[error("the batch has {0} operations; {BATCH_OPERATIONS_MAX} are the most: send it in parts")]
    TooManyOperations(usize),
}

/// Operations that are done together or not at all, in this order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Records that go.
    pub deletes: Vec<RecordId>,
    /// Records that change.
    pub patches: Vec<(RecordId, Draft)>,
    /// Records that are replaced.
    pub puts: Vec<(RecordId, Draft)>,
    /// Records that come.
    pub posts: Vec<Draft>,
}

/// What was decided of a scan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Review {
    /// Records that come, with the id each was proposed under.
    pub accepts: Vec<(Option<RecordId>, Draft)>,
    /// Proposals that go.
    pub rejects: Vec<RecordId>,
}

impl RequestError {
    /// The v4 API's code. 1004 is its general one for data; 9003 and 9020 are those of its members.
    pub fn code(&self) -> i64 {
        match self {
            Self::Member { pointer, .. } if pointer.ends_with("/proxied") => 9003,
            Self::Member { pointer, .. } if pointer.ends_with("/ttl") => 9020,
            _ => 1004,
        }
    }

    /// Where in the body, for `source.pointer`.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::Member { pointer, .. } => Some(pointer),
            _ => None,
        }
    }
}

/// What [`parse_draft`] reads, and what of it a record that is created or replaced must have.
pub fn draft_schema(is_whole: bool) -> Schema {
    let (name, types) = (Schema::text(254), Rtype::OFFERED.iter().map(ToString::to_string).collect::<Vec<_>>());
    let rtype = Schema::one_of(&types.iter().map(String::as_str).collect::<Vec<_>>());
    let (name, rtype) = if is_whole { (name.required(), rtype.required()) } else { (name, rtype) };
    let settings = ["ipv4_only", "ipv6_only", "flatten_cname"].map(|name| (name, Schema::boolean()));
    let range = i64::from(entry::TTL_SECS_MIN)..=i64::from(entry::TTL_SECS_MAX);
    let ttl = Schema::any_of([Schema::integer(1..=1), Schema::integer(range)]).about("seconds; 1 is automatic");
    let members = [
        ("name", name.about("in the zone, or whole; @ is the zone itself")),
        ("type", rtype),
        ("content", Schema::of(json!({ "type": "string" })).about("as zone files write the data of the type")),
        ("data", Schema::object([]).about("the same by members, each a number or a text")),
        ("priority", Schema::integer(0..=u16::MAX.into()).about("of MX, SRV and URI")),
        ("ttl", ttl.by_default(1)),
        ("proxied", Schema::boolean().by_default(false)),
        ("settings", Schema::object(settings)),
        ("comment", Schema::text(entry::COMMENT_CHARS_MAX)),
        ("tags", Schema::items(Schema::text(entry::TAG_NAME_CHARS_MAX + 1 + entry::TAG_VALUE_CHARS_MAX), entry::TAGS_MAX)),
    ];
    let whole = json!({ "type": "A", "name": "www", "content": "192.0.2.7", "ttl": 300, "comment": "the old one" });
    let (named, example) = if is_whole { ("NewRecord", whole) } else { ("RecordChanges", json!({ "comment": "the new one" })) };
    Schema::object(members).named(named).example(example)
}

/// What [`parse_batch`] reads.
pub fn batch_schema() -> Schema {
    let bare = |schema: Schema| {
        let mut tree = schema.into_value();
        if let Value::Object(members) = &mut tree {
            members.retain(|keyword, _| !matches!(keyword.as_str(), "title" | "examples"));
        }
        tree
    };
    let of_one = |schema: Schema| {
        let mut tree = bare(schema);
        tree["properties"]["id"] = Schema::hex("the record").into_value();
        let required = tree["required"].as_array().cloned().unwrap_or_default();
        tree["required"] = required.into_iter().chain([json!("id")]).collect();
        Schema::items(Schema::of(tree), BATCH_OPERATIONS_MAX)
    };
    let members = [
        ("deletes", Schema::items(Schema::object([("id", Schema::hex("the record").required())]), BATCH_OPERATIONS_MAX)),
        ("patches", of_one(draft_schema(false))),
        ("puts", of_one(draft_schema(true))),
        ("posts", Schema::items(Schema::of(bare(draft_schema(true))), BATCH_OPERATIONS_MAX)),
    ];
    let example = json!({ "posts": [{ "type": "TXT", "name": "www", "content": "\"hello\"" }] });
    Schema::object(members).named("Batch").example(example)
}

/// Reads the body of a create, a replacement or a change.
pub fn parse_draft(body: &[u8]) -> Result<Draft, RequestError> {
    draft(&object(body)?, "")
}

/// Reads the body of a review: records that are accepted, each with the id it was proposed under where it has one, and ids of those that
/// are not (api-v4 §4.6).
pub fn parse_review(body: &[u8]) -> Result<Review, RequestError> {
    let body = object(body)?;
    let mut review = Review::default();
    for name in ["accepts", "rejects"] {
        let list = match body.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list,
            Some(other) => return Err(wrong(&format!("/{name}"), "a list", other)),
        };
        if list.len() > BATCH_OPERATIONS_MAX {
            return Err(RequestError::TooManyOperations(list.len()));
        }
        for (at, value) in list.iter().enumerate() {
            let pointer = format!("/{name}/{at}");
            let Value::Object(members) = value else { return Err(wrong(&pointer, "an object", value)) };
            if name == "rejects" {
                review.rejects.push(id(members, &pointer)?);
                continue;
            }
            let proposed = members.get("id").filter(|id| !id.is_null()).map(|_| id(members, &pointer)).transpose()?;
            review.accepts.push((proposed, draft(members, &pointer)?));
        }
    }
    Ok(review)
}

/// What [`parse_review`] reads.
pub fn review_schema() -> Schema {
    let id = || Schema::hex("the proposed record").required();
    let accepts = Schema::items(Schema::object([("id", id())]), BATCH_OPERATIONS_MAX);
    let accepts = accepts.about("with members of a record where it should be another than was proposed");
    let members = [("accepts", accepts), ("rejects", Schema::items(Schema::object([("id", id())]), BATCH_OPERATIONS_MAX))];
    Schema::object(members).named("ScanReview").example(json!({ "accepts": [], "rejects": [] }))
}

/// Reads the body of a batch. Absent, `null` and empty lists are the same.
pub fn parse_batch(body: &[u8]) -> Result<Batch, RequestError> {
    let body = object(body)?;
    let lists = ["deletes", "patches", "puts", "posts"].map(|name| (name, body.get(name)));
    let operations: usize = lists.iter().filter_map(|(_, list)| list.and_then(Value::as_array)).map(Vec::len).sum();
    if operations > BATCH_OPERATIONS_MAX {
        return Err(RequestError::TooManyOperations(operations));
    }
    let mut batch = Batch::default();
    for (name, list) in lists {
        let list = match list {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list,
            Some(other) => return Err(wrong(&format!("/{name}"), "a list", other)),
        };
        for (at, value) in list.iter().enumerate() {
            let pointer = format!("/{name}/{at}");
            let Value::Object(members) = value else { return Err(wrong(&pointer, "an object", value)) };
            match name {
                "deletes" => batch.deletes.push(id(members, &pointer)?),
                "patches" => batch.patches.push((id(members, &pointer)?, draft(members, &pointer)?)),
                "puts" => batch.puts.push((id(members, &pointer)?, draft(members, &pointer)?)),
                _ => batch.posts.push(draft(members, &pointer)?),
            }
        }
    }
    Ok(batch)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, RequestError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(other) => Err(RequestError::Malformed(format!("it is {}", shown(&other)))),
        Err(error) => Err(RequestError::Malformed(error.to_string())),
    }
}

fn draft(members: &Map<String, Value>, at: &str) -> Result<Draft, RequestError> {
    let member = |name: &str| (format!("{at}/{name}"), members.get(name).filter(|value| !value.is_null()));
    let (pointer, comment) = (format!("{at}/comment"), members.get("comment"));
    let comment = match comment {
        // Given, and empty: the comment goes.
        Some(Value::Null) => Some(String::new()),
        other => text(&pointer, other)?,
    };
    let (name, rtype, content) = (member("name"), member("type"), member("content"));
    let (priority, ttl, proxied) = (member("priority"), member("ttl"), member("proxied"));
    let (data_at, data) = member("data");
    let (settings_at, settings) = member("settings");
    let (tags_at, tags) = member("tags");
    Ok(Draft {
        name: text(&name.0, name.1)?,
        rtype: text(&rtype.0, rtype.1)?,
        content: text(&content.0, content.1)?,
        data: data.map(|data| fields(&data_at, data)).transpose()?.flatten(),
        priority: number(&priority.0, priority.1, u16::MAX.into(), "a whole number from 0 to 65535")?
            .map(|number| u16::try_from(number).expect("it is bounded")),
        ttl_secs: number(&ttl.0, ttl.1, u32::MAX.into(), "a whole number of seconds")?
            .map(|number| u32::try_from(number).expect("it is bounded")),
        proxied: flag(&proxied.0, proxied.1)?,
        settings: settings.map(|settings| read_settings(&settings_at, settings)).transpose()?,
        comment,
        tags: tags.map(|tags| read_tags(&tags_at, tags)).transpose()?,
    })
}

fn id(members: &Map<String, Value>, at: &str) -> Result<RecordId, RequestError> {
    let value = members.get("id").unwrap_or(&Value::Null);
    value
        .as_str()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| wrong(&format!("{at}/id"), "a record id of 32 hexadecimal digits", value))
}

fn text(at: &str, value: Option<&Value>) -> Result<Option<String>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(at, "a text", other)),
    }
}

/// A whole number, as a number or as text; an empty text is none.
fn number(at: &str, value: Option<&Value>, max: u64, expected: &'static str) -> Result<Option<u64>, RequestError> {
    let number = match value {
        None => return Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => text.trim().parse().ok(),
        // 120.0 is a whole number too.
        Some(Value::Number(number)) => number.as_u64().or_else(|| format!("{}", number.as_f64()?).parse().ok()),
        Some(_) => None,
    };
    number.filter(|number| *number <= max).map(Some).ok_or_else(|| wrong(at, expected, value.unwrap_or(&Value::Null)))
}

fn flag(at: &str, value: Option<&Value>) -> Result<Option<bool>, RequestError> {
    match value {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(other) => Err(wrong(at, "true or false", other)),
    }
}

/// `{}` and `""` are none.
fn fields(at: &str, value: &Value) -> Result<Option<Fields>, RequestError> {
    let members = match value {
        Value::Object(members) => members,
        Value::String(text) if text.is_empty() => return Ok(None),
        other => return Err(wrong(at, "an object", other)),
    };
    if members.len() > DATA_MEMBERS_MAX {
        return Err(RequestError::Member {
            pointer: at.to_owned(),
            expected: "an object of a record type's members",
            found: format!("one of {}", members.len()),
        });
    }
    let mut fields = Fields::new();
    for (name, value) in members {
        let field = match value {
            Value::Null => continue,
            Value::String(text) => Field::Text(text.clone()),
            Value::Number(number) => Field::Number(number.as_f64().unwrap_or(f64::MAX)),
            other => return Err(wrong(&format!("{at}/{}", escaped(name)), "a number or a text", other)),
        };
        fields.insert(name.clone(), field);
    }
    Ok((!fields.is_empty()).then_some(fields))
}

fn read_settings(at: &str, value: &Value) -> Result<Settings, RequestError> {
    let Value::Object(members) = value else { return Err(wrong(at, "an object", value)) };
    let read = |name: &str| flag(&format!("{at}/{name}"), members.get(name).filter(|value| !value.is_null()));
    Ok(Settings { ipv4_only: read("ipv4_only")?, ipv6_only: read("ipv6_only")?, flatten_cname: read("flatten_cname")? })
}

fn read_tags(at: &str, value: &Value) -> Result<Vec<String>, RequestError> {
    let Value::Array(tags) = value else { return Err(wrong(at, "a list of texts", value)) };
    let tag = |(place, tag): (usize, &Value)| {
        tag.as_str().map(str::to_owned).ok_or_else(|| wrong(&format!("{at}/{place}"), "a text", tag))
    };
    tags.iter().enumerate().map(tag).collect()
}

/// A member's name inside a pointer (RFC 6901 §3).
fn escaped(name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    name.replace('~', "~0").replace('/', "~1")
}

fn wrong(pointer: &str, expected: &'static str, found: &Value) -> RequestError {
    RequestError::Member { pointer: pointer.to_owned(), expected, found: shown(found) }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        simple => simple.to_string().chars().take(80).collect(),
    }
}
