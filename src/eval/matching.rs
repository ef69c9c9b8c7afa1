//! Pairs the detections of one category in one picture with the boxes that are to be found.

use super::truth::TruthBox;
use super::{Detection, MAX_DETECTIONS, THRESHOLDS, threshold};

/// What a detection counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It found a box.
    Hit,
    /// It found nothing.
    Miss,
    /// It lies on something that does not count, such as a crowd.
    Ignored,
}

/// One picture and category.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// Score of each detection, best first, and what it counts as at each IoU threshold.
    pub(super) detections: Vec<(f64, [Verdict; THRESHOLDS])>,
    /// How many boxes are to be found.
    pub(super) wanted: usize,
}

/// Judges detections, in any order, against boxes.
///
/// The best detection chooses first, among the boxes that no better one has taken, that which it overlaps most; of
/// equal overlaps the later one. A box that does not count is taken only where none that counts will do, and a crowd
/// may be taken any number of times.
pub(super) fn judge(mut found: Vec<Detection>, boxes: &[TruthBox]) -> Judged {
    // Both sorts are stable: of equals the order of the input decides, as in pycocotools.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(MAX_DETECTIONS);
    let mut boxes: Vec<&TruthBox> = boxes.iter().collect();
    boxes.sort_by_key(|b| b.ignored);
    let overlaps: Vec<Vec<f64>> = found.iter().map(|d| boxes.iter().map(|b| overlap(&d.bbox, b)).collect()).collect();
    let mut detections: Vec<_> = found.iter().map(|d| (d.score, [Verdict::Miss; THRESHOLDS])).collect();
    for i in 0..THRESHOLDS {
        let mut taken = vec![false; boxes.len()];
        for ((_, verdicts), overlaps) in detections.iter_mut().zip(&overlaps) {
            let verdict = choose(overlaps, &boxes, &mut taken, threshold(i));
            if let Some(slot) = verdicts.get_mut(i) {
                *slot = verdict;
            }
        }
    }
    Judged { detections, wanted: boxes.iter().filter(|b| !b.ignored).count() }
}

/// One detection's choice; `boxes` have those that count in front.
fn choose(overlaps: &[f64], boxes: &[&TruthBox], taken: &mut [bool], threshold: f64) -> Verdict {
    let mut best: Option<(usize, bool)> = None;
    let mut least = threshold.min(1.0 - 1e-10);
    for (i, ((overlap, truth), taken)) in overlaps.iter().zip(boxes).zip(taken.iter()).enumerate() {
        if *taken && !truth.crowd {
            continue;
        }
        // One that counts was found, and from here on none does.
        if truth.ignored && matches!(best, Some((_, false))) {
            break;
        }
        if *overlap >= least {
            least = *overlap;
            best = Some((i, truth.ignored));
        }
    }
    let Some((i, ignored)) = best else { return Verdict::Miss };
    if let Some(slot) = taken.get_mut(i) {
        *slot = true;
    }
    if ignored { Verdict::Ignored } else { Verdict::Hit }
}

/// Intersection over union; for a crowd, over the detection's own area.
fn overlap(found: &[f64; 4], truth: &TruthBox) -> f64 {
    let ([x, y, w, h], [tx, ty, tw, th]) = (*found, truth.bbox);
    let across = (x + w).min(tx + tw) - x.max(tx);
    let down = (y + h).min(ty + th) - y.max(ty);
    if across <= 0.0 || down <= 0.0 {
        return 0.0;
    }
    let both = across * down;
    both / if truth.crowd { w * h } else { w * h + tw * th - both }
}
