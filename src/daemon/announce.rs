//! What others are told there is.

use std::collections::{BTreeMap, BTreeSet};

use super::DaemonError;
use crate::config::{CameraConfig, Config};
use crate::publish::home_assistant::{Announced, discovery};
use crate::publish::{MqttError, MqttHandle, Topics};

/// The cameras with their zones and lines, by name.
pub(super) fn known(config: &Config) -> BTreeMap<String, BTreeSet<String>> {
    let rules = |camera: &CameraConfig| camera.rules().map(ToString::to_string).collect();
    config.cameras.iter().map(|(name, camera)| (name.to_string(), rules(camera))).collect()
}

/// Tells Home Assistant what there is.
pub(super) fn announce(config: &Config, mqtt: &MqttHandle) -> Result<(), DaemonError> {
    let topics = Topics::new(&config.mqtt.prefix, &config.site, &config.node).map_err(MqttError::from)?;
    let cameras: Vec<_> = config
        .cameras
        .iter()
        .map(|(name, camera)| Announced {
            name: name.to_string(),
            events: camera.track.is_some() || camera.rules().next().is_some(),
            lines: camera.lines.iter().map(|line| line.name.to_string()).collect(),
            zones: camera.zones.iter().map(|zone| zone.name.to_string()).collect(),
            evidence: config.evidence.is_some(),
        })
        .collect();
    let messages = discovery(&topics, &config.site, &config.node, &cameras).map_err(MqttError::from)?;
    mqtt.announce(messages);
    Ok(())
}
