//! Time of one run of a model on the CPU, median and fastest in milliseconds, on noise.
//!
//! `cargo run --release --example model_speed -p ocellus-onnx -p ocellus -- THREADS SECONDS MODEL...`

use std::error::Error;
use std::time::{Duration, Instant};

use ocellus_onnx::{CpuPlan, Graph, Limits, Tensor};

/// Runs before the clock starts.
const WARM_UP: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: model_speed THREADS SECONDS MODEL...";
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().ok_or(usage)?.parse()?;
    let seconds: f64 = arguments.next().ok_or(usage)?.parse()?;
    for model in arguments {
        let graph = Graph::load(model.as_ref(), &Limits::default())?;
        let plan = CpuPlan::with_threads(&graph, threads)?;
        let inputs: Vec<Tensor> = graph.inputs().iter().map(|info| noise(&info.shape)).collect();
        for _ in 0..WARM_UP {
            plan.run(&inputs)?;
        }
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut times = Vec::new();
        while times.is_empty() || Instant::now() < end {
            let start = Instant::now();
            plan.run(&inputs)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("{model}: median {:.3}, fastest {:.3}", times[times.len() / 2], times[0]);
    }
    Ok(())
}

/// Values from 0 to 255.
fn noise(shape: &[usize]) -> Tensor {
    let mut state: u32 = 1;
    let mut value = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32
    };
    Tensor { shape: shape.to_vec(), data: (0..shape.iter().product()).map(|_| value()).collect() }
}
