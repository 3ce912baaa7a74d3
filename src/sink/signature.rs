//! Standard Webhooks 1.0.0 signatures, symmetric (`v1`).
//!
//! Signed is `id.timestamp.body` with HMAC-SHA256. With several secrets each signs, so
//! that a receiver can change its secret without missing an event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use secrecy::SecretSlice;
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;

/// What a secret begins with when it is written down.
const PREFIX: &str = "whsec_";
/// The sizes that Standard Webhooks allows, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs with every secret it holds.
#[derive(Clone)]
pub struct Signer {
    secrets: Vec<SecretSlice<u8>>,
}

impl Signer {
    /// A signer with these secrets, each as `whsec_` and base64.
    ///
    /// # Errors
    /// Says what is wrong with a secret, without showing it.
    pub fn new(secrets: &[SecretString]) -> Result<Self, String> {
        secrets
            .iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map(|secrets| Self { secrets })
    }

    /// The value of `webhook-signature` for this attempt.
    pub fn sign(&self, id: Uuid, timestamp: i64, body: &[u8]) -> String {
        let signatures: Vec<String> = self
            .secrets
            .iter()
            .map(|secret| {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret())
                    .expect("HMAC takes a key of any length");
                mac.update(format!("{id}.{timestamp}.").as_bytes());
                mac.update(body);
                format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
            })
            .collect();
        signatures.join(" ")
    }

    /// Whether `signatures`, the value of `webhook-signature`, proves the message. For
    /// receivers of our own, such as the demo's.
    pub fn verifies(&self, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
        let message = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let given = signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"));
        let given: Vec<Vec<u8>> = given.filter_map(|text| BASE64.decode(text).ok()).collect();
        self.secrets.iter().any(|secret| {
            given.iter().any(|signature| {
                Hmac::<Sha256>::new_from_slice(secret.expose_secret())
                    .expect("HMAC takes a key of any length")
                    .chain_update(&message)
                    .verify_slice(signature)
                    .is_ok()
            })
        })
    }
}

/// The timestamp of an attempt, as it is signed: seconds since 1970.
pub fn timestamp_of(now: Timestamp) -> i64 {
    now.as_second()
}

fn decode(secret: &SecretString) -> Result<SecretSlice<u8>, String> {
    let text = secret.expose_secret().trim_end_matches(['\r', '\n']);
    let encoded = text
        .strip_prefix(PREFIX)
        .ok_or_else(|| format!("must begin with `{PREFIX}`"))?;
    let bytes = BASE64
        .decode(encoded)
        .map_err(|_| format!("must be base64 after `{PREFIX}`"))?;
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(format!(
            "must have {} to {} bytes; this one has {} (`head -c 32 /dev/urandom | base64` makes one)",
            SECRET_BYTES.start(),
            SECRET_BYTES.end(),
            bytes.len()
        ));
    }
    Ok(SecretSlice::from(bytes))
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
    fn the_reference_implementation_accepts_every_secret_during_rotation() {
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

    #[test]
    fn a_bad_secret_is_refused_and_not_shown() {
        for (secret, said) in [
            ("hunter2hunter2", "must begin with"),
            ("whsec_not base64", "must be base64"),
            ("whsec_c2hvcnQ=", "24 to 64 bytes"),
        ] {
            let error = Signer::new(&[SecretString::from(secret)])
                .map(|_| ())
                .unwrap_err();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("hunter2"));
        }
    }
}
