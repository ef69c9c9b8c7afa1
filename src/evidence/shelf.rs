//! A bounded place to wait, from which the least valuable goes first when it is full.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Shelf<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// With their values, oldest first.
    items: VecDeque<(f32, T)>,
    closed: bool,
}

impl<T> Shelf<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::new(State { items: VecDeque::new(), closed: false }),
            changed: Notify::new(),
        }
    }

    /// Adds an item. Gives back what had no room: of the least valuable the oldest, which may be the item
    /// itself. A closed shelf has no room.
    pub(super) fn push(&self, value: f32, item: T) -> Option<T> {
        let mut state = self.lock();
        if state.closed {
            return Some(item);
        }
        state.items.push_back((value, item));
        let lost = if state.items.len() > self.capacity {
            let values = state.items.iter().enumerate();
            // The first of equals is the oldest.
            let least = values.min_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b)).map(|(index, _)| index);
            least.and_then(|index| state.items.remove(index)).map(|(_, item)| item)
        } else {
            None
        };
        drop(state);
        self.changed.notify_one();
        lost
    }

    /// Takes the oldest item with its value; waits while there is none. None when closed and empty.
    /// There is one taker.
    pub(super) async fn pop(&self) -> Option<(f32, T)> {
        loop {
            {
                let mut state = self.lock();
                if let Some(item) = state.items.pop_front() {
                    return Some(item);
                }
                if state.closed {
                    return None;
                }
            }
            // A change since the lock was released has left its permit.
            self.changed.notified().await;
        }
    }

    /// No more items will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_least_valuable_goes_first_and_of_equals_the_oldest() {
        let shelf = Shelf::new(3);
        assert_eq!(shelf.push(0.5, "a"), None);
        assert_eq!(shelf.push(1.0, "b"), None);
        assert_eq!(shelf.push(0.5, "c"), None);
        assert_eq!(shelf.push(0.9, "d"), Some("a"));
        assert_eq!(shelf.push(0.1, "e"), Some("e"));
        shelf.close();
        assert_eq!(shelf.push(1.0, "f"), Some("f"));
        let mut left = Vec::new();
        while let Some((_, item)) = shelf.pop().await {
            left.push(item);
        }
        assert_eq!(left, ["b", "c", "d"]);
    }

    #[tokio::test]
    async fn a_taker_waits_until_there_is_something() {
        let shelf = Arc::new(Shelf::new(3));
        let taker = tokio::spawn({
            let shelf = Arc::clone(&shelf);
            async move { (shelf.pop().await, shelf.pop().await) }
        });
        tokio::task::yield_now().await;
        shelf.push(1.0, 7);
        tokio::task::yield_now().await;
        shelf.close();
        assert_eq!(taker.await.expect("no panic"), (Some((1.0, 7)), None));
    }
}
