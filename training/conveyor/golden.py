"""Writes golden pictures: frames and, beside each, what the exported model must find in it, as `detections` has it."""

import argparse
import json
import os
import shutil
import tomllib

from data import read
from detect import Model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", required=True, help="folder with model.toml; golden/ is written there")
    parser.add_argument("images", nargs="+", help="JPEG files to take")
    args = parser.parse_args()
    with open(os.path.join(args.package, "model.toml"), "rb") as f:
        thresholds = tomllib.load(f)["thresholds"]
    with open(os.path.join(args.package, "labels.txt")) as f:
        labels = f.read().split()
    model = Model(os.path.join(args.package, "model.onnx"))
    folder = os.path.join(args.package, "golden")
    os.makedirs(folder, exist_ok=True)
    for source in args.images:
        image = read(source)
        height, width = image.shape[:2]
        objects = [
            {
                "label": labels[label],
                "score": round(score, 4),
                "box": [round(v, 5) for v in (x / width, y / height, w / width, h / height)],
            }
            for label, score, x, y, w, h in model.detect(image, thresholds["score"], thresholds["nms"])
        ]
        name = os.path.basename(source)
        shutil.copyfile(source, os.path.join(folder, name))
        with open(os.path.join(folder, os.path.splitext(name)[0] + ".json"), "w") as f:
            rows = ",\n".join("  " + json.dumps(o) for o in objects)
            f.write('{"objects": [\n' + rows + "\n]}\n")


if __name__ == "__main__":
    main()
