//! The CPU stage: one pass over the rows of the input.
//!
//! For each row of the input: the two source rows that it lies between become RGB bytes (once, they are kept for
//! the next row), are blended to one row of floats, then sampled along `x`, normalised and written to the planes.
//! Each step is a plain loop that the compiler vectorises for the instruction set found at run time.

use pulp::{Arch, NullaryFnOnce};

use super::convert::{FixedMatrix, row, yuv_row};
use super::taps::{Tap, Taps};
use super::{InputSpec, PreprocessError};
use crate::frame::{Image, PixelFormat, YuvMatrix};
use crate::model::input::{Channels, Placement};

/// Floats behind the last pixel of a blended row, so that a sample reads whole groups of four there too.
const SLACK: usize = 8;

/// Preprocessing of pictures of one size and format for one model input, with its tables.
#[derive(Debug, Clone)]
pub struct CpuStage {
    source: Source,
    spec: InputSpec,
    placement: Placement,
    taps: Taps,
    matrix: FixedMatrix,
    arch: Arch,
    converted: [RgbRow; 2],
    blended: Vec<f32>,
    sampled: Vec<[f32; 4]>,
}

/// What a picture must share with another to be preprocessed by the same tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    width: u32,
    height: u32,
    format: PixelFormat,
    matrix: YuvMatrix,
}

impl Source {
    fn of(image: &Image) -> Self {
        Self { width: image.width(), height: image.height(), format: image.format(), matrix: image.matrix() }
    }
}

/// A source row as `R G B 0`, and which one it is.
#[derive(Debug, Clone)]
struct RgbRow {
    y: Option<u32>,
    pixels: Vec<[u8; 4]>,
}

impl CpuStage {
    /// Computes the tables for pictures like `image`.
    #[must_use]
    pub fn new(image: &Image, spec: &InputSpec) -> Self {
        let source = Source::of(image);
        let placement = spec.placement(image);
        let mut taps = Taps::new(&placement, (source.width, source.height));
        let bytes = bytes_per_pixel(source.format);
        for tap in &mut taps.columns {
            // Held as the position in the row's bytes: one multiplication less a sample.
            tap.index *= bytes;
        }
        let width = source.width as usize;
        let converted = if source.format == PixelFormat::Rgb8 { 0 } else { width };
        let empty = RgbRow { y: None, pixels: vec![[0; 4]; converted] };
        Self {
            source,
            spec: *spec,
            placement,
            sampled: vec![[0.0; 4]; taps.columns.len()],
            taps,
            matrix: FixedMatrix::new(source.matrix),
            arch: Arch::new(),
            converted: [empty.clone(), empty],
            blended: vec![0.0; width * bytes as usize + SLACK],
        }
    }

    /// Whether `run` may be called with this picture and `spec` is what the tables were made for.
    #[must_use]
    pub fn fits(&self, image: &Image, spec: &InputSpec) -> bool {
        self.source == Source::of(image) && self.spec == *spec
    }

    /// Writes one `[3, height, width]` item, every value of it.
    ///
    /// # Errors
    /// When `image` is unlike the one that the stage was made for, or `out` is not `3 * height * width` long.
    pub fn run(&mut self, image: &Image, out: &mut [f32]) -> Result<(), PreprocessError> {
        if self.source != Source::of(image) {
            return Err(PreprocessError::OtherImage {
                width: image.width(),
                height: image.height(),
                format: image.format(),
            });
        }
        let wanted = self.spec.len();
        if out.len() != wanted {
            return Err(PreprocessError::Output { wanted, got: out.len() });
        }
        let arch = self.arch;
        arch.dispatch(Pass { stage: self, image, out });
        Ok(())
    }
}

fn bytes_per_pixel(format: PixelFormat) -> u32 {
    if format == PixelFormat::Rgb8 { 3 } else { 4 }
}

/// One run, as a value that is called inside a function compiled for the instruction set at hand.
struct Pass<'a> {
    stage: &'a mut CpuStage,
    image: &'a Image,
    out: &'a mut [f32],
}

