//! Azure IoT Hub.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Name, place};
use crate::secret::SecretPlace;

/// What a hub may be sent besides events, which it gets in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HubMessage {
    /// Running counts of zones and lines.
    Counts,
    /// Statistics of the node.
    Stats,
    /// Every scored frame's detections.
    Detections,
}

/// A device of Azure IoT Hub: what this node is to it. It is named by a connection string, by `hub` and `device`, or by
/// `dps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IotHubConfig {
    /// File that holds the device's connection string, `HostName=…;DeviceId=…;SharedAccessKey=…`.
    pub connection_string_file: Option<PathBuf>,
    /// Environment variable that holds it, instead of a file.
    pub connection_string_env: Option<String>,
    /// systemd credential (`LoadCredential=` in the unit) that holds it, instead of a file.
    pub connection_string_credential: Option<Name>,
    /// The hub's host name, where there is no connection string.
    pub hub: Option<String>,
    /// The device's id, with `hub`.
    pub device: Option<String>,
    /// File that holds the device's key in base64, with `hub` or `dps` (individual enrolment).
    pub shared_key_file: Option<PathBuf>,
    /// Environment variable that holds it, instead of a file.
    pub shared_key_env: Option<String>,
    /// systemd credential that holds it, instead of a file.
    pub shared_key_credential: Option<Name>,
    /// PEM file of the device's certificate chain, instead of a shared key.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    pub key_file: Option<PathBuf>,
    /// PEM file of the certificate authority to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `mqtts://host:port` to connect to, instead of the hub itself: a gateway, or a hub for tests.
    pub url: Option<String>,
    /// Seconds that a token is valid, 5 to 86 400; a new one is shown when four fifths of that are over.
    pub token_s: u32,
    /// What is sent besides events: `counts`, `stats`, `detections`.
    pub send: Vec<HubMessage>,
    /// Seconds between two messages with counts or statistics, 1 to 86 400. Of each the latest is sent.
    pub every_s: u32,
    /// Device Provisioning Service: which hub and device this node is, is asked for.
    pub dps: Option<DpsConfig>,
}

impl Default for IotHubConfig {
    fn default() -> Self {
        Self {
            connection_string_file: None,
            connection_string_env: None,
            connection_string_credential: None,
            hub: None,
            device: None,
            shared_key_file: None,
            shared_key_env: None,
            shared_key_credential: None,
            cert_file: None,
            key_file: None,
            ca_file: None,
            url: None,
            token_s: 3600,
            send: Vec::new(),
            every_s: 60,
            dps: None,
        }
    }
}

impl IotHubConfig {
    /// Where the connection string is.
    #[must_use]
    pub fn connection_string(&self) -> SecretPlace {
        place(&self.connection_string_file, &self.connection_string_env, &self.connection_string_credential)
    }

    /// Where the device's key is.
    #[must_use]
    pub fn shared_key(&self) -> SecretPlace {
        place(&self.shared_key_file, &self.shared_key_env, &self.shared_key_credential)
    }

    /// Whether a hub gets this.
    #[must_use]
    pub fn sends(&self, what: HubMessage) -> bool {
        self.send.contains(&what)
    }
}

/// Device Provisioning Service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DpsConfig {
    /// The service's id scope, `0ne…`.
    pub id_scope: String,
    /// This node's registration id.
    pub registration_id: String,
    /// File that holds the key of an enrolment group in base64, instead of `shared_key_file` above.
    pub group_key_file: Option<PathBuf>,
    /// Environment variable that holds it, instead of a file.
    pub group_key_env: Option<String>,
    /// systemd credential that holds it, instead of a file.
    pub group_key_credential: Option<Name>,
    /// `mqtts://host:port` of the service.
    #[serde(default = "global_service")]
    pub url: String,
    /// File in which the assigned hub is kept. By default `iothub.json` in `$STATE_DIRECTORY`, else in `ocellus` in
    /// `$XDG_STATE_HOME` or `~/.local/state`.
    pub assignment: Option<PathBuf>,
}

impl DpsConfig {
    /// Where the group's key is.
    #[must_use]
    pub fn group_key(&self) -> SecretPlace {
        place(&self.group_key_file, &self.group_key_env, &self.group_key_credential)
    }
}

fn global_service() -> String {
    "mqtts://global.azure-devices-provisioning.net:8883".to_owned()
}
