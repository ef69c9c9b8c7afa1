//! The pipelines of `shaders/redact.wgsl`: pieces of pictures made unrecognisable.

use std::sync::mpsc::channel;
use std::time::Duration;

use wgpu::util::{BufferInitDescriptor, DeviceExt};

use super::preprocess::entry;
use super::{Gpu, GpuError, contained, scoped};

/// Invocations of a workgroup of `filter_lines`, and a side of one of `fill_squares`, as the shader says.
const GROUPS: [u32; 2] = [64, 8];
/// Bytes of the shader's `Params`.
const PARAMS: u64 = 16;
/// How long the device may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done to the pixels of a piece. Both are computed in whole numbers, as the CPU does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// Box filters down the columns and then along the rows, a number of passes each.
    Blur {
        /// Pixels on either side.
        radius: u32,
        /// Passes in each direction.
        passes: u32,
    },
    /// Squares of their mean.
    Pixelate {
        /// Their side, in pixels, at least 1.
        square: u32,
    },
}

/// The compiled shader.
pub(super) struct Redact {
    layout: wgpu::BindGroupLayout,
    lines: wgpu::ComputePipeline,
    squares: wgpu::ComputePipeline,
}

impl Redact {
    /// Compiles it.
    pub fn new(device: &wgpu::Device) -> Self {
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("redact"),
            entries: &[
                entry(0, wgpu::BufferBindingType::Uniform, PARAMS),
                entry(1, storage(true), 4),
                entry(2, storage(false), 4),
            ],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("../../shaders/redact.wgsl"));
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("redact"),
            bind_group_layouts: &[Some(&layout)],
            ..wgpu::PipelineLayoutDescriptor::default()
        });
        let pipeline = |name| {
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(name),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        };
        let (lines, squares) = (pipeline("filter_lines"), pipeline("fill_squares"));
        Self { layout, lines, squares }
    }
}

impl Gpu {
    /// Makes a piece of a picture, whose rows of `width` pixels (red, green, blue) lie one after the other,
    /// unrecognisable.
    ///
    /// # Errors
    /// When the piece is too large for the device, or the device is lost.
    pub fn redact(&self, pixels: &[[u8; 3]], width: u32, how: Redaction) -> Result<Vec<[u8; 3]>, GpuError> {
        let height = u32::try_from(pixels.len()).ok().and_then(|all| all.checked_div(width)).unwrap_or(0);
        if height == 0 {
            return Ok(pixels.to_vec());
        }
        let done = contained(self.name(), || {
            let staging = scoped(self.name(), &self.shared.device, || self.submit(pixels, [width, height], how))?;
            self.read_pixels(&staging)
        });
        done.map_err(|error| self.whatever_else(error))
    }

    /// Hands the work to the device, and gives where its pixels will be.
    fn submit(&self, pixels: &[[u8; 3]], size: [u32; 2], how: Redaction) -> wgpu::Buffer {
        let device = &self.shared.device;
        let words: Vec<u8> = pixels.iter().flat_map(|[red, green, blue]| [*red, *green, *blue, 0]).collect();
        let length = words.len() as u64;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("redact"),
                size: length,
                usage,
                mapped_at_creation: false,
            })
        };
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let filled = BufferInitDescriptor { label: Some("redact"), contents: &words, usage };
        let (mut from, mut to) = (device.create_buffer_init(&filled), buffer(usage));
        let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let [width, height] = size;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("redact") });
        match how {
            Redaction::Blur { radius, passes } => {
                for down in [1, 0] {
                    let params = self.params([width, height, radius, down]);
                    let lines = if down == 1 { width } else { height };
                    for _ in 0..passes {
                        let groups = [lines.div_ceil(GROUPS[0]), 1];
                        self.pass(&mut encoder, &self.shared.redact.lines, [&params, &from, &to], groups);
                        std::mem::swap(&mut from, &mut to);
                    }
                }
            }
            Redaction::Pixelate { square } => {
                let square = square.max(1);
                let params = self.params([width, height, square, 0]);
                let groups = size.map(|side| side.div_ceil(square).div_ceil(GROUPS[1]));
                self.pass(&mut encoder, &self.shared.redact.squares, [&params, &from, &to], groups);
                std::mem::swap(&mut from, &mut to);
            }
        }
        encoder.copy_buffer_to_buffer(&from, 0, &staging, 0, length);
        self.shared.queue.submit([encoder.finish()]);
        staging
    }

    fn params(&self, words: [u32; 4]) -> wgpu::Buffer {
        let contents: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let usage = wgpu::BufferUsages::UNIFORM;
        self.shared.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("redact"),
            contents: &contents,
            usage,
        })
    }

    fn pass(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        pipeline: &wgpu::ComputePipeline,
        buffers: [&wgpu::Buffer; 3],
        [x, y]: [u32; 2],
    ) {
        let entries = [0, 1, 2].map(|binding: u32| wgpu::BindGroupEntry {
            binding,
            resource: buffers[binding as usize].as_entire_binding(),
        });
        let group = self.shared.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("redact"),
            layout: &self.shared.redact.layout,
            entries: &entries,
        });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }

    fn read_pixels(&self, staging: &wgpu::Buffer) -> Result<Vec<[u8; 3]>, GpuError> {
        let (sender, mapped) = channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens any more when it took too long.
            let _ = sender.send(result);
        });
        let poll = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        self.shared.device.poll(poll).map_err(|e| self.failed(&e.to_string()))?;
        match mapped.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(self.failed(&e.to_string())),
            Err(e) => return Err(self.failed(&e.to_string())),
        }
        let view = staging.get_mapped_range(..).map_err(|e| self.failed(&e.to_string()))?;
        Ok(view.as_chunks::<4>().0.iter().map(|[red, green, blue, _]| [*red, *green, *blue]).collect())
    }
}
