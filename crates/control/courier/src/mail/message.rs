//! A notice as a message (RFC 5322, RFC 2046 multipart/alternative).
//!
//! Fields are written by the library, which encodes what is not ASCII (RFC 2047), folds long lines and takes no line break; what goes
//! in has none anyway.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use poterne_model::Timestamp;

use crate::text::Written;

/// The sender: `poterne@example.net`, or with a name, `Poterne <poterne@example.net>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From(Mailbox);

/// Why a text is no sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no sender ({why}): write one as in poterne@example.net or Poterne <poterne@example.net>")]
pub struct FromError {
    value: String,
    why: String,
}

impl FromStr for From {
    type Err = FromError;

    fn from_str(text: &str) -> Result<Self, FromError> {
        let wrong = |why: String| FromError { value: text.chars().take(100).collect(), why };
        if text.chars().any(char::is_control) {
            return Err(wrong("it has a control character".to_owned()));
        }
        text.trim().parse().map(Self).map_err(|error: lettre::address::AddressError| wrong(error.to_string()))
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The message of a notice. `id` is its Message-ID without brackets.
///
/// # Errors
/// The recipient is no address that mail can go to.
pub fn build(from: &From, to: &str, id: &str, now: Timestamp, written: Written) -> Result<Message, String> {
    let to: Address = to.parse().map_err(|error: lettre::address::AddressError| format!("{to:?} is no address: {error}"))?;
    let micros = Duration::from_micros(now.as_micros().max(0).unsigned_abs());
    let date = UNIX_EPOCH.checked_add(micros).unwrap_or_else(SystemTime::now);
    let plain = |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
    let message = Message::builder()
        .from(from.0.clone())
        .to(Mailbox::new(None, to))
        .date(date)
        .message_id(Some(format!("<{id}>")))
        .subject(written.subject)
        // No vacation program need answer (RFC 3834 §5).
        .raw_header(plain("Auto-Submitted", "auto-generated"))
        .raw_header(plain("X-Auto-Response-Suppress", "All"));
    // Lines of a body end as those of a message do.
    let body = |text: &str| text.replace('\n', "\r\n");
    let parts = MultiPart::alternative_plain_html(body(&written.plain), body(&written.html));
    message.multipart(parts).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_798_792_500);

    fn built(to: &str, subject: &str) -> String {
        let from = "Poterne <poterne@example.net>".parse().unwrap();
        let written = Written { subject: subject.into(), plain: "Bonjour é\n".into(), html: "<p>Bonjour é</p>\n".into() };
        String::from_utf8(build(&from, to, "abc@node.example.net", NOW, written).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_message_has_its_fields_and_both_bodies() {
        let text = built("ada@example.com", "Invitation");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "From: Poterne <poterne@example.net>",
            "To: ada@example.com",
            "Date: Fri, 01 Jan 2027 08:35:00 +0000",
            "Message-ID: <abc@node.example.net>",
            "Subject: Invitation",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(head.split("\r\n").any(|found| found == line), "{line} is missing in:\n{head}");
        }
        assert!(head.contains("Content-Type: multipart/alternative;"), "{head}");
        let (plain, html) = (body.find("text/plain; charset=utf-8").unwrap(), body.find("text/html; charset=utf-8").unwrap());
        assert!(plain < html, "the last is what is liked best");
    }

    #[test]
    fn no_line_is_too_long_and_none_is_somebody_elses() {
        let subject = format!("« {} »\r\nBcc: all@example.com", "é".repeat(300));
        let text = built("ada@example.com", &subject);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("\r\nBcc"), "{head}");
        assert!(text.split("\r\n").all(|line| line.len() <= 78 && !line.contains(['\r', '\n'])), "{text}");
    }

    #[test]
    fn whoever_is_no_address_gets_nothing() {
        let from = "poterne@example.net".parse().unwrap();
        for to in ["", "ada", "ada@example.com, bob@example.com", "ada@example.com\r\nBcc: x@example.com", "<ada@example.com>"] {
            let written = Written { subject: "x".into(), plain: "x".into(), html: "x".into() };
            assert!(build(&from, to, "a@b", NOW, written).is_err(), "{to:?}");
        }
        for text in ["", "poterne", "Poterne", "a@b@c", "x\r\n <a@example.net>"] {
            let error = text.parse::<From>().unwrap_err().to_string();
            assert!(error.contains("is no sender"), "{error}");
        }
    }
}
