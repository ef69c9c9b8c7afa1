//! What became of a frame, for traces.

use std::time::{Duration, Instant};

use super::Outlet;
use crate::detection::{Detections, Latency};
use crate::traces::FrameTrace;

impl Outlet {
    /// Has a frame traced that was published just now, if it is one of those that are.
    pub(super) fn trace(&self, detections: &Detections, scored_at: Instant, tracked_at: Instant) {
        let Some(traces) = self.outputs.traces.as_ref().filter(|traces| traces.wants(&detections.id)) else { return };
        let tracked = tracked_at.saturating_duration_since(scored_at);
        let published = self.clock.monotonic().saturating_duration_since(tracked_at);
        traces.send(trace(detections, tracked, published));
    }
}

fn trace(detections: &Detections, tracked: Duration, published: Duration) -> FrameTrace {
    let Latency { queue, preprocess, model, total } = detections.latency_ms;
    let took = |ms: f64| Duration::try_from_secs_f64(ms.max(0.0) / 1e3).unwrap_or_default();
    FrameTrace {
        id: detections.id.clone(),
        camera: detections.camera.clone(),
        model: detections.model.name.clone(),
        seq: detections.frame.seq,
        objects: detections.objects.len(),
        captured_at: detections.frame.captured_at,
        stages: vec![
            ("queue", took(queue)),
            ("preprocess", took(preprocess)),
            ("model", took(model)),
            // With frames that share a batch, or wait for the one before, the rest is theirs as well.
            ("postprocess", took(total - queue - preprocess - model)),
            ("track", tracked),
            ("publish", published),
        ],
    }
}
