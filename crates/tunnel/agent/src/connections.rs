//! The connections that are registered now, for the status page: `/diag/tunnel`, and QUIC's own counts under the stock agent's names
//! (reference §10.1, §10.2).
//!
//! Nothing is counted here as packets go: quinn does, and is asked when somebody reads the page. What ended connections had counted is
//! kept, so that counters never go back. One slot for each connection index, of which there are at most 256.
//!
//! Left out are those that quinn does not tell: `latest_rtt`, `max_udp_payload`, `congestion_state`, buffered and dropped packets, and
//! why packets were lost.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use quinn::{ConnectionStats, FrameStats};
use serde_json::{Value, json};

/// All slots.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Mutex<BTreeMap<u8, Slot>>,
    quic_total: AtomicU64,
    quic_closed: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    up: Option<Up>,
    /// Of its ended QUIC connections; none if it never had one.
    past: Option<Totals>,
}

#[derive(Debug)]
struct Up {
    edge: IpAddr,
    /// None over HTTP/2.
    quic: Option<quinn::Connection>,
}

/// A registered connection, as long as this lives.
pub(crate) struct Registered<'a>(&'a Connections, u8);

/// A QUIC connection, registered or not, as long as this lives.
pub(crate) struct Initiated<'a>(&'a Connections);

impl Connections {
    /// A QUIC connection has begun.
    pub(crate) fn initiated(&self) -> Initiated<'_> {
        self.quic_total.fetch_add(1, Relaxed);
        Initiated(self)
    }

    /// Connection `index` is registered with this edge.
    pub(crate) fn registered(&self, index: u8, edge: IpAddr, quic: Option<quinn::Connection>) -> Registered<'_> {
        let mut slots = self.slots();
        let slot = slots.entry(index).or_default();
        if quic.is_some() {
            slot.past.get_or_insert_default();
        }
        slot.up = Some(Up { edge, quic });
        Registered(self, index)
    }

    /// How many are registered.
    pub(crate) fn up(&self) -> usize {
        self.slots().values().filter(|slot| slot.up.is_some()).count()
    }

    /// The edge of one of them.
    pub(crate) fn edge(&self) -> Option<IpAddr> {
        self.slots().values().find_map(|slot| slot.up.as_ref()).map(|up| up.edge)
    }

    /// As `/diag/tunnel` lists them: protocol 0 is HTTP/2, 1 is QUIC; index 0 is left out.
    pub(crate) fn list(&self) -> Vec<Value> {
        let up = |(index, slot): (&u8, &Slot)| {
            let up = slot.up.as_ref()?;
            let protocol = u8::from(up.quic.is_some());
            let mut entry = json!({ "isConnected": true, "protocol": protocol, "edgeAddress": up.edge.to_string() });
            if *index > 0 {
                entry["index"] = (*index).into();
            }
            Some(entry)
        };
        self.slots().iter().filter_map(up).collect()
    }

    /// QUIC's part of `/metrics`.
    pub(crate) fn encode(&self) -> String {
        let mut page = String::with_capacity(4096);
        for (name, help, value) in [
            ("total_connections", "QUIC connections begun.", &self.quic_total),
            ("closed_connections", "QUIC connections ended.", &self.quic_closed),
        ] {
            family(&mut page, "counter", name, help, [("", value.load(Relaxed))]);
        }
        let slots = self.slots();
        let stats = |slot: &Slot| Some(slot.up.as_ref()?.quic.as_ref()?.stats());
        let now: Vec<(u8, Option<ConnectionStats>, Totals)> = slots
            .iter()
            .filter_map(|(index, slot)| {
                let (now, mut totals) = (stats(slot), slot.past.clone()?);
                now.iter().for_each(|stats| totals.add(stats));
                Some((*index, now, totals))
            })
            .collect();
        drop(slots);
        if now.is_empty() {
            return page;
        }
        let indexed = |index: &u8| format!("{{conn_index=\"{index}\"}}");
        let gauges: [Metric<ConnectionStats, u64>; 4] = [
            ("min_rtt", "Shortest round trip of the connection, in milliseconds.", |stats| millis(stats.path.min_rtt)),
            ("smoothed_rtt", "Smoothed round trip of the connection, in milliseconds.", |stats| millis(stats.path.rtt)),
            ("mtu", "Largest UDP payload that the path carries, in bytes.", |stats| stats.path.current_mtu.into()),
            ("congestion_window", "Congestion window, in bytes.", |stats| stats.path.cwnd),
        ];
        for (name, help, of) in gauges {
            let samples = now.iter().filter_map(|(index, stats, _)| Some((indexed(index), of(stats.as_ref()?))));
            family(&mut page, "gauge", name, help, samples);
        }
        let counters: [Metric<Totals, u64>; 3] = [
            ("sent_bytes", "Bytes sent, in UDP payloads.", |totals| totals.sent_bytes),
            ("receive_bytes", "Bytes received, in UDP payloads.", |totals| totals.received_bytes),
            ("lost_packets", "Packets lost on their way to the edge.", |totals| totals.lost_packets),
        ];
        for (name, help, of) in counters {
            family(&mut page, "counter", name, help, now.iter().map(|(index, _, totals)| (indexed(index), of(totals))));
        }
        let frames: [Metric<Totals, Frames>; 2] = [
            ("sent_frames", "QUIC frames sent, by their kind.", |totals| totals.sent_frames),
            ("received_frames", "QUIC frames received, by their kind.", |totals| totals.received_frames),
        ];
        for (name, help, of) in frames {
            let samples = now.iter().flat_map(|(index, _, totals)| {
                let seen = of(totals).into_iter().zip(FRAME_TYPES).filter(|(count, _)| *count > 0);
                seen.map(move |(count, kind)| (format!("{{conn_index=\"{index}\",frame_type=\"{kind}\"}}"), count))
            });
            family(&mut page, "counter", name, help, samples);
        }
        page
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u8, Slot>> {
        // Nothing panics while it is held.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut slots = self.0.slots();
        let Some(slot) = slots.get_mut(&self.1) else { return };
        if let (Some(Up { quic: Some(quic), .. }), Some(past)) = (slot.up.take(), &mut slot.past) {
            past.add(&quic.stats());
        }
    }
}

