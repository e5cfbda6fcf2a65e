//! The stages of a visitor's request put in order.
#![forbid(unsafe_code)]
