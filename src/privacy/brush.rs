//! Where pixels are changed: on the GPU that the models run on, else on the CPU.

use std::sync::OnceLock;

use crate::config::DeviceChoice;
use crate::gpu::Gpu;
use crate::outage::Outage;

/// Finds the GPU that large pieces are redacted on.
#[derive(Debug)]
pub(super) struct Brush {
    device: DeviceChoice,
    /// Whether this machine has one, once that is known.
    exists: OnceLock<bool>,
    trouble: Outage,
}

impl Brush {
    pub(super) fn new(device: DeviceChoice) -> Self {
        Self { device, exists: OnceLock::new(), trouble: Outage::default() }
    }

    /// The GPU, where pixels are to be changed there. One that was lost is opened again; until that works it is the CPU.
    pub(super) fn gpu(&self) -> Option<Gpu> {
        let software = match self.device {
            DeviceChoice::Auto | DeviceChoice::Gpu => false,
            DeviceChoice::GpuSoftware => true,
            DeviceChoice::Cpu | DeviceChoice::BurnCpu => return None,
        };
        if self.exists.get() == Some(&false) {
            return None;
        }
        let opened = Gpu::open(software);
        if *self.exists.get_or_init(|| opened.is_ok()) {
            match &opened {
                Ok(_) if self.trouble.end() => tracing::info!("Frames are redacted on the GPU again."),
                Err(error) if self.trouble.begin(&error.to_string()) => {
                    tracing::warn!(%error, "Frames are redacted on the CPU meanwhile.");
                }
                _ => {}
            }
        }
        opened.ok()
    }
}
