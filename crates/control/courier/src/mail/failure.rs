//! What went wrong with a mail, for whoever has to do something about it.

use std::error::Error as _;

use lettre::transport::smtp;

use super::server::{Security, Server};

/// Longest piece of a server's answer that is repeated, in characters.
const ANSWER_CHARS_MAX: usize = 300;

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The message cannot be made.
    #[error("{0}")]
    Message(String),
    /// The server is not reached.
    #[error("the mail server {server} is not reached: {why}")]
    Unreachable {
        /// Which.
        server: String,
        /// Why.
        why: String,
    },
    /// No TLS.
    #[error("no TLS with the mail server {server}: {why}; {remedy}")]
    Tls {
        /// Which.
        server: String,
        /// Why.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It cannot do what is asked, as taking a password.
    #[error("the mail server {server} offers less than [mail] smtp asks for: {why}")]
    Less {
        /// Which.
        server: String,
        /// What is missing.
        why: String,
    },
    /// It does not let us in.
    #[error("the mail server {server} does not take this user and password ({answer}): check those of [mail] smtp")]
    Credentials {
        /// Which.
        server: String,
        /// What it said.
        answer: String,
    },
    /// It says no, and would again.
    #[error("the mail server {server} refuses: {answer}")]
    Refused {
        /// Which.
        server: String,
        /// What it said.
        answer: String,
    },
    /// It says not now.
    #[error("the mail server {server} does not take it now: {answer}")]
    NotNow {
        /// Which.
        server: String,
        /// What it said.
        answer: String,
    },
    /// It says what no mail server says.
    #[error("the mail server {server} does not answer as one: {why}; is it one, and does its port speak what [mail] smtp says?")]
    Garbled {
        /// Which.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// It takes too long.
    #[error("the mail server {server} takes longer than {secs} seconds")]
    Slow {
        /// Which.
        server: String,
        /// How long was waited.
        secs: u64,
    },
}

impl Failure {
    /// Whether another attempt with the same message ends the same way. A password that is wrong can be put right meanwhile.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Refused { .. })
    }
}

/// What the library's error means.
pub(super) fn of(server: &Server, error: &smtp::Error) -> Failure {
    let (name, why) = (server.to_string(), chain(error));
    if let Some(code) = error.status() {
        let code = code.to_string();
        let answer = format!("{code} {}", answer(error)).trim().to_owned();
        // 530, 534, 535 and 538 (RFC 4954 §6), and 454 for what it cannot check now.
        return match code.as_str() {
            "530" | "534" | "535" | "538" => Failure::Credentials { server: name, answer },
            _ if error.is_permanent() => Failure::Refused { server: name, answer },
            _ => Failure::NotNow { server: name, answer },
        };
    }
    if error.is_timeout() {
        return Failure::Unreachable { server: name, why: "it does not answer in time".to_owned() };
    }
    if error.is_tls() || why.contains("certificate") || why.contains("TLS") || why.contains("tls") {
        let remedy = match server.security {
            Security::Tls => "smtps:// is TLS from the first byte, as on port 465; a private authority goes into [mail] ca_file",
            Security::StartTls => {
                "smtp:// asks the server for TLS, and writes over nothing else; a private authority goes into [mail] ca_file"
            }
            Security::Clear => "a server on this machine is spoken to in clear",
        };
        return Failure::Tls { server: name, why, remedy };
    }
    if error.is_response() {
        return Failure::Garbled { server: name, why };
    }
    if error.is_client() {
        return Failure::Less { server: name, why };
    }
    Failure::Unreachable { server: name, why }
}

/// What the server said behind its code.
fn answer(error: &smtp::Error) -> String {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    cut(&said)
}

/// An error and what lies beneath, once each.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    cut(&text)
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ANSWER_CHARS_MAX).collect::<String>().trim().to_owned()
}
