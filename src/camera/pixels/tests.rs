use super::*;
use crate::random::Random;

const LAYOUTS: [Layout; 8] = [
    Layout::Yuyv,
    Layout::Nv12,
    Layout::Grey,
    Layout::Bayer(Bayer::Rggb),
    Layout::Bayer(Bayer::Bggr),
    Layout::Bayer(Bayer::Gbrg),
    Layout::Bayer(Bayer::Grbg),
    Layout::Mjpg,
];

fn converter(layout: Layout, size: (u32, u32), stride: u32) -> Converter {
    Converter::new(layout, size, stride, YuvMatrix::Bt709).unwrap()
}

#[test]
fn padding_is_left_out() {
    // Two rows of two pixels, three bytes of padding behind the first.
    let padded = [1, 2, 3, 4, 0, 0, 0, 5, 6, 7, 8];
    let image = converter(Layout::Yuyv, (2, 2), 7).image(&padded).unwrap();
    assert_eq!((image.format(), image.matrix()), (PixelFormat::Yuyv, YuvMatrix::Bt709));
    assert_eq!(image.pixels()[..], [1, 2, 3, 4, 5, 6, 7, 8]);

    let image =
        converter(Layout::Nv12, (2, 3), 4).image(&[1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0, 0, 7, 8, 0, 0, 9, 10]).unwrap();
    assert_eq!(image.format(), PixelFormat::Nv12);
    assert_eq!(image.pixels()[..], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn packed_rows_need_no_stride_and_more_bytes_do_no_harm() {
    let bytes: Vec<u8> = (0..64).collect();
    for layout in [Layout::Yuyv, Layout::Grey] {
        let with = |stride| converter(layout, (4, 4), stride).image(&bytes).unwrap();
        let packed = if layout == Layout::Yuyv { 8 } else { 4 };
        assert_eq!(with(0).pixels(), with(packed).pixels());
    }
}

#[test]
fn grey_has_no_colour_and_the_whole_range() {
    let image = converter(Layout::Grey, (3, 2), 0).image(&[0, 128, 255, 1, 2, 3]).unwrap();
    let rgb = crate::model::preprocess::to_rgb8(&image);
    assert_eq!(rgb.pixels()[..9], [0, 0, 0, 128, 128, 128, 255, 255, 255]);
    assert_eq!(rgb.pixels()[9..], [1, 1, 1, 2, 2, 2, 3, 3, 3]);
}

#[test]
fn a_mosaic_becomes_a_picture_in_rgb() {
    // Red where the sensor saw red, nothing elsewhere.
    let image = converter(Layout::Bayer(Bayer::Rggb), (4, 2), 5).image(&[9, 0, 9, 0, 7, 0, 0, 0, 0]).unwrap();
    assert_eq!(image.format(), PixelFormat::Rgb8);
    assert!(image.pixels().chunks(3).all(|p| p == [9, 0, 0]), "{:?}", image.pixels());
}

#[test]
fn too_few_bytes_are_no_picture() {
    let error = converter(Layout::Yuyv, (4, 2), 10).image(&[0; 17]).unwrap_err();
    assert_eq!(error, PixelsError::Short { wanted: 18, got: 17 });
    assert!(converter(Layout::Yuyv, (4, 2), 10).image(&[0; 18]).is_ok());
}

#[test]
fn what_a_camera_can_not_mean_is_refused() {
    let new = |layout, size, stride| Converter::new(layout, size, stride, YuvMatrix::Bt601).map(drop);
    assert_eq!(new(Layout::Yuyv, (4, 4), 7), Err(PixelsError::Stride { wanted: 8, stride: 7 }));
    assert_eq!(new(Layout::Nv12, (5, 4), 0), Err(PixelsError::Odd { width: 5 }));
    for size in [(0, 4), (4, 0), (20_000, 20_000), (u32::MAX, u32::MAX), (16_384, 16_384)] {
        assert!(matches!(new(Layout::Grey, size, 0), Err(PixelsError::Image(_))), "{size:?}");
    }
}

/// Sizes, strides and lengths at random: a picture of that size, or an error, and never a panic.
#[test]
fn random_shapes_never_panic() {
    let mut numbers = Random(11);
    let mut random = |below: usize| numbers.below(below);
    let bytes: Vec<u8> = (0..20_000).map(|i: u32| (i % 251) as u8).collect();
    let mut pictures = 0;
    for _ in 0..20_000 {
        let layout = LAYOUTS[random(8)];
        let (width, height) = (random(40) as u32, random(40) as u32);
        let stride = [0, width, width * 2, random(100) as u32, u32::MAX][random(5)];
        let Ok(converter) = Converter::new(layout, (width, height), stride, YuvMatrix::Bt601) else { continue };
        if let Ok(image) = converter.image(&bytes[..random(8000)]) {
            assert_eq!((image.width(), image.height()), (width, height));
            pictures += 1;
        }
    }
    assert!(pictures > 1000, "{pictures}");
}
