//! `BatchNormalization` with parameters that are computed, and in its training form.
//!
//! `Y = (X - mean) / sqrt(var + epsilon) * scale + B`. In training the mean and (population) variance are those of X,
//! and the outputs are followed by `running = input * momentum + current * (1 - momentum)`.
//! See <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::native::{Choice, Given, Kernel, Made, Native, at, floats, of_floats};
use super::{Built, standard};

#[derive(Debug)]
struct BatchNorm {
    epsilon: f64,
    momentum: f64,
    training: bool,
    outputs: usize,
}

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let training = node.get_attr_opt::<i64>("training_mode")?.unwrap_or(0) != 0;
    let outputs = node.output.iter().filter(|o| !o.is_empty()).count();
    let kernel = BatchNorm {
        epsilon: f64::from(node.get_attr_opt::<f32>("epsilon")?.unwrap_or(1e-5)),
        momentum: f64::from(node.get_attr_opt::<f32>("momentum")?.unwrap_or(0.9)),
        training,
        outputs,
    };
    if training {
        ensure!(outputs <= 3 && node.output.len() == outputs, "more outputs than it has");
        return Native::new(kernel).built();
    }
    if outputs > 1 || ctx.onnx_operator_set_version < 9 {
        return standard(ctx, node);
    }
    Choice::built(standard(ctx, node), kernel, |facts| Some(!facts.iter().skip(1).all(|f| f.value.is_concrete())))
}

impl Kernel for BatchNorm {
    fn name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let x = at(given, 0)?;
        ensure!(given.len() == 5 && x.dtype.is_float(), "it takes floats and four parameters");
        let channels = *x.shape.get(1).context("it takes at least two axes")?;
        ensure!(given.iter().skip(1).all(|g| *g.shape == [channels]), "parameters are not one for each of {channels}");
        let statistics = given.iter().skip(3).map(|g| (g.dtype, g.shape.clone()));
        Ok(Some(std::iter::once((x.dtype, x.shape.clone())).chain(statistics).take(self.outputs).collect()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let mut x = floats(&inputs[0])?;
        let parameters = inputs.iter().skip(1).map(|t| floats(t)).collect::<TractResult<Vec<_>>>()?;
        let [scale, bias, mean, var] = &parameters[..] else { bail!("it takes four parameters") };
        let shape = inputs[0].shape();
        let channels = shape[1];
        let inner: usize = shape.iter().skip(2).product();
        let channel = |at: usize| at / inner.max(1) % channels.max(1);
        let (mut mean_now, mut var_now) = (mean.clone(), var.clone());
        if self.training {
            let count = (x.len() / channels.max(1)) as f64;
            mean_now.fill(0.0);
            var_now.fill(0.0);
            x.iter().enumerate().for_each(|(at, v)| mean_now[channel(at)] += v / count);
            x.iter()
                .enumerate()
                .for_each(|(at, v)| var_now[channel(at)] += (v - mean_now[channel(at)]).powi(2) / count);
        }
        for (at, v) in x.iter_mut().enumerate() {
            let c = channel(at);
            *v = (*v - mean_now[c]) / (var_now[c] + self.epsilon).sqrt() * scale[c] + bias[c];
        }
        let running = |before: &[f64], now: &[f64]| -> Vec<f64> {
            before.iter().zip(now).map(|(b, n)| b * self.momentum + n * (1.0 - self.momentum)).collect()
        };
        let all = [x, running(mean, &mean_now), running(var, &var_now)];
        let like = [&inputs[0], &inputs[3], &inputs[4]];
        let made = all.iter().zip(like).take(self.outputs);
        made.map(|(data, like)| of_floats(like.datum_type(), like.shape(), data)).collect()
    }
}
