//! The audit log, as those share it who decide what leaves.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::AuditError;
use super::audit::{Audit, What};
use crate::clock::Clock;
use crate::config::PrivacyConfig;

/// The audit log of this process. Cloning shares it.
#[derive(Debug, Clone)]
pub struct AuditLog {
    pub(super) audit: Arc<Mutex<Audit>>,
    clock: Arc<dyn Clock>,
}

impl AuditLog {
    /// Opens the log in a folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn open(config: &PrivacyConfig, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        let max_bytes = config.audit_mib.saturating_mul(1 << 20);
        let audit = Audit::open(folder, max_bytes, clock.wall())
            .map_err(|source| AuditError { path: folder.to_owned(), source })?;
        Ok(Self { audit: Arc::new(Mutex::new(audit)), clock })
    }

    /// Writes an entry and returns its hash once it is on the disk. None where that can't be: then what it is about stays.
    pub fn note(&self, what: What) -> Option<String> {
        let mut audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit
            .write(what, self.clock.wall())
            .inspect_err(|error| tracing::error!(%error, "The audit log can't be written: what it is about stays."))
            .ok()
    }
}
