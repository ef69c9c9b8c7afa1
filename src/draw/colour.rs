//! One colour per label: the same on every picture, page and run, and light enough for dark text.

/// Hues that a label can have, around the circle.
const HUES: u32 = 24;
/// The least relative luminance (WCAG 2, 0..=1): dark text on it has a contrast of at least 6 to 1.
const LIGHT_ENOUGH: f32 = 0.3;

/// The colour of a label, in sRGB.
#[must_use]
pub fn colour(label: &str) -> [u8; 3] {
    let hash = hash(label);
    // Adjacent hues differ in how saturated they are, which doubles what the eye can tell apart.
    let hue = hash % HUES;
    let pale = if (hash / HUES).is_multiple_of(2) { 0.0 } else { 0.45 };
    let vivid = wheel(hue).map(|v| v + (1.0 - v) * pale);
    lighten(vivid).map(byte)
}

/// A colour as CSS writes it, `#rrggbb`.
#[must_use]
pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// FNV-1a, folded: `DefaultHasher` may change between releases, and colours should not.
/// It starts from the customary number plus one under which the labels of the shipped model stand well apart.
fn hash(label: &str) -> u32 {
    let full =
        label.bytes().fold(0x811c_9dc5_u32 + 1149, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    full ^ (full >> 15)
}

/// A fully saturated hue.
#[allow(clippy::cast_precision_loss)]
fn wheel(hue: u32) -> [f32; 3] {
    let angle = hue as f32 * 6.0 / HUES as f32;
    let channel = |offset: f32| {
        let k = (offset + angle) % 6.0;
        1.0 - (4.0 - k).min(k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// Mixes in white until dark text is readable on it.
fn lighten(mut colour: [f32; 3]) -> [f32; 3] {
    while luminance(colour) < LIGHT_ENOUGH {
        colour = colour.map(|v| v + (1.0 - v) * 0.05);
    }
    colour
}

fn luminance(colour: [f32; 3]) -> f32 {
    let [r, g, b] = colour.map(|v| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn byte(v: f32) -> u8 {
    (v.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hue_is_light_enough_for_dark_text() {
        for hue in 0..HUES {
            assert!(luminance(lighten(wheel(hue))) >= LIGHT_ENOUGH, "hue {hue}");
        }
    }

    #[test]
    fn the_wheel_has_its_primaries() {
        assert_eq!(wheel(0), [1.0, 0.0, 0.0]);
        assert_eq!(wheel(HUES / 3), [0.0, 1.0, 0.0]);
        assert_eq!(wheel(2 * HUES / 3), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_shipped_models_labels_stand_apart() {
        let hues: Vec<u32> = crate::camera::sim::LABELS.iter().map(|label| hash(label) % HUES).collect();
        for (i, a) in hues.iter().enumerate() {
            for b in &hues[..i] {
                assert!(a.abs_diff(*b).min(HUES - a.abs_diff(*b)) >= 2, "{hues:?}");
            }
        }
    }

    #[test]
    fn colours_are_stable_and_mostly_distinct() {
        let labels = ["person", "bicycle", "car", "bolt", "nut", "washer", "scratch", "dog", "cat", "bus"];
        let mut colours = labels.map(colour).to_vec();
        assert_eq!(colours, labels.map(colour));
        colours.sort_unstable();
        colours.dedup();
        assert!(colours.len() >= 8, "{colours:?}");
        assert_eq!(hex([255, 0, 10]), "#ff000a");
    }
}
