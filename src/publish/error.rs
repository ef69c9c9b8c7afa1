//! What can be wrong with the settings for MQTT.

use std::io;
use std::path::PathBuf;

use super::topics::TopicError;
use crate::secret::SecretError;

/// Why MQTT can't start.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// The URL is no broker's address. The text never repeats it.
    #[error("the MQTT `url` is not usable: {0}")]
    Url(String),
    /// The parts of a topic are not usable.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The client id can't be sent.
    #[error("`client_id` is not usable: take at most {max} bytes, without control characters")]
    ClientId {
        /// The longest that is accepted, in bytes.
        max: usize,
    },
    /// One of certificate and key is missing.
    #[error("`cert_file` and `key_file` go together: give both or none")]
    HalfIdentity,
    /// There is no usable password.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no usable {what} in PEM format", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// TLS can't be set up.
    #[error("TLS for MQTT can't be set up: {0}")]
    Tls(String),
}
