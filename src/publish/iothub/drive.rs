//! What keeps the connection to a hub up: who we are, a token, the connection, and all of it anew before the token ends.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{MqttOptions, QoS};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::mqtt::link::{GOOD_CONNECTION, Link, account, end_session, report_connection, report_outage};
use super::super::mqtt::wire::{Broken, Client, Events, Heard, Seen};
use super::super::queue::Queue;
use super::assignment::Assignment;
use super::dialect::Hub;
use super::error::IotHubError;
use super::identity::{Device, Identity, endpoint};
use super::session::Session;
use super::{dps, methods, twin};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::IotHubConfig;

/// The first wait before the next try, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long what is on its way may take before a connection is given up for one with a new token, at most.
const DRAIN: Duration = Duration::from_secs(5);
/// After so many failures in a row provisioning is asked whether the hub is another one.
const FAILURES: u32 = 10;

/// What the connection brings to those who deal with it.
#[derive(Debug)]
pub(super) enum Inbound {
    /// There is a new connection, and what is subscribed to will come.
    Ready,
    /// The connection is gone.
    Gone,
    Message(Heard),
}

/// Runs the connection, and comes back after each failure.
pub(super) struct Driver {
    config: IotHubConfig,
    clock: Arc<dyn Clock>,
    link: Arc<Link<Hub>>,
    client: Client,
    inbound: mpsc::Sender<Inbound>,
    /// Where what provisioning says is kept, if it is asked.
    assignment: Option<Assignment>,
    /// What provisioning said.
    provisioned: Option<Device>,
    failures: u32,
}

impl Driver {
    pub(super) fn new(
        config: &IotHubConfig,
        clock: Arc<dyn Clock>,
        link: Arc<Link<Hub>>,
        client: Client,
        inbound: mpsc::Sender<Inbound>,
    ) -> Result<Self, IotHubError> {
        let assignment = config.dps.as_ref().map(Assignment::of).transpose()?;
        let provisioned = assignment.as_ref().and_then(Assignment::load);
        Ok(Self { config: config.clone(), clock, link, client, inbound, assignment, provisioned, failures: 0 })
    }

