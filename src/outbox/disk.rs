//! Database and frames together: one round of changes is on the disk as a whole or not at all.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::database::{Change, Database, Entry, History, value_of};
use super::error::Trouble;
use super::frames::{Frames, sync_folder};
use super::item::{Destination, Item, Kind, Stored};
use super::quota::{Limits, Loads, Room};
use super::recent::Recent;
use crate::sqlite;

/// The database's file.
const DATABASE: &str = "outbox.db";
/// The folder of frames.
const FRAMES: &str = "frames";
/// What the name of a folder starts with into which a corrupt outbox was moved.
const CORRUPT: &str = "corrupt-";
/// How many of those are kept, the newest.
const KEPT_CORRUPT: usize = 2;
/// Free pages in the database are given back when they are more than so many bytes, and so many pages a round.
const SHRINK: (u64, u32) = (16 << 20, 1024);
/// Rounds until the free pages are counted again, where there were few.
const COUNT_EVERY: u32 = 64;

/// How many bytes of a folder's disk are free.
pub(super) type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// What the system says.
pub(super) fn free_space() -> FreeSpace {
    Arc::new(|folder| {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    })
}

/// What became of an item that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is on the disk, or was there already.
    Kept,
    /// There is no room for it.
    NoRoom,
    /// There will be room for it when the disk has space again.
    Later,
}

/// What a round did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What became of the items, one by one, as far as the disk had space.
    pub(super) fates: Vec<Fate>,
    /// Whether it had no space for one. That one and those behind it were not taken.
    pub(super) full: bool,
    /// Items that were given up for others, of each kind.
    pub(super) evicted: [u64; 3],
}

pub(super) struct Disk {
    folder: PathBuf,
    frames: Frames,
    database: Database,
    limits: Limits,
    free: FreeSpace,
    loads: Loads,
    history: [History; 3],
    /// Rounds until the free pages of the database are counted.
    count_in: u32,
    recent: Recent,
}

impl Disk {
    /// Opens or makes the outbox in a folder, and clears away what an interrupted round left.
    pub(super) fn open(folder: &Path, limits: Limits, free: FreeSpace) -> Result<Self, Trouble> {
        let frames = Frames::new(folder.join(FRAMES));
        frames.create()?;
        let database = Database::open(&folder.join(DATABASE))?;
        // The names of what was just made.
        sync_folder(folder)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        let swept = frames.sweep(&database.frames(&frames)?)?;
        if swept > 0 {
            tracing::debug!(swept, "Removed frames that were written without their item.");
        }
        let (loads, history, recent) = (database.loads()?, database.history()?, Recent::new(database.last()?));
        let folder = folder.to_owned();
        Ok(Self { folder, frames, database, limits, free, loads, history, count_in: 0, recent })
    }

    /// Opens it only to look, beside the daemon.
    pub(super) fn look(folder: &Path) -> Result<(Database, Frames), Trouble> {
        let database = Database::open_to_read(&folder.join(DATABASE))?;
        Ok((database, Frames::new(folder.join(FRAMES))))
    }

    /// Whether there is an outbox in a folder.
    pub(super) fn is_there(folder: &Path) -> bool {
        folder.join(DATABASE).is_file()
    }

    /// The highest number that is taken.
    pub(super) fn last(&self) -> Result<u64, Trouble> {
        self.database.last()
    }

    pub(super) fn loads(&self) -> Loads {
        self.loads
    }

    pub(super) fn history(&self) -> [History; 3] {
        self.history
    }

    pub(super) fn oldest(&self) -> Result<Option<i64>, Trouble> {
        self.database.oldest()
    }

    pub(super) fn read(&self, destination: Destination, after: u64, limit: usize) -> Result<Vec<Stored>, Trouble> {
        match self.recent.read(destination, after, limit) {
            Some(found) => Ok(found),
            None => self.database.read(destination, after, limit, &self.frames),
        }
    }

    /// Removes what was acknowledged and adds items, each with its number, as far as there is space: all of that or
    /// nothing.
    pub(super) fn round(&mut self, acknowledged: &[u64], items: &[(u64, Item)]) -> Result<Outcome, Trouble> {
        // Where nobody can say how much is free, a write will tell.
        let free = (self.free)(&self.folder).unwrap_or(u64::MAX).saturating_sub(self.limits.reserve);
        let needed: u64 = items.iter().map(|(_, item)| item.bytes()).sum();
        let reusable = self.reusable(free < needed)?;
        let mut round = Round {
            change: self.database.transaction()?,
            limits: self.limits,
            loads: self.loads,
            available: free.saturating_add(reusable),
            history: [History::default(); 3],
            gone: Vec::new(),
            added: Vec::new(),
        };
        for seq in acknowledged {
            round.deliver(*seq)?;
        }
        let (mut fates, mut full) = (Vec::with_capacity(items.len()), false);
        for (index, (seq, item)) in items.iter().enumerate() {
            match round.append(index, *seq, item)? {
                Fate::Later => full = true,
                fate => fates.push(fate),
            }
            if full {
                break;
            }
        }
        write_frames(&self.frames, &fates, items, &round.gone)?;
        let Committed { loads, history, gone, added } = round.commit()?;
        self.loads = loads;
        for (all, new) in self.history.iter_mut().zip(history) {
            all.add(&new);
        }
        let added = added.into_iter().filter_map(|index| items.get(index));
        added.for_each(|(seq, item)| self.recent.add(self.frames.stored(*seq, item)));
        gone.iter().for_each(|entry| self.recent.remove(entry.seq));
        for entry in gone.iter().filter(|entry| entry.has_frame) {
            self.frames.remove(entry.id, entry.destination);
        }
        if reusable > SHRINK.0 {
            self.database.shrink(SHRINK.1)?;
        }
        Ok(Outcome { fates, full, evicted: history.map(|history| history.evicted) })
    }

