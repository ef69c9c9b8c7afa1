//! A run on all threads of a pool that keeps them awake.
//!
//! Steps take microseconds to a few hundred of them, and so does waking a thread: one that went to sleep between two
//! steps would come too late for most. So while one thread goes through the steps, the others look for shares of them
//! without pause.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, Yield};

/// Looks for work without success after which a thread lets others of the machine have its core.
const PATIENCE: u32 = 64;

/// Does `work` on one of the pool's threads, the others at its service; nothing is returned only if a thread is lost.
pub(super) fn together<R: Send>(pool: &ThreadPool, work: impl FnOnce() -> R + Send) -> Option<R> {
    let work = Mutex::new(Some(work));
    let done = AtomicBool::new(false);
    let results = pool.broadcast(|context| {
        if context.index() > 0 {
            serve(&done);
            return None;
        }
        let _done = SetOnDrop(&done);
        let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.map(|work| work())
    });
    results.into_iter().flatten().next()
}

/// Does what the others give away until they are done.
fn serve(done: &AtomicBool) {
    let mut idle = 0;
    while !done.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(Yield::Executed) => idle = 0,
            _ if idle < PATIENCE => {
                idle += 1;
                (0..32).for_each(|_| spin_loop());
            }
            _ => {
                idle = 0;
                std::thread::yield_now();
            }
        }
    }
}

/// A panic must not leave the others looking for work for ever.
struct SetOnDrop<'f>(&'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::ThreadPoolBuilder;

    use super::*;

    #[test]
    fn work_is_done_and_shared() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
        for n in 0..200_u64 {
            let (a, b) = together(&pool, || rayon::join(|| n + 1, || n + 2)).expect("all threads are there");
            assert_eq!((a, b), (n + 1, n + 2));
        }
    }

    #[test]
    fn several_may_work_at_a_time() {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100_u64 {
                        assert_eq!(together(&pool, || rayon::join(|| n, || n)), Some((n, n)));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_comes_through() {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
        let caught = catch_unwind(AssertUnwindSafe(|| together(&pool, || panic!("on purpose"))));
        assert!(caught.is_err());
        assert_eq!(together(&pool, || 7), Some(7));
    }
}
