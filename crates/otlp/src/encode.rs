//! Spans as an `ExportTraceServiceRequest` (opentelemetry-proto 1.x, `trace/v1/trace.proto`) in the protobuf wire format. Pure.
//!
//! Eight messages of fixed shape, written and never read here; numbers of fields stand beside their names. What is at its default is
//! left out, as proto3 has it.

use std::time::{Duration, SystemTime};

use poterne_telemetry::trace::{Event, Kind, Span, Value, span::Attribute};

/// Parent and span are in this process's knowledge of who called: the flags' bits 8 and 9 (`SpanFlags`).
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;

/// `Status.StatusCode.STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// All spans of one program. `resource`: what its attributes say of the program.
pub fn request(resource: &[(String, String)], version: &str, spans: &[Span]) -> Vec<u8> {
    let mut out = Vec::with_capacity(spans.len() * 512);
    // ExportTraceServiceRequest.resource_spans
    message(&mut out, 1, |out| {
        // ResourceSpans.resource, Resource.attributes
        message(out, 1, |out| {
            for (key, value) in resource {
                message(out, 1, |out| pair(out, key, |out| octets(out, 1, value.as_bytes())));
            }
        });
        // ResourceSpans.scope_spans
        message(out, 2, |out| {
            // ScopeSpans.scope: InstrumentationScope.name and .version
            message(out, 1, |out| {
                octets(out, 1, b"poterne");
                octets(out, 2, version.as_bytes());
            });
            // ScopeSpans.spans
            for one in spans {
                message(out, 2, |out| span(out, one));
            }
        });
    });
    out
}

fn span(out: &mut Vec<u8>, span: &Span) {
    let context = &span.context;
    octets(out, 1, context.trace.bytes()); // trace_id
    octets(out, 2, context.span.bytes()); // span_id
    if let Some(parent) = &context.parent {
        octets(out, 4, parent.bytes()); // parent_span_id
    }
    octets(out, 5, span.name.as_bytes()); // name
    let (kind, remote) = match span.kind {
        Kind::Server => (2, IS_REMOTE),
        Kind::Client => (3, 0),
    };
    number(out, 6, kind); // kind
    let start = nanoseconds(span.start);
    fixed64(out, 7, start); // start_time_unix_nano
    fixed64(out, 8, start.saturating_add(in_nanoseconds(span.duration))); // end_time_unix_nano
    for attribute in &span.attributes {
        message(out, 9, |out| key_value(out, attribute)); // attributes
    }
    for one in &span.events {
        message(out, 11, |out| event(out, one, start)); // events
    }
    if let Some(error) = &span.error {
        // status: message and code
        message(out, 15, |out| {
            if !error.is_empty() {
                octets(out, 2, error.as_bytes());
            }
            number(out, 3, ERROR);
        });
    }
    let remote = if context.parent.is_some() { remote } else { 0 };
    fixed32(out, 16, SAMPLED | HAS_IS_REMOTE | remote); // flags
}

fn event(out: &mut Vec<u8>, event: &Event, start: u64) {
    fixed64(out, 1, start.saturating_add(in_nanoseconds(event.after))); // time_unix_nano
    octets(out, 2, event.name.as_bytes()); // name
    for attribute in &event.attributes {
        message(out, 3, |out| key_value(out, attribute)); // attributes
    }
}

fn key_value(out: &mut Vec<u8>, (key, value): &Attribute) {
    pair(out, key, |out| match value {
        // AnyValue: each is written, its default too, since one of them must be there.
        Value::Word(text) => octets(out, 1, text.as_bytes()), // string_value
        Value::Text(text) => octets(out, 1, text.as_bytes()),
        Value::Truth(truth) => number(out, 2, u64::from(*truth)), // bool_value
        // int_value: two's complement in 64 bits.
        Value::Number(value) => number(out, 3, value.cast_unsigned()),
    });
}

/// KeyValue: key and value.
fn pair(out: &mut Vec<u8>, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    octets(out, 1, key.as_bytes());
    message(out, 2, value);
}

const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;
const I32: u32 = 5;

fn tag(out: &mut Vec<u8>, field: u32, kind: u32) {
    varint(out, u64::from(field << 3 | kind));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(0x80 | value.to_le_bytes()[0]);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, I64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, I32);
    out.extend_from_slice(&value.to_le_bytes());
}

fn octets(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, LEN);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A message within another: its length goes before it, and is known after.
fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, LEN);
    let begin = out.len();
    write(out);
    let mut length = Vec::with_capacity(5);
    varint(&mut length, (out.len() - begin) as u64);
    out.splice(begin..begin, length);
}

/// Since the epoch; a clock before it, or six hundred years after it, is at its end.
fn nanoseconds(at: SystemTime) -> u64 {
    in_nanoseconds(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn in_nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
