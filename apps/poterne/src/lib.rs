//! The server: what the `poterne` program is made of.
#![forbid(unsafe_code)]

pub mod admin;
pub mod bind;
pub mod cli;
pub mod config;
pub mod demo;
pub mod health;
pub mod language;
pub mod ports;
pub mod print;
pub mod process;
pub mod ready;
pub mod sample_site;
pub mod state;
pub mod trust;
