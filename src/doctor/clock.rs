//! Whether the clock can be right: signatures, certificates and the times in messages depend on it.

use chrono::{DateTime, Datelike, Utc};

use super::{Finding, Machine};

const CHECK: &str = "clock";
/// This version was made in this year, so it can't be an earlier one.
const YEAR: i32 = 2026;
/// What is there while something keeps the clock.
const KEEPERS: [(&str, &str); 3] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
    ("/run/chrony/chronyd.pid", "chrony"),
    ("/run/ntpd.pid", "ntpd"),
];

pub(super) fn examine(machine: &Machine, now: DateTime<Utc>) -> Finding {
    let keeper = KEEPERS.iter().find(|(file, _)| machine.path(file).exists());
    let fix = "apt install systemd-timesyncd, and let it reach a time server (NTP= in /etc/systemd/timesyncd.conf)";
    let said = now.format("%Y-%m-%d %H:%M:%S UTC");
    match keeper {
        _ if now.year() < YEAR => Finding::error(CHECK, format!("it is not {said}: TLS and tokens will fail"), fix),
        Some((_, name)) => Finding::ok(CHECK, format!("{said}, kept by {name}")),
        None if machine.is_container() => {
            Finding::ok(CHECK, format!("{said}, as the machine around this container says"))
        }
        None => Finding::warning(CHECK, format!("{said}, but nothing keeps it right"), fix),
    }
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
}
