//! The parameters of a list of records (api-v4 §4.3), from pairs that are already decoded.

use poterne_model::{
    Schema,
    filter::{Condition, Order, OrderBy, RecordFilter, TagCondition, Text},
};

use crate::query::Parameter;

/// Most conditions of one list: each is asked of each record.
const CONDITIONS_MAX: usize = 64;

/// Why a parameter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A value it cannot have.
    #[error("the parameter {name} must be {expected}, not {value:?}")]
    Value {
        /// Its name.
        name: String,
        /// What it must be.
        expected: &'static str,
        /// What it is, at most 80 characters.
        value: String,
    },
    /// Too many conditions.
    #[error("more than {CONDITIONS_MAX} conditions in one list: ask for less at once")]
    TooMany,
}

/// What [`parse_list`] reads.
pub fn list_parameters() -> impl Iterator<Item = Parameter> {
    let forms = [("exact", "is this"), ("contains", "holds this"), ("startswith", "begins so"), ("endswith", "ends so")];
    let of = move |member: &'static str| {
        forms.into_iter().map(move |(form, about)| Parameter::text(format!("{member}.{form}"), format!("whose {member} {about}")))
    };
    let conditions = [
        Parameter::text("name", "whose name is this"),
        Parameter::text("content", "whose content is this"),
        Parameter::list("type", Schema::text(16), "of one of these types"),
        Parameter::boolean("proxied", "proxied ones, or the others"),
        Parameter::text("search", "whose name, content, comment or tags hold this"),
        Parameter::text("comment.present", "with a comment, whatever this says"),
        Parameter::text("comment.absent", "without a comment, whatever this says"),
        Parameter::text("tag.present", "with a tag of this name"),
        Parameter::text("tag.absent", "without a tag of this name"),
        Parameter::matching("match"),
        Parameter::matching("tag_match"),
    ];
    let texts = ["name", "content", "comment", "tag"].into_iter().flat_map(of);
    conditions.into_iter().chain(texts).chain(Parameter::order(&ORDERED_BY))
}

const ORDERED_BY: [&str; 5] = ["type", "name", "content", "ttl", "proxied"];

/// Reads the parameters. Unknown ones, paging among them, are passed over; so are empty ones, which some clients send for "not given".
/// Repeated and comma-separated types mean any of them.
pub fn parse_list<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(RecordFilter, Order), ParameterError> {
    let (mut filter, mut order) = (RecordFilter::default(), Order::default());
    let mut types: Vec<String> = Vec::new();
    for (name, value) in pairs {
        let wrong = |expected| ParameterError::Value { name: name.to_owned(), expected, value: value.chars().take(80).collect() };
        match name {
            // Their being there is all they say.
            "comment.present" => filter.conditions.push(Condition::HasComment(true)),
            "comment.absent" => filter.conditions.push(Condition::HasComment(false)),
            _ if value.is_empty() => {}
            "match" => filter.any = any(value).ok_or_else(|| wrong("all or any"))?,
            "tag_match" => filter.tags_any = any(value).ok_or_else(|| wrong("all or any"))?,
            "direction" => {
                order.descending = match value.to_ascii_lowercase().as_str() {
                    "asc" => false,
                    "desc" => true,
                    _ => return Err(wrong("asc or desc")),
                }
            }
            "order" => order.by = Some(order_by(value).ok_or_else(|| wrong("type, name, content, ttl or proxied"))?),
            "type" => types.extend(value.split(',').map(|rtype| rtype.trim().to_owned())),
            "proxied" => {
                let proxied = value.to_ascii_lowercase().parse().map_err(|_| wrong("true or false"))?;
                filter.conditions.push(Condition::Proxied(proxied));
            }
            "search" => filter.conditions.push(Condition::Search(value.to_owned())),
            "tag.present" => filter.tags.push(TagCondition::Has(value.to_owned(), true)),
            "tag.absent" => filter.tags.push(TagCondition::Has(value.to_owned(), false)),
            _ => match (name.split_once('.').unwrap_or((name, "")), text(name, value)) {
                (("name", _), Some(text)) => filter.conditions.push(Condition::Name(text)),
                (("content", _), Some(text)) => filter.conditions.push(Condition::Content(text)),
                (("comment", _), Some(text)) => filter.conditions.push(Condition::Comment(text)),
                (("tag", _), Some(text)) => filter.tags.push(TagCondition::Is(text)),
                _ => {}
            },
        }
        if filter.conditions.len() + filter.tags.len() + types.len() > CONDITIONS_MAX {
            return Err(ParameterError::TooMany);
        }
    }
    if !types.is_empty() {
        filter.conditions.push(Condition::Type(types));
    }
    Ok((filter, order))
}

