//! Pages, cursors, and the `result_info` of an answer (api-v4 §0.1–0.3, §1.4).
//!
//! Clients go on until they see an empty page, so a page past the end is empty and no error. `per_page` is what was applied, never
//! what was asked, and never 0: some divide by it, others stop when a page has fewer items than that.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{Query, QueryError};

/// How many items a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Where nothing is asked.
    pub default: u32,
    /// At most; whoever asks for more gets this.
    pub max: u32,
}

impl PageLimits {
    /// Of zones.
    pub const ZONES: Self = Self { default: 20, max: 50 };
    /// Of DNS records.
    pub const DNS_RECORDS: Self = Self { default: 100, max: 5000 };
    /// Of tunnels, and of private routes.
    pub const TUNNELS: Self = Self { default: 20, max: 1000 };
    /// Of accounts, their members and memberships.
    pub const ACCOUNTS: Self = Self { default: 20, max: 50 };
    /// Of access rules.
    pub const ACCESS_RULES: Self = Self { default: 20, max: 1000 };
    /// Of a list's items.
    pub const LIST_ITEMS: Self = Self { default: 25, max: 500 };
    /// Of rulesets, tokens and audit events.
    pub const OTHERS: Self = Self { default: 20, max: 1000 };

    fn clamp(self, asked: Option<u64>) -> u32 {
        let Some(asked) = asked else { return self.default };
        u32::try_from(asked).unwrap_or(u32::MAX).clamp(1, self.max)
    }
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub page: u64,
    /// As applied.
    pub per_page: u32,
}

/// What an answer says of its page.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageInfo {
    /// From 1.
    pub page: u64,
    /// As applied.
    pub per_page: u32,
    /// On this page.
    pub count: u64,
    /// In all.
    pub total_count: u64,
    /// In all; 0 of an empty list.
    pub total_pages: u64,
}

impl Page {
    /// What a request asks for. A page of 0 or less is the first.
    ///
    /// # Errors
    /// `page` or `per_page` is no number.
    pub fn read(query: &Query, limits: PageLimits) -> Result<Self, QueryError> {
        let page = number(query, "page")?.unwrap_or(1).max(1);
        Ok(Self { page, per_page: limits.clamp(number(query, "per_page")?) })
    }

    /// How many items come before it.
    pub const fn offset(&self) -> u64 {
        self.page.saturating_sub(1).saturating_mul(self.per_page as u64)
    }

    /// The items of it, out of all.
    pub fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let start = usize::try_from(self.offset()).unwrap_or(usize::MAX).min(all.len());
        let end = start.saturating_add(self.per_page as usize).min(all.len());
        &all[start..end]
    }

    /// What the answer says of it, with so many items on it and in all.
    pub fn info(&self, count: usize, total: u64) -> PageInfo {
        let per_page = u64::from(self.per_page.max(1));
        PageInfo {
            page: self.page,
            per_page: self.per_page.max(1),
            count: count as u64,
            total_count: total,
            total_pages: total.div_ceil(per_page),
        }
    }
}

/// Which piece of a list that is read by cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorPage {
    /// The key of the last item seen; none: from the start.
    pub after: Option<String>,
    /// As applied.
    pub per_page: u32,
}

/// What an answer says of such a piece.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorInfo {
    /// As applied.
    pub per_page: u32,
    /// In this piece.
    pub count: u64,
    /// Where it goes on; absent at the end. Newer clients read this one,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// and older ones this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursors: Option<Cursors>,
}

/// Where it goes on.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursors {
    /// The piece after it.
    pub after: String,
}

impl CursorPage {
    /// What a request asks for, by `cursor`, and `per_page` or `limit`.
    ///
    /// # Errors
    /// The cursor is none of ours, or the number none.
    pub fn read(query: &Query, limits: PageLimits) -> Result<Self, QueryError> {
        let asked = number(query, "per_page")?.or(number(query, "limit")?);
        let after = query.text("cursor").map(|cursor| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
            let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            key.ok_or_else(|| QueryError::value("cursor", cursor, "pass on a cursor as an answer gave it, or leave it out"))
        });
        Ok(Self { after: after.transpose()?, per_page: limits.clamp(asked) })
    }

    /// What the answer says: `last` is the key of its last item when more items follow.
    pub fn info(&self, count: usize, last: Option<&str>) -> CursorInfo {
        let cursor = last.map(|key| BASE64_URL_SAFE_NO_PAD.encode(key));
        let cursors = cursor.clone().map(|after| Cursors { after });
        CursorInfo { per_page: self.per_page, count: count as u64, cursor, cursors }
    }
}

