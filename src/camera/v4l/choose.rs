//! Which of a device's formats, sizes and rates to take.
//!
//! What the configuration leaves open is chosen so that a detector sees enough and a plain machine keeps up: the most
//! pixels up to 1080p that come at the wanted rate; of formats that give these, the one that is cheapest to read.

use super::super::bayer::Bayer;
use super::super::capture::{Capture, CaptureFormat};
use super::super::pixels::Layout;

/// The most pixels that are taken unasked.
const ENOUGH: u64 = 1920 * 1080;
/// Pictures a second that are wanted where nobody said: PAL's rate and more.
const FLUENT: f64 = 25.0;
/// The highest rate that is taken unasked; a little more than that of NTSC.
const UNASKED: f64 = 30.1;
/// Cameras that claim 29.97 are meant by who asks for 30.
const NEARLY: f64 = 0.99;
/// Sizes that are tried of a camera that can be set to any.
const COMMON: [[u32; 2]; 8] =
    [[1920, 1080], [1600, 1200], [1280, 960], [1280, 720], [1024, 768], [800, 600], [640, 480], [320, 240]];

/// A time between two pictures, in seconds, as drivers give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub numerator: u32,
    pub denominator: u32,
}

impl Interval {
    /// Pictures a second; 0 where it makes no sense.
    pub fn fps(self) -> f64 {
        match self {
            Self { numerator: 0, .. } | Self { denominator: 0, .. } => 0.0,
            Self { numerator, denominator } => f64::from(denominator) / f64::from(numerator),
        }
    }

    fn of(fps: f64) -> Self {
        // Thousandths are as fine as any camera's clock.
        Self { numerator: 1000, denominator: (fps * 1000.0).round().clamp(1.0, 1e9) as u32 }
    }
}

/// The rates that a device has at one size.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rates {
    /// These.
    Some(Vec<Interval>),
    /// All from the first to the last, in pictures a second.
    Range(f64, f64),
    /// It doesn't say.
    Unknown,
}

/// The sizes that a device has in one format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sizes {
    One([u32; 2]),
    /// From the first to the second in steps.
    Range {
        least: [u32; 2],
        most: [u32; 2],
        step: [u32; 2],
    },
}

impl Sizes {
    pub fn has(&self, size: [u32; 2]) -> bool {
        match self {
            Self::One(one) => *one == size,
            Self::Range { least, most, step } => {
                let along = |at: u32, least: u32, most: u32, step: u32| {
                    (least..=most).contains(&at) && (at - least).is_multiple_of(step.max(1))
                };
                along(size[0], least[0], most[0], step[0]) && along(size[1], least[1], most[1], step[1])
            }
        }
    }

    /// Sizes worth looking at: of a range the common ones, with the wanted one, and its largest.
    pub fn candidates(&self, wanted: Option<[u32; 2]>) -> Vec<[u32; 2]> {
        match self {
            Self::One(one) => vec![*one],
            Self::Range { least, most, .. } => {
                let mut sizes: Vec<_> = wanted.into_iter().chain(COMMON).filter(|size| self.has(*size)).collect();
                if sizes.is_empty() {
                    sizes.extend([*most, *least]);
                }
                sizes
            }
        }
    }
}

/// One thing that a device can give.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mode {
    pub fourcc: [u8; 4],
    pub size: [u32; 2],
    pub rates: Rates,
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub fourcc: [u8; 4],
    pub layout: Layout,
    pub size: [u32; 2],
    /// `None` where the device doesn't say which it has.
    pub interval: Option<Interval>,
}

/// What a device's code for a format means, where it is understood.
pub(super) fn understood(fourcc: [u8; 4]) -> Option<(CaptureFormat, Layout)> {
    Some(match &fourcc {
        b"NV12" => (CaptureFormat::Nv12, Layout::Nv12),
        b"YUYV" => (CaptureFormat::Yuyv, Layout::Yuyv),
        b"RGB3" => (CaptureFormat::Rgb, Layout::Rgb),
        b"GREY" => (CaptureFormat::Grey, Layout::Grey),
        b"BA81" => (CaptureFormat::Bayer, Layout::Bayer(Bayer::Bggr)),
        b"GBRG" => (CaptureFormat::Bayer, Layout::Bayer(Bayer::Gbrg)),
        b"GRBG" => (CaptureFormat::Bayer, Layout::Bayer(Bayer::Grbg)),
        b"RGGB" => (CaptureFormat::Bayer, Layout::Bayer(Bayer::Rggb)),
        b"MJPG" | b"JPEG" => (CaptureFormat::Mjpg, Layout::Mjpg),
        _ => return None,
    })
}

