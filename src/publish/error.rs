//! What can be wrong with the settings for MQTT.

use std::io;
use std::path::PathBuf;

use super::topics::TopicError;

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
    /// MQTT 3.1.1 has no password without a user name.
    #[error("a password needs a `username` beside it")]
    PasswordAlone,
    /// There are several places to take the password from.
    #[error("the password comes from one place: give one of `password_file`, `password_env`, `password_credential`")]
    ManyPasswords,
    /// The variable that should hold the password is not set.
    #[error("the environment variable {variable}, which `password_env` names, is not set to a text")]
    Variable {
        /// Which.
        variable: String,
    },
    /// systemd gave no credentials.
    #[error(
        "systemd passed no credentials, so `password_credential` has nothing to name: \
         add `LoadCredential={name}:/path` to the unit"
    )]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
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
