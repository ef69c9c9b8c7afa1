//! What the process says: to systemd's journal with fields, in colours on a terminal, plainly anywhere else; and never
//! the same trouble again and again.
//!
//! `RUST_LOG` sets what is said.

mod journal;
mod repeats;

use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use self::journal::Journal;
use self::repeats::Repeats;
use crate::clock::SystemClock;

/// Libraries of the GPU and of the embedded broker report as errors and warnings what is not ours to act on.
const QUIET: &str = "wgpu_hal=off,wgpu_core=error,naga=error,rumqttd=off,cubecl_runtime=error,tract=error";

/// Starts logging to stderr, or to the journal where stderr leads there. `default` is what is said unless `RUST_LOG` says
/// otherwise; tools are quiet unless something is wrong. With `sparing` repeated trouble is counted instead of said.
pub fn start(default: &str, sparing: bool) {
    let filter = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse::<EnvFilter>().ok())
        .unwrap_or_else(|| EnvFilter::new(format!("{default},{QUIET}")));
    let output = match Journal::of_stderr() {
        Some(journal) => journal.boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
    };
    let repeats = sparing.then(|| {
        let repeats = Arc::new(Repeats::new(Arc::new(SystemClock)));
        repeats::count_in_background(Arc::clone(&repeats));
        repeats::Spare(repeats)
    });
    tracing_subscriber::registry().with(filter).with(repeats).with(output).init();
}
