//! Part of a zone's records, filtered and ordered (api-v4 §4.3).
//!
//! What [`RecordFilter`] asks is said in SQL as far as SQL can say it. Where that is all of it, the page and the number are cut and
//! counted by the database. Where it is not (what a TXT record says, words, tags), the database narrows the choice, and the filter
//! decides over one record after another: memory holds the page alone.

use std::net::IpAddr;

use poterne_model::{
    ZoneId,
    filter::{Condition, Order, OrderBy, RecordFilter, Text},
    name,
};

use crate::{
    Record, Session, StoreError, TextMatch,
    record::record,
    rows::containing,
    select::{Conditions, Select, total_told},
};

/// Which records of a zone, in which order.
#[derive(Debug, Clone, Copy)]
pub struct RecordQuery<'q> {
    /// The zone.
    pub zone: ZoneId,
    /// Which pass.
    pub filter: &'q RecordFilter,
    /// In which order; equal ones, and all where none is asked, by the path of their names ([`name::path`]), type and content.
    pub order: Order,
}

/// How much of a condition SQL can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Exactly it.
    Whole,
    /// Something that whatever passes meets.
    Part,
    /// Nothing.
    Nothing,
}

impl RecordQuery<'_> {
    /// Whether SQL says all that is asked.
    fn is_said(&self) -> bool {
        self.filter.tags.is_empty() && self.filter.conditions.iter().all(|condition| self.said(condition) == Said::Whole)
    }

    fn said(&self, condition: &Condition) -> Said {
        match condition {
            Condition::Content(_) if !self.has_text() => Said::Whole,
            Condition::Content(_) => Said::Part,
            Condition::Search(words) if words.split_whitespace().any(is_plain) => Said::Part,
            Condition::Search(_) => Said::Nothing,
            _ => Said::Whole,
        }
    }

    /// Whether TXT records may pass: quotes and parts make no difference to what is asked of them, which is not said in SQL.
    fn has_text(&self) -> bool {
        let is_without = |condition: &Condition| match condition {
            Condition::Type(types) => !types.iter().any(|kind| kind.eq_ignore_ascii_case("TXT")),
            _ => false,
        };
        self.filter.any || !self.filter.conditions.iter().any(is_without)
    }

    fn select(&self, begin: &'static str) -> Select {
        let mut select = Select::new(begin);
        select.sql(" FROM record WHERE zone = ").value(self.zone.to_string()).sql(" AND ");
        // Where one condition is enough, one that is not said may let any record pass.
        let is_narrowed = !self.filter.any || self.is_said();
        let mut conditions = select.conditions(self.filter.any);
        for condition in self.filter.conditions.iter().filter(|_| is_narrowed) {
            if self.said(condition) != Said::Nothing {
                say(&mut conditions, condition);
            }
        }
        conditions.end();
        select
    }

    pub(crate) fn ordered(&self) -> Select {
        let mut select = self.select("SELECT *");
        select.sql(" ORDER BY ");
        if let Some(by) = self.order.by {
            select.sql(match by {
                OrderBy::Type => "type",
                OrderBy::Name => "name",
                OrderBy::Content => "content",
                OrderBy::Ttl => "ttl",
                OrderBy::Proxied => "proxied",
            });
            select.sql(if self.order.descending { " DESC, " } else { ", " });
        }
        select.sql("path, type, content, id");
        select
    }
}

/// What SQL says of a condition: all that meet it, and of TXT records and words more than those.
fn say(conditions: &mut Conditions<'_>, condition: &Condition) {
    match condition {
        Condition::Type(types) => {
            conditions.add(|select| select.one_of("type", types.iter().map(|kind| kind.to_ascii_uppercase())));
        }
        Condition::Proxied(proxied) => conditions.add(|select| select.sql("proxied = ").value(*proxied)),
        Condition::HasComment(wanted) => {
            conditions.add(|select| select.sql(if *wanted { "comment IS NOT NULL" } else { "comment IS NULL" }));
        }
        // Owner names are kept in lower case.
        Condition::Name(text) => conditions.add(|select| match text {
            // Asked of the order in which records are kept; two texts may have one path, of which one is no name.
            Text::Exact(text) => {
                let name = text.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(text).to_ascii_lowercase();
                select.sql("path = ").value(name::path(&name)).sql(" AND name = ").value(name)
            }
            text => dotted(select, "name", text),
        }),
        Condition::Comment(text) => {
            conditions.add(|select| select.sql("comment IS NOT NULL AND ").text("lower(comment)", &folded(text)));
        }
        Condition::Content(text) => conditions.add(|select| {
            select.sql("type = 'TXT' OR ");
            if let Some(address) = address(text) {
                // In whatever spelling it is asked for.
                select.sql("type IN ('A', 'AAAA') AND content = ").value(address.to_string()).sql(" OR ");
            }
            dotted(select, "lower(content)", text)
        }),
        Condition::Search(words) => {
            for word in words.split_whitespace().filter(|word| is_plain(word)) {
                conditions.add(|select| {
                    let everything =
                        "lower(name || ' ' || type || ' ' || content || ' ' || coalesce(comment, '') || ' ' || tags)";
                    select.sql(everything).sql(" LIKE ").value(containing(&word.to_ascii_lowercase())).sql(" ESCAPE '\\'")
                });
            }
        }
    }
}

