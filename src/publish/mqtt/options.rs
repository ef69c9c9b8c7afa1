//! From our settings to the client's.

use std::path::Path;
use std::time::Duration;

use rumqttc::{MqttOptions, NetworkOptions, TlsConfiguration, Transport, v5};

use super::super::endpoint::Endpoint;
use super::super::error::MqttError;
use super::super::queue::WINDOW;
use super::super::tls;
use super::link::MAX_PACKET;
use crate::config::MqttConfig;

/// A broker that is silent for twice this long is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Longest wait for a connection, and for a packet to be written, in seconds.
const NETWORK_TIMEOUT_S: u64 = 10;
/// The longest client id, in bytes. Brokers must take 23 and may take up to 65 535 (MQTT 3.1.1 §3.1.3.1).
const MAX_CLIENT_ID: usize = 256;

/// The client's options, by version of the protocol.
pub(in crate::publish) enum Options {
    V3 { options: Box<MqttOptions>, network: NetworkOptions },
    V5 { options: Box<v5::MqttOptions>, expiry: Option<Duration> },
}

/// The client's options, with the secrets that they need.
pub(super) fn of(config: &MqttConfig, endpoint: &Endpoint, default_id: &str) -> Result<Options, MqttError> {
    check_client_id(config)?;
    let id = config.client_id.as_deref().unwrap_or(default_id);
    let inflight = u16::try_from(WINDOW).unwrap_or(u16::MAX);
    let password = config.password().read()?;
    let tls = if endpoint.tls { Some(tls::client(config.ca_file.as_deref(), identity(config))?) } else { None };
    let transport = tls.map(|tls| Transport::Tls(TlsConfiguration::Rustls(tls)));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(NETWORK_TIMEOUT_S);
    if config.version == 5 {
        let mut options = v5::MqttOptions::new(id, &endpoint.host, endpoint.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(true)
            .set_max_packet_size(u32::try_from(MAX_PACKET).ok())
            .set_connection_timeout(NETWORK_TIMEOUT_S)
            .set_network_options(network)
            .set_outgoing_inflight_upper_limit(inflight);
        if let Some(username) = &config.username {
            options.set_credentials(username, password);
        }
        if let Some(transport) = transport {
            options.set_transport(transport);
        }
        let expiry = config.expiry_s.map(|seconds| Duration::from_secs(seconds.into()));
        return Ok(Options::V5 { options: Box::new(options), expiry });
    }
    let mut options = MqttOptions::new(id, &endpoint.host, endpoint.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET)
        .set_inflight(inflight);
    if let Some(username) = &config.username {
        options.set_credentials(username, password);
    }
    if let Some(transport) = transport {
        options.set_transport(transport);
    }
    Ok(Options::V3 { options: Box::new(options), network })
}

/// Our certificate and its key, where the broker is to see them.
fn identity(config: &MqttConfig) -> Option<(&Path, &Path)> {
    config.cert_file.as_deref().zip(config.key_file.as_deref())
}

/// A client id that is empty is one that the broker makes up, which is not what anybody wants here.
pub(in crate::publish) fn check_client_id(config: &MqttConfig) -> Result<(), MqttError> {
    let wrong = |id: &String| id.is_empty() || id.len() > MAX_CLIENT_ID || id.contains(char::is_control);
    if config.client_id.as_ref().is_some_and(wrong) {
        return Err(MqttError::ClientId { max: MAX_CLIENT_ID });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_can_be_sent() {
        let config = |id: &str| MqttConfig { client_id: Some(id.to_owned()), ..MqttConfig::default() };
        for good in ["edge-01", "ä b", &"x".repeat(MAX_CLIENT_ID)] {
            assert!(check_client_id(&config(good)).is_ok(), "{good:?}");
        }
        for bad in ["", "a\0", "a\nb", &"x".repeat(MAX_CLIENT_ID + 1)] {
            assert!(check_client_id(&config(bad)).is_err(), "{bad:?}");
        }
        assert!(check_client_id(&MqttConfig::default()).is_ok());
    }
}
