//! A picture made small and grey, which is all that is needed to tell whether it is of use.

use crate::frame::{Image, PixelFormat, YuvMatrix};

/// Cells along the longer side.
pub(in crate::camera) const CELLS: usize = 64;
/// Rows of pixels that are read in each row of cells.
const ROWS: usize = 4;
/// Every so many rows neighbouring pixels are compared.
const FINE_ROWS: usize = 8;

/// What is kept of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::camera) struct Look {
    /// Cells across.
    pub width: usize,
    /// Cells down.
    pub height: usize,
    /// Brightness of each cell, row by row, 0 (black) to 255 (white).
    pub grey: Vec<f32>,
    /// Mean square of the difference of neighbouring pixels, and of pixels that are four apart, along rows. The first
    /// as a share of the second falls when the picture goes out of focus, whatever its contrast.
    pub fine: f32,
    pub coarse: f32,
}

impl Look {
    /// Looks at a picture. Of a large one only some rows are read.
    pub fn at(image: &Image) -> Self {
        let (across, down) = (image.width() as usize, image.height() as usize);
        let longer = across.max(down);
        let cells = |side: usize| (side * CELLS).div_ceil(longer).clamp(1, side);
        let (width, height) = (cells(across), cells(down));
        let mut row = Vec::with_capacity(across);
        let mut grey = Vec::with_capacity(width * height);
        for y in 0..height {
            let (top, bottom) = (y * down / height, (y + 1) * down / height);
            let step = ((bottom - top) / ROWS).max(1);
            let mut sums = vec![0_u64; width];
            let mut rows = 0;
            for line in (top..bottom).step_by(step) {
                luma(image, line, &mut row);
                for (x, sum) in sums.iter_mut().enumerate() {
                    let cell = row.get(x * across / width..(x + 1) * across / width).unwrap_or_default();
                    *sum += cell.iter().map(|v| u64::from(*v)).sum::<u64>();
                }
                rows += 1;
            }
            grey.extend(sums.iter().enumerate().map(|(x, sum)| {
                let pixels = ((x + 1) * across / width - x * across / width) * rows;
                full_range(image, *sum as f32 / pixels.max(1) as f32)
            }));
        }
        let (fine, coarse) = detail(image, &mut row);
        Self { width, height, grey, fine, coarse }
    }

    /// Standard deviation of the cells.
    pub fn contrast(&self) -> f32 {
        let n = self.grey.len() as f32;
        let mean = self.grey.iter().sum::<f32>() / n;
        (self.grey.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n).sqrt()
    }

    /// The brightness that 95 % of the cells do not exceed.
    pub fn highlights(&self) -> f32 {
        let mut sorted = self.grey.clone();
        let at = (sorted.len() * 95 / 100).min(sorted.len().saturating_sub(1));
        if sorted.is_empty() {
            return 0.0;
        }
        *sorted.select_nth_unstable_by(at, f32::total_cmp).1
    }

    /// The share of cells at or above a brightness.
    pub fn above(&self, level: f32) -> f32 {
        self.grey.iter().filter(|v| **v >= level).count() as f32 / self.grey.len().max(1) as f32
    }
}

/// Mean squares of differences along every eighth row.
fn detail(image: &Image, row: &mut Vec<u8>) -> (f32, f32) {
    let (mut fine, mut coarse, mut pairs) = (0_u64, 0_u64, 0_u64);
    let square = |a: u8, b: u8| u64::from(a.abs_diff(b)).pow(2);
    for line in (0..image.height() as usize).step_by(FINE_ROWS) {
        luma(image, line, row);
        fine += row.iter().zip(row.iter().skip(1)).map(|(a, b)| square(*a, *b)).sum::<u64>();
        coarse += row.iter().zip(row.iter().skip(4)).map(|(a, b)| square(*a, *b)).sum::<u64>();
        pairs += row.len() as u64;
    }
    (fine as f32 / pairs.max(1) as f32, coarse as f32 / pairs.max(1) as f32)
}

