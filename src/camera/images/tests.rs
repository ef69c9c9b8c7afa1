use image::codecs::gif::GifEncoder;
use image::{Delay, Frame, ImageBuffer, Rgb, RgbImage, Rgba};

use super::*;
use crate::samples;

fn picture(shade: u8) -> RgbImage {
    ImageBuffer::from_fn(8, 6, |x, y| Rgb([shade, (x * 10) as u8, (y * 10) as u8]))
}

/// A GIF whose pictures last so many milliseconds.
fn gif(path: &Path, delays: &[u32]) {
    let mut encoder = GifEncoder::new(File::create(path).unwrap());
    for (i, &delay) in delays.iter().enumerate() {
        let picture = ImageBuffer::from_pixel(8, 6, Rgba([i as u8 * 50, 0, 0, 255]));
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(delay, 1))).unwrap();
    }
}

fn shots(path: &Path, fps: Option<f32>) -> Vec<Shot> {
    let mut reader = ImagesReader::open(path, fps).unwrap();
    let mut shots = Vec::new();
    while let Some(shot) = reader.next(&Stop::new()).unwrap() {
        shots.push(shot);
    }
    shots
}

fn failure(path: &Path) -> CameraError {
    match ImagesReader::open(path, None) {
        Err(error) => error,
        Ok(mut reader) => reader.next(&Stop::new()).map(|_| ()).unwrap_err(),
    }
}

#[test]
fn every_lossless_format_gives_the_same_pixels_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let original = picture(200);
    for extension in ["png", "bmp", "webp"] {
        let path = dir.path().join(format!("p.{extension}"));
        original.save(&path).unwrap();
        let image = read(&path).unwrap();
        assert_eq!((image.width(), image.height(), image.format()), (8, 6, PixelFormat::Rgb8));
        assert_eq!(image.pixels().as_ref(), original.as_raw().as_slice(), "{extension}");
        // What a file is shows in its first bytes, not in its name.
        let renamed = dir.path().join("renamed.jpg");
        fs::rename(&path, &renamed).unwrap();
        assert_eq!(read(&renamed).unwrap().pixels().as_ref(), original.as_raw().as_slice(), "{extension}");
    }
}

#[test]
fn grey_deep_and_transparent_pictures_become_rgb() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.png");
    image::GrayImage::from_pixel(3, 2, image::Luma([77])).save(&path).unwrap();
    assert_eq!(read(&path).unwrap().pixels().as_ref(), [77; 18]);
    ImageBuffer::<Rgb<u16>, _>::from_pixel(3, 2, Rgb([65_535, 32_896, 0])).save(&path).unwrap();
    assert_eq!(read(&path).unwrap().pixels()[..3], [255, 128, 0]);
    image::RgbaImage::from_pixel(3, 2, Rgba([9, 8, 7, 0])).save(&path).unwrap();
    assert_eq!(read(&path).unwrap().pixels()[..3], [9, 8, 7]);
}

#[test]
fn a_photograph_is_close_to_what_ffmpeg_makes_of_it() {
    let Some(path) = samples::path("images/cls_cat.jpg") else { return };
    let image = read(&path).unwrap();
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(&path).args(["-pix_fmt", "rgb24", "-f", "rawvideo", "-"]);
    let other = ffmpeg.output().unwrap().stdout;
    assert_eq!(image.pixels().len(), other.len());
    let off: u64 = image.pixels().iter().zip(&other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = off as f64 / other.len() as f64;
    assert!(mean < 3.0, "off by {mean} on average");
}

#[test]
fn a_gif_keeps_its_own_pace() {
    let Some(worker) = samples::path("video/worker-zone-detection.gif") else { return };
    let pictures = shots(&worker, None);
    assert_eq!(pictures.len(), 71);
    let last = |ms| pictures.iter().filter(|s| s.lasts == Duration::from_millis(ms)).count();
    assert_eq!((last(60), last(70)), (23, 48));
    assert!(pictures.iter().all(|s| (s.image.width(), s.image.height()) == (480, 270)));
    assert!(shots(&worker, Some(4.0)).iter().all(|s| s.lasts == Duration::from_millis(250)));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.gif");
    gif(&path, &[0, 40, 2000]);
    let lasts: Vec<_> = shots(&path, None).iter().map(|s| s.lasts).collect();
    assert_eq!(lasts, [GIF_DELAY, Duration::from_millis(40), Duration::from_secs(2)]);
}

#[test]
fn a_directory_is_read_in_the_order_of_names_and_past_what_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    picture(30).save(at("c.png")).unwrap();
    picture(10).save(at("a.BMP.png")).unwrap();
    fs::rename(at("a.BMP.png"), at("a.BMP")).unwrap();
    fs::write(at("b.jpg"), b"no picture").unwrap();
    fs::write(at("b2.png"), b"").unwrap();
    gif(&at("d.gif"), &[50, 50]);
    let content = fs::read(at("c.png")).unwrap();
    fs::write(at("e.png"), &content[..content.len() / 2]).unwrap();
    fs::write(at("notes.txt"), b"no picture either").unwrap();
    fs::create_dir(at("f.png")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("g.png")).unwrap();
    picture(40).save(at("h.png")).unwrap();
    let shades: Vec<u8> = shots(dir.path(), None).iter().map(|s| s.image.pixels()[0]).collect();
    assert_eq!(shades, [10, 30, 0, 50, 40]);
    assert!(shots(dir.path(), None)[0].lasts == STILL);
}

