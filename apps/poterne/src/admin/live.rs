//! Requests as they are answered, for operators who look on: `poterne tail`.
//!
//! Nobody looks on: a request pays nothing (`edge/pipeline`'s readers). Somebody does: each answer is tried against the filter, and those that are
//! meant wait in a bounded queue; what finds it full is counted, and the count is told.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use http::StatusCode;
use ipnet::IpNet;
use poterne_edge_pipeline::access::{Entry, Reader};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::protocol::Answer;
use crate::access_log::{Change, Format, is_written, write};

/// Requests that may wait to be shown.
const WAITING_MAX: usize = 1024;

/// Which requests are meant: those that fit each list that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Names in lower case, or `*.` and what is above all that are meant.
    pub hosts: Vec<String>,
    /// Statuses and classes.
    pub statuses: Vec<Statuses>,
    /// Methods.
    pub methods: Vec<String>,
    /// Visitors' addresses.
    pub visitors: Vec<Range>,
    /// Of those, the share that is shown.
    pub share: Share,
    /// Whether queries are shown.
    pub query: bool,
}

/// An address or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range(IpNet);

impl Range {
    /// Of a text such as `203.0.113.7` or `203.0.113.0/24`.
    pub fn parse(text: &str) -> Option<Self> {
        crate::config::range(text).map(Self)
    }
}

impl TryFrom<String> for Range {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is neither an address nor a range"))
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.0.to_string()
    }
}

/// A share of all, in parts of 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(pub u64);

impl Share {
    /// Of a number from 0 to 1; what is outside counts as the nearer end.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 2^32")]
    pub fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64)
    }
}

/// One status, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Statuses {
    /// As in 404.
    One(u16),
    /// As in 5xx: the first digit.
    Class(u16),
}

impl Statuses {
    /// Of a word such as `404` or `5xx`.
    pub fn parse(word: &str) -> Option<Self> {
        if let Some(class) = word.strip_suffix("xx") {
            return class.parse().ok().filter(|class| (1..=5).contains(class)).map(Self::Class);
        }
        word.parse().ok().filter(|status| (100..=599).contains(status)).map(Self::One)
    }

    fn has(self, status: StatusCode) -> bool {
        match self {
            Self::One(one) => status == one,
            Self::Class(class) => status.as_u16() / 100 == class,
        }
    }
}

impl Filter {
    fn wants_status(&self, status: StatusCode) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|statuses| statuses.has(status))
    }

    /// Whether a request is meant, whatever its status.
    fn wants(&self, entry: &Entry) -> bool {
        let host = || entry.hostname().to_ascii_lowercase();
        let is_below = |host: &str, pattern: &str| {
            pattern.strip_prefix("*.").is_some_and(|above| host.strip_suffix(above).is_some_and(|rest| rest.ends_with('.')))
        };
        (self.hosts.is_empty() || {
            let host = host();
            self.hosts.iter().any(|pattern| *pattern == host || is_below(&host, pattern))
        }) && (self.methods.is_empty()
            || entry.method.as_ref().is_some_and(|method| self.methods.iter().any(|wanted| wanted == method.as_str())))
            && (self.visitors.is_empty() || self.visitors.iter().any(|range| range.0.contains(&entry.visitor)))
    }
}

struct Watcher {
    filter: Filter,
    sender: mpsc::Sender<Answer>,
    seen: AtomicU64,
    missed: AtomicU64,
}

impl Reader for Watcher {
    fn wants(&self, status: StatusCode) -> bool {
        !self.sender.is_closed() && self.filter.wants_status(status)
    }

    fn take(&self, entry: &Arc<Entry>) {
        if !self.filter.wants(entry) || !is_written(self.seen.fetch_add(1, Relaxed), self.filter.share.0) {
            return;
        }
        let Ok(room) = self.sender.try_reserve() else {
            self.missed.fetch_add(1, Relaxed);
            return;
        };
        let line = |format| {
            let mut line = Vec::new();
            write(entry, format, self.filter.query, &mut line);
            String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
        };
        room.send(Answer::Request { json: line(Format::Json), text: line(Format::Text) });
        let missed = self.missed.swap(0, Relaxed);
        if missed > 0 && self.sender.try_send(Answer::Missed(missed)).is_err() {
            self.missed.fetch_add(missed, Relaxed);
        }
    }
}

/// Begins to show requests, until the receiver is dropped or `stop` is cancelled. `readers`: of the pipeline.
pub fn begin(filter: Filter, stop: CancellationToken, readers: impl Fn(Change) + Send + 'static) -> mpsc::Receiver<Answer> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let (seen, missed) = (AtomicU64::new(0), AtomicU64::new(0));
    let reader: Arc<dyn Reader> = Arc::new(Watcher { filter, sender: sender.clone(), seen, missed });
    readers(Change::Add(Arc::clone(&reader)));
    tokio::spawn(async move {
        stop.run_until_cancelled(sender.closed()).await;
        readers(Change::Remove(reader));
    });
    receiver
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::access_log::tests::entry;

    fn any() -> Filter {
        let (hosts, methods) = (Vec::new(), Vec::new());
        Filter { hosts, statuses: Vec::new(), methods, visitors: Vec::new(), share: Share::of(1.0), query: false }
    }

    #[test]
    fn each_list_that_is_given_is_obeyed() {
        let of = |host: &'static str| Entry { host: Some(HeaderValue::from_static(host)), ..entry() };
        assert!(any().wants(&entry()));
        let hosts = Filter { hosts: vec!["app.site.test".into(), "*.example.org".into()], ..any() };
        for (host, wanted) in [
            ("App.Site.Test", true),
            ("app.site.test:8443", true),
            ("a.b.example.org", true),
            ("example.org", false),
            ("evilexample.org", false),
        ] {
            assert_eq!(hosts.wants(&of(host)), wanted, "{host}");
        }
        assert!(!Filter { methods: vec!["POST".into()], ..any() }.wants(&entry()));
        assert!(Filter { methods: vec!["POST".into(), "GET".into()], ..any() }.wants(&entry()));
        assert!(Filter { visitors: vec![Range::parse("203.0.113.0/24").unwrap()], ..any() }.wants(&entry()));
        assert!(!Filter { visitors: vec![Range::parse("2001:db8::/32").unwrap()], ..any() }.wants(&entry()));
        let statuses = Filter { statuses: vec![Statuses::parse("404").unwrap(), Statuses::parse("5xx").unwrap()], ..any() };
        for (status, wanted) in [(404, true), (403, false), (502, true), (200, false)] {
            assert_eq!(statuses.wants_status(StatusCode::from_u16(status).unwrap()), wanted);
        }
        for wrong in ["", "xx", "6xx", "99", "600", "4x"] {
            assert_eq!(Statuses::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_comes_too_fast_is_counted_and_told() {
        let (sender, mut receiver) = mpsc::channel(2);
        let (seen, missed) = (AtomicU64::new(0), AtomicU64::new(0));
        let watcher = Watcher { filter: any(), sender, seen, missed };
        (0..5).for_each(|_| watcher.take(&Arc::new(entry())));
        for _ in 0..2 {
            assert!(matches!(receiver.recv().await, Some(Answer::Request { .. })));
        }
        watcher.take(&Arc::new(entry()));
        assert!(matches!(receiver.recv().await, Some(Answer::Request { .. })));
        assert_eq!(receiver.recv().await, Some(Answer::Missed(3)));
        drop(receiver);
        assert!(!watcher.wants(StatusCode::OK), "nobody looks on any more");
    }
}
