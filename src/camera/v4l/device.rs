//! A device as the kernel shows it, through the crate `linuxvideo`.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use linuxvideo::controls::{Cid, ControlDesc, ControlFlags, CtrlType};
use linuxvideo::format::{FrameIntervals, FrameSizes, PixFormat, PixelFormat};
use linuxvideo::stream::ReadStream;
use linuxvideo::{BufType, CapabilityFlags, Device, Fract};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::choose::{Choice, Interval, Mode, Rates, Sizes, understood};
use super::controls::{self, Control, Kind};
use crate::camera::capture::Controls;
use crate::camera::pixels::{Converter, PixelsError};
use crate::frame::Image;

/// What the kernel answers who asks for what a device doesn't have (`errno.h`).
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
/// The most formats, sizes of one and rates of one that are looked at; no real device has as many.
const MANY: usize = 256;

/// Who a device says it is.
pub(super) struct Identity {
    pub name: String,
    pub driver: String,
    pub bus: String,
}

/// Opens a device that captures.
pub(super) fn open(path: &Path) -> io::Result<Device> {
    match identify(path)? {
        Some((device, _)) => Ok(device),
        None => Err(io::Error::other("it gives no pictures: a camera may have several devices, of which one does")),
    }
}

/// Opens a device; `None` where it is none that captures.
pub(super) fn identify(path: &Path) -> io::Result<Option<(Device, Identity)>> {
    let device = contained(|| Device::open(path))?;
    let said = contained(|| device.capabilities())?;
    let kind = said.device_capabilities();
    if kind.contains(CapabilityFlags::VIDEO_CAPTURE_MPLANE) {
        return Err(io::Error::other("it gives pictures in several planes only, which is not supported"));
    }
    let identity = contained(|| {
        let [name, driver, bus] = [said.card(), said.driver(), said.bus_info()].map(str::to_owned);
        Ok(Identity { name, driver, bus })
    })?;
    Ok(kind.contains(CapabilityFlags::VIDEO_CAPTURE).then_some((device, identity)))
}

/// Everything that the device says it can give. `wanted` is a size to look at where any can be set.
pub(super) fn modes(device: &Device, wanted: Option<[u32; 2]>) -> io::Result<Vec<Mode>> {
    let mut modes = Vec::new();
    for format in device.formats(BufType::VIDEO_CAPTURE).take(MANY) {
        let format = format?.pixel_format();
        let fourcc = format.as_fourcc();
        let sizes = if understood(fourcc).is_some() { sizes(device, format) } else { Vec::new() };
        if sizes.is_empty() {
            modes.push(Mode { fourcc, size: current(device), rates: Rates::Unknown });
        }
        for size in sizes.iter().take(MANY).flat_map(|sizes| sizes.candidates(wanted)) {
            modes.push(Mode { fourcc, size, rates: rates(device, format, size) });
        }
    }
    Ok(modes)
}

/// The size that is set, for a format whose sizes the device doesn't list.
fn current(device: &Device) -> [u32; 2] {
    match contained(|| device.format(BufType::VIDEO_CAPTURE)) {
        Ok(linuxvideo::format::Format::VideoCapture(format)) => [format.width(), format.height()],
        _ => [0, 0],
    }
}

fn sizes(device: &Device, format: PixelFormat) -> Vec<Sizes> {
    match contained(|| device.frame_sizes(format)) {
        Ok(FrameSizes::Discrete(all)) => all.iter().map(|one| Sizes::One([one.width(), one.height()])).collect(),
        Ok(FrameSizes::Stepwise(range) | FrameSizes::Continuous(range)) => vec![Sizes::Range {
            least: [range.min_width(), range.min_height()],
            most: [range.max_width(), range.max_height()],
            step: [range.step_width(), range.step_height()],
        }],
        Err(_) => Vec::new(),
    }
}

fn rates(device: &Device, format: PixelFormat, [width, height]: [u32; 2]) -> Rates {
    match contained(|| device.frame_intervals(format, width, height)) {
        Ok(FrameIntervals::Discrete(all)) => {
            Rates::Some(all.iter().take(MANY).map(|one| interval(one.fract())).collect())
        }
        // The longest interval is the lowest rate.
        Ok(FrameIntervals::Stepwise(range) | FrameIntervals::Continuous(range)) => {
            Rates::Range(interval(range.max()).fps(), interval(range.min()).fps())
        }
        Err(_) => Rates::Unknown,
    }
}

fn interval(fraction: &Fract) -> Interval {
    Interval { numerator: fraction.numerator(), denominator: fraction.denominator() }
}

