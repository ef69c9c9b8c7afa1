//! Why a verdict is not taken, or a frame not shown.

use super::database::Trouble;

/// Why a verdict is not taken, or a frame not shown.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is no verdict.
    #[error("{0}")]
    Unreadable(String),
    /// It is a verdict that can't be.
    #[error("{0}")]
    Invalid(String),
    /// It has too many bytes.
    #[error("{bytes} bytes are too many: a verdict has at most {}", crate::evidence::MAX_VERDICT)]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// The frame is not held.
    #[error("there is no frame {id:?} to review; those that are too old are only in the store")]
    UnknownFrame {
        /// Its id, or what was taken for one.
        id: String,
    },
    /// It contradicts what was said before.
    #[error("{0}")]
    Conflict(String),
    /// It can't be kept as things are.
    #[error("{0}")]
    NotNow(String),
}

impl From<Trouble> for ReviewError {
    fn from(trouble: Trouble) -> Self {
        let (Trouble::Failed(reason) | Trouble::Corrupt(reason)) = trouble;
        Self::NotNow(format!("verdicts can't be kept or read: {reason}"))
    }
}