/// A number, negative ones as 0 and those too large as the largest: what is too much is clamped and not refused.
fn number(query: &Query, name: &str) -> Result<Option<u64>, QueryError> {
    let Some(text) = query.text(name).map(str::trim) else { return Ok(None) };
    // The Python SDK types some page numbers as floats, and sends 20.0.
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|b| b == b'0')).map_or(text, |(whole, _)| whole);
    let (negative, digits) = whole.strip_prefix('-').map_or((false, whole), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QueryError::value(name, text, "write a whole number, from 1"));
    }
    Ok(Some(if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::query, *};

    fn page(pairs: &[(&str, &str)]) -> Page {
        Page::read(&query(pairs), PageLimits::ZONES).unwrap()
    }

    #[test]
    fn what_is_too_much_is_clamped_and_nonsense_refused() {
        for (asked, got) in [("100", 50), ("0", 1), ("-5", 1), ("1", 1), ("7.0", 7), ("99999999999999999999999", 50)] {
            assert_eq!(page(&[("per_page", asked)]).per_page, got, "{asked}");
        }
        assert_eq!(page(&[]), Page { page: 1, per_page: 20 });
        assert_eq!(page(&[("page", "0")]).page, 1);
        assert!(Page::read(&query(&[("page", "1.5")]), PageLimits::ZONES).is_err());
        let error = Page::read(&query(&[("page", "two")]), PageLimits::ZONES).unwrap_err();
        assert_eq!(error.to_string(), "the query parameter \"page\" is \"two\": write a whole number, from 1");
    }

    #[test]
    fn a_page_past_the_end_is_empty() {
        let one = page(&[("per_page", "1")]);
        assert_eq!((one.of(&["a"]), one.info(1, 1).total_pages), (&["a"][..], 1));
        let past = page(&[("per_page", "1"), ("page", "2")]);
        assert!(past.of(&["a"]).is_empty());
        assert_eq!(past.info(0, 1), PageInfo { page: 2, per_page: 1, count: 0, total_count: 1, total_pages: 1 });
        assert!(page(&[("page", "99999999999999999999999")]).of(&["a"]).is_empty());
        assert_eq!(page(&[]).info(0, 0).total_pages, 0);
    }

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let read = |cursor: &str| CursorPage::read(&query(&[("cursor", cursor), ("limit", "7")]), PageLimits::LIST_ITEMS);
        let first = read("").unwrap();
        assert_eq!((first.after.as_deref(), first.per_page), (None, 7));
        let info = first.info(7, Some("192.0.2.1/é"));
        assert_eq!(read(info.cursor.as_deref().unwrap()).unwrap().after.as_deref(), Some("192.0.2.1/é"));
        assert_eq!(info.cursors.unwrap().after, info.cursor.unwrap());
        assert!(read("not a cursor").is_err());
        let end = serde_json::to_value(first.info(3, None)).unwrap();
        assert_eq!(end, serde_json::json!({"per_page": 7, "count": 3}));
    }

    proptest! {
        /// Whoever asks for page after page until one is empty sees every item once, in order.
        #[test]
        fn pages_tile_the_list(total in 0..120_usize, per_page in 1..60_u32) {
            let all: Vec<usize> = (0..total).collect();
            let mut seen = Vec::new();
            for number in 1.. {
                let page = page(&[("page", &number.to_string()), ("per_page", &per_page.to_string())]);
                let items = page.of(&all);
                let info = page.info(items.len(), total as u64);
                prop_assert!(info.per_page >= 1 && info.count <= u64::from(info.per_page));
                prop_assert_eq!(items.is_empty(), info.page > info.total_pages);
                if items.is_empty() {
                    break;
                }
                seen.extend_from_slice(items);
            }
            prop_assert_eq!(seen, all);
        }
    }
}
