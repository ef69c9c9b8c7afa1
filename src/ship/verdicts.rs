//! Verdicts on their way to the store, beside the frames that they are about.
//!
//! A verdict waits in [`Reviews`] until the store has confirmed it, be its frame there already, on its way or never. Its
//! name is made from ids and it is only created: brought twice, it is there once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::courier::Timetable;
use super::{ShipError, Store};
use crate::backoff::Backoff;
use crate::evidence::{Naming, ReviewError, Reviews, Verdict};
use crate::outage::Outage;

/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Verdicts that are read at once.
const BATCH: usize = 16;
/// Why none leaves while it can't be noted.
const UNNOTED: &str = "the audit log can't be written";
/// How often it is looked whether all is done, at the end.
const LOOK: Duration = Duration::from_millis(20);

/// Notes that a verdict leaves, before it does, and says whether that is on the disk, for which it may wait. A verdict of which
/// it is not stays until it is.
pub type Note = Arc<dyn Fn(&Verdict) -> bool + Send + Sync>;

/// How verdicts leave.
#[derive(Clone)]
pub struct Leave {
    /// What the store gets of a reviewer's name.
    pub naming: Naming,
    /// What is told of each; none where nobody wants to know.
    pub note: Option<Note>,
}

impl fmt::Debug for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leave").field("noted", &self.note.is_some()).finish_non_exhaustive()
    }
}

impl Leave {
    /// Whether a verdict may leave now.
    async fn lets(&self, verdict: &Verdict) -> bool {
        let Some(note) = self.note.clone() else { return true };
        let verdict = verdict.clone();
        tokio::task::spawn_blocking(move || note(&verdict)).await.unwrap_or(false)
    }
}

/// Brings verdicts to the store, in the background, until it is closed or dropped.
#[derive(Debug)]
pub struct VerdictCourier {
    task: JoinHandle<()>,
    reviews: Reviews,
    timetable: Timetable,
    outage: Arc<Outage>,
}

impl VerdictCourier {
    /// Starts, to work at certain hours. To be called within a tokio runtime.
    #[must_use]
    pub fn start(reviews: Reviews, store: Store, leave: Leave, timetable: Timetable) -> Self {
        let outage = Arc::<Outage>::default();
        let work = work(reviews.clone(), store, leave, timetable.clone(), Arc::clone(&outage));
        Self { task: tokio::spawn(work), reviews, timetable, outage }
    }

    /// Brings what waits to the store, as far as the time allows and the store is there.
    pub async fn close(self, deadline: Duration) {
        let all = async {
            while self.timetable.is_open() && self.outage.reason().is_none() {
                match ask(&self.reviews, Reviews::count_waiting).await {
                    Ok(1..) => tokio::time::sleep(LOOK).await,
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(deadline, all).await;
    }
}

impl Drop for VerdictCourier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The disk may be slow.
async fn ask<T: Send + 'static>(
    reviews: &Reviews,
    what: impl FnOnce(&Reviews) -> Result<T, ReviewError> + Send + 'static,
) -> Result<T, ReviewError> {
    let reviews = reviews.clone();
    let asked = tokio::task::spawn_blocking(move || what(&reviews)).await;
    asked.unwrap_or_else(|error| Err(ReviewError::NotNow(error.to_string())))
}

async fn work(reviews: Reviews, store: Store, leave: Leave, timetable: Timetable, outage: Arc<Outage>) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        let waiting = match ask(&reviews, |reviews| reviews.waiting(BATCH)).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::debug!(%error, "Verdicts can't be brought to the store yet.");
                tokio::time::sleep(backoff.wait()).await;
                continue;
            }
        };
        if waiting.is_empty() {
            reviews.changed().await;
            continue;
        }
        for (seq, verdict) in waiting {
            timetable.opens().await;
            let verdict = verdict.named(&leave.naming);
            while !leave.lets(&verdict).await {
                if outage.begin(UNNOTED) {
                    tracing::error!("Verdicts stay until the audit log can be written.");
                }
                tokio::time::sleep(backoff.wait()).await;
            }
            while let Err(error) = bring(&store, &verdict, &outage).await {
                tracing::debug!(%error, id = verdict.id, "A verdict waits.");
                tokio::time::sleep(backoff.wait()).await;
            }
            if ask(&reviews, move |reviews| reviews.delivered(seq)).await.is_ok() {
                backoff.reset();
            } else {
                tokio::time::sleep(backoff.wait()).await;
            }
        }
    }
}

/// Returns once the store has a verdict or refuses it for good, and fails where it is to be tried again.
async fn bring(store: &Store, verdict: &Verdict, outage: &Outage) -> Result<(), ShipError> {
    match store.keep_verdict(verdict).await {
        Ok(()) => {
            if outage.end() {
                tracing::info!("Verdicts are being stored again.");
            }
            Ok(())
        }
        Err(error) if !error.is_transient() => {
            tracing::error!(%error, id = verdict.id, "The store refuses a verdict.");
            Ok(())
        }
        Err(error) => {
            if outage.begin(&error.reason()) {
                tracing::warn!(%error, "Verdicts can't be stored; they wait until they can.");
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
