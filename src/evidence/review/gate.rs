//! Between the gate that decides what of a frame is kept and those who keep it: what is to be reviewed is noted.

use std::sync::Arc;

use super::Reviews;
use super::frame::Frame;
use crate::config::{Allow, ReviewPictures};
use crate::evidence::{Evidence, EvidenceError, Gate, Pick, Record};

/// Holds frames for review as they pass.
pub struct ReviewGate {
    inner: Arc<dyn Gate>,
    reviews: Reviews,
}

impl ReviewGate {
    /// In front of another gate.
    #[must_use]
    pub fn new(inner: Arc<dyn Gate>, reviews: Reviews) -> Self {
        Self { inner, reviews }
    }

    fn frame(&self, id: &str, pick: &Pick, released: Option<&Evidence>) -> Result<Option<Frame>, String> {
        let record = |json: &[u8]| serde_json::from_slice::<Record>(json).map_err(|error| error.to_string());
        let let_go = released.map(|evidence| record(&evidence.json)).transpose()?;
        let handled = let_go.as_ref().and_then(|record| record.privacy.as_ref());
        let leaves = match (&let_go, handled) {
            (None, _) => Allow::Nothing,
            (Some(_), None) => Allow::Frame,
            (Some(_), Some(handled)) => handled.handling.allow,
        };
        let whole = leaves == Allow::Frame && handled.is_none_or(|handled| handled.handling.method.is_none());
        match (released, let_go) {
            (Some(evidence), Some(record)) if whole || self.reviews.pictures() == ReviewPictures::Released => {
                Ok(Some(Frame { record, picture: evidence.jpeg.clone(), leaves, verdict: None }))
            }
            _ if self.reviews.pictures() == ReviewPictures::Original => {
                let evidence = Evidence::encode(id, pick).map_err(|error| error.to_string())?;
                Ok(Some(Frame { record: record(&evidence.json)?, picture: evidence.jpeg, leaves, verdict: None }))
            }
            _ => Ok(None),
        }
    }
}

impl Gate for ReviewGate {
    fn pass(&self, id: &str, pick: &Pick) -> Result<Option<Evidence>, EvidenceError> {
        let released = self.inner.pass(id, pick)?;
        match self.frame(id, pick, released.as_ref()) {
            Ok(Some(frame)) => self.reviews.add(&frame),
            Ok(None) => {}
            Err(reason) => tracing::warn!(id, reason, "A kept frame can't be held for review."),
        }
        Ok(released)
    }
}
