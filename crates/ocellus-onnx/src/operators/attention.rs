//! `Attention` of operator sets 23 to 25.
//!
//! `softmax(softcap(Q Kᵀ scale) + bias) V`, where the bias holds the mask, the causal frontier, the sliding window and
//! the padding. A query at row `i` stands at position `i + offset`; the offset is the length of the past, or with
//! `nonpad_kv_seqlen` that length less the number of queries. A row that may attend to nothing gives zeros.
//! See <https://onnx.ai/onnx/operators/onnx__Attention.html>.

use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Built;
use super::native::{Given, Kernel, Made, Native, at, floats, integers, of_floats};

#[derive(Debug)]
struct Attention {
    heads: Option<(usize, usize)>,
    scale: Option<f64>,
    causal: bool,
    softcap: f64,
    mode: i64,
    /// How far to the left and right of its own position a query sees.
    window: [Option<i64>; 2],
    /// Where the mask, past key, past value and number of keys without padding are among the inputs.
    optional: [Option<usize>; 4],
    /// Which of Y, present key, present value and the product of Q and K are asked for.
    outputs: Vec<usize>,
}

pub(super) fn build(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let heads = |name: &str| -> TractResult<Option<usize>> {
        let count: Option<i64> = node.get_attr_opt(name)?;
        count.filter(|n| *n != 0).map(|n| usize::try_from(n).context("a negative number of heads")).transpose()
    };
    let window = |name: &str| -> TractResult<Option<i64>> {
        let size: i64 = node.get_attr_opt(name)?.unwrap_or(-1);
        ensure!(size >= -1, "{name} of {size}");
        Ok(Some(size).filter(|n| *n >= 0))
    };
    let mut optional = optional_inputs(node).skip(3);
    let optional = [0; 4].map(|_| optional.next().flatten());
    let outputs: Vec<usize> = node.output.iter().enumerate().filter(|(_, o)| !o.is_empty()).map(|(ix, _)| ix).collect();
    ensure!(node.input.iter().take(3).filter(|i| !i.is_empty()).count() == 3, "it takes query, key and value");
    ensure!(node.input.len() <= 7 && outputs.iter().all(|ix| *ix < 4), "more inputs or outputs than it has");
    ensure!(optional[1].is_some() == optional[2].is_some(), "past key and past value come together");
    ensure!(optional[1].is_none() || optional[3].is_none(), "nonpad_kv_seqlen does not go with a past");
    let mode: i64 = node.get_attr_opt("qk_matmul_output_mode")?.unwrap_or(0);
    let softcap = f64::from(node.get_attr_opt::<f32>("softcap")?.unwrap_or(0.0));
    ensure!((0..4).contains(&mode), "qk_matmul_output_mode of {mode}");
    let shown = outputs.contains(&3);
    ensure!(!(shown && mode == 0 && softcap > 0.0), "the product before the soft cap is not supported as an output");
    ensure!(!(shown && matches!(mode, 1 | 2) && softcap > 0.0 && ctx.onnx_operator_set_version < 23), "operator set");
    Native::new(Attention {
        heads: heads("q_num_heads")?.zip(heads("kv_num_heads")?),
        scale: node.get_attr_opt::<f32>("scale")?.map(f64::from),
        causal: node.get_attr_opt::<i64>("is_causal")?.unwrap_or(0) != 0,
        softcap,
        mode,
        window: [window("left_window_size")?, window("right_window_size")?],
        optional,
        outputs,
    })
    .built()
}

/// Extents that everything else follows from.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    key_heads: usize,
    queries: usize,
    past: usize,
    keys: usize,
    depth: usize,
    value_depth: usize,
    /// Heads lie inside the last axis.
    packed: bool,
}

impl Sizes {
    /// Past and present together.
    fn total(&self) -> usize {
        self.past + self.keys
    }
}

