//! The pipelines of `shaders/select.wgsl`, and what they are told.

use super::preprocess::entry;
use crate::model::heads::{Rows, Selection};

/// Invocations of a workgroup, as the shader says.
const GROUP: u32 = 64;
/// Workgroups that share the rows noted of a picture.
const SHARES: u32 = 32;
/// Bytes of the shader's `Params`.
pub(super) const PARAMS_BYTES: u64 = 64;
/// Where one `Params` begins after the other: a multiple of this suits every adapter.
pub(super) const PARAMS_STEP: u64 = 256;
/// Words before the first entry: rows found, and values that mean nothing.
pub(super) const HEADER: usize = 2;
/// No column.
const NONE: u32 = u32::MAX;
/// How far rounding may put a probability outside of 0 to 1, as heads see it.
const SLACK: f32 = 1e-3;

/// The compiled shader.
pub(super) struct Select {
    layout: wgpu::BindGroupLayout,
    select: wgpu::ComputePipeline,
    gather: wgpu::ComputePipeline,
}

/// How a tensor lies in memory: values between its pictures, rows and columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strides {
    pub item: usize,
    pub row: usize,
    pub column: usize,
}

/// A dispatch: a tensor of a level, and what is done with it.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub gather: bool,
    pub rows: Rows,
    pub params: Vec<u8>,
}

/// How much is noted of each picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Rows.
    pub capacity: usize,
    /// Values of a row.
    pub width: usize,
}

impl Room {
    /// Words of `rows` rows.
    pub fn words(self, rows: usize) -> usize {
        HEADER + rows * (1 + self.width)
    }
}

impl Select {
    /// Compiles it.
    pub fn new(device: &wgpu::Device) -> Self {
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("select"),
            entries: &[
                entry(0, wgpu::BufferBindingType::Uniform, PARAMS_BYTES),
                entry(1, storage(true), 4),
                entry(2, storage(false), 4),
            ],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("../../shaders/select.wgsl"));
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("select"),
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
        let (select, gather) = (pipeline("select_rows"), pipeline("gather_rows"));
        Self { layout, select, gather }
    }

    /// Does a job for `items` pictures in `pass`; what it is bound to are its parameters, its tensor and the buffer.
    pub fn dispatch(
        &self,
        device: &wgpu::Device,
        pass: &mut wgpu::ComputePass<'_>,
        job: &Job,
        bound: [wgpu::BindingResource<'_>; 3],
        items: usize,
    ) {
        let mut binding = 0..;
        let entries =
            bound.map(|resource| wgpu::BindGroupEntry { binding: binding.next().unwrap_or_default(), resource });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("select"),
            layout: &self.layout,
            entries: &entries,
        });
        pass.set_bind_group(0, &group, &[]);
        if job.gather {
            pass.set_pipeline(&self.gather);
            pass.dispatch_workgroups(word(job.rows.columns).div_ceil(GROUP), SHARES, word(items));
        } else {
            pass.set_pipeline(&self.select);
            pass.dispatch_workgroups(word(job.rows.rows).div_ceil(GROUP), word(items), 1);
        }
    }
}

/// All dispatches of a selection above `score`: every level is looked at before rows are gathered. `strides` says
/// how an output lies in memory.
pub(super) fn jobs(selection: &Selection, score: f32, room: Room, strides: impl Fn(&Rows) -> Strides) -> Vec<Job> {
    let job = |gather: bool, rows: &Rows, first_row: usize, first_value: usize| {
        let Strides { item, row, column } = strides(rows);
        let numbers = [
            [rows.rows, rows.columns, item, row],
            [column, first_row, first_value, room.capacity],
            [room.width, selection.classes.start, selection.classes.len(), 0],
        ];
        let mut words: Vec<u32> = numbers.as_flattened().iter().map(|n| word(*n)).collect();
        if let Some(last) = words.last_mut() {
            *last = selection.objectness.map_or(NONE, word);
        }
        // A sigmoid may be rounded otherwise here than on the CPU, which decides.
        let floor = if selection.logits { score - score * 1e-5 - 1e-7 } else { score };
        words.extend([u32::from(selection.logits), floor.to_bits(), (-SLACK).to_bits(), (1.0 + SLACK).to_bits()]);
        Job { gather, rows: *rows, params: words.into_iter().flat_map(u32::to_le_bytes).collect() }
    };
    let mut found = Vec::new();
    let mut gathered = Vec::new();
    let mut first_row = 0;
    for level in &selection.levels {
        found.push(job(false, &level.scores, first_row, 0));
        let mut first_value = 0;
        for rows in level.outputs() {
            gathered.push(job(true, rows, first_row, first_value));
            first_value += rows.columns;
        }
        first_row += level.scores.rows;
    }
    found.append(&mut gathered);
    found
}

/// Counts of an output fit: sizes were checked against the adapter's limits, which are below 2^32.
fn word(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
