//! A picture that can be drawn on: RGB8, tightly packed, top row first. Everything is clipped.

use crate::frame::Image;

use super::font::{self, ADVANCE, glyph};

/// An RGB picture that owns its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A copy of `image`, in RGB whatever its format.
    #[must_use]
    pub fn new(image: &Image) -> Self {
        let rgb = crate::model::preprocess::to_rgb8(image);
        let (width, height, pixels) = (rgb.width(), rgb.height(), rgb.pixels().clone());
        // Without this owner the pixels of a picture that was converted have only one, and are moved, not copied.
        drop(rgb);
        Self { width, height, pixels: pixels.into() }
    }

    /// A copy of `image`, shrunk by a whole factor until it is within `width` x `height`.
    /// Each pixel is the mean of those it stands for.
    #[must_use]
    pub fn within(image: &Image, width: u32, height: u32) -> Self {
        let across = image.width().div_ceil(width.max(1));
        let down = image.height().div_ceil(height.max(1));
        let factor = across.max(down) as usize;
        if factor <= 1 {
            return Self::new(image);
        }
        let rgb = crate::model::preprocess::to_rgb8(image);
        shrink(rgb.pixels(), rgb.width() as usize, factor)
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Three bytes a pixel: red, green, blue.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Fills what lies inside the picture of `left..right`, `top..bottom`; `alpha` 255 covers what was there.
    pub(super) fn fill(&mut self, left: i64, top: i64, right: i64, bottom: i64, colour: [u8; 3], alpha: u8) {
        let columns = span(left, right, self.width);
        let rows = span(top, bottom, self.height);
        let stride = self.width as usize * 3;
        if columns.is_empty() {
            return;
        }
        let lines = self.pixels.chunks_exact_mut(stride.max(1));
        for line in lines.skip(rows.start).take(rows.len()) {
            let cells = line.chunks_exact_mut(3);
            for cell in cells.skip(columns.start).take(columns.len()) {
                for (channel, wanted) in cell.iter_mut().zip(colour) {
                    *channel = mix(*channel, wanted, alpha);
                }
            }
        }
    }

    /// Writes `text` with its top-left corner at `left`, `top`; a dot of the font takes `dot` pixels.
    pub(super) fn text(&mut self, left: i64, top: i64, dot: i64, text: &str, colour: [u8; 3]) {
        for (x, c) in (0i64..).zip(text.chars()) {
            let left = left + x * ADVANCE * dot;
            for (y, row) in (0i64..).zip(glyph(c)) {
                for column in (0..font::WIDTH).filter(|column| row >> column & 1 == 1) {
                    let (l, t) = (left + column * dot, top + y * dot);
                    self.fill(l, t, l + dot, t + dot, colour, 255);
                }
            }
        }
    }
}

/// The part of `from..to` that lies in `0..limit`.
fn span(from: i64, to: i64, limit: u32) -> std::ops::Range<usize> {
    let inside = |v: i64| usize::try_from(v.clamp(0, i64::from(limit))).unwrap_or(0);
    inside(from)..inside(to)
}

fn mix(below: u8, above: u8, alpha: u8) -> u8 {
    let (below, above, alpha) = (u32::from(below), u32::from(above), u32::from(alpha));
    let mixed = (below * (255 - alpha) + above * alpha + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

/// Means of `factor` x `factor` blocks; what is left over at the right and bottom edges is dropped,
/// and a side shorter than a block stays one pixel.
fn shrink(rgb: &[u8], width: usize, factor: usize) -> Canvas {
    let stride = width * 3;
    let height = rgb.len() / stride.max(1);
    let (across, down) = ((width / factor).max(1), (height / factor).max(1));
    let mut pixels = Vec::with_capacity(across * down * 3);
    let mut sums = vec![0u32; across * 3];
    for block in rgb.chunks(stride.max(1) * factor).take(down) {
        sums.fill(0);
        let lines = block.chunks_exact(stride.max(1));
        let rows = lines.len();
        for line in lines {
            for (sum, group) in sums.chunks_exact_mut(3).zip(line.chunks(3 * factor)) {
                for cell in group.chunks_exact(3) {
                    for (total, channel) in sum.iter_mut().zip(cell) {
                        *total += u32::from(*channel);
                    }
                }
            }
        }
        let area = u32::try_from(rows * factor.min(width)).unwrap_or(1).max(1);
        pixels.extend(sums.iter().map(|total| u8::try_from(total / area).unwrap_or(u8::MAX)));
    }
    Canvas { width: u32::try_from(across).unwrap_or(1), height: u32::try_from(down).unwrap_or(1), pixels }
}
