"""Cameras at the machine, against the kernel's simulated camera `vivid`. Runs inside the virtual machine."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

from guest import CAMERA, plug_in_a_camera, write
from machine import PATIENCE, run, until

OCELLUS, MODEL = "/run/job/ocellus", "/run/job/colour"
DRIVER = "/sys/bus/platform/drivers/vivid"
HERE = ["mosquitto_pub", "-h", "127.0.0.1", "-t", "here", "-m", "now"]


class Daemon:
    """The daemon with one camera, and what it says of it over MQTT."""

    def __init__(self, camera):
        config = f"""
device = "cpu"
site = "site"
node = "node"
[web]
[outbox]
path = "/run/outbox"
[models.parts]
path = "{MODEL}"
[cameras.vivid]
source = "v4l:{CAMERA}"
{camera}
# The camera's pattern stands still.
[cameras.vivid.trust]
still = 0
"""
        write("/run/ocellus.toml", config)
        self.listen()
        self.log = open("/run/ocellus.log", "w+")
        self.process = subprocess.Popen([OCELLUS, "run", "--config", "/run/ocellus.toml"], stderr=self.log)

    def listen(self):
        """Writes down every state from now on: on a busy machine some are over before one could ask."""
        self.states, self.looked_at = open("/run/states", "w+"), 0
        topics = ["-t", "here", "-t", "ocellus/site/node/vivid/status"]
        self.subscriber = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-R", *topics], stdout=self.states)

        def is_there():
            run(*HERE)
            return pathlib.Path("/run/states").read_text()

        until("the subscription", is_there)

    def next_states(self):
        """The states behind those that were looked at, as far as their lines are whole."""
        lines = pathlib.Path("/run/states").read_text().split("\n")[:-1]
        return [(at, json.loads(line)) for at, line in enumerate(lines) if at >= self.looked_at and line != "now"]

    def frame(self):
        topic = "ocellus/site/node/vivid/detections"
        answer = run("mosquitto_sub", "-h", "127.0.0.1", "-t", topic, "-C", "1", "-W", str(PATIENCE))
        return json.loads(answer)["frame"]

    def wait_for(self, state, reason=""):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended: {self.said()}")
            for at, status in self.next_states():
                if status["state"] == state and reason in status["reason"]:
                    self.looked_at = at + 1
                    return status

        return until(f"{state} {reason}", look, self.said)

    def middle_row(self):
        """The middle row of the newest frame."""
        self.frame()
        run("curl", "-sSf", "-o", "/run/picture.jpg", "http://127.0.0.1:8642/api/cameras/vivid/snapshot.jpg?plain=true")
        ppm = subprocess.run(["djpeg", "-ppm", "/run/picture.jpg"], check=True, capture_output=True).stdout
        magic, size, most, pixels = ppm.split(b"\n", 3)
        width, height = map(int, size.split())
        row = pixels[height // 2 * width * 3:][:width * 3]
        return [tuple(row[x:x + 3]) for x in range(0, len(row), 3)]

    def said(self):
        self.log.flush()
        with open("/run/ocellus.log") as log:
            return log.read()[-3000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.subscriber.terminate()
        self.subscriber.wait()
        self.states.close()
        self.log.close()


def bars(row):
    """The colours in the middle of eight bars."""
    return [row[len(row) * (2 * bar + 1) // 16] for bar in range(8)]


class V4l(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        plug_in_a_camera()
        cls.broker = subprocess.Popen(["mosquitto", "-p", "1883"], stderr=subprocess.DEVNULL)
        until("the broker", lambda: subprocess.run(HERE, capture_output=True).returncode == 0)

    @classmethod
    def tearDownClass(cls):
        cls.broker.terminate()

    def test_1_cameras_are_listed_with_what_they_give(self):
        [camera] = json.loads(run(OCELLUS, "cameras", "--json"))
        self.assertEqual((camera["name"], camera["driver"], camera["problem"]), ("vivid", "vivid", None))
        formats = {mode["format"] for mode in camera["modes"]} - {None}
        self.assertLessEqual({"yuyv", "nv12", "rgb", "grey", "bayer"}, formats)
        self.assertEqual(camera["source"], f"v4l:{CAMERA}")
        rates = {rate for mode in camera["modes"] for rate in mode["fps"]}
        self.assertLessEqual({5.0, 15.0, 30.0}, rates)
        self.assertIn("brightness", {control["name"] for control in camera["controls"]})
        self.assertLessEqual(camera["usual"]["size"][0], 1920)
        shown = run(OCELLUS, "cameras")
        self.assertIn(f"source = \"{camera['source']}\"", shown)
        print(shown)

    def test_2_every_format_shows_the_same_colours(self):
        # 100% bars: white, yellow, cyan, green, magenta, red, blue, black.
        wanted = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
        controls = 'controls = { test_pattern = "100% Colorbar", osd_text_mode = "None" }'
        for form in ["yuyv", "nv12", "rgb", "bayer", "grey"]:
            with self.subTest(form), Daemon(f'format = "{form}"\nsize = [640, 360]\nfps = 5\n{controls}') as daemon:
                daemon.wait_for("ok")
                seen = bars(daemon.middle_row())
                print(form, seen)
                if form == "grey":
                    self.assertTrue(all(max(pixel) - min(pixel) < 8 for pixel in seen), seen)
                    brightness = [pixel[0] for pixel in seen]
                    self.assertEqual(brightness, sorted(brightness, reverse=True))
                    continue
                for pixel, bar in zip(seen, wanted):
                    self.assertEqual(tuple(int(value > 128) for value in pixel), bar, seen)

    def test_3_controls_are_set(self):
        with Daemon("size = [640, 360]\nfps = 5\ncontrols = { brightness = 77, gain = 33, horizontal_flip = true }") as daemon:
            daemon.wait_for("ok")
            shown = run("v4l2-ctl", "-d", CAMERA, "--get-ctrl", "brightness,gain,gain_automatic,horizontal_flip")
            values = dict(line.split(": ") for line in shown.splitlines())
            self.assertEqual(values, {"brightness": "77", "gain": "33", "gain_automatic": "0", "horizontal_flip": "1"})
        with Daemon("controls = { brightness = 300 }") as daemon:
            daemon.wait_for("connecting", "`brightness` can't be set to 300")
        with Daemon("controls = { brightnes = 77 }") as daemon:
            daemon.wait_for("connecting", "did you mean `brightness`?")

    def test_4_what_it_does_not_give_is_said(self):
        with Daemon("size = [641, 359]") as daemon:
            daemon.wait_for("connecting", "641x359")
        with Daemon('format = "mjpg"') as daemon:
            daemon.wait_for("connecting", "it does not give the format mjpg")

    def test_5_a_camera_that_is_unplugged_is_found_again(self):
        with Daemon("size = [640, 360]\nfps = 5") as daemon:
            daemon.wait_for("ok")
            before = daemon.frame()["seq"]
            for _ in range(2):
                write(f"{DRIVER}/unbind", "vivid.0")
                print(daemon.wait_for("connecting", "unplugged"))
                self.assertFalse(os.path.exists(CAMERA))
                daemon.wait_for("connecting", "is the camera plugged in?")
                write(f"{DRIVER}/bind", "vivid.0")
                daemon.wait_for("ok")
                after = daemon.frame()["seq"]
                self.assertGreater(after, before)
                before = after
            self.assertIsNone(daemon.process.poll())

    def test_6_a_camera_that_is_in_use_is_said_to_be(self):
        command = ["v4l2-ctl", "-d", CAMERA, "--stream-mmap", "--stream-to=/dev/null"]
        other = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            # It marks every picture that it has.
            self.assertEqual(other.stderr.read(1), b"<")
            with Daemon("") as daemon:
                daemon.wait_for("connecting", "another program uses it")
                other.terminate()
                daemon.wait_for("ok")
        finally:
            other.kill()
            other.communicate()


if __name__ == "__main__":
    sys.stderr = sys.stdout
    unittest.main(failfast=True, verbosity=2)
