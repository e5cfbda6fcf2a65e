//! What must hold of any `traceparent`.

use poterne_telemetry::trace::{Parent, Parents, Sink, Span, Tracer};

struct Nobody;

impl Sink for Nobody {
    fn take(&self, _: Span) {}

    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn waiting(&self) -> u64 {
        0
    }
}

/// What is read is what stands there, in the one spelling that there is; and what we write of it is read again.
pub fn traceparent(input: &[u8]) {
    let Some(parent) = Parent::parse(input) else { return };
    assert_eq!(input[3..52], *format!("{}-{}", parent.trace, parent.span).as_bytes());
    assert!(parent.trace.bytes().iter().any(|byte| *byte != 0) && parent.span.bytes().iter().any(|byte| *byte != 0));
    let flags = u8::from_str_radix(std::str::from_utf8(&input[53..55]).expect("digits"), 16).expect("digits");
    assert_eq!(parent.sampled, flags & 1 == 1);
    assert!(input.len() == 55 || (input.len() > 55 && input[55] == b'-' && !input.starts_with(b"00")));
    let context = Tracer::new(std::sync::Arc::new(Nobody), 0.0).begin(Some(parent), Parents::Trust);
    let again = Parent::parse(context.header().as_bytes()).expect("our own form");
    assert_eq!((again.trace, again.span, again.sampled), (parent.trace, context.span, parent.sampled));
    assert_eq!(context.parent, Some(parent.span));
}