/// A text, with or without the final dot that host names are shown without.
fn dotted<'s>(select: &'s mut Select, column: &'static str, text: &Text) -> &'s mut Select {
    let wanted = folded(text);
    let without = match &wanted {
        TextMatch::Equal(text) => text.strip_suffix('.').map(|text| TextMatch::Equal(text.to_owned())),
        TextMatch::EndsWith(text) => text.strip_suffix('.').map(|text| TextMatch::EndsWith(text.to_owned())),
        _ => None,
    };
    let without = without.filter(|_| !matches!(text, Text::Exact(text) | Text::EndsWith(text) if text.len() <= 1));
    select.text(column, &wanted);
    match without {
        Some(without) => select.sql(" OR ").text(column, &without),
        None => select,
    }
}

/// Comparisons fold the case of ASCII, as `lower` does on both engines.
fn folded(text: &Text) -> TextMatch {
    match text {
        Text::Exact(text) => TextMatch::Equal(text.to_ascii_lowercase()),
        Text::Contains(text) => TextMatch::Contains(text.to_ascii_lowercase()),
        Text::StartsWith(text) => TextMatch::StartsWith(text.to_ascii_lowercase()),
        Text::EndsWith(text) => TextMatch::EndsWith(text.to_ascii_lowercase()),
    }
}

fn address(text: &Text) -> Option<IpAddr> {
    match text {
        Text::Exact(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether a word stands in the JSON of tags as it stands in the tags.
fn is_plain(word: &str) -> bool {
    !word.contains(['"', '\\']) && !word.contains(|c: char| c.is_control())
}

impl Session {
    /// Part of a zone's records that pass, and how many pass in all. `keep` makes of a row what is told of it; `passes` is asked of that
    /// where SQL cannot say all that the filter asks.
    pub async fn record_page<T, E: From<StoreError>>(
        &mut self,
        query: RecordQuery<'_>,
        offset: u64,
        count: u32,
        keep: impl Fn(Record) -> Result<T, E>,
        passes: impl Fn(&T) -> bool,
    ) -> Result<(Vec<T>, u64), E> {
        if query.is_said() {
            let mut select = query.ordered();
            select.page(offset, count);
            let rows = select.fetch_all(self.connection()).await?;
            let total = match total_told(offset, count, rows.len()) {
                Some(total) => total,
                None => query.select("SELECT count(*) AS count").fetch_count(self.connection()).await?,
            };
            let kept = rows.iter().map(|row| keep(record(row)?)).collect::<Result<_, E>>()?;
            return Ok((kept, total));
        }
        let (mut shown, mut total, mut wrong) = (Vec::new(), 0_u64, None);
        let looked_at = query.ordered().into_query().for_each(self.connection(), |row| {
            match keep(record(row)?) {
                Ok(kept) if passes(&kept) => {
                    if total >= offset && shown.len() < count as usize {
                        shown.push(kept);
                    }
                    total += 1;
                }
                Ok(_) => {}
                Err(error) => wrong = Some(error),
            }
            Ok(wrong.is_none())
        });
        looked_at.await?;
        match wrong {
            Some(error) => Err(error),
            None => Ok((shown, total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(conditions: Vec<Condition>, any: bool) -> (bool, usize) {
        let filter = RecordFilter { any, conditions, ..RecordFilter::default() };
        let query = RecordQuery { zone: ZoneId::from_bytes([1; 16]), filter: &filter, order: Order::default() };
        (query.is_said(), query.select("").into_query().parameters())
    }

    #[test]
    fn what_sql_cannot_say_is_narrowed_and_never_widened() {
        let content = || Condition::Content(Text::Exact("192.0.2.1".into()));
        let kinds = |kinds: &[&str]| Condition::Type(kinds.iter().map(ToString::to_string).collect());
        assert_eq!(said(vec![], false), (true, 1));
        assert_eq!(said(vec![kinds(&["a", "MX"]), Condition::Proxied(true)], true), (true, 4));
        assert_eq!(said(vec![content()], false), (false, 3), "a TXT record may say so in quotes");
        assert_eq!(said(vec![content(), kinds(&["A"])], false), (true, 4));
        assert_eq!(said(vec![content(), kinds(&["A"])], true), (false, 1), "any TXT record may pass: nothing narrows");
        assert_eq!(said(vec![Condition::Search("one \"two".into())], false), (false, 2));
        assert_eq!(said(vec![Condition::Name(Text::Exact("a.b.".into()))], false), (true, 3));
    }
}
