//! The connection to the broker, as the daemon holds it.
//!
//! Invariants:
//! - Nobody who publishes waits: everything goes into a [`Queue`] and leaves it only while connected.
//! - Whoever subscribes to the node's status sees `online` while it is connected, `stopped` after
//!   [`Mqtt::close`], and `offline` (the last will) when it is gone without a word.
//! - What the outbox holds for the broker leaves it when the broker has acknowledged it, not before.
//! - What anybody may send to us is bounded: in size, in number, and in what it can make the broker keep.
//! - An outage is logged when it begins, when its reason changes, and when it ends.

pub(super) mod carry;
mod desk;
pub(super) mod dialect;
pub(super) mod link;
mod memory;
pub(super) mod options;
pub(super) mod reach;
pub(super) mod wire;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::QoS;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::desk::Desk;
pub use self::desk::Known;
use self::dialect::Broker;
use self::link::Link;
use self::memory::Memory;
pub(super) use self::options::check_client_id;
pub use self::reach::{Step, Unreachable, reach};
use self::wire::Client;
use super::endpoint::Endpoint;
use super::error::MqttError;
use super::queue::{Queue, WINDOW};
use super::topics::Topics;
use crate::clock::Clock;
use crate::command::{Commander, SettingState};
use crate::config::MqttConfig;
use crate::detection::Detections;
use crate::event::{Count, Event};
use crate::outbox::{Destination, OutboxHandle};
use crate::state::StateFile;
use crate::status::{CameraStatus, ConfigStatus, NodeState, Stats};

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
    link: Arc<Link<Broker>>,
    client: Client,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

/// What publishers hold of a connection. Cloning shares it; it outlives the connection without harm.
#[derive(Clone)]
pub struct MqttHandle(Arc<Link<Broker>>);

impl Mqtt {
    /// Checks the configuration, reads the files it names and starts connecting in the background, for ever.
    /// To be called within a tokio runtime. Where the configuration says that there is no broker, this takes everything and
    /// does nothing.
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
        let detections_qos = if config.detections_qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let peer = format!("{}:{}", endpoint.host, endpoint.port);
        let (desk, started) = (Desk::new(site, node), clock.wall());
        let enabled = config.enabled;
        let dialect = Broker { enabled, topics, desk, detections_qos, clock, started, config: Mutex::default() };
        let link = Arc::new(Link::new(peer, dialect, config.queue, durable.outbox));
        link.set_node_state(NodeState::Online);
        // More than the window, for subscriptions and the final DISCONNECT.
        let (client, events) = wire::client(options, WINDOW + desk::REQUESTS + 1);
        let mut tasks = JoinSet::new();
        if !config.enabled {
            return Ok(Self { link, client, tasks });
        }
        tasks.spawn(link::drive(events, Arc::clone(&link)));
        tasks.spawn(link::feed(client.clone(), Arc::clone(&link)));
        tasks.spawn(carry::carry(Arc::clone(&link), durable.backlog_rate));
        Ok(Self { link, client, tasks })
    }

    /// Takes commands from now on and hands them to whoever carries them out. `memory` is where it is kept what was heard
    /// last, so that a message that the broker keeps is no new command at each start.
    pub fn listen(&mut self, commander: Commander, memory: StateFile) {
        if !self.link.dialect.enabled {
            return;
        }
        if let Some(heard) = self.link.dialect.desk.open() {
            self.tasks.spawn(desk::serve(Arc::clone(&self.link), heard, commander, Memory::of(memory)));
            self.link.wake.notify_one();
        }
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
        let link = &self.link;
        if !link.dialect.enabled {
            return 0;
        }
        link::finish(link, &self.client, &mut self.tasks, deadline, || link.set_node_state(NodeState::Stopped)).await
    }
}

impl MqttHandle {
    /// Publishes what was seen. Never waits; while the broker is away or slow the oldest are dropped.
    pub fn detections(&self, detections: Arc<Detections>) {
        if !self.is_enabled() {
            return;
        }
        self.0.change(|queue| queue.push(detections));
    }

    /// Publishes an event: it waits in the outbox until the broker has acknowledged it. Never waits itself.
    pub fn event(&self, event: &Event) {
        if !self.is_enabled() {
            return;
        }
        match carry::item_of(event, Destination::Broker) {
            Some(item) => self.0.outbox.append(item),
            None => self.0.change(Queue::count_dropped),
        }
    }

    /// Publishes a running count, now and after every reconnection, until it is told anew.
    pub fn count(&self, count: &Count) {
        match self.0.dialect.topics.counts(&count.camera, &count.rule) {
            Ok(topic) => self.0.set_state(topic, count),
            Err(error) => tracing::error!(rule = count.rule, %error, "A count can't be published."),
        }
    }

    /// Publishes messages of others' making, retained, now and after every reconnection. Those of the last call that are
    /// not among them are forgotten, and so are components that are not in them any more.
    pub fn announce(&self, messages: Vec<(String, Value)>) {
        self.0.announce(messages);
    }

    /// Publishes the state of a setting, now and after every reconnection, until it is told anew.
    pub fn setting(&self, state: &SettingState) {
        self.0.set_setting(state.clone());
    }

    /// Says what cameras there are, each with its zones and lines. The broker is to forget what it keeps of others.
    pub fn know(&self, cameras: Known) {
        self.0.know(cameras);
    }

    /// Why no commands come, where that is so.
    #[must_use]
    pub fn commands_trouble(&self) -> Option<String> {
        self.0.dialect.desk.trouble()
    }

    /// Publishes a camera's state, now and after every reconnection, until it is told anew.
    pub fn camera_status(&self, camera: &str, status: &CameraStatus) {
        match self.0.dialect.topics.camera_status(camera) {
            Ok(topic) => self.0.set_state(topic, status),
            Err(error) => tracing::error!(camera, %error, "A camera's status can't be published."),
        }
    }

    /// Publishes which configuration is in force, with the state of the node, which is online.
    pub fn config(&self, config: ConfigStatus) {
        self.0.set_config(config);
    }

    /// Publishes the statistics, once. While the broker is away only the latest are kept.
    pub fn stats(&self, stats: &Stats) {
        if let Some(payload) = link::encode(stats) {
            let topic = self.0.dialect.topics.stats();
            self.0.change(|queue| queue.set_stats(topic, payload));
        }
    }

    /// Whether there is a broker at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.dialect.enabled
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
        &self.0.peer
    }

    /// Why there is no connection, while there is none and one was tried.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.0.last_error()
    }
}

impl fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mqtt").field("broker", &self.link.peer).finish_non_exhaustive()
    }
}

impl fmt::Debug for MqttHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttHandle").field("broker", &self.0.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
