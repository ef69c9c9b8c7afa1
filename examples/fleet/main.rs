//! Writes the insights of a simulated fleet, for `make bench-fleet`.
//!
//! ```text
//! cargo run --release --example fleet -- FOLDER --nodes 100 --days 30 --hours-per-file 1 --drift-from 20
//! ```
//!
//! Prints one JSON object: how many files, rows, frames and detections there are, and which cameras drift from which day on.

mod simulate;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// Where the files go
    folder: PathBuf,
    #[arg(long, default_value_t = 100)]
    nodes: u32,
    #[arg(long, default_value_t = 30)]
    days: u32,
    #[arg(long, default_value_t = 1)]
    hours_per_file: u32,
    /// The day from which one camera of eight drifts, from 0; none do without it
    #[arg(long)]
    drift_from: Option<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Args { folder, nodes, days, hours_per_file, drift_from } = Args::parse();
    let fleet = simulate::Fleet { nodes, days, hours_per_file, drift_from };
    println!("{}", fleet.write(&folder)?);
    Ok(())
}
