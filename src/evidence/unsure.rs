//! Frames of which the model was unsure, by its own scores.

use super::reason::Reason;
use super::select::SAME;
use crate::detection::Object;

/// A reason with what it makes a frame worth.
pub(super) type Worth = (Reason, f32);

/// The object whose score is nearest to the middle of the band, if any is inside.
pub(super) fn band([low, high]: [f32; 2], objects: &[Object]) -> Option<Worth> {
    let (middle, half) = (f32::midpoint(low, high), (high - low) / 2.0);
    let distance = |object: &Object| (object.score - middle).abs();
    let inside = objects.iter().filter(|object| (low..=high).contains(&object.score));
    let object = inside.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    // From one half at the edges of the band to 1 in its middle.
    let off = if half > 0.0 { distance(object) / half } else { 0.0 };
    let reason = Reason::Band { label: object.label.to_string(), score: object.score };
    Some((reason, 1.0 - 0.5 * off.clamp(0.0, 1.0)))
}

/// The two labels of one thing whose scores differ least, if they differ by less than `margin`. A head gives each label
/// a box of its own, so that a thing with two labels is two boxes in one place; a second label below the model's score
/// threshold is not known here.
pub(super) fn margin(margin: f32, objects: &[Object]) -> Option<Worth> {
    let gap = |(a, b): &(&Object, &Object)| (a.score - b.score).abs();
    let pairs = objects.iter().enumerate().flat_map(|(i, a)| objects.iter().skip(i + 1).map(move |b| (a, b)));
    let torn = pairs.filter(|pair| gap(pair) < margin).filter(|(a, b)| a.label != b.label);
    let close = torn.filter(|(a, b)| a.rect.iou(&b.rect) >= SAME);
    let pair = close.min_by(|a, b| gap(a).total_cmp(&gap(b)))?;
    let (first, second) = if pair.0.score >= pair.1.score { pair } else { (pair.1, pair.0) };
    let reason = Reason::Margin {
        label: first.label.to_string(),
        score: first.score,
        second: second.label.to_string(),
        second_score: second.score,
    };
    Some((reason, 1.0 - 0.5 * (gap(&pair) / margin).clamp(0.0, 1.0)))
}
