//! The broker.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Name, place};
use crate::secret::SecretPlace;

/// An MQTT broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttConfig {
    /// Whether there is a broker. Without one, events go to a hub alone, or nowhere.
    pub enabled: bool,
    /// `mqtt://host:port` (1883) or `mqtts://host:port` (8883).
    pub url: String,
    /// Whether the broker is elsewhere: nothing is published then unless `[[privacy.mqtt]]` lets it go.
    pub off_site: bool,
    /// 3 for MQTT 3.1.1, or 5.
    pub version: u8,
    /// With version 5: seconds after which the broker drops an event or a frame's detections that a subscriber has not
    /// fetched. None drops nothing.
    pub expiry_s: Option<u32>,
    /// First part of every topic. May have several levels, with `/` between them.
    pub prefix: String,
    /// The client id; `ocellus-{site}-{node}` by default. Two clients must never share one.
    pub client_id: Option<String>,
    /// User name, where the broker wants one.
    pub username: Option<String>,
    /// File that holds the password, which is never written into the TOML itself.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the password, instead of a file.
    pub password_env: Option<String>,
    /// systemd credential (`LoadCredential=` in the unit) that holds the password, instead of a file.
    pub password_credential: Option<Name>,
    /// PEM file of the certificate authority to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate chain, for mutual TLS.
    pub cert_file: Option<PathBuf>,
    /// PEM file of our private key, for mutual TLS.
    pub key_file: Option<PathBuf>,
    /// Whether Home Assistant is told what there is, by its MQTT discovery.
    pub home_assistant: bool,
    /// QoS of detections: 0 or 1.
    pub detections_qos: u8,
    /// Detections that may wait while the broker is slow or away, 1 to 65 536; the oldest are dropped first.
    pub queue: usize,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            url: "mqtt://127.0.0.1:1883".to_owned(),
            off_site: false,
            version: 3,
            expiry_s: None,
            prefix: "ocellus".to_owned(),
            client_id: None,
            username: None,
            password_file: None,
            password_env: None,
            password_credential: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            home_assistant: false,
            detections_qos: 0,
            queue: 256,
        }
    }
}

impl MqttConfig {
    /// Where the broker's password is.
    #[must_use]
    pub fn password(&self) -> SecretPlace {
        place(&self.password_file, &self.password_env, &self.password_credential)
    }
}
