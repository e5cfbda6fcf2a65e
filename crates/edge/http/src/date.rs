//! The `Date` of answers that have none.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;

/// The last one that the format has room for.
const LAST_SECOND: u64 = 253_402_300_799;

thread_local! {
    /// The second, and how it is written.
    static WRITTEN: RefCell<(u64, HeaderValue)> = const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
}

/// Now, as RFC 9110 §5.6.7 writes it. Written once a second by each thread.
pub(crate) fn now() -> HeaderValue {
    let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(LAST_SECOND);
    WRITTEN.with_borrow_mut(|(written, text)| {
        if *written != second {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            *text = HeaderValue::try_from(date).unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
            *written = second;
        }
        text.clone()
    })
}
