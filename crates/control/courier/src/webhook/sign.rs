//! By what a receiver knows who calls.
//!
//! Two ways, both where the webhook has a secret. `cf-webhook-auth` is the secret itself, as the hosted service sends it. The other is
//! that of the [Standard Webhooks](https://www.standardwebhooks.com) specification: an HMAC-SHA256 over id, time and body, which shows
//! no secret to whoever reads it, and lets a receiver refuse what was changed or is old.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What a secret begins with whose rest is the key in base64.
const ENCODED: &str = "whsec_";

/// The key of a secret: what follows `whsec_` in base64, or the text's own bytes.
fn key(secret: &[u8]) -> hmac::Key {
    let encoded = secret.strip_prefix(ENCODED.as_bytes()).and_then(|rest| STANDARD.decode(rest).ok());
    hmac::Key::new(hmac::HMAC_SHA256, encoded.as_deref().unwrap_or(secret))
}

/// `webhook-signature` of a body that is sent under this id, at this time in seconds since the Unix epoch.
pub fn signature(secret: &[u8], id: &str, at_secs: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&key(secret));
    context.update(format!("{id}.{at_secs}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn another_secret_id_time_or_body_is_another_signature() {
        let one = signature(b"hush", "a", 1, b"x");
        for other in [
            signature(b"hush2", "a", 1, b"x"),
            signature(b"hush", "b", 1, b"x"),
            signature(b"hush", "a", 2, b"x"),
            signature(b"hush", "a", 1, b"y"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, signature(b"hush", "a", 1, b"x"));
        // No base64 behind the prefix: the text is the key.
        assert_ne!(signature(b"whsec_%", "a", 1, b"x"), signature(b"whsec_", "a", 1, b"x"));
    }
}
