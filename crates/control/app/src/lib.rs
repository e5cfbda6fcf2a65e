//! The verbs: everything that changes anything, and who may.
#![forbid(unsafe_code)]
