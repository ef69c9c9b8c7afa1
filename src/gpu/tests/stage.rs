//! Pictures in, the model's input out.

use burn::backend::fusion::get_client;
use burn::backend::wgpu::CubeBackend;
use burn::tensor::Int;

use super::*;
use crate::frame::{MAX_SIDE, PixelFormat};
use crate::model::input::{Channels, Letterbox};
use crate::model::preprocess::tests::Random;

const FORMATS: [PixelFormat; 4] = [PixelFormat::Rgb8, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::I420];
const LETTERBOXES: [Letterbox; 4] = [Letterbox::TopLeft, Letterbox::Center, Letterbox::Stretch, Letterbox::Crop];

#[test]
fn agrees_with_the_cpu_stage() {
    let Some(gpu) = device() else { return };
    let sizes = [(1, 1), (1, 17), (17, 1), (3, 2), (2, 3), (64, 48), (65, 47), (128, 5), (33, 128), (641, 359)];
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(7);
    for format in FORMATS {
        for letterbox in LETTERBOXES {
            for channels in [Channels::Rgb, Channels::Bgr] {
                for (width, height) in sizes {
                    let image = random.image(width, height, format);
                    let mut spec = random.spec(letterbox);
                    spec.normalise.channels = channels;
                    assert_agree(&mut stage, &[&image], &spec);
                }
            }
        }
    }
}

#[test]
fn scales_up_and_down() {
    let Some(gpu) = device() else { return };
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(8);
    for format in FORMATS {
        let (tiny, large) = (random.image(5, 3, format), random.image(3840, 2160, format));
        let mut spec = random.spec(Letterbox::Center);
        (spec.width, spec.height) = (417, 415);
        assert_agree(&mut stage, &[&tiny], &spec);
        assert_agree(&mut stage, &[&large], &spec);
    }
}

#[test]
fn a_batch_may_mix_sizes_and_formats() {
    let Some(gpu) = device() else { return };
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(9);
    for letterbox in LETTERBOXES {
        let images: Vec<Image> = (0..9)
            .map(|i| {
                let (width, height) = (1 + random.below(70), 1 + random.below(70));
                random.image(width, height, FORMATS[i % 4])
            })
            .collect();
        let mut batch: Vec<&Image> = images.iter().collect();
        batch.extend([&images[0], &images[0]]);
        let spec = random.spec(letterbox);
        assert_agree(&mut stage, &batch, &spec);
    }
}

#[test]
fn a_batch_may_take_several_uploads() {
    let Some(gpu) = device() else { return };
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(10);
    let spec = random.spec(Letterbox::Stretch);
    let many: Vec<Image> = (0..150).map(|i| random.image(8, 6, FORMATS[i % 4])).collect();
    assert_agree(&mut stage, &many.iter().collect::<Vec<_>>(), &spec);
    let large: Vec<Image> = (0..3).map(|_| random.image(3840, 2160, PixelFormat::Rgb8)).collect();
    assert_agree(&mut stage, &large.iter().collect::<Vec<_>>(), &spec);
}

#[test]
fn what_is_kept_between_batches_is_bounded_and_never_mixed_up() {
    let Some(gpu) = device() else { return };
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(11);
    let specs = [Letterbox::TopLeft, Letterbox::Crop].map(|letterbox| random.spec(letterbox));
    let images: Vec<Image> = (1..=40).map(|side| random.image(side, 41 - side, PixelFormat::Nv12)).collect();
    for _ in 0..2 {
        for image in &images {
            for spec in &specs {
                assert_agree(&mut stage, &[image], spec);
            }
        }
    }
    let (tables, bytes) = stage.kept();
    assert!(tables <= 32, "{tables} tables");
    assert!(bytes <= 64 * 1024, "{bytes} bytes of pixels and parameters for pictures of 40 pixels a side");
}

#[test]
fn threads_have_stages_of_their_own_on_one_device() {
    let Some(gpu) = device() else { return };
    std::thread::scope(|scope| {
        for seed in 1..5 {
            let mut stage = GpuStage::new(gpu.clone());
            scope.spawn(move || {
                let mut random = Random(seed);
                for round in 0..20 {
                    let image = random.image(30 + round, 20, FORMATS[round as usize % 4]);
                    let spec = random.spec(LETTERBOXES[seed as usize % 4]);
                    assert_agree(&mut stage, &[&image, &image], &spec);
                }
            });
        }
    });
}

#[test]
fn memory_is_lent_again_only_after_its_last_use() {
    let Some(gpu) = device() else { return };
    let mut stage = GpuStage::new(gpu.clone());
    let mut random = Random(13);
    let mut spec = InputSpec { width: 64, height: 64, ..random.spec(Letterbox::Stretch) };
    (spec.normalise.scale, spec.normalise.mean, spec.normalise.std) = (1.0, [0.0; 3], [1.0; 3]);
    let images: Vec<Image> = (0..8).map(|_| random.image(40, 30, PixelFormat::I420)).collect();
    let whole: Vec<Tensor<4, Int>> = images
        .iter()
        .map(|image| {
            let levels = Tensor::<4>::from_dispatch(stage.prepare(&[image], &spec).unwrap()).int();
            // Fusion hands its work to the runtime, which has not submitted it, and lets the input go.
            get_client::<CubeBackend>(&gpu.shared.cube).sync(|| ());
            levels
        })
        .collect();
    for (image, whole) in images.iter().zip(whole) {
        let got: Vec<i32> = whole.into_data().try_to_vec().unwrap();
        for (got, wanted) in got.iter().zip(on_cpu(&[image], &spec)) {
            assert!((*got as f32 - wanted).abs() < 1.1, "{got}, not {wanted}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_device_goes_on() {
    let Some(gpu) = device() else { return };
    let mut stage = GpuStage::new(gpu);
    let mut random = Random(12);
    let image = random.image(8, 8, PixelFormat::Rgb8);
    let spec = random.spec(Letterbox::Stretch);
    assert_eq!(stage.run(&[], &spec).unwrap_err(), GpuError::NoPictures);
    let wide = InputSpec { width: MAX_SIDE + 1, ..spec };
    assert!(matches!(stage.run(&[&image], &wide), Err(GpuError::Input(_))));
    let huge = InputSpec { width: 8192, height: 8192, ..spec };
    let error = stage.run(&vec![&image; 1000], &huge).unwrap_err();
    assert!(matches!(error, GpuError::TooLarge { what: "the batch", bytes: 805_306_368_000, .. }), "{error}");
    assert_agree(&mut stage, &[&image], &spec);
}
