//! Vectors of `f32`: one trait, an implementation for each instruction set, and the dispatch to it.
//!
//! This file and `vnni` below it are the only ones of the crate with `unsafe` code, in two uses. The intrinsics of an instruction set may only
//! run where the machine has it: a value of [`Avx512`] or [`Avx2`] proves that, since its private field is filled
//! nowhere but in `detect`. Loads and stores go through pointers made from references to arrays of exactly the
//! length of one vector.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
pub mod vnni;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A kernel, generic over the instruction set.
pub trait Kernel {
    /// What the kernel returns.
    type Output;
    /// Runs it with vectors of `B` values.
    fn run<const B: usize, S: Simd<B>>(self, simd: S) -> Self::Output;
}

/// An inner loop that is compiled with the instruction set's features: everything that `run` calls on vectors must be
/// inlined into it (`#[inline(always)]`).
pub trait Inner<const B: usize, S: Simd<B>> {
    /// Does the work.
    fn run(self, simd: S);
}

/// Operations on vectors of `B` values of `f32`.
pub trait Simd<const B: usize>: Copy + Send + Sync + 'static {
    /// One vector.
    type V: Copy;
    /// Vector registers that accumulators may fill, beside those for operands.
    const ACCUMULATORS: usize;
    /// Blocks of output channels that convolutions compute together.
    const GROUP: usize;

    /// Runs an inner loop, compiled for this instruction set.
    fn vectorize<I: Inner<B, Self>>(self, inner: I);
    /// Reads a vector.
    fn load(self, from: &[f32; B]) -> Self::V;
    /// Writes a vector.
    fn store(self, to: &mut [f32; B], value: Self::V);
    /// The same value in each lane.
    fn splat(self, value: f32) -> Self::V;
    /// `a * b + c`.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `value / divisor`, rounded as a division rounds, of values whose quotient is a normal number or nearly zero;
    /// `inverse` is `1 / divisor`.
    #[inline(always)]
    fn quotient(self, value: Self::V, divisor: Self::V, inverse: Self::V) -> Self::V {
        // What is left over by the approximate quotient is known exactly (Markstein 1990).
        let quotient = self.mul(value, inverse);
        let left = self.mul_add(quotient, self.sub(self.splat(0.0), divisor), value);
        self.mul_add(left, inverse, quotient)
    }
    /// The larger of each lane; where one is not a number, `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of each lane; where one is not a number, `b`.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `x` where `a < b`, else `y`.
    fn select_less(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// `value * 2^exponent` for integral exponents between -252 and 252, to zero or infinity where that leaves `f32`.
    fn scale(self, value: Self::V, exponent: Self::V) -> Self::V;
    /// `1 / value` to a relative error of 2e-7, for values between 1e-37 and 1e37.
    fn reciprocal(self, value: Self::V) -> Self::V;
    /// The numbers of a table at these places, whole numbers from 0 to 255.
    fn pick(self, table: &[f32; 256], places: Self::V) -> Self::V;
}

/// Inner loops with the instruction sets' features. These are methods of the loop's type, since the compiler translates
/// such a method with the module of that type: functions of this module would all be one unit of code that takes minutes.
trait Compiled: Sized {
    /// With none.
    #[inline(never)]
    fn portable(self, simd: Portable)
    where
        Self: Inner<8, Portable>,
    {
        self.run(simd);
    }
    /// # Safety
    /// The machine has the instructions.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    #[inline(never)]
    unsafe fn avx2(self, simd: Avx2)
    where
        Self: Inner<8, Avx2>,
    {
        self.run(simd);
    }
    /// # Safety
    /// The machine has the instructions.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx2,fma")]
    #[inline(never)]
    unsafe fn avx512(self, simd: Avx512)
    where
        Self: Inner<16, Avx512>,
    {
        self.run(simd);
    }
}

impl<I> Compiled for I {}

/// Vectors that the compiler makes of arrays, for machines without the instruction sets below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portable;

/// `2^exponent` for integral exponents of normal numbers.
fn power_of_two(exponent: f32) -> f32 {
    f32::from_bits((((exponent as i32) + 127) as u32) << 23)
}

impl Simd<8> for Portable {
    type V = [f32; 8];
    const ACCUMULATORS: usize = 4;
    const GROUP: usize = 1;

