//! How a picture is placed in a model's input, and how to get back from there.
//!
//! Coordinates are pixels with centres at `.5` (half-pixel convention, as OpenCV's `INTER_LINEAR`).

use serde::{Deserialize, Serialize};

/// How a picture of any aspect ratio fits the model's fixed input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Letterbox {
    /// Keep the aspect ratio, picture in the top left corner, padding right or below (YOLOX).
    TopLeft,
    /// Keep the aspect ratio, picture in the middle (NanoDet, YOLOv5 and later).
    Center,
    /// Fill the input, whatever the aspect ratio (PicoDet, UltraFace).
    Stretch,
    /// Resize the short side to `resize_short`, cut the middle out (ImageNet classifiers).
    Crop,
}

/// Order of the input's three channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// From pixel values to the model's numbers: `(value * scale - mean[c]) / std[c]`,
/// `c` counting the channels in the model's order. Padding is a pixel value and goes through the same formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalise {
    /// Order of the channels.
    pub channels: Channels,
    /// Multiplies the value 0..=255 first.
    pub scale: f32,
    /// Subtracted, per channel in the model's order.
    pub mean: [f32; 3],
    /// Divided by, per channel in the model's order.
    pub std: [f32; 3],
    /// Pixel value 0..=255 of the padding.
    pub pad: f32,
}

impl Normalise {
    /// `(gain, bias)` per channel, such that the model's number is `gain * value + bias`.
    #[must_use]
    pub fn affine(&self) -> [(f32, f32); 3] {
        [0, 1, 2].map(|c| (self.scale / self.std[c], -self.mean[c] / self.std[c]))
    }
}

/// Where a picture lies in a model's input.
///
/// The centre of input pixel `(x, y)` inside `[left, left+width) x [top, top+height)` shows the source point
/// `((x + 0.5 - left + crop_x) * scale_x, (y + 0.5 - top + crop_y) * scale_y)` (in source pixels, a pixel's
/// centre being at `.5`); samples outside the source take its nearest pixel. The rest of the input is padding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Left edge of the picture in the input, pixels.
    pub left: u32,
    /// Top edge of the picture in the input, pixels.
    pub top: u32,
    /// Width of the picture in the input, pixels.
    pub width: u32,
    /// Height of the picture in the input, pixels.
    pub height: u32,
    /// What a centre crop cut off on the left, in pixels of the resized picture.
    pub crop_x: f32,
    /// What a centre crop cut off at the top, in pixels of the resized picture.
    pub crop_y: f32,
    /// Source pixels a resized pixel, across.
    pub scale_x: f32,
    /// Source pixels a resized pixel, down.
    pub scale_y: f32,
}

impl Placement {
    /// Places a `source` picture (width, height) in an `input` (width, height), all at least 1.
    /// `resize_short` counts for [`Letterbox::Crop`] only; it is raised to what the input needs.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn new(letterbox: Letterbox, source: (u32, u32), input: (u32, u32), resize_short: u32) -> Self {
        let (sw, sh) = (f64::from(source.0), f64::from(source.1));
        let (iw, ih) = (f64::from(input.0), f64::from(input.1));
        let (resized, shown) = match letterbox {
            Letterbox::Stretch => (input, input),
            Letterbox::TopLeft | Letterbox::Center => {
                let r = (iw / sw).min(ih / sh);
                // The epsilon keeps a side that fits exactly from losing a pixel to rounding.
                let side = |s: f64| (((s * r) + 1e-9).floor() as u32).max(1);
                let fit = (side(sw).min(input.0), side(sh).min(input.1));
                (fit, fit)
            }
            Letterbox::Crop => {
                let r = (f64::from(resize_short) / sw.min(sh)).max(iw / sw).max(ih / sh);
                let resized = ((sw * r).round() as u32, (sh * r).round() as u32);
                (resized, input)
            }
        };
        let (left, top) =
            if letterbox == Letterbox::Center { ((input.0 - shown.0) / 2, (input.1 - shown.1) / 2) } else { (0, 0) };
        Self {
            left,
            top,
            width: shown.0,
            height: shown.1,
            crop_x: (resized.0.saturating_sub(shown.0) / 2) as f32,
            crop_y: (resized.1.saturating_sub(shown.1) / 2) as f32,
            scale_x: (sw / f64::from(resized.0)) as f32,
            scale_y: (sh / f64::from(resized.1)) as f32,
        }
    }

    /// A point in input pixels (edges, not centres: 0 is the input's left edge) as source pixels.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn to_source(&self, x: f32, y: f32) -> (f32, f32) {
        ((x - self.left as f32 + self.crop_x) * self.scale_x, (y - self.top as f32 + self.crop_y) * self.scale_y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_left_keeps_the_aspect_ratio() {
        let p = Placement::new(Letterbox::TopLeft, (1280, 720), (416, 416), 0);
        assert_eq!((p.left, p.top, p.width, p.height), (0, 0, 416, 234));
        let (x, y) = p.to_source(416.0, 234.0);
        assert!((x - 1280.0).abs() < 1e-2 && (y - 720.0).abs() < 1e-2);
    }

    #[test]
    fn center_pads_both_sides() {
        let p = Placement::new(Letterbox::Center, (640, 427), (320, 320), 0);
        assert_eq!((p.left, p.top, p.width, p.height), (0, 53, 320, 213));
        assert_eq!(p.to_source(0.0, 53.0), (0.0, 0.0));
    }

    #[test]
    fn stretch_fills_the_input() {
        let p = Placement::new(Letterbox::Stretch, (100, 50), (320, 320), 0);
        assert_eq!((p.left, p.top, p.width, p.height), (0, 0, 320, 320));
        let (x, y) = p.to_source(320.0, 320.0);
        assert!((x - 100.0).abs() < 1e-3 && (y - 50.0).abs() < 1e-3);
    }

    #[test]
    fn crop_cuts_the_middle_out() {
        let p = Placement::new(Letterbox::Crop, (512, 256), (224, 224), 256);
        assert_eq!((p.width, p.height), (224, 224));
        assert_eq!((p.crop_x, p.crop_y), (144.0, 16.0));
        assert_eq!(p.to_source(112.0, 112.0), (256.0, 128.0));
    }

    #[test]
    fn a_sliver_is_still_a_pixel_wide() {
        let p = Placement::new(Letterbox::TopLeft, (16_384, 1), (64, 64), 0);
        assert_eq!((p.width, p.height), (64, 1));
    }
}
