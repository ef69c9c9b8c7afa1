//! What a connection to a hub takes: address, name and token.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::rustls::ClientConfig;
use rumqttc::{MqttOptions, NetworkOptions, TlsConfiguration, Transport};

use super::super::endpoint::Endpoint;
use super::super::mqtt::options::Options;
use super::super::queue::WINDOW;
use super::dialect::MAX_MESSAGE;
use super::identity::{Device, Proof};
use crate::clock::Clock;

/// What the user name says which version of the hub's interface is spoken.
const API: &str = "2021-04-12";
/// The port of MQTT over TLS.
pub(super) const PORT: u16 = 8883;
/// A peer that is silent for twice this long is taken for gone. A hub takes up to 1,177 s.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Longest wait for a connection, and for a packet to be written, in seconds.
const NETWORK_TIMEOUT_S: u64 = 15;

/// A connection that can be made.
pub(super) struct Session {
    pub(super) options: MqttOptions,
    /// After so long a new token is needed.
    pub(super) renew_after: Option<Duration>,
}

impl Session {
    /// A connection of a device to its hub, with a token that is valid for some time from now.
    pub(super) fn of(
        device: &Device,
        proof: &Proof,
        endpoint: Option<Endpoint>,
        tls: Arc<ClientConfig>,
        valid: Duration,
        clock: &dyn Clock,
    ) -> Self {
        let Device { hub, id } = device;
        let own = Endpoint { host: hub.clone(), port: PORT, tls: true };
        let username = format!("{hub}/{id}/?api-version={API}");
        let (password, renew_after) = match proof {
            Proof::Key(key) => {
                let token = key.token(&format!("{hub}/devices/{id}"), clock.wall() + valid, None);
                (token, Some(valid.mul_f64(0.8)))
            }
            Proof::Certificate => (String::new(), None),
        };
        let options = options(id, &endpoint.unwrap_or(own), tls, &username, &password);
        Self { options, renew_after }
    }
}

/// The client's options for a service of Azure.
pub(super) fn options(
    client_id: &str,
    endpoint: &Endpoint,
    tls: Arc<ClientConfig>,
    username: &str,
    password: &str,
) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, &endpoint.host, endpoint.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_max_packet_size(MAX_MESSAGE, MAX_MESSAGE)
        .set_inflight(u16::try_from(WINDOW).unwrap_or(u16::MAX))
        .set_credentials(username, password)
        .set_transport(Transport::Tls(TlsConfiguration::Rustls(tls)));
    options
}

/// The options as the client takes them.
pub(super) fn with_network(options: MqttOptions) -> Options {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(NETWORK_TIMEOUT_S);
    Options::V3 { options: Box::new(options), network }
}
