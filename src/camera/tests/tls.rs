//! Cameras that prove who they are, or don't.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::eventually;
use super::network::{options, take};
use super::peer::{Peer, jpegs};
use crate::camera::options::{Authority, CameraOptions};
use crate::camera::supervise::tests::Bench;
use crate::status::CameraState;

/// A plant with an authority of its own, and a certificate that it gave out.
struct Plant(tempfile::TempDir);

impl Plant {
    /// `names` is whom the certificate is for, as `subjectAltName` has it.
    fn new(names: &str) -> Self {
        let plant = Self(tempfile::tempdir().unwrap());
        let authority = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Plant"];
        plant.openssl(&authority, &["-keyout", "ca.key", "-out", "ca.pem"]);
        let request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=camera"];
        plant.openssl(&request, &["-keyout", "key", "-out", "request"]);
        fs::write(plant.file("names"), format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n")).unwrap();
        let sign = ["x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        plant.openssl(&sign, &["-days", "2", "-extfile", "names", "-out", "cert"]);
        let parts = ["cert", "key"].map(|name| fs::read_to_string(plant.file(name)).unwrap());
        fs::write(plant.file("camera.pem"), parts.concat()).unwrap();
        plant
    }

    fn openssl(&self, start: &[&str], end: &[&str]) {
        let mut openssl = Command::new("openssl");
        let made = openssl.args(start).args(end).current_dir(&self.0).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn authority(&self) -> Authority {
        Authority::File(self.file("ca.pem"))
    }

    /// Cameras with the plant's certificate, over RTSPS and HTTPS.
    fn cameras(&self, pictures: &Path) -> [Peer; 2] {
        let pem = self.file("camera.pem");
        let arguments = ["--certificate", pem.to_str().unwrap()];
        let cameras = [Peer::rtsp(&arguments), Peer::http(pictures, &arguments)];
        assert!(cameras[0].url.starts_with("rtsps://") && cameras[1].url.starts_with("https://"));
        cameras
    }
}

fn asking(camera: &Peer, authority: Authority) -> Bench {
    Bench::asking(CameraOptions { authority, ..options(&camera.url) })
}

#[test]
fn a_camera_that_the_right_authority_vouches_for_is_read() {
    let (plant, pictures) = (Plant::new("IP:127.0.0.1"), jpegs("160x120", 10));
    for camera in plant.cameras(pictures.path()) {
        let mut bench = asking(&camera, plant.authority());
        take(&bench, 12);
        bench.stop();
        camera.wait_for("gone");
    }
}

#[test]
fn a_camera_that_nobody_trusted_vouches_for_is_refused() {
    let (plant, other) = (Plant::new("IP:127.0.0.1"), Plant::new("IP:127.0.0.1"));
    let pictures = jpegs("160x120", 1);
    for camera in plant.cameras(pictures.path()) {
        for authority in [other.authority(), Authority::System] {
            refused(&camera, authority);
        }
    }
}

#[test]
fn a_camera_with_the_certificate_of_another_is_refused() {
    let (plant, pictures) = (Plant::new("DNS:elsewhere.example"), jpegs("160x120", 1));
    for camera in plant.cameras(pictures.path()) {
        refused(&camera, plant.authority());
    }
}

fn refused(camera: &Peer, authority: Authority) {
    let mut bench = asking(camera, authority);
    eventually("it is refused", || bench.states().len() == 2);
    let reason = bench.last_reason();
    assert!(reason.starts_with(&format!("{} shows a certificate that is not trusted", camera.url)), "{reason}");
    assert!(reason.contains("set `ca_file`"), "{reason}");
    assert_eq!(bench.states()[1], CameraState::Connecting);
    assert_eq!(bench.mailbox.captured(), 0);
    bench.stop();
}

#[test]
fn any_certificate_is_taken_where_that_is_asked_for() {
    let (plant, pictures) = (Plant::new("DNS:elsewhere.example"), jpegs("160x120", 10));
    for camera in plant.cameras(pictures.path()) {
        let mut bench = asking(&camera, Authority::Nobody);
        take(&bench, 3);
        bench.stop();
    }
}

#[test]
fn what_is_no_authority_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, absent) = (dir.path().join("empty.pem"), dir.path().join("absent.pem"));
    fs::write(&empty, "no certificate").unwrap();
    for (file, wanted) in [(&empty, "holds no certificate in PEM"), (&absent, "can't be read")] {
        let authority = Authority::File(file.clone());
        let mut bench = Bench::asking(CameraOptions { authority, ..options("rtsps://127.0.0.1:9/") });
        eventually("it is said", || bench.states().len() == 2);
        let reason = bench.last_reason();
        assert!(reason.contains(wanted) && reason.contains(file.to_str().unwrap()), "{reason}");
        bench.stop();
    }
}
