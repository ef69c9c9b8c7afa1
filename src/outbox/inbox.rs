//! What waits for the outbox's thread: a bounded line in memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::item::{Destination, Item, Stored};

/// Most items, and bytes, that wait for the disk.
const CAPACITY: (usize, u64) = (4096, 64 << 20);
/// So many acknowledgements are worth a round of their own.
pub(super) const MANY: usize = 256;

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
    /// Whether somebody waits for the thread. Who is `patient` has acknowledgements already that are to be written.
    fn is_pressing(&self, patient: bool) -> bool {
        let acknowledged = if patient { MANY } else { 1 };
        let asked = !self.arrivals.is_empty() || !self.questions.is_empty();
        asked || self.closing || self.acknowledged.len() >= acknowledged
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
        let mut work = self.lock();
        let before = work.acknowledged.len();
        work.acknowledged.extend(seqs);
        // They come one by one: not each is worth waking the thread.
        let worth = before == 0 || work.acknowledged.len() >= MANY;
        drop(work);
        if worth {
            self.changed.notify_one();
        }
    }

    pub(super) fn ask(&self, question: Question) {
        self.change(|work| work.questions.push(question));
    }

    pub(super) fn close(&self) {
        self.change(|work| work.closing = true);
    }

    /// Takes what is there; waits while nothing presses, at most until then. Who is `patient` lets a few acknowledgements
    /// wait.
    pub(super) fn take(&self, until: Option<Instant>, patient: bool) -> Work {
        let mut work = self.lock();
        while !work.is_pressing(patient) {
            work = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => break,
                Some(left) => self.changed.wait_timeout(work, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(work).unwrap_or_else(PoisonError::into_inner),
            };
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
        let work = inbox.take(None, false);
        let ids: Vec<_> = work.arrivals.iter().map(|arrival| arrival.item.id.random()).collect();
        let wanted: Vec<_> = (1..CAPACITY.0 as u128 - 1).chain([9003, 9004]).collect();
        assert_eq!(ids, wanted);
        assert!(!inbox.take(Some(Instant::now()), false).is_pressing(false));
    }

    #[test]
    fn who_is_patient_lets_a_few_acknowledgements_wait_and_nothing_else() {
        let inbox = Inbox::default();
        inbox.acknowledge([1, 2]);
        assert_eq!(inbox.take(Some(Instant::now()), true).acknowledged, [1, 2], "when the time is over they come");
        inbox.acknowledge([3]);
        assert_eq!(inbox.take(None, false).acknowledged, [3], "who is not patient has them at once");
        inbox.acknowledge([4]);
        inbox.push(Arrival { item: item(Kind::Event, 1), reply: None });
        assert_eq!(inbox.take(None, true).acknowledged, [4], "they come with what presses");
        inbox.acknowledge(0..MANY as u64);
        assert_eq!(inbox.take(None, true).acknowledged.len(), MANY);
    }
}
