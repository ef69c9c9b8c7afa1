"""What the tests inside the virtual machine share."""

import os
import subprocess
import time

# Everything is emulated: seconds are long.
PATIENCE = 600

# The kernel's simulated camera, by the name that stays the same when the device gets another number.
CAMERA = "/dev/v4l/by-path/platform-vivid.0-video-index0"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def until(what, look, context=lambda: ""):
    """Waits for what is looked for, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"not in time: {what}\n{context()}")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def plug_in_a_camera():
    """One camera: single-planar, nothing but video capture."""
    run("modprobe", "vivid", "n_devs=1", "node_types=0x1", "multiplanar=1")
    until(CAMERA, lambda: os.path.exists(CAMERA))
