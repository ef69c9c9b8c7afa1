//! What may leave the site, made fit to leave: the policy, the redaction, and the audit log.
//!
//! Everything fails closed. A frame leaves only if a rule of the policy fits it, the rule allows it, all that the rule
//! wants unrecognisable was found and made so on the pixels, a second look by the same models finds nothing, and what
//! was decided is in the audit log, on the disk. Else the frame stays: it never reaches the outbox. It is
//! [kept here](withheld) instead, and leaves once what was missing is there, or when somebody asks for it.

pub mod audit;
mod brush;
mod canvas;
mod finder;
mod guard;
mod messages;
mod scope;
mod strip;
pub mod withheld;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::audit::{Audit, What};
use self::canvas::Canvas;
pub use self::guard::{Guard, Leaving};
pub use self::messages::MessageGuard;
use crate::clock::Clock;
use crate::config::Method;
use crate::detection::Rect;
use crate::frame::Image;

/// A folder of the policy's can't be used, so that nothing could leave.
#[derive(Debug, thiserror::Error)]
#[error("{what} in {} can't be used: {source}", path.display())]
pub struct FolderError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A picture of which some parts, as fractions of it, are made unrecognisable on its pixels. None where it is too large for
/// a picture.
#[must_use]
pub fn obscured(image: &Image, parts: &[Rect], method: Method) -> Option<Image> {
    let mut canvas = Canvas::of(image);
    for part in parts {
        if let Some(area) = canvas.area(*part, 0.0) {
            canvas.obscure(area, method);
        }
    }
    canvas.image()
}

/// The audit log, shared by all that decide. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Log {
    audit: Arc<Mutex<Audit>>,
    clock: Arc<dyn Clock>,
}

impl Log {
    /// Opens the log in a folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn open(folder: &Path, max_mib: u64, clock: Arc<dyn Clock>) -> Result<Self, FolderError> {
        let audit = Audit::open(folder, max_mib.saturating_mul(1 << 20), clock.wall())
            .map_err(|source| FolderError { what: "the audit log", path: folder.to_owned(), source })?;
        Ok(Self { audit: Arc::new(Mutex::new(audit)), clock })
    }

    /// Writes an entry and returns its hash. None where that can't be.
    pub fn note(&self, what: What) -> Option<String> {
        self.lock()
            .write(what, self.clock.wall())
            .inspect_err(|error| tracing::error!(%error, "The audit log can't be written: what it is about stays."))
            .ok()
    }

    fn now(&self) -> Instant {
        self.clock.monotonic()
    }

    fn lock(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
