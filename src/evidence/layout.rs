//! What a picture looks like from afar: forty-eight numbers, for cameras whose model gives no embedding.
//!
//! The colour layout of MPEG-7 (ISO/IEC 15938-3, 6.6; Kasutani and Yamada, "The MPEG-7 color layout descriptor", 2001):
//! the mean colours of 8x8 cells in `YCbCr`, and of those the low frequencies of a cosine transform. Unlike there more
//! frequencies are taken and none is quantised, since here it is about pictures of one camera, which are all alike.

use crate::frame::{Image, PixelFormat, YuvMatrix};

/// Cells along each side.
const CELLS: usize = 8;
/// Pixels that are read along each side of a cell.
const SAMPLES: usize = 16;
/// Frequencies that are taken, across and down together: of brightness, and of each colour.
const FREQUENCIES: [usize; 3] = [7, 4, 4];

/// The layout of a picture. The distance of two is about the root of the mean square by which their cells differ, black
/// and white being 1 apart.
pub(super) fn layout(image: &Image) -> Vec<f32> {
    let planes = cells(image);
    let mut found = Vec::with_capacity(48);
    for (plane, frequencies) in planes.iter().zip(FREQUENCIES) {
        let whole = transformed(plane);
        for (v, row) in whole.iter().enumerate() {
            found.extend(row.iter().take(frequencies.saturating_sub(v)).map(|value| value / CELLS as f32));
        }
    }
    found
}

type Plane = [[f32; CELLS]; CELLS];

/// Mean brightness and colours of each cell, 0..=1.
fn cells(image: &Image) -> [Plane; 3] {
    let mut planes = [[[0.0; CELLS]; CELLS]; 3];
    let (width, height) = (image.width() as usize, image.height() as usize);
    let points = CELLS * SAMPLES;
    let at = |i: usize, side: usize| (2 * i + 1) * side / (2 * points);
    for i in 0..points {
        for j in 0..points {
            let colour = sample(image, at(j, width), at(i, height));
            for (plane, value) in planes.iter_mut().zip(colour) {
                plane[i / SAMPLES][j / SAMPLES] += value;
            }
        }
    }
    let scale = 1.0 / (255.0 * (SAMPLES * SAMPLES) as f32);
    planes.map(|plane| plane.map(|row| row.map(|value| value * scale)))
}

/// Brightness and colours of a pixel on 0..=255.
fn sample(image: &Image, x: usize, y: usize) -> [f32; 3] {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let byte = |at: usize| f32::from(image.pixels().get(at).copied().unwrap_or_default());
    let half = width.div_ceil(2);
    let (luma, chroma) = (width * height, (y / 2) * half + x / 2);
    let yuv = match image.format() {
        PixelFormat::Rgb8 => {
            let [r, g, b] = [0, 1, 2].map(|i| byte((y * width + x) * 3 + i));
            // JFIF 1.02.
            let grey = 0.299 * r + 0.587 * g + 0.114 * b;
            return [grey, 128.0 + 0.564 * (b - grey), 128.0 + 0.713 * (r - grey)];
        }
        PixelFormat::Yuyv => {
            let pair = (y * width + (x & !1)) * 2;
            [byte(pair + 2 * (x & 1)), byte(pair + 1), byte(pair + 3)]
        }
        PixelFormat::Nv12 => [byte(y * width + x), byte(luma + 2 * chroma), byte(luma + 2 * chroma + 1)],
        PixelFormat::I420 => {
            let plane = half * height.div_ceil(2);
            [byte(y * width + x), byte(luma + chroma), byte(luma + plane + chroma)]
        }
    };
    if image.matrix() == YuvMatrix::Jpeg {
        return yuv;
    }
    let [grey, blue, red] = yuv;
    let wide = |value: f32| 128.0 + (value - 128.0) * (255.0 / 224.0);
    [(grey - 16.0) * (255.0 / 219.0), wide(blue), wide(red)]
}

/// The orthonormal cosine transform (type II), down and across.
fn transformed(plane: &Plane) -> Plane {
    let base = base();
    let mut half = [[0.0; CELLS]; CELLS];
    let mut whole = [[0.0; CELLS]; CELLS];
    for v in 0..CELLS {
        for x in 0..CELLS {
            half[v][x] = (0..CELLS).map(|y| base[v][y] * plane[y][x]).sum();
        }
    }
    for v in 0..CELLS {
        for u in 0..CELLS {
            whole[v][u] = (0..CELLS).map(|x| base[u][x] * half[v][x]).sum();
        }
    }
    whole
}

