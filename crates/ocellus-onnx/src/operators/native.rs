//! Operators computed by our own code, element by element: for uses that are rare, so that right is enough.

use std::fmt::Debug;
use std::sync::Arc;

use tract_onnx::prelude::tract_ndarray::ArrayD;
use tract_onnx::tract_hir::internal::*;

use super::Built;

/// What is known of an input when shapes are worked out.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub dtype: DatumType,
    pub shape: TVec<usize>,
    /// The tensor itself, when it is constant.
    pub value: Option<Arc<Tensor>>,
}

/// Type and shape of each output.
pub(super) type Made = TVec<(DatumType, TVec<usize>)>;

/// The computation of an operator.
pub(super) trait Kernel: Debug + Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// Number of outputs.
    fn outputs(&self) -> usize {
        1
    }

    /// Types and shapes of the outputs; nothing as long as a parameter is not known.
    ///
    /// # Errors
    /// When the inputs do not fit together.
    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>>;

    /// The outputs; the inputs have passed [`infer`](Self::infer).
    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;
}

/// A [`Kernel`] as an operator of tract's, before and after the analysis.
#[derive(Debug, Clone)]
pub(super) struct Native(Arc<dyn Kernel>);

impl Native {
    pub fn new(kernel: impl Kernel) -> Self {
        Self(Arc::new(kernel))
    }

    /// As a builder gives it.
    pub fn built(self) -> Built {
        Ok((Box::new(self), vec![]))
    }
}

impl PartialEq for Native {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Native {}

impl Op for Native {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for Native {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.eval(&EvalContext::out_of_plan(), inputs).map(Some)
    }

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let given = inputs.iter().map(|t| Given {
            dtype: t.datum_type(),
            shape: t.shape().into(),
            value: Some(t.clone().into_arc_tensor()),
        });
        let given: Vec<Given> = given.collect();
        ensure!(self.0.infer(&given)?.is_some(), "{} lacks a parameter", self.0.name());
        Ok(self.0.eval(&inputs)?.into_iter().map(IntoTValue::into_tvalue).collect())
    }
}

impl TypedOp for Native {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let given = inputs
            .iter()
            .map(|fact| {
                let shape = fact.shape.as_concrete().context("its shape is not known before it runs")?.into();
                Ok(Given { dtype: fact.datum_type, shape, value: fact.konst.clone() })
            })
            .collect::<TractResult<Vec<_>>>()?;
        let made = self.0.infer(&given)?;
        let made = made.with_context(|| format!("{} takes its parameters as constants", self.0.name()))?;
        Ok(made.into_iter().map(|(dtype, shape)| dtype.fact(shape)).collect())
    }

    as_op!();
}

impl InferenceOp for Native {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let given: Option<Vec<Given>> = inputs.iter().map(|fact| given(fact)).collect();
        let made = given.map_or(Ok(None), |given| self.0.infer(&given))?;
        let outputs = match made {
            Some(made) => made.into_iter().map(|(dtype, shape)| InferenceFact::dt_shape(dtype, shape)).collect(),
            None => unchanged(outputs),
        };
        Ok((unchanged(inputs), outputs, unchanged(observed)))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.outputs())
    }

    fn to_typed(
        &self,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: TVec<OutletId> = node.inputs.iter().map(|outlet| mapping[outlet]).collect();
        target.wire_node(&node.name, self.clone(), &inputs)
    }

    as_op!();
}

/// The facts, as they were.
fn unchanged(facts: TVec<&InferenceFact>) -> TVec<InferenceFact> {
    facts.into_iter().cloned().collect()
}

fn given(fact: &InferenceFact) -> Option<Given> {
    let extents = fact.shape.concretize()?;
    let shape = extents.iter().map(|d| d.to_usize().ok()).collect::<Option<TVec<usize>>>()?;
    Some(Given { dtype: fact.datum_type.concretize()?, shape, value: fact.value.concretize() })
}

/// Tells by the inputs whether our own computation is needed; nothing as long as that cannot be told.
pub(super) type When = fn(&[&InferenceFact]) -> Option<bool>;

/// tract's operator, or our own for the inputs that tract's is not right for.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    standard: Box<dyn InferenceOp>,
    own: Native,
    when: When,
    finish: Option<Finish>,
}

/// What follows tract's operator in the graph to make it right; constants go through our own computation instead.
pub(super) type Finish = fn(&mut TypedModel, &str, TVec<OutletId>) -> TractResult<TVec<OutletId>>;

impl Choice {
    /// As a builder gives it; `standard` closes over nothing.
    pub fn built(standard: Built, own: impl Kernel, when: When) -> Built {
        let (standard, closures) = standard?;
        Ok((Box::new(Self { standard, own: Native::new(own), when, finish: None }), closures))
    }

    /// As [`built`](Self::built), with something that follows tract's operator.
    pub fn finished(standard: Built, own: impl Kernel, when: When, finish: Finish) -> Built {
        let (standard, closures) = standard?;
        Ok((Box::new(Self { standard, own: Native::new(own), when, finish: Some(finish) }), closures))
    }
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.own == other.own
    }
}

impl Eq for Choice {}

