//! How evidence gets to its store.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Hours, Name};

/// How evidence gets to a store that is elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShipConfig {
    /// What an Azure store is: `azure`, `stack-hub` or `stack-edge`.
    pub service: Service,
    /// `x-ms-version` of Azure's requests, as `YYYY-MM-DD`; by default what the service knows.
    pub api_version: Option<String>,
    /// PEM file of the certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// File that holds a shared access signature of the Azure store. Read for every request, so that it can be renewed.
    pub sas_file: Option<PathBuf>,
    /// KiB a second that are sent at most, on average; by default as many as go.
    pub max_kib_s: Option<u32>,
    /// When evidence is sent: `"22:00-06:00"`, `"sat-sun 00:00-24:00"`; always by default.
    pub hours: Vec<Hours>,
    /// Azure Storage queue that gets a message for each piece of evidence and each verdict once it is stored.
    pub queue: Option<Name>,
    /// KiB up to which an object is sent in one request, 64 to 102400; a larger one goes by blocks.
    pub single_kib: u32,
    /// KiB of a block, 64 to 102400; at S3 at least 5120. An upload that was cut off goes on with the first block that is
    /// missing.
    pub block_kib: u32,
}

impl Default for ShipConfig {
    fn default() -> Self {
        Self {
            service: Service::default(),
            api_version: None,
            ca_file: None,
            sas_file: None,
            max_kib_s: None,
            hours: Vec::new(),
            queue: None,
            single_kib: 4096,
            block_kib: 1024,
        }
    }
}

/// What an Azure store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The public cloud, its sovereign ones, and emulators.
    #[default]
    Azure,
    /// Azure Stack Hub.
    StackHub,
    /// Azure Stack Edge.
    StackEdge,
}

impl ShipConfig {
    /// The `x-ms-version` to ask for; none leaves it to the client.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        // The newest that Azure Stack Hub 2301 and its successors know (azure-stack-docs, "Differences and considerations
        // for Azure Stack Hub storage").
        let known = match self.service {
            Service::Azure => None,
            Service::StackHub | Service::StackEdge => Some("2019-07-07"),
        };
        self.api_version.as_deref().or(known)
    }
}
