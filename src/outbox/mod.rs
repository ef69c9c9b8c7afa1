//! What must not be lost waits here until its destination has acknowledged it.
//!
//! # Invariants
//! 1. What was kept is on the disk before anybody is told so, and leaves only when its destination has
//!    acknowledged it or when there is no room for it. A process that is killed and a power cut at any instant lose
//!    nothing that was kept.
//! 2. An item has one id, given where it was born. It is sent again under that id until it is acknowledged, so who
//!    receives it can tell; an id that is waiting is not taken a second time.
//! 3. Items leave in the order in which they came, for each destination.
//! 4. It is bounded, in items and bytes, for each kind and in all, and leaves a reserve on the disk. Where there is
//!    no room the order of [`Kind`] says what goes; it is counted.
//! 5. Nobody who appends waits, and nobody needs the disk: while it is full, read-only or broken, items are kept in
//!    memory, within limits, and delivered from there. What the outbox is in trouble with is in its [`Status`].
//!
//! # Format
//! A folder with
//! - `outbox.db`: SQLite (`application_id` "OCOB", `user_version` 1) in WAL mode with `synchronous = FULL`. `items`
//!   has a row for each item, in order of `seq`; `history` counts what became of others;
//! - `frames/{id}.{destination}.jpg`: frames, too large for rows; `*.part` are those being written;
//! - `lock`: locked by the process that works with the outbox;
//! - `corrupt-{time}/`: an outbox that could not be read and was set aside.
//!
//! # Life cycle
//! Items wait in memory for the outbox's thread. It makes rounds: what has come and what was acknowledged meanwhile is
//! one transaction. Acknowledgements alone wait a tenth of a second for company: a crash meanwhile means only that their
//! items are sent again. In a round, frames are written, synced and renamed, their folder is synced, then rows are
//! committed: a row's frame is always there. Rows are deleted, and then their frames. A crash may leave frames
//! without a row, which are swept at the next start, but no row without its frame.
//!
//! A destination reads what comes after the number it read last, and acknowledges numbers. What it has not
//! acknowledged it reads again when it starts anew. Frames may be gone when they are read: then the item was evicted.
//!
//! At the start the database is checked as a whole (`quick_check`). Where it is corrupt, then or later, database and
//! frames are moved away, a new outbox is started, and the status says where the old one is.

mod database;
mod disk;
mod error;
mod frames;
mod inbox;
mod item;
mod look;
mod quota;
mod recent;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};
use tokio::sync::{oneshot, watch};

pub use self::database::History;
pub use self::error::OutboxError;
pub use self::item::{Destination, Item, Kind, Stored, StoredFrame};
pub use self::look::Look;
pub use self::quota::{Limits, Load, Loads};

use self::inbox::{Arrival, Inbox, Question};
use self::worker::{Place, Worker};
use crate::clock::Clock;

/// How the outbox is.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Why the disk takes nothing, while that is so.
    pub trouble: Option<String>,
    /// What is on the disk.
    pub loads: Loads,
    /// What has become of items, by the number of their kind, since the outbox was made.
    pub history: [History; 3],
    /// Items that are not on the disk.
    pub in_memory: u64,
    /// When the oldest item was made.
    pub oldest_at: Option<DateTime<Utc>>,
    /// Items that were delivered from memory, since the start.
    pub delivered_from_memory: u64,
    /// Items that found no room or were lost with a corrupt outbox, since the start.
    pub dropped: u64,
    /// Items that had to make room for others, since the start.
    pub evicted: u64,
    /// Where a corrupt outbox was moved to, since the start.
    pub set_aside: Option<PathBuf>,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    status: Mutex<Status>,
    /// The number of the last item that can be read.
    visible: watch::Sender<u64>,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status());
    }
}

/// An outbox and the thread that works for it.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What those hold who put in and take out. Cloning shares it; it outlives the outbox without harm.
#[derive(Debug, Clone)]
pub struct OutboxHandle(Arc<Shared>);

