//! Why a command is not carried out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What sort of reason there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// There is no such camera, or the command takes one and none was named.
    UnknownCamera,
    /// There is no such command.
    UnknownSetting,
    /// The value is none that it can have.
    BadValue,
    /// It can't be done as things are; later it may.
    NotNow,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What sort of reason.
    pub kind: RefusalKind,
    /// The reason, in a sentence for people.
    pub reason: String,
}

impl Refusal {
    /// There is no such camera.
    #[must_use]
    pub fn unknown_camera(reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::UnknownCamera, reason: reason.into() }
    }

    /// There is no such command.
    #[must_use]
    pub fn unknown_setting(reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::UnknownSetting, reason: reason.into() }
    }

    /// The value is none that it can have.
    #[must_use]
    pub fn bad_value(reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::BadValue, reason: reason.into() }
    }

    /// It can't be done as things are.
    #[must_use]
    pub fn not_now(reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::NotNow, reason: reason.into() }
    }
}
