//! What a camera wrote into its JPEG beside the picture: EXIF (place, time, serial numbers), thumbnails, comments. It is
//! taken out without touching the picture (ITU-T T.81, annex B).

/// Start and end of the picture, start of a scan, of comments, and of APP0, APP1 and so on.
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const COM: u8 = 0xfe;
const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;
const APP15: u8 = 0xef;

/// The JPEG with nothing but what it takes to decode it; none where its structure can't be followed to its end.
pub(super) fn strip(jpeg: &[u8]) -> Option<Vec<u8>> {
    let mut rest = jpeg.strip_prefix(&[0xff, SOI])?;
    let mut kept = vec![0xff, SOI];
    loop {
        // Any number of fill bytes may stand before a marker.
        let marker = loop {
            rest = rest.strip_prefix(&[0xff])?;
            match rest.first()? {
                0xff => {}
                marker => break *marker,
            }
        };
        rest = rest.get(1..)?;
        if marker == EOI {
            // What follows is no part of the picture: previews, recordings.
            kept.extend([0xff, EOI]);
            return Some(kept);
        }
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let (segment, after) = rest.split_at_checked(length)?;
        let content = segment.get(2..)?;
        rest = after;
        if is_needed(marker, content) {
            kept.extend([0xff, marker]);
            kept.extend(segment);
        }
        if marker == SOS {
            let scan = scan(rest)?;
            kept.extend(rest.get(..scan)?);
            rest = rest.get(scan..)?;
        }
    }
}

/// Whether a decoder needs a segment. Adobe's says how colours are coded; JFIF's is kept where it has no thumbnail.
fn is_needed(marker: u8, content: &[u8]) -> bool {
    match marker {
        APP0 => content.starts_with(b"JFIF\0") && content.len() == 14,
        APP14 => content.starts_with(b"Adobe") && content.len() == 12,
        APP0..=APP15 | COM => false,
        _ => true,
    }
}

/// The length of a scan's data: up to a marker that is none of its own.
fn scan(data: &[u8]) -> Option<usize> {
    let own = |marker: u8| marker == 0 || (0xd0..=0xd7).contains(&marker);
    data.windows(2).position(|pair| matches!(pair, [0xff, marker] if !own(*marker) && *marker != 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg() -> Vec<u8> {
        let pixels: Vec<u8> = (0..64_u32 * 48 * 3).map(|i| u8::try_from(i * 7 % 251).expect("a byte")).collect();
        let mut bytes = Vec::new();
        jpeg_encoder::Encoder::new(&mut bytes, 90)
            .encode(&pixels, 64, 48, jpeg_encoder::ColorType::Rgb)
            .expect("encoded");
        bytes
    }

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 2).expect("short").to_be_bytes();
        [&[0xff, marker], &length[..], content].concat()
    }

    fn decoded(jpeg: &[u8]) -> Vec<u8> {
        image::load_from_memory(jpeg).expect("a JPEG").to_rgb8().into_raw()
    }

    #[test]
    fn all_that_is_not_the_picture_goes() {
        let plain = jpeg();
        let extra = [
            segment(0xe1, b"Exif\0\0MM\0*SECRET-PLACE"),
            segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0SECRET-XMP"),
            segment(0xe2, b"MPF\0SECRET-PREVIEW"),
            segment(0xe0, b"JFXX\0\x10SECRET-THUMBNAIL"),
            segment(0xed, b"Photoshop 3.0\0SECRET-IPTC"),
            segment(0xfe, b"SECRET-COMMENT"),
        ];
        let full = [&plain[..2], &extra.concat(), &[0xff, 0xff], &plain[2..], b"SECRET-TRAILER"].concat();
        let stripped = strip(&full).expect("it can be followed");
        assert!(!stripped.windows(6).any(|part| part == b"SECRET"));
        assert_eq!(decoded(&stripped), decoded(&plain));
        assert!(stripped.len() <= plain.len());
    }

    #[test]
    fn progressive_pictures_have_many_scans() {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
        encoder.set_progressive(true);
        encoder.set_restart_interval(2);
        encoder.encode(&[90; 40 * 40 * 3], 40, 40, jpeg_encoder::ColorType::Rgb).expect("encoded");
        let stripped = strip(&bytes).expect("it can be followed");
        assert_eq!(decoded(&stripped), decoded(&bytes));
    }

    #[test]
    fn what_can_not_be_followed_is_not_passed_on() {
        let plain = jpeg();
        for end in 0..plain.len() {
            assert_eq!(strip(&plain[..end]), None, "{end}");
        }
        assert_eq!(strip(b"no picture"), None);
        assert_eq!(strip(&[0xff, SOI, 0xff, 0xe1, 0, 1, 0xff, EOI]), None);
    }

    #[test]
    fn any_bytes_are_survived() {
        let (plain, mut random) = (jpeg(), crate::random::Random(3));
        for _ in 0..2000 {
            let mut bytes = plain.clone();
            for _ in 0..4 {
                let at = random.below(bytes.len());
                bytes[at] = u8::try_from(random.below(256)).expect("a byte");
            }
            let _ = strip(&bytes);
        }
    }
}
