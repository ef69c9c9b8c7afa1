//! Which vector instructions the kernels use.

/// An instruction set that this machine has: it can only be had from [`Isa::best`] and [`Isa::available`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Avx512,
    Avx2,
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
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                sets.push(Self(Set::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Self(Set::Avx2));
            }
        }
        sets.push(Self(Set::Portable));
        sets
    }

    /// Channels of one block, `f32` of one vector: 16 with AVX-512, else 8.
    #[must_use]
    pub const fn lanes(self) -> usize {
        match self.0 {
            Set::Avx512 => 16,
            Set::Avx2 | Set::Portable => 8,
        }
    }
}
