//! Standard Webhooks 1.0.0 signatures: symmetric (`v1`) and asymmetric (`v1a`).
//!
//! A key signs `id.timestamp.body`: `whsec_…` with HMAC-SHA256, `whsk_…` with Ed25519. If
//! several keys are configured, each signs, so that a receiver can change its key, or the
//! kind of key, without missing an event.

use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::outbound::secret::Secret;
use crate::tree::reader::Reader;

/// The prefix of a symmetric secret in its text form.
const SYMMETRIC: &str = "whsec_";
/// The prefix of an asymmetric private key in its text form.
const ASYMMETRIC: &str = "whsk_";
/// The sizes that Standard Webhooks allows for symmetric secrets, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The size of the private half of an Ed25519 key (its seed, RFC 8032), in bytes.
const SEED_BYTES: usize = 32;
/// The size of both halves together, as the Svix server writes a `whsk_…`, in bytes.
const PAIR_BYTES: usize = 64;

/// Signs messages with each of its keys.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<Key>,
}

#[derive(Clone)]
enum Key {
    Symmetric(SecretSlice<u8>),
    Asymmetric(Arc<Ed25519KeyPair>),
}

impl Signer {
    /// Makes a signer with these keys, each as `whsec_` or `whsk_` and base64.
    ///
    /// # Errors
    /// Says what is wrong with a key, without showing it.
    pub fn new(secrets: &[SecretString]) -> Result<Self, String> {
        let keys = secrets.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Returns the value of `webhook-signature` for an attempt.
    pub fn sign(&self, id: Uuid, timestamp: i64, body: &[u8]) -> String {
        self.sign_message(&message(&id.to_string(), &timestamp.to_string(), body))
    }

    fn sign_message(&self, message: &[u8]) -> String {
        let signatures: Vec<String> = self.keys.iter().map(|key| key.sign(message)).collect();
        signatures.join(" ")
    }

    /// True if `signatures`, the value of `webhook-signature`, has a valid signature of the
    /// message. For receivers of our own, such as that of the demo.
    pub fn verifies(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let message = message(id, timestamp, body);
        self.keys.iter().any(|key| {
            signatures
                .split(' ')
                .any(|signature| key.verifies(&message, signature))
        })
    }
}

impl Key {
    fn sign(&self, message: &[u8]) -> String {
        match self {
            Self::Symmetric(secret) => {
                let mac = hmac(secret).chain_update(message);
                format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
            }
            Self::Asymmetric(pair) => format!("v1a,{}", BASE64.encode(pair.sign(message))),
        }
    }

    fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Some((version, encoded)) = signature.split_once(',') else {
            return false;
        };
        let Ok(given) = BASE64.decode(encoded) else {
            return false;
        };
        match self {
            Self::Symmetric(secret) => {
                let mac = hmac(secret).chain_update(message);
                version == "v1" && mac.verify_slice(&given).is_ok()
            }
            Self::Asymmetric(pair) => {
                let public = UnparsedPublicKey::new(&ED25519, pair.public_key());
                version == "v1a" && public.verify(message, &given).is_ok()
            }
        }
    }
}

fn hmac(secret: &SecretSlice<u8>) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.expose_secret()).expect("HMAC takes a key of any length")
}

fn message(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

/// Returns the signed timestamp of an attempt, in seconds since 1970.
pub fn timestamp_of(now: Timestamp) -> i64 {
    now.as_second()
}

fn decode(secret: &SecretString) -> Result<Key, String> {
    let text = secret.expose_secret().trim_end_matches(['\r', '\n']);
    let from_base64 = |encoded: &str, prefix: &str| {
        let bytes = BASE64.decode(encoded);
        bytes.map_err(|_| format!("must be base64 after `{prefix}`"))
    };
    if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
        return symmetric(from_base64(encoded, SYMMETRIC)?);
    }
    if let Some(encoded) = text.strip_prefix(ASYMMETRIC) {
        return asymmetric(&SecretSlice::from(from_base64(encoded, ASYMMETRIC)?));
    }
    Err(format!(
        "must begin with `{SYMMETRIC}` (a shared secret) or `{ASYMMETRIC}` (an Ed25519 private key)"
    ))
}

fn symmetric(bytes: Vec<u8>) -> Result<Key, String> {
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(format!(
            "must have {} to {} bytes; this one has {} (`head -c 32 /dev/urandom | base64` makes one)",
            SECRET_BYTES.start(),
            SECRET_BYTES.end(),
            bytes.len()
        ));
    }
    Ok(Key::Symmetric(SecretSlice::from(bytes)))
}