impl NullaryFnOnce for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { stage, image, out } = self;
        for slot in &mut stage.converted {
            slot.y = None;
        }
        let (width, height) = (stage.spec.width as usize, stage.spec.height as usize);
        let mut affine = stage.spec.normalise.affine();
        let pad = affine.map(|(gain, bias)| gain * stage.spec.normalise.pad + bias);
        if out.is_empty() {
            return;
        }
        let (first, rest) = out.split_at_mut(width * height);
        let (second, third) = rest.split_at_mut(width * height);
        let mut planes = [first, second, third];
        let top = stage.placement.top as usize;
        let bottom = top + stage.placement.height as usize;
        let left = stage.placement.left as usize;
        let right = left + stage.placement.width as usize;
        for (plane, pad) in planes.iter_mut().zip(pad) {
            plane[..top * width].fill(pad);
            plane[bottom * width..].fill(pad);
            if left > 0 || right < width {
                for row in plane[top * width..bottom * width].chunks_exact_mut(width) {
                    row[..left].fill(pad);
                    row[right..].fill(pad);
                }
            }
        }
        if stage.spec.normalise.channels == Channels::Bgr {
            planes.swap(0, 2);
            affine.swap(0, 2);
        }
        for y in 0..stage.taps.rows.len() {
            stage.sample_row(image, y);
            let start = (top + y) * width;
            let [r, g, b] = &mut planes;
            let span = start + left..start + right;
            let targets = [&mut r[span.clone()], &mut g[span.clone()], &mut b[span]];
            write_row(&stage.sampled, affine, targets);
        }
    }
}

impl CpuStage {
    /// Fills `sampled` with row `y` of the placed picture.
    #[inline(always)]
    fn sample_row(&mut self, image: &Image, y: usize) {
        let tap = self.taps.rows[y];
        let below = if tap.weight > 0.0 { tap.index + 1 } else { tap.index };
        if self.source.format == PixelFormat::Rgb8 {
            let length = self.source.width as usize * 3;
            let source = |y: u32| row(image.pixels(), y as usize, length).unwrap_or_default();
            blend(source(tap.index), source(below), tap.weight, &mut self.blended);
            sample::<3>(&self.blended, &self.taps.columns, &mut self.sampled);
        } else {
            self.convert(image, tap.index);
            self.convert(image, below);
            let [even, odd] = &self.converted;
            let of = |y: u32| if y.is_multiple_of(2) { even } else { odd }.pixels.as_flattened();
            blend(of(tap.index), of(below), tap.weight, &mut self.blended);
            sample::<4>(&self.blended, &self.taps.columns, &mut self.sampled);
        }
    }

    /// Makes sure that source row `y` is among the converted ones: even rows in one slot, odd ones in the other,
    /// so that two neighbours are always there together.
    #[inline(always)]
    fn convert(&mut self, image: &Image, y: u32) {
        let slot = &mut self.converted[(y % 2) as usize];
        if slot.y != Some(y) {
            yuv_row(image, &self.matrix, y as usize, &mut slot.pixels);
            slot.y = Some(y);
        }
    }
}

/// `above * (1 - weight) + below * weight`, value by value.
#[inline(always)]
fn blend(above: &[u8], below: &[u8], weight: f32, out: &mut [f32]) {
    for ((out, &above), &below) in out.iter_mut().zip(above).zip(below) {
        let above = f32::from(above);
        *out = above + (f32::from(below) - above) * weight;
    }
}

/// Samples a row of pixels of `STRIDE` values along `x`.
#[inline(always)]
fn sample<const STRIDE: usize>(row: &[f32], columns: &[Tap], out: &mut [[f32; 4]]) {
    for (out, tap) in out.iter_mut().zip(columns) {
        let at = tap.index as usize;
        let Some(both) = row.get(at..at + STRIDE + 4) else { return };
        let (Some(left), Some(right)) = (both.first_chunk::<4>(), both[STRIDE..].first_chunk::<4>()) else { return };
        // Loaded, computed and stored whole: that is what makes it one vector instruction each.
        let (left, right) = (*left, *right);
        *out = std::array::from_fn(|i| left[i] + (right[i] - left[i]) * tap.weight);
    }
}

/// Normalises one row of pixels into the three planes.
#[inline(always)]
fn write_row(pixels: &[[f32; 4]], affine: [(f32, f32); 3], [r, g, b]: [&mut [f32]; 3]) {
    let [(gain_r, bias_r), (gain_g, bias_g), (gain_b, bias_b)] = affine;
    for (((pixel, r), g), b) in pixels.iter().zip(r).zip(g).zip(b) {
        *r = pixel[0] * gain_r + bias_r;
        *g = pixel[1] * gain_g + bias_g;
        *b = pixel[2] * gain_b + bias_b;
    }
}
