//! Whether a hub lets us in, tried once and step by step: for whoever sets a machine up.

use std::sync::Arc;
use std::time::Duration;

use super::super::endpoint::Endpoint;
use super::super::mqtt::Step;
use super::super::mqtt::reach::{Unreachable, knock, log_in};
use super::super::mqtt::wire;
use super::assignment::Assignment;
use super::drive::refusal;
use super::identity::{Device, Identity, Proof, endpoint};
use super::session::{PORT, Session, with_network};
use super::{IotHubError, dps};
use crate::clock::Clock;
use crate::config::{DpsConfig, IotHubConfig};

/// The port that is open where only the web is.
const WEB: u16 = 443;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Up to TLS: a hub lets one in for each device, and that may be a daemon that runs.
    Tls,
    /// With the login, which ends another connection of the same device.
    Login,
}

/// Whom a step was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Device Provisioning Service.
    Provisioning,
    /// The hub.
    Hub,
}

/// Goes to the hub as the daemon does, through provisioning where it does not know its hub yet, and leaves again.
/// `passed` is told each step that went well, with what is to be said of it.
///
/// # Errors
/// With the step that did not, and why.
pub async fn reach(
    config: &IotHubConfig,
    clock: &dyn Clock,
    depth: Depth,
    mut passed: impl FnMut(Way, Step, &str),
) -> Result<(), (Way, Unreachable)> {
    let settings = |error: IotHubError| (Way::Hub, Unreachable::at(Step::Settings, error));
    let identity = Identity::read(config).map_err(settings)?;
    let url = config.url.as_deref().map(endpoint).transpose().map_err(settings)?;
    let device = match (&identity.device, &config.dps) {
        (Some(device), _) => device.clone(),
        (None, Some(dps)) => provisioned(dps, &identity, clock, |step, said| passed(Way::Provisioning, step, said))
            .await
            .map_err(|failure| (Way::Provisioning, failure))?,
        (None, None) => return Err(settings(IotHubError::Hub)),
    };
    let hub = url.unwrap_or_else(|| Endpoint { host: device.hub.clone(), port: PORT, tls: true });
    let tls = Arc::clone(&identity.tls);
    if let Err(failure) = knock(&hub, Some(tls), |step, said| passed(Way::Hub, step, said)).await {
        return Err((Way::Hub, with_the_other_port(failure, &hub).await));
    }
    if depth == Depth::Tls {
        return Ok(());
    }
    let valid = Duration::from_secs(config.token_s.into());
    let session = Session::of(&device, &identity.proof, Some(hub.clone()), identity.tls, valid, clock);
    let connection = wire::client(with_network(session.options), 1);
    log_in(&hub, connection).await.map_err(|failure| {
        let refused = failure.step == Step::Login && failure.refused;
        (Way::Hub, if refused { Unreachable { reason: refusal(config), ..failure } } else { failure })
    })?;
    let proof = match identity.proof {
        Proof::Key(_) => "token",
        Proof::Certificate => "certificate",
    };
    passed(Way::Hub, Step::Login, &format!("{} accepts device {} by its {proof}", device.hub, device.id));
    Ok(())
}

/// The host that answers by HTTPS as well: the hub, or the service that says which it is.
#[must_use]
pub fn web_host(config: &IotHubConfig) -> Option<String> {
    let named = || Identity::read(config).ok()?.device.map(|device| device.hub);
    let service = || Some(endpoint(&config.dps.as_ref()?.url).ok()?.host);
    config.hub.clone().or_else(named).or_else(service)
}

/// The hub that is known from an earlier time, else the one that the service assigns now.
async fn provisioned(
    config: &DpsConfig,
    identity: &Identity,
    clock: &dyn Clock,
    mut passed: impl FnMut(Step, &str),
) -> Result<Device, Unreachable> {
    let settings = |error: IotHubError| Unreachable::at(Step::Settings, error);
    if let Some(device) = Assignment::of(config).map_err(settings)?.load() {
        passed(Step::Settings, &format!("device {} of {} by an earlier assignment", device.id, device.hub));
        return Ok(device);
    }
    let service = endpoint(&config.url).map_err(settings)?;
    knock(&service, Some(Arc::clone(&identity.tls)), &mut passed).await?;
    let registered = dps::register(config, &identity.proof, Arc::clone(&identity.tls), clock).await;
    let device = registered.map_err(|reason| Unreachable::at(Step::Login, reason))?;
    passed(Step::Login, &format!("device {} of {} was assigned", device.id, device.hub));
    Ok(device)
}

/// Adds to a hub that can't be reached whether the web can: then a firewall keeps MQTT back.
async fn with_the_other_port(failure: Unreachable, hub: &Endpoint) -> Unreachable {
    let web = Endpoint { port: WEB, ..hub.clone() };
    if failure.step != Step::Network || knock(&web, None, |_, _| {}).await.is_err() {
        return failure;
    }
    let reason = format!("{}; port {WEB} of it can, so that a firewall keeps port {} back", failure.reason, hub.port);
    Unreachable { reason, ..failure }
}
