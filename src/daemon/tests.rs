//! The daemon when its GPU goes away under it.

use crate::config::{ConfigFile, Loaded, digest, parse};
use crate::gpu::Gpu;
use crate::gpu::tests::{alone, device, engine::write_package};
use crate::publish::testing::{Listener, Mosquitto};

use super::{Daemon, runtime};

/// Run by the test below in a process of its own, whose device it may take away.
#[test]
#[ignore = "a part of another test"]
fn loses_its_device() {
    let (broker, runtime, dir) = (Mosquitto::start(), runtime().unwrap(), tempfile::tempdir().unwrap());
    write_package(dir.path(), 64, 0.5);
    let text = format!(
        "site = \"plant\"\nnode = \"edge\"\ndevice = \"gpu-software\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n\
         [outbox]\nenabled = false\n[models.m]\npath = {:?}\n[cameras.line]\nsource = \"sim:conveyor?seed=1&fps=10\"\n",
        broker.port(),
        dir.path()
    );
    let loaded = Loaded { config: parse(&text).unwrap(), digest: digest(&text), file: ConfigFile::default() };
    let witness = Listener::on(broker.port());
    let daemon = runtime.block_on(Daemon::start(loaded)).unwrap();
    let status = "ocellus/plant/edge/line/status";
    witness.wait_for_state(status, "ok", &["blind"]);
    witness.next_on("line/detections");

    Gpu::open(true).unwrap().destroy();
    let blind = witness.wait_for_state(status, "blind", &[]);
    let reason = blind.payload["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("was lost"), "{reason}");
    witness.wait_for_state(status, "ok", &[]);
    // What is seen now was seen on a device of its own.
    witness.next_on("line/detections");
    runtime.block_on(daemon.run_until(async {}));
}

#[test]
fn a_camera_is_blind_while_its_gpu_is_gone_and_sees_again() {
    if device().is_some() {
        alone("daemon::tests::loses_its_device");
    }
}