impl Drop for Initiated<'_> {
    fn drop(&mut self) {
        self.0.quic_closed.fetch_add(1, Relaxed);
    }
}

/// A metric's name, its help, and how it is told.
type Metric<S, V> = (&'static str, &'static str, fn(&S) -> V);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What only grows.
#[derive(Debug, Default, Clone)]
struct Totals {
    sent_bytes: u64,
    received_bytes: u64,
    lost_packets: u64,
    sent_frames: Frames,
    received_frames: Frames,
}

type Frames = [u64; FRAME_TYPES.len()];

impl Totals {
    fn add(&mut self, stats: &ConnectionStats) {
        self.sent_bytes += stats.udp_tx.bytes;
        self.received_bytes += stats.udp_rx.bytes;
        self.lost_packets += stats.path.lost_packets;
        for (totals, stats) in [(&mut self.sent_frames, &stats.frame_tx), (&mut self.received_frames, &stats.frame_rx)] {
            for (total, count) in totals.iter_mut().zip(frames(stats)) {
                *total += count;
            }
        }
    }
}

/// Names of frames as the stock agent's label has them, in the order of [`frames`].
const FRAME_TYPES: [&str; 20] = [
    "Ack",
    "Crypto",
    "ConnectionClose",
    "DataBlocked",
    "Datagram",
    "HandshakeDone",
    "MaxData",
    "MaxStreamData",
    "MaxStreams",
    "NewConnectionID",
    "NewToken",
    "PathChallenge",
    "PathResponse",
    "Ping",
    "ResetStream",
    "RetireConnectionID",
    "StopSending",
    "Stream",
    "StreamDataBlocked",
    "StreamsBlocked",
];

fn frames(stats: &FrameStats) -> Frames {
    [
        stats.acks,
        stats.crypto,
        stats.connection_close,
        stats.data_blocked,
        stats.datagram,
        stats.handshake_done.into(),
        stats.max_data,
        stats.max_stream_data,
        stats.max_streams_bidi + stats.max_streams_uni,
        stats.new_connection_id,
        stats.new_token,
        stats.path_challenge,
        stats.path_response,
        stats.ping,
        stats.reset_stream,
        stats.retire_connection_id,
        stats.stop_sending,
        stats.stream,
        stats.stream_data_blocked,
        stats.streams_blocked_bidi + stats.streams_blocked_uni,
    ]
}

fn family<L: AsRef<str>>(page: &mut String, kind: &str, name: &str, help: &str, samples: impl IntoIterator<Item = (L, u64)>) {
    let _ = write!(page, "# HELP quic_client_{name} {help}\n# TYPE quic_client_{name} {kind}\n");
    for (labels, value) in samples {
        let _ = writeln!(page, "quic_client_{name}{} {value}", labels.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_over_http_2_has_no_quic_to_tell() {
        let connections = Connections::default();
        let first = connections.registered(0, [192, 0, 2, 1].into(), None);
        let third = connections.registered(2, [192, 0, 2, 2].into(), None);
        assert_eq!(
            connections.list(),
            [
                json!({ "isConnected": true, "protocol": 0, "edgeAddress": "192.0.2.1" }),
                json!({ "isConnected": true, "protocol": 0, "edgeAddress": "192.0.2.2", "index": 2 }),
            ]
        );
        assert_eq!(connections.encode().matches("conn_index").count(), 0);
        drop((first, third));
        assert!(connections.list().is_empty());
    }
}