    #[inline(always)]
    fn vectorize<I: Inner<8, Self>>(self, inner: I) {
        inner.portable(self);
    }
    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> Self::V {
        *from
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; 8], value: Self::V) {
        *to = value;
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; 8]
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn quotient(self, value: Self::V, divisor: Self::V, _: Self::V) -> Self::V {
        self.div(value, divisor)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn scale(self, value: Self::V, exponent: Self::V) -> Self::V {
        std::array::from_fn(|i| {
            let half = (exponent[i] * 0.5) as i32 as f32;
            value[i] * power_of_two(half) * power_of_two(exponent[i] - half)
        })
    }
    #[inline(always)]
    fn reciprocal(self, value: Self::V) -> Self::V {
        std::array::from_fn(|i| 1.0 / value[i])
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 256], places: Self::V) -> Self::V {
        places.map(|place| table[usize::from(place as u8)])
    }
}

/// Proof of AVX2 with fused multiply-add.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The proof, on machines that have the instructions.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

// SAFETY of every block below: a value of `Avx2` proves that the machine has the instructions; loads and stores
// cover the 8 values of the referenced array and ask for no alignment.
#[cfg(target_arch = "x86_64")]
impl Simd<8> for Avx2 {
    type V = __m256;
    const ACCUMULATORS: usize = 12;
    const GROUP: usize = 2;

    #[inline(always)]
    fn vectorize<I: Inner<8, Self>>(self, inner: I) {
        // SAFETY: `self` proves that the machine has the features.
        unsafe { inner.avx2(self) }
    }
    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> Self::V {
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; 8], value: Self::V) {
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn scale(self, value: Self::V, exponent: Self::V) -> Self::V {
        unsafe {
            let exponent = _mm256_cvtps_epi32(exponent);
            let low = _mm256_srai_epi32::<1>(exponent);
            let high = _mm256_sub_epi32(exponent, low);
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(low, bias)));
            let high = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(high, bias)));
            _mm256_mul_ps(_mm256_mul_ps(value, low), high)
        }
    }
    #[inline(always)]
    fn reciprocal(self, value: Self::V) -> Self::V {
        unsafe { _mm256_div_ps(_mm256_set1_ps(1.0), value) }
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 256], places: Self::V) -> Self::V {
        let mut picked = [0.0; 8];
        self.store(&mut picked, places);
        self.load(&picked.map(|place| table[usize::from(place as u8)]))
    }
}

/// Proof of AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The proof, on machines that have the instructions.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

// SAFETY of every block below: a value of `Avx512` proves that the machine has the instructions; loads and stores
// cover the 16 values of the referenced array and ask for no alignment.
#[cfg(target_arch = "x86_64")]
impl Simd<16> for Avx512 {
    type V = __m512;
    const ACCUMULATORS: usize = 24;
    const GROUP: usize = 4;

    #[inline(always)]
    fn vectorize<I: Inner<16, Self>>(self, inner: I) {
        // SAFETY: `self` proves that the machine has the features (AVX-512 contains AVX2).
        unsafe { inner.avx512(self) }
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Self::V {
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; 16], value: Self::V) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn select_less(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x) }
    }
    #[inline(always)]
    fn scale(self, value: Self::V, exponent: Self::V) -> Self::V {
        unsafe { _mm512_scalef_ps(value, exponent) }
    }
    #[inline(always)]
    fn reciprocal(self, value: Self::V) -> Self::V {
        // One step of Newton's method doubles the 14 bits of the instruction's estimate.
        unsafe {
            let estimate = _mm512_rcp14_ps(value);
            let error = _mm512_fnmadd_ps(value, estimate, _mm512_set1_ps(1.0));
            _mm512_fmadd_ps(estimate, error, estimate)
        }
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 256], places: Self::V) -> Self::V {
        // Permutations pick among 32 numbers by five bits; the other three choose between them.
        unsafe {
            let places = _mm512_cvtps_epi32(places);
            let low = _mm512_test_epi32_mask(places, _mm512_set1_epi32(32));
            let middle = _mm512_test_epi32_mask(places, _mm512_set1_epi32(64));
            let high = _mm512_test_epi32_mask(places, _mm512_set1_epi32(128));
            let (rows, _) = table.as_chunks::<16>();
            // Closures would not be compiled for these instructions.
            macro_rules! among {
                (32, $i:expr) => {
                    _mm512_permutex2var_ps(self.load(&rows[$i]), places, self.load(&rows[$i + 1]))
                };
                (64, $i:expr) => {
                    _mm512_mask_blend_ps(low, among!(32, $i), among!(32, $i + 2))
                };
            }
            let first = _mm512_mask_blend_ps(middle, among!(64, 0), among!(64, 4));
            let second = _mm512_mask_blend_ps(middle, among!(64, 8), among!(64, 12));
            _mm512_mask_blend_ps(high, first, second)
        }
    }
}
