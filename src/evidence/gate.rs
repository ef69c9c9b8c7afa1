//! What a picked frame passes before it is kept.

use super::record::{Evidence, EvidenceError};
use super::select::Pick;

/// Decides what of a picked frame is kept, and makes that fit for where it goes.
pub trait Gate: Send + Sync + 'static {
    /// The evidence as it may be kept; none where the frame stays. Compresses pictures and may run models, so it is
    /// nothing for a runtime's threads.
    ///
    /// # Errors
    /// When picture or record can't be written.
    fn pass(&self, id: &str, pick: &Pick) -> Result<Option<Evidence>, EvidenceError>;

    /// Hears that what it let pass is kept for good. May wait for the disk.
    fn kept(&self, _id: &str) {}
}

/// Lets everything pass as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn pass(&self, id: &str, pick: &Pick) -> Result<Option<Evidence>, EvidenceError> {
        Evidence::encode(id, pick).map(Some)
    }
}
