//! Outputs back to the host: the candidates that matter, or all; without waiting until they are asked for.
//!
//! [`Reader::start`] queues behind the model what selects, gathers and copies; [`Reader::finish`] waits for it. In
//! between the host may queue the next batch. What comes back at once is a small part of fixed size, enough for what
//! a picture usually shows; a picture with more candidates takes a second copy, and one with more than
//! [`MOST_ROWS`] is read whole, so that what is selected never changes what is found.

use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ocellus_onnx::DeviceTensor;

use super::outputs::Output;
use super::select::{HEADER, Job, PARAMS_BYTES, PARAMS_STEP, Room, Strides, jobs};
use super::{Gpu, GpuError, contained, scoped};
use crate::model::heads::{Rows, Selection};

/// The most rows of a picture that are gathered.
pub const MOST_ROWS: usize = 1024;
/// Words of a picture that are read at once: a second copy costs more than some kilobytes.
const EAGER_WORDS: usize = 4096;
/// How long a batch may take: longer than any, short enough to notice a device that hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Buffers kept for the next batch.
const KEPT: usize = 2;

/// What is brought back of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Every output.
    All,
    /// Candidates that score above the threshold.
    Above(&'a Selection, f32),
}

/// What came back.
#[derive(Debug)]
pub struct ReadBack {
    /// The numbers.
    pub values: Values,
    /// Bytes that crossed the bus.
    pub bytes: u64,
}

/// The numbers that came back.
#[derive(Debug)]
pub enum Values {
    /// Every output, pictures one after the other.
    All(Vec<Vec<f32>>),
    /// The candidates of each picture.
    Selected(Vec<Selected>),
}

/// A picture's candidates.
#[derive(Debug, Clone, PartialEq)]
pub enum Selected {
    /// More than are gathered: the outputs must be read whole.
    TooMany,
    /// All of them.
    Rows {
        /// Number and values of each, in the order of their numbers.
        rows: Vec<(usize, Vec<f32>)>,
        /// Values of other candidates that mean nothing.
        invalid: usize,
    },
}

/// Brings outputs back; keeps buffers for the next time.
#[derive(Debug)]
pub struct Reader {
    gpu: Gpu,
    found: Vec<wgpu::Buffer>,
    staging: Vec<wgpu::Buffer>,
}

/// Hears when memory can be read.
type Mapped = Receiver<Result<(), wgpu::BufferAsyncError>>;

/// A batch on its way back.
#[derive(Debug)]
pub struct Reading {
    staging: wgpu::Buffer,
    length: u64,
    mapped: Mapped,
    submission: wgpu::SubmissionIndex,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Bytes of each output.
    All(Vec<u64>),
    Selected {
        found: wgpu::Buffer,
        room: Room,
        items: usize,
        eager: usize,
    },
}

impl Reader {
    /// A reader for a GPU.
    #[must_use]
    pub fn new(gpu: Gpu) -> Self {
        Self { gpu, found: Vec::new(), staging: Vec::new() }
    }

    /// Queues what brings back a batch of `items` pictures. None where the outputs lie in a way that takes burn's
    /// own way of reading. The calling thread must be the one that ran the model.
    ///
    /// # Errors
    /// When the device fails, or has no memory.
    pub fn start(
        &mut self,
        outputs: &[DeviceTensor],
        items: usize,
        wanted: Wanted<'_>,
    ) -> Result<Option<Reading>, GpuError> {
        let gpu = self.gpu.clone();
        let started = contained(gpu.name(), || {
            let found = outputs.iter().map(|tensor| Output::find(&gpu, tensor)).collect::<Result<Vec<_>, _>>()?;
            let Some(outputs) = found.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
            // Our submissions must come after burn's, which may not have been sent off.
            gpu.client().flush().map_err(|e| GpuError::from_server(gpu.name(), &e))?;
            scoped(gpu.name(), &gpu.shared.device, || match wanted {
                Wanted::All => self.copy_all(&outputs),
                Wanted::Above(selection, score) => self.select(&outputs, items, selection, score),
            })
        });
        started.map_err(|e| gpu.whatever_else(e))
    }

    /// Waits for a batch.
    ///
    /// # Errors
    /// When the device fails or is lost.
    pub fn finish(&mut self, reading: Reading) -> Result<ReadBack, GpuError> {
        let gpu = self.gpu.clone();
        contained(gpu.name(), || self.take(reading)).map_err(|e| gpu.whatever_else(e))
    }

