//! What can be wrong with the settings for a hub.

use std::path::PathBuf;

use super::super::error::MqttError;
use crate::secret::SecretError;

/// Why the connection to IoT Hub can't start. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum IotHubError {
    /// The connection string is none of a device.
    #[error("the connection string of IoT Hub is not usable: {0}")]
    ConnectionString(String),
    /// The hub's name is none.
    #[error("the hub is named by its host name, like `plant.azure-devices.net`")]
    Hub,
    /// The device's id is none.
    #[error(
        "a device id has up to 128 letters, digits and `- . _ : % ! * ' ( ) , = @ $ ?`; `/`, `+` and `#` can't be in a topic"
    )]
    Device,
    /// The scope or the registration id can't be sent.
    #[error("`{key}` is not usable: {reason}")]
    Provisioning {
        /// Which key.
        key: &'static str,
        /// What would be right.
        reason: &'static str,
    },
    /// A key is none.
    #[error("the {what} for IoT Hub is not usable: {reason}")]
    Key {
        /// What it is called.
        what: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// What says who we are is missing, or there is too much of it.
    #[error("{0}")]
    Identity(&'static str),
    /// A value is out of its range.
    #[error("`{key}` is {range}")]
    Range {
        /// Which key.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// URL, TLS or a file.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
    /// There is no secret where it should be.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// There is nowhere to keep the assignment.
    #[error("no folder for what provisioning says: set `assignment` under [iothub.dps], or $STATE_DIRECTORY")]
    NoPlace,
    /// The assignment can't be kept.
    #[error("can't write {}: {source}", path.display())]
    Assignment {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
