//! What leaves by MQTT: the state of the node and its cameras, statistics, and what was seen.
//!
//! - [`Mqtt`] is the connection: it comes back by itself, holds back while the broker is away, and says
//!   goodbye in good order. [`MqttHandle`] is what publishers hold of it.
//! - [`IotHub`] is the same for Azure IoT Hub, which takes commands as well.
//! - [`Topics`] are the names that others rely on.
//! - [`home_assistant`] tells Home Assistant which of them are what.
//! - [`broker::EmbeddedBroker`] is a broker inside the process, for the demo.

pub mod broker;
mod endpoint;
mod error;
pub mod home_assistant;
pub mod iothub;
mod mqtt;
mod queue;
#[cfg(test)]
mod reference;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod topics;

pub use self::error::MqttError;
pub use self::iothub::{IotHub, IotHubError, IotHubHandle};
pub use self::mqtt::{Durable, Known, Mqtt, MqttHandle, Step, Unreachable, reach};
pub use self::tls::Distrust;
pub(crate) use self::tls::distrust;
pub use self::topics::{TopicError, Topics};

use crate::config::MqttConfig;

/// Checks what can be checked without touching a file or the network: URL, names and what goes together.
///
/// # Errors
/// The first mistake.
pub fn check(config: &MqttConfig) -> Result<(), MqttError> {
    endpoint::Endpoint::of(config)?;
    mqtt::check_client_id(config)?;
    config.password().check(config.username.as_deref())?;
    Topics::new(&config.prefix, "site", "node")?;
    Ok(())
}
