//! Three frames in a row of which the middle one contradicts the others.

use super::reason::{Change, Reason};
use super::select::SAME;
use super::unsure::Worth;
use crate::detection::Object;

/// What is odd about `b`, which lies between `a` and `c`. Where there are tracks they say what is the same thing;
/// else boxes of one label that overlap do.
pub(super) fn flicker(a: &[Object], b: &[Object], c: &[Object]) -> Option<Worth> {
    let (object, change) = lost(a, b, c)
        .or_else(|| vanished(a, b, c))
        .map(|object| (object, Change::Vanished))
        .or_else(|| relabelled(a, b, c).map(|object| (object, Change::Relabelled)))
        .or_else(|| appeared(a, b, c).map(|object| (object, Change::Appeared)))?;
    Some((Reason::Flicker { label: object.label.to_string(), score: object.score, change }, 1.0))
}

/// An object of `c` on a track that `a` has and `b` lacks.
fn lost<'a>(a: &[Object], b: &[Object], c: &'a [Object]) -> Option<&'a Object> {
    c.iter().find(|object| on_track(a, object).is_some() && on_track(b, object).is_none())
}

/// An object of `b` that is something else than the same track is in both other frames.
fn relabelled<'b>(a: &[Object], b: &'b [Object], c: &[Object]) -> Option<&'b Object> {
    b.iter().find(|object| match (on_track(a, object), on_track(c, object)) {
        (Some(before), Some(after)) => before.label == after.label && before.label != object.label,
        _ => false,
    })
}

fn on_track<'a>(objects: &'a [Object], object: &Object) -> Option<&'a Object> {
    let track = object.track.as_ref()?;
    objects.iter().find(|other| other.track.as_ref() == Some(track))
}

/// An object of `a` and `c` that `b` lacks. The number of its kind must be less too, so that a box that jumps
/// is not taken for one that is missing.
fn vanished<'a>(a: &[Object], b: &[Object], c: &'a [Object]) -> Option<&'a Object> {
    c.iter().find(|object| {
        let few = count(b, object);
        seen(a, object)
            && !seen(b, object)
            && few < count(a, object)
            && few < count(c, object)
            && on_track(b, object).is_none()
    })
}

/// An object of `b` that neither `a` nor `c` have. The number of its kind must be more too, so that something
/// that moves fast is not taken for something new in every frame.
fn appeared<'b>(a: &[Object], b: &'b [Object], c: &[Object]) -> Option<&'b Object> {
    b.iter().find(|object| {
        let many = count(b, object);
        !seen(a, object)
            && !seen(c, object)
            && many > count(a, object)
            && many > count(c, object)
            && on_track(c, object).is_none()
    })
}

fn seen(objects: &[Object], object: &Object) -> bool {
    let mut others = objects.iter();
    others.any(|other| other.label == object.label && other.rect.iou(&object.rect) >= SAME)
}

fn count(objects: &[Object], object: &Object) -> usize {
    objects.iter().filter(|other| other.label == object.label).count()
}
