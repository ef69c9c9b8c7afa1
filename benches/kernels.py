"""What a frame costs a GPU besides arithmetic: steps of the plan, kernels launched, bytes read back.

Works on any Vulkan device, software ones included, as nothing is timed. Launches are those that cubecl logs, in a long
run less those in a short one, for each frame more; kernels of our own (preprocessing, selection) are not among them.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import tempfile

PROFILES = {"light_person_detector_192": "yolox", "ultraface_rfb320": "ultraface", "yolox_nano_416": "yolox"}


def launches(args, model, profile, seconds, precision):
    """Kernels by name, and the report of the run."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        log = folder / "kernels.log"
        (folder / "cubecl.toml").write_text(f'[profiling]\nlogger = {{ level = "minimal", file = "{log}" }}\n')
        command = [args.ocellus, "bench", "--json", "--device", args.device, "--model", str(model.resolve())]
        command += ["--precision", precision, "--seconds", str(seconds)]
        command += ["--profile", profile] if profile else []
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
        lines = log.read_text().splitlines() if log.exists() else []
    kernels = collections.Counter(line.removeprefix("Executing ") for line in lines if line.startswith("Executing "))
    return kernels, json.loads(done.stdout)


def plan(args, model, profile):
    """What `inspect` says of burn's devices."""
    command = [args.ocellus, "model", "inspect", "--json", "--verbose", str(model.resolve())]
    command += ["--profile", profile] if profile else []
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["cost"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--models", type=pathlib.Path, help="folder of sample models; else the shipped one alone")
    parser.add_argument("--device", default="gpu-software", choices=("gpu", "gpu-software"))
    parser.add_argument("--seconds", type=float, default=10.0, help="of the long run")
    args = parser.parse_args()
    models = [(pathlib.Path(__file__).parent.parent / "models/conveyor", None)]
    for name, profile in PROFILES.items():
        path = args.models / f"{name}.onnx" if args.models else None
        if path and path.exists():
            models.append((path, profile))
    print("| model | floats | nodes in the file | simplified | steps | joined steps | launches a frame | kernels | KiB back |")
    print("|" + "---|" * 9)
    for model, profile in models:
        cost = plan(args, model, profile)
        burn = cost["devices"]["burn"]
        for precision in ("f32", "f16"):
            few, short = launches(args, model, profile, 0.001, precision)
            many, long = launches(args, model, profile, args.seconds, precision)
            frames = long["pictures"] - short["pictures"]
            if frames < 1:
                raise SystemExit(f"{model}: no more frames in {args.seconds} s than in none: take more with --seconds")
            extra = many - few
            name = model.stem if model.suffix else model.name
            kinds = sum(1 for count in extra.values() if count >= frames)
            cells = [name, precision, sum(cost["file_operators"].values()), sum(cost["operators"].values())]
            cells += [burn["steps_before"], burn["steps_after"], f"{sum(extra.values()) / frames:.0f}", kinds]
            cells += [f"{long['read_back_bytes'] / 1024:.1f}"]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