/// Chooses among a device's modes; the text of an error says what there is.
pub(super) fn choose(modes: &[Mode], wish: &Capture) -> Result<Choice, String> {
    let readable: Vec<_> = modes.iter().filter_map(|mode| Some((mode, understood(mode.fourcc)?))).collect();
    let readable: Vec<_> = readable.into_iter().filter(|(mode, (_, layout))| fits(mode.size, *layout)).collect();
    if readable.is_empty() {
        return Err(format!("it gives no format that is understood (it has {})", list(modes.iter().map(code))));
    }
    let in_format: Vec<_> =
        readable.iter().filter(|(_, (format, _))| wish.format.is_none_or(|wanted| wanted == *format)).collect();
    if in_format.is_empty() {
        let wanted = wish.format.map_or_else(String::new, |format| format.to_string());
        let formats = list(readable.iter().map(|(_, (format, _))| format.to_string()));
        return Err(format!("it does not give the format {wanted} (it has {formats})"));
    }
    let in_size: Vec<_> =
        in_format.iter().filter(|(mode, _)| wish.size.is_none_or(|wanted| wanted == mode.size)).collect();
    let wanted = wish.fps.map(f64::from);
    let best = in_size.iter().max_by(|a, b| {
        let rank = |(mode, (format, _)): &(&Mode, (CaptureFormat, Layout))| {
            let pixels = u64::from(mode.size[0]) * u64::from(mode.size[1]);
            let reach = reach(&mode.rates, wanted.unwrap_or(FLUENT));
            // A whole number, so that it has an order: reaching the rate, not too large, large, cheap.
            let size = if pixels <= ENOUGH { (1, pixels) } else { (0, u64::MAX - pixels) };
            (wish.size.is_some() || size.0 == 1, reach, size, std::cmp::Reverse(*format))
        };
        rank(a).cmp(&rank(b))
    });
    let Some((mode, (_, layout))) = best else {
        let [w, h] = wish.size.unwrap_or_default();
        let sizes = list(in_format.iter().map(|(mode, _)| format!("{}x{}", mode.size[0], mode.size[1])));
        return Err(format!("it does not give pictures of {w}x{h} pixels (it has {sizes})"));
    };
    Ok(Choice { fourcc: mode.fourcc, layout: *layout, size: mode.size, interval: rate(&mode.rates, wanted) })
}

/// Whether pictures of this size can be read in this layout.
fn fits(size: [u32; 2], layout: Layout) -> bool {
    let paired = matches!(layout, Layout::Yuyv | Layout::Nv12);
    crate::frame::check_size(size[0], size[1]).is_ok() && !(paired && size[0] % 2 == 1)
}

/// How much of the wanted rate a mode reaches, in per cent, at most 100.
fn reach(rates: &Rates, wanted: f64) -> u8 {
    let highest = match rates {
        Rates::Some(intervals) => intervals.iter().map(|i| i.fps()).fold(0.0, f64::max),
        Rates::Range(_, highest) => *highest,
        Rates::Unknown => wanted,
    };
    if highest >= wanted * NEARLY { 100 } else { (highest / wanted * 100.0).clamp(0.0, 99.0) as u8 }
}

/// The lowest rate that is enough; where nobody said, the highest up to 30; else the highest there is.
fn rate(rates: &Rates, wanted: Option<f64>) -> Option<Interval> {
    match rates {
        Rates::Unknown => wanted.map(Interval::of),
        Rates::Range(least, most) => Some(Interval::of(wanted.unwrap_or(UNASKED.floor()).min(*most).max(*least))),
        Rates::Some(intervals) => {
            let sane = || intervals.iter().copied().filter(|i| i.fps() > 0.0);
            let highest = || sane().max_by(|a, b| a.fps().total_cmp(&b.fps()));
            match wanted {
                Some(fps) => sane().filter(|i| i.fps() >= fps * NEARLY).min_by(|a, b| a.fps().total_cmp(&b.fps())),
                None => sane().filter(|i| i.fps() <= UNASKED).max_by(|a, b| a.fps().total_cmp(&b.fps())),
            }
            .or_else(highest)
        }
    }
}

/// A format's code as `v4l2-ctl` shows it: the highest bit says that the bytes of a pixel come in the other order.
pub(super) fn code(mode: &Mode) -> String {
    let [a, b, c, d] = mode.fourcc;
    let order = if d & 0x80 == 0 { "" } else { "-BE" };
    format!("{}{order}", String::from_utf8_lossy(&[a, b, c, d & 0x7F]).trim())
}

/// Each once, in the order given.
fn list(names: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    if seen.is_empty() { "none".to_owned() } else { seen.join(", ") }
}

#[cfg(test)]
mod tests;
