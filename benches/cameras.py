"""How the daemon grows with its cameras: 1 to 64 simulated ones, each with its own picture, and over a long run.

For each number of cameras: cores busy and memory, in all and per camera, and the delay from capture to the subscriber.
With `--soak MINUTES` the largest number runs on, and memory is told every minute.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import daemon


def row(args, cameras):
    measured = daemon.measure(args, cameras)
    cpu = measured["cpu_of_daemon"] + measured["cpu_of_decoders"]
    memory = measured["daemon_mib"] + measured["decoders_mib"]
    return {
        "cameras": f"{cameras}",
        "scored a second": f"{measured['scored_per_second']:.0f}",
        "cores": f"{cpu:.3f}",
        "cores a camera": f"{cpu / cameras:.4f}",
        "MiB": f"{memory:.0f}",
        "MiB a camera": f"{memory / cameras:.1f}",
        "delay ms p50": f"{measured['delay_ms_p50']:.1f}",
        "delay ms p99": f"{measured['delay_ms_p99']:.1f}",
    }


def soak(args, cameras):
    """Memory of one long run, minute by minute, and what was dropped."""
    port = daemon.free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        broker = subprocess.Popen([daemon.MOSQUITTO, "-c", str(folder / "mosquitto.conf")], **quiet)
        time.sleep(0.5)
        config = daemon.configuration(folder, port, args, cameras)
        ocellus = subprocess.Popen([args.ocellus, "run", "--config", str(config)], **quiet)
        print(f"\n{cameras} cameras, minute by minute:\n\n| minute | MiB | dropped |\n|---|---|---|", flush=True)
        try:
            for minute in range(1, args.soak + 1):
                time.sleep(60)
                memory = daemon.resident_mib(ocellus.pid)
                memory += sum(daemon.resident_mib(child) for child in daemon.children(ocellus.pid))
                print(f"| {minute} | {memory:.1f} | {dropped(port)} |", flush=True)
        finally:
            ocellus.terminate()
            ocellus.wait()
            broker.terminate()
            broker.wait()


def dropped(port):
    """Frames that were dropped so far, by the next statistics."""
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", "ocellus/bench/node/stats", "-C", "1", "-W", "20"]
    stats = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return sum(camera["dropped"] for camera in stats["cameras"].values())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--profile")
    parser.add_argument("--source", default="sim:conveyor?seed={i}&fps=2&width=320&height=180")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--soak", type=int, default=0, metavar="MINUTES")
    args = parser.parse_args()
    for n, cameras in enumerate(args.cameras):
        cells = row(args, cameras)
        if n == 0:
            print("| " + " | ".join(cells) + " |")
            print("|" + "---|" * len(cells))
        print("| " + " | ".join(cells.values()) + " |", flush=True)
    if args.soak:
        soak(args, args.cameras[-1])


if __name__ == "__main__":
    main()
