//! What keeps the connection up: one task that drives it, one that feeds it from the queue.
//!
//! rumqttc's own memory of unacknowledged messages is cleared at every reconnection with a clean session, so it
//! is not relied upon: the queue remembers what it handed over until it is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::QoS;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::queue::{Next, Queue, Sent};
use super::dialect::{Broker, Dialect};
use super::wire::{Client, Events, Message, Seen};
use crate::backoff::Backoff;
use crate::outage::Outage;
use crate::outbox::OutboxHandle;

/// Largest packet either way.
pub(super) const MAX_PACKET: usize = 1024 * 1024;
/// What a packet has besides topic and payload, at most: in version 5 with what is said about it.
const HEADER: usize = 1024;
/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A connection that held this long was a good one: the next tries start quickly again.
pub(in crate::publish) const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// What publishers and the tasks of a connection share.
pub(in crate::publish) struct Link<D> {
    /// The peer's address.
    pub(in crate::publish) peer: String,
    pub(in crate::publish) dialect: D,
    queue: Mutex<Queue>,
    /// Something new may be sent.
    pub(super) wake: Notify,
    pub(in crate::publish) connected: watch::Sender<bool>,
    /// The number of the connection that is there.
    pub(in crate::publish) sessions: watch::Sender<Option<u64>>,
    /// There may be room for items of the outbox.
    pub(super) room: Notify,
    /// Where they come from.
    pub(in crate::publish) outbox: OutboxHandle,
    /// The last of its items that was live and has come to the queue.
    pub(super) carried: watch::Sender<u64>,
    closing: AtomicBool,
    idle: watch::Sender<bool>,
    outage: Outage,
}

impl<D: Dialect> Link<D> {
    /// `capacity` is how many detections may wait.
    pub(in crate::publish) fn new(peer: String, dialect: D, capacity: usize, outbox: OutboxHandle) -> Self {
        Self {
            peer,
            dialect,
            queue: Mutex::new(Queue::new(capacity)),
            wake: Notify::new(),
            connected: watch::Sender::new(false),
            sessions: watch::Sender::new(None),
            room: Notify::new(),
            outbox,
            carried: watch::Sender::new(0),
            closing: AtomicBool::new(false),
            idle: watch::Sender::new(true),
            outage: Outage::default(),
        }
    }

    pub(in crate::publish) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue, and tells those who wait for it.
    pub(in crate::publish) fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = self.change_quietly(change);
        self.wake.notify_one();
        result
    }

    /// As [`Link::change`], without waking the feeder, who does it.
    fn change_quietly<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue();
        let result = change(&mut queue);
        // Under the lock, so that two changes are told in the order they were made.
        self.idle.send_replace(queue.is_idle());
        result
    }

    /// The broker has an item, or never can have it.
    fn acknowledge(&self, seq: u64) {
        self.outbox.acknowledge([seq]);
        self.room.notify_one();
    }

    /// From now on nothing of the backlog is begun.
    pub(in crate::publish) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(in crate::publish) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(in crate::publish) fn set_state<T: Serialize>(&self, topic: String, state: &T) {
        if let Some(payload) = encode(state) {
            self.change(|queue| queue.set_state(topic, payload));
        }
    }

    /// Waits until all that the outbox was given has come to the queue.
    pub(in crate::publish) async fn wait_until_carried(&self, until: Instant) {
        let carried = async {
            let visible = self.outbox.visible();
            // It answers in turn: what it was given before can be read then.
            let now = *visible.borrow();
            self.outbox.read(D::DESTINATION, now, 1).await;
            let end = *visible.borrow();
            // The sender is part of this link.
            let _ = self.carried.subscribe().wait_for(|carried| *carried >= end).await;
        };
        if tokio::time::timeout_at(until, carried).await.is_err() {
            tracing::debug!(peer = %self.peer, "Not all of the outbox came to be sent; it goes on at the next start.");
        }
    }

    pub(in crate::publish) async fn wait_until_idle(&self, until: Instant) -> bool {
        let mut idle = self.idle.subscribe();
        let waited = tokio::time::timeout_at(until, idle.wait_for(|idle| *idle)).await;
        matches!(waited, Ok(Ok(_)))
    }

    pub(in crate::publish) fn last_error(&self) -> Option<String> {
        self.outage.reason()
    }

    /// Hands as much to the client as the queue gives.
    fn pump(&self, client: &Client) {
        self.change_quietly(|queue| {
            while let Some(next) = queue.take() {
                self.hand(client, queue, next);
            }
        });
    }

    fn hand(&self, client: &Client, queue: &mut Queue, next: Next) {
        let Some(message) = self.dialect.message(&next) else {
            queue.count_dropped();
            return self.give_up(&next);
        };
        let (topic, qos) = (message.topic.clone(), message.qos);
        // The channel is longer than the window, so it has room.
        let fits = topic.len() + message.payload.len() + HEADER <= D::LARGEST;
        if fits && client.publish(message) {
            queue.handed(match next {
                Next::Detections(detections) if qos != QoS::AtMostOnce => Sent::Detections(detections),
                Next::Durable(stored) => Sent::Durable(stored.seq),
                _ => Sent::Forgotten,
            });
        } else {
            queue.count_dropped();
            tracing::warn!(%topic, largest = D::LARGEST, "A message is too large to be published and is dropped.");
            self.give_up(&next);
        }
    }

    /// Sends a message past the queue, such as an answer. False where it can't be sent now.
    pub(in crate::publish) fn say(&self, client: &Client, message: Message) -> bool {
        self.change_quietly(|queue| {
            let fits = message.topic.len() + message.payload.len() + HEADER <= D::LARGEST;
            let said = queue.is_connected() && fits && client.publish(message);
            if said {
                queue.handed(Sent::Forgotten);
            }
            said
        })
    }

    /// What can never be published does not stay in the outbox.
    fn give_up(&self, next: &Next) {
        if let Next::Durable(stored) = next {
            self.acknowledge(stored.seq);
        }
    }
}

