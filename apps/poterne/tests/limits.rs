//! docs/limits.md against the code: every limit with its default, none that is not there, and the sums.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use poterne_edge_http::Limits;
use poterne_edge_listen::{AdmissionLimits, Handshakes};
use poterne_edge_tls::ja4;
use poterne_edge_upstream::{Settings as Origins, health, stalls};
use poterne_node::{access_log, admin::protocol, config::Config};
use poterne_otlp::{answer::ATTEMPTS_MAX, exporter};
use poterne_telemetry::trace::span::TEXT_BYTES_MAX;
use poterne_tunnel_gateway::Settings as Gateway;

const DOCUMENT: &str = include_str!("../../../docs/limits.md");
/// Descriptors in the document's examples.
const NOFILE: u64 = 1_048_576;

fn bytes(count: impl TryInto<u64>) -> String {
    let count = count.try_into().ok().unwrap();
    match count {
        count if count > 0 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count > 0 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} B"),
    }
}

fn time(duration: Duration) -> String {
    if duration.subsec_millis() == 0 { format!("{} s", duration.as_secs()) } else { format!("{} ms", duration.as_millis()) }
}

fn perhaps<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), show)
}

/// What the code says. Structures are taken apart whole: a limit that is new does not compile here until it is in the document.
fn of_the_code() -> BTreeMap<&'static str, String> {
    let Limits {
        head_bytes_max,
        target_bytes_max,
        field_bytes_max,
        fields_max,
        head_timeout,
        body_rate_min,
        stalled_write_timeout,
        half_closed_served: _,
        idle_timeout,
        h2_idle_timeout,
        h2_streams_max,
        h2_stream_window,
        h2_connection_window,
        h2_send_bytes_max,
        h2_pending_resets_max,
        h2_error_resets_max,
        h2_ping_interval,
        h2_ping_timeout,
        h3_idle_timeout,
        h3_streams_max,
        h3_connection_window,
        h3_send_bytes_max,
        h3_resets_max,
        h3_control_frames_max,
        buffer_bytes_max,
    } = Limits::default();
    let AdmissionLimits { connections_max, connections_per_prefix_max } = AdmissionLimits::for_files(NOFILE);
    let Gateway {
        listen: _,
        congestion: _,
        location: _,
        response_timeout,
        newcomers_max,
        newcomers_per_source_max,
        refusal_forgiven_after,
        handshake_timeout,
        connections_per_tunnel_max,
        requests_per_tunnel_max,
        requests_per_quick_tunnel_max,
        waiting_per_tunnel_max,
        waiting_timeout,
        silent_after,
        dead_after,
        stream_window,
        connection_window,
        stalls: _,
        reset_key: _,
        generation: _,
        traces: _,
        rpc_threads: _,
    } = Gateway::default();
    let Origins {
        connect_timeout,
        handshake_timeout: origins_handshake_timeout,
        write_timeout,
        idle_timeout: origins_idle_timeout,
        idle_per_origin_max,
        connections_max: origins_max,
        connections_per_zone_max,
        stalls: _,
    } = Origins::for_files(NOFILE);
    let config = Config::defaults();
    let number = |number: usize| number.to_string();
    let rate = |rate: NonZeroU32| format!("{rate} B/s");
    BTreeMap::from([
        ("head_bytes_max", bytes(head_bytes_max as u64)),
        ("target_bytes_max", bytes(target_bytes_max as u64)),
        ("field_bytes_max", bytes(field_bytes_max as u64)),
        ("fields_max", number(fields_max)),
        ("head_timeout", time(head_timeout)),
        ("body_rate_min", perhaps(body_rate_min, rate)),
        ("stalled_write_timeout", perhaps(stalled_write_timeout, time)),
        ("idle_timeout", time(idle_timeout)),
        ("buffer_bytes_max", bytes(buffer_bytes_max as u64)),
        ("h2_idle_timeout", time(h2_idle_timeout)),
        ("h2_streams_max", h2_streams_max.to_string()),
        ("h2_stream_window", bytes(h2_stream_window)),
        ("h2_connection_window", bytes(h2_connection_window)),
        ("h2_send_bytes_max", bytes(h2_send_bytes_max as u64)),
        ("h2_pending_resets_max", number(h2_pending_resets_max)),
        ("h2_error_resets_max", number(h2_error_resets_max)),
        ("h2_ping_interval", time(h2_ping_interval)),
        ("h2_ping_timeout", time(h2_ping_timeout)),
        ("h3_idle_timeout", time(h3_idle_timeout)),
        ("h3_streams_max", h3_streams_max.to_string()),
        ("h3_connection_window", bytes(h3_connection_window)),
        ("h3_send_bytes_max", bytes(h3_send_bytes_max)),
        ("h3_resets_max", h3_resets_max.to_string()),
        ("h3_control_frames_max", h3_control_frames_max.to_string()),
        ("connections_max", connections_max.to_string()),
        ("connections_per_address_max", connections_per_prefix_max.to_string()),
        ("quic_handshakes_max", number(Handshakes::MAX)),
        ("client_hello_bytes_max", bytes(ja4::HELLO_BYTES_MAX as u64)),
        ("certificates_ready_max", number(poterne_edge_tls::CERTIFICATES_READY_MAX)),
        ("certificate_loads_max", number(poterne_edge_tls::CERTIFICATE_LOADS_MAX)),
        ("visitor_certificate_bytes_max", bytes(poterne_edge_tls::CERTIFICATE_BYTES_MAX as u64)),
        ("session_ticket_bytes_max", bytes(poterne_keys::TICKET_BYTES_MAX as u64)),
        ("drain_secs", format!("{} s", config.edge.drain_secs)),
        ("origins.connect_timeout", time(connect_timeout)),
        ("origins.handshake_timeout", time(origins_handshake_timeout)),
        ("origins.write_timeout", time(write_timeout)),
        ("origins.idle_timeout", time(origins_idle_timeout)),
        ("origins.idle_per_origin_max", number(idle_per_origin_max)),
        ("origins.connections_max", number(origins_max)),
        ("origins.connections_per_zone_max", number(connections_per_zone_max)),
        ("health_checks.of_zone_max", number(poterne_control_app::HEALTH_CHECKS_OF_ZONE_MAX)),
        ("health_checks.made_max", number(health::CHECKS_LOOKED_AT_MAX)),
        ("health_checks.looks_max", number(health::LOOKS_MAX)),
        ("health_checks.slow_looks_max", number(health::SLOW_LOOKS_MAX)),
        ("health_checks.looks_of_zone_max", number(health::LOOKS_OF_ZONE_MAX)),
        ("tunnels.response_timeout", perhaps(response_timeout, time)),
        ("tunnels.newcomers_max", number(newcomers_max)),
        ("tunnels.newcomers_per_source_max", number(newcomers_per_source_max)),
        ("tunnels.refusal_forgiven_after", time(refusal_forgiven_after)),
        ("tunnels.handshake_timeout", time(handshake_timeout)),
        ("tunnels.connections_per_tunnel_max", number(connections_per_tunnel_max)),
        ("tunnels.requests_per_tunnel_max", number(requests_per_tunnel_max)),
        ("tunnels.requests_per_quick_tunnel_max", number(requests_per_quick_tunnel_max)),
        ("tunnels.waiting_per_tunnel_max", number(waiting_per_tunnel_max)),
        ("tunnels.waiting_timeout", time(waiting_timeout)),
        ("tunnels.silent_after", time(silent_after)),
        ("tunnels.dead_after", time(dead_after)),
        ("tunnels.stream_window", bytes(stream_window)),
        ("tunnels.connection_window", bytes(connection_window)),
        ("answers.stalled_bytes_max", bytes(stalls::Settings::for_memory(2 << 30).bytes_max)),
        ("dns.responses_per_sec", config.dns.responses_per_sec.to_string()),
        ("dns.signed_transfers_max", number(poterne_dns_server::SIGNED_MAX)),
        ("dns.transfer_signatures_per_sec", poterne_dns_server::SIGNATURES_PER_SEC.to_string()),
        ("dns.transfer_signatures_of_zone_max", number(poterne_dns_server::SIGNATURES_MAX)),
        ("dns.transfer_signatures_max", number(poterne_dns_server::REMEMBERED_MAX)),
        ("zones.deleted_kept_max", number(poterne_control_app::ZONES_KEPT_MAX)),
        ("control.rate_limit", config.control.rate_limit.to_string()),
        ("admin.request_bytes_max", bytes(protocol::REQUEST_BYTES_MAX as u64)),
        ("admin.answer_bytes_max", bytes(protocol::ANSWER_BYTES_MAX as u64)),
        ("access_log.queue_max", number(access_log::QUEUE_MAX)),
        ("traces.queue_max", number(exporter::QUEUE_MAX)),
        ("traces.batch_max", number(exporter::BATCH_MAX)),
        ("traces.batch_wait", time(exporter::BATCH_WAIT)),
        ("traces.text_bytes_max", bytes(TEXT_BYTES_MAX as u64)),
        ("traces.attempts_max", ATTEMPTS_MAX.to_string()),
        ("traces.flush_max", time(exporter::FLUSH_MAX)),
    ])
}

