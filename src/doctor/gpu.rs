//! Whether the GPU does what it must: adapters and their limits, and the shipped model's golden pictures on the device.
//!
//! Drivers crash, and some never answer. So a child process asks them, and has a limit.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Finding, Machine};
use crate::config::DeviceChoice;
use crate::gpu::{Adapter, survey};
use crate::model::engine::{Engine, EngineOptions};
use crate::model::package::Package;
use crate::model::shipped;

const CHECK: &str = "gpu";
const INFERENCE: &str = "inference";
/// How long the child may take: a GPU that is new to Ocellus has its kernels looked for.
const LIMIT: Duration = Duration::from_secs(600);
const DRIVER: &str = "update the GPU's driver; until then `device = \"cpu\"` goes without it";

/// Has a child process look.
pub(super) fn examine(machine: &Machine, device: DeviceChoice) -> Vec<Finding> {
    let name = clap::ValueEnum::to_possible_value(&device).map_or_else(String::new, |v| v.get_name().to_owned());
    let mut command = Command::new(&machine.program);
    command.args(["doctor", "--only-gpu", &name, "--json"]);
    match run(command, LIMIT) {
        Ok((status, text)) if status.success() => serde_json::from_str(&text).unwrap_or_else(|error| {
            vec![Finding::error(CHECK, format!("what the examination said can't be read: {error}"), DRIVER)]
        }),
        Ok((status, _)) => vec![ended(status)],
        Err(reason) => vec![Finding::error(CHECK, reason, DRIVER)],
    }
}

fn ended(status: ExitStatus) -> Finding {
    let how = match status.signal() {
        Some(signal) => format!("the GPU's driver crashed the process that looked at it (signal {signal})"),
        None => format!("the examination of the GPU ended early ({status})"),
    };
    Finding::error(CHECK, how, DRIVER)
}

