"""The container image as an orchestrator runs it. PODMAN, LIMITS and IMAGE say how: scripts/test-container sets them."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "peers"))
from hold import hold  # noqa: E402
from machine import until  # noqa: E402

PODMAN, LIMITS, IMAGE = os.environ["PODMAN"].split(), os.environ["LIMITS"].split(), os.environ["IMAGE"]
CONFIG = """
[mqtt]
enabled = false
[web]
listen = "0.0.0.0:8642"
metrics_token_credential = "metrics"
[models.parts]
path = "/usr/share/ocellus/models/conveyor"
[cameras.one]
source = "sim:conveyor?seed=3&fps=5&width=320&height=180"
"""
# As the chart's pod has it.
CLOSED = ["--network", "none", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "all",
          "--security-opt", "no-new-privileges", *LIMITS]


def podman(*command, check=True):
    done = subprocess.run([*PODMAN, *map(str, command)], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"podman {command[0]}: {done.stderr}")
    return done


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)

    def start(self, *options):
        started = podman("run", "--detach", *CLOSED, *options, IMAGE).stdout.split()[-1]
        self.addCleanup(podman, "rm", "--force", "--time", "0", started)
        return started

    def configured(self, text, *options):
        config = self.folder / "ocellus.toml"
        config.write_text(text)
        return [f"--volume={config}:/etc/ocellus/ocellus.toml:ro", *options]

    def until(self, what, container, look):
        until(what, look, lambda: self.said(container))

    def said(self, container):
        logs = podman("logs", container)
        return logs.stdout + logs.stderr

    def asks(self, container, request):
        """An answer to HTTP, from within: the image has bash and no curl."""
        script = f"exec 3<>/dev/tcp/127.0.0.1/8642 && printf '%s\\r\\n' {request} '' >&3 && cat <&3"
        return podman("exec", container, "bash", "-c", script, check=False).stdout

    def test_as_it_is_it_serves_and_says_what_is_missing(self):
        container = self.start()
        self.until("health", container, lambda: podman("healthcheck", "run", container, check=False).returncode == 0)
        self.assertIn("No camera is configured: add a table [cameras.NAME]", self.said(container))
        self.assertEqual(podman("exec", container, "id", "-u").stdout.strip(), "8642")
        self.assertIn("CapEff:\t0000000000000000", podman("exec", container, "cat", "/proc/1/status").stdout)
        self.assertNotEqual(podman("exec", container, "touch", "/etc/x", check=False).returncode, 0)
        podman("exec", container, "touch", "/var/lib/ocellus/x", "/var/cache/ocellus/x", "/tmp/x")
        report = json.loads(podman("exec", container, "ocellus", "doctor", "--json", check=False).stdout)
        found = {}
        for finding in report["findings"]:
            found.setdefault(finding["check"], []).append(finding)
        for check in ("configuration", "inference", "ffmpeg", "broker"):
            self.assertEqual([finding["verdict"] for finding in found[check]], ["ok"], found[check])
        self.assertTrue(any("no camera" in finding["said"] for finding in found["camera"]))
        # The loader and the drivers for AMD and Intel.
        drivers = " ".join(finding["said"] for finding in found["vulkan"])
        for library in ("libvulkan.so.1", "libvulkan_radeon.so", "libvulkan_intel.so"):
            self.assertIn(library, drivers)

    def test_nvidias_toolkit_is_asked_for_vulkan(self):
        config = json.loads(podman("image", "inspect", IMAGE).stdout)[0]["Config"]
        self.assertIn("NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility,video", config["Env"])
        self.assertEqual(config["User"], "8642:8642")

    def test_a_camera_is_scored_and_a_stop_is_clean(self):
        token = self.folder / "metrics"
        token.write_text("sesame\n")
        mounts = self.configured(CONFIG, f"--volume={token}:/run/credentials/ocellus/metrics:ro")
        container = self.start(*mounts)
        ready = "'GET /readyz HTTP/1.0'"
        self.until("readiness", container, lambda: " 200 " in self.asks(container, ready).partition("\n")[0])
        self.assertIn(" 401 ", self.asks(container, "'GET /metrics HTTP/1.0'"))
        scored = "'GET /metrics HTTP/1.0' 'Authorization: Bearer sesame'"
        self.until("frames", container, lambda: 'camera="one"' in self.asks(container, scored))
        podman("stop", "--time", "60", container)
        state = json.loads(podman("inspect", container).stdout)[0]["State"]
        self.assertEqual(state["ExitCode"], 0, self.said(container))

    def test_a_stuck_model_is_unhealthy(self):
        container = self.start(*self.configured(CONFIG.replace('metrics_token_credential = "metrics"', "")))
        self.until("frames", container, lambda: '"scored":' in self.asks(container, "'GET /api/state HTTP/1.0'"))
        pid = json.loads(podman("inspect", container).stdout)[0]["State"]["Pid"]
        holder = hold(pid, "model-parts")
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        healthy = "'GET /healthz HTTP/1.0'"
        self.until("the model to be missed", container, lambda: "no progress: model parts" in self.asks(container, healthy))
        self.assertNotEqual(podman("healthcheck", "run", container, check=False).returncode, 0)
        self.assertIn("No progress; /healthz says so", self.said(container))
        holder.kill()
        self.until("it to get on", container, lambda: " 200 " in self.asks(container, healthy).partition("\n")[0])

    def test_a_mistake_in_the_configuration_is_named(self):
        mounts = self.configured(CONFIG.replace("source", "sauce"))
        done = podman("run", "--rm", *CLOSED, *mounts, IMAGE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/etc/ocellus/ocellus.toml:", done.stderr)
        self.assertIn("sauce", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
