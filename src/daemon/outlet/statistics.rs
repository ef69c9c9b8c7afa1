//! How everything is, told once a second: to the broker, the hub, the page, and the fleet.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::Outlet;
use crate::daemon::summary::summary;
use crate::gpu;
use crate::insights::Look;
use crate::outbox::{self, Kind};
use crate::privacy::Guard;
use crate::publish::{IotHubHandle, MqttHandle};
use crate::status::{
    CameraState, CameraStats, GpuMemoryStats, HubLink, OutboxStats, STATS_SCHEMA, Stats, TracesStats, WithheldStats,
};
use crate::web::{MqttLink, MqttState};

impl Outlet {
    /// Counts for the fleet how the cameras are.
    pub(in crate::daemon) fn look(&self) {
        let Some(insights) = &self.outputs.insights else { return };
        let cameras = self.lock();
        let looks = cameras.iter().map(|(name, entry)| Look {
            camera: name,
            state: entry.published.as_ref().map_or(CameraState::Connecting, |status| status.state),
            dropped: entry.mailbox.dropped(),
        });
        insights.look(self.clock.wall(), self.clock.monotonic(), looks);
    }

    /// Publishes how everything is, and says it in a line.
    pub(in crate::daemon) fn publish_stats(&self) -> String {
        self.look();
        let now = self.clock.monotonic();
        let mut cameras = BTreeMap::new();
        let mut states = Vec::new();
        for (name, entry) in self.lock().iter_mut() {
            let (captured, dropped) = (entry.mailbox.captured(), entry.mailbox.dropped());
            let (unchanged, trust) = (entry.mailbox.unchanged(), entry.mailbox.trust());
            let rates = entry.meter.read(now, captured, dropped);
            states.push(entry.published.as_ref().map_or(CameraState::Connecting, |status| status.state));
            let verdicts = self.outputs.reviews.as_ref().map(|reviews| reviews.tallies(name)).unwrap_or_default();
            cameras.insert(name.to_string(), CameraStats { unchanged, trust, verdicts, ..rates });
        }
        let evidence = self.outputs.evidence.as_ref();
        let (kept, lost) =
            evidence.map_or((0, 0), |(keeper, courier)| (courier.kept(), keeper.dropped() + courier.dropped()));
        let stats = Stats {
            schema: STATS_SCHEMA.to_owned(),
            at: self.clock.wall(),
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            device: self.device(),
            cameras,
            mqtt_dropped: self.outputs.mqtt.dropped(),
            evidence_kept: kept,
            evidence_dropped: lost,
            evidence_withheld: evidence.map_or(0, |(keeper, _)| keeper.withheld()),
            evidence_reasons: evidence.map(|(keeper, _)| keeper.reasons()).unwrap_or_default(),
            withheld: self.outputs.guard.as_deref().map(withheld_stats),
            outbox: outbox_stats(&self.outputs.outbox.status()),
            iothub: self.outputs.iothub.as_ref().map(hub_link),
            config: Some(self.config()),
            gpu_memory: gpu::memory().map(|memory| GpuMemoryStats { used: memory.used, reserved: memory.reserved }),
            traces: self.outputs.traces.as_ref().map(|of| TracesStats { sent: of.sent(), dropped: of.dropped() }),
        };
        self.outputs.hub.mqtt(mqtt_link(&self.outputs.mqtt));
        self.outputs.mqtt.stats(&stats);
        if let Some(iothub) = &self.outputs.iothub {
            iothub.stats(&stats);
        }
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = Some(stats.clone());
        let summary = summary(&states, &stats, self.outputs.mqtt.connected());
        self.outputs.hub.stats(stats);
        summary
    }
}

fn mqtt_link(mqtt: &MqttHandle) -> MqttLink {
    if !mqtt.is_enabled() {
        return MqttLink::default();
    }
    let state = if mqtt.connected() { MqttState::Connected } else { MqttState::Connecting };
    MqttLink { state, broker: mqtt.broker().to_owned(), reason: mqtt.last_error().unwrap_or_default() }
}

fn hub_link(iothub: &IotHubHandle) -> HubLink {
    HubLink {
        hub: iothub.hub().to_owned(),
        connected: iothub.connected(),
        reason: iothub.last_error(),
        dropped: iothub.dropped(),
    }
}

fn withheld_stats(guard: &Guard) -> WithheldStats {
    let load = guard.load();
    WithheldStats { frames: load.frames, bytes: load.bytes, lost: guard.lost() }
}

fn outbox_stats(status: &outbox::Status) -> OutboxStats {
    OutboxStats {
        events: status.loads.of(Kind::Event).items,
        evidence: status.loads.of(Kind::Evidence).items,
        bytes: status.loads.total().bytes,
        in_memory: status.in_memory,
        oldest_at: status.oldest_at,
        dropped: status.dropped + status.evicted,
        trouble: status.trouble.clone(),
    }
}
