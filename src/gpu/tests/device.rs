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
fn the_memory_that_the_process_has_is_known() {
    let Some(gpu) = device() else { return };
    let size = 8 << 20;
    let usage = wgpu::BufferUsages::COPY_DST;
    let _kept = gpu.shared.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    });
    // Others of this process may be opening it at this moment.
    let memory = (0..1000).find_map(|_| {
        memory().or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            None
        })
    });
    let memory = memory.unwrap();
    assert!(memory.used >= size && memory.reserved >= memory.used, "{memory:?}");
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

/// Run by the test below in processes of their own, which keep what they find in `OCELLUS_TEST_CACHE`.
#[test]
#[ignore = "a part of another test"]
fn starts() {
    let directory = std::env::var_os("OCELLUS_TEST_CACHE").unwrap();
    keep_in(directory.into());
    let mut said = Vec::new();
    let started = std::time::Instant::now();
    super::engine::watched(&mut |warm_up| said.push(warm_up));
    let steps: Vec<_> = said.iter().map(|s| (s.step, s.steps, s.batch)).collect();
    assert_eq!(steps, [(1, 4, 2), (2, 4, 1), (3, 4, 2), (4, 4, 1)]);
    eprintln!("cold: {:?}, {:.1} s", said.iter().map(|s| s.cold).collect::<Vec<_>>(), started.elapsed().as_secs_f32());
}

#[test]
fn the_second_start_knows_what_the_first_one_found() {
    if device().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "gpu::tests::device::starts", "--ignored", "--nocapture"])
            .env("OCELLUS_TEST_CACHE", dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        eprintln!("{said}");
        said.contains("cold: [true, true, true, true]")
    };
    let found = || std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let database = || found().find(|path| path.extension().is_some_and(|e| e == "db")).expect("a database");
    assert!(start() && !start());
    // Damage at the beginning, and damage that only burn will find.
    std::fs::write(database(), "not a database").unwrap();
    assert!(start() && !start());
    let mut bytes = std::fs::read(database()).unwrap();
    bytes.iter_mut().skip(100).for_each(|byte| *byte = !*byte);
    for path in found().filter(|path| path.extension().is_some_and(|e| e != "warm")) {
        std::fs::write(path, &bytes).unwrap();
    }
    start();
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

    gpu.destroy();
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
fn memory_that_is_not_there_is_an_error_and_the_device_goes_on() {
    let Some(gpu) = device() else { return };
    let shape = burn::tensor::Shape::new([1 << 20, 1 << 20]);
    let error = memory::filled(&gpu, shape, |_| Ok(())).map(|_| ()).unwrap_err();
    assert!(matches!(error, GpuError::OutOfMemory { .. }), "{error}");
    assert!(error.to_string().contains("smaller batches"), "{error}");
    gpu.check().unwrap();
    let mut random = Random(4);
    let spec = random.spec(Letterbox::Center);
    assert_agree(&mut GpuStage::new(gpu), &[&random.image(16, 12, PixelFormat::Rgb8)], &spec);
}

#[test]
fn a_panic_below_is_an_error() {
    let error = contained("X", || -> Result<(), GpuError> { panic!("at {}", 3) }).unwrap_err();
    assert_eq!(error, GpuError::Failed { name: "X".to_owned(), reason: "at 3".to_owned() });
}
