//! Between the gate that decides what of a frame is kept and those who keep it: what is to be reviewed is noted. A frame
//! that goes on to be kept is held for review once it is, so that nobody judges one that was lost on the way there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Reviews;
use super::frame::Frame;
use crate::config::{Allow, ReviewPictures};
use crate::evidence::{Evidence, EvidenceError, Gate, Pick, Record};

/// Frames that are remembered until they are kept: more than the keeper has on their way.
const PENDING: usize = 64;

/// Holds frames for review as they pass.
pub struct ReviewGate {
    inner: Arc<dyn Gate>,
    reviews: Reviews,
    /// With their ids, oldest first.
    pending: Mutex<VecDeque<(String, Frame)>>,
}

impl ReviewGate {
    /// In front of another gate.
    #[must_use]
    pub fn new(inner: Arc<dyn Gate>, reviews: Reviews) -> Self {
        Self { inner, reviews, pending: Mutex::default() }
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<(String, Frame)>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
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
            Ok(Some(frame)) if released.is_some() => {
                let mut pending = self.pending();
                pending.push_back((id.to_owned(), frame));
                if pending.len() > PENDING {
                    pending.pop_front();
                }
            }
            // It stays here, and nobody else keeps it.
            Ok(Some(frame)) => self.reviews.add(&frame),
            Ok(None) => {}
            Err(reason) => tracing::warn!(id, reason, "A kept frame can't be held for review."),
        }
        Ok(released)
    }

    fn kept(&self, id: &str) {
        let frame = {
            let mut pending = self.pending();
            let place = pending.iter().position(|(pending, _)| pending == id);
            place.and_then(|place| pending.remove(place))
        };
        if let Some((_, frame)) = frame {
            self.reviews.add(&frame);
        }
    }
}
