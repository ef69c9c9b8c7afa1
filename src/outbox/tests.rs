//! The outbox on real disks: order, quotas, troubles, and power cuts at any write.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use ulid::Ulid;

use super::*;
use crate::clock::ManualClock;

/// A time in 2026.
pub(crate) fn at(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_767_225_600_000 + milliseconds).expect("a time")
}

/// Item `n` of a kind. Evidence has a frame of some kilobytes and the value `n` / 1000.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn item(kind: Kind, n: u64) -> Item {
    let evidence = kind == Kind::Evidence;
    Item {
        id: Ulid::from_parts(1_767_225_600_000, n.into()),
        kind,
        destination: if evidence { Destination::Store } else { Destination::Broker },
        camera: format!("line{}", n % 3),
        channel: if evidence { String::new() } else { "events".to_owned() },
        created_at: at(i64::try_from(n).expect("small")),
        value: if evidence { n as f32 / 1000.0 } else { 0.0 },
        content_type: "application/json".to_owned(),
        payload: format!("{{\"n\":{n}}}").into(),
        frame: evidence.then(|| Bytes::from(vec![n.to_le_bytes()[0]; 5000])),
    }
}

/// Limits that nothing here reaches.
pub(crate) fn roomy() -> Limits {
    let much = Load { items: 1_000_000, bytes: 1 << 30 };
    Limits { total: much, evidence: much, reserve: 0 }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(at(0)))
}

/// Waits until it is so.
async fn until(handle: &OutboxHandle, what: &str, holds: impl Fn(&Status) -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds(&handle.status()) {
        assert!(std::time::Instant::now() < end, "never: {what}: {:?}", handle.status());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

mod disk_model;
mod order;
mod power;
mod troubles;
