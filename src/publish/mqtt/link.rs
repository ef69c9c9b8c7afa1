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
use tokio::time::Instant;

use super::super::endpoint::Endpoint;
use super::super::queue::{Next, Queue, Sent};
use super::super::topics::Topics;
use super::wire::{Client, Events, Message, Seen};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::MqttConfig;
use crate::outage::Outage;
use crate::outbox::{Destination, Kind, OutboxHandle};
use crate::status::{NODE_SCHEMA, NodeState, NodeStatus};

/// Largest packet either way.
pub(super) const MAX_PACKET: usize = 1024 * 1024;
/// What a packet has besides topic and payload, at most: in version 5 with what is said about it.
const HEADER: usize = 1024;
/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A connection that held this long was a good one: the next tries start quickly again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// What publishers and the two tasks share.
pub(super) struct Link {
    pub(super) broker: String,
    pub(super) topics: Topics,
    detections_qos: QoS,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// Something new may be sent.
    wake: Notify,
    pub(super) connected: watch::Sender<bool>,
    /// The number of the connection that is there.
    pub(super) sessions: watch::Sender<Option<u64>>,
    /// There may be room for items of the outbox.
    pub(super) room: Notify,
    /// Where they come from.
    pub(super) outbox: OutboxHandle,
    /// The last of its items that was live and has come to the queue.
    pub(super) carried: watch::Sender<u64>,
    closing: AtomicBool,
    idle: watch::Sender<bool>,
    outage: Outage,
}

