//! Shared access signatures: what a device shows in place of a password.
//!
//! `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}`: the signature is HMAC-SHA256 of the encoded resource,
//! a line end and the expiry in seconds since 1970, with the decoded key ("Control access to IoT Hub with shared access
//! signatures", "Security token structure").

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};

use super::encode::encode;
use super::error::IotHubError;

/// The shortest key that is taken, in bytes. A hub makes keys of 32 or 64 bytes and takes ones of 16.
const MIN_KEY: usize = 16;
/// The longest.
const MAX_KEY: usize = 64;

/// A symmetric key.
#[derive(Clone)]
pub(super) struct SharedKey(Arc<hmac::Key>);

impl SharedKey {
    /// Reads a key in base64; `what` is what it is called where it comes from.
    pub(super) fn parse(text: &str, what: &'static str) -> Result<Self, IotHubError> {
        let key = BASE64.decode(text.trim()).map_err(|_| IotHubError::Key { what, reason: "it is not base64" })?;
        if !(MIN_KEY..=MAX_KEY).contains(&key.len()) {
            return Err(IotHubError::Key { what, reason: "it has not the length of a key, 16 to 64 bytes" });
        }
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &key))))
    }

    /// The key of one device of an enrolment group ("Symmetric key attestation", "Group enrollments").
    pub(super) fn of_group(&self, registration: &str) -> Self {
        let key = hmac::sign(&self.0, registration.as_bytes());
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }

    /// A token for a resource, which is valid until `expiry`. `policy` names the key where the hub has several.
    pub(super) fn token(&self, resource: &str, expiry: DateTime<Utc>, policy: Option<&str>) -> String {
        let (resource, expiry) = (encode(resource), expiry.timestamp());
        let signature = BASE64.encode(hmac::sign(&self.0, format!("{resource}\n{expiry}").as_bytes()));
        let policy = policy.map_or_else(String::new, |policy| format!("&skn={}", encode(policy)));
        format!("SharedAccessSignature sr={resource}&sig={}&se={expiry}{policy}", encode(&signature))
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SharedKey {
        SharedKey::parse(text, "key").expect("a key")
    }

    /// Made with Python's `hmac`, `hashlib`, `base64` and `urllib.parse.quote_plus`.
    #[test]
    fn a_token_is_as_others_make_it() {
        let key = key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
        let expiry = DateTime::from_timestamp(1_767_229_200, 0).expect("a time");
        let token = "SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fedge-01\
                     &sig=lVJDqWgs6T2kTi7JhI5aSStaMODK8vXWTTY2hAsWgSk%3D&se=1767229200";
        assert_eq!(key.token("hub.azure-devices.net/devices/edge-01", expiry, None), token);
        let named = key.token("hub.azure-devices.net/devices/edge-01", expiry, Some("registration"));
        assert_eq!(named, format!("{token}&skn=registration"));
    }

    /// The example of "Symmetric key attestation" in the documentation of Device Provisioning Service.
    #[test]
    fn a_group_s_key_gives_a_device_s_key() {
        let group = key("8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==");
        let device = group.of_group("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
        let known = key("Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
        let expiry = DateTime::UNIX_EPOCH;
        assert_eq!(device.token("r", expiry, None), known.token("r", expiry, None));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        for bad in ["", "hunter2!", "aHVudGVyMg==", &BASE64.encode([7; 65])] {
            let error = SharedKey::parse(bad, "shared key").expect_err(bad).to_string();
            assert!(error.contains("shared key") && !error.contains("hunter2") && !error.contains("aHVud"), "{error}");
        }
        let shown = format!("{:?}", key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
        assert_eq!(shown, "SharedKey(…)");
    }
}
