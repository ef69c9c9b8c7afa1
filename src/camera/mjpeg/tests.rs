use super::*;

const SIZE: (u32, u32) = (48, 32);

fn pool() -> Pool {
    Pool::new(PixelFormat::Rgb8.bytes(SIZE.0, SIZE.1))
}

/// A picture with something in it.
fn jpeg(colour: jpeg_encoder::ColorType) -> Vec<u8> {
    let channels = if colour == jpeg_encoder::ColorType::Luma { 1 } else { 3 };
    let pixels: Vec<u8> = (0..48 * 32 * channels).map(|i| (i * 7 % 256) as u8).collect();
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 90).encode(&pixels, 48, 32, colour).unwrap();
    bytes
}

/// The frame as cameras send it that leave out the tables.
fn without_tables(jpeg: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (jpeg[..2].to_vec(), 2);
    loop {
        let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        match jpeg[at + 1] {
            TABLES => {}
            SCAN => return [out, jpeg[at..].to_vec()].concat(),
            _ => out.extend_from_slice(&jpeg[at..end]),
        }
        at = end;
    }
}

#[test]
fn a_frame_without_tables_is_completed_and_decodes_the_same() {
    let original = jpeg(jpeg_encoder::ColorType::Rgb);
    let bare = without_tables(&original);
    assert!(bare.len() < original.len());
    let completed = whole(&bare).unwrap();
    let pixels = |jpeg: Bytes| decode(jpeg, SIZE.0, SIZE.1, &pool()).unwrap().pixels().clone();
    assert_eq!(pixels(completed), pixels(original.into()));
}

#[test]
fn a_whole_frame_keeps_its_bytes_and_what_lies_behind_it_goes() {
    let original = jpeg(jpeg_encoder::ColorType::Rgb);
    assert_eq!(whole(&original).unwrap(), original);
    let padded = [&original[..], &[0; 500]].concat();
    assert_eq!(whole(&padded).unwrap(), original);
    let image = decode(whole(&padded).unwrap(), SIZE.0, SIZE.1, &pool()).unwrap();
    assert_eq!(image.jpeg().unwrap(), &original);
    assert_eq!(image.format(), PixelFormat::Rgb8);
}

#[test]
fn a_grey_jpeg_is_a_picture_too() {
    let image = decode(jpeg(jpeg_encoder::ColorType::Luma).into(), SIZE.0, SIZE.1, &pool()).unwrap();
    assert_eq!((image.format(), image.pixels()[48 * 32]), (PixelFormat::I420, 128));
}

#[test]
fn a_frame_that_was_cut_short_or_has_another_size_is_refused() {
    let original = jpeg(jpeg_encoder::ColorType::Rgb);
    let cut = whole(&original[..original.len() - 10]).unwrap_err().to_string();
    assert_eq!(cut, "a picture is no usable JPEG: it was cut short");
    assert!(whole(b"").is_err());
    let other = decode(original.into(), 32, 48, &pool()).unwrap_err().to_string();
    assert!(other.ends_with("it has 48x32 pixels instead of 32x48"), "{other}");
}

/// Every byte of a frame changed, and every prefix with an end: a picture or an error, and never a panic.
#[test]
fn mangled_frames_never_panic() {
    let bare = without_tables(&jpeg(jpeg_encoder::ColorType::Rgb));
    let try_one = |frame: &[u8]| {
        if let Ok(jpeg) = whole(frame) {
            assert!(jpeg.len() <= frame.len() + USUAL_TABLES.len());
            let _ = decode(jpeg, SIZE.0, SIZE.1, &pool());
        }
    };
    for at in 0..bare.len() {
        for byte in [0, 0x7F, END, SCAN, MARKER] {
            let mut frame = bare.clone();
            frame[at] = byte;
            try_one(&frame);
        }
        try_one(&[&bare[..at], &[MARKER, END]].concat());
    }
}
