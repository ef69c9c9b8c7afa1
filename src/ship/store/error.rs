//! What goes wrong on the way to a store.

use std::path::PathBuf;

/// Why a store can't be opened or did not keep something.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The text names no store. The message does not repeat it: people put secrets there.
    #[error("`store` is not usable: {0}")]
    Place(String),
    /// Nothing in the environment says who we are.
    #[error("the store {store} needs credentials: set {wanted} in the environment")]
    Credentials {
        /// Which.
        store: String,
        /// The variables to set.
        wanted: &'static str,
    },
    /// The folder can't be made or used.
    #[error("the folder {} can't be used as a store: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store's client can't be made.
    #[error("the store {store} can't be opened: {source}")]
    Open {
        /// Which.
        store: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// What the configuration says of the way there can't be used.
    #[error("the store {store}: {reason}")]
    Way {
        /// Which.
        store: String,
        /// What is wrong.
        reason: String,
    },
    /// A message was not put on the queue.
    #[error("{id} is stored, and the queue {queue} did not get its message: {reason}")]
    Announce {
        /// The queue's address.
        queue: String,
        /// The evidence's id, or the verdict's.
        id: String,
        /// Why.
        reason: String,
    },
    /// An object, or the list of them, was not read.
    #[error("{name} was not read from the store {store}: {source}")]
    Read {
        /// Which store.
        store: String,
        /// Which object.
        name: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// An object was not written.
    #[error("{name} was not written to the store {store}: {}", explained(source))]
    Write {
        /// Which store.
        store: String,
        /// Which object.
        name: String,
        /// Why.
        source: Box<object_store::Error>,
    },
}

impl ShipError {
    /// What is wrong, without the object that it was found with.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Write { store, source, name } => {
                let file = name.rsplit('/').next().unwrap_or(name);
                format!("the store {store}: {}", explained(source).replace(name, "…").replace(file, "…"))
            }
            Self::Announce { queue, reason, .. } => format!("the queue {queue}: {reason}"),
            other => other.to_string(),
        }
    }

    /// Whether it may pass, so that it is worth trying again: the network, a full disk, a container that is
    /// still to be made, a key that is being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use object_store::Error;
        match self {
            Self::Write { source, .. } => !matches!(
                **source,
                Error::InvalidPath { .. } | Error::NotSupported { .. } | Error::NotImplemented { .. }
            ),
            Self::Announce { .. } => true,
            _ => false,
        }
    }
}

/// What a store said, after what to do about it where that is known.
fn explained(source: &object_store::Error) -> String {
    let said = source.to_string();
    let known = [
        ("RequestTimeTooSkewed", "this machine's clock is off: `timedatectl` shows it and sets it"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY is not the key of AWS_ACCESS_KEY_ID"),
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID is none that the store knows"),
        ("NoSuchBucket", "there is no such bucket: create it"),
        ("ContainerNotFound", "there is no such container: create it"),
    ];
    let known = known.iter().find(|(code, _)| said.contains(code));
    known.map_or_else(|| said.clone(), |(_, what)| format!("{what} ({said})"))
}
