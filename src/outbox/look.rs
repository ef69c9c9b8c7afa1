//! Looking into an outbox from outside, also while the daemon works with it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::database::{Database, History};
use super::disk::Disk;
use super::error::{OutboxError, Trouble};
use super::frames::Frames;
use super::item::{Destination, Kind, Stored};
use super::quota::Load;

/// Items that are read at once.
const BATCH: usize = 256;

/// An outbox that is only looked at.
#[derive(Debug)]
pub struct Look {
    folder: PathBuf,
    database: Database,
    frames: Frames,
}

impl Look {
    /// Opens the outbox in a folder.
    ///
    /// # Errors
    /// When there is none, or it can't be read.
    pub fn open(folder: &Path) -> Result<Self, OutboxError> {
        let folder = folder.to_owned();
        if !Disk::is_there(&folder) {
            return Err(OutboxError::Absent { path: folder });
        }
        match Disk::look(&folder) {
            Ok((database, frames)) => Ok(Self { folder, database, frames }),
            Err(trouble) => Err(unreadable(&folder, &trouble)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is in it, and what has become of others, by kind.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn summary(&self) -> Result<Vec<(Kind, Load, History)>, OutboxError> {
        let read = || Ok::<_, Trouble>((self.database.loads()?, self.database.history()?));
        let (loads, history) = read().map_err(|trouble| unreadable(&self.folder, &trouble))?;
        Ok(Kind::ALL.into_iter().zip(history).map(|(kind, history)| (kind, loads.of(kind), history)).collect())
    }

    /// When the oldest item was made.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn oldest_at(&self) -> Result<Option<DateTime<Utc>>, OutboxError> {
        let oldest = self.database.oldest().map_err(|trouble| unreadable(&self.folder, &trouble))?;
        Ok(oldest.and_then(DateTime::from_timestamp_millis))
    }

    /// Gives every item to `take`, in order for each destination, until it fails.
    ///
    /// # Errors
    /// When the outbox can't be read, or what `take` says.
    pub fn each<E: From<OutboxError>>(&self, mut take: impl FnMut(&Stored) -> Result<(), E>) -> Result<(), E> {
        for destination in Destination::ALL {
            let mut after = 0;
            loop {
                // A few at a time, so that the daemon can go on meanwhile.
                let batch = self.database.read(destination, after, BATCH, &self.frames);
                let batch = batch.map_err(|trouble| unreadable(&self.folder, &trouble))?;
                let Some(last) = batch.last() else { break };
                after = last.seq;
                for stored in &batch {
                    take(stored)?;
                }
            }
        }
        Ok(())
    }
}

fn unreadable(folder: &Path, trouble: &Trouble) -> OutboxError {
    OutboxError::Unreadable { path: folder.to_owned(), reason: trouble.reason().to_owned() }
}
