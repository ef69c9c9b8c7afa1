//! Pictures to a model's input, on the GPU.

use std::num::NonZeroU64;

use burn::backend::DispatchTensor;
use burn::backend::wgpu::WgpuResource;
use burn::tensor::Shape;
use ocellus_onnx::DeviceTensor;

use super::memory::filled;
use super::params::{Key, PARAMS_BYTES};
use super::preprocess::Bindings;
use super::{Gpu, GpuError, contained, scoped};
use crate::frame::Image;
use crate::model::preprocess::InputSpec;

/// Where bindings begin in a buffer: a multiple of this suits every adapter.
const ALIGNMENT: u64 = 256;
/// Bytes of pixels that go up together. A single larger picture goes alone.
const UPLOAD_BYTES: u64 = 64 << 20;
/// Pictures that go up together.
const UPLOAD_PICTURES: usize = 64;
/// Sampling tables kept: a model sees a few cameras, each of one size.
const TABLES_KEPT: usize = 32;

/// Preprocessing on the GPU: makes the same numbers as [`CpuStage`](crate::model::preprocess::CpuStage), up to
/// rounding, where the model will look for them. Buffers are kept for the next batch, within limits.
#[derive(Debug)]
pub struct GpuStage {
    gpu: Gpu,
    pixels: Option<wgpu::Buffer>,
    params: Option<wgpu::Buffer>,
    /// The one used last is last.
    tables: Vec<(Key, wgpu::Buffer)>,
}

/// Some pictures of a batch, on their way.
struct Uploaded {
    pixels: wgpu::Buffer,
    params: wgpu::Buffer,
    items: Vec<Item>,
}

/// Where a picture's parts lie in the buffers, in bytes.
struct Item {
    pixels_at: u64,
    pixels_bytes: u64,
    params_at: u64,
    taps: wgpu::Buffer,
}

impl GpuStage {
    /// A stage on a GPU.
    #[must_use]
    pub fn new(gpu: Gpu) -> Self {
        Self { gpu, pixels: None, params: None, tables: Vec::new() }
    }

    /// Pictures as one `[pictures, 3, height, width]` tensor of 32-bit floats on [`Gpu::burn`]'s device.
    ///
    /// Returns when the work is submitted, not when it is done; the model's work is queued behind it. The calling
    /// thread must be the one that runs the model on the result. That the device is lost may show only when the
    /// model's outputs are read.
    ///
    /// # Errors
    /// When the input has no usable size, something is too large for the adapter, or the device fails.
    pub fn run(&mut self, images: &[&Image], spec: &InputSpec) -> Result<DeviceTensor, GpuError> {
        self.prepare(images, spec).map(DeviceTensor::from)
    }

    /// As [`run`](Self::run), giving burn's own tensor.
    pub(super) fn prepare(&mut self, images: &[&Image], spec: &InputSpec) -> Result<DispatchTensor, GpuError> {
        spec.check()?;
        if images.is_empty() {
            return Err(GpuError::NoPictures);
        }
        let gpu = self.gpu.clone();
        let ran = contained(gpu.name(), || self.batch(images, spec));
        if ran.is_err() {
            // What was made for this batch may be unusable: a buffer that found no memory stays broken.
            *self = Self::new(gpu.clone());
        }
        ran.map_err(|error| gpu.whatever_else(error))
    }

    fn batch(&mut self, images: &[&Image], spec: &InputSpec) -> Result<DispatchTensor, GpuError> {
        let gpu = self.gpu.clone();
        self.check_sizes(images, spec)?;
        let shape = Shape::new([images.len(), 3, spec.height as usize, spec.width as usize]);
        filled(&gpu, shape, |output| {
            let mut first = 0;
            while let Some(rest) = images.get(first..).filter(|rest| !rest.is_empty()) {
                let together = rest.get(..fitting(rest)).unwrap_or(rest);
                scoped(gpu.name(), &gpu.shared.device, || self.submit(together, first, spec, output))?;
                first += together.len();
            }
            Ok(())
        })
    }

    /// Refuses what no buffer of the adapter can hold.
    fn check_sizes(&self, images: &[&Image], spec: &InputSpec) -> Result<(), GpuError> {
        let limits = self.gpu.shared.device.limits();
        // The shader counts bytes and values in 32 bits.
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(u32::MAX.into());
        let batch = (images.len() as u64).saturating_mul(spec.len() as u64 * size_of::<f32>() as u64);
        let picture = images.iter().map(|image| padded(image)).max().unwrap_or_default();
        for (what, bytes) in [("the batch", batch), ("a picture", picture)] {
            if bytes > limit {
                return Err(GpuError::TooLarge { what, bytes, limit });
            }
        }
        Ok(())
    }

