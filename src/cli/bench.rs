//! `ocellus bench`: latency and throughput of a model, stage by stage.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde::Serialize;

use super::{Failure, ModelArgs, print, progress};
use crate::daemon::percentiles;
use crate::frame::{Image, PixelFormat};
use crate::model::engine::{EngineOptions, Outcome};
use crate::status::Percentiles;

/// Size of the picture that is scored: what a substream of a factory camera delivers.
const PICTURE: (u32, u32) = (640, 360);
/// Batches that are run before the clock starts.
const WARM_UP: usize = 3;

#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures that run together
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    batch: u32,
    /// Threads that share a batch on the CPU; all cores by default
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// How long to measure
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v > 0.0 && v <= 3600.0 => Ok(v),
        _ => Err("take seconds, above 0 and at most 3600".to_owned()),
    }
}

/// What was measured. Stages are per picture, in milliseconds.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    device: String,
    /// Floats of the model.
    precision: &'static str,
    /// Width and height of the model's input.
    input: [u32; 2],
    /// Width and height of the pictures scored.
    picture: [u32; 2],
    batch: u32,
    threads: usize,
    pictures: usize,
    pictures_per_second: f64,
    batch_ms: Percentiles,
    preprocess_ms: Percentiles,
    model_ms: Percentiles,
    /// The model's fastest run.
    model_min_ms: f64,
    decode_ms: Percentiles,
    /// Bytes that came back from a GPU, per picture.
    read_back_bytes: u64,
}

impl Bench {
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut options = EngineOptions { batch: self.batch as usize, ..EngineOptions::default() };
        if let Some(threads) = self.threads {
            options.threads = threads as usize;
        }
        let mut engine = self.model.engine(&options)?;
        let picture = noise(PICTURE.0, PICTURE.1)?;
        let batch = vec![&picture; self.batch as usize];
        for _ in 0..WARM_UP {
            engine.score(&batch)?;
        }
        let progress = progress::counter();
        progress.set_message(engine.spec().name.clone());
        let mut outcomes: Vec<Outcome> = Vec::new();
        let mut batches = Vec::new();
        let started = Instant::now();
        let elapsed = loop {
            let one = Instant::now();
            outcomes.extend(engine.score(&batch)?);
            batches.push(one.elapsed().as_secs_f64() * 1e3);
            progress.set_position(outcomes.len() as u64);
            let elapsed = started.elapsed();
            if elapsed >= Duration::from_secs_f64(self.seconds) {
                break elapsed.as_secs_f64();
            }
        };
        progress.finish_and_clear();
        let stage = |of: fn(&Outcome) -> f64| percentiles(outcomes.iter().map(of));
        let (w, h) = engine.input_size();
        let report = Report {
            model: engine.spec().name.clone(),
            device: engine.device().to_owned(),
            precision: engine.precision(),
            input: [w, h],
            picture: [PICTURE.0, PICTURE.1],
            batch: self.batch,
            threads: options.threads,
            pictures: outcomes.len(),
            pictures_per_second: (outcomes.len() as f64 / elapsed * 100.0).round() / 100.0,
            batch_ms: percentiles(batches),
            preprocess_ms: stage(|o| o.preprocess_ms),
            model_ms: stage(|o| o.model_ms),
            model_min_ms: outcomes.iter().map(|o| o.model_ms).fold(f64::INFINITY, f64::min),
            decode_ms: stage(|o| o.decode_ms),
            read_back_bytes: outcomes.iter().map(|o| o.read_back_bytes).sum::<u64>() / outcomes.len().max(1) as u64,
        };
        if self.json { print(&serde_json::to_string(&report)?) } else { table(&report) }
    }
}

fn table(report: &Report) -> Result<(), Failure> {
    let Report { model, device, precision, input, picture, batch, pictures, pictures_per_second, .. } = report;
    let together = if *batch == 1 { "one at a time".to_owned() } else { format!("{batch} at a time") };
    print(&format!(
        "{model} in {precision} on {device}, input {}x{}, pictures {}x{}",
        input[0], input[1], picture[0], picture[1]
    ))?;
    print(&format!("{pictures} pictures, {together}: {pictures_per_second} a second"))?;
    print("milliseconds       p50       p95       p99")?;
    let rows = [
        ("preprocess", report.preprocess_ms),
        ("model", report.model_ms),
        ("decode", report.decode_ms),
        ("whole batch", report.batch_ms),
    ];
    for (name, p) in rows {
        print(&format!("{name:<12} {:>9.2} {:>9.2} {:>9.2}", p.p50, p.p95, p.p99))?;
    }
    if report.read_back_bytes > 0 {
        print(&format!("read back    {} bytes a picture", report.read_back_bytes))?;
    }
    Ok(())
}

/// A picture of noise, the same every time: nothing in it lets a stage take a short cut.
fn noise(width: u32, height: u32) -> Result<Image, Failure> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let pixels: Vec<u8> = (0..PixelFormat::I420.bytes(width, height))
        .map(|_| {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[7]
        })
        .collect();
    Ok(Image::new(width, height, PixelFormat::I420, Bytes::from(pixels))?)
}
