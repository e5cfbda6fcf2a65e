//! Named members of structured data: as they come (`Fields`) and as they are shown ([`Member`]).

use std::{collections::BTreeMap, fmt};

use super::token::quote;

/// A member as a client gave it: the API takes numbers as numbers or as text (api-v4 §0.12).
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A JSON number.
    Number(f64),
    /// A text.
    Text(String),
}

/// The members of `data`. Those a type does not have are passed over: old clients send more (api-v4 §4.2, SRV).
pub type Fields = BTreeMap<String, Field>;

/// One member as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in `data`.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// A member's value, with what both of its forms need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Number(u32),
    /// A number of this many units of 10⁻ⁿ, shown with all `places`.
    Decimal {
        /// How many units.
        units: i64,
        /// Digits after the point: at most 3.
        places: u8,
    },
    /// Text without white space, bare in the content.
    Word(String),
    /// Text in quotes in the content, and without them in `data`.
    Quoted(String),
}

impl Member {
    pub(crate) fn number(name: &'static str, number: impl Into<u32>) -> Self {
        Self { name, value: Value::Number(number.into()) }
    }

    pub(crate) fn word(name: &'static str, word: impl Into<String>) -> Self {
        Self { name, value: Value::Word(word.into()) }
    }

    pub(crate) fn quoted(name: &'static str, text: &str) -> Self {
        Self { name, value: Value::Quoted(text.to_owned()) }
    }

    /// The member as a client would give it.
    pub fn field(&self) -> Field {
        match &self.value {
            Value::Number(number) => Field::Number(f64::from(*number)),
            // At most 13 digits (the bounds of LOC): a double holds them.
            Value::Decimal { units, places } => Field::Number(*units as f64 / 10f64.powi(i32::from(*places))),
            Value::Word(text) | Value::Quoted(text) => Field::Text(text.clone()),
        }
    }
}

/// As in the content.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Decimal { units, places } => {
                let scale = 10u64.pow(u32::from(*places));
                let (sign, units) = (if *units < 0 { "-" } else { "" }, units.unsigned_abs());
                write!(f, "{sign}{}.{:0width$}", units / scale, units % scale, width = usize::from(*places))
            }
            Self::Word(text) => f.write_str(text),
            Self::Quoted(text) => f.write_str(&quote(text.as_bytes())),
        }
    }
}

/// Members as content: with single spaces, and none for one that is empty.
pub(crate) fn content(members: &[Member]) -> String {
    let texts: Vec<String> = members.iter().map(|member| member.value.to_string()).filter(|text| !text.is_empty()).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_places_and_sign() {
        let shown = |units, places| Value::Decimal { units, places }.to_string();
        assert_eq!([shown(46_000, 3), shown(0, 2), shown(-5, 2), shown(-10_050, 2)], ["46.000", "0.00", "-0.05", "-100.50"]);
        assert_eq!(Member { name: "altitude", value: Value::Decimal { units: -5, places: 2 } }.field(), Field::Number(-0.05));
    }

    #[test]
    fn an_empty_text_is_quoted_and_an_empty_word_leaves_no_space() {
        let members = [Member::number("a", 1u8), Member::quoted("b", ""), Member::word("c", ""), Member::quoted("d", "x\"y")];
        assert_eq!(content(&members), r#"1 "" "x\"y""#);
    }
}
