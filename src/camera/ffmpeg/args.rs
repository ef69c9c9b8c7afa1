//! The command lines of ffmpeg and ffprobe.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::marks::MARK;
use super::probe::Stream;
use crate::camera::options::Authority;
use crate::camera::source::{NetworkUrl, Redacted};
use crate::config::{HwAccel, Transport};
use crate::frame::YuvMatrix;

/// Containers that a file may be. Playlists (HLS, concat, DASH, …) are left out: they make the reader open others.
const FILE_FORMATS: &str = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,gif,apng,mjpeg,h264,hevc,obu,m4v,\
    mxf,dv,nut,rm,wtv,yuv4mpegpipe,webp_pipe,jpeg_pipe,png_pipe";
/// What a network camera may speak.
const NETWORK_FORMATS: &str = "concat,rtsp,mpjpeg,mjpeg,mpegts,mov,matroska,flv,h264,hevc,jpeg_pipe,png_pipe";

/// Pictures a second of a network camera beyond which the decoder lets none out, whatever was asked for.
const MAX_RATE: f32 = 240.0;
/// The share of a period that must lie between two pictures for both to be let out; how many stay is decided later.
const EARLY: f32 = 0.75;
/// Decoders refuse larger pictures before they allocate anything.
const MAX_PIXELS: &str = "67108864";

/// What ffmpeg is to open. Shown without credentials.
#[derive(Debug, Clone)]
pub(super) enum Input {
    File(PathBuf),
    Network(Network),
}

/// A network camera, and how it is read.
#[derive(Debug, Clone)]
pub(in crate::camera) struct Network {
    pub url: NetworkUrl,
    /// The port on loopback that leads to it, where another than the child sees to TLS.
    pub through: Option<u16>,
    /// Who must vouch for its certificate.
    pub authority: Authority,
    pub transport: Transport,
    pub hwaccel: HwAccel,
    /// Most pictures a second.
    pub fps: Option<f32>,
    /// The longest side, in pixels.
    pub max_side: Option<u32>,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Network(network) => network.url.fmt(f),
        }
    }
}

impl Input {
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Network(_))
    }

    /// Takes this input's credentials out of what the programs say.
    pub fn redacted(&self) -> Redacted {
        match self {
            Self::File(_) => Redacted::default(),
            Self::Network(network) => Redacted::of(&network.url),
        }
    }

    /// What the child reads on stdin: for a network camera a list of one, so that its URL is on no command line.
    pub fn stdin(&self) -> Option<String> {
        let Self::Network(Network { url, through, authority, transport, .. }) = self else {
            return None;
        };
        let near = through.map(|port| url.through(port));
        let quoted = quoted(near.as_ref().unwrap_or(url).secret());
        // Finding out a rate takes up to twenty pictures, which may be long to wait for, and nothing depends on it.
        let mut text = format!("ffconcat version 1.0\nfile {quoted}\noption fpsprobesize 0\n");
        if url.scheme().starts_with("rtsp") {
            // What leaves the connection leaves TLS.
            let udp = *transport == Transport::Udp && !url.is_secure();
            let transport = if udp { "udp" } else { "tcp" };
            text += &format!("option rtsp_transport {transport}\noption allowed_media_types video\n");
        } else if *authority != Authority::Nobody {
            // Not for https alone, since a camera may redirect to it.
            text += "option tls_verify 1\n";
            if let Authority::File(path) = authority {
                text += &format!("option ca_file {}\n", self::quoted(&path.to_string_lossy()));
            }
        }
        Some(text)
    }

    /// The size that leaves the decoder.
    pub fn size(&self, stream: &Stream) -> (u32, u32) {
        match self {
            Self::Network(Network { max_side: Some(side), .. }) => fit(stream.width, stream.height, *side),
            _ => (stream.width, stream.height),
        }
    }

    fn append_to(&self, command: &mut Command) {
        command.args(["-max_pixels", MAX_PIXELS]);
        match self {
            Self::File(path) => {
                command.args(["-protocol_whitelist", "file", "-format_whitelist", FILE_FORMATS, "-i"]);
                // The prefix keeps ffmpeg from reading a protocol, an option or a pattern into the name.
                let mut name = OsString::from("file:");
                name.push(path);
                command.arg(name);
            }
            Self::Network(network) => {
                let protocols = match network.url.scheme() {
                    "http" | "https" => "pipe,http,https,tcp,tls,httpproxy",
                    _ if network.through.is_some() => "pipe,rtsp,rtp,rtcp,udp,tcp",
                    _ => "pipe,rtsp,rtsps,rtp,rtcp,srtp,udp,tcp,tls,crypto",
                };
                command.args(["-protocol_whitelist", protocols, "-format_whitelist", NETWORK_FORMATS]);
                command.args(["-f", "concat", "-safe", "0", "-i", "pipe:0"]);
            }
        }
    }
}

