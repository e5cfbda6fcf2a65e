//! What is said alike of an answer over HTTP/2 and HTTP/3, whose streams each carry one exchange. Pure.

use http::{HeaderMap, HeaderValue, StatusCode, header, response::Parts};
use http_body::Body as _;

use crate::{
    Body, BodyError, Response, date,
    fields::{belongs_to_heads, drop_forbidden},
};

/// How an answer begins.
#[derive(Debug)]
pub(crate) struct Opening {
    /// As the visitor sees it.
    pub(crate) head: Parts,
    /// What comes after it.
    pub(crate) body: Body,
    /// Nothing comes after it.
    pub(crate) ends: bool,
}

impl Opening {
    /// Of this answer, to a request for the head alone, or for a WebSocket.
    pub(crate) fn of(response: Response, head_only: bool, websocket: bool) -> Self {
        let (mut head, body) = response.into_parts();
        let mut ends = head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match head.status {
            StatusCode::SWITCHING_PROTOCOLS if websocket => {
                head.status = StatusCode::OK;
                head.headers.remove(header::SEC_WEBSOCKET_ACCEPT);
                head.headers.remove(header::CONTENT_LENGTH);
            }
            // The pipeline never lets one through.
            status if status.is_informational() => head.status = StatusCode::BAD_GATEWAY,
            // Nor this: any of these opens the WebSocket, to what is none (RFC 8441 §5).
            status if websocket && status.is_success() => {
                head.status = StatusCode::BAD_GATEWAY;
                ends |= body.is_end_stream();
            }
            _ => {
                ends |= body.is_end_stream();
                if let Some(length) = body.size_hint().exact().filter(|_| !ends) {
                    head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
                }
            }
        }
        head.headers.entry(header::DATE).or_insert_with(date::now);
        Self { head, body, ends }
    }
}

/// What comes after the piece of an answer that is in hand.
#[derive(Debug)]
pub(crate) enum Rest {
    /// It is not known yet.
    More,
    /// The answer is broken off.
    Failed(BodyError),
    /// Trailers, and the end.
    Trailers(HeaderMap),
    /// The end.
    Nothing,
}

impl Rest {
    /// The end of an answer with these trailers, as far as they may come after a body: those of one connection are no field here
    /// (RFC 9113 §8.2.2, RFC 9114 §4.2), and the visitor would take the whole answer for malformed.
    pub(crate) fn ending(mut trailers: HeaderMap) -> Self {
        drop_forbidden(&mut trailers, belongs_to_heads);
        if trailers.is_empty() { Self::Nothing } else { Self::Trailers(trailers) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(status: u16, body: &'static str, head_only: bool, websocket: bool) -> (u16, bool, Option<String>) {
        let response = http::Response::builder().status(status).body(Body::full(body)).unwrap();
        let Opening { head, ends, .. } = Opening::of(response, head_only, websocket);
        assert!(head.headers.contains_key(header::DATE));
        let length = head.headers.get(header::CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
        (head.status.as_u16(), ends, length)
    }

    #[test]
    fn an_answer_says_when_nothing_comes_after_it() {
        assert_eq!(opening(200, "text", false, false), (200, false, Some("4".to_owned())));
        assert_eq!(opening(200, "", false, false), (200, true, None));
        assert_eq!(opening(200, "text", true, false), (200, true, None));
        assert_eq!(opening(304, "text", false, false), (304, true, None));
        assert_eq!(opening(103, "", false, false).0, 502);
    }

    #[test]
    fn a_websocket_is_opened_by_a_switch_alone() {
        assert_eq!(opening(101, "raw", false, true), (200, false, None));
        assert_eq!(opening(200, "page", false, true).0, 502);
        assert_eq!(opening(403, "no", false, true), (403, false, Some("2".to_owned())));
    }
}
