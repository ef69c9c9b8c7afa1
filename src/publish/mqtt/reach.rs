//! Whether the broker lets us in, tried once and step by step: for whoever sets a machine up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::TlsConnector;
use rumqttc::tokio_rustls::rustls::ClientConfig;
use rumqttc::tokio_rustls::rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::options;
use super::wire::{self, Broken, Client, Events, Seen};
use crate::config::MqttConfig;
use crate::publish::endpoint::Endpoint;
use crate::publish::tls::{self, Distrust, distrust};

/// Longest wait for a connection, and then for the other side's word.
const LIMIT: Duration = Duration::from_secs(10);

/// A step on the way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The settings, and the files and secrets that they name: nothing is asked of the network.
    Settings,
    /// The way there.
    Network,
    /// TLS.
    Tls,
    /// The login.
    Login,
}

/// Why the broker did not let us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// What failed.
    pub step: Step,
    /// What of TLS failed.
    pub distrust: Option<Distrust>,
    /// Whether we were refused: it is not the connection that broke.
    pub refused: bool,
    /// What is wrong, in words.
    pub reason: String,
}

impl Unreachable {
    pub(in crate::publish) fn at(step: Step, reason: impl fmt::Display) -> Self {
        Self { step, distrust: None, refused: false, reason: reason.to_string() }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Connects to the broker as configured, under a client id of its own so that a daemon that runs is not thrown out, and
/// leaves again. `passed` is told each step that went well, with the broker's host and port.
///
/// # Errors
/// With the step that did not, and why.
pub async fn reach(
    config: &MqttConfig,
    site: &str,
    node: &str,
    mut passed: impl FnMut(Step, &str),
) -> Result<(), Unreachable> {
    let settings = |error| Unreachable::at(Step::Settings, error);
    let config = MqttConfig { client_id: None, ..config.clone() };
    let endpoint = Endpoint::of(&config).map_err(settings)?;
    let options = options::of(&config, &endpoint, &format!("ocellus-{site}-{node}-doctor")).map_err(settings)?;
    let identity = config.cert_file.as_deref().zip(config.key_file.as_deref());
    let tls = endpoint.tls.then(|| tls::client(config.ca_file.as_deref(), identity)).transpose().map_err(settings)?;
    knock(&endpoint, tls, &mut passed).await?;
    log_in(&endpoint, wire::client(options, 1)).await?;
    passed(Step::Login, &endpoint.to_string());
    Ok(())
}

/// Connects, and makes sure by TLS of who answers, where there is to be TLS.
pub(in crate::publish) async fn knock(
    endpoint: &Endpoint,
    tls: Option<Arc<ClientConfig>>,
    mut passed: impl FnMut(Step, &str),
) -> Result<(), Unreachable> {
    let peer = endpoint.to_string();
    let unreached = |reason: &str| Unreachable::at(Step::Network, format!("{peer} can't be reached: {reason}"));
    let connect = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let stream = match tokio::time::timeout(LIMIT, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreached(&error.to_string())),
        Err(_) => return Err(unreached("it does not answer")),
    };
    passed(Step::Network, &peer);
    let Some(tls) = tls else { return Ok(()) };
    let failed = |why, reason: &str| Unreachable {
        step: Step::Tls,
        distrust: Some(why),
        refused: false,
        reason: format!("TLS with {peer} fails: {reason}"),
    };
    let name =
        ServerName::try_from(endpoint.host.clone()).map_err(|error| failed(Distrust::Other, &error.to_string()))?;
    match tokio::time::timeout(LIMIT, TlsConnector::from(tls).connect(name, stream)).await {
        Ok(Ok(_)) => passed(Step::Tls, &peer),
        // Who speaks something else closes the connection, or says what is no TLS.
        Ok(Err(error)) => return Err(failed(distrust(&error).unwrap_or(Distrust::NotTls), &error.to_string())),
        Err(_) => return Err(failed(Distrust::NotTls, "it does not answer as TLS does")),
    }
    Ok(())
}

/// Logs in, and leaves again.
pub(in crate::publish) async fn log_in(
    endpoint: &Endpoint,
    (client, mut events): (Client, Events),
) -> Result<(), Unreachable> {
    let reason = |reason: &str| format!("{endpoint}: {reason}");
    match tokio::time::timeout(LIMIT, connected(&mut events)).await {
        Ok(Ok(())) => {}
        Ok(Err(Broken { reason: said, distrust, refused, .. })) => {
            // With TLS 1.3 it says what it makes of our certificate only after the handshake.
            let step = if distrust.is_some() { Step::Tls } else { Step::Login };
            return Err(Unreachable { step, distrust, refused, reason: reason(&said) });
        }
        Err(_) => return Err(Unreachable::at(Step::Login, reason("it does not answer as an MQTT broker does"))),
    }
    if client.disconnect() {
        // Until it is written; whether the broker hears it does not matter here.
        let leave = async { while matches!(events.next().await, Ok(seen) if seen != Seen::Disconnected) {} };
        let _ = tokio::time::timeout(LIMIT, leave).await;
    }
    Ok(())
}

async fn connected(events: &mut Events) -> Result<(), Broken> {
    while events.next().await? != Seen::Connected {}
    Ok(())
}
