//! The server: what the `poterne` program is made of.
//!
//! * [`cli`], [`config`]: what one is told; [`state`], [`trust`]: what one keeps;
//! * [`node`]: everything put together, on ports that [`bind`] takes; [`serve`] and [`demo`]: the two ways to run it;
//! * [`admin`], [`administration`], [`verbs`], [`mod@print`]: the administrator's door, from both sides;
//! * [`sample_site`]: what the demo publishes.
#![forbid(unsafe_code)]

pub mod access_log;
mod addresses;
pub mod admin;
pub mod administration;
mod backup;
pub mod bind;
pub mod cli;
pub mod config;
pub mod demo;
pub mod handover;
pub mod health;
mod inherited;
pub mod init;
pub mod language;
pub mod node;
pub mod notify;
pub mod password;
pub mod ports;
pub mod print;
pub mod process;
pub mod ready;
pub mod sample_site;
pub mod serve;
pub mod state;
pub mod tail;
pub mod trust;
pub mod verbs;
