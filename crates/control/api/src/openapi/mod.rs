//! The description of the API: OpenAPI 3.1, made of the routes that answer.
//!
//! * [`operation`]: what a handler's signature tells of it;
//! * [`components`]: the shapes that answers name;
//! * [`document`]: all of it together;
//! * [`page`]: the same for people, without a script; [`shape`] tells a schema there, [`words`] is what the page says of its own.
//!
//! Made when it is first asked for, and kept: most nodes are never asked.

pub(crate) mod components;
pub(crate) mod document;
pub(crate) mod operation;
pub(crate) mod page;
mod shape;
