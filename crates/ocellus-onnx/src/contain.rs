//! Containment of a library that may panic or recurse deeply on a hostile model.
//!
//! Work goes through [`quietly`], which turns a panic into its message, or through [`on_deep_stack`],
//! which does so on a thread of its own with a stack of known size. The panic hook stays silent only
//! for threads that are inside such a call; every other thread's panics are reported as before.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// Stack for analysing a model: virtual memory, taken only as far as it is used.
const STACK_BYTES: usize = 64 << 20;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as contained until it is dropped, then restores what was before.
struct Mark(bool);

impl Mark {
    fn set() -> Self {
        Self(CONTAINED.replace(true))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        CONTAINED.set(self.0);
    }
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            // A thread that is being torn down has no mark any more: then report as usual.
            if !CONTAINED.try_with(Cell::get).unwrap_or(false) {
                before(info);
            }
        }));
    });
}

/// Runs `work`; a panic in it becomes `Err` with the panic's message and prints nothing.
///
/// What `work` had borrowed mutably may be half changed after a panic: the caller drops it.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let _mark = Mark::set();
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(payload.as_ref()))
}

/// As [`quietly`], on a thread of its own with a stack that suits the deepest graph the limits allow.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("onnx-load".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || quietly(work))
            .map_err(|e| format!("no thread could be started: {e}"))?
            .join()
            .unwrap_or_else(|payload| Err(message(payload.as_ref())))
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    format!("internal error: {}", crate::error::shorten(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(quietly(|| 7), Ok(7));
        let said = quietly(|| panic!("at {}", 3)).unwrap_err();
        assert_eq!(said, "internal error: at 3");
        assert!(!CONTAINED.get(), "the mark is taken off after a panic");
    }

    #[test]
    fn nested_calls_stay_contained() {
        let inside = quietly(|| {
            let inner = quietly(|| panic!("inner"));
            assert!(inner.is_err());
            CONTAINED.get()
        });
        assert_eq!(inside, Ok(true));
    }

    #[test]
    fn a_deep_recursion_fits() {
        fn depth(n: u64) -> u64 {
            let padding = std::hint::black_box([n; 16]);
            if n == 0 { 0 } else { 1 + depth(padding[3] - 1) }
        }
        assert_eq!(on_deep_stack(|| depth(100_000)), Ok(100_000));
        assert!(on_deep_stack(|| panic!("far away")).unwrap_err().contains("far away"));
    }
}
