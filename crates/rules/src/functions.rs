//! The functions (edge-behaviour §4.5). What one is given is checked when the expression is compiled; a value that is not there makes the
//! result not there, but for `concat`.

use std::{borrow::Cow, net::IpAddr};

use aws_lc_rs::{digest, hmac};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use memchr::memmem;
use regex::bytes::Regex;

use crate::{
    evaluate::{Evaluation, Spent, TEXT_BYTES_MAX},
    facts::Text,
    fields::Map,
    program::Term,
    sets, url,
    value::Value,
    wildcard::Wildcard,
};

/// How far ahead of this node's clock a token's time may lie, in seconds.
const AHEAD_SECS: i64 = 60;

/// How often `url_decode` decodes what it decoded.
const ROUNDS_MAX: usize = 8;

/// With or without padding: tokens come both ways.
const STANDARD: GeneralPurpose = lenient(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = lenient(&alphabet::URL_SAFE);

const fn lenient(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    GeneralPurpose::new(alphabet, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
}

/// A function, with those of its arguments that are written out.
#[derive(Debug, Clone)]
pub(crate) enum Function {
    Lower,
    Upper,
    Len,
    StartsWith,
    EndsWith,
    Concat,
    Substring,
    Split { separator: Box<[u8]>, limit: usize },
    Join { separator: Box<[u8]> },
    RegexReplace { regex: Regex, template: Template },
    WildcardReplace { wildcard: Wildcard, template: Template },
    UrlDecode { repeats: bool, unicode: bool },
    RemoveBytes { bytes: Box<[u8]> },
    RemoveQueryArgs { names: Vec<Box<[u8]>> },
    ToString,
    DecodeBase64,
    EncodeBase64 { url_safe: bool, padded: bool },
    JsonString { path: Vec<Step> },
    JsonInteger { path: Vec<Step> },
    Cidr { v4: Option<u8>, v6: u8 },
    Sha256,
    HasKey(Map),
    MapHasValue(Map),
    HasValue,
    IsTimedHmacValid { key: Box<hmac::Key>, ttl_secs: i64, separator: usize, url_safe: bool },
}

/// One step into a JSON text.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// What a replacement writes: text, and what the pattern found.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(Vec<u8>),
    /// Counted from 1.
    Group(usize),
}

impl Template {
    /// `${1}` to `${8}` are groups, `$$` is the character; `groups`: how many there are.
    ///
    /// # Errors
    /// It names one that is not there.
    pub(crate) fn new(text: &[u8], groups: usize) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), Vec::new(), text);
        while let [byte, after @ ..] = rest {
            rest = after;
            match (byte, after) {
                (b'$', [b'$', after @ ..]) => {
                    plain.push(b'$');
                    rest = after;
                }
                (b'$', [b'{', number @ b'1'..=b'8', b'}', after @ ..]) => {
                    let number = usize::from(number - b'0');
                    if number > groups {
                        return Err(format!("${{{number}}} means a part that the pattern does not have: it has {groups}"));
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Group(number));
                    rest = after;
                }
                (byte, _) => plain.push(*byte),
            }
        }
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    fn write<'a>(&self, out: &mut Vec<u8>, group: impl Fn(usize) -> Option<&'a [u8]>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(number) => out.extend_from_slice(group(*number).unwrap_or_default()),
            }
        }
    }
}