/// Rows that begin with a name in backticks.
fn of_the_document() -> BTreeMap<&'static str, String> {
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.strip_suffix('`')?;
        Some((name, cells.next()?.trim().to_owned()))
    };
    DOCUMENT.lines().filter_map(row).collect()
}

#[test]
fn every_limit_is_in_the_document_as_the_code_has_it() {
    let (code, document) = (of_the_code(), of_the_document());
    for (name, value) in &code {
        assert_eq!(document.get(name), Some(value), "docs/limits.md, {name}");
    }
    let unknown: Vec<_> = document.keys().filter(|name| !code.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "docs/limits.md has limits that the code has not: {unknown:?}");
}

fn mib(bytes: usize) -> String {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}

#[test]
fn the_sums_of_the_document_are_those_of_the_limits() {
    let limits = Limits::default();
    // rustls: a record each way, and what it holds of one until it is whole.
    let tls = 4 * 17 * 1024;
    let http1 = limits.head_bytes_max + limits.buffer_bytes_max + 64 * 1024 + tls;
    let streams = limits.h2_streams_max as usize;
    let http2 = streams * (limits.head_bytes_max + limits.h2_send_bytes_max) + limits.h2_connection_window as usize + tls;
    let http3 = limits.h3_streams_max as usize * limits.head_bytes_max
        + limits.h3_connection_window as usize
        + limits.h3_send_bytes_max as usize;
    let handshakes = Handshakes::MAX * 50 * 1024;
    let per_gib = (1 << 30) / http2;
    for (what, sum) in [
        ("HTTP/1.1", format!("= **{}**", mib(http1))),
        ("HTTP/2", format!("= **{}**", mib(http2))),
        ("HTTP/3", format!("= **{}**", mib(http3))),
        ("handshakes", format!("= **{}**", mib(handshakes))),
        ("visitors at their worst", format!("**{per_gib}** visitors")),
    ] {
        assert!(DOCUMENT.contains(&sum), "docs/limits.md, {what}: {sum}");
    }
}
