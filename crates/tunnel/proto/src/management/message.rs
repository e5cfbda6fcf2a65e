//! What is said over `/logs`: the client starts and stops streaming, the agent sends entries.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest message read of a client, in bytes; a start with every filter has about 150.
pub const CLIENT_BYTES_MAX: usize = 16 * 1024;
/// Longest message read of an agent, in bytes: one entry with its fields.
pub const AGENT_BYTES_MAX: usize = 1024 * 1024;

/// How grave an entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Each request.
    #[default]
    Debug,
    /// What an operator may want to know.
    Info,
    /// What may become trouble.
    Warn,
    /// What went wrong.
    Error,
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The agent itself.
    #[default]
    Cloudflared,
    /// A request.
    Http,
    /// A flow of a private network.
    Tcp,
    /// Datagrams of a private network.
    Udp,
}

impl Level {
    /// All of them, the gravest last.
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// The one of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cloudflared, Self::Http, Self::Tcp, Self::Udp];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cloudflared => "cloudflared",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// The one of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Which entries a client wants.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// About these; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventKind>,
    /// At least so grave; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The share of them, above 0 and below 1; else all.
    #[serde(skip_serializing_if = "is_all")]
    pub sampling: f64,
}

fn is_all(sampling: &f64) -> bool {
    !(*sampling > 0.0 && *sampling < 1.0)
}

impl Filters {
    /// Whether an entry is wanted. `draw`: any number from 0 below 1, evenly drawn, asked for only where it decides.
    pub fn wants(&self, kind: EventKind, level: Level, draw: impl FnOnce() -> f64) -> bool {
        self.level.is_none_or(|least| level >= least)
            && (self.events.is_empty() || self.events.contains(&kind))
            && (is_all(&self.sampling) || draw() < self.sampling)
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Send entries, from now on.
    StartStreaming {
        /// Which.
        #[serde(default, deserialize_with = "or_default")]
        filters: Filters,
    },
    /// Send none any more.
    StopStreaming,
}

/// Stock clients without filters send `null`.
fn or_default<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Filters, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// RFC 3339, UTC.
    pub time: String,
    /// Left out for debug.
    #[serde(skip_serializing_if = "is_default")]
    pub level: Level,
    /// The words.
    pub message: String,
    /// Left out for the agent itself.
    #[serde(skip_serializing_if = "is_default")]
    pub event: EventKind,
    /// What else it says.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentMessage {
    /// Entries; agents send one at a time.
    Logs {
        /// Them.
        #[serde(default)]
        logs: Vec<Entry>,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// A message that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message is not understood: {0}")]
pub struct MessageError(String);

impl ClientMessage {
    /// Reads one.
    ///
    /// # Errors
    /// It is none: broken JSON, an unknown type, level or event.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        serde_json::from_slice(bytes).map_err(|error| MessageError(error.to_string()))
    }

    /// As JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("words and a finite number serialise")
    }
}

impl AgentMessage {
    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        serde_json::from_slice(bytes).map_err(|error| MessageError(error.to_string()))
    }

    /// As JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and JSON serialise")
    }
}

/// An instant as entries have it, to the second: seconds since the Unix epoch, in UTC.
pub fn rfc3339(secs: u64) -> String {
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    // Days to a date in the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_messages_are_read_and_written() {
        let start = br#"{"type":"start_streaming","filters":{"events":["http","tcp","udp","cloudflared"],"level":"debug","sampling":0.5}}"#;
        let filters = Filters {
            events: vec![EventKind::Http, EventKind::Tcp, EventKind::Udp, EventKind::Cloudflared],
            level: Some(Level::Debug),
            sampling: 0.5,
        };
        let message = ClientMessage::StartStreaming { filters };
        assert_eq!(ClientMessage::parse(start).as_ref(), Ok(&message));
        assert_eq!(message.encode(), start);
        let bare = Ok(ClientMessage::StartStreaming { filters: Filters::default() });
        for text in [r#"{"type":"start_streaming"}"#, r#"{"type":"start_streaming","filters":null}"#] {
            assert_eq!(ClientMessage::parse(text.as_bytes()), bare, "{text}");
        }
        assert_eq!(ClientMessage::parse(br#"{"type":"stop_streaming"}"#), Ok(ClientMessage::StopStreaming));
        let logs = br#"{"type":"logs","logs":[{"time":"2026-11-24T02:24:56Z","level":"info","message":"m","event":"http","fields":{"connIndex":0}}]}"#;
        let message = AgentMessage::parse(logs).unwrap();
        assert_eq!(message.encode(), logs);
        let entry = Entry { time: "t".into(), message: "m".into(), ..Entry::default() };
        let message = AgentMessage::Logs { logs: vec![entry] };
        assert_eq!(message.encode(), br#"{"type":"logs","logs":[{"time":"t","message":"m"}]}"#);
        assert_eq!(AgentMessage::parse(&message.encode()), Ok(message));
        assert_eq!(AgentMessage::parse(br#"{"type":"later"}"#), Ok(AgentMessage::Unknown));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for wrong in [
            "",
            "{}",
            "null",
            r#"{"type":"fly"}"#,
            r#"{"type":"start_streaming","filters":{"level":"loud"}}"#,
            r#"{"type":"start_streaming","filters":{"events":["mail"]}}"#,
            r#"{"type":"start_streaming","filters":{"sampling":"half"}}"#,
        ] {
            assert!(ClientMessage::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_passes_every_filter_or_none() {
        let filters = Filters { events: vec![EventKind::Http], level: Some(Level::Warn), sampling: 0.25 };
        assert!(filters.wants(EventKind::Http, Level::Error, || 0.2));
        assert!(!filters.wants(EventKind::Http, Level::Error, || 0.25));
        assert!(!filters.wants(EventKind::Tcp, Level::Error, || 0.0));
        assert!(!filters.wants(EventKind::Http, Level::Info, || 0.0));
        for sampling in [0.0, 1.0, -1.0, 7.0, f64::NAN] {
            let all = Filters { sampling, ..Filters::default() };
            assert!(all.wants(EventKind::Udp, Level::Debug, || 0.999), "{sampling}");
        }
    }

    #[test]
    fn instants_are_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_487_096), "2026-11-24T02:24:56Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
