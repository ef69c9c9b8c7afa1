//! Whether Vulkan's loader finds a driver: the files that it needs, and what keeps NVIDIA's from being found.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Finding, Machine};

const CHECK: &str = "vulkan";
const LOADER: &str = "libvulkan.so.1";
/// Where drivers say that they are there (the loader's documentation, "Driver Discovery on Linux").
const MANIFESTS: [&str; 3] = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];
const LIBRARIES: [&str; 5] = ["/usr/lib", "/lib", "/usr/lib64", "/lib64", "/usr/local/lib"];
const NVIDIA: &str = "0x10de";

/// A driver's manifest.
struct Driver {
    manifest: PathBuf,
    /// The library that it names, and where that is.
    library: Result<(String, Option<PathBuf>), String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "ICD")]
    icd: Icd,
}

#[derive(Deserialize)]
struct Icd {
    library_path: String,
}

pub(super) fn examine(machine: &Machine) -> Vec<Finding> {
    let loader = match find(machine, LOADER) {
        Some(path) => Finding::ok(CHECK, format!("the loader is {}", path.display())),
        None => Finding::warning(
            CHECK,
            format!("there is no Vulkan loader ({LOADER}), so no GPU can be used"),
            "apt install libvulkan1",
        ),
    };
    let drivers = drivers(machine);
    let mut findings = vec![loader];
    findings.extend(drivers.iter().map(said));
    if drivers.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            "no Vulkan driver is installed, so models run on the CPU",
            "AMD and Intel: apt install mesa-vulkan-drivers; NVIDIA: its own driver with Vulkan (nvidia-driver on \
             Debian, libnvidia-gl-NNN on Ubuntu)",
        ));
    }
    findings.extend(nvidia(machine, &drivers));
    findings
}

fn said(driver: &Driver) -> Finding {
    let manifest = driver.manifest.display();
    match &driver.library {
        Ok((_, Some(path))) => Finding::ok(CHECK, format!("{manifest} names the driver {}", path.display())),
        Ok((name, None)) => Finding::warning(
            CHECK,
            format!("{manifest} names the driver {name}, which is not there"),
            "install the package that the driver belongs to again, or remove the file",
        ),
        Err(reason) => Finding::warning(
            CHECK,
            format!("{manifest} can't be used: {reason}"),
            "install the package that it belongs to again, or set VK_DRIVER_FILES to one that can",
        ),
    }
}

fn drivers(machine: &Machine) -> Vec<Driver> {
    let named = machine.variable("VK_DRIVER_FILES").or_else(|| machine.variable("VK_ICD_FILENAMES"));
    let manifests: Vec<PathBuf> = match named {
        Some(list) => std::env::split_paths(list).map(|path| machine.path(path)).collect(),
        None => MANIFESTS.iter().flat_map(|folder| files(&machine.path(folder))).collect(),
    };
    manifests.into_iter().map(|manifest| Driver { library: library(machine, &manifest), manifest }).collect()
}

fn library(machine: &Machine, manifest: &Path) -> Result<(String, Option<PathBuf>), String> {
    let text = std::fs::read_to_string(manifest).map_err(|error| error.to_string())?;
    let Manifest { icd } = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let name = icd.library_path;
    let path = if name.starts_with('/') {
        Some(machine.path(&name)).filter(|path| path.exists())
    } else if name.contains('/') {
        manifest.parent().map(|folder| folder.join(&name)).filter(|path| path.exists())
    } else {
        find(machine, &name)
    };
    Ok((name, path))
}

/// What only concerns machines with a GPU of NVIDIA's.
fn nvidia(machine: &Machine, drivers: &[Driver]) -> Option<Finding> {
    if !has_nvidia(machine) {
        return None;
    }
    if !machine.path("/proc/driver/nvidia/version").exists() {
        return Some(Finding::warning(
            CHECK,
            "there is a GPU of NVIDIA's, but its driver is not loaded",
            "apt install nvidia-driver (Ubuntu: ubuntu-drivers install --gpgpu), then restart; nouveau won't do",
        ));
    }
    let of_nvidia = |driver: &&Driver| driver.library.as_ref().is_ok_and(|(name, _)| name.contains("nvidia"));
    let egl = find(machine, "libEGL_nvidia.so.0");
    match drivers.iter().find(of_nvidia).map(|driver| &driver.library) {
        // It looks for X's libraries, which a machine without a screen may not have.
        Some(Ok((name, Some(_)))) if name.contains("GLX") && find(machine, "libXext.so.6").is_none() => {
            Some(Finding::warning(
                CHECK,
                format!("NVIDIA's driver {name} needs libXext.so.6, which is not there"),
                "apt install libxext6, or have the manifest name libEGL_nvidia.so.0",
            ))
        }
        Some(Ok((_, Some(_)))) => None,
        _ if machine.is_container() => Some(Finding::warning(
            CHECK,
            "NVIDIA's Vulkan driver is not in this container",
            "start it with NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility,video: without `graphics` only CUDA is there",
        )),
        None if egl.is_some() => Some(Finding::warning(
            CHECK,
            "NVIDIA's driver is installed for machines without a screen, but nothing tells Vulkan of it",
            r#"write {"file_format_version":"1.0.0","ICD":{"library_path":"libEGL_nvidia.so.0","api_version":"1.3.0"}} to /etc/vulkan/icd.d/nvidia_icd.json"#,
        )),
        _ => Some(Finding::warning(
            CHECK,
            "NVIDIA's driver is loaded, but without its Vulkan part",
            "apt install nvidia-vulkan-icd (Ubuntu: the libnvidia-gl package of the driver's version)",
        )),
    }
}