/// The controls that the device says it has.
pub(super) fn list_controls(device: &Device) -> io::Result<Vec<Control>> {
    let mut found = Vec::new();
    for listed in device.controls() {
        match listed {
            Ok(listed) if listed.control_type() == CtrlType::CTRL_CLASS => {}
            Ok(listed) => found.push(contained(|| Ok(control(device, &listed)))?),
            // What a device without controls answers.
            Err(error) if matches!(error.raw_os_error(), Some(EINVAL | ENOTTY)) => break,
            Err(error) => return Err(error),
        }
    }
    let first = Cid::BRIGHTNESS;
    if !found.iter().any(|control| control.id == first) && device.read_control_raw(first).is_ok() {
        found.insert(0, brightness());
    }
    Ok(found)
}

/// The control with the lowest number that there is. The crate lists what comes after it, and asks for nothing else.
fn brightness() -> Control {
    Control {
        id: Cid::BRIGHTNESS,
        name: "brightness".to_owned(),
        kind: Kind::Unlimited,
        least: i32::MIN.into(),
        most: i32::MAX.into(),
        default: 0,
        fixed: false,
    }
}

fn control(device: &Device, listed: &ControlDesc) -> Control {
    let kind = match listed.control_type() {
        CtrlType::BOOLEAN => Kind::Flag,
        CtrlType::INTEGER | CtrlType::INTEGER_MENU => Kind::Number,
        CtrlType::MENU => {
            let choices = device.enumerate_menu(listed).filter_map(Result::ok).take(MANY);
            Kind::Menu(choices.map(|choice| (i64::from(choice.index()), choice.name().to_owned())).collect())
        }
        _ => Kind::Other,
    };
    Control {
        id: listed.id(),
        name: controls::plain(listed.name()),
        kind,
        least: listed.minimum().into(),
        most: listed.maximum().into(),
        default: listed.default_value().into(),
        fixed: listed.flags().intersects(ControlFlags::READ_ONLY | ControlFlags::HAS_PAYLOAD),
    }
}

/// Sets what the configuration wants.
pub(super) fn set_controls(device: &mut Device, wanted: &Controls) -> Result<(), String> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = list_controls(device).map_err(|error| format!("its controls can't be listed: {error}"))?;
    for setting in controls::plan(&known, wanted)? {
        let (name, value) = (&setting.control.name, setting.value);
        let failed = |reason: String| format!("its control `{name}` can't be set to {value}: {reason}");
        let number = i32::try_from(value).map_err(|error| failed(error.to_string()))?;
        device.write_control_raw(setting.control.id, number).map_err(|error| failed(error.to_string()))?;
        // Drivers take the nearest number that they can.
        match device.read_control_raw(setting.control.id) {
            Ok(taken) if taken != number && setting.control.kind == Kind::Unlimited => {
                return Err(failed(format!("the nearest that it takes is {taken}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What the device was set to.
pub(super) struct Agreed {
    pub size: (u32, u32),
    pub stride: u32,
    /// Pictures a second, where it says so.
    pub fps: Option<f64>,
}

/// A stream from a device: pictures through buffers that are shared with its driver.
pub(super) struct Session(ReadStream);

impl Session {
    /// Sets format, size and rate, and starts the stream. Drivers take what is nearest: that it is the format is
    /// checked here.
    pub fn start(device: Device, choice: &Choice) -> io::Result<(Self, Agreed)> {
        let [width, height] = choice.size;
        let wanted = PixelFormat::from_fourcc(choice.fourcc);
        let device = contained(|| device.video_capture(PixFormat::new(width, height, wanted)))?;
        let format = device.format();
        if format.pixel_format() != wanted {
            return Err(io::Error::other(format!("it took the format {} instead of {wanted}", format.pixel_format())));
        }
        let (size, stride) = ((format.width(), format.height()), format.bytes_per_line());
        // Not every driver lets its rate be set; what it has is used then.
        let rate = choice.interval.filter(|interval| interval.fps() > 0.0);
        let set = rate.and_then(|i| device.set_frame_interval(Fract::new(i.numerator, i.denominator)).ok());
        let fps = set.map(|fraction| interval(&fraction).fps()).filter(|fps| *fps > 0.0);
        let stream = contained(|| device.into_stream())?;
        Ok((Self(stream), Agreed { size, stride, fps }))
    }
}

impl super::Feed for Session {
    fn next(&mut self, wait: Duration, to: &Converter) -> io::Result<Option<Result<Image, PixelsError>>> {
        let limit = Timespec::try_from(wait).ok();
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], limit.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = &mut self.0;
        contained(|| {
            stream.dequeue(|buffer| {
                Ok(Some(if buffer.is_error() { Err(PixelsError::Damaged) } else { to.image(&buffer) }))
            })
        })
    }
}

/// Runs the crate, which panics where a driver says something that it doesn't know.
fn contained<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(io::Error::other("its driver says something that is not understood")))
}