/// A value as playlists have it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What is in it, as JSON.
pub(super) fn ffprobe(program: &Path, input: &Input) -> Command {
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-v", "error", "-print_format", "json", "-show_streams", "-select_streams", "V:0"]);
    input.append_to(&mut command);
    command
}

/// Its pictures, raw I420 of [`Input::size`], none twice; of a file every one. A line on stderr precedes each, see
/// [`MARK`].
pub(super) fn ffmpeg(program: &Path, input: &Input, stream: &Stream) -> Command {
    let mut command = Command::new(program);
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    let mut filters = format!("{},{}", marks(), scale(stream, input.size(stream)));
    if let Input::Network(network) = input {
        // More threads would hold back as many pictures.
        command.args(["-threads", "1"]);
        match network.hwaccel {
            HwAccel::Auto => command.args(["-hwaccel", "auto"]),
            HwAccel::Vaapi => command.args(["-hwaccel", "vaapi"]),
            HwAccel::Cuda => command.args(["-hwaccel", "cuda"]),
            HwAccel::None => &mut command,
        };
        if network.url.scheme().starts_with("http") && stream.mjpeg {
            // A row of JPEGs has no times of its own.
            command.args(["-use_wallclock_as_timestamps", "1"]);
        }
        filters = format!("{},{filters}", thin(network.fps));
    }
    input.append_to(&mut command);
    command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", &filters]);
    command.args(["-vsync", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"]);
    command
}

/// One picture as the camera gives it, not decoded.
pub(super) fn still(program: &Path, input: &Input) -> Command {
    let mut command = Command::new(program);
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    input.append_to(&mut command);
    command.args(["-map", "0:V:0", "-frames:v", "1", "-c:v", "copy", "-f", "image2pipe", "pipe:1"]);
    command
}

/// Leaves out pictures that come too soon after the last one. Those without a time, and after a jump back, stay.
fn thin(fps: Option<f32>) -> String {
    let gap = fps.map_or(1.0 / MAX_RATE, |fps| EARLY / fps.clamp(0.001, MAX_RATE));
    format!("select='isnan(t)+isnan(prev_selected_t)+lt(t,prev_selected_t)+gte(t-prev_selected_t,{gap:.6})'")
}

/// Says each picture's time on stderr, in microseconds, before the picture is written.
fn marks() -> String {
    format!("settb=AVTB,metadata=mode=add:key={MARK}:value=1,metadata=mode=print:key={MARK}:file='pipe\\:2':direct=1")
}

/// The largest size of this shape whose longer side has at most `side` pixels.
fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scaled = |v: u32| (u64::from(v) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
    let scaled = |v: u32| u32::try_from(scaled(v)).unwrap_or(side).max(1);
    (scaled(width), scaled(height))
}

/// Does nothing where size and colours are already so, which is the common case.
fn scale(stream: &Stream, (width, height): (u32, u32)) -> String {
    let Stream { matrix, guessed, .. } = stream;
    let smaller = if (width, height) == (stream.width, stream.height) { "" } else { ":flags=area" };
    let from = guessed.map_or_else(String::new, |m| format!(":in_color_matrix={}", name(m)));
    let range = if *matrix == YuvMatrix::Jpeg { "full" } else { "limited" };
    format!("scale=w={width}:h={height}{smaller}{from}:out_color_matrix={}:out_range={range}", name(*matrix))
}

fn name(matrix: YuvMatrix) -> &'static str {
    match matrix {
        YuvMatrix::Bt601 | YuvMatrix::Jpeg => "bt601",
        YuvMatrix::Bt709 => "bt709",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::options::CameraOptions;
    use crate::camera::source::Source;

    fn camera(url: &str) -> Network {
        let Ok(Source::Network(url)) = Source::parse(url) else { panic!() };
        let options = CameraOptions::new(Source::Network(url.clone()));
        crate::camera::network(&url, &options).unwrap()
    }

    const STREAM: Stream = Stream {
        width: 1920,
        height: 1080,
        rate: 1.0,
        matrix: YuvMatrix::Bt601,
        guessed: Some(YuvMatrix::Bt601),
        mjpeg: false,
    };

    #[test]
    fn no_command_line_holds_a_networks_cameras_secrets() {
        let input = Input::Network(camera("rtsp://admin:hunter2@cam/it's?token=abc"));
        for command in [ffprobe(Path::new("ffprobe"), &input), ffmpeg(Path::new("ffmpeg"), &input, &STREAM)] {
            let line = format!("{command:?}");
            assert!(!line.contains("hunter2") && !line.contains("admin") && !line.contains("abc"), "{line}");
        }
        let stdin = input.stdin().unwrap();
        assert!(stdin.contains(r"'rtsp://admin:hunter2@cam/it'\''s?token=abc'"), "{stdin}");
        assert!(stdin.contains("rtsp_transport tcp"));
    }

    #[test]
    fn a_certificate_is_checked_unless_that_is_switched_off() {
        let stdin =
            |url: &str, authority: Authority| Input::Network(Network { authority, ..camera(url) }).stdin().unwrap();
        let own = || Authority::File("/etc/it's.pem".into());
        assert!(stdin("https://cam/", own()).ends_with("option tls_verify 1\noption ca_file '/etc/it'\\''s.pem'\n"));
        assert!(stdin("http://cam/", Authority::System).ends_with("option tls_verify 1\n"));
        assert!(!stdin("https://cam/", Authority::Nobody).contains("tls_verify"));
        // The RTSP reader would not heed it: it is led through us, and kept from TLS of its own.
        let input = Input::Network(Network { through: Some(99), ..camera("rtsps://me:pass@cam/live?a=b") });
        assert!(input.stdin().unwrap().contains("file 'rtsp://me:pass@127.0.0.1:99/live?a=b'\n"));
        let line = format!("{:?}", ffprobe(Path::new("ffprobe"), &input));
        assert!(!line.contains("tls") && !line.contains("rtsps"), "{line}");
    }

    #[test]
    fn only_the_size_that_is_asked_for_leaves_the_child() {
        for (size, side, wanted) in [
            ((1920, 1080), 640, (640, 360)),
            ((1080, 1920), 640, (360, 640)),
            ((640, 360), 640, (640, 360)),
            ((320, 200), 640, (320, 200)),
            ((16_384, 1), 16, (16, 1)),
        ] {
            assert_eq!(fit(size.0, size.1, side), wanted);
        }
        let input = Input::Network(Network { max_side: Some(640), ..camera("rtsp://cam/") });
        let line = format!("{:?}", ffmpeg(Path::new("ffmpeg"), &input, &STREAM));
        assert!(line.contains("scale=w=640:h=360:flags=area"), "{line}");
    }

    #[test]
    fn the_decoder_is_told_what_hardware_to_use() {
        for (hwaccel, wanted) in [(HwAccel::Auto, "auto"), (HwAccel::Vaapi, "vaapi"), (HwAccel::Cuda, "cuda")] {
            let input = Input::Network(Network { hwaccel, ..camera("rtsp://cam/") });
            let line = format!("{:?}", ffmpeg(Path::new("ffmpeg"), &input, &STREAM));
            assert!(line.contains(&format!(r#""-hwaccel" "{wanted}""#)), "{line}");
        }
        let input = Input::Network(Network { hwaccel: HwAccel::None, ..camera("rtsp://cam/") });
        assert!(!format!("{:?}", ffmpeg(Path::new("ffmpeg"), &input, &STREAM)).contains("hwaccel"));
    }
}
