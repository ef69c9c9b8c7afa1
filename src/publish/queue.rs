//! What waits to be published, and what is on its way: pure bookkeeping, no network.
//!
//! - States (of the node, of each camera) are kept as their latest value. They are due again after every
//!   reconnection, so a broker that forgot them learns them anew.
//! - Statistics are kept as their latest value, and sent once.
//! - Detections wait in two lines of one bounded length: those scored since the connection is there, and the
//!   backlog of an outage. The live ones go first, so that an outage never makes what happens now late; a
//!   consumer that wants them in order has `frame.captured_at`. Where there is no room the oldest of the backlog
//!   goes, then the oldest of the live ones, and is counted.
//! - Events wait in a line of their own, of the same length, and go before detections, in order.
//! - A message at QoS 1 counts as done when it is acknowledged, another when it is written. What was on its
//!   way when the connection broke is taken back: events, and detections at QoS 1, to the backlog.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::detection::Detections;
use crate::event::Event;

/// Most messages that are on their way at a time.
pub(super) const WINDOW: usize = 64;

/// What is to be published next.
#[derive(Debug, Clone)]
pub(super) enum Next {
    /// A state: QoS 1, retained.
    State { topic: String, payload: Bytes },
    /// Statistics: QoS 0.
    Stats { topic: String, payload: Bytes },
    /// An event: QoS 1.
    Event(Arc<Event>),
    /// A scored frame, at the QoS that the configuration says.
    Detections(Arc<Detections>),
}

/// What is to be sent again should the connection break before it is done.
#[derive(Debug)]
pub(super) enum Again {
    Event(Arc<Event>),
    Detections(Arc<Detections>),
}

#[derive(Debug)]
struct State {
    payload: Bytes,
    due: bool,
}

/// A message on its way. Only what must be sent again is remembered.
type Sent = Option<Again>;

