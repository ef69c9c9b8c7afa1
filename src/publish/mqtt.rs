//! The connection to the broker, as the daemon holds it.
//!
//! Invariants:
//! - Nobody who publishes waits: everything goes into a [`Queue`] and leaves it only while connected.
//! - Whoever subscribes to the node's status sees `online` while it is connected, `stopped` after
//!   [`Mqtt::close`], and `offline` (the last will) when it is gone without a word.
//! - What the outbox holds for the broker leaves it when the broker has acknowledged it, not before.
//! - An outage is logged when it begins, when its reason changes, and when it ends.

mod carry;
mod link;
mod options;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::link::Link;
pub(super) use self::options::check_client_id;
use self::wire::Client;
use super::endpoint::Endpoint;
use super::error::MqttError;
use super::queue::{Queue, WINDOW};
use super::topics::Topics;
use crate::clock::Clock;
use crate::config::MqttConfig;
use crate::detection::Detections;
use crate::event::{Count, Event};
use crate::outbox::OutboxHandle;
use crate::status::{CameraStatus, NodeState, Stats};

/// What the broker is to get in any case.
#[derive(Debug)]
pub struct Durable {
    /// Where it waits.
    pub outbox: OutboxHandle,
    /// Messages a second, at most, that are published of what waited when a connection was made.
    pub backlog_rate: u32,
}

/// A connection to a broker, which is kept up in the background until it is closed or dropped.
pub struct Mqtt {
    link: Arc<Link>,
    client: Client,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

/// What publishers hold of a connection. Cloning shares it; it outlives the connection without harm.
#[derive(Clone)]
pub struct MqttHandle(Arc<Link>);

impl Mqtt {
    /// Checks the configuration, reads the files it names and starts connecting in the background, for ever.
    /// To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the URL, a topic, a file or a secret is not usable. A broker that does not answer is not an error:
    /// see [`Mqtt::connected`] and [`MqttHandle::last_error`].
    pub fn start(
        config: &MqttConfig,
        site: &str,
        node: &str,
        clock: Arc<dyn Clock>,
        durable: Durable,
    ) -> Result<Self, MqttError> {
        let endpoint = Endpoint::of(config)?;
        let topics = Topics::new(&config.prefix, site, node)?;
        let options = options::of(config, &endpoint, &format!("ocellus-{site}-{node}"))?;
        let link = Arc::new(Link::new(config, &endpoint, topics, clock, durable.outbox));
        link.set_node_state(NodeState::Online);
        // One more than the window, for the final DISCONNECT.
        let (client, events) = wire::client(options, WINDOW + 1);
        let mut tasks = JoinSet::new();
        tasks.spawn(link::drive(events, Arc::clone(&link)));
        tasks.spawn(link::feed(client.clone(), Arc::clone(&link)));
        tasks.spawn(carry::carry(Arc::clone(&link), durable.backlog_rate));
        Ok(Self { link, client, tasks })
    }

    /// What publishers hold.
    #[must_use]
    pub fn handle(&self) -> MqttHandle {
        MqttHandle(Arc::clone(&self.link))
    }

    /// Whether the broker has accepted us, and every change of it.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.link.connected.subscribe()
    }

    /// Delivers what waits, says `stopped`, waits until that is acknowledged and disconnects, so that the last
    /// will is not published. Half of the time at most goes to what waits; what is left of it then is dropped.
    /// While the broker is away there is nothing to wait for. What is in an outbox stays there.
    ///
    /// Says how many messages were not delivered, and logs it. Where `stopped` is among them the broker
    /// publishes the last will.
    pub async fn close(mut self, deadline: Duration) -> usize {
        let deadline = if self.link.last_error().is_some() { Duration::ZERO } else { deadline };
        let start = Instant::now();
        self.link.close();
        self.link.wait_until_carried(start + deadline / 2).await;
        self.link.wait_until_idle(start + deadline / 2).await;
        let given_up = self.link.change(Queue::give_up);
        self.link.set_node_state(NodeState::Stopped);
        let mut lost = given_up;
        if self.link.wait_until_idle(start + deadline).await && self.client.disconnect() {
            // The event loop's task ends once the DISCONNECT is written.
            let _ = tokio::time::timeout_at(start + deadline, self.tasks.join_next()).await;
        } else {
            lost += self.link.queue().lost();
        }
        if lost > 0 {
            let broker = &self.link.broker;
            tracing::warn!(%broker, lost, "Not all messages were delivered before the connection was closed.");
        }
        lost
    }
}

impl MqttHandle {
    /// Publishes what was seen. Never waits; while the broker is away or slow the oldest are dropped.
    pub fn detections(&self, detections: Arc<Detections>) {
        self.0.change(|queue| queue.push(detections));
    }

    /// Publishes an event: it waits in the outbox until the broker has acknowledged it. Never waits itself.
    pub fn event(&self, event: &Event) {
        match carry::item_of(event) {
            Some(item) => self.0.outbox.append(item),
            None => self.0.change(Queue::count_dropped),
        }
    }

    /// Publishes a running count, now and after every reconnection, until it is told anew.
    pub fn count(&self, count: &Count) {
        match self.0.topics.counts(&count.camera, &count.rule) {
            Ok(topic) => self.0.set_state(topic, count),
            Err(error) => tracing::error!(rule = count.rule, %error, "A count can't be published."),
        }
    }

    /// Publishes a message of others' making, retained, now and after every reconnection.
    pub fn announce(&self, topic: String, message: &serde_json::Value) {
        self.0.set_state(topic, message);
    }

    /// Publishes a camera's state, now and after every reconnection, until it is told anew.
    pub fn camera_status(&self, camera: &str, status: &CameraStatus) {
        match self.0.topics.camera_status(camera) {
            Ok(topic) => self.0.set_state(topic, status),
            Err(error) => tracing::error!(camera, %error, "A camera's status can't be published."),
        }
    }

    /// Has the broker forget a camera's state: the camera is no more.
    pub fn forget_camera(&self, camera: &str) {
        if let Ok(topic) = self.0.topics.camera_status(camera) {
            // A retained message without content takes the place of the one before, and is kept by no broker.
            self.0.change(|queue| queue.set_state(topic, Bytes::new()));
        }
    }

    /// Publishes the statistics, once. While the broker is away only the latest are kept.
    pub fn stats(&self, stats: &Stats) {
        if let Some(payload) = link::encode(stats) {
            let topic = self.0.topics.stats();
            self.0.change(|queue| queue.set_stats(topic, payload));
        }
    }

    /// How many messages were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.queue().dropped()
    }

    /// Whether the broker has accepted us, at this moment.
    #[must_use]
    pub fn connected(&self) -> bool {
        *self.0.connected.borrow()
    }

    /// The broker's host and port.
    #[must_use]
    pub fn broker(&self) -> &str {
        &self.0.broker
    }

    /// Why there is no connection, while there is none and one was tried.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.0.last_error()
    }
}

impl fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mqtt").field("broker", &self.link.broker).finish_non_exhaustive()
    }
}

impl fmt::Debug for MqttHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttHandle").field("broker", &self.0.broker).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