/// Runs a command to its end, or kills it at the limit; its end, and what it said on stdout.
fn run(mut command: Command, limit: Duration) -> Result<(ExitStatus, String), String> {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("the examination of the GPU can't be started: {error}"))?;
    let mut pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        // Text that is cut off does not parse, which is said then.
        let _ = pipe.as_mut().map(|pipe| pipe.read_to_string(&mut text));
        text
    });
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((status, reader.join().unwrap_or_default())),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                // It may be stuck in the driver for good: then it is left behind.
                let _ = child.kill();
                return Err(format!("the GPU's driver does not answer within {} s", limit.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Looks, in this process.
pub(super) fn here(device: DeviceChoice) -> Vec<Finding> {
    let mut findings = match device {
        DeviceChoice::Cpu | DeviceChoice::BurnCpu => Vec::new(),
        DeviceChoice::Auto | DeviceChoice::Gpu | DeviceChoice::GpuSoftware => adapters(&survey(), device),
    };
    findings.push(inference(device));
    findings
}

fn adapters(adapters: &[Adapter], device: DeviceChoice) -> Vec<Finding> {
    let mut findings: Vec<Finding> = adapters.iter().map(|adapter| Finding::ok(CHECK, adapter.to_string())).collect();
    let hardware = adapters.iter().any(|adapter| !adapter.software);
    let usable = hardware || (device == DeviceChoice::GpuSoftware && !adapters.is_empty());
    if !usable {
        let said = if adapters.is_empty() { "there is no GPU that Vulkan knows" } else { "the only GPU is simulated" };
        let fix = "see what `vulkan` says above; models run on the CPU meanwhile";
        findings.push(if device == DeviceChoice::Auto {
            Finding::warning(CHECK, said, fix)
        } else {
            Finding::error(
                CHECK,
                format!("{said}, and the configuration says `device = \"gpu\"`"),
                "set `device = \"auto\"`",
            )
        });
    }
    findings
}

/// Has the shipped model find what is in its golden pictures, on the device.
fn inference(device: DeviceChoice) -> Finding {
    let folder = std::env::temp_dir().join(format!("ocellus-doctor-{}", std::process::id()));
    let outcome = shipped::unpack(&folder).map_err(|error| error.to_string()).and_then(|package| {
        let package = Package::open(&package, None, None).map_err(|error| error.to_string())?;
        let pictures = package.golden().map_err(|error| error.to_string())?;
        let options = EngineOptions::default();
        let mut engine = Engine::open(package, device, &options).map_err(|error| error.to_string())?;
        let (mut took, mut missed) = (0.0, 0);
        for picture in &pictures {
            let outcome = engine.score(&[&picture.image]).map_err(|error| error.to_string())?;
            let found = outcome.first().map_or(0, |outcome| outcome.objects.len());
            took += outcome.first().map_or(0.0, |outcome| outcome.preprocess_ms + outcome.model_ms);
            missed += picture.objects.len().abs_diff(found);
        }
        #[allow(clippy::cast_precision_loss)]
        let each = took / pictures.len().max(1) as f64;
        Ok((engine.device().to_owned(), each, missed))
    });
    // What is left behind in the temporary folder harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    judge(outcome)
}

fn judge(outcome: Result<(String, f64, usize), String>) -> Finding {
    match outcome {
        Ok((device, ms, 0)) => {
            Finding::ok(INFERENCE, format!("the shipped model finds what it must on {device}, {ms:.1} ms a picture"))
        }
        Ok((device, _, missed)) => {
            Finding::error(INFERENCE, format!("the shipped model is wrong about {missed} objects on {device}"), DRIVER)
        }
        Err(reason) => Finding::error(INFERENCE, reason, "see what `gpu` and `vulkan` say above"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::super::Verdict;
    use super::super::testing::machine;
    use super::*;

    fn worst(findings: &[Finding]) -> Option<Verdict> {
        findings.iter().map(|finding| finding.verdict).max()
    }

    /// A machine on which the child is this shell script.
    fn with_child(root: &Path, script: &str) -> Machine {
        let program = root.join("child");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Machine { program, ..machine(root, &[]) }
    }

    #[test]
    fn a_driver_that_crashes_takes_a_child_only() {
        let root = tempfile::tempdir().unwrap();
        let found = examine(&with_child(root.path(), "kill -SEGV $$"), DeviceChoice::Auto);
        assert_eq!(worst(&found), Some(Verdict::Error));
        assert!(found[0].said.contains("crashed the process that looked at it (signal 11)"), "{found:?}");
        let found = examine(&with_child(root.path(), "exit 3"), DeviceChoice::Auto);
        assert!(found[0].said.contains("exit status: 3"), "{found:?}");
        let found = examine(&with_child(root.path(), "echo junk"), DeviceChoice::Auto);
        assert!(found[0].said.contains("can't be read"), "{found:?}");
    }

    #[test]
    fn a_driver_that_never_answers_is_given_up() {
        let mut command = Command::new("sleep");
        command.arg("1000");
        let error = run(command, Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("does not answer"), "{error}");
    }

    #[test]
    fn what_the_child_found_is_handed_on() {
        let root = tempfile::tempdir().unwrap();
        let said = r#"echo "[{\"check\":\"gpu\",\"verdict\":\"ok\",\"said\":\"$*\"}]""#;
        let found = examine(&with_child(root.path(), said), DeviceChoice::GpuSoftware);
        assert_eq!(found, [Finding::ok("gpu", "doctor --only-gpu gpu-software --json")]);
    }

    #[test]
    fn the_cpu_finds_what_it_must() {
        let found = here(DeviceChoice::Cpu);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].verdict, Verdict::Ok, "{found:?}");
        assert!(found[0].said.contains("on CPU"), "{found:?}");
    }

    #[test]
    fn no_gpu_is_a_warning_unless_one_is_asked_for() {
        assert_eq!(worst(&adapters(&[], DeviceChoice::Auto)), Some(Verdict::Warning));
        assert_eq!(worst(&adapters(&[], DeviceChoice::Gpu)), Some(Verdict::Error));
        assert_eq!(judge(Ok(("CPU".to_owned(), 1.0, 2))).verdict, Verdict::Error);
    }
}
