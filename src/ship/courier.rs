//! Evidence by way of the outbox: it is kept when it is on the disk, and brought to the store from there.
//!
//! An item leaves the outbox when the store has confirmed it. While the store is away it is tried again; an item
//! that can't be stored for long lets others pass. One that the store refuses for good is dropped and counted.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::Local;
use tokio::task::JoinHandle;
use ulid::Ulid;

use super::{ShipError, Sink};
use crate::backoff::Backoff;
use crate::clock::{Clock, SystemClock};
use crate::config::Hours;
use crate::evidence::{Evidence, Record};
use crate::outage::Outage;
use crate::outbox::{Destination, Item, Kind, OutboxHandle, Stored};

/// How often one item is tried before others may pass it.
const TRIES: u32 = 20;
/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Items that are read at once: their pictures are not among what is read.
const BATCH: usize = 16;
/// How often it is asked whether evidence may be sent.
const LOOK: Duration = Duration::from_secs(1);

/// The way into the outbox.
#[derive(Debug, Clone)]
pub struct Inlet(pub OutboxHandle);

impl Inlet {
    /// Hands in a piece of evidence, and says whether it is on the disk now.
    pub async fn take(&self, item: &Evidence) -> bool {
        match to_item(item) {
            Ok(item) => self.0.keep(item).await,
            Err(error) => {
                tracing::error!(id = item.id, %error, "A piece of evidence can't be kept.");
                false
            }
        }
    }
}

impl Sink for Inlet {
    /// Returns when the item is on the disk, or when there is no room for it, which the outbox counts.
    async fn keep(&self, item: &Evidence) -> Result<(), ShipError> {
        self.take(item).await;
        Ok(())
    }
}

/// Brings evidence from the outbox to the store, in the background, until it is closed or dropped.
pub struct Courier {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    timetable: Timetable,
}

/// When evidence is sent.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// In the machine's time zone; always where there are none.
    pub hours: Vec<Hours>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Default for Timetable {
    fn default() -> Self {
        Self { hours: Vec::new(), clock: Arc::new(SystemClock) }
    }
}

impl Timetable {
    pub(super) fn is_open(&self) -> bool {
        Hours::any(&self.hours, self.clock.wall().with_timezone(&Local).naive_local())
    }

    /// Returns once evidence may be sent.
    pub(super) async fn opens(&self) {
        while !self.is_open() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What is known of a [`Courier`]'s work. Cloning shares it.
#[derive(Debug, Clone)]
pub struct CourierHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: AtomicU64,
    dropped: AtomicU64,
    outage: Outage,
}

impl Courier {
    /// Starts. To be called within a tokio runtime.
    #[must_use]
    pub fn start<S: Sink>(outbox: OutboxHandle, sink: S) -> Self {
        Self::start_within(Timetable::default(), outbox, sink)
    }

    /// As [`start`](Self::start), at certain hours only.
    #[must_use]
    pub fn start_within<S: Sink>(timetable: Timetable, outbox: OutboxHandle, sink: S) -> Self {
        let shared = Arc::new(Shared::default());
        let way = Way { shared: Arc::clone(&shared), sink };
        let task = tokio::spawn(carry(timetable.clone(), outbox, way));
        Self { shared, task, timetable }
    }

    /// What is known of its work.
    #[must_use]
    pub fn handle(&self) -> CourierHandle {
        CourierHandle(Arc::clone(&self.shared))
    }