    fn copy_all(&mut self, outputs: &[Output]) -> Option<Reading> {
        let parts: Vec<_> = outputs.iter().map(Output::contiguous).collect::<Option<_>>()?;
        let sizes: Vec<u64> = parts.iter().map(|(_, _, bytes)| *bytes).collect();
        let staging = self.staging(sizes.iter().sum());
        let mut encoder = self.encoder();
        let mut at = 0;
        for (buffer, offset, bytes) in parts {
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, at, bytes);
            at += bytes;
        }
        Some(self.submit(encoder, staging, at, Kind::All(sizes)))
    }

    fn select(&mut self, outputs: &[Output], items: usize, selection: &Selection, score: f32) -> Option<Reading> {
        let width = selection.width();
        let room = Room { capacity: selection.rows().min(MOST_ROWS), width };
        let eager = room.capacity.min((EAGER_WORDS - HEADER) / (1 + width)).max(1);
        let strides = |rows: &Rows| outputs.get(rows.output).and_then(|output| output.strides(rows, items));
        let fits = selection.levels.iter().flat_map(|level| level.outputs()).all(|rows| strides(rows).is_some());
        if !fits {
            return None;
        }
        let jobs = jobs(selection, score, room, |rows| strides(rows).unwrap_or(Strides { item: 0, row: 0, column: 0 }));
        let found = self.found(bytes(items * room.words(room.capacity)));
        let item_bytes = bytes(room.words(room.capacity));
        let eager_bytes = bytes(room.words(eager));
        let staging = self.staging(items as u64 * eager_bytes);
        let params = self.params(&jobs);
        let mut encoder = self.encoder();
        for item in 0..items as u64 {
            encoder.clear_buffer(&found, item * item_bytes, Some(bytes(HEADER)));
        }
        self.run(&mut encoder, &jobs, outputs, &params, &found, items);
        for item in 0..items as u64 {
            encoder.copy_buffer_to_buffer(&found, item * item_bytes, &staging, item * eager_bytes, eager_bytes);
        }
        Some(self.submit(encoder, staging, items as u64 * eager_bytes, Kind::Selected { found, room, items, eager }))
    }

    fn run(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        jobs: &[Job],
        outputs: &[Output],
        params: &wgpu::Buffer,
        found: &wgpu::Buffer,
        items: usize,
    ) {
        let shared = &self.gpu.shared;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (job, at) in jobs.iter().zip((0..).step_by(PARAMS_STEP as usize)) {
            let Some(output) = outputs.get(job.rows.output) else { continue };
            let part = wgpu::BufferBinding { buffer: params, offset: at, size: NonZeroU64::new(PARAMS_BYTES) };
            let bound = [wgpu::BindingResource::Buffer(part), output.binding(), found.as_entire_binding()];
            shared.select.dispatch(&shared.device, &mut pass, job, bound, items);
        }
    }

    fn params(&self, jobs: &[Job]) -> wgpu::Buffer {
        let buffer = self.buffer("select", jobs.len() as u64 * PARAMS_STEP, wgpu::BufferUsages::UNIFORM);
        for (job, at) in jobs.iter().zip((0..).step_by(PARAMS_STEP as usize)) {
            self.gpu.shared.queue.write_buffer(&buffer, at, &job.params);
        }
        buffer
    }

    fn submit(&self, encoder: wgpu::CommandEncoder, staging: wgpu::Buffer, length: u64, kind: Kind) -> Reading {
        let submission = self.gpu.shared.queue.submit([encoder.finish()]);
        let (sender, mapped) = channel();
        staging.map_async(wgpu::MapMode::Read, ..length, move |result| {
            // Nobody listens when the reading was given up.
            let _ = sender.send(result);
        });
        Reading { staging, length, mapped, submission, kind }
    }

    fn take(&mut self, reading: Reading) -> Result<ReadBack, GpuError> {
        let words = self.words(reading.staging, reading.length, &reading.mapped, reading.submission)?;
        match reading.kind {
            Kind::All(sizes) => Ok(all(&words, &sizes)),
            Kind::Selected { found, room, items, eager } => {
                let read = self.selected(&words, &found, room, items, eager);
                keep(&mut self.found, found);
                read
            }
        }
    }

    /// Waits for what was copied to `staging`, which is kept for the next time.
    fn words(
        &mut self,
        staging: wgpu::Buffer,
        length: u64,
        mapped: &Mapped,
        submission: wgpu::SubmissionIndex,
    ) -> Result<Vec<u32>, GpuError> {
        self.wait(mapped, submission)?;
        let view = staging.get_mapped_range(..length).map_err(|e| self.gpu.failed(&e.to_string()))?;
        let words = view.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        drop(view);
        staging.unmap();
        keep(&mut self.staging, staging);
        Ok(words)
    }

    fn selected(
        &mut self,
        words: &[u32],
        found: &wgpu::Buffer,
        room: Room,
        items: usize,
        eager: usize,
    ) -> Result<ReadBack, GpuError> {
        let mut selected = Vec::with_capacity(items);
        let mut read = items as u64 * bytes(room.words(eager));
        for (item, part) in words.chunks_exact(room.words(eager)).take(items).enumerate() {
            let count = part.first().map_or(0, |n| *n as usize);
            if count > room.capacity {
                selected.push(Selected::TooMany);
            } else if count > eager {
                let at = bytes(item * room.words(room.capacity));
                let length = bytes(room.words(count));
                selected.push(rows(&self.second(found, at, length)?, room));
                read += length;
            } else {
                selected.push(rows(part, room));
            }
        }
        Ok(ReadBack { values: Values::Selected(selected), bytes: read })
    }

    /// Reads a part of `found` in a copy of its own.
    fn second(&mut self, found: &wgpu::Buffer, at: u64, length: u64) -> Result<Vec<u32>, GpuError> {
        let gpu = self.gpu.clone();
        let reading = scoped(gpu.name(), &gpu.shared.device, || {
            let staging = self.staging(length);
            let mut encoder = self.encoder();
            encoder.copy_buffer_to_buffer(found, at, &staging, 0, length);
            self.submit(encoder, staging, length, Kind::All(vec![length]))
        })?;
        self.words(reading.staging, reading.length, &reading.mapped, reading.submission)
    }

    fn wait(&self, mapped: &Mapped, submission: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
        self.gpu.shared.device.poll(poll).map_err(|e| self.gpu.failed(&e.to_string()))?;
        // Another thread's poll may be about to say so.
        match mapped.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.gpu.failed("outputs can't be read back")),
            Err(e) => Err(self.gpu.failed(&e.to_string())),
        }
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("read back") };
        self.gpu.shared.device.create_command_encoder(&descriptor)
    }

    fn found(&mut self, bytes: u64) -> wgpu::Buffer {
        let kept = fitting(&mut self.found, bytes);
        kept.unwrap_or_else(|| self.buffer("found", bytes, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC))
    }

    fn staging(&mut self, bytes: u64) -> wgpu::Buffer {
        let kept = fitting(&mut self.staging, bytes);
        kept.unwrap_or_else(|| self.buffer("staging", bytes, wgpu::BufferUsages::MAP_READ))
    }

    fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.gpu.shared.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }
}

