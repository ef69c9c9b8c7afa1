//! How the node is, as a whole: the answer to `diagnose`.

use super::Daemon;
use super::outlet::Outlet;
use crate::command::SETTINGS;
use crate::config::Name;
use crate::status::{CameraDiagnosis, CameraState, CameraStatus, DIAGNOSIS_SCHEMA, Diagnosis, MqttDiagnosis, Stats};

impl Daemon {
    /// How everything is, and what is amiss.
    pub(super) fn diagnosis(&self) -> Diagnosis {
        let config = self.standing.config();
        let mqtt = self.mqtt.handle();
        let mqtt = MqttDiagnosis {
            connected: mqtt.connected(),
            broker: mqtt.broker().to_owned(),
            reason: mqtt.last_error(),
            commands: mqtt.commands_trouble(),
        };
        let stats = self.outlet.last_stats();
        let cameras = config.cameras.keys().map(|name| (name.to_string(), self.camera_diagnosis(name)));
        let cameras = cameras.collect();
        Diagnosis {
            schema: DIAGNOSIS_SCHEMA.to_owned(),
            at: self.outlet.clock().wall(),
            site: config.site.to_string(),
            node: config.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.outlet.device(),
            config: self.standing.digest(),
            models: self.lines.model_refs().map(|(name, model)| (name.to_string(), model.clone())).collect(),
            troubles: troubles(&cameras, config.mqtt.enabled.then_some(&mqtt), stats.as_ref()),
            cameras,
            mqtt,
            stats,
        }
    }

    fn camera_diagnosis(&self, camera: &Name) -> CameraDiagnosis {
        let book = self.standing.book();
        let commanded = SETTINGS.iter().filter_map(|setting| Some((setting, book.get(camera, setting)?)));
        CameraDiagnosis {
            status: self.outlet.status_of(camera),
            commanded: commanded.map(|(setting, commanded)| ((*setting).to_owned(), commanded.value.clone())).collect(),
        }
    }
}

/// What is amiss, in sentences.
fn troubles(
    cameras: &std::collections::BTreeMap<String, CameraDiagnosis>,
    mqtt: Option<&MqttDiagnosis>,
    stats: Option<&Stats>,
) -> Vec<String> {
    let mut all = Vec::new();
    for (name, camera) in cameras {
        match &camera.status {
            Some(CameraStatus { state: CameraState::Ok, .. }) | None => {}
            Some(CameraStatus { state, reason, .. }) => {
                let state = format!("{state:?}").to_lowercase();
                let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                all.push(format!("camera {name} is {state}{reason}"));
            }
        }
    }
    if let Some(mqtt) = mqtt.filter(|mqtt| !mqtt.connected) {
        let reason = mqtt.reason.as_deref().unwrap_or("not tried yet");
        all.push(format!("no connection to the MQTT broker {}: {reason}", mqtt.broker));
    }
    all.extend(
        mqtt.into_iter().flat_map(|mqtt| &mqtt.commands).map(|reason| format!("no commands come over MQTT: {reason}")),
    );
    let Some(stats) = stats else { return all };
    let refused = stats.config.as_ref().and_then(|config| config.refused.as_ref());
    all.extend(refused.map(|refused| format!("the configuration file is not in force: {}", refused.reason)));
    if let Some(hub) = stats.iothub.as_ref().filter(|hub| !hub.connected) {
        let reason = hub.reason.as_deref().unwrap_or("not tried yet");
        all.push(format!("no connection to the hub {}: {reason}", hub.hub));
    }
    all.extend(stats.outbox.trouble.iter().map(|reason| format!("the outbox's disk takes nothing: {reason}")));
    let lost = [
        (stats.outbox.dropped, "items of the outbox found no room"),
        (stats.evidence_dropped, "pieces of evidence were lost"),
        (stats.withheld.map_or(0, |withheld| withheld.lost), "withheld frames were lost"),
        (stats.mqtt_dropped, "messages were too many for the MQTT broker"),
    ];
    all.extend(lost.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what} since the start")));
    all
}

impl Outlet {
    /// A camera's state, as it was published.
    fn status_of(&self, camera: &Name) -> Option<CameraStatus> {
        self.lock().get(camera).and_then(|entry| entry.published.clone())
    }
}
