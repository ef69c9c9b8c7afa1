"""Each sample model on Ocellus' `gpu` device next to the peers on the same GPU, in turns in one run.

Peers: ONNX Runtime with its WebGPU plugin, PyTorch CUDA eager and compiled. Batch 1 and 8, 32 and 16 bits. Printed are
a Markdown table of milliseconds a frame and ratios (peer / Ocellus: above 1 Ocellus is faster), what is missing and
why, and, with --json, every measurement. Ocellus' figure is the whole frame, preprocessing and decoding included; the
peers' is the model, from and to host memory.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from models import PROFILES

HERE = pathlib.Path(__file__).parent
PEERS = ("webgpu", "torch", "compiled")
TITLES = {"webgpu": "ORT WebGPU", "torch": "PyTorch", "compiled": "compiled"}
NO_GPU = (
    "There is no GPU that Ocellus can use here, so there is nothing to compare. What it takes: a GPU with a Vulkan "
    "driver (its ICD file in /usr/share/vulkan/icd.d, the loader libvulkan.so.1), and CUDA for PyTorch."
)


class Missing(Exception):
    """A measurement that can't be had, and why."""


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def said(command, limit):
    """The JSON object that a command prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(limit, 1))
    except subprocess.TimeoutExpired as late:
        raise Missing("not done in the time that was left") from late
    except OSError as reason:
        raise Missing(str(reason)) from reason
    if done.returncode != 0:
        raise Missing(last_line(done.stderr))
    try:
        return json.loads(done.stdout)
    except ValueError as reason:
        raise Missing(f"no JSON but {last_line(done.stdout)}") from reason


def has_precision(binary):
    """Whether this build of Ocellus can be asked for a precision."""
    shown = subprocess.run([binary, "bench", "--help"], capture_output=True, text=True)
    return "--precision" in shown.stdout


def ocellus(args, path, name, batch, precision, limit):
    if precision == "f16" and not args.has_precision:
        raise Missing("this build takes no --precision")
    command = [args.ocellus, "bench", "--json", "--device", "gpu", "--model", str(path), "--batch", str(batch)]
    command += ["--seconds", str(args.seconds)]
    if name in PROFILES:
        command += ["--profile", PROFILES[name]]
    if args.has_precision:
        command += ["--precision", precision]
    report = said(command, limit)
    return {"name": f"Ocellus, {report['device']}", "ms_per_frame": 1000 / report["pictures_per_second"]}


def peer(args, which, path, batch, precision, limit):
    onnx = path / "model.onnx" if path.is_dir() else path
    command = [args.python, str(HERE / "peers/gpu/run.py"), which, str(onnx), str(batch), precision, str(args.seconds)]
    return said(command, limit)


def measure(args):
    """Every measurement there is time for; what is missing carries its reason."""
    end = time.monotonic() + args.minutes * 60
    rows = []
    for precision in args.precisions:
        for batch in args.batches:
            for name, path in args.found:
                row = {"model": name, "batch": batch, "precision": precision}
                calls = {"ocellus": lambda p=path, n=name: ocellus(args, p, n, batch, precision, end - time.monotonic())}
                for which in args.peers:
                    calls[which] = lambda p=path, w=which: peer(args, w, p, batch, precision, end - time.monotonic())
                for who, call in calls.items():
                    try:
                        if time.monotonic() > end:
                            raise Missing("no time was left")
                        row[who] = call()
                    except Missing as reason:
                        row[who] = {"missing": str(reason)}
                rows.append(row)
                print(f"{name}, batch {batch}, {precision}: done", file=sys.stderr)
    return rows


def table(rows, peers):
    """Markdown: milliseconds a frame, and the peers' time over ours."""
    titles = ["model", "batch", "floats", "Ocellus, ms"]
    for which in peers:
        titles += [f"{TITLES[which]}, ms", "ratio"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row in rows:
        ours = row["ocellus"].get("ms_per_frame")
        cells = [row["model"], str(row["batch"]), row["precision"], "–" if ours is None else f"{ours:.2f}"]
        for which in peers:
            theirs = row.get(which, {}).get("ms_per_frame")
            cells.append("–" if theirs is None else f"{theirs:.2f}")
            cells.append("–" if theirs is None or ours is None else f"{theirs / ours:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def missing(rows, peers):
    """Each reason for a gap once, with how often it was met."""
    reasons = {}
    for row in rows:
        for who in ("ocellus", *peers):
            reason = row.get(who, {}).get("missing")
            if reason:
                reasons.setdefault((who, reason), []).append(f"{row['model']} at {row['batch']}, {row['precision']}")
    return [f"- {TITLES.get(who, 'Ocellus')}: {reason} ({'; '.join(where)})" for (who, reason), where in reasons.items()]


def models(folder):
    conveyor = HERE.parent / "models/conveyor"
    found = [("conveyor", conveyor)] if conveyor.is_dir() else []
    for name in PROFILES:
        path = folder / f"{name}.onnx"
        if path.exists():
            found.append((name, path))
    return found


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ocellus", required=True, help="the binary")
    parser.add_argument("--models", type=pathlib.Path, required=True, help="folder of sample models")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--precisions", nargs="+", choices=("f32", "f16"), default=["f32", "f16"])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each measurement runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="what is not done by then is left out")
    parser.add_argument("--json", type=pathlib.Path, help="write every measurement to this file")
    args = parser.parse_args(argv)
    if not args.models.is_dir():
        parser.error(f"there is no folder {args.models}: see CONTRIBUTING.md about the samples")
    if any(batch < 1 or batch > 64 for batch in args.batches):
        parser.error("batches are from 1 to 64")
    args.found = models(args.models)
    return args


def main(argv=None):
    args = arguments(argv)
    try:
        args.has_precision = has_precision(args.ocellus)
        name, path = args.found[0]
        ocellus(args, path, name, 1, "f32", 120)
    except (Missing, OSError) as reason:
        print(f"{NO_GPU}\nOcellus says: {reason}", file=sys.stderr)
        return 1
    rows = measure(args)
    names = {row[who]["name"] for row in rows for who in ("ocellus", *args.peers) if "name" in row[who]}
    print("\n".join(f"- {name}" for name in sorted(names)) + "\n")
    print(table(rows, args.peers))
    gaps = missing(rows, args.peers)
    if gaps:
        print("\nNot measured:\n\n" + "\n".join(gaps))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
