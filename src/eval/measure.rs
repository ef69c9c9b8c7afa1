//! Precision and recall of one category over all pictures.

use super::matching::{Judged, Verdict};
use super::{THRESHOLDS, mean};

/// Recalls at which precision is read: 0, 0.01, …, 1.
const RECALLS: usize = 101;

/// A category's results, by IoU threshold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quality {
    /// Average precision.
    pub(super) precision: [f64; THRESHOLDS],
    /// Highest recall.
    pub(super) recall: [f64; THRESHOLDS],
}

/// Puts a category's pictures together; nothing where there was nothing to find.
pub(super) fn quality(pictures: impl Iterator<Item = Judged>) -> Option<Quality> {
    let (mut detections, mut wanted) = (Vec::new(), 0);
    for picture in pictures {
        detections.extend(picture.detections);
        wanted += picture.wanted;
    }
    if wanted == 0 {
        return None;
    }
    detections.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut quality = Quality { precision: [0.0; THRESHOLDS], recall: [0.0; THRESHOLDS] };
    let slots = quality.precision.iter_mut().zip(&mut quality.recall);
    for (i, (precision, recall)) in slots.enumerate() {
        let verdicts = detections.iter().filter_map(|(_, verdicts)| verdicts.get(i).copied());
        let curve = curve(verdicts, wanted);
        *recall = curve.last().map_or(0.0, |point| point.recall);
        *precision = average_precision(curve);
    }
    Some(quality)
}

/// A point of the curve: all detections down to some score.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    recall: f64,
    precision: f64,
}

#[allow(clippy::cast_precision_loss)]
fn curve(verdicts: impl Iterator<Item = Verdict>, wanted: usize) -> Vec<Point> {
    let (mut hits, mut misses) = (0_usize, 0_usize);
    verdicts
        .map(|verdict| {
            match verdict {
                Verdict::Hit => hits += 1,
                Verdict::Miss => misses += 1,
                Verdict::Ignored => {}
            }
            Point { recall: hits as f64 / wanted as f64, precision: hits as f64 / (hits + misses).max(1) as f64 }
        })
        .collect()
}

/// The mean over [`RECALLS`] of the best precision at that recall or a higher one, 0 where it is not reached.
#[allow(clippy::cast_precision_loss)]
fn average_precision(mut curve: Vec<Point>) -> f64 {
    let mut best = 0.0_f64;
    for point in curve.iter_mut().rev() {
        best = best.max(point.precision);
        point.precision = best;
    }
    mean((0..RECALLS).map(|i| {
        // As `numpy.linspace(0, 1, 101)` rounds it.
        let recall = i as f64 * 0.01;
        let at = curve.partition_point(|point| point.recall < recall);
        curve.get(at).map_or(0.0, |point| point.precision)
    }))
}
