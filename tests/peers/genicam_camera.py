"""A GigE Vision camera: Aravis' own fake one, on the loopback interface.

Prints `ready ID` once it listens. There can be one at a time, since its port is fixed (3956). Runs on the system's
Python, which has the bindings of Aravis.
"""

import argparse

import gi

gi.require_version("Aravis", "0.8")
from gi.repository import Aravis, GLib  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--serial", default="GV01")
args = parser.parse_args()

camera = Aravis.GvFakeCamera.new("lo", args.serial)
if not camera.is_running():
    raise SystemExit("the fake camera does not start: is its port in use?")
print("ready", f"Aravis-Fake-{args.serial}", flush=True)
GLib.MainLoop().run()
