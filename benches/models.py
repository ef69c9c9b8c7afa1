"""Each model on Ocellus' `cpu` device next to ONNX Runtime CPU, in turns in one run, one frame at a time.

Both split a frame over one and over two threads. Of each the median and the fastest frame are taken in every round;
the table has the medians over the rounds and the fastest of all, and Ocellus' time as a multiple of ONNX Runtime's.
Some models are measured once more, quantised by ONNX Runtime's own tool.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PROFILES = {
    "yolox_nano_416": "yolox",
    "light_person_detector_192": "yolox",
    "nanodet_m_320": "nanodet",
    "picodet_s_320_coco": "picodet",
    "ultraface_rfb320": "ultraface",
    "efficientnet_lite0": "imagenet",
}

QUANTISED = ["conveyor", "yolox_nano_416"]


def said(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def ocellus(binary, model, profile, threads, seconds):
    command = [binary, "bench", "--json", "--device", "cpu", "--model", str(model), "--threads", str(threads)]
    command += ["--batch", "1", "--seconds", str(seconds)]
    if profile:
        command += ["--profile", profile]
    return said(command)


def quantised(model, onnx, folder):
    """A copy of a model, or of a package with its model.onnx, quantised."""
    copy = pathlib.Path(folder) / f"{model.stem} quantised{model.suffix}"
    if model.is_dir():
        shutil.copytree(model, copy)
    written = copy / onnx.name if model.is_dir() else copy
    command = [sys.executable, str(HERE / "peers/quantise.py"), str(onnx), str(written)]
    subprocess.run(command, check=True, capture_output=True)
    return copy, written


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--only", help="part of a model's name")
    parser.add_argument("--models", type=pathlib.Path, help="folder of sample models")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    conveyor = HERE.parent / "models/conveyor"
    models = [(conveyor, conveyor / "model.onnx", None)]
    for name, profile in PROFILES.items():
        path = args.models / f"{name}.onnx" if args.models else None
        if path and path.exists():
            models.append((path, path, profile))
    models = [entry for entry in models if not args.only or args.only in str(entry[0])]
    with tempfile.TemporaryDirectory() as folder:
        chosen = [entry for entry in models if entry[0].stem in QUANTISED]
        compare(args, models + [(*quantised(model, onnx, folder), profile) for model, onnx, profile in chosen])


def compare(args, models):
    print("| model | threads | ONNX Runtime, ms | Ocellus cpu, ms | ratio | fastest | fastest | ratio | preprocess | decode |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model, onnx, profile in models:
        for threads in (1, 2):
            theirs, ours = [], []
            for _ in range(args.rounds):
                command = [sys.executable, str(HERE / "peers/ort.py"), str(onnx), str(threads), str(args.seconds)]
                theirs.append(said(command))
                ours.append(ocellus(args.ocellus, model, profile, threads, args.seconds))
            print(row(model.stem if model.suffix else model.name, threads, theirs, ours), flush=True)


def row(name, threads, theirs, ours):
    peer = statistics.median(said["median_ms"] for said in theirs)
    best_peer = min(said["min_ms"] for said in theirs)
    stage = lambda key: statistics.median(said[key]["p50"] for said in ours)
    own, best = stage("model_ms"), min(said["model_min_ms"] for said in ours)
    return (
        f"| {name} | {threads} | {peer:.2f} | {own:.2f} | {own / peer:.2f} "
        f"| {best_peer:.2f} | {best:.2f} | {best / best_peer:.2f} "
        f"| {stage('preprocess_ms'):.2f} | {stage('decode_ms'):.2f} |"
    )


if __name__ == "__main__":
    main()
