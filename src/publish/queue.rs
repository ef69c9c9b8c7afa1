//! What waits to be published, and what is on its way: pure bookkeeping, no network.
//!
//! - States (of the node, of each camera) are kept as their latest value. They are due again after every
//!   reconnection, so a broker that forgot them learns them anew.
//! - Statistics are kept as their latest value, and sent once.
//! - Notes (a command that makes no sense and why, a topic that the broker is to forget) are few, and belong to one
//!   connection. Where there are too many, the oldest goes and is counted.
//! - Detections wait in two lines of one bounded length: those scored since the connection is there, and the
//!   backlog of an outage. The live ones go first, so that an outage never makes what happens now late; a
//!   consumer that wants them in order has `frame.captured_at`. Where there is no room the oldest of the backlog
//!   goes, then the oldest of the live ones, and is counted.
//! - Items of the outbox wait in two lines as well, live and backlog, a few of each: the others wait in the outbox.
//!   Live ones go before detections, the backlog behind live detections. They are of one connection: when it
//!   breaks they are forgotten here, and read from the outbox again.
//! - A message at QoS 1 counts as done when it is acknowledged, another when it is written. What was on its
//!   way when the connection broke is taken back: detections at QoS 1, to the backlog.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::detection::Detections;
use crate::outbox::Stored;

/// Most messages that are on their way at a time.
pub(super) const WINDOW: usize = 64;
/// Most live items of the outbox that wait here, and most of its backlog.
const DURABLE: (usize, usize) = (WINDOW, 512);

/// Most notes that wait.
const NOTES: usize = 256;

/// What is to be published next.
#[derive(Debug, Clone)]
pub(super) enum Next {
    /// A state: QoS 1, retained.
    State { topic: String, payload: Bytes },
    /// Statistics: QoS 0.
    Stats { topic: String, payload: Bytes },
    /// Something said once: QoS 1. Retained without a payload, it makes the broker forget the topic.
    Note { topic: String, payload: Bytes, retain: bool },
    /// An item of the outbox: QoS 1.
    Durable(Box<Stored>),
    /// A scored frame, at the QoS that the configuration says.
    Detections(Arc<Detections>),
}

#[derive(Debug)]
struct State {
    payload: Bytes,
    due: bool,
}

/// What is remembered of a message on its way.
#[derive(Debug)]
pub(super) enum Sent {
    /// Nothing: should the connection break it is not sent again, or from elsewhere.
    Forgotten,
    /// Detections that are to be sent again should the connection break.
    Detections(Arc<Detections>),
    /// An item of the outbox, by its number there.
    Durable(u64),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    capacity: usize,
    connected: bool,
    /// Nothing is begun, since the connection is about to be made anew.
    held: bool,
    /// By topic. The node's own state is among them.
    states: BTreeMap<String, State>,
    stats: Option<(String, Bytes)>,
    /// Topic, payload, whether it is retained; oldest first.
    notes: VecDeque<(String, Bytes, bool)>,
    /// How many connections there were.
    session: u64,
    /// Of the outbox, in its order.
    durable_live: VecDeque<Stored>,
    durable_backlog: VecDeque<Stored>,
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

    /// Adds a note, while there is a connection.
    pub(super) fn note(&mut self, topic: String, payload: Bytes, retain: bool) {
        if !self.connected {
            return;
        }
        if self.notes.len() >= NOTES {
            self.notes.pop_front();
            self.dropped += 1;
        }
        self.notes.push_back((topic, payload, retain));
    }

    /// Has the broker forget the states whose topics start so.
    pub(super) fn forget_below(&mut self, start: &str) {
        for (topic, state) in &mut self.states {
            if topic.starts_with(start) && !state.payload.is_empty() {
                // A retained message without content takes the place of the one before, and is kept by no broker.
                *state = State { payload: Bytes::new(), due: true };
            }
        }
    }

    pub(super) fn push(&mut self, detections: Arc<Detections>) {
        if self.connected {
            self.live.push_back(detections);
        } else {
            self.backlog.push_back(detections);
        }
        self.trim();
    }

    /// How many live items of the outbox may be pushed.
    pub(super) fn room_for_live(&self) -> usize {
        DURABLE.0.saturating_sub(self.durable_live.len())
    }

    /// How many items of the outbox's backlog may be pushed.
    pub(super) fn room_for_backlog(&self) -> usize {
        DURABLE.1.saturating_sub(self.durable_backlog.len())
    }

    /// Adds items that came while the connection is there. What was read for an earlier one is ignored.
    pub(super) fn push_live(&mut self, session: u64, items: Vec<Stored>) {
        if self.connected && session == self.session {
            self.durable_live.extend(items);
        }
    }

