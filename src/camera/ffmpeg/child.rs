//! A child process on a short leash: its own process group, its words kept to the last few, its end certain.
//!
//! The child lives in a process group of its own, so that a Ctrl-C at the terminal ends the camera and not the
//! decoder under it, and so that whatever it started can be ended with it. Should this process be killed, the kernel
//! kills the child, where `setpriv` is there to ask for that; else it ends when it next writes into the closed pipe.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::marks::{self, Line, Mark};
use crate::camera::error::CameraError;

/// Bytes of stderr that are kept.
const TAIL: usize = 4096;
/// How long a child that closed its stdout may take to end.
const ENDING: Duration = Duration::from_secs(2);
/// How long a child may take to say good-bye to its camera.
const FAREWELL: Duration = Duration::from_millis(400);
/// A program of util-linux, which has another run such that it is killed when its parent dies.
const TIE: (&str, [&str; 3]) = ("setpriv", ["--pdeathsig", "KILL", "--"]);
/// What is in lines that say nothing of why a program ends: a repetition, and hardware that is not there where any would do.
const CHATTER: [&str; 3] = ["Last message repeated", "AVHWDeviceContext", "Device creation failed"];
const POLL: Duration = Duration::from_millis(10);

/// Marks that may wait to be read, before the child has to; it is a few pictures ahead of its output at most.
const MARKS: usize = 256;

/// A child, its stdout, and its marks.
pub(super) type Marked = (Leashed, ChildStdout, Receiver<Mark>);

/// A running child and the end of what it said on stderr.
#[derive(Debug)]
pub(in crate::camera) struct Leashed {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    heard: Option<thread::JoinHandle<()>>,
    polite: bool,
}

impl Leashed {
    /// Starts a command, hands it `input` on stdin, and gives the child and its stdout. A `polite` end lets the
    /// child close its connections first: cameras that allow few sessions keep a lost one for a minute.
    pub fn spawn(command: Command, input: Option<&str>, polite: bool) -> Result<(Self, ChildStdout), CameraError> {
        Self::heard(command, input, polite, None)
    }

    /// [`Leashed::spawn`], with the marks among what it says on stderr.
    pub(super) fn marked(command: Command, input: Option<&str>, polite: bool) -> Result<Marked, CameraError> {
        let (sender, marks) = sync_channel(MARKS);
        let (child, stdout) = Self::heard(command, input, polite, Some(sender))?;
        Ok((child, stdout, marks))
    }

    fn heard(
        mut command: Command,
        input: Option<&str>,
        polite: bool,
        marks: Option<SyncSender<Mark>>,
    ) -> Result<(Self, ChildStdout), CameraError> {
        let program = command.get_program().to_string_lossy().into_owned();
        if let Some(tied) = tied(&command) {
            command = tied;
        }
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CameraError::ProgramMissing { program: program.clone() },
            _ => CameraError::ProgramFailed { program: program.clone(), error },
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let said: Arc<Mutex<Vec<u8>>> = Arc::default();
        let mut leashed = Self { child, said: said.clone(), heard: None, polite };
        let failed = |error| CameraError::ProgramFailed { program, error };
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // Less than a pipe holds, so it does not wait; a child that is gone already is noticed on its stdout.
            let _ = stdin.write_all(input.as_bytes());
        }
        if let Some(stderr) = stderr {
            let listen = thread::Builder::new().name("ffmpeg-stderr".to_owned());
            match listen.spawn(move || Listener { tail: said, line: Vec::new(), marks }.listen(stderr)) {
                Ok(thread) => leashed.heard = Some(thread),
                Err(error) => return Err(failed(error)),
            }
        }
        match stdout {
            Some(stdout) => Ok((leashed, stdout)),
            None => Err(failed(io::Error::other("it has no stdout"))),
        }
    }

    /// Waits for the end of a child that closed its stdout; one that stays is killed.
    pub fn end(&mut self) -> io::Result<ExitStatus> {
        let status = match self.ends_within(ENDING)? {
            Some(status) => status,
            None => {
                self.kill();
                self.child.wait()?
            }
        };
        // All was said; unless something else holds the pipe, the listener is about to end.
        let until = Instant::now() + POLL * 20;
        while self.heard.as_ref().is_some_and(|h| !h.is_finished()) && Instant::now() < until {
            thread::sleep(POLL);
        }
        Ok(status)
    }

    fn ends_within(&mut self, time: Duration) -> io::Result<Option<ExitStatus>> {
        let until = Instant::now() + time;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= until {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    /// The last thing it said that is worth repeating, without addresses of its internals; empty where it was silent.
    pub fn last_words(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let worth = |line: &&str| !line.is_empty() && !CHATTER.iter().any(|words| line.contains(words));
        let line = text.lines().rev().map(str::trim).find(worth).unwrap_or_default();
        let line = if line.starts_with('[') { line.split_once("] ").map_or(line, |(_, rest)| rest) } else { line };
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    }

    /// Whether the end of what it said holds this.
    pub fn has_said(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).contains(words)
    }

    fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        signal_group("KILL", self.child.id());
        let _ = self.child.kill();
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.polite {
            signal_group("TERM", self.child.id());
            let _ = self.ends_within(FAREWELL);
        }
        self.kill();
        let _ = self.child.wait();
    }
}

