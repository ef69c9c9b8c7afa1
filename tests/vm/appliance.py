"""The package on a machine of its own: with the kernel's limits on devices and memory, and a power cord that is pulled.

Runs inside the virtual machine. Where it says "cut the power" the machine is killed, and started again with the same disk
and with all that was said until then in before.log.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from guest import CAMERA, plug_in_a_camera
from machine import drop_in, install, journal, run, said, show, status, until

JOB = pathlib.Path("/run/job")
BEFORE = JOB / "before.log"
CONFIG = pathlib.Path("/etc/ocellus/ocellus.toml")
CGROUP = pathlib.Path("/sys/fs/cgroup/system.slice/ocellus.service")
OUTBOX = "/var/lib/ocellus/outbox"
# How often the power is cut, and after how many more events at the earliest.
CUTS, EVENTS = 3, 8

HEAD = """
site = "plant"
node = "edge"
device = "cpu"
[models.parts]
path = "/var/lib/ocellus/models/blobs"
"""
# The camera's pattern stands still.
LOCAL = f'[cameras.local]\nsource = "v4l:{CAMERA}"\nsize = [320, 180]\nfps = 5\ntrust = {{ still = 0 }}\n'
LINES = "".join(
    f'[cameras.line-{seed}]\nsource = "sim:conveyor?seed={seed}&fps=2&width=320&height=180"\n[cameras.line-{seed}.track]\n'
    for seed in (1, 2)
)

# Run by the unit in the daemon's stead: which of the machine's devices it can open, and why not the others.
PROBE = """
import errno, json, os, pathlib, stat
answers = {}
for path in sorted(pathlib.Path("/dev").rglob("*")):
    kind = path.lstat().st_mode
    if not (stat.S_ISCHR(kind) or stat.S_ISBLK(kind)):
        continue
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
        answers[str(path)] = "open"
    except OSError as error:
        answers[str(path)] = errno.errorcode[error.errno]
