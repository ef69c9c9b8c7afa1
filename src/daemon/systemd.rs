//! What systemd is told of the daemon: datagrams of `KEY=value` lines to `$NOTIFY_SOCKET` (sd_notify(3)).
//!
//! Without that variable nothing is said, so the daemon runs the same in a shell or a container. Nothing here waits: a
//! message that the socket has no room for is lost, and the next one says the same.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::pulse::Pulses;

/// How long a step of a model's warm-up may take before the start counts as failed.
const WARM_UP_STEP: Duration = Duration::from_secs(600);
/// The watchdog is looked after so many times in its interval.
const LOOKS: u32 = 4;
/// How long a thread may make no progress where no manager says so, as in a container: what the packaged unit says.
const UNWATCHED: Duration = Duration::from_secs(60);

/// Where messages go, if anywhere.
#[derive(Debug)]
struct Notifier(Option<UnixDatagram>);

impl Notifier {
    fn to(address: Option<&OsStr>) -> Self {
        let Some(address) = address.filter(|address| !address.is_empty()) else { return Self(None) };
        match connect(address) {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                tracing::warn!(address = %address.display(), %error, "systemd can't be told how the daemon is.");
                Self(None)
            }
        }
    }

    fn say(&self, message: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::debug!(%error, message, "systemd was not told.");
        }
    }
}

/// A path, or a name in the abstract namespace, which begins with `@`.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The process has one manager, so there is one notifier.
fn say(message: &str) {
    static NOTIFIER: OnceLock<Notifier> = OnceLock::new();
    NOTIFIER.get_or_init(|| Notifier::to(std::env::var_os("NOTIFY_SOCKET").as_deref())).say(message);
}

/// Everything is started, models are warm; or a reload has ended.
pub(super) fn ready() {
    say("READY=1");
}

/// The configuration is being read again.
pub(super) fn reloading() {
    say(&reloading_at(clock_gettime(ClockId::Monotonic)));
}

fn reloading_at(now: rustix::time::Timespec) -> String {
    // systemd tells by the time which of its requests this answers.
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
}

/// What is running is being drained.
pub(super) fn stopping() {
    say("STOPPING=1\nSTATUS=Stopping: what was captured is scored and delivered.");
}

/// One line for `systemctl status`.
pub(super) fn status(line: &str) {
    say(&status_message(line));
}

fn status_message(line: &str) -> String {
    // A second line would be a message of its own.
    format!("STATUS={}", line.replace(['\n', '\r'], " "))
}

/// The start takes longer than usual, but gets on: another step of a model's warm-up.
pub(super) fn warming_up(line: &str) {
    say(&format!("EXTEND_TIMEOUT_USEC={}\n{}", WARM_UP_STEP.as_micros(), status_message(line)));
}

/// How often systemd wants a sign of life (`WatchdogSec=`), if it does, from this process.
fn watchdog(usec: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    let interval = Duration::from_micros(usec?.parse().ok()?);
    (!interval.is_zero()).then_some(interval)
}

/// Gives systemd its signs of life until the daemon stops: one whenever *every* pulse has beaten since the one before.
/// A thread that is stuck, in a driver or anywhere else, so gets the service restarted, once `WatchdogSec=` is over; in a
/// container it is `/healthz`, by `told`, that gets it restarted.
pub(super) async fn feed_watchdog(pulses: Arc<Pulses>, told: impl Fn(String), stopped: watch::Receiver<bool>) {
    let set = |key| std::env::var(key).ok();
    let (usec, pid) = (set("WATCHDOG_USEC"), set("WATCHDOG_PID"));
    let watched = watchdog(usec.as_deref(), pid.as_deref(), std::process::id());
    let consequence = match watched {
        Some(_) => "systemd will restart the daemon if it stays so.",
        None => "/healthz says so until it gets on.",
    };
    watch_progress(&pulses, watched.unwrap_or(UNWATCHED), consequence, told, stopped).await;
}

async fn watch_progress(
    pulses: &Pulses,
    interval: Duration,
    consequence: &str,
    told: impl Fn(String),
    mut stopped: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(interval / LOOKS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut missed = 0;
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = tick.tick() => {}
        }
        let stuck = pulses.missing();
        if stuck.is_empty() {
            say("WATCHDOG=1");
            if missed >= LOOKS / 2 {
                told(String::new());
            }
            missed = 0;
            continue;
        }
        missed += 1;
        if missed == LOOKS / 2 {
            let stuck = stuck.join(", ");
            tracing::error!(stuck, "No progress; {consequence}");
            told(stuck);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_reach_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("ocellus-test-{}", std::process::id());
        let listeners = [
            (path.as_os_str().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap(),
            ),
        ];
        for (address, listener) in listeners {
            Notifier::to(Some(&address)).say("READY=1");
            assert_eq!(heard(&listener), "READY=1");
        }
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        for address in [None, Some(OsStr::new("")), Some(OsStr::new("/no/such/socket"))] {
            let notifier = Notifier::to(address);
            assert!(notifier.0.is_none(), "{address:?}");
            notifier.say("READY=1");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(Some(path.as_os_str()));
        // More than any socket has room for: with a blocking one this would not end.
        (0..100_000).for_each(|_| notifier.say("WATCHDOG=1"));
    }

    #[test]
    fn a_status_is_one_line_and_a_reload_has_its_time() {
        assert_eq!(status_message("two\nlines\r"), "STATUS=two lines ");
        let at = rustix::time::Timespec { tv_sec: 12, tv_nsec: 345_678_901 };
        assert_eq!(reloading_at(at), "RELOADING=1\nMONOTONIC_USEC=12345678");
    }

    #[tokio::test]
    async fn what_is_stuck_is_told_until_it_gets_on() {
        let pulses = Arc::new(Pulses::default());
        let model = pulses.add("model parts");
        let (stop, stopped) = watch::channel(false);
        let (heard, mut hear) = tokio::sync::mpsc::unbounded_channel();
        let watching = Arc::clone(&pulses);
        let told = move |stuck| heard.send(stuck).unwrap();
        let watch = tokio::spawn(async move {
            watch_progress(&watching, Duration::from_millis(40), "it is told.", told, stopped).await;
        });
        assert_eq!(hear.recv().await.unwrap(), "model parts");
        model.beat();
        assert_eq!(hear.recv().await.unwrap(), "", "it got on");
        assert_eq!(hear.recv().await.unwrap(), "model parts", "and is stuck again");
        drop(stop);
        watch.await.unwrap();
    }

    #[test]
    fn the_watchdog_is_fed_where_this_process_is_meant() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(watchdog(Some("60000000"), None, 7), minute);
        assert_eq!(watchdog(Some("60000000"), Some("7"), 7), minute);
        assert_eq!(watchdog(Some("60000000"), Some("8"), 7), None);
        for odd in [None, Some("0"), Some("soon"), Some("-1")] {
            assert_eq!(watchdog(odd, None, 7), None, "{odd:?}");
        }
    }
}
