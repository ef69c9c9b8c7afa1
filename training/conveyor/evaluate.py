"""Measures an exported model on frames of the simulator: COCO's mAP and AP50, AP50 of each class, and latency."""

import argparse
import json
import os
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data import read
from detect import Model

SCORE, NMS = 0.001, 0.65  # `evaluation` in model.toml


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the .onnx file")
    parser.add_argument("--data", required=True, help="folder that conveyor_frames wrote")
    args = parser.parse_args()
    model, coco = Model(args.model), COCO(os.path.join(args.data, "instances.json"))
    results, took = [], []
    for record in coco.dataset["images"]:
        image = read(os.path.join(args.data, "images", record["file_name"]))
        tensor, _ = model.prepare(image)
        start = time.perf_counter()
        model.run(tensor)
        took.append(time.perf_counter() - start)
        for label, score, *box in model.detect(image, SCORE, NMS):
            results.append({"image_id": record["id"], "category_id": label + 1, "bbox": box, "score": score})
    measured = COCOeval(coco, coco.loadRes(results), "bbox")
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    # [IoU, recall, class, area, detections]: IoU 0.5, all areas, 100 detections.
    ap50 = [float(v[v > -1].mean()) for v in measured.eval["precision"][0, :, :, 0, 2].T]
    names = [c["name"] for c in coco.dataset["categories"]]
    report = {
        "map": round(float(measured.stats[0]), 4),
        "ap50": round(float(measured.stats[1]), 4),
        "ap75": round(float(measured.stats[2]), 4),
        "ar100": round(float(measured.stats[8]), 4),
        "ap50_by_class": {name: round(v, 4) for name, v in zip(names, ap50)},
        "network_ms": round(float(np.median(took)) * 1e3, 2),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
