//! Counting: rates, latencies and labels per camera, for the statistics message and the page.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::detection::Detections;
use crate::status::{CameraStats, Percentiles};

/// Latencies that percentiles are taken over.
const WINDOW: usize = 512;
/// Labels counted apart; what comes after shares one entry, so that a model with odd labels can't grow the table.
const MAX_LABELS: usize = 100;
/// The entry that labels over the limit share.
const OTHER: &str = "(other)";

/// One camera's counters.
#[derive(Debug)]
pub struct Meter {
    scored: u64,
    events: u64,
    objects: BTreeMap<String, u64>,
    latencies: VecDeque<f64>,
    last: (Instant, u64, u64),
}

impl Meter {
    /// Counts from `now` on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            scored: 0,
            events: 0,
            objects: BTreeMap::new(),
            latencies: VecDeque::with_capacity(WINDOW),
            last: (now, 0, 0),
        }
    }

    /// Counts one scored frame.
    pub fn scored(&mut self, detections: &Detections) {
        self.scored += 1;
        if self.latencies.len() == WINDOW {
            self.latencies.pop_front();
        }
        self.latencies.push_back(detections.latency_ms.total);
        for object in &detections.objects {
            let known = self.objects.contains_key(&*object.label);
            let label = if known || self.objects.len() < MAX_LABELS { &*object.label } else { OTHER };
            *self.objects.entry(label.to_owned()).or_default() += 1;
        }
    }

    /// Counts events.
    pub fn happened(&mut self, events: usize) {
        self.events += events as u64;
    }

    /// The statistics since the last call, given what the camera's mailbox counted since the start.
    #[allow(clippy::cast_precision_loss)]
    pub fn read(&mut self, now: Instant, captured: u64, dropped: u64) -> CameraStats {
        let (then, captured_then, scored_then) = self.last;
        let seconds = now.saturating_duration_since(then).as_secs_f64().max(1e-3);
        self.last = (now, captured, self.scored);
        let rate = |n: u64, before: u64| round(n.saturating_sub(before) as f64 / seconds);
        CameraStats {
            captured_fps: rate(captured, captured_then),
            scored_fps: rate(self.scored, scored_then),
            dropped,
            scored: self.scored,
            events: self.events,
            objects: self.objects.clone(),
            latency_ms: percentiles(self.latencies.iter().copied()),
            ..CameraStats::default()
        }
    }
}

fn round(v: f64) -> f64 {
    (v * 100.0).round() / 100.0
}

/// Percentiles by nearest rank; zeros where there are no values.
pub fn percentiles(values: impl IntoIterator<Item = f64>) -> Percentiles {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |per_cent: usize| {
        let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().map_or(0.0, round)
    };
    Percentiles { p50: at(50), p95: at(95), p99: at(99) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::detection::{Latency, seen};

    fn detections(total: f64, labels: &[&str]) -> Detections {
        let objects: Vec<_> = labels.iter().map(|label| (*label, 0.9)).collect();
        let seen = seen("", chrono::DateTime::UNIX_EPOCH, &objects);
        Detections { latency_ms: Latency { total, ..Latency::default() }, ..seen }
    }

    #[test]
    fn rates_are_since_the_last_reading_and_counts_since_the_start() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for _ in 0..10 {
            meter.scored(&detections(5.0, &["bolt", "bolt", "gear"]));
        }
        let first = meter.read(start + Duration::from_secs(2), 20, 10);
        assert_eq!((first.captured_fps, first.scored_fps), (10.0, 5.0));
        assert_eq!(first.objects["bolt"], 20);
        let second = meter.read(start + Duration::from_secs(3), 20, 10);
        assert_eq!((second.captured_fps, second.scored_fps), (0.0, 0.0));
        assert_eq!((second.scored, second.dropped), (10, 10));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let p = percentiles((1..=100).map(f64::from));
        assert_eq!((p.p50, p.p95, p.p99), (50.0, 95.0, 99.0));
        assert_eq!(percentiles([7.0]), Percentiles { p50: 7.0, p95: 7.0, p99: 7.0 });
        assert_eq!(percentiles([]), Percentiles::default());
    }

    #[test]
    fn labels_are_bounded() {
        let mut meter = Meter::new(Instant::now());
        for i in 0..1000 {
            meter.scored(&detections(1.0, &[&format!("label {i}")]));
        }
        let stats = meter.read(Instant::now(), 0, 0);
        assert_eq!(stats.objects.len(), MAX_LABELS + 1);
        assert_eq!(stats.objects.values().sum::<u64>(), 1000);
    }
}
