#!/usr/bin/env python3
"""What it costs that no event is lost: cameras' events through a real mosquitto, to a subscriber that gets every one.

Three ways in turns, in one run: the daemon's outbox on a disk, the same with the outbox switched off, and the client
library (rumqttc) alone with the same bytes at QoS 1, which is the ceiling. First at the rate of 64 cameras with 30 events a
second each: delay from capture to subscriber, and CPU time. Then as fast as it goes. Prints Markdown tables with medians
over the rounds and their ratios to rumqttc; it fails where an event does not come, or comes under two ids.
"""

import argparse
import datetime
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import daemon

WAYS = {"rumqttc": "rumqttc alone", "memory": "outbox off", "outbox": "outbox"}


class Subscriber:
    """`mosquitto_sub` at QoS 1, which notes when each message came."""

    def __init__(self, port):
        at = ["-h", "127.0.0.1", "-p", str(port), "-q", "1"]
        subprocess.run(["mosquitto_pub", *at, "-r", "-t", "ocellus/bench/node/hello/events", "-m", "hello"], check=True)
        command = ["mosquitto_sub", *at, "-t", "ocellus/bench/node/+/events", "-F", "%U %p"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        # What the broker retained comes when the subscription holds.
        if not self.process.stdout.readline().endswith("hello\n"):
            raise SystemExit("mosquitto_sub could not subscribe")
        self.lines = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def wait(self, events):
        """All of them, as `(delay in seconds, id)`."""
        until = time.time() + 60
        while len(self.lines) < events and time.time() < until:
            time.sleep(0.02)
        self.process.kill()
        self.thread.join()
        heard = []
        for line in self.lines:
            at, payload = line.split(" ", 1)
            event = json.loads(payload)
            captured = datetime.datetime.fromisoformat(event["frame"]["captured_at"].replace("Z", "+00:00"))
            heard.append((float(at) - captured.timestamp(), event["id"]))
        return heard


def measure(options, way, rate, folder):
    port = daemon.free_port()
    config = pathlib.Path(folder) / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
                      "max_inflight_messages 0\nmax_queued_messages 0\n")
    broker = subprocess.Popen([daemon.MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        subscriber = Subscriber(port)
        with tempfile.TemporaryDirectory(dir=folder) as outbox:
            command = [options.load, "--way", way, "--port", str(port), "--folder", outbox,
                       "--cameras", str(options.cameras), "--rate", str(rate), "--seconds", str(options.seconds)]
            done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        heard = subscriber.wait(done["events"])
        brokers = daemon.cpu_seconds(broker.pid)
    finally:
        broker.kill()
        broker.wait()
    ids = {identity for _, identity in heard}
    if len(ids) != done["events"] or len(heard) != done["events"]:
        raise SystemExit(f"{way}: {done['events']} events were made, {len(heard)} came under {len(ids)} ids")
    delays = sorted(delay for delay, _ in heard)
    return {
        "rate": done["events"] / done["seconds"],
        "p50": 1e3 * daemon.percentile(delays, 0.5),
        "p99": 1e3 * daemon.percentile(delays, 0.99),
        "cores": done["cpu_seconds"] / done["seconds"],
        "cpu_us": 1e6 * done["cpu_seconds"] / done["events"],
        "broker": brokers / done["seconds"],
    }


def sync_ms(folder):
    """The median time that the disk takes to sync four KiB that were appended to a file."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(200):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def rounds(options, rate, folder):
    """Medians by way, the ways in turns."""
    seen = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            seen[way].append(measure(options, way, rate, folder))
    return {way: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for way, runs in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", required=True, help="the example outbox_load, built")
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--rate", type=float, default=30.0, help="events a second of each camera")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=".", help="where the outbox is; its disk is what is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".bench-outbox-", dir=options.folder) as folder:
        print(f"A sync of 4 KiB takes this disk {sync_ms(folder):.2f} ms (median of 200).\n")
        wanted = options.cameras * options.rate
        paced = rounds(options, wanted, folder)
        print(f"{options.cameras} cameras with {options.rate:g} events a second each:\n")
        print("| way | events a second | p50, ms | p99, ms | publisher, cores | ratio | mosquitto, cores |")
        print("|---|---|---|---|---|---|---|")
        for way, row in paced.items():
            ratio = row["cores"] / paced["rumqttc"]["cores"]
            print(f"| {WAYS[way]} | {row['rate']:.0f} | {row['p50']:.2f} | {row['p99']:.2f} | {row['cores']:.3f} | "
                  f"{ratio:.2f} | {row['broker']:.3f} |", flush=True)
        fastest = rounds(options, 0, folder)
        print("\nAs fast as it goes:\n")
        print("| way | events a second | ratio | publisher, µs of CPU an event | ratio |")
        print("|---|---|---|---|---|")
        for way, row in fastest.items():
            rate, cpu = (row[key] / fastest["rumqttc"][key] for key in ("rate", "cpu_us"))
            print(f"| {WAYS[way]} | {row['rate']:.0f} | {rate:.2f} | {row['cpu_us']:.1f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
