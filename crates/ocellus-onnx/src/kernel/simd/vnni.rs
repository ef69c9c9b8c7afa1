//! Dot products of bytes: AVX-512 with VNNI. Four neighbouring bytes are one lane of 32 bits; where they are kept among
//! `f32`, a number's bits are the four.

use std::arch::x86_64::*;

use super::Avx512;

/// Proof of AVX-512 with VNNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vnni(Avx512);

/// 16 whole numbers of 32 bits.
pub type Sums = __m512i;

/// An inner loop that is compiled with these features: see [`Inner`](super::Inner).
pub trait Loop: Sized {
    /// Does the work.
    fn run(self, vnni: Vnni);

    /// # Safety
    /// The machine has the instructions.
    #[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
    #[inline(never)]
    unsafe fn compiled(self, vnni: Vnni) {
        self.run(vnni);
    }
}

// SAFETY of every block below: a value of `Vnni` proves that the machine has the instructions; loads and stores cover
// the referenced array and ask for no alignment.
impl Vnni {
    /// The proof, on machines that have the instructions.
    pub fn detect() -> Option<Self> {
        if is_x86_feature_detected!("avx512vnni") { Avx512::detect().map(Self) } else { None }
    }

    /// The proof of AVX-512.
    pub const fn floats(self) -> Avx512 {
        self.0
    }

    /// Runs an inner loop, compiled for this instruction set.
    pub fn vectorize(self, inner: impl Loop) {
        // SAFETY: `self` proves that the machine has the features.
        unsafe { inner.compiled(self) }
    }

    /// Zeros.
    #[inline(always)]
    pub fn zeros(self) -> Sums {
        unsafe { _mm512_setzero_si512() }
    }

    /// 64 bytes.
    #[inline(always)]
    pub fn load(self, from: &[f32; 16]) -> Sums {
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    /// The same four bytes in each lane.
    #[inline(always)]
    pub fn splat(self, four: f32) -> Sums {
        unsafe { _mm512_set1_epi32(four.to_bits().cast_signed()) }
    }

    /// Adds to each lane the products of its four unsigned and four signed bytes.
    #[inline(always)]
    pub fn dot(self, sums: Sums, unsigned: Sums, signed: Sums) -> Sums {
        unsafe { _mm512_dpbusd_epi32(sums, unsigned, signed) }
    }

    /// The nearest floats.
    #[inline(always)]
    pub fn to_floats(self, sums: Sums) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(sums) }
    }

    /// `x * inverse - low`, rounded, as unsigned bytes; what lies beyond them becomes 0 or 255.
    #[inline(always)]
    pub fn to_bytes(self, x: &[f32; 16], inverse: f32, low: f32, to: &mut [f32; 4]) {
        unsafe {
            let x = _mm512_loadu_ps(x.as_ptr());
            let steps = _mm512_fmsub_ps(x, _mm512_set1_ps(inverse), _mm512_set1_ps(low));
            let steps = _mm512_cvtps_epi32(_mm512_max_ps(steps, _mm512_setzero_ps()));
            _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtusepi32_epi8(steps));
        }
    }
}
