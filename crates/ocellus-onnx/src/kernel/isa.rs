//! Which vector instructions the kernels use.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512, vnni::Vnni};
use super::simd::{Kernel, Portable};

/// An instruction set that this machine has: it can only be had from [`Isa::best`] and [`Isa::available`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

impl Isa {
    /// The widest instruction set of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self(Set::Portable))
    }

    /// All that this machine has, widest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [Avx512::detect().map(Set::Avx512), Avx2::detect().map(Set::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = [None; 0];
        vectors.into_iter().flatten().chain([Set::Portable]).map(Self).collect()
    }

    /// Channels of one block, `f32` of one vector: 16 with AVX-512, else 8.
    #[must_use]
    pub const fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => 16,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => 8,
            Set::Portable => 8,
        }
    }

    /// The dot products of bytes that go with it, where the machine has them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn vnni(self) -> Option<Vnni> {
        if matches!(self.0, Set::Avx512(_)) { Vnni::detect() } else { None }
    }

    /// Blocks of output channels that convolutions compute together.
    pub(super) fn group(self) -> usize {
        struct Group;
        impl Kernel for Group {
            type Output = usize;
            #[inline(always)]
            fn run<const B: usize, S: super::simd::Simd<B>>(self, _: S) -> usize {
                S::GROUP
            }
        }
        self.dispatch(Group)
    }

    /// Runs a kernel with this instruction set.
    #[inline]
    pub(super) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(simd) => kernel.run::<16, Avx512>(simd),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => kernel.run::<8, Avx2>(simd),
            Set::Portable => kernel.run::<8, Portable>(Portable),
        }
    }
}
