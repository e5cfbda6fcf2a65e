//! An authenticator in software, of the test's own making: it makes P-256 passkeys, signs with them, and can be told to misbehave.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use poterne_keys::{random_bytes, sha256};
use serde_json::{Value, json};

const USER_PRESENT: u8 = 0x01;
pub(super) const USER_VERIFIED: u8 = 0x04;
const KEY_INSIDE: u8 = 0x40;

pub(super) struct Authenticator {
    key: EcdsaKeyPair,
    id: [u8; 16],
    user: Vec<u8>,
    pub(super) counter: u32,
    /// What it says it has seen of its user.
    pub(super) flags: u8,
    /// Where its browser is.
    pub(super) origin: String,
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

impl Authenticator {
    pub(super) fn new(origin: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let flags = USER_PRESENT | USER_VERIFIED;
        Self { key, id: random_bytes(), user: Vec::new(), counter: 0, flags, origin: origin.into() }
    }

    /// As `navigator.credentials.create` answers, in JSON.
    pub(super) fn create(&mut self, options: &Value) -> Value {
        self.user = bytes(&options["user"]["id"]);
        let name = options["rp"]["id"].as_str().unwrap();
        let mut data = self.data(name, KEY_INSIDE);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&16u16.to_be_bytes());
        data.extend_from_slice(&self.id);
        // COSE: an EC2 key for ES256 on P-256 (RFC 9053 §2.1, §7.1.1).
        data.extend_from_slice(&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32]);
        let point = self.key.public_key().as_ref();
        data.extend_from_slice(&point[1..33]);
        data.extend_from_slice(&[0x22, 0x58, 32]);
        data.extend_from_slice(&point[33..65]);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend_from_slice(&data);
        let client = self.client("webauthn.create", options);
        json!({
            "id": base64url(self.id), "rawId": base64url(self.id), "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": { "credProps": { "rk": true } },
            "response": {
                "clientDataJSON": base64url(client), "attestationObject": base64url(object), "transports": ["internal", "new"],
            },
        })
    }

    /// As `navigator.credentials.get` answers, in JSON.
    pub(super) fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let data = self.data(options["rpId"].as_str().unwrap(), 0);
        let client = self.client("webauthn.get", options);
        let signed = [data.as_slice(), &sha256(client.as_bytes())].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": base64url(self.id), "rawId": base64url(self.id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(client), "authenticatorData": base64url(data),
                "signature": base64url(signature), "userHandle": base64url(&self.user),
            },
        })
    }

    /// WebAuthn §6.1.
    fn data(&self, name: &str, more: u8) -> Vec<u8> {
        let mut data = sha256(name.as_bytes()).to_vec();
        data.push(self.flags | more);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    /// WebAuthn §5.8.1.
    fn client(&self, kind: &str, options: &Value) -> String {
        json!({ "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false }).to_string()
    }
}
