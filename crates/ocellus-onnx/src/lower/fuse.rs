//! Joins steps that one primitive does: biases and scales into convolutions, bounds into clamps.
//!
//! tract leaves the bias of a pointwise convolution as an addition, and `Clip` as a maximum and
//! a minimum.

use super::step::{Binary, ConstantData, Kind, Op, Plan, Step, Unary, ValueId, ValueInfo};

/// Joins what can be joined, then drops constants that nothing reads any more.
pub(super) fn fuse(plan: &mut Plan) {
    let readers = count_readers(plan);
    let mut joined = vec![false; plan.steps.len()];
    for (at, gone) in joined.iter_mut().enumerate() {
        if let Some(next) = only_reader(plan, &readers, at)
            && let Some(step) = join(plan, at, next)
        {
            // In the place of the later step, so that chains join from the front.
            plan.steps[next] = step;
            *gone = true;
        }
    }
    plan.joined = joined.iter().filter(|gone| **gone).count();
    let mut joined = joined.into_iter();
    plan.steps.retain(|_| !joined.next().unwrap_or(false));
    drop_unread(plan);
}

/// How often each value is read, by steps or as an output.
fn count_readers(plan: &Plan) -> Vec<usize> {
    let mut readers = vec![0; plan.values.len()];
    for id in plan.steps.iter().flat_map(|step| &step.inputs).chain(&plan.outputs) {
        readers[*id] += 1;
    }
    readers
}

/// The one step that reads the one output of step `at`, when nothing else needs it.
fn only_reader(plan: &Plan, readers: &[usize], at: usize) -> Option<usize> {
    let step = plan.steps.get(at)?;
    let [output] = *step.outputs.as_slice() else { return None };
    let joins = matches!(step.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::BinaryScalar(..));
    if !joins || readers[output] != 1 {
        return None;
    }
    let mut later = plan.steps.iter().enumerate().skip(at + 1);
    later.find(|(_, step)| step.inputs.contains(&output)).map(|(next, _)| next)
}

/// Step `at` and its only reader, step `next`, as one step.
fn join(plan: &mut Plan, at: usize, next: usize) -> Option<Step> {
    let (first, second) = (plan.steps.get(at)?, plan.steps.get(next)?);
    let outputs = second.outputs.clone();
    let mut step = match (&first.op, &second.op) {
        (Op::Conv(_) | Op::ConvTranspose(_), Op::Binary(_) | Op::BinaryScalar(..)) => affine(plan, at, next)?,
        (Op::BinaryScalar(one, a), Op::BinaryScalar(other, z)) => {
            let op = clamp(*one, *a, *other, *z)?;
            Step { op, ..first.clone() }
        }
        _ => return None,
    };
    step.outputs = outputs;
    Some(step)
}

fn clamp(first: Binary, a: f64, second: Binary, z: f64) -> Option<Op> {
    let (min, max) = match (first, second) {
        (Binary::Max, Binary::Min) => (a, z),
        (Binary::Min, Binary::Max) => (z, a),
        _ => return None,
    };
    (min <= max).then_some(Op::Unary(Unary::Clamp { min: min as f32, max: max as f32 }))
}

/// The convolution of step `at` with the addition or scaling of step `next` done by its weights.
fn affine(plan: &mut Plan, at: usize, next: usize) -> Option<Step> {
    let conv = plan.steps[at].clone();
    let output = *conv.outputs.first()?;
    let channels = *plan.values[output].shape.get(1)?;
    let step = &plan.steps[next];
    let (binary, numbers) = match &step.op {
        Op::BinaryScalar(binary, number) => (*binary, vec![*number as f32; channels]),
        Op::Binary(binary) => {
            let reversed = step.inputs.first() != Some(&output);
            if reversed && !matches!(binary, Binary::Add | Binary::Mul) {
                return None;
            }
            let other = step.inputs.iter().find(|id| **id != output)?;
            let per_channel = plan.values[*other].shape == [1, channels, 1, 1];
            (*binary, floats(plan, *other).filter(|_| per_channel)?.to_vec())
        }
        _ => return None,
    };
    match binary {
        Binary::Add => add_bias(plan, conv, &numbers),
        Binary::Sub => add_bias(plan, conv, &numbers.iter().map(|v| -v).collect::<Vec<_>>()),
        Binary::Mul => scale(plan, conv, &numbers),
        _ => None,
    }
}

fn add_bias(plan: &mut Plan, mut conv: Step, numbers: &[f32]) -> Option<Step> {
    let bias: Vec<f32> = match conv.inputs.get(2) {
        Some(id) => floats(plan, *id)?.iter().zip(numbers).map(|(b, n)| b + n).collect(),
        None => numbers.to_vec(),
    };
    conv.inputs.truncate(2);
    let shape = vec![bias.len()];
    conv.inputs.push(add_constant(plan, bias, shape));
    Some(conv)
}

fn scale(plan: &mut Plan, mut conv: Step, numbers: &[f32]) -> Option<Step> {
    // The output channel is the outermost axis only of a plain convolution's kernel.
    if !matches!(conv.op, Op::Conv(_)) {
        return None;
    }
    let kernel = *conv.inputs.get(1)?;
    let shape = plan.values[kernel].shape.clone();
    let per_channel: usize = shape.iter().skip(1).product();
    let scaled: Vec<f32> = floats(plan, kernel)?
        .chunks(per_channel.max(1))
        .zip(numbers)
        .flat_map(|(weights, n)| weights.iter().map(move |w| w * n))
        .collect();
    let bias = match conv.inputs.get(2) {
        Some(id) => {
            let bias = floats(plan, *id)?.iter().zip(numbers).map(|(b, n)| b * n).collect();
            Some(bias)
        }
        None => None,
    };
    conv.inputs[1] = add_constant(plan, scaled, shape);
    if let Some(bias) = bias {
        conv.inputs[2] = add_constant(plan, bias, vec![numbers.len()]);
    }
    Some(conv)
}

fn floats(plan: &Plan, id: ValueId) -> Option<&[f32]> {
    plan.constants.iter().find(|(constant, _)| *constant == id).and_then(|(_, data)| match data {
        ConstantData::Float(data) => Some(data.as_slice()),
        _ => None,
    })
}

fn add_constant(plan: &mut Plan, data: Vec<f32>, shape: Vec<usize>) -> ValueId {
    plan.values.push(ValueInfo { shape, kind: Kind::Float });
    let id = plan.values.len() - 1;
    plan.constants.push((id, ConstantData::Float(data)));
    id
}

/// Drops constants that nothing reads.
pub(super) fn drop_unread(plan: &mut Plan) {
    let mut read = vec![false; plan.values.len()];
    for id in plan.steps.iter().flat_map(|step| &step.inputs).chain(&plan.outputs) {
        read[*id] = true;
    }
    plan.constants.retain(|(id, _)| read[*id]);
}
