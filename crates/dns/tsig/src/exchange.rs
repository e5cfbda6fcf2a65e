//! What is signed, and in which order (RFC 8945 §4.3 and §5).
//!
//! An answer's code is made over the request's code, the answer, and what the record says. Of an answer in many messages the later ones
//! are signed over the code before, whatever lay unsigned between, and the record's times. Codes are compared in constant time, and whole.

use aws_lc_rs::{constant_time, hmac};

use crate::{
    FUDGE_SECS, Key,
    key::Algorithm,
    record::{Found, Malformed, Tsig, find},
};

/// RFC 8945 §3.
const BAD_SIG: u16 = 16;
const BAD_KEY: u16 = 17;
const BAD_TIME: u16 = 18;
const BAD_TRUNC: u16 = 22;

/// Most messages of an answer between two that are signed (RFC 8945 §5.3.1).
const UNSIGNED_MAX: u8 = 99;

/// Shortest code that is a code at all, but for half of the algorithm's (RFC 8945 §5.2.2.1).
const MAC_OCTETS_MIN: usize = 10;

/// The server's side: a request was signed by somebody known here, and what is answered is signed likewise.
#[derive(Debug, Clone)]
pub struct Answering {
    key: Key,
    /// The code of the request, then of each answer.
    last: Vec<u8>,
    is_begun: bool,
}

/// Why a request's signature is refused, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It does not parse, or its code has an impossible length: FORMERR.
    Malformed,
    /// NOTAUTH, with this record; signed where it may be (RFC 8945 §5.3.2).
    NotAuth(Box<Told>),
}

/// The record that goes with NOTAUTH.
#[derive(Debug, Clone)]
pub struct Told {
    tsig: Tsig,
    signed_by: Option<Key>,
    request_mac: Vec<u8>,
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.tsig == other.tsig
    }
}

impl Eq for Told {}

impl Answering {
    /// Whether a request was signed by a key that `keys` knows by its name and algorithm, at about `now` (seconds since the Unix epoch).
    /// Checks come in the order of RFC 8945 §5.2: key, code, time, length of the code.
    ///
    /// # Errors
    /// It was not.
    pub fn verify(
        message: &[u8],
        found: &Found,
        now: u64,
        keys: impl FnOnce(&[u8], Algorithm) -> Option<Key>,
    ) -> Result<Self, Refused> {
        let tsig = &found.tsig;
        let not_auth = |error, signed_by: Option<&Key>| {
            let other = if error == BAD_TIME { now.to_be_bytes()[2..].to_vec() } else { Vec::new() };
            let told = Tsig { mac: Vec::new(), error, other, fudge: FUDGE_SECS, ..tsig.clone() };
            let request_mac = tsig.mac.clone();
            Refused::NotAuth(Box::new(Told { tsig: told, signed_by: signed_by.cloned(), request_mac }))
        };
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.labels() == tsig.algorithm);
        let Some(key) = algorithm.and_then(|algorithm| keys(&tsig.name, algorithm)) else { return Err(not_auth(BAD_KEY, None)) };
        let whole = key.algorithm().octets();
        if tsig.mac.len() > whole || tsig.mac.len() < MAC_OCTETS_MIN.max(whole / 2) {
            return Err(Refused::Malformed);
        }
        let mut context = key.context();
        context.update(&found.unsigned(message));
        context.update(&tsig.variables());
        if !is_code(context, &tsig.mac) {
            return Err(not_auth(BAD_SIG, None));
        }
        if !is_near(tsig, now) {
            return Err(not_auth(BAD_TIME, Some(&key)));
        }
        if tsig.mac.len() < whole {
            return Err(not_auth(BAD_TRUNC, Some(&key)));
        }
        Ok(Self { key, last: tsig.mac.clone(), is_begun: false })
    }

    /// The key that signed the request.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Signs the next message of the answer.
    pub fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let mut tsig = of_key(&self.key, [message[0], message[1]], now);
        let mut context = self.key.context();
        prior(&mut context, &self.last);
        context.update(message);
        if self.is_begun {
            context.update(&tsig.timers());
        } else {
            context.update(&tsig.variables());
        }
        tsig.mac = context.sign().as_ref().to_vec();
        tsig.append(message);
        self.last = tsig.mac;
        self.is_begun = true;
    }
}

impl Told {
    /// Puts the record at the end of the message that says NOTAUTH.
    pub fn append(&self, message: &mut Vec<u8>) {
        let mut tsig = Tsig { original_id: [message[0], message[1]], ..self.tsig.clone() };
        if let Some(key) = &self.signed_by {
            let mut context = key.context();
            prior(&mut context, &self.request_mac);
            context.update(message);
            context.update(&tsig.variables());
            tsig.mac = context.sign().as_ref().to_vec();
        }
        tsig.append(message);
    }

    /// IANA's number of what was wrong.
    pub fn error(&self) -> u16 {
        self.tsig.error
    }
}

