//! The far end of the tunnel: dials out, maps ingress rules to local services.
#![forbid(unsafe_code)]
