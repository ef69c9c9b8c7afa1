//! The GPU: which adapter, one device shared with burn, and our own WGSL stages on it.
//!
//! ```text
//! pictures ─► stage (shaders/preprocess.wgsl) ─► tensor in burn's memory ─► the model's plan
//!          ─► reader (shaders/select.wgsl) ─► the candidates above the threshold, in host memory
//! ```
//!
//! Beside that, pieces of frames that leave are made unrecognisable (shaders/redact.wgsl).
//!
//! There is one device a process. burn's runtime and our pipelines submit to the same queue, and our stages write
//! into memory that burn's pool owns: pixels go up once, and nothing comes back before what is read of the outputs.
//!
//! Only hardware adapters count, through Vulkan, unless a software one is asked for: a software adapter is slower
//! than the CPU device.

mod adapter;
mod cache;
mod error;
mod memory;
mod outputs;
mod params;
mod preprocess;
mod reader;
mod redact;
mod select;
mod stage;
#[cfg(test)]
pub(crate) mod tests;

pub use adapter::{Adapter, survey};
pub use cache::{keep_in, usual_directory};
pub use error::GpuError;
pub use reader::{MOST_ROWS, ReadBack, Reader, Reading, Selected, Values, Wanted};
pub use redact::Redaction;
pub use stage::GpuStage;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use cubecl::client::Client;
use futures::FutureExt;

use self::adapter::Opened;
use self::cache::Cache;
use self::error::first_line;
use self::preprocess::Preprocess;
use self::redact::Redact;
use self::select::Select;

/// The process's GPU. Cloning shares it.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    software: bool,
    burn: Device,
    cube: cubecl::Device,
    device: wgpu::Device,
    queue: wgpu::Queue,
    preprocess: Preprocess,
    select: Select,
    redact: Redact,
    cache: Option<Cache>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What of a GPU's memory this process has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuMemory {
    /// What buffers and textures take: weights, activations that burn keeps for the next frame, pictures.
    pub used: u64,
    /// What is kept from the driver for that, and for more.
    pub reserved: u64,
}

/// What of the open device's memory this process has, by wgpu's allocator; none where no device is open, or it is just
/// being opened.
#[must_use]
pub fn memory() -> Option<GpuMemory> {
    let gpu = OPEN.try_lock().ok()?.clone()?;
    let report = gpu.shared.device.generate_allocator_report()?;
    Some(GpuMemory { used: report.total_allocated_bytes, reserved: report.total_reserved_bytes })
}

/// The device that the process has open, if any.
static OPEN: Mutex<Option<Gpu>> = Mutex::new(None);

impl Gpu {
    /// The process's device: opened on the best adapter by the first call, shared by the later ones. A device that
    /// was lost in the meantime is replaced by a new one.
    ///
    /// # Errors
    /// When there is no hardware adapter (none at all, with `allow_software`), or the driver refuses.
    pub fn open(allow_software: bool) -> Result<Self, GpuError> {
        // A panic while opening leaves the slot as it was.
        let mut slot = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        Self::open_in(&mut slot, allow_software)
    }

    fn open_in(slot: &mut Option<Self>, allow_software: bool) -> Result<Self, GpuError> {
        if let Some(gpu) = slot.take() {
            if gpu.check().is_ok() {
                *slot = Some(gpu.clone());
                return gpu.allowed(allow_software);
            }
            tracing::warn!(gpu = gpu.name(), "The GPU was lost; opening it again.");
        }
        let gpu = contained("the GPU", || Self::acquire(allow_software))?;
        *slot = Some(gpu.clone());
        Ok(gpu)
    }

    fn allowed(self, allow_software: bool) -> Result<Self, GpuError> {
        if self.shared.software && !allow_software {
            return Err(GpuError::SoftwareOnly { name: self.shared.name.clone() });
        }
        Ok(self)
    }

    /// A device of its own.
    fn acquire(allow_software: bool) -> Result<Self, GpuError> {
        let Opened { name, software, burn, device, queue, cache } = adapter::open(allow_software)?;
        let burn::backend::DispatchDevice::Cube(cube) = burn.as_dispatch() else {
            return Err(GpuError::Failed { name, reason: "burn put it on another backend".to_owned() });
        };
        let cube = cube.clone();
        let compiled = || (Preprocess::new(&device), Select::new(&device), Redact::new(&device));
        let (preprocess, select, redact) = scoped(&name, &device, compiled)?;
        let shared = Shared { name, software, burn, cube, device, queue, preprocess, select, redact, cache };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The adapter, as people know it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The device that models run on.
    #[must_use]
    pub fn burn(&self) -> &Device {
        &self.shared.burn
    }

    /// Whether kernels for a model were looked for on this device before, so that it starts quickly. `model` says
    /// which one, and how it runs.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.shared.cache.as_ref().is_some_and(|cache| cache.knows(model))
    }

    /// Notes that the kernels for a model have been found.
    pub fn note(&self, model: &str) {
        if let Some(cache) = &self.shared.cache {
            cache.note(model);
        }
    }

    /// Waits for all that was submitted, and tells whether the device is still there.
    ///
    /// # Errors
    /// [`GpuError::Lost`] when it is not.
    pub fn check(&self) -> Result<(), GpuError> {
        contained(self.name(), || {
            self.shared.burn.sync().map_err(|e| {
                let (name, reason) = (self.name().to_owned(), first_line(&e.to_string()));
                if e.is_device_poisoned() { GpuError::Lost { name, reason } } else { GpuError::Failed { name, reason } }
            })
        })
    }

    /// The error, unless the device is gone: why anything fails on it matters less than that.
    fn whatever_else(&self, error: GpuError) -> GpuError {
        match error {
            GpuError::Failed { .. } | GpuError::OutOfMemory { .. } => {
                self.check().err().filter(|e| matches!(e, GpuError::Lost { .. })).unwrap_or(error)
            }
            other => other,
        }
    }

    fn failed(&self, reason: &str) -> GpuError {
        GpuError::Failed { name: self.name().to_owned(), reason: first_line(reason) }
    }

    /// Takes the device away, as a driver reset does.
    #[cfg(test)]
    pub(crate) fn destroy(&self) {
        self.shared.device.destroy();
        // The loss is noticed when the device is next polled.
        let _ = self.shared.device.poll(wgpu::PollType::wait_indefinitely());
    }

    fn client(&self) -> Client {
        self.shared.cube.client()
    }
}

/// Runs `work` on a device; what the device objects to becomes an error instead of a panic in its error handler.
fn scoped<T>(name: &str, device: &wgpu::Device, work: impl FnOnce() -> T) -> Result<T, GpuError> {
    let filters = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let done = work();
    // Scopes nest: the last one pushed is the first to go.
    let [internal, memory, validation] = scopes;
    let caught = [
        validation.pop().now_or_never().flatten(),
        memory.pop().now_or_never().flatten(),
        internal.pop().now_or_never().flatten(),
    ];
    match caught.into_iter().flatten().next() {
        Some(error) => Err(GpuError::from_wgpu(name, &error)),
        None => Ok(done),
    }
}

/// Runs `work`; a panic in the runtime below becomes an error.
fn contained<T>(name: &str, work: impl FnOnce() -> Result<T, GpuError>) -> Result<T, GpuError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(GpuError::Failed { name: name.to_owned(), reason: first_line(panic_text(payload.as_ref())) })
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("an internal error without a message")
}
