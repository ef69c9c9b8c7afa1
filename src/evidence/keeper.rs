//! From the engine's hands to a sink, without the engine waiting.
//!
//! Offered frames are looked at in place; what is picked waits on a small shelf, is compressed off the
//! engine's thread, and waits as JPEG on a larger shelf for the sink. Full shelves lose the least valuable,
//! which is counted. In the daemon the sink is the outbox, which takes what comes and does all further waiting.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use ulid::Ulid;

use super::gate::{Gate, Open};
use super::memory::{Due, Notebook};
use super::reason::Reason;
use super::record::Evidence;
use super::select::{Pick, Selector};
use super::shelf::Shelf;
use crate::clock::Clock;
use crate::config::EvidenceConfig;
use crate::detection::Scored;
use crate::event::Event;
use crate::ship::Sink;
use crate::status::ReasonStats;

/// Frames that may wait to be compressed. They hold their pixels, megabytes each.
const RAW: usize = 4;
/// JPEGs that may wait for the sink.
const COMPRESSED: usize = 32;

/// Keeps what is worth it.
pub struct Keeper {
    shared: Arc<Shared>,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

/// What those who score frames hold of a [`Keeper`]. Cloning shares it.
#[derive(Clone)]
pub struct KeeperHandle(Arc<Shared>);

/// Who waits to hear that a frame is kept, or why it is not.
pub type Asked = oneshot::Sender<Result<String, String>>;

/// A frame that is to be kept, and who asked for it.
struct Picked {
    pick: Pick,
    asked: Vec<Asked>,
}

struct Shared {
    selector: Mutex<Selector>,
    notebook: Notebook,
    clock: Arc<dyn Clock>,
    raw: Shelf<Picked>,
    compressed: Shelf<(Evidence, Vec<Asked>)>,
    picked: AtomicU64,
    kept: AtomicU64,
    dropped: AtomicU64,
    withheld: AtomicU64,
}

impl Keeper {
    /// Starts the work in the background. To be called within a tokio runtime.
    #[must_use]
    pub fn start<S: Sink>(config: &EvidenceConfig, sink: S, clock: Arc<dyn Clock>) -> Self {
        Self::start_behind(Arc::new(Open), Notebook::default(), config, sink, clock)
    }

    /// As [`start`](Self::start), with a gate that decides what of a frame is kept, and what lasts over restarts.
    #[must_use]
    pub fn start_behind<S: Sink>(
        gate: Arc<dyn Gate>,
        notebook: Notebook,
        config: &EvidenceConfig,
        sink: S,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let shared = Arc::new(Shared {
            selector: Mutex::new(notebook.selector(config, Arc::clone(&clock))),
            notebook,
            clock,
            raw: Shelf::new(RAW),
            compressed: Shelf::new(COMPRESSED),
            picked: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(compress(Arc::clone(&shared), Arc::clone(&gate)));
        tasks.spawn(store(Arc::clone(&shared), gate, sink));
        Self { shared, tasks }
    }

    /// What those who score frames hold.
    #[must_use]
    pub fn handle(&self) -> KeeperHandle {
        KeeperHandle(Arc::clone(&self.shared))
    }

    /// Hands on what waits, as far as the time allows, and says how many items were lost by that.
    pub async fn close(mut self, deadline: Duration) -> u64 {
        self.shared.raw.close();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(deadline, all).await;
        let lost = self.shared.unfinished();
        if lost > 0 {
            tracing::warn!(lost, "Evidence was not kept before the daemon stopped.");
        }
        lost
    }
}

impl KeeperHandle {
    /// Looks at a scored frame and what happened in it, and keeps it if it is worth it. Never waits.
    pub fn offer(&self, scored: &Scored, events: &[Event]) {
        let picks = self.0.selector().select(scored, events);
        for pick in picks {
            self.0.put(pick.value, Picked { pick, asked: Vec::new() });
        }
    }

    /// Keeps a frame that somebody asked for, whatever the limits say. Never waits; those who asked hear its id when it
    /// is kept for good, or why it is not.
    pub fn keep(&self, scored: &Scored, asked: Vec<Asked>) {
        self.0.selector().note_request(scored);
        let pick = Pick { reason: Reason::Operator, value: 1.0, scored: scored.clone() };
        // Others give way.
        self.0.put(f32::INFINITY, Picked { pick, asked });
    }

    /// What became of frames that were worth keeping, by reason, since the start.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, ReasonStats> {
        self.0.selector().counts()
    }

    /// Chooses by other limits from now on; what was kept still counts.
    pub fn choose(&self, config: &EvidenceConfig) {
        self.0.selector().retune(config);
    }

    /// Items that the sink has taken, since the start.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::Relaxed)
    }

