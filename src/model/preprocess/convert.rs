//! Source rows as RGB bytes.
//!
//! YUV becomes RGB in 16-bit fixed point, each pixel with the chroma sample of its block (no chroma interpolation),
//! luma below black clamped to black, the result rounded and clamped to `0..=255`: what OpenCV's `cvtColor` does,
//! and, integer for integer, what `shaders/preprocess.wgsl` does.

use pulp::{Arch, NullaryFnOnce};

use crate::frame::{Image, PixelFormat, YuvMatrix};

/// YUV to RGB in 16.16 fixed point; see [`YuvMatrix::coefficients`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedMatrix {
    /// Subtracted from luma first.
    pub y_offset: i32,
    /// Multiplies luma.
    pub y_gain: i32,
    /// V's part in red.
    pub v_to_r: i32,
    /// U's part in green.
    pub u_to_g: i32,
    /// V's part in green.
    pub v_to_g: i32,
    /// U's part in blue.
    pub u_to_b: i32,
}

impl FixedMatrix {
    /// The matrix, rounded to 1/65536.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn new(matrix: YuvMatrix) -> Self {
        let [y_offset, y_gain, v_to_r, u_to_g, v_to_g, u_to_b] = matrix.coefficients();
        let fixed = |c: f32| (f64::from(c) * 65536.0).round() as i32;
        Self {
            y_offset: y_offset as i32,
            y_gain: fixed(y_gain),
            v_to_r: fixed(v_to_r),
            u_to_g: fixed(u_to_g),
            v_to_g: fixed(v_to_g),
            u_to_b: fixed(u_to_b),
        }
    }

    /// What a chroma sample adds to red, green and blue, with the half that rounds.
    #[inline(always)]
    fn chroma(&self, u: u8, v: u8) -> [i32; 3] {
        const HALF: i32 = 1 << 15;
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        [self.v_to_r * v + HALF, self.u_to_g * u + self.v_to_g * v + HALF, self.u_to_b * u + HALF]
    }

    #[inline(always)]
    #[allow(clippy::cast_sign_loss)]
    fn pixel(&self, y: u8, [r, g, b]: [i32; 3]) -> [u8; 4] {
        let y = (i32::from(y) - self.y_offset).max(0) * self.y_gain;
        let level = |chroma: i32| ((y + chroma) >> 16).clamp(0, 255) as u32;
        (level(r) | level(g) << 8 | level(b) << 16).to_le_bytes()
    }

    /// One pair of pixels that share a chroma sample; `out` may be one pixel at an odd right edge.
    #[inline(always)]
    fn pair(&self, y: &[u8], u: u8, v: u8, out: &mut [[u8; 4]]) {
        let chroma = self.chroma(u, v);
        for (&y, out) in y.iter().zip(out) {
            *out = self.pixel(y, chroma);
        }
    }
}

/// Where the rows of a YUV picture lie.
enum Planes<'a> {
    Packed(&'a [u8]),
    Interleaved(&'a [u8], &'a [u8]),
    Planar(&'a [u8], &'a [u8], &'a [u8]),
}

/// Converts row `y` of a YUV picture to `R G B 0`, one group a pixel. Leaves `out` as it is for RGB.
#[inline(always)]
pub(super) fn yuv_row(image: &Image, matrix: &FixedMatrix, y: usize, out: &mut [[u8; 4]]) {
    let Some(planes) = planes(image, y) else { return };
    // Whole pairs first: their loop has no odd case in it, which lets it be vectorised.
    match planes {
        Planes::Packed(row) => {
            for (out, group) in out.as_chunks_mut::<2>().0.iter_mut().zip(row.as_chunks::<4>().0) {
                let [y0, u, y1, v] = *group;
                let chroma = matrix.chroma(u, v);
                *out = [matrix.pixel(y0, chroma), matrix.pixel(y1, chroma)];
            }
        }
        Planes::Interleaved(luma, chroma) => {
            let (pairs, odd) = out.as_chunks_mut::<2>();
            let (lumas, last) = luma.as_chunks::<2>();
            let (chromas, _) = chroma.as_chunks::<2>();
            for ((out, y), [u, v]) in pairs.iter_mut().zip(lumas).zip(chromas) {
                let chroma = matrix.chroma(*u, *v);
                *out = [matrix.pixel(y[0], chroma), matrix.pixel(y[1], chroma)];
            }
            if let Some([u, v]) = chromas.get(lumas.len()) {
                matrix.pair(last, *u, *v, odd);
            }
        }
        Planes::Planar(luma, us, vs) => {
            let (pairs, odd) = out.as_chunks_mut::<2>();
            let (lumas, last) = luma.as_chunks::<2>();
            for (((out, y), u), v) in pairs.iter_mut().zip(lumas).zip(us).zip(vs) {
                let chroma = matrix.chroma(*u, *v);
                *out = [matrix.pixel(y[0], chroma), matrix.pixel(y[1], chroma)];
            }
            if let (Some(u), Some(v)) = (us.get(lumas.len()), vs.get(lumas.len())) {
                matrix.pair(last, *u, *v, odd);
            }
        }
    }
}

#[inline(always)]
fn planes(image: &Image, y: usize) -> Option<Planes<'_>> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let half = width.div_ceil(2);
    let bytes = image.pixels().as_ref();
    match image.format() {
        PixelFormat::Rgb8 => None,
        PixelFormat::Yuyv => Some(Planes::Packed(row(bytes, y, half * 4)?)),
        PixelFormat::Nv12 => {
            let (luma, chroma) = bytes.split_at_checked(width * height)?;
            Some(Planes::Interleaved(row(luma, y, width)?, row(chroma, y / 2, half * 2)?))
        }
        PixelFormat::I420 => {
            let (luma, chroma) = bytes.split_at_checked(width * height)?;
            let (u, v) = chroma.split_at_checked(half * height.div_ceil(2))?;
            Some(Planes::Planar(row(luma, y, width)?, row(u, y / 2, half)?, row(v, y / 2, half)?))
        }
    }
}

/// Row `y` of a plane whose rows are `length` bytes.
#[inline(always)]
pub(super) fn row(plane: &[u8], y: usize, length: usize) -> Option<&[u8]> {
    plane.get(y * length..(y + 1) * length)
}

/// The whole picture as tightly packed RGB.
pub(super) fn rgb8(image: &Image) -> Vec<u8> {
    Arch::new().dispatch(Rgb8 { image })
}

struct Rgb8<'a> {
    image: &'a Image,
}

impl NullaryFnOnce for Rgb8<'_> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn call(self) -> Vec<u8> {
        let (width, height) = (self.image.width() as usize, self.image.height() as usize);
        let matrix = FixedMatrix::new(self.image.matrix());
        let mut wide = vec![[0; 4]; width];
        let mut rgb = vec![0; width * height * 3];
        for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
            yuv_row(self.image, &matrix, y, &mut wide);
            for (out, [r, g, b, _]) in out.as_chunks_mut::<3>().0.iter_mut().zip(&wide) {
                *out = [*r, *g, *b];
            }
        }
        rgb
    }
}
