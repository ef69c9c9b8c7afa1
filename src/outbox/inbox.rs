//! What waits for the outbox's thread: a bounded line in memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::item::{Destination, Item, Stored};

/// Most items, and bytes, that wait for the disk.
const CAPACITY: (usize, u64) = (4096, 64 << 20);

/// An item on its way in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) item: Item,
    /// Told whether it was kept.
    pub(super) reply: Option<oneshot::Sender<bool>>,
}

/// A question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) destination: Destination,
    pub(super) after: u64,
    pub(super) limit: usize,
    pub(super) reply: oneshot::Sender<Vec<Stored>>,
}

/// What the thread takes at once.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) arrivals: VecDeque<Arrival>,
    pub(super) acknowledged: Vec<u64>,
    pub(super) questions: Vec<Question>,
    pub(super) closing: bool,
    bytes: u64,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.arrivals.is_empty() && self.acknowledged.is_empty() && self.questions.is_empty() && !self.closing
    }

    fn is_full(&self) -> bool {
        self.arrivals.len() >= CAPACITY.0 || self.bytes >= CAPACITY.1
    }

    /// Makes room by giving up the oldest of the least kind, unless the newcomer is of a lesser one.
    fn give_way(&mut self, item: &Item) -> bool {
        let least = self.arrivals.iter().enumerate().min_by_key(|(_, arrival)| arrival.item.kind);
        let index = least.filter(|(_, arrival)| arrival.item.kind <= item.kind).map(|(index, _)| index);
        let Some(lost) = index.and_then(|index| self.arrivals.remove(index)) else { return false };
        self.bytes -= lost.item.bytes();
        true
    }
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    work: Mutex<Work>,
    changed: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// Adds an item, and says whether another had to go, or it itself.
    pub(super) fn push(&self, arrival: Arrival) -> bool {
        let mut work = self.lock();
        let full = work.is_full();
        if full && !work.give_way(&arrival.item) {
            return true;
        }
        work.bytes += arrival.item.bytes();
        work.arrivals.push_back(arrival);
        drop(work);
        self.changed.notify_one();
        full
    }

    pub(super) fn acknowledge(&self, seqs: impl IntoIterator<Item = u64>) {
        self.change(|work| work.acknowledged.extend(seqs));
    }

    pub(super) fn ask(&self, question: Question) {
        self.change(|work| work.questions.push(question));
    }

    pub(super) fn close(&self) {
        self.change(|work| work.closing = true);
    }

    /// Takes what is there; waits while there is nothing, not longer than `patience`.
    pub(super) fn take(&self, patience: Option<Duration>) -> Work {
        let mut work = self.lock();
        match patience {
            None => {
                while work.is_empty() {
                    work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
            }
            Some(patience) => {
                let waited = self.changed.wait_timeout_while(work, patience, |work| work.is_empty());
                work = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let closing = work.closing;
        std::mem::replace(&mut *work, Work { closing, ..Work::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::item::Kind;
    use crate::outbox::tests::item;

    #[test]
    fn when_it_is_full_the_oldest_of_the_least_kind_goes() {
        let inbox = Inbox::default();
        let push = |kind, n| inbox.push(Arrival { item: item(kind, n), reply: None });
        for n in 0..CAPACITY.0 as u64 - 1 {
            assert!(!push(Kind::Event, n));
        }
        assert!(!push(Kind::Evidence, 9000));
        assert!(push(Kind::Count, 9001), "the evidence went");
        assert!(push(Kind::Evidence, 9002), "it went itself");
        assert!(push(Kind::Event, 9003), "the count went");
        assert!(push(Kind::Event, 9004), "the oldest event went");
        let work = inbox.take(None);
        let ids: Vec<_> = work.arrivals.iter().map(|arrival| arrival.item.id.random()).collect();
        let wanted: Vec<_> = (1..CAPACITY.0 as u128 - 1).chain([9003, 9004]).collect();
        assert_eq!(ids, wanted);
        assert!(inbox.take(Some(Duration::ZERO)).is_empty());
    }
}
