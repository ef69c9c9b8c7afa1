//! What was written last, still in memory: who takes items out as they come does not read them from the disk.

use std::collections::VecDeque;

use super::item::{Destination, Stored};

/// Most items, and bytes of their payloads, that are remembered.
const CAPACITY: (usize, usize) = (1024, 4 << 20);

/// Items that are on the disk, in order.
#[derive(Debug)]
pub(super) struct Recent {
    items: VecDeque<Stored>,
    bytes: usize,
    /// Every item on the disk with a higher number is among them.
    after: u64,
}

impl Recent {
    /// Nothing yet: what is on the disk has this number or a lower one.
    pub(super) fn new(after: u64) -> Self {
        Self { items: VecDeque::new(), bytes: 0, after }
    }

    /// Remembers an item that was written; its number is the highest.
    pub(super) fn add(&mut self, stored: Stored) {
        self.bytes += stored.item.payload.len();
        self.items.push_back(stored);
        while self.items.len() > CAPACITY.0 || self.bytes > CAPACITY.1 {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= oldest.item.payload.len();
            self.after = oldest.seq;
        }
    }

    /// An item is on the disk no more.
    pub(super) fn remove(&mut self, seq: u64) {
        if let Ok(index) = self.items.binary_search_by_key(&seq, |stored| stored.seq)
            && let Some(gone) = self.items.remove(index)
        {
            self.bytes -= gone.item.payload.len();
        }
    }

    /// The next items for a destination after a number, in order. None where others on the disk come before them.
    pub(super) fn read(&self, destination: Destination, after: u64, limit: usize) -> Option<Vec<Stored>> {
        if after < self.after {
            return None;
        }
        let start = self.items.partition_point(|stored| stored.seq <= after);
        let items = self.items.range(start..).filter(|stored| stored.item.destination == destination);
        Some(items.take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::item::{Kind, StoredFrame};
    use crate::outbox::tests::item;

    fn stored(seq: u64) -> Stored {
        let kind = if seq.is_multiple_of(2) { Kind::Event } else { Kind::Evidence };
        Stored { seq, item: item(kind, seq), frame: StoredFrame::None }
    }

    fn read(recent: &Recent, destination: Destination, after: u64, limit: usize) -> Option<Vec<u64>> {
        recent.read(destination, after, limit).map(|items| items.iter().map(|stored| stored.seq).collect())
    }

    #[test]
    fn it_answers_where_it_knows_all() {
        let mut recent = Recent::new(10);
        (11..=20).for_each(|seq| recent.add(stored(seq)));
        assert_eq!(read(&recent, Destination::Broker, 9, 100), None);
        assert_eq!(read(&recent, Destination::Broker, 10, 100), Some(vec![12, 14, 16, 18, 20]));
        recent.remove(14);
        recent.remove(99);
        assert_eq!(read(&recent, Destination::Broker, 12, 2), Some(vec![16, 18]));
        assert_eq!(read(&recent, Destination::Store, 15, 100), Some(vec![17, 19]));
        assert_eq!(read(&recent, Destination::Store, 20, 100), Some(vec![]));
    }

    #[test]
    fn it_is_bounded_and_knows_what_it_forgot() {
        let mut recent = Recent::new(0);
        let count = CAPACITY.0 as u64 + 5;
        (1..=count).for_each(|seq| recent.add(stored(seq)));
        assert_eq!(recent.items.len(), CAPACITY.0);
        assert_eq!(read(&recent, Destination::Broker, 4, 1), None);
        assert_eq!(read(&recent, Destination::Broker, 5, 1), Some(vec![6]));
        let mut large = stored(count + 1);
        large.item.payload = vec![0; CAPACITY.1 + 1].into();
        recent.add(large);
        assert_eq!((recent.items.len(), recent.bytes), (0, 0));
        assert_eq!(read(&recent, Destination::Broker, count, 1), None);
        assert_eq!(read(&recent, Destination::Broker, count + 1, 1), Some(vec![]));
    }
}