/// The client's side: a request was signed, and answers are expected to be.
#[derive(Debug)]
pub struct Asking {
    key: Key,
    context: hmac::Context,
    is_begun: bool,
    unsigned: u8,
}

/// Why an answer is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// It does not parse.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is not signed where it must be.
    #[error("the answer is not signed")]
    Unsigned,
    /// It is signed with another key.
    #[error("the answer is signed with another key")]
    OtherKey,
    /// Its code is not what the key makes.
    #[error("the answer's signature does not hold: the secrets differ, or it was changed on the way")]
    BadSignature,
    /// It was signed at another time.
    #[error("the answer was signed at another time: the clocks are more than {FUDGE_SECS} seconds apart")]
    BadTime,
    /// The server refuses our signature.
    #[error("the server refuses the signature: {}", told(*.0))]
    Told(u16),
}

fn told(error: u16) -> String {
    match error {
        BAD_SIG => "BADSIG, the secrets differ".to_owned(),
        BAD_KEY => "BADKEY, it does not know the key's name or algorithm".to_owned(),
        BAD_TIME => format!("BADTIME, the clocks are more than {FUDGE_SECS} seconds apart"),
        BAD_TRUNC => "BADTRUNC, it wants longer codes".to_owned(),
        other => format!("TSIG error {other}"),
    }
}

impl Asking {
    /// Signs a request.
    pub fn begin(key: Key, message: &mut Vec<u8>, now: u64) -> Self {
        let id = [message[0], message[1]];
        let mut tsig = of_key(&key, id, now);
        let mut context = key.context();
        context.update(message);
        context.update(&tsig.variables());
        tsig.mac = context.sign().as_ref().to_vec();
        tsig.append(message);
        let mut context = key.context();
        prior(&mut context, &tsig.mac);
        Self { key, context, is_begun: false, unsigned: 0 }
    }

    /// Whether the next message of the answer is what the server sent; returns it without the record.
    ///
    /// # Errors
    /// It is not, or nobody can say.
    pub fn verify(&mut self, message: &[u8], now: u64) -> Result<Vec<u8>, Untrue> {
        let Some(found) = find(message)? else {
            if !self.is_begun || self.unsigned == UNSIGNED_MAX {
                return Err(Untrue::Unsigned);
            }
            self.unsigned += 1;
            self.context.update(message);
            return Ok(message.to_vec());
        };
        let tsig = &found.tsig;
        if tsig.name != self.key.name() || tsig.algorithm != self.key.algorithm().labels() {
            return Err(if tsig.error != 0 && tsig.mac.is_empty() { Untrue::Told(tsig.error) } else { Untrue::OtherKey });
        }
        if tsig.mac.is_empty() && tsig.error != 0 {
            return Err(Untrue::Told(tsig.error));
        }
        let unsigned = found.unsigned(message);
        self.context.update(&unsigned);
        if self.is_begun {
            self.context.update(&tsig.timers());
        } else {
            self.context.update(&tsig.variables());
        }
        let mut next = self.key.context();
        prior(&mut next, &tsig.mac);
        let context = std::mem::replace(&mut self.context, next);
        // A code that was cut short proves less than was asked for.
        if tsig.mac.len() != self.key.algorithm().octets() || !is_code(context, &tsig.mac) {
            return Err(Untrue::BadSignature);
        }
        if tsig.error != 0 {
            return Err(Untrue::Told(tsig.error));
        }
        if !is_near(tsig, now) {
            return Err(Untrue::BadTime);
        }
        (self.is_begun, self.unsigned) = (true, 0);
        Ok(unsigned)
    }

    /// Whether the message that was verified last was signed, as the last of an answer must be.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(&self) -> Result<(), Untrue> {
        if self.is_begun && self.unsigned == 0 { Ok(()) } else { Err(Untrue::Unsigned) }
    }
}

fn of_key(key: &Key, original_id: [u8; 2], now: u64) -> Tsig {
    Tsig {
        name: key.name().to_vec(),
        algorithm: key.algorithm().labels(),
        time: now & 0xffff_ffff_ffff,
        fudge: FUDGE_SECS,
        mac: Vec::new(),
        original_id,
        error: 0,
        other: Vec::new(),
    }
}

/// The code before, with its length (RFC 8945 §4.3.1).
fn prior(context: &mut hmac::Context, mac: &[u8]) {
    context.update(&u16::try_from(mac.len()).unwrap_or(u16::MAX).to_be_bytes());
    context.update(mac);
}

/// Whether a code is what was made, or its beginning.
fn is_code(context: hmac::Context, mac: &[u8]) -> bool {
    let made = context.sign();
    let made = made.as_ref().get(..mac.len()).unwrap_or_default();
    !mac.is_empty() && constant_time::verify_slices_are_equal(made, mac).is_ok()
}

fn is_near(tsig: &Tsig, now: u64) -> bool {
    tsig.time.abs_diff(now) <= u64::from(tsig.fudge)
}

#[cfg(test)]
mod tests;
