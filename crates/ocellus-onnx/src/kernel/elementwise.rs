//! Functions of one and two values on whole tensors. Equal layouts make these kernels indifferent to the layout.

use super::math;
use super::simd::{Inner, Kernel, Simd};
use super::{Activation, Isa, KernelError, Shape, expect_len, tasks};

/// Values that pass through the first-level cache at a time.
const CHUNK: usize = 4096;

/// A function of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
}

impl Binary {
    /// The function of one pair.
    #[must_use]
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }
}

/// Applies a function to each value in place.
pub fn activate(isa: Isa, activation: Activation, data: &mut [f32], threads: usize) {
    let jobs = data.chunks_mut(CHUNK).map(|out| Job { out, a: None, b: Right::None }).collect();
    isa.dispatch(Run { jobs, op: Binary::Add, activation, threads });
}

/// `out = activation(a op b)` of tensors of equal length.
///
/// # Errors
/// [`KernelError::Length`] where the lengths differ.
pub fn binary(
    isa: Isa,
    op: Binary,
    a: &[f32],
    b: &[f32],
    activation: Activation,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    expect_len("the second operand", a.len(), b.len())?;
    expect_len("the output", a.len(), out.len())?;
    let operands = out.chunks_mut(CHUNK).zip(a.chunks(CHUNK)).zip(b.chunks(CHUNK));
    let jobs = operands.map(|((out, a), b)| Job { out, a: Some(a), b: Right::Values(b) }).collect();
    isa.dispatch(Run { jobs, op, activation, threads });
    Ok(())
}

/// `out = activation(a op b)` of a blocked image `a` and one value for each channel of each image, `b`, blocked too
/// (`[N, C, 1, 1]`).
///
/// # Errors
/// [`KernelError::Length`] for slices that do not fit `shape`.
pub fn binary_channels(
    isa: Isa,
    op: Binary,
    (a, shape): (&[f32], Shape),
    b: &[f32],
    activation: Activation,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    let lanes = isa.lanes();
    expect_len("the first operand", shape.blocked_len(lanes), a.len())?;
    expect_len("the second operand", Shape { height: 1, width: 1, ..shape }.blocked_len(lanes), b.len())?;
    expect_len("the output", a.len(), out.len())?;
    let plane = (shape.pixels() * lanes).max(1);
    let planes = out.chunks_mut(plane).zip(a.chunks(plane)).zip(b.chunks(lanes));
    let jobs = planes.flat_map(|((out, a), b)| {
        out.chunks_mut(CHUNK).zip(a.chunks(CHUNK)).map(move |(out, a)| Job { out, a: Some(a), b: Right::Channels(b) })
    });
    isa.dispatch(Run { jobs: jobs.collect(), op, activation, threads });
    Ok(())
}

/// `out = activation(a op b)` with one value `b`.
///
/// # Errors
/// [`KernelError::Length`] where the lengths differ.
pub fn binary_scalar(
    isa: Isa,
    op: Binary,
    a: &[f32],
    b: f32,
    activation: Activation,
    out: &mut [f32],
    threads: usize,
) -> Result<(), KernelError> {
    expect_len("the output", a.len(), out.len())?;
    let operands = out.chunks_mut(CHUNK).zip(a.chunks(CHUNK));
    let jobs = operands.map(|(out, a)| Job { out, a: Some(a), b: Right::Scalar(b) }).collect();
    isa.dispatch(Run { jobs, op, activation, threads });
    Ok(())
}

/// The second operand.
#[derive(Clone, Copy)]
enum Right<'a> {
    None,
    Values(&'a [f32]),
    /// One block, the same for each pixel.
    Channels(&'a [f32]),
    Scalar(f32),
}

/// A piece of the output and its operands; without a first one, what is in `out` is changed in place.
struct Job<'a> {
    out: &'a mut [f32],
    a: Option<&'a [f32]>,
    b: Right<'a>,
}

struct Run<'a> {
    jobs: Vec<Job<'a>>,
    op: Binary,
    activation: Activation,
    threads: usize,
}

impl Kernel for Run<'_> {
    type Output = ();
    fn run<const B: usize, S: Simd<B>>(mut self, s: S) {
        tasks::for_each(self.threads, &mut self.jobs, &|job| {
            s.vectorize(Piece { job, op: self.op, activation: self.activation });
        });
    }
}

struct Piece<'p, 'a> {
    job: &'p mut Job<'a>,
    op: Binary,
    activation: Activation,
}

impl<const B: usize, S: Simd<B>> Inner<B, S> for Piece<'_, '_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { job, op, activation } = self;
        macro_rules! each {
            ($($op:ident => $f:ident),*) => {
                match op {
                    $(Binary::$op => combine::<B, S>(s, job, |a, b| s.$f(a, b)),)*
                }
            };
        }
        if let (Some(a), Right::Values(_) | Right::Channels(_) | Right::Scalar(_)) = (job.a, job.b) {
            debug_assert_eq!(a.len(), job.out.len());
            each!(Add => add, Sub => sub, Mul => mul, Div => div, Max => max, Min => min);
        }
        let (vectors, rest) = job.out.as_chunks_mut::<B>();
        math::activate(s, activation, vectors);
        if !rest.is_empty() {
            let mut padded = [[0.0; B]];
            padded[0][..rest.len()].copy_from_slice(rest);
            math::activate(s, activation, &mut padded);
            rest.copy_from_slice(&padded[0][..rest.len()]);
        }
    }
}

/// `out = f(a, b)`. The few values beyond the last whole vector go through a padded one.
#[inline(always)]
fn combine<const B: usize, S: Simd<B>>(s: S, job: &mut Job<'_>, f: impl Fn(S::V, S::V) -> S::V) {
    let (out, out_rest) = job.out.as_chunks_mut::<B>();
    let (a, a_rest) = job.a.unwrap_or_default().as_chunks::<B>();
    let same = match job.b {
        Right::Channels(b) => b.first_chunk::<B>().map_or(s.splat(0.0), |b| s.load(b)),
        Right::Scalar(b) => s.splat(b),
        Right::None | Right::Values(_) => s.splat(0.0),
    };
    let mut b_rest: &[f32] = &[];
    if let Right::Values(b) = job.b {
        let (b, rest) = b.as_chunks::<B>();
        b_rest = rest;
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            s.store(out, f(s.load(a), s.load(b)));
        }
    } else {
        for (out, a) in out.iter_mut().zip(a) {
            s.store(out, f(s.load(a), same));
        }
    }
    if !out_rest.is_empty() {
        let (mut a, mut b) = ([0.0; B], [0.0; B]);
        a[..a_rest.len()].copy_from_slice(a_rest);
        b[..b_rest.len()].copy_from_slice(b_rest);
        let right = if b_rest.is_empty() { same } else { s.load(&b) };
        s.store(&mut b, f(s.load(&a), right));
        out_rest.copy_from_slice(&b[..out_rest.len()]);
    }
}
