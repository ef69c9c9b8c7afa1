//! How much memory a run of a model may take unless told otherwise: half of what this process may have.

use std::fs;

/// Where nothing tells how much there is, MiB.
const UNKNOWN: u64 = 4096;

/// Half of the machine's memory, or of the control group's limit where that is less, in MiB.
#[must_use]
pub fn default_mib() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_mib(&text));
    // Version 2 of control groups, then version 1; inside a container or a service these are its own.
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = groups.iter().filter_map(|path| limit_mib(&fs::read_to_string(path).ok()?));
    machine.into_iter().chain(limits).min().map_or(UNKNOWN, |mib| (mib / 2).max(1))
}

/// `MemTotal` of `/proc/meminfo`.
fn total_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

/// A control group's limit; none where it says `max`.
fn limit_mib(text: &str) -> Option<u64> {
    Some(text.trim().parse::<u64>().ok()? >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(total_mib("MemFree: 1 kB\nMemTotal:       16384000 kB\n"), Some(16_000));
        assert_eq!(total_mib("MemTotal: much"), None);
        assert_eq!(limit_mib("2147483648\n"), Some(2048));
        assert_eq!(limit_mib("max\n"), None);
    }

    #[test]
    fn this_machine_has_some() {
        let mib = default_mib();
        assert!((64..1 << 30).contains(&mib), "{mib}");
    }
}
