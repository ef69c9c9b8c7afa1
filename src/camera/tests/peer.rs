//! Real cameras of the network for tests: programs in `tests/peers`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::{LONG, ffmpeg};

/// A running camera.
pub(in crate::camera) struct Peer {
    child: Child,
    lines: Receiver<String>,
    /// Where it can be seen.
    pub url: String,
}

impl Peer {
    /// A camera that speaks RTSP. It runs on the system's Python, which has the bindings of GStreamer.
    pub fn rtsp(arguments: &[&str]) -> Self {
        Self::start("rtsp_server.py", arguments)
    }

    /// A camera that speaks HTTP, with the JPEGs of a folder.
    pub fn http(pictures: &Path, arguments: &[&str]) -> Self {
        Self::start("mjpeg_server.py", &[&[pictures.to_str().unwrap()], arguments].concat())
    }

    /// A GigE Vision camera on loopback; its `url` is its name. There can be one at a time.
    pub fn genicam() -> Self {
        Self::start("genicam_camera.py", &[])
    }

    fn start(script: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let mut peer = Self { child, lines, url: String::new() };
        peer.url = peer.wait_for("ready ");
        peer
    }

    /// Waits until it says a line that starts so, and gives the rest of the line.
    pub fn wait_for(&self, start: &str) -> String {
        let until = Instant::now() + LONG;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|e| panic!("no {start}: {e}; see `make setup-test`"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// Its port.
    pub fn port(&self) -> String {
        self.url.split(['/', ':']).nth(4).unwrap().to_owned()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of JPEGs in which something moves.
pub(in crate::camera) fn jpegs(size: &str, count: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (input, count) = (format!("testsrc=s={size}:r=10:d=100"), count.to_string());
    ffmpeg(&["-f", "lavfi", "-i", &input, "-frames:v", &count, "-pix_fmt", "yuvj420p"], &dir.path().join("%03d.jpg"));
    dir
}
