//! What the tests of this room share.

use chrono::{DateTime, Utc};

use crate::detection::{Detections, FrameRef, Latency, ModelRef, Object, Rect, SCHEMA};

/// Numbers that look random and are the same in every run (`SplitMix64`, Steele et al. 2014).
pub(in crate::scene) struct Random(u64);

impl Random {
    pub(in crate::scene) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::scene) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in crate::scene) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("small")
    }

    /// Uniform in 0..1.
    pub(in crate::scene) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, mean 0 and deviation 1: the sum of twelve uniform numbers.
    pub(in crate::scene) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// A time, some milliseconds into 2026.
pub(in crate::scene) fn wall(ms: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_767_225_600_000 + ms as i64).expect("a time")
}

pub(in crate::scene) fn object(label: &str, score: f32, rect: Rect) -> Object {
    Object { class: 0, label: label.into(), score, rect, track: None, zones: Vec::new() }
}

/// A frame of 640x360, captured some milliseconds into 2026.
pub(in crate::scene) fn frame(seq: u64, ms: u64, objects: Vec<Object>) -> Detections {
    Detections {
        schema: SCHEMA.to_owned(),
        id: format!("{seq:026}"),
        site: "plant-7".to_owned(),
        node: "edge-01".to_owned(),
        camera: "line-3".to_owned(),
        frame: FrameRef { seq, captured_at: wall(ms), width: 640, height: 360 },
        model: ModelRef { name: "m".to_owned(), version: "1".to_owned(), digest: "sha256:0".to_owned() },
        config: "sha256:1".to_owned(),
        camera_state: None,
        latency_ms: Latency::default(),
        objects,
        embedding: None,
    }
}