#[derive(Debug, Default)]
pub(super) struct Queue {
    capacity: usize,
    connected: bool,
    /// By topic. The node's own state is among them.
    states: BTreeMap<String, State>,
    stats: Option<(String, Bytes)>,
    /// Oldest first.
    events: VecDeque<Arc<Event>>,
    /// Scored since the connection is there, oldest first.
    live: VecDeque<Arc<Detections>>,
    /// Scored before, oldest first.
    backlog: VecDeque<Arc<Detections>>,
    /// Given to the client, not yet written; in order.
    handed: VecDeque<Sent>,
    /// Written, not yet acknowledged; by packet id.
    unacknowledged: HashMap<u16, Sent>,
    dropped: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), ..Self::default() }
    }

    pub(super) fn set_state(&mut self, topic: String, payload: Bytes) {
        self.states.insert(topic, State { payload, due: true });
    }

    pub(super) fn set_stats(&mut self, topic: String, payload: Bytes) {
        self.stats = Some((topic, payload));
    }

    pub(super) fn push_event(&mut self, event: Arc<Event>) {
        self.events.push_back(event);
        self.trim();
    }

    pub(super) fn push(&mut self, detections: Arc<Detections>) {
        if self.connected {
            self.live.push_back(detections);
        } else {
            self.backlog.push_back(detections);
        }
        self.trim();
    }

    /// Takes what goes next: states first, since they are few and matter most. None while the connection is
    /// away or the window is full.
    pub(super) fn take(&mut self) -> Option<Next> {
        if !self.connected || self.on_their_way() >= WINDOW {
            return None;
        }
        if let Some((topic, state)) = self.states.iter_mut().find(|(_, state)| state.due) {
            state.due = false;
            return Some(Next::State { topic: topic.clone(), payload: state.payload.clone() });
        }
        if let Some((topic, payload)) = self.stats.take() {
            return Some(Next::Stats { topic, payload });
        }
        if let Some(event) = self.events.pop_front() {
            return Some(Next::Event(event));
        }
        self.live.pop_front().or_else(|| self.backlog.pop_front()).map(Next::Detections)
    }

    /// What [`Queue::take`] gave was handed to the client. `again` is what is to be sent once more should
    /// the connection break before it is done.
    pub(super) fn handed(&mut self, again: Sent) {
        self.handed.push_back(again);
    }

    /// The client wrote its next message; `id` is 0 at QoS 0.
    pub(super) fn written(&mut self, id: u16) {
        let sent = self.handed.pop_front().flatten();
        if id != 0 {
            self.unacknowledged.insert(id, sent);
        }
    }

    pub(super) fn acknowledged(&mut self, id: u16) {
        self.unacknowledged.remove(&id);
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
        for state in self.states.values_mut() {
            state.due = true;
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        let (mut events, mut detections) = (Vec::new(), Vec::new());
        for again in self.unacknowledged.drain().map(|(_, sent)| sent).chain(self.handed.drain(..)).flatten() {
            match again {
                Again::Event(event) => events.push(event),
                Again::Detections(scored) => detections.push(scored),
            }
        }
        // Packet ids wrap around; ULIDs tell the order in which things happened and frames were scored.
        self.events.extend(events);
        self.events.make_contiguous().sort_by(|a, b| a.id.cmp(&b.id));
        self.backlog.extend(detections.into_iter().chain(self.live.drain(..)));
        self.backlog.make_contiguous().sort_by(|a, b| a.id.cmp(&b.id));
        self.trim();
    }

    /// Gives up the events and detections that still wait, counts them and says how many they were.
    pub(super) fn give_up(&mut self) -> usize {
        let waiting = self.waiting();
        self.dropped += waiting as u64;
        self.events.clear();
        self.live.clear();
        self.backlog.clear();
        waiting
    }

    /// Counts a message that could not be sent at all.
    pub(super) fn count_dropped(&mut self) {
        self.dropped += 1;
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether nothing waits and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.left() == 0
    }

    /// How many messages wait or are on their way.
    pub(super) fn left(&self) -> usize {
        let states = self.states.values().filter(|state| state.due).count();
        states + usize::from(self.stats.is_some()) + self.waiting() + self.on_their_way()
    }

    fn on_their_way(&self) -> usize {
        self.handed.len() + self.unacknowledged.len()
    }

    fn waiting(&self) -> usize {
        self.events.len() + self.live.len() + self.backlog.len()
    }

    fn trim(&mut self) {
        while self.events.len() > self.capacity {
            self.events.pop_front();
            self.dropped += 1;
        }
        while self.live.len() + self.backlog.len() > self.capacity {
            if self.backlog.pop_front().is_none() {
                self.live.pop_front();
            }
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::mqtt::tests::{detections, event};

    fn seqs(queue: &Queue) -> Vec<u64> {
        queue.live.iter().chain(&queue.backlog).map(|d| d.frame.seq).collect()
    }

    #[test]
    fn the_oldest_goes_first_and_is_counted() {
        let mut queue = Queue::new(3);
        for seq in 0..10 {
            queue.push(detections("line3", seq));
        }
        assert_eq!(seqs(&queue), [7, 8, 9]);
        assert_eq!(queue.dropped(), 7);
        assert!(queue.take().is_none(), "nothing leaves while the connection is away");
    }

    #[test]
    fn the_window_bounds_what_is_on_its_way() {
        let mut queue = Queue::new(1000);
        queue.connect();
        for seq in 0..200 {
            queue.push(detections("line3", seq));
        }
        let mut taken = 0;
        while queue.take().is_some() {
            queue.handed(None);
            taken += 1;
        }
        assert_eq!(taken, WINDOW);
        queue.written(1);
        assert!(queue.take().is_none(), "written is not acknowledged");
        queue.acknowledged(1);
        assert!(queue.take().is_some());
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_in_order() {
        let mut queue = Queue::new(10);
        queue.connect();
        for seq in 0..6 {
            queue.push(detections("line3", seq));
        }
        for _ in 0..4 {
            let Some(Next::Detections(d)) = queue.take() else { panic!("detections are due") };
            queue.handed(Some(Again::Detections(d)));
        }
        // 0 is done, 1 and 2 wait for their acknowledgement, 3 was not even written.
        for id in [1, 2, 3] {
            queue.written(id);
        }
        queue.acknowledged(1);
        queue.disconnect();
        assert_eq!(seqs(&queue), [1, 2, 3, 4, 5]);
        assert_eq!(queue.on_their_way(), 0);
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn events_go_before_detections_and_again_in_order() {
        let mut queue = Queue::new(4);
        queue.connect();
        queue.push(detections("line3", 0));
        for number in 0..6 {
            queue.push_event(event("line3", number));
        }
        assert_eq!(queue.dropped(), 2, "the oldest");
        for id in [1, 2] {
            let Some(Next::Event(event)) = queue.take() else { panic!("an event is due") };
            queue.handed(Some(Again::Event(event)));
            queue.written(id);
        }
        queue.disconnect();
        queue.connect();
        let mut ids = Vec::new();
        while let Some(Next::Event(event)) = queue.take() {
            ids.push(event.id.clone());
        }
        assert_eq!(ids, [2, 3, 4, 5].map(|number| event("line3", number).id.clone()));
    }

    #[test]
    fn live_goes_before_the_backlog_and_the_backlog_is_dropped_first() {
        let mut queue = Queue::new(4);
        for seq in 0..3 {
            queue.push(detections("line3", seq));
        }
        queue.connect();
        queue.push(detections("line3", 3));
        queue.push(detections("line3", 4));
        assert_eq!(seqs(&queue), [3, 4, 1, 2]);
        assert_eq!(queue.dropped(), 1);
        let mut sent = Vec::new();
        while let Some(Next::Detections(d)) = queue.take() {
            sent.push(d.frame.seq);
        }
        assert_eq!(sent, [3, 4, 1, 2]);
        for seq in 5..10 {
            queue.push(detections("line3", seq));
        }
        queue.disconnect();
        queue.push(detections("line3", 10));
        assert_eq!(seqs(&queue), [7, 8, 9, 10]);
    }

    #[test]
    fn states_are_due_again_after_each_connection_and_only_their_latest_value() {
        let mut queue = Queue::new(10);
        queue.set_state("a/status".to_owned(), Bytes::from_static(b"1"));
        queue.set_state("a/status".to_owned(), Bytes::from_static(b"2"));
        queue.set_state("b/status".to_owned(), Bytes::from_static(b"1"));
        for _ in 0..3 {
            queue.connect();
            let mut seen = Vec::new();
            while let Some(Next::State { topic, payload }) = queue.take() {
                queue.handed(None);
                seen.push((topic, payload));
            }
            assert_eq!(
                seen,
                [("a/status".to_owned(), Bytes::from_static(b"2")), ("b/status".to_owned(), Bytes::from_static(b"1"))]
            );
            assert!(!queue.is_idle());
            queue.disconnect();
        }
    }

    #[test]
    fn giving_up_counts() {
        let mut queue = Queue::new(10);
        queue.connect();
        queue.push(detections("line3", 0));
        queue.push(detections("line3", 1));
        assert_eq!(queue.left(), 2);
        assert_eq!(queue.give_up(), 2);
        assert!(queue.is_idle());
        assert_eq!(queue.dropped(), 2);
    }
}
