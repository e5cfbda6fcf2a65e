//! v4 wire types and a thin client, for control/api and poterne-agent.
#![forbid(unsafe_code)]
