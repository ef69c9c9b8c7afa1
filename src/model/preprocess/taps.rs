//! The sampling tables that the CPU and the GPU stage share, so that both read the same source pixels with the
//! same weights.

use crate::model::input::Placement;

/// One bilinear sample along one axis: `value[index] * (1 - weight) + value[index + 1] * weight`.
///
/// `index` is always inside the source. At the border, where `index + 1` would lie outside, `weight` is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// The first of the two source pixels.
    pub index: u32,
    /// Share of the second, in `0.0..1.0`.
    pub weight: f32,
}

/// One tap for each column and for each row of the picture as it lies in the input (without padding).
#[derive(Debug, Clone, PartialEq)]
pub struct Taps {
    /// `placement.width` taps, left to right.
    pub columns: Vec<Tap>,
    /// `placement.height` taps, top to bottom.
    pub rows: Vec<Tap>,
}

impl Taps {
    /// Tables for a `source` (width, height) placed by `placement`.
    #[must_use]
    pub fn new(placement: &Placement, source: (u32, u32)) -> Self {
        let (crop_x, crop_y) = (placement.crop_x, placement.crop_y);
        Self {
            columns: axis(placement.width, crop_x, placement.scale_x, source.0),
            rows: axis(placement.height, crop_y, placement.scale_y, source.1),
        }
    }
}

/// Positions are computed in `f64`: a deep crop of a sliver has coordinates in the millions.
fn axis(length: u32, crop: f32, scale: f32, source: u32) -> Vec<Tap> {
    let last = source.saturating_sub(1);
    (0..length)
        .map(|i| {
            let centre = (f64::from(i) + 0.5 + f64::from(crop)) * f64::from(scale);
            tap((centre - 0.5).clamp(0.0, f64::from(last)), last)
        })
        .collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn tap(position: f64, last: u32) -> Tap {
    let index = (position.floor() as u32).min(last);
    let weight = (position - f64::from(index)) as f32;
    if index == last || weight >= 1.0 {
        // Rounding to f32 may carry a weight up to 1, which is the next pixel.
        let index = if weight >= 1.0 { (index + 1).min(last) } else { index };
        return Tap { index, weight: 0.0 };
    }
    Tap { index, weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::input::Letterbox;

    #[test]
    fn halving_lies_between_two_pixels() {
        let placement = Placement::new(Letterbox::Stretch, (8, 8), (4, 4), 0);
        let taps = Taps::new(&placement, (8, 8));
        let wanted = [0, 2, 4, 6].map(|index| Tap { index, weight: 0.5 });
        assert_eq!(taps.columns, wanted);
        assert_eq!(taps.rows, wanted);
    }

    #[test]
    fn the_border_is_replicated() {
        let placement = Placement::new(Letterbox::Stretch, (2, 1), (4, 3), 0);
        let taps = Taps::new(&placement, (2, 1));
        let at = |index, weight| Tap { index, weight };
        assert_eq!(taps.columns, [at(0, 0.0), at(0, 0.25), at(0, 0.75), at(1, 0.0)]);
        assert_eq!(taps.rows, [at(0, 0.0); 3]);
    }

    #[test]
    fn taps_stay_inside_whatever_the_size() {
        for source in [(1, 1), (1, 16_384), (16_384, 1), (641, 359), (4096, 4096)] {
            for letterbox in [Letterbox::TopLeft, Letterbox::Center, Letterbox::Stretch, Letterbox::Crop] {
                let placement = Placement::new(letterbox, source, (224, 160), 256);
                let taps = Taps::new(&placement, source);
                let inside = |taps: &[Tap], side: u32| {
                    taps.iter().all(|t| {
                        (0.0..1.0).contains(&t.weight)
                            && (t.index + 1 < side || (t.index + 1 == side && t.weight == 0.0))
                    })
                };
                assert!(inside(&taps.columns, source.0), "{source:?} {letterbox:?}");
                assert!(inside(&taps.rows, source.1), "{source:?} {letterbox:?}");
            }
        }
    }
}
