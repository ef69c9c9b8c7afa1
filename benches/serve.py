#!/usr/bin/env python3
"""Scoring for others: requests a second over HTTP next to the engine alone, and cameras beside the load.

A daemon with nothing but `[serve]` is asked by so many clients that keep their connections: pixels as a binary tensor
(`/v2/…/infer`), and a JPEG that must be decoded (`/v1/detect`). Before and after each of these `ocellus bench` measures
the engine, with one picture at a time from memory, so that a ratio compares what was measured within seconds; and once a
round in batches, which the daemon makes when several pictures wait. Then a simulated camera, without and with the load
beside it. Prints Markdown tables: medians over the rounds, and of the ratios the lowest and the highest.

All that runs shares the processor: clients take from it too. On a machine that is busy otherwise run it as
`chrt --rr 50 benches/serve.py …`.
"""

import argparse
import http.client
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


# Pictures a batch: as many as a model takes at once by default.
BATCH = 8


def bench(args, batch=1):
    command = [args.ocellus, "bench", "--model", args.model, "--device", args.device, "--json"]
    command += ["--batch", str(batch), "--seconds", str(args.seconds)]
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
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def camera(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.web)
        connection.request("GET", "/api/state")
        return json.load(connection.getresponse())["cameras"][0]["stats"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


class Client:
    """A connection that is kept. As little of it as can be is Python, which has the processor to share with the daemon."""

    def __init__(self, port, request):
        path, body, headers = request
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        self.request = "\r\n".join([*lines, "", ""]).encode() + body
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self):
        """The status of the answer, which is read to its end."""
        self.socket.sendall(self.request)
        read = b""
        while (end := read.find(b"\r\n\r\n")) < 0:
            read += self.receive()
        head = read[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r")[0])
        left = end + 4 + length - len(read)
        while left > 0:
            left -= len(self.receive())
        return int(head.split(None, 2)[1])

    def receive(self):
        some = self.socket.recv(1 << 16)
        if not some:
            raise ConnectionError("the daemon has closed the connection")
        return some


def load(served, request, clients, seconds):
    """Requests a second that were answered, their times in ms, and how many were turned away."""
    times, refused, failed = [], [], []
    until = time.monotonic() + seconds

    def client():
        try:
            connection = Client(served.port, request)
            while (began := time.monotonic()) < until:
                status = connection.ask()
                if status == 200:
                    times.append((time.monotonic() - began) * 1e3)
                elif status == 503:
                    refused.append(status)
                    time.sleep(0.01)
                else:
                    raise ConnectionError(f"{request[0]} answered {status}")
        except (OSError, ValueError) as error:
            failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"a client failed: {failed[0]}")
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
    before = bench(args)
    engine, batches, rows = [before["pictures_per_second"]], [], {}
    with Served(args) as served:
        for _ in range(args.rounds):
            batches.append(bench(args, BATCH)["pictures_per_second"] / engine[-1])
            for name, request in requests(args, *before["picture"]).items():
                for clients in args.clients:
                    load(served, request, clients, 0.5)
                    rate, times, _ = load(served, request, clients, args.seconds)
                    engine.append(bench(args)["pictures_per_second"])
                    ratio = rate / statistics.mean(engine[-2:])
                    what = f"{name}, {clients} client{'s' if clients > 1 else ''}"
                    row = (rate, ratio, statistics.median(times), daemon.percentile(times, 0.99))
                    rows.setdefault(what, []).append(row)
    print("| way | pictures a second | ratio | of the rounds | p50, ms | p99, ms |\n|---|---|---|---|---|---|")
    alone, gain = statistics.median(engine), statistics.median(batches)
    print(f"| engine alone | {alone:.0f} | 1 | | | |")
    print(f"| engine alone, batches of {BATCH} | {alone * gain:.0f} | {gain:.2f} | {min(batches):.2f}–{max(batches):.2f} | | |")
    for name, measured in rows.items():
        ratios = [row[1] for row in measured]
        rate, ratio, p50, p99 = map(statistics.median, zip(*measured))
        print(f"| {name} | {rate:.0f} | {ratio:.2f} | {min(ratios):.2f}–{max(ratios):.2f} | {p50:.1f} | {p99:.1f} |")


def beside(args):
    print("\n| camera, frames a second | load | scored a second | dropped | p99 of a frame, ms | requests a second | turned away |")
    print("|---|---|---|---|---|---|---|")
    for fps in args.fps:
        for clients in (0, max(args.clients)):
            with Served(args, fps) as served:
                row = scored_beside(args, served, clients)
            what = f"{clients} clients with JPEGs" if clients else "none"
            print(f"| {fps} | {what} | {row} |", flush=True)


def scored_beside(args, served, clients):
    """What becomes of a camera's frames while so many clients send pictures."""
    while not (served.camera() or {}).get("scored"):
        time.sleep(0.2)
    time.sleep(2)
    before, began = served.camera(), time.monotonic()
    rate, refused, seconds = 0.0, 0, args.seconds * 2
    if clients:
        rate, _, refused = load(served, requests(args, 1, 1)["JPEG, 640x360"], clients, seconds)
    else:
        time.sleep(seconds)
    after, elapsed = served.camera(), time.monotonic() - began
    scored = (after["scored"] - before["scored"]) / elapsed
    dropped = after["dropped"] - before["dropped"]
    p99 = after["latency_ms"]["p99"]
    return f"{scored:.1f} | {dropped} | {p99:.1f} | {rate:.0f} | {refused}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--model", default="models/conveyor")
    parser.add_argument("--picture", default="models/conveyor/golden/s09102_f000000.jpg")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--fps", type=int, nargs="+", default=[10, 30])
    args = parser.parse_args()
    args.model = str(pathlib.Path(args.model).resolve())
    throughput(args)
    beside(args)


if __name__ == "__main__":
    main()
