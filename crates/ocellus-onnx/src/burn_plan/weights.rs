//! Constants on a device that plans of one model share.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use burn::backend::DispatchTensor;

use crate::lower::step::ConstantData;

/// Constants by what they hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Weights(HashMap<Digest, DispatchTensor>);

/// 128 bits that tell a constant from others: type, shape and elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Digest([u64; 2]);

impl Weights {
    /// The constant, from `earlier` where that has it, else made.
    ///
    /// # Errors
    /// As `make`.
    pub(super) fn take<E>(
        &mut self,
        earlier: &Self,
        data: ConstantData,
        shape: &[usize],
        make: impl FnOnce(ConstantData) -> Result<DispatchTensor, E>,
    ) -> Result<DispatchTensor, E> {
        let digest = Digest::of(&data, shape);
        let tensor = match earlier.0.get(&digest) {
            Some(tensor) => tensor.clone(),
            None => make(data)?,
        };
        self.0.insert(digest, tensor.clone());
        Ok(tensor)
    }

    /// How many of these constants `earlier` has too.
    #[cfg(test)]
    pub(super) fn shared_with(&self, earlier: &Self) -> (usize, usize) {
        (self.0.keys().filter(|digest| earlier.0.contains_key(digest)).count(), self.0.len())
    }
}

impl Digest {
    fn of(data: &ConstantData, shape: &[usize]) -> Self {
        Self([0_u8, 1].map(|salt| {
            let mut state = DefaultHasher::new();
            (salt, shape, std::mem::discriminant(data)).hash(&mut state);
            match data {
                ConstantData::Float(data) => data.iter().for_each(|x| state.write_u32(x.to_bits())),
                ConstantData::Half(data) => data.iter().for_each(|x| state.write_u16(x.to_bits())),
                ConstantData::Int(data) => data.hash(&mut state),
                ConstantData::Bool(data) => data.hash(&mut state),
                ConstantData::Host(data) => data.hash(&mut state),
            }
            state.finish()
        }))
    }
}