    /// Adds items that came before.
    pub(super) fn push_backlog(&mut self, session: u64, items: Vec<Stored>) {
        if self.connected && session == self.session {
            self.durable_backlog.extend(items);
        }
    }

    /// Takes what goes next: states first, since they are few and matter most. None while the connection is
    /// away or the window is full.
    pub(super) fn take(&mut self) -> Option<Next> {
        if !self.connected || self.held || self.on_their_way() >= WINDOW {
            return None;
        }
        if let Some((topic, state)) = self.states.iter_mut().find(|(_, state)| state.due) {
            state.due = false;
            return Some(Next::State { topic: topic.clone(), payload: state.payload.clone() });
        }
        if let Some((topic, payload)) = self.stats.take() {
            return Some(Next::Stats { topic, payload });
        }
        if let Some((topic, payload, retain)) = self.notes.pop_front() {
            return Some(Next::Note { topic, payload, retain });
        }
        if let Some(item) = self.durable_live.pop_front() {
            return Some(Next::Durable(Box::new(item)));
        }
        if let Some(detections) = self.live.pop_front() {
            return Some(Next::Detections(detections));
        }
        if let Some(item) = self.durable_backlog.pop_front() {
            return Some(Next::Durable(Box::new(item)));
        }
        self.backlog.pop_front().map(Next::Detections)
    }

    /// What [`Queue::take`] gave was handed to the client.
    pub(super) fn handed(&mut self, sent: Sent) {
        self.handed.push_back(sent);
    }

    /// The client wrote its next message; `id` is 0 at QoS 0.
    pub(super) fn written(&mut self, id: u16) {
        let sent = self.handed.pop_front().unwrap_or(Sent::Forgotten);
        if id != 0 {
            self.unacknowledged.insert(id, sent);
        }
    }

    /// A message is done; if it was an item of the outbox this is its number.
    pub(super) fn acknowledged(&mut self, id: u16) -> Option<u64> {
        match self.unacknowledged.remove(&id) {
            Some(Sent::Durable(seq)) => Some(seq),
            _ => None,
        }
    }

    /// Says which connection this is.
    pub(super) fn connect(&mut self) -> u64 {
        self.connected = true;
        self.held = false;
        self.session += 1;
        for state in self.states.values_mut() {
            state.due = true;
        }
        self.session
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Begins nothing until the next connection; what is on its way comes to its end.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// Whether all that was sent is acknowledged.
    pub(super) fn is_quiet(&self) -> bool {
        self.on_their_way() == 0
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.notes.clear();
        self.forget_durable();
        let unacknowledged = self.unacknowledged.drain().map(|(_, sent)| sent);
        let again = unacknowledged.chain(self.handed.drain(..)).filter_map(|sent| match sent {
            Sent::Detections(detections) => Some(detections),
            Sent::Forgotten | Sent::Durable(_) => None,
        });
        self.backlog.extend(again.chain(self.live.drain(..)));
        // Packet ids wrap around; ULIDs tell the order in which frames were scored.
        self.backlog.make_contiguous().sort_by(|a, b| a.id.cmp(&b.id));
        self.trim();
    }

    /// The outbox has them still.
    fn forget_durable(&mut self) {
        self.durable_live.clear();
        self.durable_backlog.clear();
    }

    /// Gives up the detections that still wait, counts them and says how many they were.
    pub(super) fn give_up(&mut self) -> usize {
        self.forget_durable();
        let waiting = self.waiting();
        self.dropped += waiting as u64;
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

    /// How many messages wait or are on their way. The backlog of the outbox may wait longer.
    pub(super) fn left(&self) -> usize {
        let states = self.states.values().filter(|state| state.due).count();
        let waiting = self.waiting() + self.durable_live.len() + self.notes.len();
        states + usize::from(self.stats.is_some()) + waiting + self.on_their_way()
    }

    /// How many messages are lost if the connection ends now.
    pub(super) fn lost(&self) -> usize {
        let sent = self.handed.iter().chain(self.unacknowledged.values());
        let durable = sent.filter(|sent| matches!(sent, Sent::Durable(_))).count();
        self.left() - self.durable_live.len() - durable
    }

    fn on_their_way(&self) -> usize {
        self.handed.len() + self.unacknowledged.len()
    }

    fn waiting(&self) -> usize {
        self.live.len() + self.backlog.len()
    }

    fn trim(&mut self) {
        while self.waiting() > self.capacity {
            if self.backlog.pop_front().is_none() {
                self.live.pop_front();
            }
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests;
