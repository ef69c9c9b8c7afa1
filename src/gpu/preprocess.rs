//! The pipeline of `shaders/preprocess.wgsl`.

use std::num::NonZeroU64;

use super::params::PARAMS_BYTES;

/// Invocations a side of a workgroup, as the shader says.
const GROUP: u32 = 16;

/// The compiled shader.
pub(super) struct Preprocess {
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::ComputePipeline,
}

/// What one item is made of.
pub(super) struct Bindings<'a> {
    /// The shader's `Params`.
    pub params: wgpu::BindingResource<'a>,
    /// The picture's bytes.
    pub pixels: wgpu::BindingResource<'a>,
    /// The sampling tables.
    pub taps: wgpu::BindingResource<'a>,
    /// The whole batch.
    pub output: wgpu::BindingResource<'a>,
}

impl Preprocess {
    /// Compiles it.
    pub fn new(device: &wgpu::Device) -> Self {
        let uniform = wgpu::BufferBindingType::Uniform;
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("preprocess"),
            entries: &[
                entry(0, uniform, PARAMS_BYTES),
                entry(1, storage(true), 4),
                entry(2, storage(true), 8),
                entry(3, storage(false), 4),
            ],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("../../shaders/preprocess.wgsl"));
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("preprocess"),
            bind_group_layouts: &[Some(&layout)],
            ..wgpu::PipelineLayoutDescriptor::default()
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("preprocess"),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("preprocess"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { layout, pipeline }
    }

    /// Writes one item of `width` x `height` in `pass`.
    pub fn dispatch(
        &self,
        device: &wgpu::Device,
        pass: &mut wgpu::ComputePass<'_>,
        bindings: Bindings<'_>,
        (width, height): (u32, u32),
    ) {
        let Bindings { params, pixels, taps, output } = bindings;
        let bound = [(0, params), (1, pixels), (2, taps), (3, output)];
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("preprocess"),
            layout: &self.layout,
            entries: &bound.map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }),
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(width.div_ceil(GROUP), height.div_ceil(GROUP), 1);
    }
}

/// One buffer of a compute shader, at least `least` bytes long.
pub(super) fn entry(binding: u32, ty: wgpu::BufferBindingType, least: u64) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: NonZeroU64::new(least) },
        count: None,
    }
}
