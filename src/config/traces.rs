//! Traces of frames.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where traces of frames go: to an OpenTelemetry collector, by OTLP over HTTP, in protobuf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    /// Where the collector takes traces, `http://host:4318/v1/traces`.
    pub url: String,
    /// The share of frames that are traced, above 0 and at most 1.
    pub ratio: f64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:4318/v1/traces".to_owned(), ratio: 0.01 }
    }
}