impl Link {
    pub(super) fn new(
        config: &MqttConfig,
        endpoint: &Endpoint,
        topics: Topics,
        clock: Arc<dyn Clock>,
        outbox: OutboxHandle,
    ) -> Self {
        Self {
            broker: format!("{}:{}", endpoint.host, endpoint.port),
            topics,
            detections_qos: if config.detections_qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            clock,
            queue: Mutex::new(Queue::new(config.queue)),
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

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue, and tells those who wait for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
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
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn set_state<T: Serialize>(&self, topic: String, state: &T) {
        if let Some(payload) = encode(state) {
            self.change(|queue| queue.set_state(topic, payload));
        }
    }

    pub(super) fn set_node_state(&self, state: NodeState) {
        self.set_state(self.topics.node_status(), &self.node_status(state));
    }

    fn node_status(&self, state: NodeState) -> NodeStatus {
        NodeStatus {
            schema: NODE_SCHEMA.to_owned(),
            state,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.clock.wall(),
        }
    }

    /// What the broker says for us when we are gone.
    fn last_will(&self) -> (String, Bytes) {
        let payload = encode(&self.node_status(NodeState::Offline)).unwrap_or_default();
        (self.topics.node_status(), payload)
    }

    /// Waits until all that the outbox was given has come to the queue.
    pub(super) async fn wait_until_carried(&self, until: Instant) {
        let carried = async {
            let visible = self.outbox.visible();
            // It answers in turn: what it was given before can be read then.
            let now = *visible.borrow();
            self.outbox.read(Destination::Broker, now, 1).await;
            let end = *visible.borrow();
            // The sender is part of this link.
            let _ = self.carried.subscribe().wait_for(|carried| *carried >= end).await;
        };
        if tokio::time::timeout_at(until, carried).await.is_err() {
            tracing::debug!(broker = %self.broker, "Not all of the outbox came to be sent; it goes on at the next start.");
        }
    }

    pub(super) async fn wait_until_idle(&self, until: Instant) -> bool {
        let mut idle = self.idle.subscribe();
        let waited = tokio::time::timeout_at(until, idle.wait_for(|idle| *idle)).await;
        matches!(waited, Ok(Ok(_)))
    }

    pub(super) fn last_error(&self) -> Option<String> {
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
        let Some(message) = self.message(&next) else {
            queue.count_dropped();
            return self.give_up(&next);
        };
        let (topic, qos) = (message.topic.clone(), message.qos);
        // The channel is longer than the window, so it has room.
        let fits = topic.len() + message.payload.len() + HEADER <= MAX_PACKET;
        if fits && client.publish(message) {
            queue.handed(match next {
                Next::Detections(detections) if qos != QoS::AtMostOnce => Sent::Detections(detections),
                Next::Durable(stored) => Sent::Durable(stored.seq),
                _ => Sent::Forgotten,
            });
        } else {
            queue.count_dropped();
            tracing::warn!(%topic, "A message is too large to be published and is dropped.");
            self.give_up(&next);
        }
    }

    /// What can never be published does not stay in the outbox.
    fn give_up(&self, next: &Next) {
        if let Next::Durable(stored) = next {
            self.acknowledge(stored.seq);
        }
    }

    /// None where there is no topic for it.
    fn message(&self, next: &Next) -> Option<Message> {
        let message = |topic: String, payload: &Bytes, qos, retain| Message {
            topic,
            payload: payload.clone(),
            qos,
            retain,
            expires: !retain,
            about: Vec::new(),
        };
        Some(match next {
            Next::State { topic, payload } => message(topic.clone(), payload, QoS::AtLeastOnce, true),
            Next::Stats { topic, payload } => message(topic.clone(), payload, QoS::AtMostOnce, false),
            Next::Durable(stored) => {
                let item = &stored.item;
                let topic = self.topics.of_camera(&item.camera, &item.channel).ok()?;
                let about = vec![("id", item.id.to_string()), ("camera", item.camera.clone())];
                let retain = item.kind == Kind::Count;
                Message { about, ..message(topic, &item.payload, QoS::AtLeastOnce, retain) }
            }
            Next::Detections(detections) => {
                let topic = self.topics.detections(&detections.camera).ok()?;
                let about = vec![("id", detections.id.clone()), ("camera", detections.camera.clone())];
                Message { about, ..message(topic, &encode(&**detections)?, self.detections_qos, false) }
            }
        })
    }
}

/// Feeds the client whenever something new may be sent.
pub(super) async fn feed(client: Client, link: Arc<Link>) {
    loop {
        link.wake.notified().await;
        link.pump(&client);
    }
}

/// Runs the connection: connects, reads and writes, and comes back after each failure. Ends after a DISCONNECT.
pub(super) async fn drive(mut events: Events, link: Arc<Link>) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let mut connected_at = None;
    loop {
        let (topic, payload) = link.last_will();
        events.set_last_will(topic, payload);
        let error = loop {
            match events.next().await {
                Ok(Seen::Connected) => {
                    connected_at = Some(Instant::now());
                    report_connection(&link);
                }
                Ok(Seen::Disconnected) => return,
                Ok(seen) => account(&link, seen),
                Err(error) => break error,
            }
        };
        // What the broken connection still had to say counts; then nothing of it may reach the next one.
        for seen in events.rest() {
            account(&link, seen);
        }
        link.change(Queue::disconnect);
        link.sessions.send_replace(None);
        events.forget();
        report_outage(&link, &error);
        if connected_at.take().is_some_and(|at: Instant| at.elapsed() >= GOOD_CONNECTION) {
            backoff.reset();
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

fn account(link: &Link, seen: Seen) {
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
            tracing::warn!(broker = %link.broker, reason, "The broker refuses a message.");
        }
        Seen::Connected | Seen::Disconnected | Seen::Nothing => {}
    }
}

fn report_connection(link: &Link) {
    let broker = &link.broker;
    if link.outage.end() {
        tracing::info!(%broker, "Connected to the MQTT broker again.");
    } else {
        tracing::info!(%broker, "Connected to the MQTT broker.");
    }
    let session = link.change(Queue::connect);
    link.sessions.send_replace(Some(session));
    link.connected.send_replace(true);
}

/// Logs what is new about an outage: that it began, or that its reason is another.
fn report_outage(link: &Link, error: &str) {
    let broker = &link.broker;
    link.connected.send_replace(false);
    if link.outage.begin(error) {
        tracing::warn!(%broker, %error, "No connection to the MQTT broker; trying again until there is one.");
    } else {
        tracing::debug!(%broker, %error, "The MQTT broker is still away.");
    }
}

/// A message as JSON.
pub(super) fn encode<T: Serialize>(message: &T) -> Option<Bytes> {
    match serde_json::to_vec(message) {
        Ok(json) => Some(json.into()),
        Err(error) => {
            tracing::error!(%error, "A message can't be written as JSON.");
            None
        }
    }
}
