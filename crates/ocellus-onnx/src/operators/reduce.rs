//! `ReduceMax` and `ReduceMin` of truth values, of nothing and of infinities; `MatMul` of two vectors.
//!
//! Of nothing they give the least and the greatest value of the type; see
//! <https://onnx.ai/onnx/operators/onnx__ReduceMax.html>.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use tract_onnx::tract_hir::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_hir::tract_core::ops::logic::{Iff, comp_eq};

use super::native::{
    Choice, Finish, Given, Kernel, Made, When, at, axis, coordinates, floats, gather, integers, of_floats, place,
};
use super::{Built, standard};

#[derive(Debug)]
struct Extreme {
    max: bool,
    axes: Option<Vec<i64>>,
    keep: bool,
    /// No axes stand for no reduction.
    noop: bool,
}

pub(super) fn max(ctx: &ParsingContext, node: &NodeProto) -> Built {
    build(ctx, node, true)
}

pub(super) fn min(ctx: &ParsingContext, node: &NodeProto) -> Built {
    build(ctx, node, false)
}

fn build(ctx: &ParsingContext, node: &NodeProto, max: bool) -> Built {
    let own = Extreme {
        max,
        axes: node.get_attr_opt_vec("axes")?,
        keep: node.get_attr_opt::<i64>("keepdims")?.unwrap_or(1) != 0,
        noop: node.get_attr_opt::<i64>("noop_with_empty_axes")?.unwrap_or(0) != 0,
    };
    let when: When = |facts| {
        let x = facts.first()?;
        let empty = x.shape.concretize()?.iter().any(|d| d.to_usize().is_ok_and(|n| n == 0));
        Some(empty || x.datum_type.concretize()? == DatumType::Bool)
    };
    let finish: Finish =
        if max { |m, name, r| unbounded(m, name, r, true) } else { |m, name, r| unbounded(m, name, r, false) };
    Choice::finished(standard(ctx, node), own, when, finish)
}

/// tract's kernels begin with the least finite number, so that the greatest of infinities comes out finite.
fn unbounded(model: &mut TypedModel, name: &str, reduced: TVec<OutletId>, max: bool) -> TractResult<TVec<OutletId>> {
    let &[reduced] = &reduced[..] else { bail!("it gives one output") };
    let fact = model.outlet_fact(reduced)?;
    let (dtype, rank) = (fact.datum_type, fact.rank());
    if !dtype.is_float() {
        return Ok(tvec![reduced]);
    }
    let sign = if max { -1.0 } else { 1.0 };
    let bound = match dtype {
        DatumType::F16 => f16::MAX.to_f64(),
        DatumType::F32 => f64::from(f32::MAX),
        _ => f64::MAX,
    };
    let number = |v: f64| of_floats(dtype, &vec![1; rank], &[sign * v]);
    let finite = model.add_const(format!("{name}.finite"), number(bound)?)?;
    let infinite = model.add_const(format!("{name}.infinite"), number(f64::INFINITY)?)?;
    let none = model.wire_node(format!("{name}.none"), TypedBinOp(comp_eq(), None), &[reduced, finite])?;
    model.wire_node(format!("{name}.unbounded"), Iff, &[none[0], infinite, reduced])
}

impl Extreme {
    fn reduced(&self, shape: &[usize], axes: Option<&Tensor>) -> TractResult<Vec<bool>> {
        let given = axes.map(integers).transpose()?.or_else(|| self.axes.clone()).unwrap_or_default();
        let mut reduced = vec![given.is_empty() && !self.noop; shape.len()];
        for a in given {
            reduced[axis(a, shape.len())?] = true;
        }
        Ok(reduced)
    }
}

impl Kernel for Extreme {
    fn name(&self) -> &'static str {
        if self.max { "ReduceMax" } else { "ReduceMin" }
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        if given.get(1).is_some_and(|axes| axes.value.is_none()) {
            return Ok(None);
        }
        let reduced = self.reduced(&x.shape, given.get(1).and_then(|axes| axes.value.as_deref()))?;
        let extent = |(n, reduced): (&usize, &bool)| if *reduced { self.keep.then_some(1) } else { Some(*n) };
        Ok(Some(tvec![(x.dtype, x.shape.iter().zip(&reduced).filter_map(extent).collect())]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (x, dtype) = (&inputs[0], inputs[0].datum_type());
        let reduced = self.reduced(x.shape(), inputs.get(1).map(|axes| &**axes))?;
        let kept: TVec<usize> = x.shape().iter().zip(&reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
        let neutral = match (dtype, self.max) {
            (DatumType::Bool, max) => f64::from(u8::from(!max)),
            (_, true) => f64::NEG_INFINITY,
            (_, false) => f64::INFINITY,
        };
        let mut places: Vec<Option<usize>> = vec![None; kept.iter().product()];
        let better = beats(x, self.max)?;
        for (source, c) in coordinates(x.shape()).enumerate() {
            let slot = &mut places[place(&c, &kept)];
            *slot = Some(slot.filter(|best| !better(source, *best)).unwrap_or(source));
        }
        let shape: TVec<usize> = if self.keep {
            kept
        } else {
            x.shape().iter().zip(&reduced).filter(|(_, r)| !**r).map(|(n, _)| *n).collect()
        };
        Ok(tvec![gather(x, &shape, places.into_iter(), Some(&of_floats(dtype, &[], &[neutral])?))?])
    }
}

/// Whether the element at one place goes before that at another; what is no number goes before all.
fn beats(x: &Tensor, max: bool) -> TractResult<Box<dyn Fn(usize, usize) -> bool>> {
    if x.datum_type().is_float() || x.datum_type() == DatumType::Bool {
        let v = floats(x)?;
        return Ok(Box::new(move |a, b| v[a].is_nan() || (max && v[a] > v[b]) || (!max && v[a] < v[b])));
    }
    let unsigned = x.datum_type() == DatumType::U64;
    let widen = |v: i64| if unsigned { i128::from(v.cast_unsigned()) } else { i128::from(v) };
    let v: Vec<i128> = integers(x)?.into_iter().map(widen).collect();
    Ok(Box::new(move |a, b| (max && v[a] > v[b]) || (!max && v[a] < v[b])))
}

/// The product of two vectors, which is a number; see <https://onnx.ai/onnx/operators/onnx__MatMul.html>.
#[derive(Debug)]
struct Dot;

pub(super) fn mat_mul(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let vectors: When = |facts| Some(facts.len() == 2 && facts.iter().all(|f| f.shape.rank().concretize() == Some(1)));
    Choice::built(standard(ctx, node), Dot, vectors)
}

impl Kernel for Dot {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let (a, b) = (at(given, 0)?, at(given, 1)?);
        ensure!(a.shape == b.shape && a.dtype == b.dtype && a.dtype.is_float(), "vectors that do not fit together");
        Ok(Some(tvec![(a.dtype, tvec![])]))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (a, b) = (floats(&inputs[0])?, floats(&inputs[1])?);
        let dot = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        Ok(tvec![of_floats(inputs[0].datum_type(), &[], &[dot])?])
    }
}
