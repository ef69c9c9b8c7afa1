//! Arithmetic that heads share. What is not finite goes in as NaN and comes out as NaN, so that it is dropped.

/// The logistic function; NaN for what is not finite.
pub(super) fn sigmoid(logit: f32) -> f32 {
    if logit.is_finite() { 1.0 / (1.0 + (-logit).exp()) } else { f32::NAN }
}

/// The largest logit and the sum of exponentials below it: the softmax of `v` is `(v - top).exp() / sum`.
/// Both leave out what is not finite.
pub(super) fn softmax_parts(logits: &[f32]) -> (f32, f32) {
    let finite = || logits.iter().copied().filter(|v| v.is_finite());
    let top = finite().fold(f32::NEG_INFINITY, f32::max);
    (top, finite().map(|v| (v - top).exp()).sum())
}

/// One value of a softmax, given its [`softmax_parts`].
pub(super) fn softmax(logit: f32, (top, sum): (f32, f32)) -> f32 {
    if logit.is_finite() { (logit - top).exp() / sum } else { f32::NAN }
}

/// Edges of a box given by its centre and size.
pub(super) fn edges([cx, cy, w, h]: [f32; 4]) -> [f32; 4] {
    [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0]
}

/// Whether all numbers are 0 to 1, as no network's logits are: the model has its sigmoid or softmax inside.
pub(super) fn look_like_probabilities(values: &[f32]) -> bool {
    values.iter().all(|v| (0.0..=1.0).contains(v))
}

/// The class that a network gives as a number; none where it is no index.
pub(super) fn class_of(value: f32) -> Option<usize> {
    // 65,536 is the most labels that a model may have; the cast is exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = |v: f32| v as usize;
    ((0.0..65_536.0).contains(&value) && value.fract() == 0.0).then(|| index(value))
}