    /// Ends after a DISCONNECT for good.
    pub(super) async fn run(mut self, mut events: Events) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let ended = match self.prepare().await {
                Ok((options, renew_after)) => {
                    events.set_options(options);
                    let (topic, payload) = self.link.last_will();
                    events.set_last_will(topic, payload, false);
                    self.hold(&mut events, renew_after).await
                }
                Err(reason) => Ended::Failed { reason, held: Duration::ZERO },
            };
            match ended {
                Ended::Left => return,
                Ended::Renewed => {
                    tracing::debug!(hub = %self.link.peer, "The token is renewed: connecting with a new one.");
                }
                Ended::Failed { reason, held } => {
                    report_outage(&self.link, &reason);
                    if held >= GOOD_CONNECTION {
                        backoff.reset();
                    }
                    tokio::time::sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// What the next connection takes. Secrets and files are read each time, so that they can be changed.
    async fn prepare(&mut self) -> Result<(MqttOptions, Option<Duration>), String> {
        let identity = Identity::read(&self.config).map_err(|error| error.to_string())?;
        let device = match identity.device.clone() {
            Some(device) => device,
            None => self.provision(&identity).await?,
        };
        let endpoint = self.config.url.as_deref().map(endpoint).transpose().map_err(|error| error.to_string())?;
        let valid = Duration::from_secs(self.config.token_s.into());
        self.link.dialect.set_device(&device.id);
        let session = Session::of(&device, &identity.proof, endpoint, identity.tls, valid, &*self.clock);
        Ok((session.options, session.renew_after))
    }

    async fn provision(&mut self, identity: &Identity) -> Result<Device, String> {
        if let Some(device) = &self.provisioned {
            return Ok(device.clone());
        }
        let Some(dps) = &self.config.dps else { return Err("no device is named".to_owned()) };
        let device = dps::register(dps, &identity.proof, Arc::clone(&identity.tls), &*self.clock).await?;
        tracing::info!(hub = device.hub, device = device.id, "Provisioned.");
        if let Some(assignment) = &self.assignment
            && let Err(error) = assignment.keep(&device)
        {
            tracing::warn!(%error, "The assigned hub is not kept: provisioning is asked again at the next start.");
        }
        self.provisioned = Some(device.clone());
        Ok(device)
    }

    /// Connects, and holds the connection until it ends.
    async fn hold(&mut self, events: &mut Events, renew_after: Option<Duration>) -> Ended {
        let mut connected_at: Option<Instant> = None;
        let mut renewal = None;
        let ended = loop {
            match events.next().await {
                Ok(Seen::Connected) => {
                    connected_at = Some(Instant::now());
                    self.failures = 0;
                    let filters = twin::FILTERS.into_iter().chain([methods::FILTER]).map(str::to_owned);
                    self.client.subscribe(&filters.collect::<Vec<_>>(), QoS::AtLeastOnce);
                    report_connection(&self.link);
                    renewal = renew_after.map(|after| Renewal::after(after, &self.link, &self.client));
                }
                Ok(Seen::Subscribed(_)) => self.bring(Inbound::Ready),
                Ok(Seen::Heard(heard)) => self.bring(Inbound::Message(heard)),
                Ok(Seen::Disconnected) if self.link.dialect.is_leaving() => break Ended::Left,
                Ok(Seen::Disconnected) => break Ended::Renewed,
                Ok(seen) => account(&self.link, seen),
                Err(failure) => {
                    let held = connected_at.map_or(Duration::ZERO, |at| at.elapsed());
                    break Ended::Failed { reason: self.explain(failure, connected_at.is_some()), held };
                }
            }
        };
        drop(renewal);
        end_session(events, &self.link, |seen| account(&self.link, seen));
        self.bring(Inbound::Gone);
        ended
    }

    /// Hands on what came. Where nobody keeps up it is lost: the hub asks a device that doesn't answer again.
    fn bring(&self, what: Inbound) {
        if self.inbound.try_send(what).is_err() {
            tracing::warn!(hub = %self.link.peer, "More comes from the hub than can be dealt with; it is left out.");
        }
    }

    /// Why the connection ended, and what may be done about it.
    fn explain(&mut self, failure: Broken, was_connected: bool) -> String {
        if was_connected {
            // It says no reason. Tokens that end are not one, since they are renewed before.
            return format!("{} (another client with this device's id has the same effect)", failure.reason);
        }
        self.failures += 1;
        if self.provisioned.is_some() && (failure.refused || self.failures >= FAILURES) {
            self.provisioned = None;
            self.failures = 0;
            tracing::info!(reason = failure.reason, "Provisioning is asked whether this node belongs to another hub.");
        }
        if failure.refused { refusal(&self.config) } else { failure.reason }
    }
}

/// How a connection ended.
enum Ended {
    /// For good.
    Left,
    /// To be made again with a new token.
    Renewed,
    Failed {
        reason: String,
        /// How long it was there.
        held: Duration,
    },
}

/// A hub doesn't say why it refuses. These are the reasons that there are.
pub(super) fn refusal(config: &IotHubConfig) -> String {
    let proof = if config.cert_file.is_some() {
        "is the certificate's thumbprint or authority registered, is its name the device's id"
    } else {
        "is the key this device's, is this machine's clock right"
    };
    format!("the hub refuses this device: {proof}, is the device there and enabled?")
}

/// Ends a connection in good order before its token does.
struct Renewal(JoinHandle<()>);

impl Renewal {
    fn after(after: Duration, link: &Arc<Link<Hub>>, client: &Client) -> Self {
        let (link, client) = (Arc::clone(link), client.clone());
        Self(tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // What the hub has not acknowledged by then is sent again under its id.
            link.change(Queue::hold);
            // Four fifths of the token's life are over; half of the rest stays for the goodbye.
            let until = Instant::now() + DRAIN.min(after / 8);
            while !link.queue().is_quiet() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            client.disconnect();
        }))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}