impl Attention {
    fn sizes(&self, shapes: &[&[usize]]) -> TractResult<Sizes> {
        let (q, k, v) = (*at(shapes, 0)?, *at(shapes, 1)?, *at(shapes, 2)?);
        let past = self.optional[1].map_or(Ok(0), |ix| at(shapes, ix)?.get(2).copied().context("past of rank 4"))?;
        let sizes = match (q, k, v) {
            (&[batch, queries, wide], &[_, keys, key_wide], &[_, _, value_wide]) => {
                let (heads, key_heads) = self.heads.context("with three axes it takes q_num_heads and kv_num_heads")?;
                let even = wide % heads == 0 && key_wide % key_heads == 0 && value_wide % key_heads == 0;
                ensure!(even, "{heads} and {key_heads} heads do not divide {q:?}, {k:?} and {v:?}");
                let (depth, value_depth) = (wide / heads, value_wide / key_heads);
                ensure!(key_wide / key_heads == depth, "queries and keys of different depths");
                Sizes { batch, heads, key_heads, queries, past, keys, depth, value_depth, packed: true }
            }
            (&[batch, heads, queries, depth], &[_, key_heads, keys, key_depth], &[_, value_heads, _, value_depth]) => {
                ensure!(key_depth == depth && value_heads == key_heads, "{q:?}, {k:?} and {v:?} do not fit together");
                ensure!(self.heads.is_none_or(|h| h == (heads, key_heads)), "numbers of heads contradict the shapes");
                Sizes { batch, heads, key_heads, queries, past, keys, depth, value_depth, packed: false }
            }
            _ => bail!("it takes three or four axes, not {q:?}, {k:?} and {v:?}"),
        };
        let Sizes { batch, heads, key_heads, keys, .. } = sizes;
        let keys_axis = if sizes.packed { 1 } else { 2 };
        ensure!(k[0] == batch && v[0] == batch && v[keys_axis] == keys, "{q:?}, {k:?} and {v:?} do not fit together");
        ensure!(key_heads > 0 && heads % key_heads == 0, "{heads} heads are no multiple of {key_heads}");
        for (ix, depth) in [(1, sizes.depth), (2, sizes.value_depth)] {
            if let Some(ix) = self.optional[ix] {
                let (found, wanted) = (*at(shapes, ix)?, [batch, key_heads, past, depth]);
                ensure!(found == wanted, "a past of {found:?}, not {wanted:?}");
            }
        }
        if let Some(ix) = self.optional[3] {
            ensure!(*at(shapes, ix)? == [batch], "nonpad_kv_seqlen of {:?}", at(shapes, ix)?);
        }
        if let Some(ix) = self.optional[0] {
            let mask = *at(shapes, ix)?;
            let wanted = [batch, heads, sizes.queries, sizes.total()];
            ensure!((1..=4).contains(&mask.len()), "a mask of {mask:?}");
            let mut pairs = mask.iter().rev().zip(wanted.iter().rev());
            ensure!(pairs.next().is_some_and(|(m, n)| m <= n), "a mask of {mask:?} for {wanted:?}");
            ensure!(pairs.all(|(m, n)| m == n || *m == 1), "a mask of {mask:?} for {wanted:?}");
        }
        Ok(sizes)
    }

    fn scale(&self, depth: usize, dtype: DatumType) -> f64 {
        let scale = self.scale.unwrap_or_else(|| 1.0 / (depth as f64).sqrt()).sqrt();
        match dtype {
            DatumType::F16 => f16::from_f64(scale).to_f64(),
            DatumType::F32 => f64::from(scale as f32),
            _ => scale,
        }
    }
}

impl Kernel for Attention {
    fn name(&self) -> &'static str {
        "Attention"
    }

    fn outputs(&self) -> usize {
        self.outputs.len()
    }

    fn infer(&self, given: &[Given]) -> TractResult<Option<Made>> {
        let shapes: Vec<&[usize]> = given.iter().map(|g| &*g.shape).collect();
        let s = self.sizes(&shapes)?;
        let (dtype, value_dtype) = (at(given, 0)?.dtype, at(given, 2)?.dtype);
        ensure!(dtype.is_float() && value_dtype.is_float(), "queries of type {dtype:?}");
        let all: [(DatumType, TVec<usize>); 4] = [
            (
                dtype,
                if s.packed {
                    tvec![s.batch, s.queries, s.heads * s.value_depth]
                } else {
                    tvec![s.batch, s.heads, s.queries, s.value_depth]
                },
            ),
            (dtype, tvec![s.batch, s.key_heads, s.total(), s.depth]),
            (value_dtype, tvec![s.batch, s.key_heads, s.total(), s.value_depth]),
            (dtype, tvec![s.batch, s.heads, s.queries, s.total()]),
        ];
        Ok(Some(self.outputs.iter().map(|ix| all[*ix].clone()).collect()))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
        let s = self.sizes(&shapes)?;
        let dtype = inputs[0].datum_type();
        let scale = self.scale(s.depth, dtype);
        let queries: Vec<f64> = floats(&inputs[0])?.into_iter().map(|v| v * scale).collect();
        let past = |ix: usize| self.optional[ix].map(|ix| floats(&inputs[ix])).transpose();
        let keys = joined(past(1)?.as_deref(), &floats(&inputs[1])?, &s, s.depth);
        let values = joined(past(2)?.as_deref(), &floats(&inputs[2])?, &s, s.value_depth);
        let mask = self.optional[0].map(|ix| Mask::new(&inputs[ix])).transpose()?;
        let filled = self.optional[3].map(|ix| integers(&inputs[ix])).transpose()?;
        let total = s.total();
        let mut outcome = vec![0.0; s.batch * s.heads * s.queries * s.value_depth];
        let mut shown = vec![0.0; s.batch * s.heads * s.queries * total];
        let (mut row, mut bias) = (vec![0.0; total], vec![0.0; total]);
        for b in 0..s.batch {
            let filled = filled.as_ref().map(|filled| filled[b]);
            let offset = filled.map_or(s.past as i64, |filled| filled - s.queries as i64);
            for h in 0..s.heads {
                let key_head = b * s.key_heads + h / (s.heads / s.key_heads);
                for i in 0..s.queries {
                    let q = outer(&s, b, h, i, s.heads, s.queries) * s.depth;
                    let query = &queries[q..q + s.depth];
                    for j in 0..total {
                        let k = (key_head * total + j) * s.depth;
                        let dot: f64 = query.iter().zip(&keys[k..k + s.depth]).map(|(a, b)| a * b).sum();
                        let dot = dot * scale;
                        row[j] = if self.softcap > 0.0 { (dot / self.softcap).tanh() * self.softcap } else { dot };
                        let hidden =
                            self.hides(i as i64 + offset, j as i64) || filled.is_some_and(|filled| j as i64 >= filled);
                        let masked = mask.as_ref().map_or(0.0, |mask| mask.at([b, h, i], j));
                        bias[j] = if hidden { f64::NEG_INFINITY } else { masked };
                    }
                    let show = &mut shown[((b * s.heads + h) * s.queries + i) * total..][..total];
                    if self.mode < 2 {
                        show.copy_from_slice(&row);
                    }
                    row.iter_mut().zip(&bias).for_each(|(v, bias)| *v += bias);
                    if self.mode == 2 {
                        show.copy_from_slice(&row);
                    }
                    softmax(&mut row, bias.iter().all(|v| *v == f64::NEG_INFINITY));
                    if self.mode == 3 {
                        show.copy_from_slice(&row);
                    }
                    let y = outer(&s, b, h, i, s.heads, s.queries) * s.value_depth;
                    let y = &mut outcome[y..y + s.value_depth];
                    for (j, weight) in row.iter().enumerate() {
                        let v = &values[(key_head * total + j) * s.value_depth..][..s.value_depth];
                        y.iter_mut().zip(v).for_each(|(y, v)| *y += weight * v);
                    }
                }
            }
        }
        let given: Vec<Given> =
            inputs.iter().map(|t| Given { dtype: t.datum_type(), shape: t.shape().into(), value: None }).collect();
        let made = self.infer(&given)?.context("shapes are known")?;
        let all = [outcome, keys, values, shown];
        self.outputs.iter().zip(&made).map(|(ix, (dtype, shape))| of_floats(*dtype, shape, &all[*ix])).collect()
    }
}

