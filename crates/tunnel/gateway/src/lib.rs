//! The edge end of the tunnel: accepts agents, offers them as an upstream.
#![forbid(unsafe_code)]
