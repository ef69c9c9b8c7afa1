//! What the outbox holds: an identified payload, and where it is to go. Its meaning is nobody's business here.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// What an item costs beside its payload, in bytes: its row and the entries in two indexes.
const OVERHEAD: u64 = 256;

/// What an item is, in the order in which items are given up when there is no room: the first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A frame worth learning from, with its record. Of these the least valuable goes first.
    Evidence,
    /// A running count, which a later one replaces, or the sums of some hours. The oldest goes first.
    Count,
    /// Something that happened. The oldest goes first.
    Event,
}

impl Kind {
    /// All, in the order of eviction.
    pub const ALL: [Self; 3] = [Self::Evidence, Self::Count, Self::Event];

    /// The kind's name, as in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Count => "count",
            Self::Event => "event",
        }
    }

    /// The kind's number in the database.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Evidence => 0,
            Self::Count => 1,
            Self::Event => 2,
        }
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Who takes an item out of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    /// The MQTT broker.
    Broker,
    /// The store of evidence.
    Store,
    /// Azure IoT Hub.
    Hub,
    /// The store of insights.
    Lake,
}

impl Destination {
    pub(super) const ALL: [Self; 4] = [Self::Broker, Self::Store, Self::Hub, Self::Lake];

    /// The destination's name, as in messages and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Store => "store",
            Self::Hub => "hub",
            Self::Lake => "lake",
        }
    }

    /// The destination's number in the database.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Broker => 0,
            Self::Store => 1,
            Self::Hub => 2,
            Self::Lake => 3,
        }
    }

    pub(super) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|destination| destination.code() == code)
    }
}

/// What is handed to the outbox. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Made once, where the thing was born. An id that is there already for this destination is not taken twice.
    pub id: Ulid,
    /// What it is.
    pub kind: Kind,
    /// Who takes it.
    pub destination: Destination,
    /// The camera it is about.
    pub camera: String,
    /// The levels of its topic below the camera, like `events`; empty where it has no topic.
    pub channel: String,
    /// When it was made. Only a label: the order is that in which items were appended.
    pub created_at: DateTime<Utc>,
    /// What evidence is worth, 0..=1.
    pub value: f32,
    /// The payload's media type.
    pub content_type: String,
    /// What is delivered.
    pub payload: Bytes,
    /// A JPEG that is kept in a file of its own.
    pub frame: Option<Bytes>,
}

impl Item {
    /// What it takes of a quota, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let frame = self.frame.as_ref().map_or(0, |frame| frame.len() as u64);
        self.payload.len() as u64 + frame + OVERHEAD
    }
}

/// An item as it is taken out: it stays in the outbox until it is acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its place in the order, by which it is acknowledged. Only this process knows it.
    pub seq: u64,
    /// The item. Its frame is in [`Stored::frame`].
    pub item: Item,
    /// Where its frame is.
    pub frame: StoredFrame,
}

/// Where the frame of a stored item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredFrame {
    /// It has none.
    None,
    /// In memory, since the disk does not take it.
    Memory(Bytes),
    /// In a file.
    File(PathBuf),
}

impl StoredFrame {
    /// Reads it.
    ///
    /// # Errors
    /// When its file can't be read. `NotFound` says that the item was evicted meanwhile.
    pub async fn read(&self) -> io::Result<Option<Bytes>> {
        match self {
            Self::None => Ok(None),
            Self::Memory(bytes) => Ok(Some(bytes.clone())),
            Self::File(path) => Ok(Some(tokio::fs::read(path).await?.into())),
        }
    }
}
