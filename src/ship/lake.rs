//! Insights by way of the outbox: files under names that are made once, brought to the store from there.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Timetable;
use super::courier::{Bring, carry};
use super::store::{ShipError, Store};
use crate::backoff::Backoff;
use crate::insights::Made;
use crate::outage::Outage;
use crate::outbox::{Destination, Item, Kind, OutboxHandle, Stored};

/// The media type of Parquet files.
const PARQUET: &str = "application/vnd.apache.parquet";
/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How often one file is tried before others may pass it.
const TRIES: u32 = 20;
/// Files that are read at once.
const BATCH: usize = 4;

/// A file as the outbox holds it.
#[must_use]
pub fn item_of(made: &Made) -> Item {
    Item {
        id: made.id,
        kind: Kind::Count,
        destination: Destination::Lake,
        camera: String::new(),
        channel: made.name.clone(),
        created_at: made.id.datetime().into(),
        value: 0.0,
        content_type: PARQUET.to_owned(),
        payload: made.content.clone(),
        frame: None,
    }
}

/// Brings insights from the outbox to the store, in the background, until it is closed or dropped.
pub struct Carrier {
    task: JoinHandle<()>,
    timetable: Timetable,
}

impl Carrier {
    /// Starts. To be called within a tokio runtime.
    #[must_use]
    pub fn start(timetable: Timetable, outbox: OutboxHandle, store: Store) -> Self {
        let way = Way { outage: Outage::default(), store };
        Self { task: tokio::spawn(carry(timetable.clone(), outbox, way)), timetable }
    }

    /// Brings what waits to the store, as far as the time allows. What is left stays in the outbox.
    pub async fn close(self, outbox: &OutboxHandle, deadline: Duration) {
        let all = async {
            while self.timetable.is_open() && !outbox.read(Destination::Lake, 0, 1).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(deadline, all).await;
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The way to the store.
struct Way {
    outage: Outage,
    store: Store,
}

impl Bring for Way {
    const DESTINATION: Destination = Destination::Lake;
    const BATCH: usize = BATCH;

    async fn bring(&self, stored: &Stored) -> bool {
        bring(&self.outage, &self.store, stored).await
    }
}

/// Brings one file to the store, and says whether it is done with.
async fn bring(outage: &Outage, store: &Store, stored: &Stored) -> bool {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let name = &stored.item.channel;
    for _ in 0..TRIES {
        match store.put(name, stored.item.payload.clone(), PARQUET).await {
            Ok(()) => {
                if outage.end() {
                    tracing::info!("Insights are being stored again.");
                }
                tracing::debug!(name, "Insights are stored.");
                return true;
            }
            Err(error) if !error.is_transient() => {
                tracing::error!(%error, name, "The store refuses insights; they are dropped.");
                return true;
            }
            Err(error) => {
                if outage.begin(&ShipError::reason(&error)) {
                    tracing::warn!(%error, "Insights can't be stored; they wait in the outbox until they can.");
                }
                tokio::time::sleep(backoff.wait()).await;
            }
        }
    }
    false
}
