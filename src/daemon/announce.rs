//! What Home Assistant is told there is.

use super::DaemonError;
use crate::config::Config;
use crate::publish::home_assistant::{Announced, discovery};
use crate::publish::{MqttError, MqttHandle, Topics};

/// Tells Home Assistant what there is.
pub(super) fn announce(config: &Config, mqtt: &MqttHandle) -> Result<(), DaemonError> {
    let topics = Topics::new(&config.mqtt.prefix, &config.site, &config.node).map_err(MqttError::from)?;
    let cameras: Vec<_> = config
        .cameras
        .iter()
        .map(|(name, camera)| Announced {
            name: name.to_string(),
            events: camera.track.is_some() || !camera.zones.is_empty() || !camera.lines.is_empty(),
            lines: camera.lines.iter().map(|line| line.name.to_string()).collect(),
            zones: camera.zones.iter().map(|zone| zone.name.to_string()).collect(),
        })
        .collect();
    let messages = discovery(&topics, &config.site, &config.node, &cameras).map_err(MqttError::from)?;
    for (topic, message) in messages {
        mqtt.announce(topic, &message);
    }
    Ok(())
}
