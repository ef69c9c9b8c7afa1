//! Progress of long work, on stderr and only where people look at it.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for work of known length, in pictures.
pub(super) fn bar(pictures: usize) -> ProgressBar {
    drawn(Some(pictures as u64), "{bar:32} {pos}/{len} pictures, {per_sec}, {eta} left")
}

/// A counter for work whose length is not known; the message says what is being read.
pub(super) fn counter() -> ProgressBar {
    drawn(None, "{spinner} {msg}: {pos} frames, {per_sec}")
}

/// A bar for the steps of work that its message describes; their number comes later.
pub(super) fn steps() -> ProgressBar {
    let bar = drawn(Some(0), "{spinner} {bar:32} {msg}, {elapsed} so far");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn drawn(length: Option<u64>, template: &str) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(length, target);
    // The templates are constants; were one wrong, the default style would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
