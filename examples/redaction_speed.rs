//! How long redaction takes: a whole picture made unrecognisable, the best of several times.
//!
//! ```text
//! cargo run --release --example redaction_speed -- 1280x720 ROUNDS
//! ```
//!
//! Prints the milliseconds of each method as JSON. `benches/redaction.py` compares them with OpenCV's.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use ocellus::config::Method;
use ocellus::detection::Rect;
use ocellus::frame::{Image, PixelFormat};
use ocellus::privacy::obscured;

const USAGE: &str = "usage: redaction_speed WIDTHxHEIGHT ROUNDS";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [size, rounds] = &arguments[..] else { return Err(USAGE.into()) };
    let (width, height) = size.split_once('x').ok_or(USAGE)?;
    let (width, height, rounds): (u32, u32, u32) = (width.parse()?, height.parse()?, rounds.parse()?);
    let pixels: Vec<u8> = (0..PixelFormat::Rgb8.bytes(width, height)).map(|i| (i * i % 251).to_le_bytes()[0]).collect();
    let picture = Image::new(width, height, PixelFormat::Rgb8, pixels.into())?;
    let mut best = BTreeMap::new();
    for (name, method) in [("fill", Method::Fill), ("pixelate", Method::Pixelate), ("blur", Method::Blur)] {
        let mut least = f64::INFINITY;
        for _ in 0..rounds {
            let start = Instant::now();
            obscured(&picture, &[Rect::FULL], method).ok_or("no picture is left")?;
            least = least.min(start.elapsed().as_secs_f64() * 1e3);
        }
        best.insert(name, least);
    }
    println!("{}", serde_json::to_string(&best)?);
    Ok(())
}
