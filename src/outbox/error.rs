//! What can go wrong.

use std::io;
use std::path::PathBuf;

use super::database;
use crate::sqlite::Unfit;

/// Why there is no outbox.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Somebody else works with it.
    #[error(
        "another ocellus works with the outbox {}: give each its own `path` under [outbox]",
        path.display()
    )]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// Nothing says where it is.
    #[error("there is no place for the outbox: set `path` under [outbox], or $STATE_DIRECTORY")]
    NoPlace,
    /// There is none.
    #[error("there is no outbox in {}", path.display())]
    Absent {
        /// Where.
        path: PathBuf,
    },
    /// It can't be read.
    #[error("the outbox {} can't be read: {reason}", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(io::Error),
}

/// What keeps the disk from taking something.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may pass.
    Failed(String),
    /// It works, but is full.
    Full(String),
    /// What is there can't be trusted.
    Corrupt(String),
}

impl Trouble {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }

    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) | Self::Full(reason) | Self::Corrupt(reason) => reason,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let reason = database::describe(&error);
        if database::is_corrupt(&error) { Self::Corrupt(reason) } else { Self::Failed(reason) }
    }
}

impl From<Unfit> for Trouble {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Sqlite(error) => error.into(),
            unfit if unfit.is_corrupt() => Self::Corrupt(unfit.to_string()),
            unfit => Self::Failed(unfit.to_string()),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(match error.kind() {
            io::ErrorKind::StorageFull => "the disk is full".to_owned(),
            io::ErrorKind::ReadOnlyFilesystem => "the disk can only be read".to_owned(),
            _ => error.to_string(),
        })
    }
}