/// The command such that its process dies with the thread that starts it, or `None` where that can't be had.
///
/// The thread that starts a child owns it to its end, so the thread ends early only with the whole process. A program
/// that can't be found is left to fail by its own name.
fn tied(command: &Command) -> Option<Command> {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let mut tied = Command::new(TIE.0);
    tied.args(TIE.1);
    let works = || {
        let mut trial = Command::new(TIE.0);
        trial.args(TIE.1).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        trial.status().is_ok_and(|status| status.success())
    };
    if !*WORKS.get_or_init(works) {
        return None;
    }
    tied.arg(found(Path::new(command.get_program()))?).args(command.get_args());
    Some(tied)
}

/// Where a program is: a path as it stands, or a name looked up in `PATH`.
fn found(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Signals a child's process group. The standard library reaches only the child itself; the shell's built-in `kill`
/// reaches the group without unsafe code. The child has not been waited for, so its number is still its own.
fn signal_group(signal: &str, leader: u32) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"kill -s "$0" -- "-$1""#, signal, &leader.to_string()]);
    let sent = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(error) = sent {
        tracing::debug!(%error, "no shell to signal a process group with; only its leader is ended");
    }
}

/// Keeps the end of what a child says, and tells the marks apart from it.
struct Listener {
    tail: Arc<Mutex<Vec<u8>>>,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// Where marks go; without it all that is said is kept.
    marks: Option<SyncSender<Mark>>,
}

impl Listener {
    fn listen(mut self, mut from: impl Read) {
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            for part in chunk.get(..read).unwrap_or_default().split_inclusive(|b| *b == b'\n') {
                self.line.extend_from_slice(part);
                if part.ends_with(b"\n") || self.line.len() > TAIL {
                    self.end_line();
                }
            }
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(marks) = &self.marks {
            match marks::line(&String::from_utf8_lossy(&line)) {
                Line::Picture(pts) => {
                    // Nobody listens any more where the reader is gone; what is said is still read.
                    let _ = marks.send(Mark { pts, at: Instant::now() });
                    return;
                }
                Line::Rest => return,
                Line::Other => {}
            }
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&line);
        let excess = tail.len().saturating_sub(TAIL);
        tail.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::tests::{ended, eventually};

    fn sh(script: &str) -> (Leashed, ChildStdout) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Leashed::spawn(command, None, false).unwrap()
    }

    #[test]
    fn the_tail_of_stderr_is_bounded() {
        let (mut child, mut stdout) =
            sh("yes '[h264 @ 0x1] noise' | head -n 100000 >&2; echo '[x @ 0x2] the end' >&2; exit 3");
        stdout.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(child.end().unwrap().code(), Some(3));
        assert_eq!(child.last_words(), "the end");
        assert!(child.said.lock().unwrap().len() <= TAIL);
    }

    #[test]
    fn marks_are_told_apart_from_words() {
        let mut command = Command::new("/bin/sh");
        let script = "printf 'one\\nframe:0 pts:500000 pts_ti' >&2; sleep 0.1; printf 'me:0.5\\nocellus=1\\ntwo' >&2";
        command.args(["-c", script]);
        let (mut child, mut stdout, marks) = Leashed::marked(command, None, false).unwrap();
        stdout.read_to_end(&mut Vec::new()).unwrap();
        child.end().unwrap();
        assert_eq!(marks.iter().map(|mark| mark.pts).collect::<Vec<_>>(), [Some(0.5)]);
        assert!(child.has_said("one\ntwo"));
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        let (child, mut stdout) = sh("sleep 1000 & exec sleep 1000");
        drop(child);
        // The pipe closes only when the grandchild, which holds it too, is gone.
        assert_eq!(stdout.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn a_stubborn_child_is_killed() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' TERM; echo up; while :; do sleep 1000; done"]);
        let (child, mut stdout) = Leashed::spawn(command, None, true).unwrap();
        stdout.read_exact(&mut [0; 3]).unwrap();
        drop(child);
        assert_eq!(stdout.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn a_child_that_closes_its_stdout_but_stays_is_killed() {
        let (mut child, mut stdout) = sh("exec >&-; exec sleep 1000");
        assert_eq!(stdout.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert!(!child.end().unwrap().success());
    }

    /// This test runs itself in a process of its own, which starts a child that never writes and is then killed.
    #[test]
    fn a_child_does_not_outlive_a_process_that_is_killed() {
        const ROLE: &str = "OCELLUS_TEST_PARENT";
        if let Some(pid) = std::env::var_os(ROLE) {
            let (_child, mut stdout) = sh(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
            stdout.read_to_end(&mut Vec::new()).unwrap();
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let mut parent = Command::new(std::env::current_exe().unwrap());
        let name = "camera::ffmpeg::child::tests::a_child_does_not_outlive_a_process_that_is_killed";
        parent.args([name, "--exact"]).env(ROLE, &pid).stdout(Stdio::null()).stderr(Stdio::null());
        let mut parent = parent.spawn().unwrap();
        let written = || std::fs::read_to_string(&pid).ok().filter(|text| text.ends_with('\n'));
        eventually("the child runs", || written().is_some());
        parent.kill().unwrap();
        parent.wait().unwrap();
        let child = written().unwrap();
        eventually("the child is gone", || ended(&child));
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let missing = Leashed::spawn(Command::new("/no/such/ffmpeg"), None, false).unwrap_err();
        assert!(missing.to_string().contains("apt-get install ffmpeg"), "{missing}");
    }
}
