//! Writes frames of the simulated conveyor and their truth as a COCO data set.
//!
//! ```text
//! cargo run --release --example conveyor_frames -- --seed 1 --count 20 --stride 25 OUT
//! ```
//!
//! `OUT/images/*.jpg` (or `.png` with `--format png`, or none with `--format none`) and `OUT/instances.json`. `--seeds N` takes as many seeds in a
//! row, `--count` frames of each; `--stride` is how many frames (at `--fps`) lie between two that are written.
//! Parts that are hardly visible are in the annotations as `iscrowd`, which COCO's rules neither reward nor punish.

use std::error::Error;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use ocellus::camera::sim::{Conveyor, ConveyorOptions, LABELS, SimFrame, TruthBox};
use serde_json::{Value, json};

const USAGE: &str = "usage: conveyor_frames [--seed S] [--seeds N] [--count N] [--stride K] [--fps F] [--leaning 0..1] \
[--size WxH] [--format jpg|png|none] [--quality 1..100] OUT";

struct Args {
    options: ConveyorOptions,
    seeds: u64,
    count: u64,
    stride: u64,
    format: Format,
    quality: u8,
    out: PathBuf,
}

/// How pictures are written.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Jpg,
    Png,
    /// Not at all.
    None,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = parse(std::env::args().skip(1))?;
    fs::create_dir_all(args.out.join("images"))?;
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    let mut rendering = std::time::Duration::ZERO;
    for seed in args.options.seed..args.options.seed.saturating_add(args.seeds) {
        let mut conveyor = Conveyor::new(ConveyorOptions { seed, ..args.options })?;
        for i in 0..args.count {
            let n = i * args.stride;
            let start = Instant::now();
            let frame = conveyor.frame(n)?;
            rendering += start.elapsed();
            let extension = if args.format == Format::Png { "png" } else { "jpg" };
            let name = format!("s{seed:05}_f{n:06}.{extension}");
            save(&args, &args.out.join("images").join(&name), &frame)?;
            let image = images.len() + 1;
            let (width, height) = (frame.image.width(), frame.image.height());
            images.push(json!({"id": image, "file_name": name, "width": width, "height": height}));
            for truth in &frame.truth {
                annotations.push(annotation(annotations.len() + 1, image, truth, width, height));
            }
        }
    }
    let categories: Vec<Value> =
        LABELS.iter().enumerate().map(|(i, name)| json!({"id": i + 1, "name": name})).collect();
    let fps = images.len() as f64 / rendering.as_secs_f64();
    eprintln!("{} frames, {} parts; rendered at {fps:.0} frames a second", images.len(), annotations.len());
    let info = json!({"description": "frames of the simulated conveyor of Ocellus"});
    let all = json!({"info": info, "images": images, "annotations": annotations, "categories": categories});
    let mut file = BufWriter::new(fs::File::create(args.out.join("instances.json"))?);
    serde_json::to_writer(&mut file, &all)?;
    file.flush()?;
    Ok(())
}

fn annotation(id: usize, image: usize, truth: &TruthBox, width: u32, height: u32) -> Value {
    let (w, h) = (f64::from(width), f64::from(height));
    let r = truth.rect;
    let pixels = [f64::from(r.x) * w, f64::from(r.y) * h, f64::from(r.w) * w, f64::from(r.h) * h]
        .map(|v| (v * 100.0).round() / 100.0);
    json!({
        "id": id, "image_id": image, "category_id": truth.class + 1, "bbox": pixels, "area": pixels[2] * pixels[3],
        "iscrowd": u8::from(truth.ignored()), "visible": truth.visible, "part": truth.part,
    })
}

fn save(args: &Args, path: &Path, frame: &SimFrame) -> Result<(), Box<dyn Error>> {
    let (width, height) = (frame.image.width(), frame.image.height());
    if args.format == Format::None {
        return Ok(());
    }
    if args.format == Format::Png {
        image::save_buffer(path, frame.image.pixels(), width, height, image::ExtendedColorType::Rgb8)?;
    } else {
        let mut encoder = Encoder::new_file(path, args.quality)?;
        encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
        encoder.encode(frame.image.pixels(), u16::try_from(width)?, u16::try_from(height)?, ColorType::Rgb)?;
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, Box<dyn Error>> {
    let mut args = Args {
        options: ConveyorOptions::default(),
        seeds: 1,
        count: 20,
        stride: 25,
        format: Format::Jpg,
        quality: 92,
        out: PathBuf::new(),
    };
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            args.out = PathBuf::from(word);
            continue;
        };
        let value = words.next().ok_or_else(|| format!("--{name} needs a value\n{USAGE}"))?;
        match name {
            "seed" => args.options.seed = value.parse()?,
            "seeds" => args.seeds = value.parse()?,
            "count" => args.count = value.parse()?,
            "stride" => args.stride = value.parse()?,
            "fps" => args.options.fps = value.parse()?,
            "leaning" => args.options.leaning = value.parse()?,
            "size" => {
                let (w, h) = value.split_once('x').ok_or(USAGE)?;
                (args.options.width, args.options.height) = (w.parse()?, h.parse()?);
            }
            "format" => {
                args.format = match &*value {
                    "jpg" => Format::Jpg,
                    "png" => Format::Png,
                    "none" => Format::None,
                    _ => return Err(format!("there is no format {value}\n{USAGE}").into()),
                }
            }
            "quality" => args.quality = value.parse()?,
            _ => return Err(format!("there is no --{name}\n{USAGE}").into()),
        }
    }
    if args.out.as_os_str().is_empty() { Err(USAGE.into()) } else { Ok(args) }
}