impl Function {
    /// `first`: what stands in the place of the first argument, which is not among `arguments` then.
    pub(crate) fn call<'e>(
        &'e self,
        evaluation: &mut Evaluation<'e>,
        arguments: &'e [Term],
        first: Option<Value<'e>>,
    ) -> Result<Option<Value<'e>>, Spent> {
        match self {
            Self::Concat => return concat(evaluation, arguments, first),
            Self::HasKey(map) => return has_key(*map, evaluation, arguments),
            Self::MapHasValue(map) => return map_has_value(*map, evaluation, arguments),
            _ => {}
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        values.extend(first);
        for argument in arguments {
            let Some(value) = evaluation.term(argument, None)? else { return Ok(None) };
            values.push(value);
        }
        let read = values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 }).sum();
        evaluation.pay(read)?;
        let now = evaluation.facts.at.as_secs();
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Ok(None) };
        let value = self.of(first, values, now);
        if let Some(Value::Text(text)) = &value {
            evaluation.pay(text.len())?;
        }
        Ok(value.filter(|value| !matches!(value, Value::Text(text) if text.len() > TEXT_BYTES_MAX)))
    }

    /// Of values that are there; none where it has none.
    fn of<'e>(&'e self, first: Value<'e>, mut rest: impl Iterator<Item = Value<'e>>, now: u64) -> Option<Value<'e>> {
        let mut next_text = || match rest.next()? {
            Value::Text(text) => Some(text),
            _ => None,
        };
        Some(match (self, first) {
            (Self::Lower, Value::Text(text)) => Value::Text(folded(text, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase)),
            (Self::Upper, Value::Text(text)) => Value::Text(folded(text, u8::is_ascii_lowercase, <[u8]>::make_ascii_uppercase)),
            (Self::Len, Value::Text(text)) => number(text.len()),
            (Self::Len, Value::List(items)) => number(items.len()),
            (Self::StartsWith, Value::Text(text)) => Value::Bool(text.starts_with(&next_text()?)),
            (Self::EndsWith, Value::Text(text)) => Value::Bool(text.ends_with(&next_text()?)),
            (Self::Substring, Value::Text(text)) => {
                let mut place = || match rest.next()? {
                    Value::Int(place) => Some(place),
                    _ => None,
                };
                let start = place()?;
                Value::Text(substring(text, start, place()))
            }
            (Self::Split { separator, limit }, Value::Text(text)) => Value::List(split(&text, separator, *limit)),
            (Self::Join { separator }, Value::List(items)) => {
                let mut out = Vec::new();
                for (at, item) in items.into_iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(separator);
                    }
                    out.extend_from_slice(&item.into_text()?);
                    if out.len() > TEXT_BYTES_MAX {
                        return None;
                    }
                }
                Value::text(out)
            }
            (Self::RegexReplace { regex, template }, Value::Text(text)) => {
                let Some(found) = regex.captures(&text) else { return Some(Value::Text(text)) };
                let range = found.get(0)?.range();
                let mut out = text[..range.start].to_vec();
                template.write(&mut out, |group| found.get(group).map(|group| group.as_bytes()));
                out.extend_from_slice(&text[range.end..]);
                Value::text(out)
            }
            (Self::WildcardReplace { wildcard, template }, Value::Text(text)) => {
                let Some(found) = wildcard.captures(&text) else { return Some(Value::Text(text)) };
                let mut out = Vec::new();
                template.write(&mut out, |star| found.get(star - 1).map(|range| &text[range.clone()]));
                Value::text(out)
            }
            (Self::UrlDecode { repeats, unicode }, Value::Text(text)) => {
                let mut text = owned_if_changed(text, |text| url::decoded(text, true, *unicode));
                for _ in 1..if *repeats { ROUNDS_MAX } else { 1 } {
                    match url::decoded(&text, true, *unicode) {
                        Cow::Owned(again) if again != *text => text = Cow::Owned(again),
                        _ => break,
                    }
                }
                Value::Text(text)
            }
            (Self::RemoveBytes { bytes }, Value::Text(text)) => {
                Value::text(text.iter().copied().filter(|byte| !bytes.contains(byte)).collect::<Vec<u8>>())
            }
            (Self::RemoveQueryArgs { names }, Value::Text(query)) => {
                let stays = |pair: &&[u8]| !names.iter().any(|name| **name == *crate::facts::split_pair(pair).0);
                Value::text(query.split(|byte| *byte == b'&').filter(stays).collect::<Vec<_>>().join(&b'&'))
            }
            (Self::ToString, value) => Value::Text(value.into_text()?),
            (Self::DecodeBase64, Value::Text(text)) => Value::text(STANDARD.decode(&*text).ok()?),
            (Self::EncodeBase64 { url_safe, padded }, Value::Text(text)) => {
                let engine = match (url_safe, padded) {
                    (false, true) => general_purpose::STANDARD,
                    (false, false) => general_purpose::STANDARD_NO_PAD,
                    (true, true) => general_purpose::URL_SAFE,
                    (true, false) => general_purpose::URL_SAFE_NO_PAD,
                };
                Value::text(engine.encode(&*text).into_bytes())
            }
            (Self::JsonString { path }, Value::Text(text)) => {
                let json = looked_up(&text, path)?;
                Value::text(json.as_str()?.as_bytes().to_vec())
            }
            (Self::JsonInteger { path }, Value::Text(text)) => Value::Int(looked_up(&text, path)?.as_i64()?),
            (Self::Cidr { v4, v6 }, Value::Ip(address)) => {
                let bits = match address {
                    IpAddr::V4(_) => v4.unwrap_or(32),
                    IpAddr::V6(_) => *v6,
                };
                Value::Ip(sets::network(address, bits)?.0)
            }
            (Self::Sha256, Value::Text(text)) => Value::text(digest::digest(&digest::SHA256, &text).as_ref().to_vec()),
            (Self::HasValue, Value::List(items)) => {
                let wanted = next_text()?;
                Value::Bool(items.iter().any(|item| matches!(item, Value::Text(text) if *text == wanted)))
            }
            (Self::IsTimedHmacValid { key, ttl_secs, separator, url_safe }, Value::Text(message)) => {
                let at = match rest.next() {
                    Some(Value::Int(at)) => at,
                    _ => i64::try_from(now).ok()?,
                };
                Value::Bool(is_timed_hmac_valid(key, &message, *ttl_secs, at, *separator, *url_safe).unwrap_or(false))
            }
            _ => return None,
        })
    }
}

