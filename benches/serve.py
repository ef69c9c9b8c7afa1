#!/usr/bin/env python3
"""Scoring for others: requests a second over HTTP next to the engine alone, and cameras beside the load.

In turns, in one run: `ocellus bench` (the engine, pictures from memory), then the daemon with nothing but `[serve]`, asked
by so many clients that keep their connections: pixels of the same size as a binary tensor (`/v2/…/infer`), and a JPEG of
640x360 that must be decoded (`/v1/detect`). Then a simulated camera, without and with the load beside it. Prints Markdown tables with medians over the
rounds and their ratios to the engine.
"""

import argparse
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

import daemon


def bench(args):
    command = [args.ocellus, "bench", "--model", args.model, "--device", args.device, "--json"]
    command += ["--batch", "1", "--seconds", str(args.seconds)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


class Served:
    """A daemon that serves the model, maybe with cameras."""

    def __init__(self, args, camera_fps=None):
        self.port = daemon.free_port()
        self.folder = tempfile.TemporaryDirectory()
        lines = ['site = "bench"', 'node = "node"', f'device = "{args.device}"', "[mqtt]", "enabled = false"]
        lines += ["[models.m]", f"path = {json.dumps(args.model)}", "[serve]", f'listen = "127.0.0.1:{self.port}"']
        self.web = daemon.free_port()
        lines += ["[web]", f'listen = "127.0.0.1:{self.web}"']
        if camera_fps:
            lines += ["[cameras.c]", f'source = "sim:conveyor?seed=1&fps={camera_fps}&width=640&height=360"']
        path = pathlib.Path(self.folder.name) / "ocellus.toml"
        path.write_text("\n".join(lines) + "\n")
        own = os.environ | {"XDG_STATE_HOME": self.folder.name}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([args.ocellus, "run", "--config", str(path)], env=own, **quiet)
        while not self.is_ready():
            if self.process.poll() is not None:
                raise SystemExit("the daemon did not start")
            time.sleep(0.05)

    def is_ready(self):
        try:
            return self.ask(http.client.HTTPConnection("127.0.0.1", self.port), "GET", "/v2/health/ready") == 200
        except OSError:
            return False

    @staticmethod
    def ask(connection, method, path, body=None, headers=None):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def camera(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.web)
        connection.request("GET", "/api/state")
        return json.load(connection.getresponse())["cameras"][0]["stats"]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def load(served, request, clients, seconds):
    """Requests a second that were answered, their times in ms, and how many were turned away."""
    until = time.time() + seconds
    times, refused = [], []

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        while time.time() < until:
            began = time.time()
            status = served.ask(connection, "POST", *request)
            if status == 200:
                times.append((time.time() - began) * 1e3)
            elif status == 503:
                refused.append(status)
                time.sleep(0.01)
            else:
                raise SystemExit(f"{request[0]} answered {status}")

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / seconds, times, len(refused)


def requests(args, width, height):
    jpeg = pathlib.Path(args.picture).read_bytes()
    # Noise, as the engine gets it.
    shape = [1, height, width, 3]
    pixels = os.urandom(width * height * 3)
    tensor = {"name": "image", "shape": shape, "datatype": "UINT8", "parameters": {"binary_data_size": len(pixels)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return {
        f"binary tensor, {width}x{height}": ("/v2/models/m/infer", head + pixels, length),
        "JPEG, 640x360": ("/v1/detect", jpeg, {"Content-Type": "image/jpeg"}),
    }


def throughput(args):
    rows = {}
    for _ in range(args.rounds):
        alone = bench(args)
        rows.setdefault("engine alone", []).append((alone["pictures_per_second"], 0.0, 0.0))
        served = Served(args)
        for name, request in requests(args, *alone["picture"]).items():
            for clients in args.clients:
                load(served, request, clients, 1)
                rate, times, _ = load(served, request, clients, args.seconds)
                what = f"{name}, {clients} client{'s' if clients > 1 else ''}"
                row = (rate, statistics.median(times), daemon.percentile(times, 0.99))
                rows.setdefault(what, []).append(row)
        served.stop()
    print("| way | pictures a second | ratio | p50, ms | p99, ms |\n|---|---|---|---|---|")
    base = statistics.median(row[0] for row in rows["engine alone"])
    for name, measured in rows.items():
        rate, p50, p99 = (statistics.median(column) for column in zip(*measured))
        times = f"{p50:.1f} | {p99:.1f}" if p50 else "|"
        print(f"| {name} | {rate:.1f} | {rate / base:.2f} | {times} |", flush=True)


def beside(args):
    print("\n| camera, frames a second | load | scored a second | dropped | p99 of a frame, ms | requests a second | turned away |")
    print("|---|---|---|---|---|---|---|")
    for fps in args.fps:
        for clients in (0, max(args.clients)):
            served = Served(args, fps)
            while not (served.camera() or {}).get("scored"):
                time.sleep(0.2)
            time.sleep(2)
            before, began = served.camera(), time.time()
            rate, refused = 0.0, 0
            if clients:
                rate, _, refused = load(served, requests(args, 1, 1)["JPEG, 640x360"], clients, args.seconds * 2)
            else:
                time.sleep(args.seconds * 2)
            after, elapsed = served.camera(), time.time() - began
            served.stop()
            scored = (after["scored"] - before["scored"]) / elapsed
            dropped = after["dropped"] - before["dropped"]
            what = f"{clients} clients" if clients else "none"
            p99 = after["latency_ms"]["p99"]
            print(f"| {fps} | {what} | {scored:.1f} | {dropped} | {p99:.1f} | {rate:.1f} | {refused} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--model", default="models/conveyor")
    parser.add_argument("--picture", default="models/conveyor/golden/s09102_f000000.jpg")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--fps", type=int, nargs="+", default=[10, 30])
    args = parser.parse_args()
    args.model = str(pathlib.Path(args.model).resolve())
    throughput(args)
    beside(args)


if __name__ == "__main__":
    main()
