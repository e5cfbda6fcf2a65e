//! What a visitor may take of this node. Every bound has its default and its reason here.

use std::{num::NonZeroU32, time::Duration};

/// Bounds of one visitor's connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest request head, request line and fields together, in bytes; beyond it 431. Default 32 KiB.
    ///
    /// Worst-case memory is this times the connections that are sending a head. Source: edge-behaviour §2.9.
    pub head_bytes_max: usize,
    /// Longest request target in bytes; beyond it 414. Default 16 KiB.
    pub target_bytes_max: usize,
    /// Longest single field line in bytes; beyond it 431. Default 16 KiB.
    pub field_bytes_max: usize,
    /// Most fields in a head; beyond it 431. Default 100.
    pub fields_max: usize,
    /// From the first byte of a head to its last: 408 beyond on HTTP/1.1 and 3, and the end of the connection on HTTP/2. A connection on
    /// which nothing is asked from its start is closed after it. Default 10 s.
    pub head_timeout: Duration,
    /// Least average rate of an HTTP/1.1 request's body in bytes a second, counted after 5 s of waiting for the visitor; a slower one
    /// is broken off. Default none: an upload may take its time, and its memory is bounded (edge-behaviour §5.5 has 500).
    pub body_rate_min: Option<NonZeroU32>,
    /// How long a visitor may take nothing of an answer that is ready; then the connection (the stream, on HTTP/2 and 3) is closed. Default
    /// none: a player that pauses holds one bounded buffer (edge-behaviour §5.5 has 60 s).
    pub stalled_write_timeout: Option<Duration>,
    /// Whether an HTTP/1.1 visitor that closes its sending side after a request is answered all the same. Default not: it is taken for
    /// gone, as most proxies do, so that nothing works for who left.
    pub half_closed_served: bool,
    /// How long an HTTP/1.1 connection may wait for its next request. Default 75 s.
    pub idle_timeout: Duration,
    /// How long an HTTP/2 connection may be without a stream. Default 180 s.
    pub h2_idle_timeout: Duration,
    /// Streams a visitor may have open on one HTTP/2 connection. Default 128 (RFC 9113 §6.5.2 recommends at least 100).
    pub h2_streams_max: u32,
    /// Receive window of one HTTP/2 stream in bytes: what an upload may have in flight. Default 512 KiB; it bounds the memory
    /// of a stream whose origin does not read.
    pub h2_stream_window: u32,
    /// Receive window of a whole HTTP/2 connection in bytes. Default 1 MiB.
    pub h2_connection_window: u32,
    /// Bytes of a response that wait for one HTTP/2 visitor to read. Default 64 KiB; worst case this times the streams open.
    pub h2_send_bytes_max: usize,
    /// Streams a visitor opened and reset before we looked at them; beyond it the connection is closed with
    /// `ENHANCE_YOUR_CALM`. Default 20 (CVE-2023-44487).
    pub h2_pending_resets_max: usize,
    /// Streams that we reset because the visitor broke the protocol; beyond it the connection is closed. Default 100
    /// (CVE-2025-8671).
    pub h2_error_resets_max: usize,
    /// An HTTP/2 PING after this long without traffic while streams are open. Default 30 s.
    pub h2_ping_interval: Duration,
    /// How long the answer to that PING may take. Default 20 s.
    pub h2_ping_timeout: Duration,
    /// How long an HTTP/3 connection may be without a request. Default 30 s (edge-behaviour §5.3): another is cheap to open, and a phone is
    /// not woken for this one.
    pub h3_idle_timeout: Duration,
    /// Requests a visitor may have open on one HTTP/3 connection. Default 100 (RFC 9114 §6.1 recommends at least that).
    pub h3_streams_max: u32,
    /// Bytes of requests that may wait, or be in flight, on one HTTP/3 connection. Default 1 MiB; it bounds the memory of a connection
    /// whose origins do not read.
    pub h3_connection_window: u32,
    /// Bytes of answers that one HTTP/3 visitor has not acknowledged. Default 1.25 MiB: 100 Mbit/s at 100 ms. They are kept until it has.
    pub h3_send_bytes_max: u32,
    /// Requests that a visitor cancelled before they were answered, and one more for every two that were; beyond it the connection is closed
    /// with `H3_EXCESSIVE_LOAD`. Default 100 (CVE-2023-44487).
    pub h3_resets_max: u64,
    /// Frames on a visitor's control stream, and one more for each request; beyond it the connection is closed likewise. Default 1,000.
    pub h3_control_frames_max: u64,
    /// Most bytes of a request's body that an HTTP/1.1 connection reads at a time. Default 128 KiB; reads begin at 8 KiB and grow
    /// only while bytes flow.
    pub buffer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024,
            target_bytes_max: 16 * 1024,
            field_bytes_max: 16 * 1024,
            fields_max: 100,
            head_timeout: Duration::from_secs(10),
            body_rate_min: None,
            stalled_write_timeout: None,
            half_closed_served: false,
            idle_timeout: Duration::from_secs(75),
            h2_idle_timeout: Duration::from_secs(180),
            h2_streams_max: 128,
            h2_stream_window: 512 * 1024,
            h2_connection_window: 1024 * 1024,
            h2_send_bytes_max: 64 * 1024,
            h2_pending_resets_max: 20,
            h2_error_resets_max: 100,
            h2_ping_interval: Duration::from_secs(30),
            h2_ping_timeout: Duration::from_secs(20),
            h3_idle_timeout: Duration::from_secs(30),
            h3_streams_max: 100,
            h3_connection_window: 1024 * 1024,
            h3_send_bytes_max: 1_250 * 1024,
            h3_resets_max: 100,
            h3_control_frames_max: 1_000,
            buffer_bytes_max: 128 * 1024,
        }
    }
}