fn number(length: usize) -> Value<'static> {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

fn folded<'a>(text: Text<'a>, differs: fn(&u8) -> bool, fold: fn(&mut [u8])) -> Text<'a> {
    if !text.iter().any(differs) {
        return text;
    }
    let mut text = text.into_owned();
    fold(&mut text);
    Cow::Owned(text)
}

fn owned_if_changed<'a>(text: Text<'a>, change: impl Fn(&[u8]) -> Cow<'_, [u8]>) -> Text<'a> {
    match change(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

fn concat<'e>(
    evaluation: &mut Evaluation<'e>,
    arguments: &'e [Term],
    first: Option<Value<'e>>,
) -> Result<Option<Value<'e>>, Spent> {
    let mut out = Vec::new();
    let push = |out: &mut Vec<u8>, value: Option<Value<'e>>| {
        out.extend_from_slice(&value.and_then(Value::into_text).unwrap_or_default())
    };
    push(&mut out, first);
    for argument in arguments {
        let value = evaluation.term(argument, None)?;
        push(&mut out, value);
        if out.len() > TEXT_BYTES_MAX {
            return Ok(None);
        }
    }
    evaluation.pay(out.len())?;
    Ok(Some(Value::text(out)))
}

fn has_key<'e>(map: Map, evaluation: &mut Evaluation<'e>, arguments: &'e [Term]) -> Result<Option<Value<'e>>, Spent> {
    let Some(key) = arguments.first() else { return Ok(None) };
    let Some(Value::Text(key)) = evaluation.term(key, None)? else { return Ok(None) };
    let found = map.entries(evaluation.facts, &key);
    evaluation.pay(found.len())?;
    Ok(Some(Value::Bool(!found.is_empty())))
}

fn map_has_value<'e>(map: Map, evaluation: &mut Evaluation<'e>, arguments: &'e [Term]) -> Result<Option<Value<'e>>, Spent> {
    let Some(wanted) = arguments.first() else { return Ok(None) };
    let Some(Value::Text(wanted)) = evaluation.term(wanted, None)? else { return Ok(None) };
    let all = map.all(evaluation.facts);
    evaluation.pay(all.iter().map(|(_, value)| value.len()).sum())?;
    Ok(Some(Value::Bool(all.iter().any(|(_, value)| *value == wanted))))
}

/// Byte places, negative ones from the end; the end is not in it.
fn substring(text: Text<'_>, start: i64, end: Option<i64>) -> Text<'_> {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let place =
        |place: i64| usize::try_from(if place < 0 { length.saturating_add(place) } else { place }.clamp(0, length)).unwrap_or(0);
    let (start, end) = (place(start), place(end.unwrap_or(length)));
    let range = start..end.max(start);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_vec()),
    }
}