/// One row's brightness, as the picture has it.
pub(super) fn luma(image: &Image, line: usize, row: &mut Vec<u8>) {
    row.clear();
    let width = image.width() as usize;
    let from = |bytes: usize| image.pixels().get(line * bytes..(line + 1) * bytes).unwrap_or_default();
    match image.format() {
        PixelFormat::Rgb8 => row.extend(from(width * 3).chunks_exact(3).map(|p| match p {
            [r, g, b] => u8::try_from((u16::from(*r) + 2 * u16::from(*g) + u16::from(*b)) / 4).unwrap_or(u8::MAX),
            _ => 0,
        })),
        PixelFormat::Yuyv => row.extend(from(width * 2).iter().step_by(2)),
        PixelFormat::Nv12 | PixelFormat::I420 => row.extend_from_slice(from(width)),
    }
}

/// A brightness on 0..=255, whatever range the picture's is in.
fn full_range(image: &Image, value: f32) -> f32 {
    let full = image.format() == PixelFormat::Rgb8 || image.matrix() == YuvMatrix::Jpeg;
    if full { value } else { ((value - 16.0) * (255.0 / 219.0)).clamp(0.0, 255.0) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn image(width: u32, height: u32, format: PixelFormat, value: impl Fn(usize, usize) -> u8) -> Image {
        let mut pixels = vec![128; format.bytes(width, height)];
        for y in 0..height as usize {
            for x in 0..width as usize {
                let (at, step) = match format {
                    PixelFormat::Rgb8 => ((y * width as usize + x) * 3, 3),
                    PixelFormat::Yuyv => ((y * width as usize + x) * 2, 1),
                    PixelFormat::Nv12 | PixelFormat::I420 => (y * width as usize + x, 1),
                };
                pixels[at..at + step].fill(value(x, y));
            }
        }
        Image::new(width, height, format, Bytes::from(pixels)).unwrap()
    }

    const FORMATS: [PixelFormat; 4] = [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::I420];

    #[test]
    fn every_layout_looks_the_same() {
        for format in FORMATS {
            let picture = image(640, 360, format, |x, _| if x < 320 { 16 } else { 235 }).with_matrix(YuvMatrix::Jpeg);
            let look = Look::at(&picture);
            assert_eq!((look.width, look.height), (64, 36), "{format:?}");
            assert!(look.grey[..32].iter().all(|v| (*v - 16.0).abs() < 0.01), "{format:?}");
            assert!(look.grey[32..64].iter().all(|v| (*v - 235.0).abs() < 0.01), "{format:?}");
            assert!((look.contrast() - 109.5).abs() < 0.1);
            assert!((look.above(235.0) - 0.5).abs() < 1e-6);
            assert!((look.highlights() - 235.0).abs() < 0.01);
        }
        let limited = image(64, 36, PixelFormat::I420, |_, y| if y < 18 { 16 } else { 235 });
        let look = Look::at(&limited);
        assert_eq!((look.grey[0], look.grey[64 * 35]), (0.0, 255.0));
    }

    #[test]
    fn pictures_of_any_shape_have_a_look() {
        for (width, height) in [(1, 1), (2, 1), (16_384, 2), (2, 16_384), (63, 65), (1000, 3)] {
            let look = Look::at(&image(width, height, PixelFormat::I420, |_, _| 100));
            assert_eq!(look.grey.len(), look.width * look.height);
            assert!(look.width.max(look.height) <= CELLS && look.contrast() < 0.01, "{width}x{height}");
        }
    }

    #[test]
    fn blur_takes_away_more_of_the_fine_detail_than_of_the_coarse() {
        let sharp = Look::at(&image(640, 360, PixelFormat::I420, |x, _| if x % 16 < 8 { 100 } else { 140 }));
        let soft = Look::at(&image(640, 360, PixelFormat::I420, |x, _| {
            let phase = (x % 16) as f32 / 16.0 * std::f32::consts::TAU;
            (120.0 + 20.0 * phase.sin()) as u8
        }));
        assert!(soft.fine / soft.coarse < 0.6 * sharp.fine / sharp.coarse, "{soft:?} {sharp:?}");
    }
}
