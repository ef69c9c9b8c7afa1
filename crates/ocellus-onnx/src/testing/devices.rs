//! The software Vulkan device that tests of GPU code run on.

use std::sync::OnceLock;

use burn::tensor::wgpu::{WgpuBackend, WgpuSetup};
use burn::tensor::{Device, DeviceKind};

/// One software device for all tests of the process.
///
/// Where there is none the test that asks is skipped, and says so; with `CI=true` that is a failure.
pub(crate) fn software_gpu() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE.get_or_init(|| open(WgpuBackend::Vulkan).map(|(device, _)| device)).clone()
}

/// A second software device, for one test to destroy.
pub(crate) fn doomed_gpu() -> Option<(Device, WgpuSetup)> {
    // Devices are known by what was asked for, so this is another one.
    open(WgpuBackend::Auto)
}

fn open(api: WgpuBackend) -> Option<(Device, WgpuSetup)> {
    let opened = Device::wgpu_options().device_kind(DeviceKind::Cpu).graphics_api(api).init_with_setup();
    match opened {
        Ok(opened) => Some(opened),
        Err(reason) => {
            let required = std::env::var("CI").as_deref() == Ok("true");
            assert!(!required, "there is no software Vulkan device, and CI must have one: {reason}");
            eprintln!("skipped: there is no software Vulkan device ({reason})");
            None
        }
    }
}