/// At most `limit` items; the last has the rest.
fn split(text: &[u8], separator: &[u8], limit: usize) -> Vec<Value<'static>> {
    let (mut items, mut rest) = (Vec::new(), text);
    while items.len() + 1 < limit
        && let Some(at) = memmem::find(rest, separator)
    {
        items.push(Value::text(rest[..at].to_vec()));
        rest = &rest[at + separator.len()..];
    }
    items.push(Value::text(rest.to_vec()));
    items
}

fn looked_up(text: &[u8], path: &[Step]) -> Option<serde_json::Value> {
    let mut json: serde_json::Value = serde_json::from_slice(text).ok()?;
    for step in path {
        json = match (step, &mut json) {
            (Step::Key(key), serde_json::Value::Object(members)) => members.remove(key)?,
            (Step::Index(index), serde_json::Value::Array(items)) if *index < items.len() => items.swap_remove(*index),
            _ => return None,
        };
    }
    Some(json)
}

/// A message, a separator of so many bytes, ten digits of time, `-`, and a MAC in base64 over message and time (edge-behaviour §4.5).
/// None: it is not of that form.
fn is_timed_hmac_valid(key: &hmac::Key, text: &[u8], ttl_secs: i64, now: i64, separator: usize, url_safe: bool) -> Option<bool> {
    // The message and a URL-safe MAC may have `-` in them: meant is the last that stands between ten digits and what may be a MAC.
    let mut dashes = memchr::memchr_iter(b'-', text)
        .filter(|at| *at >= 10 + separator && text[at - 10..*at].iter().all(u8::is_ascii_digit) && text.len() - at > 43);
    let dash = dashes.next_back()?;
    let (message, time, mac) = (&text[..dash - 10 - separator], &text[dash - 10..dash], &text[dash + 1..]);
    let mac = if url_safe { URL_SAFE.decode(mac).ok()? } else { STANDARD.decode(&*url::percent_decoded(mac)).ok()? };
    let made_at: i64 = std::str::from_utf8(time).ok()?.parse().ok()?;
    let mut signed = message.to_vec();
    signed.extend_from_slice(time);
    let is_ours = hmac::verify(key, &signed, &mac).is_ok();
    Some(is_ours && now < made_at.saturating_add(ttl_secs) && made_at <= now.saturating_add(AHEAD_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_are_of_bytes() {
        let of = |start, end| String::from_utf8(substring(Cow::Borrowed(b"asdfghjk"), start, end).into_owned()).unwrap();
        for (start, end, expected) in [
            (2, Some(5), "dfg"),
            (2, None, "dfghjk"),
            (-2, None, "jk"),
            (0, Some(-2), "asdfgh"),
            (5, Some(2), ""),
            (99, None, ""),
            (-99, Some(1), "a"),
            (i64::MIN, Some(i64::MAX), "asdfghjk"),
        ] {
            assert_eq!(of(start, end), expected, "{start} {end:?}");
        }
    }

    #[test]
    fn tokens_are_valid_for_their_time() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let mac = hmac::sign(&key, b"/file.zip1800000000");
        let (standard, safe) = (general_purpose::STANDARD.encode(mac), general_purpose::URL_SAFE_NO_PAD.encode(mac));
        let token = format!("/file.zip?v=1800000000-{}", standard.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
        let is = |token: &str, now, url_safe| is_timed_hmac_valid(&key, token.as_bytes(), 100, now, 3, url_safe).unwrap_or(false);
        assert!(is(&token, 1_800_000_050, false));
        assert!(is(&format!("/file.zip?v=1800000000-{safe}"), 1_800_000_050, true));
        assert!(!is(&token, 1_800_000_100, false), "it is over");
        assert!(!is(&token, 1_799_999_000, false), "it is of the future");
        assert!(!is(&token.replace("file", "fill"), 1_800_000_050, false));
        assert!(!is("short-1", 1_800_000_050, false));
    }
}
