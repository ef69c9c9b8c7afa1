//! How a setting is, as a message: `ocellus.setting/1`.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::{Refusal, RefusalKind};
use crate::status::{milliseconds, optional_milliseconds};

/// The `schema` field of [`SettingState`].
pub const SCHEMA: &str = "ocellus.setting/1";

/// The answer to a command: the message on `{prefix}/{site}/{node}/{camera}/{setting}/state`, and on
/// `{prefix}/{site}/{node}/{setting}/state` for commands to the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingState {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The site, as configured.
    pub site: String,
    /// The node, as configured.
    pub node: String,
    /// The camera; absent for commands to the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// The name of the setting, or of another command.
    pub setting: String,
    /// The value in force; `null` where there is no limit. For `snapshot`, `reset`, `reload` and `diagnose` what came of
    /// it the last time.
    pub value: Value,
    /// What the configuration says, or the model where that says nothing; absent where it is no setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<Value>,
    /// Whether the value was commanded, and is in force until it is taken back or its key is edited in the configuration.
    pub commanded: bool,
    /// Since when that is so, or when it was done.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "optional_milliseconds")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<DateTime<Utc>>,
    /// Why the last command was refused; absent where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// A command that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// What sort of reason.
    pub kind: RefusalKind,
    /// The reason, in a sentence for people.
    pub reason: String,
    /// When.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: DateTime<Utc>,
}

impl Refused {
    /// A refusal at this time.
    #[must_use]
    pub fn new(refusal: Refusal, at: DateTime<Utc>) -> Self {
        Self { kind: refusal.kind, reason: refusal.reason, at }
    }
}
