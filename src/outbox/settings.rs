//! From the configuration to what the outbox needs.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Limits, Load, Outbox, OutboxError, usual_folder};
use crate::clock::Clock;
use crate::config::{Config, OutboxConfig};

impl Config {
    /// The audit log's folder.
    ///
    /// # Errors
    /// When neither the configuration nor the environment names one.
    pub fn audit_folder(&self) -> Result<PathBuf, OutboxError> {
        match &self.privacy.audit {
            Some(path) => Ok(path.clone()),
            None => Ok(self.outbox.folder()?.with_file_name("audit")),
        }
    }

    /// The folder of frames that stay here.
    ///
    /// # Errors
    /// When neither the configuration nor the environment names one.
    pub fn withheld_folder(&self) -> Result<PathBuf, OutboxError> {
        match &self.privacy.withheld {
            Some(path) => Ok(path.clone()),
            None => Ok(self.outbox.folder()?.with_file_name("withheld")),
        }
    }
}

impl OutboxConfig {
    /// The outbox's folder.
    ///
    /// # Errors
    /// When neither the configuration nor the environment names one.
    pub fn folder(&self) -> Result<PathBuf, OutboxError> {
        self.path.clone().or_else(usual_folder).ok_or(OutboxError::NoPlace)
    }

    fn limits(&self) -> Limits {
        let mib = |mib: u64| mib.saturating_mul(1 << 20);
        Limits {
            total: Load { items: self.max_items, bytes: mib(self.max_mib) },
            evidence: Load { items: self.evidence_items, bytes: mib(self.evidence_mib) },
            reserve: mib(self.reserve_mib),
        }
    }
}

impl Outbox {
    /// Starts the outbox as configured.
    ///
    /// # Errors
    /// When there is no place for it, or another process works with it.
    pub fn of(config: &OutboxConfig, clock: Arc<dyn Clock>) -> Result<Self, OutboxError> {
        if config.enabled { Self::start(&config.folder()?, config.limits(), clock) } else { Self::in_memory(clock) }
    }
}
