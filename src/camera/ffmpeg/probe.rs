//! What ffprobe says about the first video stream, and how it is to be decoded.

use serde::Deserialize;

use crate::frame::{ImageError, YuvMatrix, check_size};

/// Rates outside this range are nonsense in a header; [`DEFAULT_RATE`] is taken instead.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// Pictures a second where the stream doesn't say.
const DEFAULT_RATE: f64 = 25.0;

/// What is known of a stream before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stream {
    /// Pixels across, as shown (turned by the stream's rotation).
    pub width: u32,
    /// Pixels down, as shown.
    pub height: u32,
    /// Pictures a second.
    pub rate: f64,
    /// The matrix that its pictures are decoded to.
    pub matrix: YuvMatrix,
    /// The matrix it is in; `None` where it says so itself.
    pub guessed: Option<YuvMatrix>,
    /// Whether its pictures are JPEGs, each for itself.
    pub mjpeg: bool,
}

/// Why a stream can't be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("ffprobe's answer is not understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it holds no video")]
    NoVideo,
    #[error(transparent)]
    Size(#[from] ImageError),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    codec_name: Option<String>,
    width: Option<i64>,
    height: Option<i64>,
    pix_fmt: Option<String>,
    color_range: Option<String>,
    color_space: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

/// Reads the answer to `ffprobe -print_format json -show_streams -select_streams V:0`.
pub(super) fn parse(json: &[u8]) -> Result<Stream, ProbeError> {
    let answer: Answer = serde_json::from_slice(json)?;
    let fields = answer.streams.into_iter().next().ok_or(ProbeError::NoVideo)?;
    let side = |v: Option<i64>| v.map_or(0, |v| u32::try_from(v).unwrap_or(u32::MAX));
    let (width, height) = (side(fields.width), side(fields.height));
    if (width, height) == (0, 0) {
        return Err(ProbeError::NoVideo);
    }
    check_size(width, height)?;
    let rates = [&fields.avg_frame_rate, &fields.r_frame_rate];
    let rate = rates.into_iter().flatten().find_map(|r| fraction(r)).unwrap_or(DEFAULT_RATE);
    let (matrix, guessed) = colours(&fields, width, height);
    let turned = fields.side_data_list.iter().filter_map(|s| s.rotation).any(is_quarter_turn);
    let (width, height) = if turned { (height, width) } else { (width, height) };
    let mjpeg = fields.codec_name.as_deref() == Some("mjpeg");
    Ok(Stream { width, height, rate, matrix, guessed, mjpeg })
}

/// ffmpeg turns pictures upright while it decodes.
fn is_quarter_turn(degrees: f64) -> bool {
    (degrees.rem_euclid(180.0) - 90.0).abs() < 1.0
}

/// `30000/1001`, as a number of sense.
fn fraction(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    let rate = over.parse::<f64>().ok()? / under.parse::<f64>().ok()?;
    RATES.contains(&rate).then_some(rate)
}

/// The matrix to decode to, and the one it is in where the stream leaves that open: HD is BT.709, SD is BT.601.
fn colours(fields: &Fields, width: u32, height: u32) -> (YuvMatrix, Option<YuvMatrix>) {
    let format = fields.pix_fmt.as_deref().unwrap_or_default();
    let rgb = ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8"].iter().any(|p| format.starts_with(p));
    let full = format.starts_with("yuvj") || matches!(fields.color_range.as_deref(), Some("pc" | "jpeg" | "full"));
    let size = if width >= 1280 || height > 576 { YuvMatrix::Bt709 } else { YuvMatrix::Bt601 };
    let (limited, guessed) = match fields.color_space.as_deref() {
        _ if rgb => (YuvMatrix::Jpeg, None),
        Some("bt709" | "bt2020nc" | "bt2020c" | "bt2020_ncl" | "bt2020_cl") => (YuvMatrix::Bt709, None),
        Some("smpte170m" | "bt470bg" | "fcc" | "smpte240m") => (YuvMatrix::Bt601, None),
        // JPEG is BT.601 at any size, and MJPEG rarely says so.
        _ if full => (YuvMatrix::Jpeg, Some(YuvMatrix::Bt601)),
        _ => (size, Some(size)),
    };
    (if full { YuvMatrix::Jpeg } else { limited }, guessed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(fields: &str) -> Result<Stream, ProbeError> {
        parse(format!(r#"{{"streams":[{{{fields}}}]}}"#).as_bytes())
    }

    #[test]
    fn a_common_clip() {
        let s = stream(r#""width":640,"height":360,"pix_fmt":"yuv420p","avg_frame_rate":"179/6","extra":[1]"#).unwrap();
        let guessed = Some(YuvMatrix::Bt601);
        let rate = 179.0 / 6.0;
        let wanted = Stream { width: 640, height: 360, rate, matrix: YuvMatrix::Bt601, guessed, mjpeg: false };
        assert_eq!(s, wanted);
        assert!(stream(r#""width":640,"height":360,"codec_name":"mjpeg""#).unwrap().mjpeg);
    }

    #[test]
    fn colours_are_said_or_guessed() {
        let of = |fields: &str| {
            let s = stream(fields).unwrap();
            (s.matrix, s.guessed)
        };
        let (sd, hd) = (r#""width":640,"height":480"#, r#""width":1920,"height":1080"#);
        assert_eq!(of(hd), (YuvMatrix::Bt709, Some(YuvMatrix::Bt709)));
        assert_eq!(of(&format!(r#"{sd},"color_space":"bt709""#)), (YuvMatrix::Bt709, None));
        assert_eq!(of(&format!(r#"{hd},"color_space":"smpte170m""#)), (YuvMatrix::Bt601, None));
        assert_eq!(of(&format!(r#"{hd},"pix_fmt":"yuvj422p""#)), (YuvMatrix::Jpeg, Some(YuvMatrix::Bt601)));
        assert_eq!(of(&format!(r#"{hd},"color_range":"pc","color_space":"bt709""#)), (YuvMatrix::Jpeg, None));
        assert_eq!(of(&format!(r#"{sd},"pix_fmt":"bgra""#)), (YuvMatrix::Jpeg, None));
    }

    #[test]
    fn a_phones_clip_is_turned() {
        let of = |rotation: &str| {
            let side = format!(r#""side_data_list":[{{"rotation":{rotation}}}]"#);
            let s = stream(&format!(r#""width":1920,"height":1080,{side}"#)).unwrap();
            (s.width, s.height)
        };
        assert_eq!(of("-90"), (1080, 1920));
        assert_eq!(of("270.0"), (1080, 1920));
        assert_eq!(of("180"), (1920, 1080));
    }

    #[test]
    fn sizes_are_checked_before_anything_is_allocated() {
        assert!(matches!(stream(r#""width":100000,"height":10"#), Err(ProbeError::Size(_))));
        assert!(matches!(stream(r#""width":16384,"height":16384"#), Err(ProbeError::Size(_))));
        assert!(matches!(stream(r#""width":-5,"height":10"#), Err(ProbeError::Size(_))));
        assert!(matches!(stream(r#""width":9223372036854775807,"height":1"#), Err(ProbeError::Size(_))));
        assert!(matches!(stream(r#""width":0,"height":0"#), Err(ProbeError::NoVideo)));
        assert!(matches!(stream(""), Err(ProbeError::NoVideo)));
        assert!(matches!(parse(b"{}"), Err(ProbeError::NoVideo)));
        assert!(matches!(parse(b""), Err(ProbeError::Json(_))));
    }

    #[test]
    fn rates_out_of_sense_are_ignored() {
        for rate in ["0/0", "1/0", "0/1", "-25/1", "inf", "NaN/1", "1e300/1", "", "/", "25/1/1"] {
            let fields = format!(r#""width":64,"height":64,"avg_frame_rate":"{rate}","r_frame_rate":"{rate}""#);
            assert!((stream(&fields).unwrap().rate - DEFAULT_RATE).abs() < 1e-9, "{rate}");
        }
        let s = stream(r#""width":64,"height":64,"avg_frame_rate":"0/0","r_frame_rate":"10/1""#).unwrap();
        assert!((s.rate - 10.0).abs() < 1e-9);
    }

    /// Any byte of a good answer changed to any of many others, and any prefix: an error, or a stream within limits.
    #[test]
    fn hostile_answers_never_panic_nor_escape_the_limits() {
        let good = br#"{"streams":[{"width":640,"height":360,"pix_fmt":"yuvj420p","color_range":"pc",
            "color_space":"bt709","avg_frame_rate":"30/1","side_data_list":[{"rotation":-90}]}]}"#;
        let check = |json: &[u8]| {
            if let Ok(s) = parse(json) {
                check_size(s.width, s.height).unwrap();
                assert!(RATES.contains(&s.rate));
            }
        };
        for at in 0..good.len() {
            check(&good[..at]);
            for byte in b"\0\x01-/.0159aeEnN[]{}\",: \\\x80\xff" {
                let mut json = good.to_vec();
                json[at] = *byte;
                check(&json);
                json.insert(at, *byte);
                check(&json);
            }
        }
        check(&b"[".repeat(1_000_000));
        check(&b"{\"streams\":".repeat(100_000));
    }
}
