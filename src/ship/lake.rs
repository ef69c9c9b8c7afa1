//! Insights by way of the outbox: files under names that are made once, brought to the store from there.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Timetable;
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
        Self { task: tokio::spawn(work(timetable.clone(), outbox, store)), timetable }
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

async fn work(timetable: Timetable, outbox: OutboxHandle, store: Store) {
    let outage = Outage::default();
    let mut visible = outbox.visible();
    let (mut after, mut passed) = (0, false);
    loop {
        visible.borrow_and_update();
        let items = outbox.read(Destination::Lake, after, BATCH).await;
        for stored in &items {
            timetable.opens().await;
            after = stored.seq;
            if bring(&outage, &store, stored).await {
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