fn bytes(words: usize) -> u64 {
    words as u64 * 4
}

/// A kept buffer of this size or more, not one out of all proportion.
fn fitting(kept: &mut Vec<wgpu::Buffer>, bytes: u64) -> Option<wgpu::Buffer> {
    let at = kept.iter().position(|buffer| (bytes..=bytes.saturating_mul(16)).contains(&buffer.size()))?;
    Some(kept.swap_remove(at))
}

fn keep(kept: &mut Vec<wgpu::Buffer>, buffer: wgpu::Buffer) {
    if kept.len() >= KEPT {
        kept.remove(0);
    }
    kept.push(buffer);
}

fn all(words: &[u32], sizes: &[u64]) -> ReadBack {
    let mut rest = words;
    let mut values = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (output, after) = rest.split_at(rest.len().min((*size / 4) as usize));
        values.push(output.iter().map(|word| f32::from_bits(*word)).collect());
        rest = after;
    }
    ReadBack { values: Values::All(values), bytes: sizes.iter().sum() }
}

/// The rows in a picture's part, as many as its header says.
fn rows(part: &[u32], room: Room) -> Selected {
    let [count, invalid, entries @ ..] = part else { return Selected::TooMany };
    let entries = entries.chunks_exact(1 + room.width).take(*count as usize);
    let mut rows: Vec<(usize, Vec<f32>)> = entries
        .filter_map(|entry| {
            let (number, values) = entry.split_first()?;
            Some((*number as usize, values.iter().map(|word| f32::from_bits(*word)).collect()))
        })
        .collect();
    // The device notes them in whatever order its threads come.
    rows.sort_unstable_by_key(|(number, _)| *number);
    Selected::Rows { rows, invalid: *invalid as usize }
}
