//! Ray ids: what ties an answer to its log lines.

use std::cell::Cell;

use bytes::Bytes;
use http::HeaderValue;

/// `<16 hexadecimal digits>-<site code>`; the same value goes to the origin, to the visitor and to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RayId(HeaderValue);

thread_local! {
    /// 0 until the thread's first ray.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

impl RayId {
    /// A new one. Unique, not secret: it proves nothing and opens nothing.
    pub fn new(site: &Site) -> Self {
        let mut text = [0; 16 + 1 + SITE_BYTES_MAX];
        let number = next();
        for (position, digit) in text[..16].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[usize::try_from(number >> (60 - 4 * position) & 15).unwrap_or(0)];
        }
        text[16] = b'-';
        text[17..17 + site.length].copy_from_slice(&site.text[..site.length]);
        // Shared from the start: the value is cloned for each head it stands in.
        let text = Bytes::from_owner(text).slice(..17 + site.length);
        let mut value = HeaderValue::from_maybe_shared(text).expect("digits and letters");
        // No secret, but never the same twice: an HPACK encoder that kept each would push out of its table what comes again, and look
        // through all that it has kept at the next (RFC 7541 §6.2.3).
        value.set_sensitive(true);
        Self(value)
    }

    /// As a field value.
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl std::fmt::Display for RayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

const SITE_BYTES_MAX: usize = 8;

/// A site code: up to 8 letters and digits, upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    text: [u8; SITE_BYTES_MAX],
    length: usize,
}

impl Site {
    /// Keeps the letters and digits of a code, the first 8 of them; `LOC` when none is left.
    pub fn new(code: &str) -> Self {
        let mut site = Self { text: [0; SITE_BYTES_MAX], length: 0 };
        for byte in code.bytes().filter(u8::is_ascii_alphanumeric).take(SITE_BYTES_MAX) {
            site.text[site.length] = byte.to_ascii_uppercase();
            site.length += 1;
        }
        if site.length == 0 { Self::new("LOC") } else { site }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }
}

/// splitmix64 from a random start per thread: a few instructions, no lock, and no two threads share a sequence.
fn next() -> u64 {
    STATE.with(|state| {
        let mut now = state.get();
        if now == 0 {
            let mut seed = [0; 8];
            // Without entropy the address of a thread-local still differs between threads.
            now = match getrandom::fill(&mut seed) {
                Ok(()) => u64::from_ne_bytes(seed) | 1,
                Err(_) => std::ptr::from_ref(state).addr() as u64 | 1,
            };
        }
        now = now.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(now);
        let mut mixed = now;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ray_has_its_shape_and_no_twin() {
        let site = Site::new("par-1");
        let rays: std::collections::HashSet<String> = (0..1000).map(|_| RayId::new(&site).to_string()).collect();
        assert_eq!(rays.len(), 1000);
        assert!(rays.iter().all(|ray| {
            let (digits, site) = ray.split_once('-').unwrap();
            digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()) && site == "PAR1"
        }));
        assert_eq!(Site::new("?!").as_str(), "LOC");
        assert!(RayId::new(&site).value().is_sensitive(), "an HPACK encoder would keep it");
    }
}
