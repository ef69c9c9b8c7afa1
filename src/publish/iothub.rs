//! Azure IoT Hub: a destination of events beside the broker, with a twin and methods that command this node.
//!
//! Invariants:
//! - What the outbox holds for the hub leaves it when the hub has acknowledged it, not before; a new token, another hub and
//!   every failure in between change nothing about that, nor about the ids under which it is sent.
//! - Nothing that a hub closes connections for is sent: QoS 2, topics of our own, more than 256 KiB. What is larger is left
//!   out and counted.
//! - A connection ends before its token does.
//! - Desired properties and methods are the commands that MQTT has, with the same answers.
//!
//! A hub speaks MQTT 3.1.1, so queue, window and backlog are those of MQTT. Tokens are made here: the
//! crate `azure_iot_sdk`, which has them too, links OpenSSL with any choice of its features.

mod assignment;
mod attend;
mod connection_string;
mod dialect;
mod dps;
mod drive;
mod encode;
mod error;
mod identity;
mod methods;
mod reach;
mod sas;
mod session;
#[cfg(test)]
mod tests;
mod twin;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::MqttOptions;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::attend::{Attendant, SharedTwin};
use self::dialect::{Hub, properties};
use self::drive::Driver;
pub use self::error::IotHubError;
use self::identity::Identity;
pub use self::reach::{Depth, Way, reach, web_host};
use super::mqtt::link::{self, Link};
use super::mqtt::wire::{self, Client};
use super::mqtt::{Durable, carry};
use super::queue::{Queue, WINDOW};
use crate::clock::Clock;
use crate::command::Commander;
use crate::config::{HubMessage, IotHubConfig};
use crate::detection::Detections;
use crate::event::{COUNT_SCHEMA, Count, Event};
use crate::outbox::Destination;
use crate::status::{CameraStatus, NodeState, STATS_SCHEMA, Stats};

/// Detections that may wait while the hub is slow or away.
const DETECTIONS: usize = 256;
/// Messages past the queue that may wait for the client: answers of methods, the twin, and the final DISCONNECT.
const ASIDE: usize = 32;
/// Messages of the hub that may wait to be dealt with.
const INBOUND: usize = 64;
/// Longest reason of a camera's state that is reported, in characters.
const REASON: usize = 256;

/// Checks what can be checked without touching a file or the network.
///
/// # Errors
/// The first mistake, with the keys that lead to it below `[iothub]`.
pub fn check(config: &IotHubConfig) -> Result<(), (&'static [&'static str], IotHubError)> {
    identity::check(config)
}

/// The files that the configuration names, with the keys that lead to them below `[iothub]`.
pub(crate) fn files(config: &IotHubConfig) -> Vec<(&'static [&'static str], &Path)> {
    identity::files(config)
}

/// A connection to a hub, which is kept up in the background until it is closed or dropped.
pub struct IotHub {
    handle: IotHubHandle,
    client: Client,
    /// Aborted on drop.
    tasks: JoinSet<()>,
}

/// What publishers hold of a connection. Cloning shares it; it outlives the connection without harm.
#[derive(Clone)]
pub struct IotHubHandle(Arc<Shared>);

struct Shared {
    link: Arc<Link<Hub>>,
    twin: Arc<SharedTwin>,
    config: IotHubConfig,
    clock: Arc<dyn Clock>,
    paced: Mutex<Paced>,
}

/// What is sent only every so often.
#[derive(Default)]
struct Paced {
    sent_at: Option<Instant>,
    /// The latest counts, by the properties of their messages.
    counts: BTreeMap<String, Bytes>,
}

