//! Whether the clock can be right: signatures, certificates and the times in messages depend on it.

use std::process::{Command, Stdio};

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::{Finding, Machine};

const CHECK: &str = "clock";
/// This version was made in this year, so it can't be an earlier one.
const YEAR: i32 = 2026;
/// What knows whether the kernel's clock is kept, by whomever.
const TIMEDATECTL: &str = "/usr/bin/timedatectl";
/// What is there while something keeps the clock.
const KEEPERS: [(&str, &str); 3] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
    ("/run/chrony/chronyd.pid", "chrony"),
    ("/run/ntpd.pid", "ntpd"),
];

/// What keeps a clock right.
const FIX: &str = "apt install systemd-timesyncd, and let it reach a time server (NTP= in /etc/systemd/timesyncd.conf)";
/// By so much it may be off.
const GOOD: TimeDelta = TimeDelta::seconds(60);
/// With more, signatures are refused: Azure and S3 take those of a quarter of an hour.
const USABLE: TimeDelta = TimeDelta::seconds(15 * 60);

pub(super) fn examine(machine: &Machine, now: DateTime<Utc>) -> Finding {
    let mut command = Command::new(machine.path(TIMEDATECTL));
    let command = command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null());
    let said = command.output().map(|output| output.stdout).unwrap_or_default();
    judge(machine, synchronised(&String::from_utf8_lossy(&said)), now)
}

/// Whether something keeps the kernel's clock, by what timedatectl says; none where it doesn't say.
fn synchronised(said: &str) -> Option<bool> {
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn judge(machine: &Machine, synchronised: Option<bool>, now: DateTime<Utc>) -> Finding {
    let keeper = KEEPERS.iter().find(|(file, _)| machine.path(file).exists());
    let said = now.format("%Y-%m-%d %H:%M:%S UTC");
    match keeper {
        _ if now.year() < YEAR => Finding::error(CHECK, format!("it is not {said}: TLS and tokens will fail"), FIX),
        _ if synchronised == Some(false) && !machine.is_container() => {
            Finding::warning(CHECK, format!("{said}, but it is not synchronised, as timedatectl says"), FIX)
        }
        Some((_, name)) => Finding::ok(CHECK, format!("{said}, kept by {name}")),
        None if machine.is_container() => {
            Finding::ok(CHECK, format!("{said}, as the machine around this container says"))
        }
        None => Finding::warning(CHECK, format!("{said}, but nothing keeps it right"), FIX),
    }
}

/// Compares the clock with that of a server that the configuration depends on.
pub(super) fn compare(server: &str, ahead: TimeDelta) -> Finding {
    let off = ahead.abs();
    if off <= GOOD {
        return Finding::ok(CHECK, format!("it agrees with that of {server}"));
    }
    let side = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
    let said = format!("it is {} s {side} that of {server}", off.num_seconds());
    if is_off(ahead) {
        Finding::error(CHECK, format!("{said}: tokens and signatures will be refused"), FIX)
    } else {
        Finding::warning(CHECK, said, FIX)
    }
}

/// Whether a clock that is so far ahead, or behind, is a reason to be refused.
pub(super) fn is_off(ahead: TimeDelta) -> bool {
    ahead.abs() >= USABLE
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::testing::{machine, write};
    use super::*;

    #[test]
    fn a_clock_is_kept_or_not_or_plainly_wrong() {
        let root = tempfile::tempdir().unwrap();
        let now: DateTime<Utc> = "2026-11-29T12:00:00Z".parse().unwrap();
        let examined = |variables: &[(&str, &str)], now| examine(&machine(root.path(), variables), now).verdict;
        assert_eq!(examined(&[], now), Verdict::Warning);
        assert_eq!(examined(&[("container", "lxc")], now), Verdict::Ok);
        write(root.path(), "/run/systemd/timesync/synchronized", "");
        assert_eq!(examined(&[], now), Verdict::Ok);
        assert_eq!(examined(&[], DateTime::UNIX_EPOCH), Verdict::Error);
    }

    #[test]
    fn what_timedatectl_says_counts() {
        let root = tempfile::tempdir().unwrap();
        let now: DateTime<Utc> = "2026-11-29T12:00:00Z".parse().unwrap();
        write(root.path(), "/run/chrony/chronyd.pid", "1");
        for (says, verdict) in [("yes\n", Verdict::Ok), ("no\n", Verdict::Warning), ("", Verdict::Ok)] {
            assert_eq!(judge(&machine(root.path(), &[]), synchronised(says), now).verdict, verdict, "{says}");
        }
    }

    #[test]
    fn a_clock_may_be_off_by_a_little() {
        for (ahead, verdict, said) in [
            (-59, Verdict::Ok, "agrees"),
            (-120, Verdict::Warning, "120 s behind"),
            (3600, Verdict::Error, "3600 s ahead of"),
        ] {
            let found = compare("h:443", TimeDelta::seconds(ahead));
            assert!(found.verdict == verdict && found.said.contains(said), "{ahead}: {found:?}");
        }
    }
}
