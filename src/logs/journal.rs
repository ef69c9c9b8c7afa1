//! systemd's journal, in its own protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): a datagram an entry, with a
//! field for each thing that is said: `journalctl CAMERA=line3`.

use std::fmt::Write;
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

const SOCKET: &str = "/run/systemd/journal/socket";
/// What a value may have, in bytes. A datagram over the socket's limit, some 200 KiB, would have to be passed as a file.
const MAX_VALUE: usize = 32 << 10;
/// What all values of an entry may have.
const MAX_ENTRY: usize = 128 << 10;
/// The journal's own fields (systemd.journal-fields(7)), which ours must not be taken for.
const TAKEN: [&str; 14] = [
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "CODE_FILE",
    "CODE_LINE",
    "CODE_FUNC",
    "ERRNO",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_TIMESTAMP",
    "DOCUMENTATION",
    "UNIT",
    "USER_UNIT",
];

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// The journal, where stderr leads there: systemd says so in `$JOURNAL_STREAM` (systemd.exec(5)).
    pub(super) fn of_stderr() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = rustix::fs::fstat(std::io::stderr()).ok()?;
        if stream != format!("{}:{}", stderr.st_dev, stderr.st_ino) {
            return None;
        }
        Self::at(SOCKET).ok()
    }

    fn at(path: &str) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = entry(event);
        if self.0.send(&entry).is_err() {
            // The journal is being restarted, say; stderr leads there by another way.
            eprintln!("{}", line(event));
        }
    }
}

/// What an event says, in the order in which it says it.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn of(event: &Event<'_>) -> Self {
        let mut said = Self::default();
        event.record(&mut said);
        said
    }

    /// All of it for people, as it stands on a terminal.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let gap = if text.is_empty() { "" } else { " " };
            let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && c != '"');
            // Writing to a string can't fail.
            let _ = if plain { write!(text, "{gap}{name}={value}") } else { write!(text, "{gap}{name}={value:?}") };
        }
        text
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

impl Said {
    fn take(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

fn line(event: &Event<'_>) -> String {
    format!("{} {}", event.metadata().level(), Said::of(event).text())
}

/// An entry, as it is sent.
fn entry(event: &Event<'_>) -> Vec<u8> {
    let (metadata, said) = (event.metadata(), Said::of(event));
    let mut entry = Vec::new();
    // syslog(3)
    let priority = match *metadata.level() {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    put(&mut entry, "PRIORITY", priority);
    put(&mut entry, "SYSLOG_IDENTIFIER", "ocellus");
    put(&mut entry, "MESSAGE", &said.text());
    put(&mut entry, "TARGET", metadata.target());
    for (name, value) in &said.fields {
        if entry.len() < MAX_ENTRY {
            put(&mut entry, &field_name(name), value);
        }
    }
    entry
}

/// A name that the journal takes: capital letters, digits and `_`, at most 64, not beginning with `_` or a digit.
fn field_name(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let name: String = letters.collect();
    let odd = !name.starts_with(|c: char| c.is_ascii_uppercase()) || TAKEN.contains(&name.as_str());
    let name = if odd { format!("OCELLUS_{name}") } else { name };
    name.chars().take(64).collect()
}

fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let value = clipped(value);
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        // With its length, so that it may have any bytes.
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// As much of a value as there is room for.
fn clipped(value: &str) -> std::borrow::Cow<'_, str> {
    if value.len() <= MAX_VALUE {
        return value.into();
    }
    let end = (0..=MAX_VALUE).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", value.get(..end).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What the journal gets of what is said.
    fn sent(say: impl FnOnce()) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(path.to_str().unwrap()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), say);
        let mut buffer = vec![0; 1 << 20];
        let length = listener.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    fn text(say: impl FnOnce()) -> String {
        String::from_utf8(sent(say)).unwrap()
    }

    #[test]
    fn what_is_said_has_fields() {
        let entry = text(|| tracing::warn!(camera = "line3", error = %"no route", tries = 3, "The camera is lost."));
        let lines: Vec<&str> = entry.lines().collect();
        assert_eq!(
            lines,
            [
                "PRIORITY=4",
                "SYSLOG_IDENTIFIER=ocellus",
                "MESSAGE=The camera is lost. camera=line3 error=\"no route\" tries=3",
                "TARGET=ocellus::logs::journal::tests",
                "CAMERA=line3",
                "ERROR=no route",
                "TRIES=3",
            ]
        );
        assert!(text(|| tracing::error!("x")).starts_with("PRIORITY=3\n"));
    }

    #[test]
    fn what_has_lines_has_its_length() {
        let reason = "first\nsecond=x";
        let entry = sent(|| tracing::info!(reason, "m"));
        let mut wanted = b"REASON\n".to_vec();
        wanted.extend_from_slice(&14_u64.to_le_bytes());
        wanted.extend_from_slice(b"first\nsecond=x\n");
        assert!(entry.ends_with(&wanted), "{:?}", String::from_utf8_lossy(&entry));
    }

    #[test]
    fn fields_are_never_taken_for_the_journals_own() {
        let long = "x".repeat(100);
        for (name, wanted) in [
            ("camera", "CAMERA"),
            ("log.target", "LOG_TARGET"),
            ("priority", "OCELLUS_PRIORITY"),
            ("_pid", "OCELLUS__PID"),
            ("3d", "OCELLUS_3D"),
            (&long, &long.to_uppercase()[..64]),
        ] {
            assert_eq!(field_name(name), wanted);
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let reason = "ä".repeat(1 << 20);
        let entry = text(|| tracing::info!(reason, a = reason, b = reason, c = reason, d = reason, "m"));
        assert!(entry.len() < 200 << 10, "{}", entry.len());
        assert!(entry.contains("ä…\n"));
    }

    #[test]
    fn a_stream_that_is_no_journal_is_left_alone() {
        // The tests' stderr is none, whatever the variable says.
        assert!(Journal::of_stderr().is_none());
    }
}
