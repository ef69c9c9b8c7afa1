//! What keeps the connection up: one task that drives it, one that feeds it from the queue.
//!
//! rumqttc's own memory of unacknowledged messages is cleared at every reconnection with a clean session, so it
//! is not relied upon: the queue remembers what it handed over until it is done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, Outgoing, Packet, QoS};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::super::endpoint::Endpoint;
use super::super::queue::{Again, Next, Queue};
use super::super::topics::Topics;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::MqttConfig;
use crate::status::{NODE_SCHEMA, NodeState, NodeStatus};

/// Largest packet either way.
pub(super) const MAX_PACKET: usize = 1024 * 1024;
/// What a packet has besides topic and payload, at most.
const HEADER: usize = 16;
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
    idle: watch::Sender<bool>,
    last_error: Mutex<Option<String>>,
}

impl Link {
    pub(super) fn new(config: &MqttConfig, endpoint: &Endpoint, topics: Topics, clock: Arc<dyn Clock>) -> Self {
        Self {
            broker: format!("{}:{}", endpoint.host, endpoint.port),
            topics,
            detections_qos: if config.detections_qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            clock,
            queue: Mutex::new(Queue::new(config.queue)),
            wake: Notify::new(),
            connected: watch::Sender::new(false),
            idle: watch::Sender::new(true),
            last_error: Mutex::default(),
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

    fn last_will(&self) -> LastWill {
        let payload = encode(&self.node_status(NodeState::Offline)).unwrap_or_default();
        LastWill::new(self.topics.node_status(), payload, QoS::AtLeastOnce, true)
    }

    pub(super) async fn wait_until_idle(&self, until: Instant) -> bool {
        let mut idle = self.idle.subscribe();
        let waited = tokio::time::timeout_at(until, idle.wait_for(|idle| *idle)).await;
        matches!(waited, Ok(Ok(_)))
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_last_error(&self, error: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.last_error.lock().unwrap_or_else(PoisonError::into_inner), error)
    }

    /// Hands as much to the client as the queue gives.
    fn pump(&self, client: &AsyncClient) {
        self.change_quietly(|queue| {
            while let Some(next) = queue.take() {
                self.hand(client, queue, next);
            }
        });
    }

    fn hand(&self, client: &AsyncClient, queue: &mut Queue, next: Next) {
        let (topic, payload, qos, retain, again) = match next {
            Next::State { topic, payload } => (topic, payload, QoS::AtLeastOnce, true, None),
            Next::Stats { topic, payload } => (topic, payload, QoS::AtMostOnce, false, None),
            Next::Event(event) => {
                let (Ok(topic), Some(payload)) = (self.topics.events(&event.camera), encode(&*event)) else {
                    queue.count_dropped();
                    return;
                };
                (topic, payload, QoS::AtLeastOnce, false, Some(Again::Event(event)))
            }
            Next::Detections(detections) => {
                let topic = self.topics.detections(&detections.camera);
                let (Ok(topic), Some(payload)) = (topic, encode(&*detections)) else {
                    queue.count_dropped();
                    return;
                };
                let again = (self.detections_qos != QoS::AtMostOnce).then_some(Again::Detections(detections));
                (topic, payload, self.detections_qos, false, again)
            }
        };
        // The channel is longer than the window, so it has room.
        let fits = topic.len() + payload.len() + HEADER <= MAX_PACKET;
        if fits && client.try_publish(&topic, qos, retain, payload).is_ok() {
            queue.handed(again);
        } else {
            queue.count_dropped();
            tracing::warn!(%topic, "A message is too large to be published and is dropped.");
        }
    }
}

/// Feeds the client whenever something new may be sent.
pub(super) async fn feed(client: AsyncClient, link: Arc<Link>) {
    loop {
        link.wake.notified().await;
        link.pump(&client);
    }
}

/// Runs the connection: connects, reads and writes, and comes back after each failure. Ends after a DISCONNECT.
pub(super) async fn drive(mut events: EventLoop, link: Arc<Link>) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let mut connected_at = None;
    loop {
        events.mqtt_options.set_last_will(link.last_will());
        let error = loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    connected_at = Some(Instant::now());
                    report_connection(&link);
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
                Ok(event) => account(&link, &event),
                Err(error) => break error,
            }
        };
        // What the broken connection still had to say counts; then nothing of it may reach the next one.
        while let Some(event) = events.state.events.pop_front() {
            account(&link, &event);
        }
        link.change(Queue::disconnect);
        events.clean();
        events.pending.clear();
        events.state.collision = None;
        report_outage(&link, &error);
        if connected_at.take().is_some_and(|at: Instant| at.elapsed() >= GOOD_CONNECTION) {
            backoff.reset();
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

fn account(link: &Link, event: &Event) {
    match event {
        Event::Outgoing(Outgoing::Publish(id)) => link.change(|queue| queue.written(*id)),
        Event::Incoming(Packet::PubAck(ack)) => link.change(|queue| queue.acknowledged(ack.pkid)),
        _ => {}
    }
}

fn report_connection(link: &Link) {
    let broker = &link.broker;
    if link.set_last_error(None).is_some() {
        tracing::info!(%broker, "Connected to the MQTT broker again.");
    } else {
        tracing::info!(%broker, "Connected to the MQTT broker.");
    }
    link.change(Queue::connect);
    link.connected.send_replace(true);
}

/// Logs what is new about an outage: that it began, or that its reason is another.
fn report_outage(link: &Link, error: &ConnectionError) {
    let (broker, error) = (&link.broker, describe(error));
    link.connected.send_replace(false);
    if link.set_last_error(Some(error.clone())).as_ref() == Some(&error) {
        tracing::debug!(%broker, %error, "The MQTT broker is still away.");
    } else {
        tracing::warn!(%broker, %error, "No connection to the MQTT broker; trying again until there is one.");
    }
}

/// One line for people.
fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                "the broker refuses our user name, password or certificate".to_owned()
            }
            ConnectReturnCode::BadClientId => "the broker refuses our client id".to_owned(),
            other => format!("the broker refuses us: {other:?}"),
        },
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "it does not answer".to_owned(),
        ConnectionError::Io(source) => source.to_string(),
        other => {
            let text = other.to_string();
            // An authority of the same name with another key shows as a bad signature.
            if text.contains("UnknownIssuer") || text.contains("BadSignature") {
                format!("{text} (`ca_file` names the authority to trust)")
            } else {
                text
            }
        }
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