/// The suffix says how; bare `name` and `content` mean the whole, and a bare `comment` or `tag` is no parameter of this list.
fn text(name: &str, value: &str) -> Option<Text> {
    let value = value.to_owned();
    Some(match name.split_once('.') {
        None if matches!(name, "name" | "content") => Text::Exact(value),
        Some((_, "exact")) => Text::Exact(value),
        Some((_, "contains")) => Text::Contains(value),
        Some((_, "startswith")) => Text::StartsWith(value),
        Some((_, "endswith")) => Text::EndsWith(value),
        _ => return None,
    })
}

fn any(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "all" => Some(false),
        "any" => Some(true),
        _ => None,
    }
}

fn order_by(value: &str) -> Option<OrderBy> {
    Some(match value.to_ascii_lowercase().as_str() {
        "type" => OrderBy::Type,
        "name" => OrderBy::Name,
        "content" => OrderBy::Content,
        "ttl" => OrderBy::Ttl,
        "proxied" => OrderBy::Proxied,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<(RecordFilter, Order), ParameterError> {
        parse_list(pairs.iter().copied())
    }

    #[test]
    fn both_styles_of_filters_are_read() {
        let exact = |text: &str| Text::Exact(text.into());
        for suffix in ["", ".exact"] {
            let (name, content) = (format!("name{suffix}"), format!("content{suffix}"));
            let (filter, _) = parse(&[(&name, "a.test"), (&content, "x"), ("type", "TXT"), ("per_page", "1")]).unwrap();
            let types = Condition::Type(vec!["TXT".into()]);
            assert_eq!(filter.conditions, [Condition::Name(exact("a.test")), Condition::Content(exact("x")), types]);
        }
        let (filter, order) = parse(&[
            ("comment.present", ""),
            ("content.startswith", "v="),
            ("tag.contains", "a"),
            ("tag.absent", "b"),
            ("tag_match", "any"),
            ("match", "ANY"),
            ("order", "ttl"),
            ("direction", "desc"),
            ("proxied", "true"),
            ("unknown.exact", "x"),
            ("name.nonsense", "x"),
            ("search", ""),
        ])
        .unwrap();
        let conditions =
            [Condition::HasComment(true), Condition::Content(Text::StartsWith("v=".into())), Condition::Proxied(true)];
        assert_eq!(filter.conditions, conditions);
        assert_eq!(filter.tags, [TagCondition::Is(Text::Contains("a".into())), TagCondition::Has("b".into(), false)]);
        assert!(filter.any && filter.tags_any);
        assert_eq!(order, Order { by: Some(OrderBy::Ttl), descending: true });
    }

    #[test]
    fn types_repeated_or_listed_mean_any_of_them() {
        for pairs in [&[("type", "A"), ("type", "AAAA")][..], &[("type", "A, AAAA")]] {
            assert_eq!(parse(pairs).unwrap().0.conditions, [Condition::Type(vec!["A".into(), "AAAA".into()])]);
        }
    }

    #[test]
    fn wrong_values_are_named_and_conditions_bounded() {
        for (name, value) in [("proxied", "maybe"), ("match", "some"), ("order", "size"), ("direction", "up")] {
            let error = parse(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
            assert_eq!(parse(&[(name, "")]).unwrap(), Default::default());
        }
        assert_eq!(parse(&[("name", "x"); CONDITIONS_MAX + 1]), Err(ParameterError::TooMany));
        assert!(parse(&[("name", "x"); CONDITIONS_MAX]).is_ok());
        assert_eq!(parse(&[("type", &"A,".repeat(CONDITIONS_MAX + 1))]), Err(ParameterError::TooMany));
    }
}