    /// Items that were picked and lost, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Items that were picked and that the policy lets nothing of go, since the start.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.0.withheld.load(Ordering::Relaxed)
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
    fn selector(&self) -> MutexGuard<'_, Selector> {
        self.selector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what must be known of a frame before it is kept.
    fn write(&self) {
        let news = self.selector().unsaved();
        if let Some(memory) = news {
            self.notebook.write(&memory);
        }
    }

    fn write_looks(&self) {
        let looks = self.selector().looks();
        self.notebook.write_looks(&looks);
    }

    fn put(&self, worth: f32, picked: Picked) {
        self.picked.fetch_add(1, Ordering::Relaxed);
        if let Some(lost) = self.raw.push(worth, picked) {
            self.lose(lost.asked, "there is no room for it");
        }
    }

    fn lose(&self, asked: Vec<Asked>, reason: &str) {
        self.drop_one();
        tell(asked, &Err(reason.to_owned()));
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn unfinished(&self) -> u64 {
        let done = [&self.kept, &self.dropped, &self.withheld].map(|count| count.load(Ordering::Relaxed)).iter().sum();
        self.picked.load(Ordering::Relaxed).saturating_sub(done)
    }

    fn new_id(&self) -> String {
        let milliseconds = self.clock.wall().timestamp_millis();
        Ulid::from_parts(u64::try_from(milliseconds).unwrap_or(0), Ulid::generate().random()).to_string()
    }
}

fn tell(asked: Vec<Asked>, outcome: &Result<String, String>) {
    for asked in asked {
        // Who asked may have gone.
        let _ = asked.send(outcome.clone());
    }
}

async fn compress(shared: Arc<Shared>, gate: Arc<dyn Gate>) {
    let mut looks = Due::new(shared.clock.monotonic());
    while let Some((worth, Picked { pick, asked })) = shared.raw.pop().await {
        let id = shared.new_id();
        let (gate, here) = (Arc::clone(&gate), Arc::clone(&shared));
        let due = looks.is_now(shared.clock.monotonic());
        let passed = tokio::task::spawn_blocking({
            let id = id.clone();
            move || {
                here.write();
                if due {
                    here.write_looks();
                }
                gate.pass(&id, &pick)
            }
        })
        .await;
        let error = match passed {
            Ok(Ok(None)) => {
                shared.withheld.fetch_add(1, Ordering::Relaxed);
                tell(asked, &Err(format!("the policy lets nothing of this frame go; it stays here as {id}")));
                continue;
            }
            Ok(Ok(Some(evidence))) => {
                if let Some((_, asked)) = shared.compressed.push(worth, (evidence, asked)) {
                    shared.lose(asked, "there is no room for it");
                }
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        shared.lose(asked, &error);
        tracing::error!(%error, "A frame worth keeping can't be kept.");
    }
    shared.compressed.close();
    let written = tokio::task::spawn_blocking(move || {
        shared.write();
        shared.write_looks();
    });
    if written.await.is_err() {
        tracing::error!("What was kept can't be noted.");
    }
}

async fn store<S: Sink>(shared: Arc<Shared>, gate: Arc<dyn Gate>, sink: S) {
    while let Some((_, (evidence, asked))) = shared.compressed.pop().await {
        match sink.keep(&evidence).await {
            Ok(()) => {
                shared.kept.fetch_add(1, Ordering::Relaxed);
                let (gate, id) = (Arc::clone(&gate), evidence.id.clone());
                if tokio::task::spawn_blocking(move || gate.kept(&id)).await.is_err() {
                    tracing::error!(id = evidence.id, "A piece of evidence is kept, but can't be held for review.");
                }
                tell(asked, &Ok(evidence.id));
            }
            Err(error) => {
                tracing::error!(%error, id = evidence.id, "A piece of evidence is refused.");
                shared.lose(asked, &error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests;
