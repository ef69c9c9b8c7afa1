//! Why the daemon does not start.

use crate::config::ConfigError;
use crate::model::engine::EngineError;
use crate::publish::{IotHubError, MqttError};

/// Why the daemon does not start. Once it runs, it goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// A model can't be opened.
    #[error(transparent)]
    Model(#[from] EngineError),
    /// The configuration names what a model doesn't have.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A camera's source makes no sense.
    #[error("camera {camera}: {reason}")]
    Camera {
        /// The camera's name.
        camera: String,
        /// What is wrong.
        reason: String,
    },
    /// The page can't be served.
    #[error(transparent)]
    Web(#[from] crate::web::WebError),
    /// Traces can't be sent.
    #[error("traces can't be sent: {0}")]
    Traces(#[from] reqwest::Error),
    /// The broker's settings make no sense.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
    /// The hub's settings make no sense.
    #[error(transparent)]
    IotHub(#[from] IotHubError),
    /// There is no outbox.
    #[error(transparent)]
    Outbox(#[from] crate::outbox::OutboxError),
    /// Scoring can't be served.
    #[error(transparent)]
    Serve(#[from] crate::serve::ServeError),
    /// A folder of the policy's can't be used.
    #[error(transparent)]
    Privacy(#[from] crate::privacy::FolderError),
    /// The store's settings make no sense.
    #[error(transparent)]
    Store(#[from] crate::ship::ShipError),
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
}
