//! Non-maximum suppression: of boxes that show the same thing, the best one stays.

use crate::model::heads::Candidate;

/// Keeps at most `max` candidates, best first: each that overlaps no better one of its class by an
/// intersection over union above `iou`. Of equal scores the earlier one counts as better.
#[must_use]
pub fn per_class(mut candidates: Vec<Candidate>, iou: f32, max: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Candidate> = Vec::with_capacity(max.min(candidates.len()));
    for candidate in candidates {
        if kept.len() >= max {
            break;
        }
        let covered =
            kept.iter().any(|better| better.class == candidate.class && overlap(better, &candidate) > f64::from(iou));
        if !covered {
            kept.push(candidate);
        }
    }
    kept
}

/// Intersection over union. In doubles, in which areas of any finite boxes are finite.
fn overlap(a: &Candidate, b: &Candidate) -> f64 {
    let side = |low_a: f32, high_a: f32, low_b: f32, high_b: f32| {
        (f64::from(high_a.min(high_b)) - f64::from(low_a.max(low_b))).max(0.0)
    };
    let area = |c: &Candidate| (f64::from(c.x2) - f64::from(c.x1)) * (f64::from(c.y2) - f64::from(c.y1));
    let inter = side(a.x1, a.x2, b.x1, b.x2) * side(a.y1, a.y2, b.y1, b.y2);
    inter / (area(a) + area(b) - inter).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(class: usize, score: f32, x: f32) -> Candidate {
        Candidate { class, score, x1: x, y1: 0.0, x2: x + 10.0, y2: 10.0 }
    }

    #[test]
    fn the_weaker_of_two_overlapping_boxes_of_a_class_goes() {
        // Overlaps: 9/11 between neighbours, 8/12 between the outer ones.
        let found = per_class(vec![at(0, 0.7, 2.0), at(0, 0.9, 0.0), at(0, 0.8, 1.0)], 0.7, 100);
        assert_eq!(found, [at(0, 0.9, 0.0), at(0, 0.7, 2.0)]);
    }

    #[test]
    fn classes_do_not_disturb_each_other() {
        let both = vec![at(0, 0.9, 0.0), at(1, 0.8, 0.0)];
        assert_eq!(per_class(both.clone(), 0.5, 100), both);
    }

    #[test]
    fn an_overlap_of_exactly_the_threshold_is_kept() {
        let halves = vec![at(0, 0.9, 0.0), Candidate { x2: 5.0, ..at(0, 0.8, 0.0) }];
        assert_eq!(per_class(halves.clone(), 0.5, 100).len(), 2);
        assert_eq!(per_class(halves, 0.499, 100).len(), 1);
    }

    #[test]
    fn there_are_never_more_than_asked_for() {
        let many: Vec<_> = (0..500u16).map(|i| at(0, 0.5, 20.0 * f32::from(i))).collect();
        assert_eq!(per_class(many.clone(), 0.5, 100), many[..100]);
    }
}
