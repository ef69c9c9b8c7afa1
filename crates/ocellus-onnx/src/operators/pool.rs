//! `LpPool` and `MaxUnpool`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::native::{Given, Kernel, Made, Native, at, coordinates, floats, gather, integers, of_floats, place};

/// Sizes along each axis of the picture.
fn sizes(node: &NodeProto, name: &str) -> TractResult<Option<Vec<usize>>> {
    let sizes: Option<Vec<i64>> = node.get_attr_opt_vec(name)?;
    sizes.map(|s| s.iter().map(|n| usize::try_from(*n).context("a negative size")).collect()).transpose()
}

#[derive(Debug)]
enum Padding {
    Explicit(Vec<usize>),
    Valid,
    Same { more_before: bool },
}

/// `(sum |x|^p)^(1/p)` under a window; see <https://onnx.ai/onnx/operators/onnx__LpPool.html>.
#[derive(Debug)]
struct LpPool {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
    ceil: bool,
    p: f64,
}

pub(super) fn lp_pool(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let kernel = sizes(node, "kernel_shape")?.context("it takes a kernel_shape")?;
    let axes = kernel.len();
    let ones = |name: &str| -> TractResult<Vec<usize>> { Ok(sizes(node, name)?.unwrap_or_else(|| vec![1; axes])) };
    let (strides, dilations) = (ones("strides")?, ones("dilations")?);
    ensure!(strides.len() == axes && dilations.len() == axes, "strides or dilations for other axes");
    let padding = match node.get_attr_opt::<&str>("auto_pad")?.unwrap_or("NOTSET") {
        "SAME_UPPER" => Padding::Same { more_before: false },
        "SAME_LOWER" => Padding::Same { more_before: true },
        "VALID" => Padding::Valid,
        _ => Padding::Explicit(sizes(node, "pads")?.unwrap_or_else(|| vec![0; 2 * axes])),
    };
    ensure!(!matches!(&padding, Padding::Explicit(pads) if pads.len() != 2 * axes), "pads for other axes");
    let p: i64 = node.get_attr_opt("p")?.unwrap_or(2);
    ensure!(p > 0, "a norm of order {p}");
    let ceil = node.get_attr_opt::<i64>("ceil_mode")?.unwrap_or(0) != 0;
    Native::new(LpPool { kernel, strides, dilations, padding, ceil, p: p as f64 }).built()
}

impl LpPool {
    /// Output extent and padding before, along each axis.
    fn extents(&self, shape: &[usize]) -> TractResult<Vec<(usize, usize)>> {
        ensure!(shape.len() == self.kernel.len() + 2, "a kernel of {:?} for {shape:?}", self.kernel);
        let axis = |(ix, &n): (usize, &usize)| {
            let (stride, reach) = (self.strides[ix], (self.kernel[ix] - 1) * self.dilations[ix] + 1);
            let (before, after) = match &self.padding {
                Padding::Valid => (0, 0),
                Padding::Explicit(pads) => (pads[ix], pads[ix + self.kernel.len()]),
                Padding::Same { more_before } => {
                    let out = n.div_ceil(stride);
                    let total = (out.saturating_sub(1) * stride + reach).saturating_sub(n);
                    let less = total / 2;
                    if *more_before { (total - less, less) } else { (less, total - less) }
                }
            };
            let room = (n + before + after).checked_sub(reach).with_context(|| format!("no window fits in {n}"))?;
            let mut out = (if self.ceil { room.div_ceil(stride) } else { room / stride }) + 1;
            if self.ceil && (out - 1) * stride >= n + before {
                out -= 1;
            }
            Ok((out, before))
        };
        shape.iter().skip(2).enumerate().map(axis).collect()
    }
}