/// Whether a display controller of NVIDIA's is on the bus.
fn has_nvidia(machine: &Machine) -> bool {
    let is = |device: &Path, file: &str, start: &str| {
        std::fs::read_to_string(device.join(file)).is_ok_and(|text| text.trim().starts_with(start))
    };
    files(&machine.path("/sys/bus/pci/devices"))
        .iter()
        .any(|device| is(device, "vendor", NVIDIA) && is(device, "class", "0x03"))
}

/// A library, where the linker would look for it.
fn find(machine: &Machine, name: &str) -> Option<PathBuf> {
    let named = machine.variable("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(named)
        .filter(|path| !path.as_os_str().is_empty())
        .map(|path| machine.path(path))
        .collect();
    for folder in LIBRARIES.map(|folder| machine.path(folder)) {
        // Debian's folders by architecture.
        folders.extend(files(&folder).into_iter().filter(|path| path.to_string_lossy().ends_with("-linux-gnu")));
        folders.push(folder);
    }
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

/// What is in a folder, in the order of names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::super::testing::{machine, write};
    use super::super::{Finding, Verdict};
    use super::*;

    const LIB: &str = "/usr/lib/x86_64-linux-gnu";

    fn manifest(library: &str) -> String {
        format!(r#"{{"file_format_version":"1.0.0","ICD":{{"library_path":"{library}","api_version":"1.3.0"}}}}"#)
    }

    /// A machine with a loader, a GPU of NVIDIA's and its kernel driver.
    fn with_nvidia(root: &Path) {
        write(root, &format!("{LIB}/{LOADER}"), "");
        write(root, "/sys/bus/pci/devices/0000:3b:00.0/vendor", "0x10de\n");
        write(root, "/sys/bus/pci/devices/0000:3b:00.0/class", "0x030200\n");
        write(root, "/proc/driver/nvidia/version", "NVRM version\n");
    }

    fn wrong(findings: &[Finding]) -> Vec<&Finding> {
        findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect()
    }

    #[test]
    fn a_machine_with_loader_and_driver_is_fine() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &format!("{LIB}/{LOADER}"), "");
        write(root.path(), &format!("{LIB}/libvulkan_intel.so"), "");
        write(root.path(), "/usr/share/vulkan/icd.d/intel_icd.x86_64.json", &manifest("libvulkan_intel.so"));
        let found = examine(&machine(root.path(), &[]));
        assert_eq!(found.len(), 2);
        assert!(wrong(&found).is_empty(), "{found:?}");
    }

    #[test]
    fn a_bare_machine_lacks_both() {
        let root = tempfile::tempdir().unwrap();
        let found = examine(&machine(root.path(), &[]));
        let fixes: Vec<&str> = found.iter().filter_map(|finding| finding.fix.as_deref()).collect();
        assert_eq!(fixes[0], "apt install libvulkan1");
        assert!(fixes[1].contains("mesa-vulkan-drivers"), "{fixes:?}");
    }

    #[test]
    fn manifests_that_lead_nowhere_are_named() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &format!("{LIB}/{LOADER}"), "");
        write(root.path(), "/etc/vulkan/icd.d/a.json", &manifest("libgone.so"));
        write(root.path(), "/etc/vulkan/icd.d/b.json", "junk");
        let found = examine(&machine(root.path(), &[]));
        let wrong = wrong(&found);
        assert!(wrong[0].said.contains("a.json names the driver libgone.so, which is not there"), "{wrong:?}");
        assert!(wrong[1].said.contains("b.json can't be used: expected value"), "{wrong:?}");
        // Where a file is named, the folders don't count.
        write(root.path(), "/opt/c.json", &manifest("/opt/driver.so"));
        write(root.path(), "/opt/driver.so", "");
        assert!(
            super::examine(&machine(root.path(), &[("VK_DRIVER_FILES", "/opt/c.json")]))
                .iter()
                .all(|f| f.fix.is_none())
        );
    }

    #[test]
    fn what_keeps_nvidia_from_being_found_is_said() {
        let fix_of = |root: &Path, variables: &[(&str, &str)]| {
            let found = nvidia(&machine(root, variables), &drivers(&machine(root, variables)));
            found.and_then(|finding| finding.fix).unwrap_or_default()
        };
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(fix_of(root, &[]), "", "it has no such GPU");
        with_nvidia(root);
        assert!(fix_of(root, &[]).contains("nvidia-vulkan-icd"));
        assert!(fix_of(root, &[("container", "docker")]).contains("NVIDIA_DRIVER_CAPABILITIES"));
        write(root, &format!("{LIB}/libEGL_nvidia.so.0"), "");
        assert!(fix_of(root, &[]).contains("/etc/vulkan/icd.d/nvidia_icd.json"));
        // With a screen's driver, but without a screen's libraries.
        write(root, &format!("{LIB}/libGLX_nvidia.so.0"), "");
        write(root, "/usr/share/vulkan/icd.d/nvidia_icd.json", &manifest("libGLX_nvidia.so.0"));
        assert!(fix_of(root, &[]).contains("libxext6"));
        write(root, &format!("{LIB}/libXext.so.6"), "");
        assert_eq!(fix_of(root, &[]), "");
        std::fs::remove_dir_all(root.join("proc")).unwrap();
        assert!(fix_of(root, &[]).contains("nouveau"));
    }
}
