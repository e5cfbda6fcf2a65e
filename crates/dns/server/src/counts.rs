//! What is counted.

use poterne_dns_answer::{Rcode, Reply, Signed, Transport};
use poterne_telemetry::{Counter, Metrics};

/// The counters.
pub(crate) struct Counts {
    udp: Counter,
    tcp: Counter,
    tls: Counter,
    https: Counter,
    rcodes: [Counter; Rcode::ALL.len()],
    signatures: [Counter; 3],
    /// Zones given whole, what changed of them, "nothing did", and nothing.
    pub(crate) transfers: [Counter; 4],
    /// Peers told of a change: they answered, or did not.
    pub(crate) notices: [Counter; 2],
    ignored: Counter,
    /// Not sent, since the client gets too many.
    pub(crate) dropped: Counter,
    /// Sent without its records, for the same reason.
    pub(crate) shortened: Counter,
    /// Queries whose answering panicked.
    pub(crate) panicked: Counter,
    /// The system did not take it.
    pub(crate) unsent: Counter,
}

impl Counts {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let [udp, tcp, tls, https] =
            metrics.counters("dns_queries", "Messages received", "transport", ["udp", "tcp", "tls", "https"]);
        let rcodes = metrics.counters("dns_answers", "Answers made", "rcode", Rcode::ALL.map(Rcode::as_str));
        let [dropped, shortened] = metrics.counters(
            "dns_answers_limited",
            "Answers that a prefix did not get whole",
            "action",
            ["dropped", "truncated"],
        );
        let signatures = metrics.counters(
            "dns_signatures",
            "Signatures made for an answer, remembered from earlier ones, and refused since a zone had its share of a second",
            "how",
            ["made", "remembered", "refused"],
        );
        let transfers = metrics.counters(
            "dns_transfers",
            "Transfers asked for, by what was given",
            "given",
            ["zone", "difference", "version", "refused"],
        );
        let notices = metrics.counters("dns_notices", "Peers told of a zone's change", "outcome", ["answered", "unanswered"]);
        Self {
            signatures,
            transfers,
            notices,
            udp,
            tcp,
            tls,
            https,
            rcodes,
            ignored: metrics.counter("dns_ignored", "Messages that are no queries"),
            dropped,
            shortened,
            panicked: metrics.counter("dns_panicked", "Queries that a mistake of ours left without an answer"),
            unsent: metrics.counter("dns_unsent", "Answers that the system did not take"),
        }
    }

    pub(crate) fn answered(&self, transport: Transport, reply: &Reply) {
        match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
            Transport::Https => &self.https,
        }
        .inc();
        let Signed { made, remembered, is_refused } = reply.signed;
        for (counter, count) in self.signatures.iter().zip([made, remembered, u8::from(is_refused)]) {
            if count > 0 {
                counter.inc_by(count.into());
            }
        }
        if reply.length == 0 {
            self.ignored.inc();
        } else if let Some(at) = Rcode::ALL.iter().position(|rcode| *rcode == reply.rcode) {
            self.rcodes[at].inc();
        }
    }
}