impl Kernel for LpPool {
    fn name(&self) -> &'static str {
        "LpPool"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        ensure!(x.dtype.is_float(), "it takes floats");
        let out = self.extents(&x.shape)?;
        Ok(Some(tvec![(x.dtype, x.shape.iter().take(2).copied().chain(out.iter().map(|o| o.0)).collect())]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (x, shape) = (floats(&inputs[0])?, inputs[0].shape());
        let extents = self.extents(shape)?;
        let out: TVec<usize> = shape.iter().take(2).copied().chain(extents.iter().map(|e| e.0)).collect();
        let under = |c: &[usize], k: &[usize]| -> Option<f64> {
            let mut source: TVec<usize> = c.into();
            for (ix, slot) in source.iter_mut().skip(2).enumerate() {
                let padded = *slot * self.strides[ix] + k[ix] * self.dilations[ix];
                *slot = padded.checked_sub(extents[ix].1).filter(|at| *at < shape[ix + 2])?;
            }
            x.get(place(&source, shape)).copied()
        };
        let pooled = |c: TVec<usize>| {
            let sum: f64 = coordinates(&self.kernel).filter_map(|k| under(&c, &k)).map(|v| v.abs().powf(self.p)).sum();
            sum.powf(1.0 / self.p)
        };
        let data: Vec<f64> = coordinates(&out).map(pooled).collect();
        Ok(tvec![of_floats(inputs[0].datum_type(), &out, &data)?])
    }
}

/// Puts values back where `MaxPool` found them; see <https://onnx.ai/onnx/operators/onnx__MaxUnpool.html>.
#[derive(Debug)]
struct MaxUnpool {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    pads: Vec<usize>,
    /// The third input gives the shape.
    shaped: bool,
}

pub(super) fn max_unpool(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let kernel = sizes(node, "kernel_shape")?.context("it takes a kernel_shape")?;
    let strides = sizes(node, "strides")?.unwrap_or_else(|| vec![1; kernel.len()]);
    let pads = sizes(node, "pads")?.unwrap_or_else(|| vec![0; 2 * kernel.len()]);
    ensure!(strides.len() == kernel.len() && pads.len() == 2 * kernel.len(), "strides or pads for other axes");
    let shaped = node.input.get(2).is_some_and(|i| !i.is_empty());
    Native::new(MaxUnpool { kernel, strides, pads, shaped }).built()
}

impl MaxUnpool {
    /// The shape that the indices count in.
    fn inner(&self, shape: &[usize]) -> TractResult<TVec<usize>> {
        ensure!(shape.len() == self.kernel.len() + 2, "a kernel of {:?} for {shape:?}", self.kernel);
        let axis = |(ix, n): (usize, &usize)| {
            let whole = n.saturating_sub(1) * self.strides[ix] + self.kernel[ix];
            whole.checked_sub(self.pads[ix] + self.pads[ix + self.kernel.len()]).context("pads beyond the output")
        };
        let outer = shape.iter().take(2).copied().map(Ok);
        outer.chain(shape.iter().skip(2).enumerate().map(axis)).collect()
    }
}

impl Kernel for MaxUnpool {
    fn name(&self) -> &'static str {
        "MaxUnpool"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (x, indices) = (at(given, 0)?, at(given, 1)?);
        ensure!(x.shape == indices.shape, "values of {:?} with indices of {:?}", x.shape, indices.shape);
        let inner = self.inner(&x.shape)?;
        if !self.shaped {
            return Ok(Some(tvec![(x.dtype, inner)]));
        }
        let Some(shape) = &at(given, 2)?.value else { return Ok(None) };
        let shape = integers(shape)?.iter().map(|n| usize::try_from(*n)).collect::<Result<TVec<_>, _>>()?;
        let holds = shape.len() == inner.len() && shape.iter().zip(&inner).all(|(n, least)| n >= least);
        ensure!(holds, "output_shape {shape:?} does not hold {inner:?}");
        Ok(Some(tvec![(x.dtype, shape)]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let inner = self.inner(inputs[0].shape())?;
        let shape = match inputs.get(2).filter(|_| self.shaped) {
            Some(shape) => integers(shape)?.iter().map(|n| usize::try_from(*n)).collect::<Result<TVec<_>, _>>()?,
            None => inner.clone(),
        };
        let mut from = vec![None; inner.iter().product()];
        for (source, to) in integers(&inputs[1])?.into_iter().enumerate() {
            let slot = usize::try_from(to).ok().and_then(|to| from.get_mut(to));
            *slot.with_context(|| format!("index {to} lies outside of {inner:?}"))? = Some(source);
        }
        let inside = |c: &TVec<usize>| c.iter().zip(&inner).all(|(c, n)| c < n);
        let places = coordinates(&shape).map(|c| if inside(&c) { from[row_major(&c, &inner)] } else { None });
        Ok(tvec![gather(&inputs[0], &shape, places, None)?])
    }
}

fn row_major(coordinate: &[usize], shape: &[usize]) -> usize {
    coordinate.iter().zip(shape).fold(0, |at, (c, n)| at * n + c)
}
