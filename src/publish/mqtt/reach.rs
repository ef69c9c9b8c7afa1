//! Whether the broker lets us in, tried once: for whoever sets a machine up.

use std::fmt;
use std::time::Duration;

use tokio::net::TcpStream;

use super::options;
use super::wire::{self, Seen};
use crate::config::MqttConfig;
use crate::publish::endpoint::Endpoint;

/// Longest wait for a connection, and then for the broker's word.
const LIMIT: Duration = Duration::from_secs(10);

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The settings can't be used: nothing was asked of the network.
    Settings,
    /// There is no way to the broker.
    Network,
    /// The broker is there, and TLS or the login failed.
    Login,
}

/// Why the broker did not let us in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// How far it got.
    pub step: Step,
    /// What is wrong, in words.
    pub reason: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Connects to the broker as configured, under a client id of its own so that a daemon that runs is not thrown out, and
/// leaves again. Says the broker's host and port.
///
/// # Errors
/// With how far it got, and why no farther.
pub async fn reach(config: &MqttConfig, site: &str, node: &str) -> Result<String, Unreachable> {
    let settings = |reason: String| Unreachable { step: Step::Settings, reason };
    let config = MqttConfig { client_id: None, ..config.clone() };
    let endpoint = Endpoint::of(&config).map_err(|error| settings(error.to_string()))?;
    let options = options::of(&config, &endpoint, &format!("ocellus-{site}-{node}-doctor"));
    let options = options.map_err(|error| settings(error.to_string()))?;
    let broker = format!("{}:{}", endpoint.host, endpoint.port);

    let connect = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let reason = match tokio::time::timeout(LIMIT, connect).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it does not answer".to_owned()),
    };
    if let Some(reason) = reason {
        return Err(Unreachable { step: Step::Network, reason: format!("{broker} can't be reached: {reason}") });
    }

    let (client, mut events) = wire::client(options, 1);
    let connected = async {
        loop {
            match events.next().await {
                Ok(Seen::Connected) => return Ok(()),
                Ok(_) => {}
                Err(broken) => return Err(broken.reason),
            }
        }
    };
    let outcome = match tokio::time::timeout(LIMIT, connected).await {
        Ok(outcome) => outcome,
        Err(_) => Err("it does not answer as an MQTT broker does".to_owned()),
    };
    outcome.map_err(|reason| Unreachable { step: Step::Login, reason: format!("{broker}: {reason}") })?;
    if client.disconnect() {
        // Until it is written; whether the broker hears it does not matter here.
        let leave = async { while matches!(events.next().await, Ok(seen) if seen != Seen::Disconnected) {} };
        let _ = tokio::time::timeout(LIMIT, leave).await;
    }
    Ok(broker)
}