/// Feeds the client whenever something new may be sent.
pub(in crate::publish) async fn feed<D: Dialect>(client: Client, link: Arc<Link<D>>) {
    loop {
        let later = link.dialect.later().filter(|_| *link.connected.borrow());
        tokio::select! {
            () = link.wake.notified() => {}
            () = tokio::time::sleep_until(later.unwrap_or_else(Instant::now)), if later.is_some() => {}
        }
        if *link.connected.borrow() {
            link.dialect.subscribe(&client);
        }
        link.pump(&client);
    }
}

/// Runs the connection: connects, reads and writes, and comes back after each failure. Ends after a DISCONNECT.
pub(super) async fn drive(mut events: Events, link: Arc<Link<Broker>>) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let mut connected_at = None;
    loop {
        let (topic, payload) = link.last_will();
        events.set_last_will(topic, payload, true);
        let failure = loop {
            match events.next().await {
                Ok(Seen::Connected) => {
                    connected_at = Some(Instant::now());
                    report_connection(&link);
                }
                Ok(Seen::Disconnected) => return,
                Ok(seen) => take(&link, seen),
                Err(failure) => break failure,
            }
        };
        if failure.oversized {
            link.dialect.desk.go_deaf();
        }
        end_session(&mut events, &link, |seen| take(&link, seen));
        report_outage(&link, &failure.reason);
        if connected_at.take().is_some_and(|at: Instant| at.elapsed() >= GOOD_CONNECTION) {
            backoff.reset();
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// Nothing of a connection that has ended may reach the next one, but what it still had to say is taken.
pub(in crate::publish) fn end_session<D: Dialect>(events: &mut Events, link: &Link<D>, take: impl Fn(Seen)) {
    events.rest().into_iter().for_each(take);
    link.change(Queue::disconnect);
    link.sessions.send_replace(None);
    events.forget();
}

/// Delivers what waits, says goodbye, waits until that is acknowledged and disconnects; says how many messages were lost.
/// Half of the time at most goes to what waits. While the peer is away there is nothing to wait for.
pub(in crate::publish) async fn finish<D: Dialect>(
    link: &Link<D>,
    client: &Client,
    tasks: &mut JoinSet<()>,
    deadline: Duration,
    goodbye: impl FnOnce(),
) -> usize {
    let deadline = if link.last_error().is_some() { Duration::ZERO } else { deadline };
    let start = Instant::now();
    link.close();
    link.wait_until_carried(start + deadline / 2).await;
    link.wait_until_idle(start + deadline / 2).await;
    let mut lost = link.change(Queue::give_up);
    goodbye();
    if link.wait_until_idle(start + deadline).await && client.disconnect() {
        // The event loop's task ends once the DISCONNECT is written.
        let _ = tokio::time::timeout_at(start + deadline, tasks.join_next()).await;
    } else {
        lost += link.queue().lost();
    }
    if lost > 0 {
        tracing::warn!(peer = %link.peer, lost, "Not all messages were delivered before the connection was closed.");
    }
    lost
}

/// Deals with what a broker says.
fn take(link: &Link<Broker>, seen: Seen) {
    match seen {
        Seen::Subscribed(granted) => link.dialect.desk.subscribed(granted),
        Seen::Heard(heard) => link.hear(heard),
        seen => account(link, seen),
    }
}

/// Notes what became of messages.
pub(in crate::publish) fn account<D: Dialect>(link: &Link<D>, seen: Seen) {
    match seen {
        Seen::Written(id) => link.change(|queue| queue.written(id)),
        Seen::Acknowledged(id) => {
            if let Some(seq) = link.change(|queue| queue.acknowledged(id)) {
                link.acknowledge(seq);
            }
        }
        Seen::Refused(id, reason) => {
            // An item of the outbox stays there, and is sent again over the next connection.
            link.change(|queue| queue.acknowledged(id));
            link.room.notify_one();
            tracing::warn!(peer = %link.peer, reason, "The {} refuses a message.", D::PEER);
        }
        Seen::Connected | Seen::Subscribed(_) | Seen::Heard(_) | Seen::Disconnected | Seen::Nothing => {}
    }
}

/// Begins a session, and logs that an outage is over.
pub(in crate::publish) fn report_connection<D: Dialect>(link: &Link<D>) {
    let peer = &link.peer;
    if link.outage.end() {
        tracing::info!(%peer, "Connected to the {} again.", D::PEER);
    } else {
        tracing::info!(%peer, "Connected to the {}.", D::PEER);
    }
    let session = link.change(Queue::connect);
    link.sessions.send_replace(Some(session));
    link.connected.send_replace(true);
    link.dialect.connected();
    // The subscriptions are to be made.
    link.wake.notify_one();
}

/// Logs what is new about an outage: that it began, or that its reason is another.
pub(in crate::publish) fn report_outage<D: Dialect>(link: &Link<D>, error: &str) {
    let peer = &link.peer;
    link.connected.send_replace(false);
    if link.outage.begin(error) {
        tracing::warn!(%peer, %error, "No connection to the {}; trying again until there is one.", D::PEER);
    } else {
        tracing::debug!(%peer, %error, "The {} is still away.", D::PEER);
    }
}

/// A message as JSON.
pub(in crate::publish) fn encode<T: Serialize>(message: &T) -> Option<Bytes> {
    match serde_json::to_vec(message) {
        Ok(json) => Some(json.into()),
        Err(error) => {
            tracing::error!(%error, "A message can't be written as JSON.");
            None
        }
    }
}