    /// Uploads `images` and writes them as the items from `first` on.
    fn submit(&mut self, images: &[&Image], first: usize, spec: &InputSpec, output: &WgpuResource) {
        let gpu = self.gpu.clone();
        let (device, queue) = (&gpu.shared.device, &gpu.shared.queue);
        let Uploaded { pixels, params, items } = self.upload(images, first, spec);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("preprocess") });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for item in &items {
                let bindings = Bindings {
                    params: part(&params, item.params_at, PARAMS_BYTES),
                    pixels: part(&pixels, item.pixels_at, item.pixels_bytes),
                    taps: item.taps.as_entire_binding(),
                    output: output.as_wgpu_bind_resource(),
                };
                gpu.shared.preprocess.dispatch(device, &mut pass, bindings, (spec.width, spec.height));
            }
        }
        queue.submit([encoder.finish()]);
    }

    /// Brings all that the shader reads to the device; the next submission carries it.
    fn upload(&mut self, images: &[&Image], first: usize, spec: &InputSpec) -> Uploaded {
        let gpu = self.gpu.clone();
        let (device, queue) = (&gpu.shared.device, &gpu.shared.queue);
        let pixels_bytes = images.iter().map(|image| aligned(image)).sum();
        let pixels = grown(device, &mut self.pixels, "pixels", pixels_bytes, wgpu::BufferUsages::STORAGE);
        let params_bytes = images.len() as u64 * ALIGNMENT;
        let params = grown(device, &mut self.params, "params", params_bytes, wgpu::BufferUsages::UNIFORM);
        let (mut pixels_at, mut params_at) = (0, 0);
        let mut items = Vec::with_capacity(images.len());
        for (i, image) in images.iter().enumerate() {
            let key = Key::new(image, spec);
            write_pixels(queue, &pixels, pixels_at, image);
            let value = u32::try_from((first + i) * spec.len()).unwrap_or(u32::MAX);
            queue.write_buffer(&params, params_at, &key.params(value));
            let taps = self.taps(device, queue, &key);
            items.push(Item { pixels_at, pixels_bytes: padded(image), params_at, taps });
            pixels_at += aligned(image);
            params_at += ALIGNMENT;
        }
        Uploaded { pixels, params, items }
    }

    /// Tables kept, and bytes of the buffers kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, u64) {
        let buffers = [&self.pixels, &self.params];
        (self.tables.len(), buffers.into_iter().flatten().map(wgpu::Buffer::size).sum())
    }

    /// The sampling tables for `key`, made if they are not among those kept.
    fn taps(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, key: &Key) -> wgpu::Buffer {
        let known = self.tables.iter().position(|(known, _)| known == key).map(|at| self.tables.remove(at));
        let (_, buffer) = known.unwrap_or_else(|| {
            let taps = key.taps();
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("taps"),
                size: taps.len() as u64,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            queue.write_buffer(&buffer, 0, &taps);
            (*key, buffer)
        });
        if self.tables.len() >= TABLES_KEPT {
            self.tables.remove(0);
        }
        self.tables.push((*key, buffer.clone()));
        buffer
    }
}

/// Bytes of a picture as the shader reads them: whole words.
fn padded(image: &Image) -> u64 {
    (image.pixels().len() as u64).next_multiple_of(4)
}

/// Bytes from a picture's beginning in the pixel buffer to the next one's.
fn aligned(image: &Image) -> u64 {
    padded(image).next_multiple_of(ALIGNMENT)
}

/// How many of `images` may go up together; at least one.
fn fitting(images: &[&Image]) -> usize {
    let mut bytes = 0;
    let fits = |image: &&&Image| {
        bytes += aligned(image);
        bytes <= UPLOAD_BYTES
    };
    images.iter().take(UPLOAD_PICTURES).take_while(fits).count().max(1)
}

/// The kept buffer, or a larger one in its place.
fn grown(
    device: &wgpu::Device,
    kept: &mut Option<wgpu::Buffer>,
    label: &str,
    bytes: u64,
    usage: wgpu::BufferUsages,
) -> wgpu::Buffer {
    if let Some(buffer) = kept.as_ref().filter(|buffer| buffer.size() >= bytes) {
        return buffer.clone();
    }
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    *kept = Some(buffer.clone());
    buffer
}

/// Copies a picture's bytes, and what is missing to a whole word, straight into memory that the driver sends.
fn write_pixels(queue: &wgpu::Queue, buffer: &wgpu::Buffer, offset: u64, image: &Image) {
    let pixels = image.pixels();
    let Some(size) = NonZeroU64::new(padded(image)) else { return };
    // Without room the queue reports an error, which the caller's scope catches.
    let Some(mut view) = queue.write_buffer_with(buffer, offset, size) else { return };
    view.slice(..pixels.len()).copy_from_slice(pixels);
    view.slice(pixels.len()..).fill(0);
}

fn part(buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size: NonZeroU64::new(size) })
}
