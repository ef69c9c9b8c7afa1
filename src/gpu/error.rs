//! What can go wrong with a GPU, each case saying what to do.

use cubecl::server::{IoError, ServerError};

use crate::model::preprocess::PreprocessError;

/// Why the GPU can't be used, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The Vulkan loader knows no adapter at all.
    #[error(
        "no Vulkan adapter: install the driver's Vulkan ICD (mesa-vulkan-drivers for AMD and Intel, the vendor's \
         package for NVIDIA), see that this user may open /dev/dri/renderD* (group render), or use --device cpu"
    )]
    NoAdapter,
    /// There are adapters, but none is hardware.
    #[error(
        "the only Vulkan adapter is a software one ({name}): install the GPU's driver, or use --device cpu, which \
         is faster; for tests, --device gpu-software takes it"
    )]
    SoftwareOnly {
        /// The adapter.
        name: String,
    },
    /// An adapter is there and can't be opened.
    #[error("{name} can't be opened ({reason}): update its driver, or use --device cpu")]
    Open {
        /// The adapter.
        name: String,
        /// What the driver said.
        reason: String,
    },
    /// The model's input has no usable size.
    #[error(transparent)]
    Input(#[from] PreprocessError),
    /// A batch without pictures.
    #[error("a batch of no pictures: give at least one")]
    NoPictures,
    /// A buffer that the adapter can't hold in one piece.
    #[error(
        "{what} takes {bytes} bytes and this adapter takes at most {limit} in one piece: use smaller pictures or \
         batches, or --device cpu"
    )]
    TooLarge {
        /// The picture, or the batch.
        what: &'static str,
        /// Bytes that it takes.
        bytes: u64,
        /// Bytes that the adapter allows.
        limit: u64,
    },
    /// The device's memory is full.
    #[error("{name} is out of memory: close other programs on it, use smaller batches or models, or --device cpu")]
    OutOfMemory {
        /// The adapter.
        name: String,
    },
    /// The device is gone: driver reset, time-out, unplugged.
    #[error(
        "{name} was lost ({reason}): the kernel's log (journalctl -k) says why; open the model again, or use \
         --device cpu"
    )]
    Lost {
        /// The adapter.
        name: String,
        /// What the driver said.
        reason: String,
    },
    /// Something that should not happen.
    #[error("{name} failed ({reason}): use --device cpu, and report this")]
    Failed {
        /// The adapter.
        name: String,
        /// What happened.
        reason: String,
    },
}

impl GpuError {
    /// What burn's runtime reports about the adapter `name`.
    pub(super) fn from_server(name: &str, error: &ServerError) -> Self {
        let name = name.to_owned();
        if error.is_device_poisoned() {
            return Self::Lost { name, reason: first_line(&error.to_string()) };
        }
        if lacks_memory(error) {
            return Self::OutOfMemory { name };
        }
        Self::Failed { name, reason: first_line(&error.to_string()) }
    }

    /// What an error scope of the adapter `name` caught.
    pub(super) fn from_wgpu(name: &str, error: &wgpu::Error) -> Self {
        let name = name.to_owned();
        match error {
            wgpu::Error::OutOfMemory { .. } => Self::OutOfMemory { name },
            other => Self::Failed { name, reason: first_line(&other.to_string()) },
        }
    }
}

/// Whether an allocation failed, or what was to be done in memory that could not be allocated.
fn lacks_memory(error: &ServerError) -> bool {
    match error {
        ServerError::Io(IoError::OutOfMemory { .. } | IoError::BufferTooBig { .. }) => true,
        ServerError::Unwritten { root, .. } => lacks_memory(root),
        ServerError::Several { errors, .. } => errors.iter().any(lacks_memory),
        _ => false,
    }
}

/// A driver's text on one line, without the backtrace that may follow it.
pub(super) fn first_line(text: &str) -> String {
    const MOST: usize = 300;
    let text = text.split("Backtrace:").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drivers_text_becomes_one_line() {
        assert_eq!(first_line("it\n  broke\nBacktrace:\n 0: main"), "it broke");
        assert_eq!(first_line(&"long ".repeat(200)).chars().count(), 300);
        assert_eq!(first_line(""), "");
    }
}
