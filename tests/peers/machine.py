"""What tests share that run on a machine of their own, under systemd or not: commands, waiting, and the service."""

import os
import pathlib
import subprocess
import time

# Seconds, at most: where the processor is emulated they are long.
PATIENCE = 600
DROP_INS = pathlib.Path("/etc/systemd/system/ocellus.service.d")


def run(*command, **options):
    """What a command printed; it must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def until(what, look, context=lambda: ""):
    """Waits for what is looked for, and returns it. `context` says more where it doesn't come."""
    end, pause = time.monotonic() + PATIENCE, 0.05
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not in time: {what}\n{context()}")
        time.sleep(pause)
        # Looking costs processor time, for which others wait.
        pause = min(pause * 1.5, 0.5)
    return found


def install(package, *options):
    """Installs the package, without questions."""
    run("dpkg", "-i", *options, package, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def show(name):
    """A property of the service."""
    return run("systemctl", "show", "--value", "-p", name, "ocellus").strip()


def journal():
    """What the service has said since the machine started."""
    return run("journalctl", "--no-pager", "-b", "-o", "cat", "-u", "ocellus")


def said():
    """What explains why a wait was in vain."""
    return f"{journal()[-3000:]}\n{show('StatusText')}"


def status(wanted):
    """Waits for words in the service's state in a line."""
    return until(f"the status {wanted!r}", lambda: wanted in show("StatusText"), said)


def drop_in(*settings):
    """Settings of the administrator's, instead of those before."""
    DROP_INS.mkdir(exist_ok=True)
    (DROP_INS / "test.conf").write_text("\n".join(["[Service]", *settings, ""]))
    run("systemctl", "daemon-reload")