print("devices", json.dumps(answers))
"""
# What systemd lets through beside what the unit names (systemd.resource-control(5), DevicePolicy=closed).
PSEUDO = re.compile("/dev/(null|zero|full|random|urandom|tty|ptmx|pts/.*)")
# What the unit lets through: Video4Linux and graphics.
OURS = re.compile("/dev/(video.*|v4l.*|dri/.*)")

# Takes memory until it is stopped.
HOG = "taken = []\nwhile True: taken.append(bytearray(b'x') * (1 << 20))"


class Machine(unittest.TestCase):
    """Before the first cut. The steps build on each other."""

    def test_1_installed_it_reads_the_camera_at_the_machine(self):
        plug_in_a_camera()
        install(JOB / "ocellus.deb")
        # The model that ships takes this machine seconds a frame.
        shutil.copytree(JOB / "blobs", "/var/lib/ocellus/models/blobs")
        CONFIG.write_text(HEAD + LOCAL)
        run("systemctl", "restart", "ocellus")
        status("Cameras: 1 ok;")

    def test_2_no_device_is_let_through_that_the_unit_does_not_name(self):
        run("systemctl", "stop", "ocellus")
        pathlib.Path("/srv/probe.py").write_text(PROBE)
        # Permissions of files are out of the way, so that what refuses is the unit.
        for path in pathlib.Path("/dev").rglob("*"):
            if path.is_char_device() or path.is_block_device():
                path.chmod(0o666)
        drop_in("Type=oneshot", "WatchdogSec=0", "Restart=no", "ExecStart=", "ExecStart=/usr/bin/python3 /srv/probe.py")
        run("systemctl", "start", "ocellus")
        answers = json.loads(re.findall("^devices (.*)$", journal(), re.MULTILINE)[-1])
        opened = {path for path, answer in answers.items() if answer == "open"}
        print("can be opened:", *sorted(opened))
        self.assertIn(os.path.realpath(CAMERA), opened)
        self.assertEqual({path for path in opened if not PSEUDO.fullmatch(path) and not OURS.fullmatch(path)}, set())
        for path in ("/dev/vda", "/dev/vdb", "/dev/ttyS0"):
            self.assertEqual(answers[path], "EPERM", path)

    def test_3_who_takes_too_much_memory_is_ended_and_nobody_else(self):
        drop_in("MemoryHigh=infinity", "MemoryMax=512M")
        run("systemctl", "restart", "ocellus")
        status("Cameras: 1 ok;")
        pid = show("MainPID")
        hog = subprocess.Popen([sys.executable, "-c", HOG])
        # As a child of the daemon's, such as a camera's decoder.
        CGROUP.joinpath("cgroup.procs").write_text(str(hog.pid))
        self.assertEqual(hog.wait(), -9)
        events = dict(line.split() for line in CGROUP.joinpath("memory.events").read_text().splitlines())
        self.assertEqual(events["oom_kill"], "1")
        self.assertLessEqual(int(CGROUP.joinpath("memory.peak").read_text()), 512 << 20)
        self.assertEqual((show("MainPID"), show("NRestarts"), show("ActiveState")), (pid, "0", "active"))
        status("Cameras: 1 ok;")

    def test_4_by_default_a_quarter_of_the_memory_is_left_to_the_machine(self):
        drop_in("Environment=RUST_LOG=ocellus::outbox=trace,ocellus=info")
        CONFIG.write_text(HEAD + LINES)
        run("systemctl", "restart", "ocellus")
        status("Cameras: 2 ok;")
        [total] = re.findall(r"^MemTotal: +(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
        limit = int(CGROUP.joinpath("memory.max").read_text())
        self.assertAlmostEqual(limit / (int(total) * 1024), 0.75, delta=0.01)
        # What was installed and configured is on the disk; what comes now has to get there by itself.
        run("sync")


class AfterTheCut(unittest.TestCase):
    """What was kept before the power was cut."""

    def test_1_the_outbox_opens_again_with_every_event_that_was_kept(self):
        until("the daemon", lambda: show("ActiveState") == "active", said)
        items = exported()
        ids = collections.Counter(item["id"] for item in items)
        kept = kept_before()
        print(f"{len(kept)} events were kept in {cuts()} starts, {len(items)} wait now")
        self.assertEqual(kept - ids.keys(), set(), "lost")
        self.assertEqual({id for id, times in ids.items() if times > 1}, set(), "kept twice")
        self.assertEqual(list(pathlib.Path(OUTBOX).glob("corrupt-*")), [])
        happened = collections.Counter(
            json.dumps({**item["payload"], "id": None}, sort_keys=True) for item in items if item["kind"] == "event"
        )
        self.assertEqual([event for event, times in happened.items() if times > 1], [], "under two ids")
        self.assertGreater(len(kept), cuts() * EVENTS)


class Delivery(unittest.TestCase):
    """At last there is a broker."""

    def test_all_that_was_kept_comes_once(self):
        run("systemctl", "stop", "ocellus")
        wanted = {item["id"] for item in exported()}
        settings = ["listener 1883 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "user root", ""]
        pathlib.Path("/run/mosquitto.conf").write_text("\n".join(settings))
        broker = subprocess.Popen(["mosquitto", "-c", "/run/mosquitto.conf"], stderr=subprocess.DEVNULL)
        subscriber = None
        try:
            with open("/run/events", "w") as events:
                # By its address: nothing on this machine knows the name of localhost.
                there = ["-h", "127.0.0.1"]
                here = ["mosquitto_pub", *there, "-r", "-t", "here", "-m", "now"]
                until("the broker", lambda: subprocess.run(here, capture_output=True).returncode == 0)
                topics = ["-t", "here", "-t", "ocellus/+/+/+/events"]
                subscriber = subprocess.Popen(["mosquitto_sub", *there, "-q", "1", *topics], stdout=events)
                until("the subscription", lambda: pathlib.Path("/run/events").read_text() == "now\n")
                CONFIG.write_text(HEAD)
                run("systemctl", "start", "ocellus")
                until("the last one", lambda: self.waiting() == 0, said)
                # What the broker has acknowledged reaches its subscriber a moment later.
                until("the subscriber", lambda: len(self.came()) >= len(wanted))
                came = self.came()
        finally:
            for process in (subscriber, broker):
                if process:
                    process.terminate()
        print(f"{len(came)} events came")
        self.assertEqual(set(came), wanted)
        self.assertEqual(len(came), len(set(came)))
        self.assertLessEqual(kept_before(), set(came))

    @staticmethod
    def came():
        """The ids that the subscriber got, behind the line that says that it is there."""
        return [json.loads(line)["id"] for line in pathlib.Path("/run/events").read_text().split("\n")[1:-1]]

    @staticmethod
    def waiting():
        return json.loads(run("ocellus", "outbox", "status", "--json", "--path", OUTBOX))["kinds"]["event"]["waiting"]


def exported():
    """What waits in the outbox."""
    return [json.loads(line) for line in run("ocellus", "outbox", "export", "--path", OUTBOX).splitlines()]


def before():
    return BEFORE.read_text() if BEFORE.exists() else ""


def cuts():
    return before().count("\ncut the power\n")


def kept_before():
    """The events of which the outbox had said, before the power was cut, that they are kept."""
    return set(re.findall(r"^Kept\. id=(\S+)", before(), re.MULTILINE))


def work_until_the_cut():
    """Says of each event that it was kept, and after some of them that the power may be cut. Does not return."""
    follow = subprocess.Popen(
        ["journalctl", "-f", "-b", "-o", "cat", "-u", "ocellus"], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    heard = 0
    for line in follow.stdout:
        found = re.search(r"Kept\. id=\S+", line)
        if not found:
            continue
        print(found.group(), flush=True)
        heard += 1
        if heard == EVENTS + 1:
            print("cut the power", flush=True)


def passes(*cases):
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases)
    return unittest.TextTestRunner(stream=sys.stdout, failfast=True, verbosity=2).run(suite).wasSuccessful()


if __name__ == "__main__":
    if not passes(*([AfterTheCut] if cuts() else [Machine])):
        sys.exit(1)
    if cuts() < CUTS:
        work_until_the_cut()
    sys.exit(not passes(Delivery))
