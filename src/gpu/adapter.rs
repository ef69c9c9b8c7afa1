//! Which adapter, and a device on it.

use burn::tensor::Device as BurnDevice;
use burn::tensor::wgpu::WgpuSetup;
use futures::FutureExt;
use wgpu::{AdapterInfo, Backend, Backends, DeviceType, Features};

use super::GpuError;
use super::cache::Cache;
use super::error::first_line;

/// An adapter, for people who set a machine up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its name, and its driver's with the version.
    pub name: String,
    /// Whether it is simulated on the CPU.
    pub software: bool,
    /// The largest buffer that a shader may use, bytes.
    pub largest_buffer: u64,
    /// Whether it computes with 16-bit floats.
    pub f16: bool,
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, software, largest_buffer, f16 } = self;
        let kind = if *software { "simulated on the CPU, " } else { "" };
        let floats = if *f16 { "16 and 32-bit floats" } else { "32-bit floats" };
        write!(f, "{name}: {kind}{floats}, buffers up to {} MiB", largest_buffer >> 20)
    }
}

/// The adapters that Vulkan knows of, the best one first. A driver may crash on the question.
#[must_use]
pub fn survey() -> Vec<Adapter> {
    let mut adapters = instance().enumerate_adapters(Backends::VULKAN).now_or_never().unwrap_or_default();
    adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    adapters
        .iter()
        .map(|adapter| {
            let info = adapter.get_info();
            Adapter {
                name: format!("{} ({} {})", info.name, info.driver, first_line(&info.driver_info)),
                software: is_software(&info),
                largest_buffer: adapter.limits().max_storage_buffer_binding_size,
                f16: adapter.features().contains(Features::SHADER_F16),
            }
        })
        .collect()
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    })
}

/// A device that burn and our stages share.
pub(super) struct Opened {
    pub name: String,
    pub software: bool,
    pub burn: BurnDevice,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub cache: Option<Cache>,
}

/// Opens the best adapter of this machine, and registers the device with burn.
///
/// Each call makes a device of its own: burn's runtimes are never taken down, so this is for the first and for one
/// after a loss.
pub(super) fn open(allow_software: bool) -> Result<Opened, GpuError> {
    let instance = instance();
    let mut adapters = instance.enumerate_adapters(Backends::VULKAN).now_or_never().unwrap_or_default();
    let infos: Vec<AdapterInfo> = adapters.iter().map(wgpu::Adapter::get_info).collect();
    let best = choose(&infos, allow_software)?;
    let adapter = adapters.swap_remove(best);
    let info = adapter.get_info();
    let cache = Cache::open(&info);
    let (device, queue) = request(&adapter, &info)?;
    let setup = WgpuSetup { instance, adapter, device: device.clone(), queue: queue.clone(), backend: Backend::Vulkan };
    let burn = BurnDevice::wgpu_options().setup(setup).init().map_err(|e| refused(&info, &e.to_string()))?;
    Ok(Opened { name: describe(&info), software: is_software(&info), burn, device, queue, cache })
}

/// The best of the adapters, by its place in the list.
fn choose(adapters: &[AdapterInfo], allow_software: bool) -> Result<usize, GpuError> {
    let best = adapters.iter().enumerate().min_by_key(|(_, info)| rank(info.device_type));
    match best {
        None => Err(GpuError::NoAdapter),
        Some((_, info)) if is_software(info) && !allow_software => {
            Err(GpuError::SoftwareOnly { name: info.name.clone() })
        }
        Some((at, _)) => Ok(at),
    }
}

fn rank(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

fn is_software(info: &AdapterInfo) -> bool {
    info.device_type == DeviceType::Cpu
}

fn describe(info: &AdapterInfo) -> String {
    let kind = if is_software(info) { "Vulkan, software" } else { "Vulkan" };
    format!("{} ({kind})", info.name)
}

/// A device with all that the adapter offers, short of what wgpu calls experimental: burn's kernels need none of it.
#[cfg(not(feature = "spirv"))]
fn request(adapter: &wgpu::Adapter, info: &AdapterInfo) -> Result<(wgpu::Device, wgpu::Queue), GpuError> {
    request_plain(adapter, info)
}

/// A device for shaders in SPIR-V, with the extensions that they need and wgpu does not know; a plain one where the
/// adapter lacks them, for which burn's compiler then takes WGSL.
///
/// The compiler decides by the adapter alone, and software adapters promise all that it asks for but crash on the
/// shaders. So this build refuses them.
#[cfg(feature = "spirv")]
fn request(adapter: &wgpu::Adapter, info: &AdapterInfo) -> Result<(wgpu::Device, wgpu::Queue), GpuError> {
    if is_software(info) {
        return Err(refused(info, "this program was built with shaders in SPIR-V, which software adapters can't run"));
    }
    let native = cubecl::wgpu::vulkan::try_request_vulkan_device(adapter)
        .now_or_never()
        .ok_or_else(|| refused(info, "the driver did not answer"))?
        .map_err(|e| refused(info, &e.to_string()))?;
    native.map_or_else(|| request_plain(adapter, info), Ok)
}

fn request_plain(adapter: &wgpu::Adapter, info: &AdapterInfo) -> Result<(wgpu::Device, wgpu::Queue), GpuError> {
    let unwanted = Features::all_experimental_mask() | Features::MAPPABLE_PRIMARY_BUFFERS;
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("ocellus"),
        required_features: adapter.features().difference(unwanted),
        required_limits: adapter.limits(),
        // burn pools its memory itself: large blocks on top of that would only be waste.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..wgpu::DeviceDescriptor::default()
    };
    adapter
        .request_device(&descriptor)
        .now_or_never()
        .ok_or_else(|| refused(info, "the driver did not answer"))?
        .map_err(|e| refused(info, &e.to_string()))
}

fn refused(info: &AdapterInfo, reason: &str) -> GpuError {
    GpuError::Open { name: describe(info), reason: first_line(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapters(kinds: &[DeviceType]) -> Vec<AdapterInfo> {
        let named = |(i, kind): (usize, &DeviceType)| AdapterInfo {
            name: format!("adapter {i}"),
            ..AdapterInfo::new(*kind, Backend::Vulkan)
        };
        kinds.iter().enumerate().map(named).collect()
    }

    #[test]
    fn hardware_comes_first_whether_or_not_software_is_allowed() {
        use DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        for (kinds, best) in [
            (vec![Cpu, IntegratedGpu, DiscreteGpu, DiscreteGpu], 2),
            (vec![Cpu, VirtualGpu, IntegratedGpu], 2),
            (vec![Cpu, Other], 1),
            (vec![VirtualGpu], 0),
        ] {
            for allow_software in [false, true] {
                assert_eq!(choose(&adapters(&kinds), allow_software), Ok(best), "{kinds:?}");
            }
        }
    }

    #[test]
    fn software_is_taken_only_when_asked_for() {
        let only = adapters(&[DeviceType::Cpu]);
        assert_eq!(choose(&only, true), Ok(0));
        let error = choose(&only, false).unwrap_err();
        assert_eq!(error, GpuError::SoftwareOnly { name: "adapter 0".to_owned() });
        assert!(error.to_string().contains("--device cpu"), "{error}");
    }

    #[test]
    fn no_adapter_says_what_to_install() {
        let error = choose(&[], true).unwrap_err();
        assert_eq!(error, GpuError::NoAdapter);
        assert!(error.to_string().contains("Vulkan ICD"), "{error}");
    }
}