/// Reads a key from its private half, or from both halves, which must belong together.
fn asymmetric(bytes: &SecretSlice<u8>) -> Result<Key, String> {
    let bytes = bytes.expose_secret();
    let pair = match bytes.len() {
        SEED_BYTES => Ed25519KeyPair::from_seed_unchecked(bytes),
        PAIR_BYTES => {
            let (seed, public) = bytes.split_at(SEED_BYTES);
            Ed25519KeyPair::from_seed_and_public_key(seed, public)
        }
        other => {
            return Err(format!(
                "must have {SEED_BYTES} bytes after `{ASYMMETRIC}`, or {PAIR_BYTES} with the public half; this one has {other}"
            ));
        }
    };
    pair.map(|pair| Key::Asymmetric(Arc::new(pair)))
        .map_err(|_| "is not an Ed25519 key: its halves do not belong together".to_owned())
}

/// Reads the signing keys in the order of `names`. Each is checked alone, so that a message
/// can name its file.
pub(crate) fn keys<const N: usize>(section: &Reader<'_>, names: [&str; N]) -> Vec<Secret> {
    let mut keys = Vec::new();
    for name in names {
        let Some(secret) = section.secret_source(name) else {
            continue;
        };
        let read = secret.read().map_err(|error| error.to_string());
        if !secret.is_elsewhere()
            && let Err(message) = read.and_then(|text| Signer::new(&[text]).map(drop))
        {
            section.report(&format!("{name}_file"), message);
        }
        keys.push(secret);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use standardwebhooks::Webhook;

    const ONE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn signer(secrets: &[&str]) -> Signer {
        let secrets: Vec<_> = secrets.iter().map(|&s| SecretString::from(s)).collect();
        Signer::new(&secrets).unwrap()
    }

    #[test]
    fn the_reference_library_accepts_each_rotated_secret() {
        let id = Uuid::from_u128(7);
        #[expect(
            clippy::disallowed_methods,
            reason = "the oracle compares with the machine's clock"
        )]
        let now = Timestamp::now().as_second();
        let body = br#"{"specversion":"1.0"}"#;
        let signature = signer(&[ONE, OTHER]).sign(id, now, body);
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", id.to_string().parse().unwrap());
        headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        for secret in [ONE, OTHER] {
            Webhook::new(secret)
                .unwrap()
                .verify(body, &headers)
                .unwrap();
            assert!(signer(&[secret]).verifies(
                &id.to_string(),
                &now.to_string(),
                body,
                &signature
            ));
        }
        assert!(
            Webhook::new(OTHER)
                .unwrap()
                .verify(b"{}", &headers)
                .is_err()
        );
        assert!(!signer(&[ONE]).verifies(&id.to_string(), &now.to_string(), b"{}", &signature));
    }

    /// A private key, what it signs, and its signature, of the Svix server's test
    /// `test_asymmetric_key_signing` (server/svix-server/src/worker.rs). The specification's
    /// own example of a `v1a` signature is the same one.
    const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const SEED: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
    const SVIX_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SVIX_TIMESTAMP: &str = "1614265330";
    const SVIX_BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SVIX_SIGNATURE: &str = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

    #[test]
    fn an_asymmetric_key_signs_as_the_svix_server_does() {
        let message = message(SVIX_ID, SVIX_TIMESTAMP, SVIX_BODY);
        for key in [PAIR, SEED] {
            let signer = signer(&[key]);
            assert_eq!(signer.sign_message(&message), SVIX_SIGNATURE);
            assert!(signer.verifies(SVIX_ID, SVIX_TIMESTAMP, SVIX_BODY, SVIX_SIGNATURE));
            assert!(!signer.verifies(SVIX_ID, "1614265331", SVIX_BODY, SVIX_SIGNATURE));
        }
    }

    #[test]
    fn keys_of_both_kinds_sign_side_by_side() {
        let signature = signer(&[PAIR, ONE]).sign(Uuid::from_u128(7), 1, b"{}");
        let kinds: Vec<&str> = signature.split(' ').map(|one| &one[..3]).collect();
        assert_eq!(kinds, ["v1a", "v1,"]);
        let id = Uuid::from_u128(7).to_string();
        for key in [PAIR, ONE] {
            assert!(signer(&[key]).verifies(&id, "1", b"{}", &signature));
        }
        assert!(!signer(&[OTHER]).verifies(&id, "1", b"{}", &signature));
    }

    #[test]
    fn a_bad_secret_is_refused_and_not_shown() {
        for (secret, said) in [
            ("hunter2hunter2", "must begin with"),
            ("whsec_not base64", "must be base64"),
            ("whsec_c2hvcnQ=", "24 to 64 bytes"),
            ("whsk_c2hvcnQ=", "must have 32 bytes"),
            (
                "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlaaaaaaaaaaAJ6p9lMicMFs6Kvg==",
                "do not belong together",
            ),
        ] {
            let error = Signer::new(&[SecretString::from(secret)])
                .map(|_| ())
                .unwrap_err();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }
}
