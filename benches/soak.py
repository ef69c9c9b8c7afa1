"""Whether the daemon stays as it is: simulated cameras and two of the network, one of which fails every minute.

An RTSP and an MJPEG camera (tests/peers) are killed in turns and come back ten seconds later. Every half minute a row
tells memory, open files and threads; at the end stands what the last third holds more than the third before it.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

import daemon

PEERS = pathlib.Path(__file__).parent.parent / "tests/peers"
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# Of one whose decoder was just started nothing can be said yet.
EVERY, DOWN = 30, 10
COLUMNS = ["minute", "daemon MiB", "heap MiB", "files", "threads", "decoders", "decoders MiB", "scored", "dropped", "restarts"]


class Peer:
    """A camera of the network that can be killed and comes back at the same place."""

    def __init__(self, script, *arguments):
        self.command = ["/usr/bin/python3", str(PEERS / script), *arguments, "--port", str(daemon.free_port())]
        self.killed = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().removeprefix("ready ").strip()
        # What else it says must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.killed += 1


class Stats(threading.Thread):
    """The daemon's own counts, as it publishes them."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.last = {"cameras": {}}
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", "ocellus/bench/node/stats"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.last = json.loads(line)

    def total(self, key):
        return sum(camera[key] for camera in self.last["cameras"].values())


def configuration(folder, port, args, peers):
    config = daemon.configuration(folder, port, args, args.cameras)
    lines = [f'[outbox]\npath = "{folder}/outbox"']
    # Simulated parts become tracks and cross a line, so that events and counts are a part of it.
    for camera in range(args.cameras):
        lines.append(f'[[cameras.c{camera}.lines]]\nname = "gate"\npoints = [[0.8, 0.0], [0.8, 1.0]]')
    lines += [f'[cameras.peer{n}]\nsource = "{peer.url}"\nfps = 5' for n, peer in enumerate(peers)]
    config.write_text(config.read_text() + "\n".join(lines) + "\n")
    return config


def status(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def sample(began, pid, stats, peers):
    decoders = daemon.children(pid)
    return {
        "minute": (time.monotonic() - began) / 60,
        "daemon MiB": daemon.resident_mib(pid),
        # Without the pages of the binary and the model's file, which come and go with the system's memory.
        "heap MiB": status(pid, "RssAnon") / 1024,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": status(pid, "Threads"),
        "decoders": len(decoders),
        "decoders MiB": sum(daemon.resident_mib(child) for child in decoders if os.path.exists(f"/proc/{child}")),
        "scored": stats.total("scored"),
        "dropped": stats.total("dropped"),
        "restarts": sum(peer.killed for peer in peers),
    }


def watch(args, pid, stats, peers):
    began, rows, turn = time.monotonic(), [], 0
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for tick in range(1, args.minutes * 60 // EVERY + 1):
        if tick % 2 == 0:
            peer = peers[turn % len(peers)]
            turn += 1
            peer.kill()
            time.sleep(DOWN)
            peer.start()
        time.sleep(max(0.0, began + tick * EVERY + EVERY / 2 - time.monotonic()))
        row = sample(began, pid, stats, peers)
        rows.append(row)
        cells = (f"{row[c]:.1f}" if isinstance(row[c], float) else f"{row[c]}" for c in COLUMNS)
        print("| " + " | ".join(cells) + " |", flush=True)
    return rows


def growth(rows, key):
    """How much more the last third has than the one before it, by their medians."""
    third = len(rows) // 3
    before, after = rows[-2 * third : -third], rows[-third:]
    return statistics.median(r[key] for r in after) - statistics.median(r[key] for r in before)


def pictures(folder):
    """What the MJPEG camera shows."""
    folder.mkdir()
    source = ["-f", "lavfi", "-i", "testsrc=s=320x240:r=10:d=10", "-frames:v", "50", "-pix_fmt", "yuvj420p"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *source, str(folder / "%03d.jpg")], check=True)
    return str(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--profile")
    parser.add_argument("--source", default="sim:conveyor?seed={i}&fps=1&width=320&height=180")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--log", default=os.devnull, help="where what the daemon says goes")
    args = parser.parse_args()
    port = daemon.free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        broker = subprocess.Popen([daemon.MOSQUITTO, "-c", str(folder / "mosquitto.conf")], **QUIET)
        time.sleep(1)
        peers = [Peer("rtsp_server.py", "--fps", "5"), Peer("mjpeg_server.py", pictures(folder / "jpegs"), "--fps", "5")]
        stats = Stats(port)
        log = open(args.log, "w")
        config = configuration(folder, port, args, peers)
        ocellus = subprocess.Popen([args.ocellus, "run", "--config", str(config)], stderr=log)
        try:
            rows = watch(args, ocellus.pid, stats, peers)
        finally:
            ocellus.terminate()
            ocellus.wait()
            stats.process.kill()
            for peer in peers:
                peer.kill()
            broker.terminate()
            broker.wait()
    print()
    for key in ["daemon MiB", "heap MiB", "files", "threads"]:
        print(f"{key}: {growth(rows, key):+.1f} in the last third against the one before")


if __name__ == "__main__":
    main()
