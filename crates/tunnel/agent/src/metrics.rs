//! What the agent counts, under the stock agent's names (reference §10.2), in Prometheus' text format.
//!
//! Plain atomics and a hand-written page: the stock names of counters do not end in `_total`, which client libraries insist on.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Counters of one agent.
#[derive(Debug)]
pub(crate) struct AgentMetrics {
    pub(crate) connections: AtomicUsize,
    pub(crate) requests: AtomicU64,
    pub(crate) request_errors: AtomicU64,
    pub(crate) concurrent: AtomicUsize,
    codes: [AtomicU64; 900],
    pub(crate) tcp_active: AtomicUsize,
    pub(crate) tcp_total: AtomicU64,
    pub(crate) connect_errors: AtomicU64,
    pub(crate) register_success: AtomicU64,
    pub(crate) register_fail: AtomicU64,
    pub(crate) dial_errors: AtomicU64,
    pub(crate) config_version: AtomicI32,
    /// Entries that the client of `/logs` was too slow for.
    pub(crate) log_entries_lost: Arc<AtomicU64>,
}

impl Default for AgentMetrics {
    fn default() -> Self {
        Self {
            connections: AtomicUsize::default(),
            requests: AtomicU64::default(),
            request_errors: AtomicU64::default(),
            concurrent: AtomicUsize::default(),
            codes: std::array::from_fn(|_| AtomicU64::default()),
            tcp_active: AtomicUsize::default(),
            tcp_total: AtomicU64::default(),
            connect_errors: AtomicU64::default(),
            register_success: AtomicU64::default(),
            register_fail: AtomicU64::default(),
            dial_errors: AtomicU64::default(),
            config_version: AtomicI32::new(-1),
            log_entries_lost: Arc::default(),
        }
    }
}

impl AgentMetrics {
    /// Counts an answer of this status.
    pub(crate) fn answered(&self, status: http::StatusCode) {
        if let Some(code) = usize::from(status.as_u16()).checked_sub(100).and_then(|at| self.codes.get(at)) {
            code.fetch_add(1, Relaxed);
        }
    }

    /// The page. `quick` says nothing here: no name of a tenant is ever a label.
    pub(crate) fn encode(&self, version: &str) -> String {
        let mut page = String::with_capacity(2048);
        let mut line = |kind: &str, name: &str, help: &str, value: i64| {
            let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        let number = |value: &AtomicU64| i64::try_from(value.load(Relaxed)).unwrap_or(i64::MAX);
        let size = |value: &AtomicUsize| i64::try_from(value.load(Relaxed)).unwrap_or(i64::MAX);
        line("gauge", "cloudflared_tunnel_ha_connections", "Registered connections.", size(&self.connections));
        line("counter", "cloudflared_tunnel_total_requests", "Requests that came through the tunnel.", number(&self.requests));
        line(
            "counter",
            "cloudflared_tunnel_request_errors",
            "Requests the local service did not answer.",
            number(&self.request_errors),
        );
        line("gauge", "cloudflared_tunnel_concurrent_requests_per_tunnel", "Requests in flight.", size(&self.concurrent));
        line("gauge", "cloudflared_tcp_active_sessions", "Open TCP flows.", size(&self.tcp_active));
        line("counter", "cloudflared_tcp_total_sessions", "TCP flows ever opened.", number(&self.tcp_total));
        line(
            "counter",
            "cloudflared_proxy_connect_streams_errors",
            "TCP flows that could not be opened.",
            number(&self.connect_errors),
        );
        line(
            "gauge",
            "cloudflared_orchestration_config_version",
            "Applied version of the remote configuration.",
            self.config_version.load(Relaxed).into(),
        );
        line("counter", "poterne_agent_dial_errors_total", "Attempts that reached no edge.", number(&self.dial_errors));
        line(
            "counter",
            "poterne_agent_log_entries_lost_total",
            "Log entries that a client of /logs was too slow for.",
            number(&self.log_entries_lost),
        );
        let rpc = [("success", &self.register_success), ("fail", &self.register_fail)];
        for (outcome, value) in rpc {
            let name = format!("cloudflared_tunnel_tunnel_register_{outcome}");
            let _ = write!(page, "# TYPE {name} counter\n{name}{{rpcName=\"registerConnection\"}} {}\n", value.load(Relaxed));
        }
        let _ = writeln!(page, "# TYPE cloudflared_tunnel_response_by_code counter");
        for (code, value) in (100..).zip(&self.codes) {
            let value = value.load(Relaxed);
            if value > 0 {
                let _ = writeln!(page, "cloudflared_tunnel_response_by_code{{status_code=\"{code}\"}} {value}");
            }
        }
        let _ = write!(page, "# TYPE build_info gauge\nbuild_info{{version=\"{version}\",type=\"poterne-agent\"}} 1\n");
        page
    }
}

/// Counts one up while it lives.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(crate) fn new(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_uses_the_stock_names() {
        let metrics = AgentMetrics::default();
        metrics.answered(http::StatusCode::NOT_FOUND);
        metrics.requests.fetch_add(3, Relaxed);
        let page = metrics.encode("1");
        for line in [
            "cloudflared_tunnel_total_requests 3\n",
            "cloudflared_tunnel_response_by_code{status_code=\"404\"} 1\n",
            "cloudflared_orchestration_config_version -1\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
    }
}
