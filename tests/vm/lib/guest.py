"""What the tests inside the virtual machine share."""

import os

from machine import run, until

# The kernel's simulated camera, by the name that stays the same when the device gets another number.
CAMERA = "/dev/v4l/by-path/platform-vivid.0-video-index0"


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def plug_in_a_camera():
    """One camera: single-planar, nothing but video capture."""
    run("modprobe", "vivid", "n_devs=1", "node_types=0x1", "multiplanar=1")
    until(CAMERA, lambda: os.path.exists(CAMERA))
