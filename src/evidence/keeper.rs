//! From the engine's hands to the store, without the engine waiting.
//!
//! Offered frames are looked at in place; what is picked waits on a small shelf, is compressed off the
//! engine's thread, and waits as JPEG on a larger shelf for the store. Full shelves lose the least valuable,
//! which is counted. The store is tried again while its trouble may pass.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use ulid::Ulid;

use super::record::Evidence;
use super::select::{Pick, Selector};
use super::shelf::Shelf;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::EvidenceConfig;
use crate::detection::Scored;
use crate::outage::Outage;
use crate::ship::Sink;

/// Frames that may wait to be compressed. They hold their pixels, megabytes each.
const RAW: usize = 4;
/// JPEGs that may wait for the store.
const COMPRESSED: usize = 32;
/// How often one item is tried before it is given up, so that none blocks the others for ever. With the waits
/// below that is seven minutes.
const TRIES: u32 = 20;
/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Keeps what is worth it.
pub struct Keeper {
    shared: Arc<Shared>,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

/// What those who score frames hold of a [`Keeper`]. Cloning shares it.
#[derive(Clone)]
pub struct KeeperHandle(Arc<Shared>);

struct Shared {
    selector: Mutex<Selector>,
    clock: Arc<dyn Clock>,
    raw: Shelf<Pick>,
    compressed: Shelf<Evidence>,
    picked: AtomicU64,
    kept: AtomicU64,
    dropped: AtomicU64,
    outage: Outage,
}

impl Keeper {
    /// Starts the work in the background. To be called within a tokio runtime.
    #[must_use]
    pub fn start<S: Sink>(config: &EvidenceConfig, sink: S, clock: Arc<dyn Clock>) -> Self {
        let shared = Arc::new(Shared {
            selector: Mutex::new(Selector::new(config, Arc::clone(&clock))),
            clock,
            raw: Shelf::new(RAW),
            compressed: Shelf::new(COMPRESSED),
            picked: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            outage: Outage::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(compress(Arc::clone(&shared)));
        tasks.spawn(store(Arc::clone(&shared), sink));
        Self { shared, tasks }
    }

    /// What those who score frames hold.
    #[must_use]
    pub fn handle(&self) -> KeeperHandle {
        KeeperHandle(Arc::clone(&self.shared))
    }

    /// Stores what waits, as far as the time allows, and says how many items were lost by that.
    pub async fn close(mut self, deadline: Duration) -> u64 {
        self.shared.raw.close();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(deadline, all).await;
        let lost = self.shared.unfinished();
        if lost > 0 {
            tracing::warn!(lost, "Evidence was not stored before the daemon stopped.");
        }
        lost
    }
}

impl KeeperHandle {
    /// Looks at a scored frame, and keeps it if it is worth it. Never waits.
    pub fn offer(&self, scored: &Scored) {
        let pick = {
            let mut selector = self.0.selector.lock().unwrap_or_else(PoisonError::into_inner);
            selector.select(scored)
        };
        if let Some(pick) = pick {
            self.0.picked.fetch_add(1, Ordering::Relaxed);
            if self.0.raw.push(pick.value, pick).is_some() {
                self.0.drop_one();
            }
        }
    }

    /// Items that the store has confirmed, since the start.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::Relaxed)
    }

    /// Items that were picked and lost, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Why nothing can be stored, while that is so.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.0.outage.reason()
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl fmt::Debug for KeeperHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeeperHandle").finish_non_exhaustive()
    }
}

impl Shared {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn unfinished(&self) -> u64 {
        let done = self.kept.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed);
        self.picked.load(Ordering::Relaxed).saturating_sub(done)
    }

    fn new_id(&self) -> String {
        let milliseconds = self.clock.wall().timestamp_millis();
        Ulid::from_parts(u64::try_from(milliseconds).unwrap_or(0), Ulid::generate().random()).to_string()
    }
}

async fn compress(shared: Arc<Shared>) {
    while let Some((value, pick)) = shared.raw.pop().await {
        let id = shared.new_id();
        let encoded = tokio::task::spawn_blocking(move || Evidence::encode(&id, &pick)).await;
        let error = match encoded {
            Ok(Ok(evidence)) => {
                if shared.compressed.push(value, evidence).is_some() {
                    shared.drop_one();
                }
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        shared.drop_one();
        tracing::error!(%error, "A frame worth keeping can't be kept.");
    }
    shared.compressed.close();
}

async fn store<S: Sink>(shared: Arc<Shared>, sink: S) {
    while let Some((_, evidence)) = shared.compressed.pop().await {
        if keep(&shared, &sink, &evidence).await {
            shared.kept.fetch_add(1, Ordering::Relaxed);
        } else {
            shared.drop_one();
        }
    }
}

/// Brings one item to the store and says whether it is there. An outage is logged when it begins, when its reason
/// changes, and when it ends.
async fn keep<S: Sink>(shared: &Shared, sink: &S, evidence: &Evidence) -> bool {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    for _ in 0..TRIES {
        let error = match sink.keep(evidence).await {
            Ok(()) => {
                if shared.outage.end() {
                    tracing::info!("Evidence is being stored again.");
                }
                return true;
            }
            Err(error) => error,
        };
        if !error.is_transient() {
            tracing::error!(%error, id = evidence.id, "The store refuses a piece of evidence.");
            return false;
        }
        // The reason without the item, which differs from one to the next.
        if shared.outage.begin(&error.reason()) {
            tracing::warn!(%error, "Evidence can't be stored; trying again until it can.");
        }
        tokio::time::sleep(backoff.wait()).await;
    }
    false
}

#[cfg(test)]
mod tests;
