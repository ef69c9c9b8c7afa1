//! `RoiAlign`: regions of a picture, resampled bilinearly to one size.
//!
//! Each output is the mean, or the greatest, of samples on a regular grid in its bin. See
//! <https://onnx.ai/onnx/operators/onnx__RoiAlign.html>.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::native::{Given, Kernel, Made, Native, at, floats, integers, of_floats};

/// Samples in one region.
const MOST_SAMPLES: f64 = 4e6;
/// Samples in all regions, in each channel.
const MOST_WORK: f64 = 1e9;

#[derive(Debug)]
struct RoiAlign {
    max: bool,
    half_pixel: bool,
    height: usize,
    width: usize,
    /// Samples along each side of a bin; 0: as many as it has pixels.
    sampling: usize,
    scale: f64,
}

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let max = match node.get_attr_opt::<&str>("mode")?.unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        other => bail!("there is no mode {other:?}"),
    };
    let half = if ctx.onnx_operator_set_version < 16 { "output_half_pixel" } else { "half_pixel" };
    let size = |name: &str, default: i64| -> TractResult<usize> {
        let size: i64 = node.get_attr_opt(name)?.unwrap_or(default);
        usize::try_from(size).ok().filter(|n| *n <= 1 << 16).with_context(|| format!("{name} of {size}"))
    };
    Native::new(RoiAlign {
        max,
        half_pixel: node.get_attr_opt::<&str>("coordinate_transformation_mode")?.unwrap_or(half) == "half_pixel",
        height: size("output_height", 1)?,
        width: size("output_width", 1)?,
        sampling: size("sampling_ratio", 0)?,
        scale: f64::from(node.get_attr_opt::<f32>("spatial_scale")?.unwrap_or(1.0)),
    })
    .built()
}

/// One sample: four places and their weights.
type Sample = [(usize, f64); 4];

/// Bilinear weights at `(y, x)`; nothing beyond one pixel around the picture.
fn sample(y: f64, x: f64, height: usize, width: usize) -> Option<Sample> {
    let inside = (-1.0..=height as f64).contains(&y) && (-1.0..=width as f64).contains(&x);
    let (last_y, last_x) = (height.checked_sub(1)?, width.checked_sub(1)?);
    if !inside {
        return None;
    }
    let split = |v: f64, last: usize| {
        let v = v.max(0.0);
        let low = v as usize;
        if low >= last { (last, last, 0.0) } else { (low, low + 1, v - low as f64) }
    };
    let ((y0, y1, ly), (x0, x1, lx)) = (split(y, last_y), split(x, last_x));
    let (hy, hx) = (1.0 - ly, 1.0 - lx);
    Some([
        (y0 * width + x0, hy * hx),
        (y0 * width + x1, hy * lx),
        (y1 * width + x0, ly * hx),
        (y1 * width + x1, ly * lx),
    ])
}

/// The bins of one region, heights before widths.
struct Grid {
    first: [f64; 2],
    bin: [f64; 2],
    /// Samples along each side of a bin.
    steps: [f64; 2],
    /// Samples of all bins.
    samples: f64,
}

impl Grid {
    /// The samples of one bin, in place of those of another.
    fn bin(&self, at: [usize; 2], picture: [usize; 2], samples: &mut Vec<Option<Sample>>) {
        let point = |axis: usize, step: usize| {
            self.first[axis] + (at[axis] as f64 + (step as f64 + 0.5) / self.steps[axis]) * self.bin[axis]
        };
        samples.clear();
        for row in 0..self.steps[0] as usize {
            for column in 0..self.steps[1] as usize {
                samples.push(sample(point(0, row), point(1, column), picture[0], picture[1]));
            }
        }
    }
}

impl RoiAlign {
    /// Where the bins of a region lie.
    fn grid(&self, region: &[f64]) -> TractResult<Grid> {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let &[x0, y0, x1, y1] = region else { bail!("a region takes four numbers") };
        let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|v| v * self.scale - offset);
        let least = if self.half_pixel { f64::NEG_INFINITY } else { 1.0 };
        let bin = [(y1 - y0).max(least) / self.height as f64, (x1 - x0).max(least) / self.width as f64];
        let steps = bin.map(|bin| if self.sampling > 0 { self.sampling as f64 } else { bin.ceil().max(0.0) });
        let samples = steps[0] * steps[1] * (self.height * self.width) as f64;
        ensure!(samples <= MOST_SAMPLES, "a region takes {samples} samples, more than {MOST_SAMPLES}");
        Ok(Grid { first: [y0, x0], bin, steps, samples })
    }

    fn pooled(&self, bin: &[Option<Sample>], plane: &[f64]) -> f64 {
        let part = |(at, weight): (usize, f64)| weight * plane.get(at).copied().unwrap_or(0.0);
        if self.max {
            let values =
                bin.iter().map(|s| s.map_or(0.0, |s| s.map(part).into_iter().fold(f64::NEG_INFINITY, f64::max)));
            return values.reduce(f64::max).unwrap_or(0.0);
        }
        let sum: f64 = bin.iter().flatten().flat_map(|s| s.map(part)).sum();
        sum / bin.len().max(1) as f64
    }
}

impl Kernel for RoiAlign {
    fn name(&self) -> &'static str {
        "RoiAlign"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (x, regions, batch) = (at(given, 0)?, at(given, 1)?, at(given, 2)?);
        let (&[_, channels, ..], &[count, 4]) = (&*x.shape, &*regions.shape) else {
            bail!("it takes pictures and regions of four numbers, not {:?} and {:?}", x.shape, regions.shape)
        };
        ensure!(x.shape.len() == 4 && *batch.shape == [count] && x.dtype.is_float(), "its inputs do not fit together");
        Ok(Some(tvec![(x.dtype, tvec![count, channels, self.height, self.width])]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let &[batch, channels, height, width] = inputs[0].shape() else { bail!("it takes pictures") };
        let (x, regions, owners) = (floats(&inputs[0])?, floats(&inputs[1])?, integers(&inputs[2])?);
        let size = self.height * self.width;
        let mut data = vec![0.0; owners.len() * channels * size];
        let (mut samples, mut work) = (Vec::new(), 0.0);
        for (number, (region, owner)) in regions.chunks_exact(4).zip(&owners).enumerate() {
            let owner = usize::try_from(*owner).ok().filter(|n| *n < batch);
            let owner = owner.context("a region of a picture that is not there")?;
            let grid = self.grid(region)?;
            work += grid.samples * channels as f64;
            ensure!(work <= MOST_WORK, "regions of more than {MOST_WORK} samples in all channels");
            for bin in 0..size {
                grid.bin([bin / self.width, bin % self.width], [height, width], &mut samples);
                for c in 0..channels {
                    let plane = &x[(owner * channels + c) * height * width..][..height * width];
                    data[(number * channels + c) * size + bin] = self.pooled(&samples, plane);
                }
            }
        }
        let shape = [owners.len(), channels, self.height, self.width];
        Ok(tvec![of_floats(inputs[0].datum_type(), &shape, &data)?])
    }
}
