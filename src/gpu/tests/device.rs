//! Opening, sharing and losing the device.

use std::process::Command;

use super::*;
use crate::frame::PixelFormat;
use crate::model::input::Letterbox;
use crate::model::preprocess::tests::Random;

#[test]
fn all_share_one_device() {
    let Some(first) = device() else { return };
    let second = Gpu::open(true).unwrap();
    assert!(Arc::ptr_eq(&first.shared, &second.shared));
    assert_eq!(first.burn(), second.burn());
}

#[test]
fn software_must_be_asked_for_although_it_is_open() {
    let Some(gpu) = device() else { return };
    let hardware = Gpu::open(false);
    if gpu.shared.software {
        assert!(matches!(hardware, Err(GpuError::SoftwareOnly { .. })), "{hardware:?}");
        assert!(gpu.name().ends_with("(Vulkan, software)"), "{}", gpu.name());
    } else {
        assert!(Arc::ptr_eq(&gpu.shared, &hardware.unwrap().shared));
    }
}

/// Run by the test below in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn opens_nothing() {
    eprintln!("said: {}", Gpu::open(true).unwrap_err());
}

#[test]
fn a_machine_without_vulkan_is_told_so() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gpu::tests::device::opens_nothing", "--ignored", "--nocapture"])
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("said: {}", GpuError::NoAdapter)), "{said}");
}

#[test]
fn a_lost_device_is_reported_and_replaced() {
    if device().is_none() {
        return;
    }
    let mut random = Random(3);
    let image = random.image(16, 12, PixelFormat::I420);
    let spec = random.spec(Letterbox::Center);
    let mut slot = None;
    let gpu = Gpu::open_in(&mut slot, true).unwrap();
    let mut stage = GpuStage::new(gpu.clone());
    assert_agree(&mut stage, &[&image], &spec);

    gpu.shared.device.destroy();
    // The loss is noticed when the device is next polled.
    let _ = gpu.shared.device.poll(wgpu::PollType::wait_indefinitely());
    let error = gpu.check().unwrap_err();
    assert!(matches!(error, GpuError::Lost { .. }), "{error}");
    // Either the stage fails, or whoever reads what it promised; burn panics there.
    let read = contained(gpu.name(), || {
        let data = Tensor::<4>::from_dispatch(stage.prepare(&[&image], &spec)?).into_data();
        Ok(data.try_to_vec::<f32>())
    });
    assert!(!matches!(read, Ok(Ok(_))), "values of a lost device");

    let again = Gpu::open_in(&mut slot, true).unwrap();
    assert!(!Arc::ptr_eq(&gpu.shared, &again.shared));
    assert_agree(&mut GpuStage::new(again), &[&image], &spec);
}

#[test]
fn what_the_device_objects_to_is_an_error() {
    let Some(gpu) = device() else { return };
    let device = &gpu.shared.device;
    let too_large = || {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: !3,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let error = scoped(gpu.name(), device, too_large).map(|_| ()).unwrap_err();
    assert!(matches!(error, GpuError::Failed { .. } | GpuError::OutOfMemory { .. }), "{error}");
    assert_eq!(scoped(gpu.name(), device, || 7), Ok(7));
}

#[test]
fn a_panic_below_is_an_error() {
    let error = contained("X", || -> Result<(), GpuError> { panic!("at {}", 3) }).unwrap_err();
    assert_eq!(error, GpuError::Failed { name: "X".to_owned(), reason: "at 3".to_owned() });
}
