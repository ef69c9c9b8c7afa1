//! The command lines of ffmpeg and ffprobe.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::probe::Stream;
use crate::camera::source::{NetworkUrl, Redacted};
use crate::frame::YuvMatrix;

/// Containers that a file may be. Playlists (HLS, concat, DASH, …) are left out: they make the reader open others.
const FILE_FORMATS: &str = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,gif,apng,mjpeg,h264,hevc,obu,m4v,\
    mxf,dv,nut,rm,wtv,yuv4mpegpipe,webp_pipe,jpeg_pipe,png_pipe";
/// What a network camera may speak.
const NETWORK_FORMATS: &str = "concat,rtsp,mpjpeg,mjpeg,mpegts,mov,matroska,flv,h264,hevc,jpeg_pipe,png_pipe";

/// What ffmpeg is to open. Shown without credentials.
#[derive(Debug, Clone)]
pub(super) enum Input {
    File(PathBuf),
    Network(NetworkUrl),
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Network(url) => url.fmt(f),
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
            Self::Network(url) => Redacted::of(url),
        }
    }

    /// What the child reads on stdin: for a network camera a list of one, so that its URL is on no command line.
    pub fn stdin(&self) -> Option<String> {
        let Self::Network(url) = self else {
            return None;
        };
        let quoted = url.secret().replace('\'', r"'\''");
        // UDP loses packets, and with them pictures.
        let transport = if url.scheme() == "rtsp" { "option rtsp_transport tcp\n" } else { "" };
        Some(format!("ffconcat version 1.0\nfile '{quoted}'\n{transport}"))
    }

    fn append_to(&self, command: &mut Command) {
        match self {
            Self::File(path) => {
                command.args(["-protocol_whitelist", "file", "-format_whitelist", FILE_FORMATS, "-i"]);
                // The prefix keeps ffmpeg from reading a protocol, an option or a pattern into the name.
                let mut name = OsString::from("file:");
                name.push(path);
                command.arg(name);
            }
            Self::Network(url) => {
                let protocols = match url.scheme() {
                    "http" | "https" => "pipe,http,https,tcp,tls,httpproxy",
                    _ => "pipe,rtsp,rtsps,rtp,rtcp,srtp,udp,tcp,tls,crypto",
                };
                command.args(["-protocol_whitelist", protocols, "-format_whitelist", NETWORK_FORMATS]);
                command.args(["-f", "concat", "-safe", "0", "-i", "pipe:0"]);
            }
        }
    }
}

/// What is in it, as JSON.
pub(super) fn ffprobe(program: &Path, input: &Input) -> Command {
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-v", "error", "-print_format", "json", "-show_streams", "-select_streams", "V:0"]);
    input.append_to(&mut command);
    command
}

/// Its pictures, raw I420 of the stream's size, every one and none twice.
pub(super) fn ffmpeg(program: &Path, input: &Input, stream: &Stream) -> Command {
    let mut command = Command::new(program);
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    input.append_to(&mut command);
    command.args(["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", &scale(stream)]);
    command.args(["-vsync", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"]);
    command
}

/// Does nothing where size and colours are already so, which is the common case.
fn scale(stream: &Stream) -> String {
    let Stream { width, height, matrix, guessed, .. } = stream;
    let from = guessed.map_or_else(String::new, |m| format!(":in_color_matrix={}", name(m)));
    let range = if *matrix == YuvMatrix::Jpeg { "full" } else { "limited" };
    format!("scale=w={width}:h={height}{from}:out_color_matrix={}:out_range={range}", name(*matrix))
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
    use crate::camera::source::Source;

    #[test]
    fn no_command_line_holds_a_networks_cameras_secrets() {
        let Ok(Source::Network(url)) = Source::parse("rtsp://admin:hunter2@cam/it's?token=abc") else { panic!() };
        let input = Input::Network(url);
        let stream =
            Stream { width: 2, height: 2, rate: 1.0, matrix: YuvMatrix::Bt601, guessed: Some(YuvMatrix::Bt601) };
        for command in [ffprobe(Path::new("ffprobe"), &input), ffmpeg(Path::new("ffmpeg"), &input, &stream)] {
            let line = format!("{command:?}");
            assert!(!line.contains("hunter2") && !line.contains("admin") && !line.contains("abc"), "{line}");
        }
        let stdin = input.stdin().unwrap();
        assert!(stdin.contains(r"'rtsp://admin:hunter2@cam/it'\''s?token=abc'"), "{stdin}");
        assert!(stdin.contains("rtsp_transport tcp"));
    }
}
