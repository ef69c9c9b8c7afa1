//! How the node is, in one line.

use crate::status::{CameraState, Stats};

/// Characters of a reason that are shown.
const REASON: usize = 300;

/// How the node is, in one line: what `systemctl status` shows.
pub(super) fn summary(cameras: &[CameraState], stats: &Stats, connected: bool) -> String {
    let broker = if connected { "broker connected" } else { "no broker" };
    let refused = stats.config.as_ref().and_then(|config| config.refused.as_ref());
    let refused = refused.map_or_else(String::new, |refused| format!(" Not reloaded: {}", shortened(&refused.reason)));
    if cameras.is_empty() {
        return format!("No camera is configured; {broker}.{refused}");
    }
    let of_state = |state: CameraState| match cameras.iter().filter(|camera| **camera == state).count() {
        0 => None,
        count => Some(format!("{count} {}", state.name())),
    };
    let states: Vec<String> = CameraState::ALL.into_iter().filter_map(of_state).collect();
    // The sum of nothing is -0.
    let fps = 0.0 + stats.cameras.values().map(|camera| camera.scored_fps).sum::<f64>();
    format!("Cameras: {}; {fps:.1} frames/s scored on {}; {broker}.{refused}", states.join(", "), stats.device)
}

/// What there is room for in a line.
fn shortened(reason: &str) -> String {
    if reason.chars().count() <= REASON {
        return reason.to_owned();
    }
    let start: String = reason.chars().take(REASON).collect();
    format!("{start}… (the rest is in the log)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ConfigStatus, OutboxStats, RefusedReload, STATS_SCHEMA};

    #[test]
    fn the_summary_counts_cameras_by_state() {
        let stats: Stats = serde_json::from_value(serde_json::json!({
            "schema": STATS_SCHEMA, "at": "2026-11-22T16:44:31Z", "uptime_s": 5, "device": "CPU (1 thread)",
            "cameras": {}, "mqtt_dropped": 0, "evidence_kept": 0, "evidence_dropped": 0, "evidence_withheld": 0,
            "outbox": OutboxStats::default(),
        }))
        .unwrap();
        let states = [CameraState::Ok, CameraState::Blind, CameraState::Ok];
        let said = summary(&states, &stats, true);
        assert_eq!(said, "Cameras: 2 ok, 1 blind; 0.0 frames/s scored on CPU (1 thread); broker connected.");
        assert_eq!(summary(&[], &stats, false), "No camera is configured; no broker.");

        let (digest, at) = ("sha256:0".to_owned(), stats.at);
        let refused = |reason: &str| Some(RefusedReload { reason: reason.to_owned(), at });
        let with = |reason: &str| Stats {
            config: Some(ConfigStatus { digest: digest.clone(), since: at, refused: refused(reason) }),
            ..stats.clone()
        };
        let said = summary(&[], &with("mqtt.url needs a restart"), false);
        assert_eq!(said, "No camera is configured; no broker. Not reloaded: mqtt.url needs a restart");
        let said = summary(&states, &with(&"ä".repeat(1000)), false);
        assert!(said.ends_with("ä… (the rest is in the log)") && said.chars().count() < 420, "{said}");
    }
}
