//! Certificates of public authorities (RFC 8555), as far as they can be decided without asking anybody.
//!
//! ```text
//! names   what a zone's names need ──→ packs: sets of names, each with one certificate after the other
//! course  a pack's life: when to order, by which authority, when to renew, when to try again
//! order   one order: what is asked of the authority, and what of our own nodes, in which order
//! ```
//!
//! * [`names`]: which names of a zone need which certificate;
//! * [`course`]: the life of a pack; [`window`]: when the authority would have it renewed (RFC 9773);
//! * [`order`]: one order as a machine of events and actions;
//! * [`authority`]: which authorities there are, and which of them is asked; [`trouble`]: what went wrong, and whose it is;
//! * [`caa`]: who may issue (RFC 8659); [`leaf`]: what a certificate says of itself, and [`bundle`]: what
//!   certificates of authorities do, that somebody brings.
//!
//! Time and chance are handed in, seconds since the Unix epoch and random bits. Whoever drives this is `control/notary`; what is kept, and
//! who may change it, is `control/app`'s.
#![forbid(unsafe_code)]

pub mod authority;
pub mod bundle;
pub mod caa;
pub mod course;
pub mod leaf;
pub mod names;
pub mod order;
pub mod trouble;
pub mod window;

pub use authority::{Authorities, Authority, Remembered};
pub use course::{Course, Held, Step};
pub use names::{Change, Kind, Standing};
pub use order::{Action, Asked, Event, Method, Order, Proof, Status};
pub use trouble::{Culprit, Trouble};
pub use window::Window;
