"""The daemon from end to end: cameras reading a 640x360 clip at its own pace, detections received over MQTT.

For each number of cameras: cores busy, CPU time outside decoder and model as a share of all (with one camera), the
delay from capture to the
subscriber (p50, p99), frames scored and dropped, and memory.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
MOSQUITTO = "/usr/sbin/mosquitto" if os.path.exists("/usr/sbin/mosquitto") else "mosquitto"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid):
    out = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout
    return [int(p) for p in out.split()]


def source(args, i):
    return args.source.format(i=i) if args.source else f"file:{args.clip}?loop=true&realtime=true"


def configuration(folder, port, args, cameras):
    lines = ['site = "bench"', 'node = "node"', f'device = "{args.device}"']
    lines += ["[mqtt]", f'url = "mqtt://127.0.0.1:{port}"', "[models.m]", f'path = "{args.model}"']
    if args.profile:
        lines.append(f'profile = "{args.profile}"')
    for i in range(cameras):
        lines += [f"[cameras.c{i}]", f'source = "{source(args, i)}"']
    path = folder / "ocellus.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(args, cameras):
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        broker = subprocess.Popen([MOSQUITTO, "-c", str(folder / "mosquitto.conf")], **quiet)
        time.sleep(0.5)
        config = configuration(folder, port, args, cameras)
        own = os.environ | {"XDG_STATE_HOME": name}
        daemon = subprocess.Popen([args.ocellus, "run", "--config", str(config)], env=own, **quiet)
        try:
            return watch(args, port, daemon.pid, cameras)
        finally:
            daemon.terminate()
            daemon.wait()
            broker.terminate()
            broker.wait()


def watch(args, port, pid, cameras):
    topic = "ocellus/bench/node/+/detections"
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-F", "%U %p"]
    subscriber = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    seen = set()
    for line in subscriber.stdout:
        seen.add(json.loads(line.split(" ", 1)[1])["camera"])
        if len(seen) == cameras:
            break
    # Read on while it settles: a full pipe would hold messages back, and their delay would be ours.
    settled = time.time() + 3
    for line in subscriber.stdout:
        if time.time() > settled:
            break
    began = time.time()
    decoders = {p: cpu_seconds(p) for p in children(pid)}
    own = cpu_seconds(pid)
    delays, model, messages = [], 0.0, 0
    for line in subscriber.stdout:
        at, payload = line.split(" ", 1)
        if float(at) < began:
            continue
        if float(at) > began + args.seconds:
            break
        message = json.loads(payload)
        captured = message["frame"]["captured_at"]
        taken = time_of(captured)
        delays.append((float(at) - taken) * 1e3)
        model += message["latency_ms"]["model"] / 1e3
        messages += 1
    own = cpu_seconds(pid) - own
    decode = sum(cpu_seconds(p) - before for p, before in decoders.items() if os.path.exists(f"/proc/{p}"))
    subscriber.kill()
    elapsed = time.time() - began
    # The model's time is measured by the clock, which is its CPU time only while no thread waits for a core.
    alone = cameras == 1
    return {
        "cameras": cameras,
        "scored_per_second": messages / elapsed,
        "delay_ms_p50": statistics.median(delays),
        "delay_ms_p99": percentile(delays, 0.99),
        "cpu_of_decoders": decode / elapsed,
        "cpu_of_daemon": own / elapsed,
        "share_outside": (own - model) / (own + decode) if alone else None,
        "daemon_mib": resident_mib(pid),
        "decoders_mib": sum(resident_mib(p) for p in children(pid)),
    }


def time_of(text):
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def cell(key, value):
    if value is None:
        return "–"
    return f"{value:.3f}" if key.startswith(("cpu", "share")) else f"{value:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--profile")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--clip")
    what.add_argument("--source", help="a source as in the configuration; `{i}` is the camera's number")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4, 8])
    args = parser.parse_args()
    keys = None
    for cameras in args.cameras:
        row = measure(args, cameras)
        if keys is None:
            keys = list(row)
            print("| " + " | ".join(k.replace("_", " ") for k in keys) + " |")
            print("|" + "---|" * len(keys))
        cells = (cell(k, row[k]) for k in keys)
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
