//! `poterne tail`: what is watched.

use clap::Args;
use poterne_model::ConnectorId;
use poterne_tunnel_proto::management::message::{EventKind, Level};

use super::Admin;
use crate::admin::live::{Range, Statuses};

/// `poterne tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// The tunnel whose agent's log is read, by name or id [default: the node's own requests]
    pub tunnel: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub filters: RequestFilters,
    /// Which of its agents, where it has several (`poterne tunnel info` shows them) [default: any]
    #[arg(long, value_name = "ID", requires = "tunnel")]
    pub connector_id: Option<ConnectorId>,
    /// What lines are to be about: http, tcp, udp, cloudflared (the agent itself); may be repeated [default: all]
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',', value_parser = parse_event, requires = "tunnel")]
    pub events: Vec<EventKind>,
    /// Least level: debug, info, warn, error
    #[arg(long, value_name = "LEVEL", default_value = "debug", value_parser = parse_level)]
    pub level: Level,
    /// Share of the lines to be shown, above 0 and up to 1
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = parse_share)]
    pub sample: f64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub admin: Admin,
}

/// Which requests are shown: those that fit all of what is given.
#[derive(Debug, Args)]
pub struct RequestFilters {
    /// Only requests for this host, or *.example.org for all below; may be repeated
    #[arg(long, value_name = "HOST", conflicts_with = "tunnel")]
    pub host: Vec<String>,
    /// Only answers of this status, as in 404, or of a class, as in 5xx; may be repeated
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = parse_status, conflicts_with = "tunnel")]
    pub status: Vec<Statuses>,
    /// Only this method; may be repeated
    #[arg(long, value_name = "METHOD", value_delimiter = ',', conflicts_with = "tunnel")]
    pub method: Vec<String>,
    /// Only visitors of this address or range, as in 203.0.113.0/24; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = parse_range, conflicts_with = "tunnel")]
    pub visitor: Vec<Range>,
    /// Show queries too
    #[arg(long, conflicts_with = "tunnel")]
    pub query: bool,
}

fn parse_status(word: &str) -> Result<Statuses, String> {
    Statuses::parse(word).ok_or_else(|| "write a status such as 404, or a class such as 5xx".to_owned())
}

fn parse_range(text: &str) -> Result<Range, String> {
    Range::parse(text).ok_or_else(|| "write an address, or a range such as 203.0.113.0/24".to_owned())
}

fn parse_event(word: &str) -> Result<EventKind, String> {
    EventKind::of_word(word).ok_or_else(|| "write http, tcp, udp or cloudflared".to_owned())
}

fn parse_level(word: &str) -> Result<Level, String> {
    Level::of_word(word).ok_or_else(|| "write debug, info, warn or error".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "write a number above 0 and up to 1, as in 0.1 for every tenth line".to_owned())
}
