//! The thread that owns the disk: it takes what waits, makes one round of it, and answers who takes out.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use tokio::sync::oneshot;

use super::disk::{Disk, Fate, FreeSpace};
use super::error::Trouble;
use super::inbox::{Arrival, MANY, Question, Work};
use super::item::{Destination, Item, Stored, StoredFrame};
use super::quota::Limits;
use super::{Shared, lock};
use crate::backoff::Backoff;
use crate::clock::Clock;

/// Most items, and bytes, that are kept in memory while the disk takes nothing.
const PENDING: (usize, u64) = (4096, 64 << 20);
/// Most items that are written in one round.
const ROUND: usize = 1024;
/// How long acknowledgements wait for something to be written with. A crash meanwhile means that they are sent again.
const LINGER: Duration = Duration::from_millis(100);
/// The first wait before the disk is tried again, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Where the disk's part is.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) limits: Limits,
    pub(super) free: FreeSpace,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// None where nothing is to be kept on a disk.
    place: Option<Place>,
    /// Held as long as the outbox is ours.
    lock: Option<File>,
    disk: Option<Disk>,
    /// Items that are not on the disk yet, with their numbers, and who wants to know.
    pending: VecDeque<(u64, Item)>,
    replies: VecDeque<Option<oneshot::Sender<bool>>>,
    pending_bytes: u64,
    /// Acknowledged and still on the disk.
    acknowledged: BTreeSet<u64>,
    /// When they are written, whether or not anything else is.
    due: Option<Instant>,
    next: u64,
    trouble: Option<String>,
    /// Whether the disk is to be opened anew before it is used.
    suspect: bool,
    backoff: Backoff,
    retry_at: Instant,
    overflowing: bool,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, place: Option<Place>, lock: Option<File>) -> Self {
        // Beyond whatever an earlier process gave, also while the disk can't be asked.
        let next = u64::try_from(clock.wall().timestamp_micros()).unwrap_or(0).max(1);
        Self {
            shared,
            clock,
            place,
            lock,
            disk: None,
            pending: VecDeque::new(),
            replies: VecDeque::new(),
            pending_bytes: 0,
            acknowledged: BTreeSet::new(),
            due: None,
            next,
            trouble: None,
            suspect: false,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            retry_at: Instant::now(),
            overflowing: false,
        }
    }

    /// Works until the outbox is closed.
    pub(super) fn run(mut self) {
        self.write();
        self.report();
        loop {
            let until = [self.due, self.trouble.as_ref().map(|_| self.retry_at)].into_iter().flatten().min();
            let Work { arrivals, acknowledged, questions, closing, .. } =
                self.shared.inbox.take(until, self.due.is_some());
            self.accept(arrivals);
            self.forget(acknowledged);
            if self.is_time_to_write() || closing {
                self.write();
            }
            self.report();
            for question in questions {
                self.answer(question);
            }
            if closing {
                self.end();
                return;
            }
        }
    }

    fn is_time_to_write(&mut self) -> bool {
        let now = Instant::now();
        let due = self.due.take_if(|due| *due <= now).is_some();
        if self.trouble.is_some() {
            return self.retry_at <= now;
        }
        due || !self.pending.is_empty() || self.acknowledged.len() >= MANY
    }

    fn accept(&mut self, arrivals: VecDeque<Arrival>) {
        for Arrival { item, reply } in arrivals {
            self.pending_bytes += item.bytes();
            self.pending.push_back((self.next, item));
            self.replies.push_back(reply);
            self.next += 1;
        }
        let keeps = self.place.is_some() && self.trouble.is_none();
        let full = |worker: &Self| worker.pending.len() > PENDING.0 || worker.pending_bytes > PENDING.1;
        while !keeps && full(self) {
            // The order of eviction, as on the disk.
            let values = self.pending.iter().map(|(_, item)| (item.kind, super::database::value_of(item)));
            let least = values.enumerate().min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let Some((index, _)) = least else { break };
            self.drop_pending(index);
            self.shared.change_status(|status| status.dropped += 1);
        }
    }

    fn drop_pending(&mut self, index: usize) -> Option<oneshot::Sender<bool>> {
        if let Some((_, item)) = self.pending.remove(index) {
            self.pending_bytes = self.pending_bytes.saturating_sub(item.bytes());
        }
        self.replies.remove(index).flatten()
    }

    /// Notes what was acknowledged. What is only in memory is done with at once.
    fn forget(&mut self, acknowledged: Vec<u64>) {
        if !acknowledged.is_empty() {
            self.due.get_or_insert(Instant::now() + LINGER);
        }
        for seq in acknowledged {
            match self.pending.binary_search_by_key(&seq, |(seq, _)| *seq) {
                Ok(index) => {
                    if let Some(reply) = self.drop_pending(index) {
                        let _ = reply.send(true);
                    }
                    self.shared.change_status(|status| status.delivered_from_memory += 1);
                }
                Err(_) => {
                    self.acknowledged.insert(seq);
                }
            }
        }
    }

    /// Brings everything to the disk, or notes why that can't be.
    fn write(&mut self) {
        self.due = None;
        if self.place.is_none() {
            self.acknowledged.clear();
            return;
        }
        let mut result = self.try_write();
        if let Err(Trouble::Corrupt(reason)) = &result {
            result = self.set_aside(&reason.clone()).and_then(|()| self.try_write());
        }
        match result {
            Ok(()) => self.note_health(),
            Err(trouble) => self.note_trouble(&trouble),
        }
    }

    fn try_write(&mut self) -> Result<(), Trouble> {
        if self.disk.is_none() || self.suspect {
            self.open()?;
            self.suspect = false;
        }
        loop {
            let Some(disk) = &mut self.disk else { return Ok(()) };
            if self.pending.is_empty() && self.acknowledged.is_empty() {
                return Ok(());
            }
            let acknowledged: Vec<u64> = self.acknowledged.iter().copied().collect();
            let items = self.pending.make_contiguous();
            let items = items.get(..ROUND).unwrap_or(items);
            let outcome = disk.round(&acknowledged, items)?;
            self.acknowledged.clear();
            let evicted = outcome.evicted.iter().sum::<u64>();
            self.shared.change_status(|status| status.evicted += evicted);
            let mut lost = evicted;
            for fate in outcome.fates {
                let Some((_, item)) = self.pending.pop_front() else { break };
                self.pending_bytes = self.pending_bytes.saturating_sub(item.bytes());
                let kept = fate == Fate::Kept;
                if kept {
                    tracing::trace!(id = %item.id, kind = item.kind.name(), "Kept.");
                } else {
                    lost += 1;
                    self.shared.change_status(|status| status.dropped += 1);
                }
                if let Some(reply) = self.replies.pop_front().flatten() {
                    let _ = reply.send(kept);
                }
            }
            self.note_overflow(lost);
            if outcome.full {
                return self.disk.as_ref().map_or(Ok(()), |disk| Err(disk.fullness()));
            }
        }
    }

    fn open(&mut self) -> Result<(), Trouble> {
        let Some(place) = &self.place else { return Ok(()) };
        if self.lock.is_none() {
            self.lock = Some(lock(&place.folder)?.ok_or_else(|| Trouble::failed("another ocellus works with it"))?);
        }
        let disk = Disk::open(&place.folder, place.limits, Arc::clone(&place.free))?;
        let last = disk.last()?;
        self.disk = Some(disk);
        let first = self.pending.front().map_or(self.next, |(seq, _)| *seq);
        if first <= last {
            // Only a calendar that went back leads here.
            let ahead = last + 1 - first;
            self.next += ahead;
            self.pending.iter_mut().for_each(|(seq, _)| *seq += ahead);
        }
        Ok(())
    }

    /// Starts anew after a corrupt database was moved away.
    fn set_aside(&mut self, reason: &str) -> Result<(), Trouble> {
        let Some(place) = &self.place else { return Ok(()) };
        let lost = self.disk.take().map_or(0, |disk| disk.loads().total().items);
        let folder = &place.folder;
        let aside = Disk::set_aside(folder, self.clock.wall())?;
        tracing::error!(
            outbox = %folder.display(), aside = %aside.display(), lost, reason,
            "The outbox was corrupt. It is set aside, and a new one is started.",
        );
        self.acknowledged.clear();
        self.shared.change_status(|status| {
            status.dropped += lost;
            status.set_aside = Some(aside);
        });
        Ok(())
    }

    fn note_health(&mut self) {
        self.backoff.reset();
        if self.trouble.take().is_some() {
            tracing::info!("The outbox is on the disk again.");
        }
    }

    fn note_trouble(&mut self, trouble: &Trouble) {
        self.suspect = !matches!(trouble, Trouble::Full(_));
        self.retry_at = Instant::now() + self.backoff.wait();
        let reason = trouble.reason().to_owned();
        if self.trouble.as_ref() != Some(&reason)
            && let Some(place) = &self.place
        {
            let outbox = place.folder.display();
            tracing::error!(%outbox, %reason, "The disk does not take the outbox; it is kept in memory meanwhile.");
        }
        self.trouble = Some(reason);
    }

    /// Says once when items begin to be lost because there is no room.
    fn note_overflow(&mut self, lost: u64) {
        if lost > 0 && !self.overflowing {
            tracing::warn!("The outbox is full: the least valuable items are given up.");
        }
        self.overflowing = lost > 0;
    }

    fn answer(&mut self, question: Question) {
        let Question { destination, after, limit, reply } = question;
        let mut found = match self.read_disk(destination, after, limit) {
            Ok(found) => found,
            Err(trouble) => {
                self.note_trouble(&trouble);
                if matches!(trouble, Trouble::Corrupt(_)) {
                    self.retry_at = Instant::now();
                }
                Vec::new()
            }
        };
        if self.shows_pending() {
            let more = self.pending.iter().filter(|(seq, item)| *seq > after && item.destination == destination);
            found.extend(more.take(limit - found.len()).map(|(seq, item)| in_memory(*seq, item)));
        }
        let _ = reply.send(found);
    }

    /// Items are taken out from memory only where the disk does not have them.
    fn shows_pending(&self) -> bool {
        self.place.is_none() || self.trouble.is_some()
    }

    fn read_disk(&self, destination: Destination, mut after: u64, limit: usize) -> Result<Vec<Stored>, Trouble> {
        let Some(disk) = &self.disk else { return Ok(Vec::new()) };
        loop {
            let mut found = disk.read(destination, after, limit)?;
            let Some(last) = found.last().map(|stored| stored.seq) else { return Ok(found) };
            let whole = found.len() == limit;
            found.retain(|stored| !self.acknowledged.contains(&stored.seq));
            if !found.is_empty() || !whole {
                return Ok(found);
            }
            after = last;
        }
    }

    /// Tells the others how it is.
    fn report(&mut self) {
        let visible = if self.shows_pending() || self.pending.is_empty() {
            self.next - 1
        } else {
            self.pending.front().map_or(0, |(seq, _)| *seq - 1)
        };
        let seen = self.disk.as_ref().and_then(|disk| Some((disk.loads(), disk.history(), disk.oldest().ok()?)));
        let oldest_in_memory = self.pending.front().map(|(_, item)| item.created_at);
        self.shared.change_status(|status| {
            status.trouble.clone_from(&self.trouble);
            status.in_memory = self.pending.len() as u64;
            if let Some((loads, history, oldest)) = seen {
                (status.loads, status.history) = (loads, history);
                status.oldest_at = oldest.and_then(DateTime::from_timestamp_millis).or(oldest_in_memory);
            } else {
                status.oldest_at = oldest_in_memory;
            }
        });
        self.shared.visible.send_if_modified(|last| std::mem::replace(last, visible) != visible);
    }

    fn end(&mut self) {
        if let Some(disk) = &self.disk
            && let Err(trouble) = disk.checkpoint()
        {
            tracing::debug!(reason = trouble.reason(), "The outbox's log stays for the next start.");
        }
        let lost = self.pending.len();
        if lost > 0 {
            tracing::warn!(lost, "The outbox closes with items that are only in memory.");
        }
    }
}

fn in_memory(seq: u64, item: &Item) -> Stored {
    let mut item = item.clone();
    let frame = item.frame.take().map_or(StoredFrame::None, StoredFrame::Memory);
    Stored { seq, item, frame }
}
