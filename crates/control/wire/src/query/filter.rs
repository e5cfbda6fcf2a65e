//! Texts that must be met, and the order of a list (api-v4 §1.5, §4.3).

use std::cmp::Ordering;

use super::{Query, QueryError};

/// How a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextOperator {
    /// The same.
    Equal,
    /// Another.
    NotEqual,
    /// Begins so.
    StartsWith,
    /// Ends so.
    EndsWith,
    /// Holds it.
    Contains,
}

/// A text that must be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFilter {
    /// How.
    pub operator: TextOperator,
    /// With what; in lower case unless `case_sensitive`.
    value: String,
    /// `A` is not `a`.
    case_sensitive: bool,
}

impl TextFilter {
    /// Compares without regard to case.
    pub fn new(operator: TextOperator, value: &str) -> Self {
        Self { operator, value: value.to_lowercase(), case_sensitive: false }
    }

    /// `value`, or `operator:value`; what begins with no operator is the value as a whole, colons and all.
    pub fn with_operator(text: &str) -> Self {
        use TextOperator as O;
        let Some((word, value)) = text.split_once(':') else { return Self::new(O::Equal, text) };
        let (word, case_sensitive) = match word.strip_suffix("_case_sensitive") {
            Some(word @ ("starts_with" | "ends_with" | "contains")) => (word, true),
            _ => (word, false),
        };
        let operator = match word {
            "equal" => O::Equal,
            "not_equal" => O::NotEqual,
            "starts_with" => O::StartsWith,
            "ends_with" => O::EndsWith,
            "contains" => O::Contains,
            _ => return Self::new(O::Equal, text),
        };
        if case_sensitive { Self { operator, value: value.to_owned(), case_sensitive } } else { Self::new(operator, value) }
    }

    /// The filters of a parameter and its dotted forms: `name`, `name.exact`, `.contains`, `.startswith`, `.endswith`.
    pub fn dotted(query: &Query, name: &str) -> Vec<Self> {
        use TextOperator as O;
        let forms = [
            ("", O::Equal),
            (".exact", O::Equal),
            (".contains", O::Contains),
            (".startswith", O::StartsWith),
            (".endswith", O::EndsWith),
        ];
        forms
            .into_iter()
            .filter_map(|(form, operator)| Some(Self::new(operator, query.text(&format!("{name}{form}"))?)))
            .collect()
    }

    /// What it is compared with; in lower case unless case matters.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a text meets it.
    pub fn matches(&self, text: &str) -> bool {
        let folded;
        let text = if self.case_sensitive {
            text
        } else {
            folded = text.to_lowercase();
            &folded
        };
        match self.operator {
            TextOperator::Equal => text == self.value,
            TextOperator::NotEqual => text != self.value,
            TextOperator::StartsWith => text.starts_with(&self.value),
            TextOperator::EndsWith => text.ends_with(&self.value),
            TextOperator::Contains => text.contains(&self.value),
        }
    }
}

/// Whether all filters must be met, or one is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Match {
    /// Every one; the default.
    #[default]
    All,
    /// One.
    Any,
}

impl Match {
    /// The `match` of a request; or `tag_match`, by its name.
    ///
    /// # Errors
    /// It is another word.
    pub fn read(query: &Query, name: &str) -> Result<Self, QueryError> {
        let of_word = |word: &str| match word {
            "all" => Some(Self::All),
            "any" => Some(Self::Any),
            _ => None,
        };
        Ok(query.word(name, of_word, &["all", "any"])?.unwrap_or_default())
    }

    /// Joins what each filter said. Where nothing was asked, everything is met.
    pub fn join(self, met: impl IntoIterator<Item = bool>) -> bool {
        let mut met = met.into_iter().peekable();
        match self {
            Self::All => met.all(|met| met),
            Self::Any => met.peek().is_none() || met.any(|met| met),
        }
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// By which field; none: as the list comes.
    pub field: Option<&'static str>,
    /// From the last to the first.
    pub descending: bool,
}

impl Order {
    /// The `order` and `direction` of a request, for a list that may be ordered by these fields.
    ///
    /// # Errors
    /// It is another field, or another word than `asc` and `desc`.
    pub fn read(query: &Query, fields: &[&'static str]) -> Result<Self, QueryError> {
        let field = query.word("order", |word| fields.iter().copied().find(|field| *field == word), fields)?;
        let direction = |word: &str| match word.to_ascii_lowercase().as_str() {
            "asc" => Some(false),
            "desc" => Some(true),
            _ => None,
        };
        Ok(Self { field, descending: query.word("direction", direction, &["asc", "desc"])?.unwrap_or(false) })
    }

    /// The order of two items, given their rising one.
    pub fn apply(self, rising: Ordering) -> Ordering {
        if self.descending { rising.reverse() } else { rising }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::query, *};

    #[test]
    fn operators_stand_before_a_colon() {
        let met = |filter: &str, text: &str| TextFilter::with_operator(filter).matches(text);
        assert!(met("Example.COM", "example.com") && met("equal:example.com", "EXAMPLE.com"));
        assert!(met("starts_with:ex", "Example.com") && !met("starts_with_case_sensitive:ex", "Example.com"));
        assert!(met("ends_with:.com", "example.com") && met("contains_case_sensitive:amp", "example.com"));
        assert!(met("not_equal:a", "b") && !met("not_equal:A", "a"));
        assert!(met("odd:value", "odd:value") && met("equal_case_sensitive:x", "equal_case_sensitive:x"));
        assert!(met("contains:", "anything"));
    }

    #[test]
    fn dotted_forms_are_told_apart() {
        let query = query(&[("name.exact", "A.test"), ("name.contains", "te"), ("named", "x"), ("name", "")]);
        let filters = TextFilter::dotted(&query, "name");
        assert_eq!(filters.len(), 2);
        assert!(filters.iter().all(|filter| filter.matches("a.TEST")));
        assert!(!filters.iter().all(|filter| filter.matches("b.test")));
    }

    #[test]
    fn joining_nothing_meets_everything() {
        let any = Match::read(&query(&[("match", "any")]), "match").unwrap();
        assert!(any.join([false, true]) && !any.join([false]) && any.join([]));
        assert!(!Match::All.join([false, true]) && Match::All.join([]));
        assert_eq!(Match::read(&query(&[]), "match"), Ok(Match::All));
        assert!(Match::read(&query(&[("match", "some")]), "match").is_err());
    }

    #[test]
    fn a_list_is_ordered_by_its_own_fields_alone() {
        let order = |pairs| Order::read(&query(pairs), &["name", "status"]);
        let falling = order(&[("order", "status"), ("direction", "DESC")]).unwrap();
        assert_eq!((falling.field, falling.apply(Ordering::Less)), (Some("status"), Ordering::Greater));
        assert_eq!(order(&[]), Ok(Order { field: None, descending: false }));
        let error = order(&[("order", "age")]).unwrap_err().to_string();
        assert_eq!(error, "the query parameter \"order\" is \"age\": write one of name, status");
    }
}
