//! Ids, and the fields by which they travel: W3C Trace Context, level 1 (Recommendation of 23 November 2021). Pure, but for chance.
//!
//! What comes in is hostile: one `traceparent` of the exact form, or none. `tracestate` is other people's words, which pass as they came
//! while the trace goes on, and go where it does not (§3.3.1); they are not read.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// `traceparent` (§3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate` (§3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Of a `traceparent` of version 00, in bytes: `00-` 32 digits `-` 16 digits `-` 2 digits (§3.2.2).
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// A new one, by chance.
            pub fn random() -> Self {
                loop {
                    let bytes: [u8; $bytes] = rand::random();
                    // All zeros means "none" (§3.2.2.3, §3.2.2.4).
                    if bytes != [0; $bytes] {
                        return Self(bytes);
                    }
                }
            }

            /// Its bytes.
            pub const fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Lower-case digits, not all zero.
            fn parse(text: &[u8]) -> Option<Self> {
                let mut bytes = [0; $bytes];
                for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = octet(digits)?;
                }
                (text.len() == 2 * $bytes && bytes != [0; $bytes]).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

id!(
    /// A whole trace: what all its spans have in common. Never all zeros.
    TraceId 16
);
id!(
    /// One span of a trace. Never all zeros.
    SpanId 8
);

/// What a request says it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: TraceId,
    /// The span that the request was made in.
    pub span: SpanId,
    /// Whether whoever made it recorded that span (§3.2.2.5).
    pub sampled: bool,
}

impl Parent {
    /// Reads a `traceparent`. Later versions are read as far as version 00 goes (§3.2.4, "Versioning of traceparent").
    pub fn parse(value: &[u8]) -> Option<Self> {
        let version = octet(value.get(..2)?)?;
        let ends_well = match version {
            0 => value.len() == LENGTH,
            // Forbidden (§3.2.2.1).
            0xff => false,
            _ => value.len() == LENGTH || value.get(LENGTH) == Some(&b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
        if !ends_well || !dashes {
            return None;
        }
        let trace = TraceId::parse(value.get(3..35)?)?;
        let span = SpanId::parse(value.get(36..52)?)?;
        let flags = octet(value.get(53..LENGTH)?)?;
        Some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// What a request's fields say. Several are none (§3.2.1: one field alone).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let first = all.next()?;
        all.next().is_none().then(|| Self::parse(first.as_bytes()))?
    }

    /// A new span within it.
    pub(super) fn child(self, sampled: bool) -> Context {
        Context { trace: self.trace, parent: Some(self.span), span: SpanId::random(), sampled }
    }
}

/// A span's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span within which this one is; none: the trace begins here.
    pub parent: Option<SpanId>,
    /// The span.
    pub span: SpanId,
    /// Whether it is recorded, and those below it are to be.
    pub sampled: bool,
}

impl Context {
    /// The first of a new trace.
    pub fn new(sampled: bool) -> Self {
        Self { trace: TraceId::random(), parent: None, span: SpanId::random(), sampled }
    }

    /// A new span within this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { parent: Some(self.span), span: SpanId::random(), ..*self }
    }

    /// The field that tells the next program of this span, as its parent. Flags that we do not know are zero (§3.2.2.5).
    pub fn header(&self) -> HeaderValue {
        let mut text = [b'-'; LENGTH];
        text[..2].copy_from_slice(b"00");
        digits(&mut text[3..35], self.trace.bytes());
        digits(&mut text[36..52], self.span.bytes());
        digits(&mut text[53..], &[if self.sampled { SAMPLED } else { 0 }]);
        HeaderValue::from_bytes(&text).expect("digits and dashes")
    }

    /// Writes it into a request's fields. Where the trace begins here, what came of another one's state goes.
    pub fn write(&self, headers: &mut HeaderMap, begins_here: bool) {
        headers.insert(TRACEPARENT, self.header());
        if begins_here {
            headers.remove(TRACESTATE);
        }
    }
}

/// Two lower-case digits: upper-case ones are not allowed (§3.2.2).
fn octet(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let [high, low] = digits else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

fn digits(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(text: &str) -> Option<Parent> {
        Parent::parse(text.as_bytes())
    }

    #[test]
    fn a_traceparent_of_the_exact_form_is_read() {
        let parent = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!((parent.trace.to_string(), parent.span.to_string(), parent.sampled), (TRACE.into(), SPAN.into(), true));
        assert!(!parse(&format!("00-{TRACE}-{SPAN}-00")).unwrap().sampled);
        // Flags of other meaning are no concern of ours.
        assert!(
            parse(&format!("00-{TRACE}-{SPAN}-ff")).unwrap().sampled && !parse(&format!("00-{TRACE}-{SPAN}-02")).unwrap().sampled
        );
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for later in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what-the-future-is-like")] {
            assert!(parse(&later).is_some(), "{later}");
        }
        for broken in [format!("01-{TRACE}-{SPAN}-01.x"), format!("01-{TRACE}-{SPAN}-0"), format!("ff-{TRACE}-{SPAN}-01")] {
            assert_eq!(parse(&broken), None, "{broken}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        let zero = |text: &str| "0".repeat(text.len());
        for broken in [
            String::new(),
            "00".into(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("0A-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{}-{SPAN}-01", zero(TRACE)),
            format!("00-{TRACE}-{}-01", zero(SPAN)),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}é{SPAN}-01"),
        ] {
            assert_eq!(parse(&broken), None, "{broken:?}");
        }
        assert_eq!(Parent::parse(&[0xff; LENGTH]), None);
    }

    #[test]
    fn several_fields_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Parent::of(&headers), None);
        let value = HeaderValue::try_from(format!("00-{TRACE}-{SPAN}-01")).unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert!(Parent::of(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert_eq!(Parent::of(&headers), None);
    }

    #[test]
    fn the_next_program_reads_this_span_as_its_parent() {
        for sampled in [true, false] {
            let context = Context::new(sampled).child();
            let read = Parent::parse(context.header().as_bytes()).unwrap();
            assert_eq!(read, Parent { trace: context.trace, span: context.span, sampled });
            let below = read.child(sampled);
            assert_eq!((below.trace, below.parent), (context.trace, Some(context.span)));
            assert_ne!(below.span, context.span);
        }
    }

    #[test]
    fn the_state_of_a_trace_stays_with_it() {
        let state = HeaderValue::from_static("congo=t61rcWkgMzE");
        for begins_here in [true, false] {
            let mut headers = HeaderMap::from_iter([(TRACESTATE, state.clone()), (TRACEPARENT, HeaderValue::from_static("x"))]);
            let context = Context::new(true);
            context.write(&mut headers, begins_here);
            assert_eq!(headers[TRACEPARENT], context.header());
            assert_eq!(headers.contains_key(TRACESTATE), !begins_here);
        }
    }
}
