//! How much may wait, and what is given up first.
//!
//! The order of eviction: the least valuable evidence, of equally valuable evidence the oldest; then the oldest
//! counts; then the oldest events. Nothing is evicted for an item of lesser kind, nor for evidence of lesser
//! value: then it is the new item that is not taken.
//!
//! Where it is not a limit that is reached but the disk that is filled, by whomever, no event goes for another and no
//! count for another: what is new waits in memory until there is space.

use super::item::Kind;

/// A number of items and the bytes they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Items.
    pub items: u64,
    /// Bytes, frames included.
    pub bytes: u64,
}

impl Load {
    pub(super) fn add(&mut self, bytes: u64) {
        self.items += 1;
        self.bytes += bytes;
    }

    pub(super) fn subtract(&mut self, bytes: u64) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether one more item fits.
    fn takes(&self, bytes: u64, limit: &Self) -> bool {
        self.items < limit.items && self.bytes.saturating_add(bytes) <= limit.bytes
    }
}

/// What is in the outbox, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loads([Load; 3]);

impl Loads {
    /// Of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Load {
        self.0[usize::from(kind.code())]
    }

    pub(super) fn of_mut(&mut self, kind: Kind) -> &mut Load {
        &mut self.0[usize::from(kind.code())]
    }

    /// Of all kinds together.
    #[must_use]
    pub fn total(&self) -> Load {
        let sum = |of: fn(&Load) -> u64| self.0.iter().map(of).sum();
        Load { items: sum(|load| load.items), bytes: sum(|load| load.bytes) }
    }
}

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of all kinds together.
    pub total: Load,
    /// Of evidence.
    pub evidence: Load,
    /// Bytes of the disk that stay free for others.
    pub reserve: u64,
}

impl Limits {
    fn of(&self, kind: Kind) -> &Load {
        match kind {
            Kind::Evidence => &self.evidence,
            Kind::Count | Kind::Event => &self.total,
        }
    }

    /// Of which kind an item must go before one more item of `kind` and size fits. `available` is what may still be
    /// taken of the disk.
    pub(super) fn room(&self, loads: &Loads, kind: Kind, bytes: u64, available: u64) -> Room {
        let own = self.of(kind);
        if bytes > own.bytes.min(self.total.bytes) {
            return Room::Never;
        }
        if kind == Kind::Evidence && !loads.of(kind).takes(bytes, own) {
            return if loads.of(kind).items > 0 { Room::After(kind) } else { Room::Never };
        }
        let first = Kind::ALL.into_iter().find(|other| loads.of(*other).items > 0);
        if !loads.total().takes(bytes, &self.total) {
            return first.filter(|first| *first <= kind).map_or(Room::Never, Room::After);
        }
        match first {
            _ if bytes <= available => Room::Now,
            Some(first) if first < kind || (first == kind && kind == Kind::Evidence) => Room::After(first),
            _ if kind == Kind::Evidence => Room::Never,
            _ => Room::Later,
        }
    }
}

/// Whether an item fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// It does.
    Now,
    /// Not before the first of this kind is gone.
    After(Kind),
    /// There is nothing that may go for it.
    Never,
    /// The disk is full; it would fit otherwise.
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: u64 = u64::MAX;

    fn limits() -> Limits {
        Limits { total: Load { items: 10, bytes: 1000 }, evidence: Load { items: 4, bytes: 400 }, reserve: 0 }
    }

    fn loads(evidence: u64, counts: u64, events: u64) -> Loads {
        let mut loads = Loads::default();
        for (kind, items) in [(Kind::Evidence, evidence), (Kind::Count, counts), (Kind::Event, events)] {
            *loads.of_mut(kind) = Load { items, bytes: items * 100 };
        }
        loads
    }

    #[test]
    fn evidence_has_a_limit_of_its_own() {
        let limits = limits();
        assert_eq!(limits.room(&loads(3, 0, 0), Kind::Evidence, 100, ENOUGH), Room::Now);
        assert_eq!(limits.room(&loads(4, 0, 0), Kind::Evidence, 1, ENOUGH), Room::After(Kind::Evidence));
        assert_eq!(limits.room(&loads(3, 0, 0), Kind::Evidence, 101, ENOUGH), Room::After(Kind::Evidence));
        assert_eq!(limits.room(&loads(4, 5, 0), Kind::Count, 100, ENOUGH), Room::Now);
        assert_eq!(limits.room(&loads(4, 3, 0), Kind::Event, 100, ENOUGH), Room::Now);
        assert_eq!(limits.room(&Loads::default(), Kind::Evidence, 401, ENOUGH), Room::Never);
    }

    #[test]
    fn evidence_goes_before_counts_and_counts_before_events() {
        let limits = limits();
        let room = |loads, kind| limits.room(&loads, kind, 100, ENOUGH);
        assert_eq!(room(loads(1, 2, 7), Kind::Event), Room::After(Kind::Evidence));
        assert_eq!(room(loads(0, 2, 8), Kind::Event), Room::After(Kind::Count));
        assert_eq!(room(loads(0, 0, 10), Kind::Event), Room::After(Kind::Event));
        assert_eq!(room(loads(1, 2, 7), Kind::Count), Room::After(Kind::Evidence));
        assert_eq!(room(loads(0, 2, 8), Kind::Count), Room::After(Kind::Count));
        assert_eq!(room(loads(1, 2, 7), Kind::Evidence), Room::After(Kind::Evidence));
    }

    #[test]
    fn what_is_larger_than_all_there_may_be_pushes_nothing_out() {
        let limits = limits();
        assert_eq!(limits.room(&loads(1, 1, 1), Kind::Event, 1001, ENOUGH), Room::Never);
        assert_eq!(limits.room(&loads(1, 1, 1), Kind::Evidence, 401, ENOUGH), Room::Never);
    }

    #[test]
    fn nothing_goes_for_a_lesser_kind() {
        let limits = limits();
        assert_eq!(limits.room(&loads(0, 2, 8), Kind::Evidence, 1, ENOUGH), Room::Never);
        assert_eq!(limits.room(&loads(0, 0, 10), Kind::Count, 1, ENOUGH), Room::Never);
    }

    #[test]
    fn what_the_disk_does_not_give_is_not_taken() {
        let limits = limits();
        let room = |loads, kind| limits.room(&loads, kind, 100, 99);
        assert_eq!(room(loads(1, 0, 1), Kind::Event), Room::After(Kind::Evidence));
        assert_eq!(room(loads(0, 2, 1), Kind::Event), Room::After(Kind::Count));
        assert_eq!(room(loads(1, 2, 1), Kind::Evidence), Room::After(Kind::Evidence));
        assert_eq!(room(loads(0, 2, 1), Kind::Evidence), Room::Never);
        assert_eq!(limits.room(&Loads::default(), Kind::Event, 100, 100), Room::Now);
    }

    #[test]
    fn of_what_matters_nothing_goes_because_others_fill_the_disk() {
        let limits = limits();
        let room = |loads, kind| limits.room(&loads, kind, 100, 99);
        assert_eq!(room(loads(0, 0, 5), Kind::Event), Room::Later);
        assert_eq!(room(Loads::default(), Kind::Event), Room::Later);
        assert_eq!(room(loads(0, 2, 5), Kind::Count), Room::Later);
        // A limit is a limit, whatever the disk.
        assert_eq!(room(loads(0, 0, 10), Kind::Event), Room::After(Kind::Event));
    }
}