/// By frequency and place.
fn base() -> Plane {
    let mut base = [[0.0; CELLS]; CELLS];
    for (frequency, row) in base.iter_mut().enumerate() {
        let size = if frequency == 0 { 1.0 } else { 2.0_f32 };
        for (place, value) in row.iter_mut().enumerate() {
            let turns = ((2 * place + 1) * frequency) as f32 / (2 * CELLS) as f32;
            *value = (size / CELLS as f32).sqrt() * (std::f32::consts::PI * turns).cos();
        }
    }
    base
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::random::Random;

    const SIDE: (u32, u32) = (96, 64);

    /// A grey picture in any format.
    fn grey(format: PixelFormat, value: impl Fn(usize, usize) -> u8) -> Image {
        let (width, height) = (SIDE.0 as usize, SIDE.1 as usize);
        let mut pixels = vec![128; format.bytes(SIDE.0, SIDE.1)];
        for y in 0..height {
            for x in 0..width {
                let (at, count) = match format {
                    PixelFormat::Rgb8 => ((y * width + x) * 3, 3),
                    PixelFormat::Yuyv => ((y * width + x) * 2, 1),
                    PixelFormat::Nv12 | PixelFormat::I420 => (y * width + x, 1),
                };
                pixels[at..at + count].fill(value(x, y));
            }
        }
        let image = Image::new(SIDE.0, SIDE.1, format, Bytes::from(pixels)).expect("a picture");
        image.with_matrix(YuvMatrix::Jpeg)
    }

    fn distance(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    }

    #[test]
    fn black_and_white_are_one_apart_in_every_format() {
        for format in [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::I420] {
            let [black, white, half] = [0, 255, 128].map(|value| layout(&grey(format, |_, _| value)));
            assert_eq!(black.len(), 48);
            assert!((distance(&black, &white) - 1.0).abs() < 1e-3, "{format:?}");
            assert!((distance(&black, &half) - 0.5).abs() < 0.01, "{format:?}");
            assert!(distance(&half, &layout(&grey(PixelFormat::Rgb8, |_, _| 128))) < 1e-3, "{format:?}");
        }
    }

    #[test]
    fn colour_counts_and_a_limited_range_is_widened() {
        let paint = |rgb: [u8; 3]| {
            let pixels = rgb.repeat(96 * 64);
            layout(&Image::new(SIDE.0, SIDE.1, PixelFormat::Rgb8, pixels.into()).expect("a picture"))
        };
        // Of one brightness.
        assert!(distance(&paint([200, 60, 60]), &paint([60, 124, 60])) > 0.2);
        let limited = grey(PixelFormat::I420, |_, _| 235).with_matrix(YuvMatrix::Bt709);
        assert!(distance(&layout(&limited), &paint([255, 255, 255])) < 1e-3);
    }

    #[test]
    fn noise_hardly_counts_and_something_that_comes_does() {
        let mut random = Random(5);
        let noise: Vec<u8> = (0..96 * 64).map(|_| u8::try_from(random.below(9)).expect("small")).collect();
        let still = layout(&grey(PixelFormat::I420, |_, _| 104));
        let noisy = layout(&grey(PixelFormat::I420, |x, y| 100 + noise[y * 96 + x]));
        assert!(distance(&still, &noisy) < 0.003, "{}", distance(&still, &noisy));
        // A fiftieth of the picture.
        let inside = |x: usize, y: usize| (40..52).contains(&x) && (20..30).contains(&y);
        let thing = layout(&grey(PixelFormat::I420, |x, y| if inside(x, y) { 200 } else { 104 }));
        assert!(distance(&still, &thing) > 0.01, "{}", distance(&still, &thing));
    }

    #[test]
    fn a_picture_of_one_pixel_has_a_layout() {
        let image = Image::new(1, 1, PixelFormat::I420, vec![90; 3].into()).expect("a picture");
        assert!(layout(&image).iter().all(|value| value.is_finite()));
    }
}
