//! The server: what the `poterne` program is made of.
#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod ports;
pub mod sample_site;
pub mod state;
