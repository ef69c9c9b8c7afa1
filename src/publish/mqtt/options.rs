//! From our settings to the client's.

use std::time::Duration;

use rumqttc::{MqttOptions, TlsConfiguration, Transport};

use super::super::endpoint::Endpoint;
use super::super::error::MqttError;
use super::super::queue::WINDOW;
use super::super::tls;
use super::link::MAX_PACKET;
use crate::config::MqttConfig;

/// A broker that is silent for twice this long is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The longest client id, in bytes. Brokers must take 23 and may take up to 65 535 (MQTT 3.1.1 §3.1.3.1).
const MAX_CLIENT_ID: usize = 256;

/// The client's options, with the secrets that they need.
pub(super) fn of(config: &MqttConfig, endpoint: &Endpoint, default_id: &str) -> Result<MqttOptions, MqttError> {
    check_client_id(config)?;
    let id = config.client_id.as_deref().unwrap_or(default_id);
    let mut options = MqttOptions::new(id, &endpoint.host, endpoint.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(true)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET)
        .set_inflight(u16::try_from(WINDOW).unwrap_or(u16::MAX));
    let password = config.password().read()?;
    if let Some(username) = &config.username {
        options.set_credentials(username, password);
    }
    if endpoint.tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls::client(config)?)));
    }
    Ok(options)
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