#[test]
fn a_file_that_vanishes_or_is_replaced_is_skipped_or_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for (name, shade) in [("a.png", 1), ("b.png", 2), ("c.png", 3)] {
        picture(shade).save(dir.path().join(name)).unwrap();
    }
    let mut reader = ImagesReader::open(dir.path(), None).unwrap();
    fs::remove_file(dir.path().join("b.png")).unwrap();
    let mut shades = Vec::new();
    while let Some(shot) = reader.next(&Stop::new()).unwrap() {
        shades.push(shot.image.pixels()[0]);
    }
    assert_eq!(shades, [1, 3]);
}

#[test]
fn mistakes_say_which_file_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("text.png"), b"no picture").unwrap();
    fs::write(at("empty.jpg"), b"").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("all")).unwrap();
    fs::write(at("all/broken.png"), b"no picture").unwrap();
    for name in ["text.png", "empty.jpg"] {
        let error = failure(&at(name));
        assert!(matches!(error, CameraError::Decode { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(matches!(failure(&at("absent.png")), CameraError::Read { .. }));
    assert!(matches!(failure(&at("empty")), CameraError::NoPictures { .. }));
    assert!(matches!(failure(&at("all")), CameraError::Empty { .. }));
    // A pipe would be waited for without an end.
    let pipe = at("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(failure(&pipe).to_string().contains("not a plain file"));
    assert!(matches!(failure(Path::new("/dev/zero")), CameraError::Read { .. }));
}

#[test]
fn the_signal_ends_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("broken.png"), b"no picture").unwrap();
    let stop = Stop::new();
    stop.set();
    assert!(ImagesReader::open(dir.path(), None).unwrap().next(&stop).unwrap().is_none());
}

/// A header may claim any size; nothing is allocated for one beyond the limits.
#[test]
fn a_claimed_size_beyond_the_limits_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (png, bmp, animated) = (dir.path().join("p.png"), dir.path().join("p.bmp"), dir.path().join("p.gif"));
    picture(1).save(&png).unwrap();
    picture(1).save(&bmp).unwrap();
    gif(&animated, &[50]);
    for (path, at, sizes) in [
        (&png, 16, [60_000_u32.to_be_bytes(), 60_000_u32.to_be_bytes()].concat()),
        (&png, 16, [16_000_u32.to_be_bytes(), 16_000_u32.to_be_bytes()].concat()),
        (&bmp, 18, [60_000_u32.to_le_bytes(), 60_000_u32.to_le_bytes()].concat()),
        (&animated, 6, [60_000_u16.to_le_bytes(), 60_000_u16.to_le_bytes()].concat()),
    ] {
        let mut content = fs::read(path).unwrap();
        content[at..at + sizes.len()].copy_from_slice(&sizes);
        if path == &png {
            let crc = crc32(&content[12..29]);
            content[29..33].copy_from_slice(&crc.to_be_bytes());
        }
        let changed = dir.path().join("changed");
        fs::write(&changed, content).unwrap();
        let error = read(&changed).unwrap_err();
        assert!(matches!(error, CameraError::Decode { .. }), "{error:?}");
        assert!(failure(&changed).to_string().contains("limit"), "{error}");
    }
}

/// The checksum of PNG (ISO 3309).
fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// Any single byte changed, and any prefix: an error or a picture within limits, never a panic.
#[test]
fn mangled_pictures_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    for extension in ["png", "bmp", "webp", "jpg", "gif"] {
        let path = dir.path().join(format!("p.{extension}"));
        match extension {
            "gif" => gif(&path, &[30, 60]),
            _ => picture(90).save(&path).unwrap(),
        }
        let good = fs::read(&path).unwrap();
        let check = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            if let Ok(mut reader) = ImagesReader::open(&path, None) {
                while let Ok(Some(shot)) = reader.next(&Stop::new()) {
                    check_size(shot.image.width(), shot.image.height()).unwrap();
                }
            }
        };
        let stride = (good.len() / 100).max(1);
        for at in (0..good.len()).step_by(stride) {
            check(&good[..at]);
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                check(&bad);
            }
        }
    }
}
