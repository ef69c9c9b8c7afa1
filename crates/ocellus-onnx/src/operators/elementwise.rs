//! `BitShift`, `Swish` with a factor, `Celu` in half precision, squares of integers; `Dropout`, which does nothing in
//! inference.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

use super::native::{
    Choice, Given, Kernel, Made, Native, at, broadcast, coordinates, floats, integers, of_floats, place,
};
use super::{Built, standard};

/// A function of each element and one parameter.
#[derive(Debug)]
struct Unary {
    name: &'static str,
    function: fn(f64, f64) -> f64,
    alpha: f64,
}

/// `x * sigmoid(alpha * x)`; see <https://onnx.ai/onnx/operators/onnx__Swish.html>.
pub(super) fn swish(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = f64::from(node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0));
    if (alpha - 1.0).abs() < f64::EPSILON {
        return standard(ctx, node);
    }
    Native::new(Unary { name: "Swish", function: |x, alpha| x / (1.0 + (-alpha * x).exp()), alpha }).built()
}

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`; see <https://onnx.ai/onnx/operators/onnx__Celu.html>.
pub(super) fn celu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = f64::from(node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0));
    let function = |x: f64, alpha: f64| x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0);
    let half = |facts: &[&InferenceFact]| Some(facts.first()?.datum_type.concretize()? == DatumType::F16);
    Choice::built(standard(ctx, node), Unary { name: "Celu", function, alpha }, half)
}

impl Kernel for Unary {
    fn name(&self) -> &'static str {
        self.name
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        ensure!(given.len() == 1 && x.dtype.is_float(), "it takes floats");
        Ok(Some(tvec![(x.dtype, x.shape.clone())]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let data: Vec<f64> = floats(&inputs[0])?.into_iter().map(|x| (self.function)(x, self.alpha)).collect();
        Ok(tvec![of_floats(inputs[0].datum_type(), inputs[0].shape(), &data)?])
    }
}

/// The square of integers, as their own multiplication wraps.
#[derive(Debug)]
struct Square;

/// tract's, but for an integer times itself: tract makes a `Square` of it, which it has for floats only.
/// See <https://onnx.ai/onnx/operators/onnx__Mul.html>.
pub(super) fn mul(ctx: &ParsingContext, node: &NodeProto) -> Built {
    match node.input.as_slice() {
        [a, b] if a == b => {
            let whole = |facts: &[&InferenceFact]| Some(!facts.first()?.datum_type.concretize()?.is_float());
            Choice::built(standard(ctx, node), Square, whole)
        }
        _ => standard(ctx, node),
    }
}

impl Kernel for Square {
    fn name(&self) -> &'static str {
        "Mul"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        Ok(Some(tvec![(x.dtype, x.shape.clone())]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let x = at(inputs, 0)?;
        let dtype = x.datum_type();
        let excess = if dtype.is_integer() { 64 - 8 * u32::try_from(dtype.size_of())? } else { 0 };
        let square = |x: i64| match x.wrapping_mul(x) << excess {
            high if dtype.is_unsigned() => (high.cast_unsigned() >> excess).cast_signed(),
            high => high >> excess,
        };
        let data: Vec<i64> = integers(x)?.into_iter().map(square).collect();
        Ok(tvec![Tensor::from_shape(x.shape(), &data)?.cast_to_dt(dtype)?.into_owned()])
    }
}

/// Shifts of integers; a count that is negative, or not less than the width, shifts every bit out.
/// See <https://onnx.ai/onnx/operators/onnx__BitShift.html>.
#[derive(Debug)]
struct BitShift {
    left: bool,
}

pub(super) fn bit_shift(_ctx: &ParsingContext, node: &NodeProto) -> Built {
    let left = match node.get_attr::<&str>("direction")? {
        "LEFT" => true,
        "RIGHT" => false,
        other => bail!("there is no direction {other:?}"),
    };
    Native::new(BitShift { left }).built()
}

impl Kernel for BitShift {
    fn name(&self) -> &'static str {
        "BitShift"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (x, y) = (at(given, 0)?, at(given, 1)?);
        ensure!(x.dtype == y.dtype && x.dtype.is_integer(), "it takes integers of one type");
        Ok(Some(tvec![(x.dtype, broadcast(&x.shape, &y.shape)?)]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (x, y, dtype) = (&inputs[0], &inputs[1], inputs[0].datum_type());
        let (values, counts) = (integers(x)?, integers(y)?);
        let width = u32::try_from(8 * dtype.size_of())?;
        let shape = broadcast(x.shape(), y.shape())?;
        let shift = |value: i64, count: i64| match u32::try_from(count).ok().filter(|count| *count < width) {
            Some(count) if self.left => value << count,
            Some(count) if dtype.is_signed() => value >> count,
            Some(count) => (value.cast_unsigned() >> count).cast_signed(),
            None if !self.left && dtype.is_signed() && value < 0 => -1,
            None => 0,
        };
        let data: Vec<i64> =
            coordinates(&shape).map(|c| shift(values[place(&c, x.shape())], counts[place(&c, y.shape())])).collect();
        Ok(tvec![Tensor::from_shape(&shape, &data)?.cast_to_dt(dtype)?.into_owned()])
    }
}

/// tract's, unless it may be asked to drop at random; see <https://onnx.ai/onnx/operators/onnx__Dropout.html>.
pub(super) fn dropout(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if let Some(training) = node.input.get(2).filter(|name| !name.is_empty()) {
        let graphs = ctx.model.graph.iter();
        let constants = graphs
            .clone()
            .flat_map(|g| &g.node)
            .filter(|n| n.op_type == "Constant" && n.output.first() == Some(training));
        let constants = constants.flat_map(|n| &n.attribute).filter_map(|a| a.t.as_ref());
        let mut values = graphs.flat_map(|g| &g.initializer).filter(|t| t.name == *training).chain(constants);
        let off = |t: &TensorProto| t.raw_data.iter().all(|v| *v == 0) && t.int32_data.iter().all(|v| *v == 0);
        ensure!(values.next().is_some_and(off), "its training form, which drops values at random, is not supported");
    }
    standard(ctx, node)
}