impl Attention {
    /// Whether a query at `position` may not attend to key `j`.
    fn hides(&self, position: i64, j: i64) -> bool {
        let [left, right] = self.window;
        (self.causal && j > position)
            || left.is_some_and(|left| position.saturating_sub(j) > left)
            || right.is_some_and(|right| j.saturating_sub(position) > right)
    }
}

/// Number of the row of one head in a tensor of queries or outputs.
fn outer(s: &Sizes, b: usize, h: usize, i: usize, heads: usize, rows: usize) -> usize {
    if s.packed { (b * rows + i) * heads + h } else { (b * heads + h) * rows + i }
}

/// Past and present along the axis of keys, as `[batch, heads, keys, depth]`.
fn joined(past: Option<&[f64]>, now: &[f64], s: &Sizes, depth: usize) -> Vec<f64> {
    let mut all = Vec::with_capacity(s.batch * s.key_heads * s.total() * depth);
    for b in 0..s.batch {
        for h in 0..s.key_heads {
            if let Some(past) = past {
                let head = s.past * depth;
                all.extend_from_slice(&past[(b * s.key_heads + h) * head..][..head]);
            }
            for j in 0..s.keys {
                all.extend_from_slice(&now[outer(s, b, h, j, s.key_heads, s.keys) * depth..][..depth]);
            }
        }
    }
    all
}

/// Softmax in place; zeros where nothing may be attended to.
fn softmax(row: &mut [f64], empty: bool) {
    if empty {
        row.fill(0.0);
        return;
    }
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|v| *v = (*v - most).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|v| *v /= sum);
}

/// An additive mask, broadcast to `[batch, heads, queries, keys]`; keys beyond its last axis are hidden.
struct Mask {
    data: Vec<f64>,
    keys: usize,
    strides: [usize; 3],
}

impl Mask {
    fn new(mask: &Tensor) -> TractResult<Self> {
        let mut data = floats(mask)?;
        if mask.datum_type() == DatumType::Bool {
            data.iter_mut().for_each(|v| *v = if *v == 0.0 { f64::NEG_INFINITY } else { 0.0 });
        }
        let keys = mask.shape().last().copied().unwrap_or(1);
        let mut strides = [0; 3];
        let mut stride = keys;
        for (slot, extent) in strides.iter_mut().rev().zip(mask.shape().iter().rev().skip(1)) {
            *slot = if *extent == 1 { 0 } else { stride };
            stride *= extent;
        }
        Ok(Self { data, keys, strides })
    }

    fn at(&self, row: [usize; 3], key: usize) -> f64 {
        if key >= self.keys {
            return f64::NEG_INFINITY;
        }
        let start: usize = row.iter().zip(self.strides).map(|(ix, stride)| ix * stride).sum();
        self.data.get(start + key).copied().unwrap_or(f64::NEG_INFINITY)
    }
}
