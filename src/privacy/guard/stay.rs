//! Frames that stay: kept, tried again, let go when somebody asks.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::super::audit::What;
use super::super::withheld::{Cause, Held, Load, Withheld};
use super::{Guard, Stays};
use crate::evidence::{Evidence, Pick, Record};

/// How long frames that stay because something does not work are left alone before they are tried again.
const RETRY: Duration = Duration::from_secs(60);

/// A frame that was withheld and may leave now.
#[derive(Debug)]
pub struct Leaving {
    /// What leaves of it.
    pub evidence: Evidence,
    /// Who asked for it, where somebody did.
    pub asked_by: Option<String>,
}

impl Guard {
    /// Notes that a frame stays, and keeps it.
    pub(super) fn withhold(&self, id: &str, pick: &Pick, stays: &Stays) {
        let camera = &pick.scored.detections.camera;
        tracing::debug!(id, camera, reason = stays.reason, "A frame stays.");
        self.note_withheld(id, camera, stays);
        let kept = Evidence::encode(id, pick).map_err(|error| error.to_string()).and_then(|evidence| {
            let record: Record = serde_json::from_slice(&evidence.json).map_err(|error| error.to_string())?;
            let held = self.held(record, stays);
            self.withheld().keep(&evidence, &held).map_err(|error| error.to_string())
        });
        match kept {
            Ok(gone) => {
                if self.trouble.end() {
                    tracing::info!("Frames that stay are kept again.");
                }
                gone.iter().for_each(|gone| self.lose(gone));
            }
            Err(error) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                if self.trouble.begin(&error) {
                    tracing::error!(id, error, "A frame that stays can't be kept, and is lost.");
                }
            }
        }
    }

    fn held(&self, record: Record, stays: &Stays) -> Held {
        Held {
            cause: stays.cause,
            reason: stays.reason.clone(),
            destination: self.destination.clone(),
            since: self.log.clock.wall(),
            record,
        }
    }

    fn note_withheld(&self, id: &str, camera: &str, stays: &Stays) {
        self.log.note(What::Withheld {
            id: id.to_owned(),
            camera: camera.to_owned(),
            destination: self.destination.clone(),
            reason: stays.reason.clone(),
            found: stays.found,
        });
    }

    /// Notes that a withheld frame had to make room.
    fn lose(&self, id: &str) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.log.note(What::Discarded { id: id.to_owned(), destination: self.destination.clone() });
        if !self.told_of_room.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                id,
                "Withheld frames are lost: there is no more room for them. `privacy.withheld_mib` says how much there is."
            );
        }
    }

    fn withheld(&self) -> MutexGuard<'_, Withheld> {
        self.withheld.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is withheld.
    #[must_use]
    pub fn load(&self) -> Load {
        self.withheld().load()
    }

    /// Withheld frames that were lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The next withheld frame that may leave: somebody asked for it, or what did not work works now. Once it is safe
    /// elsewhere, [`left`](Self::left) is to be told. Runs models, so it is nothing for a runtime's threads.
    #[must_use]
    pub fn next_to_leave(&self) -> Option<Leaving> {
        if !self.is_time() {
            return None;
        }
        let asked = self.withheld().asked().unwrap_or_default();
        for (id, by) in asked {
            if let Some(evidence) = self.again(&id, Some(&by)) {
                return Some(Leaving { evidence, asked_by: Some(by) });
            }
        }
        let evidence = loop {
            let id = self.withheld().in_trouble().map(str::to_owned)?;
            if !self.is_time() {
                return None;
            }
            if let Some(evidence) = self.again(&id, None) {
                break evidence;
            }
        };
        Some(Leaving { evidence, asked_by: None })
    }

    /// A withheld frame, if it may leave now. Else it is noted why not.
    fn again(&self, id: &str, asked_by: Option<&str>) -> Option<Evidence> {
        let read = self.withheld().read(id);
        let (held, stays) = match read {
            Ok(None) => {
                self.settle(self.withheld().answered(id));
                return None;
            }
            Ok(Some((held, pick))) => match self.let_go(id, &pick, asked_by) {
                Ok(Ok(evidence)) => return Some(evidence),
                Ok(Err(error)) => (held, Stays::by(Cause::Picture, error.to_string())),
                Err(stays) => (held, stays),
            },
            // Its index entry is what there is of it.
            Err(reason) => {
                tracing::error!(id, reason, "A withheld frame can't be read, and is lost.");
                self.settle(self.withheld().remove(id));
                self.lose(id);
                return None;
            }
        };
        if stays.cause == Cause::Trouble {
            self.later();
            return None;
        }
        if let Some(by) = asked_by {
            tracing::warn!(id, by, reason = stays.reason, "A frame that was asked for stays.");
            self.settle(self.withheld().answered(id));
        }
        self.note_withheld(id, &held.record.detections.camera, &stays);
        let held = self.held(held.record, &stays);
        self.settle(self.withheld().note(id, &held));
        None
    }

    /// Whether frames that stay because something does not work may be tried again.
    fn is_time(&self) -> bool {
        let retry_at = self.retry_at.lock().unwrap_or_else(PoisonError::into_inner);
        retry_at.is_none_or(|at| self.log.clock.monotonic() >= at)
    }

    /// A withheld frame can't be taken elsewhere now: it, and others, are tried again after a while.
    pub fn later(&self) {
        *self.retry_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.log.now() + RETRY);
    }

    /// A withheld frame is safe elsewhere.
    pub fn left(&self, id: &str) {
        self.settle(self.withheld().remove(id));
    }

    /// Trouble with the folder: the frame is tried again later.
    fn settle(&self, done: std::io::Result<()>) {
        if let Err(error) = done {
            self.later();
            if self.trouble.begin(&error.to_string()) {
                tracing::error!(%error, "The folder of withheld frames can't be written.");
            }
        }
    }
}
