//! How large a model may be.

/// Bounds on a model, so that a hostile or broken file costs no more than a fair one.
///
/// The defaults are generous for vision models (detectors and classifiers of up to a few hundred
/// million parameters) and keep the work of loading one bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Nodes, counting those of subgraphs, and separately initialisers.
    pub nodes: usize,
    /// Axes of a tensor.
    pub rank: usize,
    /// Elements of any one tensor.
    pub tensor_elements: usize,
    /// Elements of all constants together: weights, and what is computed from them while loading.
    pub constant_elements: usize,
    /// Elements of all intermediate tensors together.
    pub total_elements: usize,
    /// Bytes that one run may take, as far as they can be told before: weights, the most intermediate values that
    /// are needed at a time, and the workspace of the largest convolution; see [`Memory`](crate::report::Memory).
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 30,
            nodes: 50_000,
            rank: 8,
            tensor_elements: 1 << 28,
            constant_elements: 1 << 29,
            total_elements: 1 << 34,
            memory_bytes: 1 << 33,
        }
    }
}