impl Outbox {
    /// Starts the outbox in a folder, which is made where it is absent.
    ///
    /// # Errors
    /// When another process works with it. A disk that doesn't take it is no error: see [`Status::trouble`].
    pub fn start(folder: &Path, limits: Limits, clock: Arc<dyn Clock>) -> Result<Self, OutboxError> {
        let place = Place { folder: folder.to_owned(), limits, free: disk::free_space() };
        Self::start_in(place, clock)
    }

    /// Starts an outbox that keeps everything in memory, within the limits that hold while a disk is away.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, OutboxError> {
        Self::spawn(clock, None, None)
    }

    fn start_in(place: Place, clock: Arc<dyn Clock>) -> Result<Self, OutboxError> {
        let held = match lock(&place.folder) {
            Ok(Some(file)) => Some(file),
            Ok(None) => return Err(OutboxError::InUse { path: place.folder }),
            // The thread meets the same trouble, says so and tries again.
            Err(_) => None,
        };
        Self::spawn(clock, Some(place), held)
    }

    fn spawn(clock: Arc<dyn Clock>, place: Option<Place>, held: Option<File>) -> Result<Self, OutboxError> {
        let shared =
            Arc::new(Shared { inbox: Inbox::default(), status: Mutex::default(), visible: watch::Sender::new(0) });
        let worker = Worker::new(Arc::clone(&shared), clock, place, held);
        let thread = std::thread::Builder::new().name("outbox".to_owned()).spawn(move || worker.run());
        Ok(Self { shared, thread: Some(thread.map_err(OutboxError::Thread)?) })
    }

    /// What those hold who put in and take out.
    #[must_use]
    pub fn handle(&self) -> OutboxHandle {
        OutboxHandle(Arc::clone(&self.shared))
    }

    /// Writes what waits and ends. Takes as long as the disk takes.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.inbox.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The outbox's thread failed.");
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}

impl OutboxHandle {
    /// Puts an item in. Never waits; where nothing can be taken any more it is dropped and counted.
    pub fn append(&self, item: Item) {
        self.push(Arrival { item, reply: None });
    }

    /// Puts an item in, and waits until it is on the disk. False where there is no room for it.
    pub async fn keep(&self, item: Item) -> bool {
        let (reply, kept) = oneshot::channel();
        self.push(Arrival { item, reply: Some(reply) });
        kept.await.unwrap_or(false)
    }

    fn push(&self, arrival: Arrival) {
        if self.0.inbox.push(arrival) {
            self.0.change_status(|status| status.dropped += 1);
        }
    }

    /// The next items for a destination after a number, in order; 0 is before all.
    pub async fn read(&self, destination: Destination, after: u64, limit: usize) -> Vec<Stored> {
        let (reply, found) = oneshot::channel();
        self.0.inbox.ask(Question { destination, after, limit, reply });
        found.await.unwrap_or_default()
    }

    /// The destination of these items has them: they may go.
    pub fn acknowledge(&self, seqs: impl IntoIterator<Item = u64>) {
        self.0.inbox.acknowledge(seqs);
    }

    /// The number of the last item that can be read, and every change of it.
    #[must_use]
    pub fn visible(&self) -> watch::Receiver<u64> {
        self.0.visible.subscribe()
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }
}

/// Where the outbox is unless the configuration says so: `outbox` in [`state_folder`].
#[must_use]
pub fn usual_folder() -> Option<PathBuf> {
    Some(state_folder()?.join("outbox"))
}

/// Where what must survive a restart is kept: in `$STATE_DIRECTORY` (systemd's `StateDirectory=`), else in `ocellus` in
/// `$XDG_STATE_HOME` or `~/.local/state`.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = || {
        let own = set("XDG_STATE_HOME").map(PathBuf::from);
        Some(own.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?.join("ocellus"))
    };
    // systemd may name several, with colons between them: the first is ours.
    let given = std::env::var("STATE_DIRECTORY").ok().filter(|value| !value.is_empty());
    let given = given.and_then(|value| value.split(':').next().map(PathBuf::from));
    given.or_else(state)
}

/// Takes the outbox for this process, for as long as the file is open. None where another has it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    fs::create_dir_all(folder)?;
    let file = File::options().create(true).append(true).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
