//! The agent's management service: what answers under the management hostname, before any ingress rule (reference §10.3).
//!
//! * [`token`]: who may ask, and for what: a compact JWS, signed by control, verified by the edge;
//! * [`message`]: what is said over the WebSocket `/logs`, as JSON;
//! * [`session`]: who streams, when a conversation begins, ends or is closed, and with which code.
//!
//! All pure: signatures are made and checked by whoever hands in the key.

pub mod message;
pub mod session;
pub mod token;

/// The name under which stock agents answer unless told otherwise.
pub const STOCK_HOSTNAME: &str = "management.argotunnel.com";

/// What the service answers to, and for which kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Nothing, quickly.
    Ping,
    /// Which connector this is.
    HostDetails,
    /// The log, as it is written.
    Logs,
    /// Diagnostics, and whatever else an agent may have there.
    Other,
}

impl Path {
    /// Of a request's path, which is taken as it is written: what is not one of these is [`Path::Other`].
    pub fn of(path: &str) -> Self {
        match path {
            "/ping" => Self::Ping,
            "/host_details" => Self::HostDetails,
            "/logs" => Self::Logs,
            _ => Self::Other,
        }
    }
}

/// The parameters of a management request's query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// The token. Secret: it is never logged.
    pub access_token: Option<&'a str>,
    /// Which of the tunnel's connectors is meant; none: any.
    pub connector_id: Option<&'a str>,
}

impl<'a> Query<'a> {
    /// Reads them; the first of each counts. Neither value has a character that would need an escape, so none is undone.
    pub fn parse(query: &'a str) -> Self {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        Self { access_token: value("access_token"), connector_id: value("connector_id") }
    }
}

/// A host without its port: what is compared with the management hostname.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_parameter_counts() {
        let query = Query::parse("connector_id=&access_token=a.b-_c&access_token=d&x");
        assert_eq!(query, Query { access_token: Some("a.b-_c"), connector_id: None });
        assert_eq!(Query::parse("access%5Ftoken=a"), Query::default());
    }

    #[test]
    fn a_host_loses_its_port_alone() {
        assert_eq!(without_port("management.test:18443"), "management.test");
        assert_eq!(without_port("management.test"), "management.test");
        assert_eq!(without_port("management.test:"), "management.test:");
    }
}
