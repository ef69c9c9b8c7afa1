#!/usr/bin/env python3
"""What pycocotools measures on made-up detections: the fixture of the evaluation's tests.

    python3 tests/peers/coco_eval.py > src/eval/pycocotools.json

needs pycocotools and numpy. Coordinates are whole pixels and scores have few digits, so that ties and overlaps at
exactly a threshold occur. `truth` rows are [image, category, x, y, w, h, crowd], `found` rows
[image, category, score, x, y, w, h].
"""

import contextlib
import importlib.metadata
import io
import json
import sys

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 200


def box(rng):
    w, h = (int(v) for v in rng.integers(4, 90, 2))
    return [int(rng.integers(0, SIDE - w)), int(rng.integers(0, SIDE - h)), w, h]


def near(rng, truth, spread):
    """A detection near a box, at least a pixel in size."""
    x, y, w, h = truth
    dx, dy, dw, dh = (int(v) for v in np.rint(rng.normal(0, spread, 4) * np.array([w, h, w, h])))
    return [x + dx, y + dy, max(1, w + dw), max(1, h + dh)]


def case(seed, images, categories, per_image, extra, spread=0.1, digits=2, crowds=0.05):
    rng = np.random.default_rng(seed)
    ids = [int(v) for v in rng.permutation(np.arange(1, 3 * images))[:images]]
    truth, found = [], []
    for image in ids:
        for _ in range(int(rng.integers(0, per_image + 1))):
            category = int(rng.integers(1, categories + 1))
            truth.append([image, category, *box(rng), int(rng.random() < crowds)])
    for image, category, x, y, w, h, crowd in truth:
        for _ in range(int(rng.integers(0, 5 if crowd else 3))):
            label = category if rng.random() < 0.85 else int(rng.integers(1, categories + 1))
            score = round(float(rng.beta(4, 2)), digits)
            found.append([image, label, score, *near(rng, (x, y, w, h), spread * float(rng.random()) * 2)])
    for _ in range(extra):
        image, category = ids[int(rng.integers(0, images))], int(rng.integers(1, categories + 1))
        found.append([image, category, round(float(rng.beta(2, 4)), digits), *box(rng)])
    order = rng.permutation(len(found))
    return {"images": ids, "categories": categories, "truth": truth, "found": [found[i] for i in order]}


def measure(case):
    rows = case["truth"]
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "width": SIDE, "height": SIDE} for i in case["images"]],
        "categories": [{"id": c + 1, "name": f"c{c + 1}"} for c in range(case["categories"])],
        "annotations": [
            {"id": n + 1, "image_id": i, "category_id": c, "bbox": [x, y, w, h], "area": w * h, "iscrowd": crowd}
            for n, (i, c, x, y, w, h, crowd) in enumerate(rows)
        ],
    }
    truth.createIndex()
    found = truth.loadRes(
        [{"image_id": i, "category_id": c, "score": s, "bbox": [x, y, w, h]} for i, c, s, x, y, w, h in case["found"]]
    )
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    map_, ap50, ap75, ar100 = (float(evaluation.stats[i]) for i in (0, 1, 2, 8))
    return {"map": map_, "ap50": ap50, "ap75": ap75, "ar100": ar100}


def main():
    cases = [
        case(1, images=1, categories=1, per_image=4, extra=2),
        case(2, images=6, categories=3, per_image=8, extra=20),
        case(3, images=10, categories=5, per_image=10, extra=60, digits=1),
        case(4, images=8, categories=2, per_image=12, extra=40, crowds=0.4),
        case(5, images=5, categories=30, per_image=6, extra=40),
        case(6, images=2, categories=1, per_image=30, extra=300, digits=3),  # more than 100 of one picture and category
        case(7, images=12, categories=4, per_image=9, extra=0, spread=0.02),
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        for one in cases:
            one["expected"] = measure(one)
    version = importlib.metadata.version("pycocotools")
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    sys.stdout.write(f'{{"made_with":"pycocotools {version}","cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
