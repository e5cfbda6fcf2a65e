//! Secrets at rest and in transit: envelope encryption, digests, tokens, local certificate authorities.
#![forbid(unsafe_code)]