    /// Brings what waits to the store, as far as the time allows and the store is there. What is left stays in the
    /// outbox.
    pub async fn close(self, outbox: &OutboxHandle, deadline: Duration) {
        let all = async {
            while self.timetable.is_open()
                && self.shared.outage.reason().is_none()
                && !outbox.read(Destination::Store, 0, 1).await.is_empty()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(deadline, all).await;
        self.task.abort();
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CourierHandle {
    /// Items that the store has confirmed, since the start.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::Relaxed)
    }

    /// Items that the store refused, since the start.
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

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// What brings items of the outbox to where they go.
pub(super) trait Bring: Send + Sync + 'static {
    /// The items that it brings.
    const DESTINATION: Destination;
    /// Items that are read at once.
    const BATCH: usize;

    /// Brings one item, and says whether it is done with. If it is not, others may pass it.
    fn bring(&self, stored: &Stored) -> impl Future<Output = bool> + Send;
}

/// Brings what waits in its order, and what others have passed when nothing else waits.
pub(super) async fn carry<B: Bring>(timetable: Timetable, outbox: OutboxHandle, way: B) {
    let mut visible = outbox.visible();
    let (mut after, mut passed) = (0, false);
    loop {
        visible.borrow_and_update();
        let items = outbox.read(B::DESTINATION, after, B::BATCH).await;
        for stored in &items {
            timetable.opens().await;
            after = stored.seq;
            if way.bring(stored).await {
                outbox.acknowledge([stored.seq]);
            } else {
                passed = true;
            }
        }
        if items.is_empty() {
            if std::mem::take(&mut passed) {
                after = 0;
            } else if visible.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The way to the store.
struct Way<S> {
    shared: Arc<Shared>,
    sink: S,
}

impl<S: Sink> Bring for Way<S> {
    const DESTINATION: Destination = Destination::Store;
    const BATCH: usize = BATCH;

    async fn bring(&self, stored: &Stored) -> bool {
        bring(&self.shared, &self.sink, stored).await
    }
}

/// Brings one item to the store, and says whether it is done with.
async fn bring<S: Sink>(shared: &Shared, sink: &S, stored: &Stored) -> bool {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    for _ in 0..TRIES {
        let jpeg = match stored.frame.read().await {
            Ok(jpeg) => jpeg,
            // It had to make room for others.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            Err(error) => {
                tracing::warn!(id = %stored.item.id, %error, "A frame in the outbox can't be read; trying again.");
                tokio::time::sleep(backoff.wait()).await;
                continue;
            }
        };
        let evidence = match of_item(&stored.item, jpeg) {
            Ok(evidence) => evidence,
            Err(error) => {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::error!(id = %stored.item.id, %error, "A record in the outbox is none, and is dropped.");
                return true;
            }
        };
        match sink.keep(&evidence).await {
            Ok(()) => {
                shared.kept.fetch_add(1, Ordering::Relaxed);
                if shared.outage.end() {
                    tracing::info!("Evidence is being stored again.");
                }
                return true;
            }
            Err(error) if !error.is_transient() => {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, id = evidence.id, "The store refuses a piece of evidence.");
                return true;
            }
            Err(error) => {
                // The reason without the item, which differs from one to the next.
                if shared.outage.begin(&error.reason()) {
                    tracing::warn!(%error, "Evidence can't be stored; it waits in the outbox until it can.");
                }
                tokio::time::sleep(backoff.wait()).await;
            }
        }
    }
    false
}

/// A piece of evidence as the outbox holds it.
fn to_item(evidence: &Evidence) -> Result<Item, serde_json::Error> {
    let record: Record = serde_json::from_slice(&evidence.json)?;
    let id = Ulid::from_string(&evidence.id).map_err(serde::de::Error::custom)?;
    Ok(Item {
        id,
        kind: Kind::Evidence,
        destination: Destination::Store,
        camera: evidence.camera.clone(),
        channel: String::new(),
        created_at: record.detections.frame.captured_at,
        value: record.value,
        content_type: "application/json".to_owned(),
        payload: evidence.json.clone(),
        frame: evidence.jpeg.clone(),
    })
}

fn of_item(item: &Item, jpeg: Option<Bytes>) -> Result<Evidence, serde_json::Error> {
    let record: Record = serde_json::from_slice(&item.payload)?;
    Ok(Evidence {
        id: item.id.to_string(),
        site: record.detections.site,
        camera: record.detections.camera,
        day: record.detections.frame.captured_at.date_naive(),
        jpeg,
        json: item.payload.clone(),
    })
}

#[cfg(test)]
mod tests;
