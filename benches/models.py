"""Each model on Ocellus' `cpu` device next to ONNX Runtime CPU, in turns in one run: medians and their ratio.

With one thread both score one frame at a time. With two, ONNX Runtime splits each frame over both, and Ocellus
gives each thread a frame of its own; compared is the time per frame.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROFILES = {
    "yolox_nano_416": "yolox",
    "light_person_detector_192": "yolox",
    "nanodet_m_320": "nanodet",
    "picodet_s_320_coco": "picodet",
    "ultraface_rfb320": "ultraface",
    "efficientnet_lite0": "imagenet",
}


def said(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def ocellus(binary, model, profile, threads, seconds):
    command = [binary, "bench", "--json", "--device", "cpu", "--model", str(model), "--threads", str(threads)]
    command += ["--batch", str(threads), "--seconds", str(seconds)]
    if profile:
        command += ["--profile", profile]
    return said(command)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ocellus", required=True)
    parser.add_argument("--models", type=pathlib.Path, help="folder of sample models")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    conveyor = HERE.parent / "models/conveyor"
    models = [(conveyor, conveyor / "model.onnx", None)]
    for name, profile in PROFILES.items():
        path = args.models / f"{name}.onnx" if args.models else None
        if path and path.exists():
            models.append((path, path, profile))
    print("| model | threads | ONNX Runtime, ms | Ocellus cpu, ms | ratio | preprocess | decode |")
    print("|---|---|---|---|---|---|---|")
    for model, onnx, profile in models:
        for threads in (1, 2):
            theirs, ours, stages = [], [], []
            for _ in range(args.rounds):
                peer = said([sys.executable, str(HERE / "peers/ort.py"), str(onnx), str(threads), str(args.seconds)])
                theirs.append(peer["median_ms"])
                report = ocellus(args.ocellus, model, profile, threads, args.seconds)
                stages.append(report)
                ours.append(report["model_ms"]["p50"] if threads == 1 else report["batch_ms"]["p50"] / threads)
            peer, own = statistics.median(theirs), statistics.median(ours)
            stage = lambda key: statistics.median(s[key]["p50"] for s in stages)
            name = model.stem if model.suffix else model.name
            print(
                f"| {name} | {threads} | {peer:.1f} | {own:.1f} | {own / peer:.2f} "
                f"| {stage('preprocess_ms'):.2f} | {stage('decode_ms'):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
