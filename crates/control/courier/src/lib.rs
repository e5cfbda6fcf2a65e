//! Takes notices where they go: by mail, and to webhooks.
//!
//! ```text
//! outbox ── take ──→ text (French, English) ──→ mail     SMTP, lettre ──────────────→ mail server
//!                                          └──→ webhook  HTTP, signed, by the guard ─→ a stranger's program
//!        ←─ settle ── taken, not now, never
//! ```
//!
//! * [`text`]: what a notice says, in both languages; pure;
//! * [`mail`]: the mail server, messages, and what went wrong in plain words;
//! * [`webhook`]: bodies, signatures and calls;
//! * [`run`]: the tasks. Mails and calls have one each, so that no slow receiver of one keeps the other.
//!
//! What is not here: who is told of what (`control/app`), and where what waits is kept (`control/store`).
#![forbid(unsafe_code)]

pub mod mail;
pub mod run;
pub mod text;
pub mod webhook;

pub use mail::{MailSettings, Mailer};
pub use run::Courier;
pub use text::Languages;
