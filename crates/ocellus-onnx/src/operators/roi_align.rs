//! `RoiAlign`: regions of a picture, resampled bilinearly to one size.
//!
//! Each output is the mean, or the greatest, of samples on a regular grid in its bin. See
//! <https://onnx.ai/onnx/operators/onnx__RoiAlign.html>.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::native::{Given, Kernel, Made, Native, at, floats, integers, of_floats};

/// Samples in all regions and channels together.
const MOST_SAMPLES: f64 = 1e9;

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

impl RoiAlign {
    /// The samples of each bin of a region.
    fn bins(&self, region: &[f64], height: usize, width: usize) -> TractResult<Vec<Vec<Option<Sample>>>> {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let &[x0, y0, x1, y1] = region else { bail!("a region takes four numbers") };
        let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|v| v * self.scale - offset);
        let least = if self.half_pixel { f64::NEG_INFINITY } else { 1.0 };
        let bin_height = (y1 - y0).max(least) / self.height as f64;
        let bin_width = (x1 - x0).max(least) / self.width as f64;
        let grid = |bin: f64| if self.sampling > 0 { self.sampling as f64 } else { bin.ceil().max(0.0) };
        let (rows, columns) = (grid(bin_height), grid(bin_width));
        let samples = rows * columns * (self.height * self.width) as f64;
        ensure!(samples <= MOST_SAMPLES / 16.0, "a region of {samples} samples is too large");
        let steps = |first: f64, bin: f64, at: usize, count: f64| {
            (0..count as usize).map(move |i| first + at as f64 * bin + (i as f64 + 0.5) * bin / count)
        };
        let mut bins = Vec::with_capacity(self.height * self.width);
        for row in 0..self.height {
            for column in 0..self.width {
                let bin = steps(y0, bin_height, row, rows)
                    .flat_map(|y| steps(x0, bin_width, column, columns).map(move |x| (y, x)))
                    .map(|(y, x)| sample(y, x, height, width));
                bins.push(bin.collect());
            }
        }
        Ok(bins)
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
        let mut data = Vec::new();
        let mut work = 0.0;
        for (region, owner) in regions.chunks_exact(4).zip(&owners) {
            let owner = usize::try_from(*owner).ok().filter(|n| *n < batch);
            let owner = owner.context("a region of a picture that is not there")?;
            let bins = self.bins(region, height, width)?;
            work += bins.iter().map(|bin| bin.len() as f64).sum::<f64>() * channels as f64;
            ensure!(work <= MOST_SAMPLES, "regions of more than {MOST_SAMPLES} samples");
            for c in 0..channels {
                let plane = &x[(owner * channels + c) * height * width..][..height * width];
                data.extend(bins.iter().map(|bin| self.pooled(bin, plane)));
            }
        }
        let shape = [owners.len(), channels, self.height, self.width];
        Ok(tvec![of_floats(inputs[0].datum_type(), &shape, &data)?])
    }
}