impl IotHub {
    /// Checks the configuration, reads the files and secrets that it names and starts connecting in the background, for
    /// ever. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When something of the configuration, a file or a secret is not usable. A hub that does not answer is not an error:
    /// see [`IotHubHandle::connected`] and [`IotHubHandle::last_error`].
    pub fn start(
        config: &IotHubConfig,
        clock: Arc<dyn Clock>,
        durable: Durable,
        commander: Commander,
    ) -> Result<Self, IotHubError> {
        let identity = Identity::read(config)?;
        let provisioned = || config.dps.as_ref().map(|dps| format!("{} (provisioned)", dps.registration_id));
        let peer = identity.device.map(|device| device.hub).or_else(provisioned).unwrap_or_default();
        let link = Arc::new(Link::new(peer, Hub::new(Arc::clone(&clock)), DETECTIONS, durable.outbox));
        link.set_node_state(NodeState::Online);
        // Options come with each connection.
        let unused = session::with_network(MqttOptions::new("", "", 0));
        let (client, events) = wire::client(unused, WINDOW + ASIDE);
        let (inbound, came) = mpsc::channel(INBOUND);
        let twin = Arc::<SharedTwin>::default();
        let driver = Driver::new(config, Arc::clone(&clock), Arc::clone(&link), client.clone(), inbound)?;
        let attendant = Attendant::new(Arc::clone(&link), client.clone(), commander, Arc::clone(&twin));
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(events));
        tasks.spawn(attendant.run(came));
        tasks.spawn(link::feed(client.clone(), Arc::clone(&link)));
        tasks.spawn(carry::carry(Arc::clone(&link), durable.backlog_rate));
        let shared = Shared { link, twin, config: config.clone(), clock, paced: Mutex::default() };
        Ok(Self { handle: IotHubHandle(Arc::new(shared)), client, tasks })
    }

    /// What publishers hold.
    #[must_use]
    pub fn handle(&self) -> IotHubHandle {
        self.handle.clone()
    }

    /// Whether the hub has accepted us, and every change of it.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.handle.0.link.connected.subscribe()
    }

    /// Delivers what waits, says `stopped`, waits until that is acknowledged and disconnects. What is in an outbox stays
    /// there. Says how many messages were not delivered, as [`Mqtt::close`](super::Mqtt::close) does.
    pub async fn close(mut self, deadline: Duration) -> usize {
        let link = &self.handle.0.link;
        link::finish(link, &self.client, &mut self.tasks, deadline, || {
            link.dialect.leave();
            link.set_node_state(NodeState::Stopped);
        })
        .await
    }
}

impl IotHubHandle {
    /// Sends an event: it waits in the outbox until the hub has acknowledged it. Never waits itself.
    pub fn event(&self, event: &Event) {
        let link = &self.0.link;
        match carry::item_of(event, Destination::Hub) {
            Some(item) => link.outbox.append(item),
            None => link.change(Queue::count_dropped),
        }
    }

    /// Sends what was seen, where that is asked for. Never waits; while the hub is away or slow the oldest are dropped.
    pub fn detections(&self, detections: &Arc<Detections>) {
        if self.0.config.sends(HubMessage::Detections) {
            self.0.link.change(|queue| queue.push(Arc::clone(detections)));
        }
    }

    /// Notes a running count, which is sent with the next statistics, where that is asked for.
    pub fn count(&self, count: &Count) {
        if self.0.config.sends(HubMessage::Counts)
            && let Some(payload) = link::encode(count)
        {
            let bag = properties(COUNT_SCHEMA).with("camera", &count.camera).with("rule", &count.rule);
            self.paced().counts.insert(bag.to_string(), payload);
        }
    }

    /// Sends the statistics, where that is asked for and due, and the counts that have changed since the last time.
    pub fn stats(&self, stats: &Stats) {
        let every = Duration::from_secs(self.0.config.every_s.into());
        let now = self.0.clock.monotonic();
        let mut paced = self.paced();
        if paced.sent_at.is_some_and(|at| now.saturating_duration_since(at) < every) {
            return;
        }
        paced.sent_at = Some(now);
        let counts = std::mem::take(&mut paced.counts);
        drop(paced);
        let stats = if self.0.config.sends(HubMessage::Stats) { link::encode(stats) } else { None };
        self.0.link.change(|queue| {
            for (bag, payload) in counts {
                queue.set_state(bag, payload);
            }
            if let Some(payload) = stats {
                queue.set_stats(properties(STATS_SCHEMA).to_string(), payload);
            }
        });
    }

    /// Reports something about this node in the twin.
    pub fn node(&self, name: &str, value: Value) {
        self.0.twin.tell(|twin| twin.tell_of("node", name, Some(value)));
    }

    /// Reports a camera's state in the twin.
    pub fn camera_status(&self, camera: &str, status: &CameraStatus) {
        let reason: String = status.reason.chars().take(REASON).collect();
        let state = serde_json::to_value(status.state).unwrap_or_default();
        let state = json!({ "state": state, "reason": reason, "since": status.since });
        self.0.twin.tell(|twin| twin.tell_of("states", camera, Some(state)));
    }

    /// Reports that a camera is no more.
    pub fn forget_camera(&self, camera: &str) {
        self.0.twin.tell(|twin| twin.tell_of("states", camera, None));
    }

    /// How many messages were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.link.queue().dropped()
    }

    /// Whether the hub has accepted us, at this moment.
    #[must_use]
    pub fn connected(&self) -> bool {
        *self.0.link.connected.borrow()
    }

    /// The hub's host name, or the registration where provisioning tells it.
    #[must_use]
    pub fn hub(&self) -> &str {
        &self.0.link.peer
    }

    /// Why there is no connection, while there is none and one was tried.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.0.link.last_error()
    }

    fn paced(&self) -> std::sync::MutexGuard<'_, Paced> {
        self.0.paced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for IotHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IotHub").field("hub", &self.handle.hub()).finish_non_exhaustive()
    }
}

impl fmt::Debug for IotHubHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IotHubHandle").field("hub", &self.hub()).finish_non_exhaustive()
    }
}