    /// What of the database's file is free, as far as it matters: to give it back some day, or now to find room.
    fn reusable(&mut self, now: bool) -> Result<u64, Trouble> {
        self.count_in = self.count_in.saturating_sub(1);
        if self.count_in > 0 && !now {
            return Ok(0);
        }
        let reusable = self.database.reusable()?;
        self.count_in = if reusable > SHRINK.0 { 0 } else { COUNT_EVERY };
        Ok(reusable)
    }

    /// Why it takes nothing while it works and has no space.
    pub(super) fn fullness(&self) -> Trouble {
        let reserve = self.limits.reserve >> 20;
        Trouble::Full(match reserve {
            0 => "the disk is full".to_owned(),
            _ => format!("the disk is full: no more is free than the {reserve} MiB of `reserve_mib`"),
        })
    }

    /// Writes everything into the database file itself, as a clean end does.
    pub(super) fn checkpoint(&self) -> Result<(), Trouble> {
        self.database.checkpoint()
    }

    /// Moves a corrupt outbox out of the way, and says where it is.
    pub(super) fn set_aside(folder: &Path, now: DateTime<Utc>) -> io::Result<PathBuf> {
        let target = folder.join(format!("{CORRUPT}{}", now.format("%Y%m%dT%H%M%S%3fZ")));
        fs::create_dir_all(&target)?;
        sqlite::move_to(&folder.join(DATABASE), &target.join(DATABASE))?;
        match fs::rename(folder.join(FRAMES), target.join(FRAMES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        sync_folder(folder)?;
        forget_old_corrupt(folder)?;
        Ok(target)
    }
}

/// Bounded everywhere: what was set aside long ago goes.
fn forget_old_corrupt(folder: &Path) -> io::Result<()> {
    let mut aside = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(CORRUPT) {
            aside.push(entry.path());
        }
    }
    // Their names are times.
    aside.sort();
    let surplus = aside.len().saturating_sub(KEPT_CORRUPT);
    for path in aside.iter().take(surplus) {
        tracing::warn!(path = %path.display(), "Removing an old corrupt outbox that was set aside.");
        fs::remove_dir_all(path)?;
    }
    Ok(())
}

/// Frames before their rows: synced, named, and the names synced.
fn write_frames(frames: &Frames, fates: &[Fate], items: &[(u64, Item)], gone: &[Entry]) -> Result<(), Trouble> {
    let mut written = false;
    for ((seq, item), fate) in items.iter().zip(fates) {
        let stays = *fate == Fate::Kept && gone.iter().all(|entry| entry.seq != *seq);
        if let (Some(frame), true) = (&item.frame, stays) {
            frames.write(item.id, item.destination, frame)?;
            written = true;
        }
    }
    if written {
        frames.sync()?;
    }
    Ok(())
}

/// Changes that are not committed yet.
struct Round<'a> {
    change: Change<'a>,
    limits: Limits,
    loads: Loads,
    available: u64,
    history: [History; 3],
    gone: Vec<Entry>,
    /// Which of the items were written, by their place.
    added: Vec<usize>,
}

/// What a round that is on the disk has changed.
struct Committed {
    loads: Loads,
    history: [History; 3],
    gone: Vec<Entry>,
    added: Vec<usize>,
}

impl Round<'_> {
    fn deliver(&mut self, seq: u64) -> Result<(), Trouble> {
        // It may have been evicted while it was on its way.
        if let Some(entry) = self.change.find(seq)? {
            self.history[usize::from(entry.kind.code())].delivered += 1;
            self.remove(entry)?;
        }
        Ok(())
    }

    fn append(&mut self, index: usize, seq: u64, item: &Item) -> Result<Fate, Trouble> {
        if self.change.has(item.id, item.destination)? {
            return Ok(Fate::Kept);
        }
        let bytes = item.bytes();
        loop {
            match self.limits.room(&self.loads, item.kind, bytes, self.available) {
                Room::Now => break,
                Room::Never => return Ok(Fate::NoRoom),
                Room::Later => return Ok(Fate::Later),
                Room::After(kind) => {
                    let Some(entry) = self.change.first_to_go(kind)? else { return Ok(Fate::NoRoom) };
                    if entry.kind == item.kind && entry.value > value_of(item) {
                        return Ok(Fate::NoRoom);
                    }
                    self.history[usize::from(kind.code())].evicted += 1;
                    self.remove(entry)?;
                }
            }
        }
        self.change.insert(seq, item)?;
        self.added.push(index);
        self.loads.of_mut(item.kind).add(bytes);
        self.available = self.available.saturating_sub(bytes);
        self.history[usize::from(item.kind.code())].accepted += 1;
        Ok(Fate::Kept)
    }

    fn commit(self) -> Result<Committed, Trouble> {
        let Self { change, loads, history, gone, added, .. } = self;
        for kind in Kind::ALL {
            change.add_history(kind, &history[usize::from(kind.code())])?;
        }
        change.commit()?;
        Ok(Committed { loads, history, gone, added })
    }

    fn remove(&mut self, entry: Entry) -> Result<(), Trouble> {
        self.change.delete(entry.seq)?;
        self.loads.of_mut(entry.kind).subtract(entry.bytes);
        self.available = self.available.saturating_add(entry.bytes);
        self.gone.push(entry);
        Ok(())
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("folder", &self.folder).field("loads", &self.loads).finish_non_exhaustive()
    }
}
