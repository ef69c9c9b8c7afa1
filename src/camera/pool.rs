//! Buffers for frames that go back where they came from when the last user is done.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Spare buffers that are kept: one being filled, one waiting, one in the mailbox, two with the engine.
const SPARE: usize = 5;

/// Buffers of one length.
#[derive(Debug, Clone)]
pub(in crate::camera) struct Pool {
    length: usize,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Pool {
    pub fn new(length: usize) -> Self {
        Self { length, spare: Arc::default() }
    }

    /// A buffer of the pool's length with any content.
    pub fn buffer(&self) -> Buffer {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { data: spare.unwrap_or_else(|| vec![0; self.length]), pool: self.clone() }
    }
}

/// A buffer on loan; goes back to its pool when dropped.
#[derive(Debug)]
pub(in crate::camera) struct Buffer {
    data: Vec<u8>,
    pool: Pool,
}

impl Buffer {
    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The filled buffer, to share. It goes back when the last share is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self.pool.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_the_pool_stays_small() {
        let pool = Pool::new(8);
        let mut buffer = pool.buffer();
        buffer.as_mut().fill(7);
        let (first, second) = (buffer.freeze(), pool.buffer().freeze());
        let share = first.clone();
        drop(first);
        assert_eq!(pool.spare.lock().unwrap().len(), 0);
        assert_eq!(share.as_ref(), [7; 8]);
        let address = share.as_ptr();
        drop(share);
        assert_eq!(pool.buffer().as_ref().as_ptr(), address);
        drop(second);
        let many: Vec<_> = (0..20).map(|_| pool.buffer().freeze()).collect();
        drop(many);
        assert_eq!(pool.spare.lock().unwrap().len(), SPARE);
        assert_eq!(pool.buffer().as_ref().len(), 8);
    }
}
