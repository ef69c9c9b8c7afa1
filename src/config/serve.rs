//! Scoring for others.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Name;

/// The scoring endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// Address and port to listen on. Beyond this machine only with a token.
    pub listen: SocketAddr,
    /// File that holds the token (`Authorization: Bearer`).
    pub token_file: Option<PathBuf>,
    /// systemd credential that holds the token, instead of a file.
    pub token_credential: Option<Name>,
    /// The models that are served; all of them where nothing is said.
    pub models: Option<Vec<Name>>,
    /// Pictures that may wait for a model, and most pictures of a request, 1 to 1024.
    pub queue: usize,
    /// Requests that are dealt with at one time, 1 to 256.
    pub concurrent: usize,
    /// MiB of a request's body, 1 to 1024.
    pub max_body_mib: u32,
    /// MiB that all requests together may take, with their pictures; at least `max_body_mib`.
    pub memory_mib: u32,
    /// Seconds within which a request comes and is answered, 0.1 to 600.
    pub timeout_s: f32,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            token_file: None,
            token_credential: None,
            models: None,
            queue: 32,
            concurrent: 32,
            max_body_mib: 16,
            memory_mib: 256,
            timeout_s: 10.0,
        }
    }
}

impl ServeConfig {
    /// Whether a model is served.
    #[must_use]
    pub fn serves(&self, model: &Name) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }
}