impl Op for Choice {
    fn name(&self) -> StaticName {
        self.standard.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Choice {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let facts = inputs.iter().map(|t| t.clone().into_arc_tensor().try_into()).collect::<TractResult<TVec<_>>>()?;
        if self.finish.is_some() || (self.when)(&facts.iter().collect::<TVec<_>>()) == Some(true) {
            self.own.eval_out_of_plan(inputs)
        } else {
            self.standard.eval_out_of_plan(inputs)
        }
    }
}

impl InferenceOp for Choice {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        match (self.when)(&inputs) {
            Some(true) => self.own.infer_facts(inputs, outputs, observed),
            Some(false) => self.standard.infer_facts(inputs, outputs, observed),
            None => Ok((unchanged(inputs), unchanged(outputs), unchanged(observed))),
        }
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.standard.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let facts = node.inputs.iter().map(|i| source.outlet_fact(*i)).collect::<TractResult<TVec<_>>>()?;
        if (self.when)(&facts) == Some(true) {
            self.own.to_typed(source, node, target, mapping)
        } else {
            let outputs = self.standard.to_typed(source, node, target, mapping)?;
            match self.finish {
                Some(finish) => finish(target, &node.name, outputs),
                None => Ok(outputs),
            }
        }
    }

    as_op!();
}

/// Input `ix`, or an error that says that it is missing.
pub(super) fn at<T>(inputs: &[T], ix: usize) -> TractResult<&T> {
    inputs.get(ix).with_context(|| format!("input {ix} is missing"))
}

/// An axis counted from the front.
pub(super) fn axis(axis: i64, rank: usize) -> TractResult<usize> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    let found = usize::try_from(from_front).ok().filter(|a| *a < rank);
    found.with_context(|| format!("there is no axis {axis} in rank {rank}"))
}

/// The elements as `f64`, in row-major order.
pub(super) fn floats(tensor: &Tensor) -> TractResult<Vec<f64>> {
    let cast = tensor.cast_to::<f64>()?;
    Ok(cast.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}

/// The elements as `i64`, in row-major order.
pub(super) fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    let cast = tensor.cast_to::<i64>()?;
    Ok(cast.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

/// A tensor of this type; values beyond an integer type become its nearest.
pub(super) fn of_floats(dtype: DatumType, shape: &[usize], data: &[f64]) -> TractResult<Tensor> {
    if dtype == DatumType::Bool {
        let data: Vec<bool> = data.iter().map(|v| *v != 0.0).collect();
        return Tensor::from_shape(shape, &data);
    }
    Ok(Tensor::from_shape(shape, data)?.cast_to_dt(dtype)?.into_owned())
}

/// Elements of `source` by their row-major places; `fill` where there is none.
pub(super) fn gather(
    source: &Tensor,
    shape: &[usize],
    places: impl Iterator<Item = Option<usize>>,
    fill: Option<&Tensor>,
) -> TractResult<Tensor> {
    match source.datum_type() {
        DatumType::Bool => gather_t::<bool>(source, shape, places, fill),
        DatumType::U8 => gather_t::<u8>(source, shape, places, fill),
        DatumType::I8 => gather_t::<i8>(source, shape, places, fill),
        DatumType::U16 => gather_t::<u16>(source, shape, places, fill),
        DatumType::I16 => gather_t::<i16>(source, shape, places, fill),
        DatumType::U32 => gather_t::<u32>(source, shape, places, fill),
        DatumType::I32 => gather_t::<i32>(source, shape, places, fill),
        DatumType::U64 => gather_t::<u64>(source, shape, places, fill),
        DatumType::I64 => gather_t::<i64>(source, shape, places, fill),
        DatumType::F16 => gather_t::<f16>(source, shape, places, fill),
        DatumType::F32 => gather_t::<f32>(source, shape, places, fill),
        DatumType::F64 => gather_t::<f64>(source, shape, places, fill),
        // Numbers that came from a shape, all of them known.
        DatumType::TDim => {
            let known = source.cast_to_dt(DatumType::I64)?;
            Ok(gather_t::<i64>(&known, shape, places, fill)?.cast_to_dt(DatumType::TDim)?.into_owned())
        }
        other => bail!("elements of type {other:?} are not supported"),
    }
}

fn gather_t<T: Datum + Copy + Default>(
    source: &Tensor,
    shape: &[usize],
    places: impl Iterator<Item = Option<usize>>,
    fill: Option<&Tensor>,
) -> TractResult<Tensor> {
    let fill = fill.map_or(Ok(T::default()), |fill| fill.cast_to_scalar::<T>())?;
    let view = source.try_as_plain_ram()?;
    let elements = view.as_slice::<T>()?;
    let pick = |place: Option<usize>| place.map_or(Some(fill), |at| elements.get(at).copied());
    let data = places.map(pick).collect::<Option<Vec<T>>>().context("a place beyond the tensor")?;
    Ok(ArrayD::from_shape_vec(shape, data)?.into_tensor())
}

/// All coordinates of a shape, in row-major order.
pub(super) fn coordinates(shape: &[usize]) -> impl Iterator<Item = TVec<usize>> {
    let shape: TVec<usize> = shape.into();
    let count = shape.iter().product::<usize>();
    (0..count).map(move |mut at| {
        let mut place: TVec<usize> = shape.clone();
        for (slot, extent) in place.iter_mut().zip(&shape).rev() {
            *slot = at % extent;
            at /= extent;
        }
        place
    })
}

/// The row-major place of a coordinate; coordinates along axes of extent 1 count as 0, missing leading axes too.
pub(super) fn place(coordinate: &[usize], shape: &[usize]) -> usize {
    let skip = coordinate.len().saturating_sub(shape.len());
    coordinate.iter().skip(skip).zip(shape).fold(0, |at, (c, n)| at * n + if *n == 1 { 0 } else { *c })
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> TractResult<TVec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], ix: usize| (ix + shape.len()).checked_sub(rank).map_or(1, |ix| shape[ix]);
    (0..rank)
        .map(|ix| match (extent(a, ix), extent(b, ix)) {
            (m, n) if m == n || n == 1 => Ok(m),
            (1, n) => Ok(n),
            _ => bail!("shapes {a:?} and {b:?} do not fit together"),
        })
        .collect()
}
