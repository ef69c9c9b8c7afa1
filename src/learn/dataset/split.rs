//! Which pictures are for training, validation and test.

use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::sample::Sample;

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// Training.
    Train,
    /// Validation while training.
    Val,
    /// The test at the end.
    Test,
}

impl Split {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// The shares of the splits, as in `80,10,10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splits([u32; 3]);

/// Why a text is not [`Splits`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write the shares of train, val and test as whole numbers, like 80,10,10")]
pub struct SplitError;

impl Default for Splits {
    fn default() -> Self {
        Self([80, 10, 10])
    }
}

impl FromStr for Splits {
    type Err = SplitError;

    fn from_str(text: &str) -> Result<Self, SplitError> {
        let shares: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        let shares: [u32; 3] = shares.ok().and_then(|all| all.try_into().ok()).ok_or(SplitError)?;
        let fits = shares.iter().all(|share| *share <= 10_000) && shares.iter().any(|share| *share > 0);
        if fits { Ok(Self(shares)) } else { Err(SplitError) }
    }
}

impl Splits {
    /// What a picture is for: the same for all of its camera and day.
    #[must_use]
    pub fn of(&self, sample: &Sample) -> Split {
        let group = format!("{}/{}/{}", sample.site, sample.camera, sample.day);
        let digest = Sha256::digest(group.as_bytes());
        let number = digest.iter().take(8).fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let sum: u64 = self.0.iter().map(|share| u64::from(*share)).sum();
        let mut place = number % sum.max(1);
        for (split, share) in Split::ALL.into_iter().zip(self.0) {
            match place.checked_sub(u64::from(share)) {
                Some(rest) => place = rest,
                None => return split,
            }
        }
        Split::Test
    }
}
