"""Decodes random outputs of detectors with numpy, from the families' own formulas, for the tests of the heads.

    python tests/peers/head_decoders.py > src/model/heads/tests/decoders.json

Deterministic: the seed is fixed, numbers are rounded before they are decoded.
"""

import json

import numpy as np

WIDTH, HEIGHT = 64, 32
rng = np.random.default_rng(7)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def uniform(low, high, *shape):
    return np.round(rng.uniform(low, high, shape), 3)


def xyxy(b):
    return np.concatenate([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], -1)


def case(head, outputs, threshold, scores, boxes, classes=None):
    """`scores` [N, C] with `boxes` [N, 4] in pixels; or [N] with the class of each."""
    if classes is None:
        rows, classes = np.nonzero(scores > threshold)
        found = [(c, scores[r, c], *boxes[r]) for r, c in zip(rows, classes)]
    else:
        found = [(c, s, *b) for c, s, b in zip(classes, scores, boxes) if s > threshold]
    found.sort(key=lambda f: -f[1])
    gaps = -np.diff([f[1] for f in found])
    assert len(found) > 2 and (gaps > 1e-5).all(), (head, len(found))
    return {
        "head": "\n".join(head),
        "outputs": [{"name": n, "shape": [1, *v.shape], "values": v.ravel().tolist()} for n, v in outputs],
        "score": threshold,
        "expected": [[round(float(v), 5) for v in f] for f in found],
    }


def pixels(n):
    return np.concatenate([uniform(0, WIDTH, n, 1), uniform(0, HEIGHT, n, 1), uniform(2, 30, n, 2)], 1)


def main():
    cases = []

    boxes, scores, objectness = pixels(12), uniform(0, 1, 12, 3), uniform(0, 1, 12, 1)
    cases.append(case(['kind = "yolo"', 'layout = "v5"'], [("o", np.concatenate([boxes, objectness, scores], 1))],
                      0.4, objectness * scores, xyxy(boxes)))
    boxes, scores = pixels(12), uniform(0, 1, 12, 3)
    cases.append(case(['kind = "yolo"', 'layout = "v8"'], [("o", np.concatenate([boxes, scores], 1).T)],
                      0.7, scores, xyxy(boxes)))
    logits = uniform(-4, 4, 12, 3)
    cases.append(case(['kind = "yolo"', 'layout = "v8"', "logits = true"],
                      [("o", np.concatenate([boxes, logits], 1).T)], 0.8, sigmoid(logits), xyxy(boxes)))

    # YOLOv5's Detect.forward, one anchor set a stride.
    strides, anchors = [16, 32], [[[10, 13], [16, 30]], [[30, 61], [40, 20]]]
    outputs, all_scores, all_boxes = [], [], []
    for stride, sizes in zip(strides, anchors):
        h, w = HEIGHT // stride, WIDTH // stride
        raw = uniform(-3, 3, len(sizes), h, w, 7)
        y = sigmoid(raw)
        gx, gy = np.meshgrid(np.arange(w), np.arange(h))
        xy = (y[..., :2] * 2 - 0.5 + np.stack([gx, gy], -1)) * stride
        wh = (y[..., 2:4] * 2) ** 2 * np.array(sizes)[:, None, None]
        all_boxes.append(xyxy(np.concatenate([xy, wh], -1)).reshape(-1, 4))
        all_scores.append((y[..., 4:5] * y[..., 5:]).reshape(-1, 2))
        outputs.append((f"p{stride}", raw))
    head = ['kind = "yolo"', 'layout = "raw"', f"strides = {strides}", f"anchors = {anchors}"]
    scores, boxes = np.concatenate(all_scores), np.concatenate(all_boxes)
    cases.append(case(head, outputs, 0.5, scores, boxes))
    flat = [(n, np.moveaxis(v, 3, 1).reshape(-1, *v.shape[1:3])) for n, v in outputs]
    cases.append(case(head, flat, 0.5, scores, boxes))

    scale = np.array([WIDTH, HEIGHT] * 2)
    boxes, logits = uniform(0.1, 0.9, 15, 4), uniform(-4, 4, 15, 5)
    outputs = [("logits", logits), ("pred_boxes", boxes)]
    cases.append(case(['kind = "detr"'], outputs, 0.9, sigmoid(logits), xyxy(boxes) * scale))
    soft = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cases.append(case(['kind = "detr"', 'activation = "softmax"'], outputs, 0.5, soft[:, :-1], xyxy(boxes) * scale))

    # Single-shot detector: priors at cell centres, centre-size code.
    sizes, (h, w) = np.array([[20.0, 10.0], [12.0, 24.0]]), (2, 4)
    priors = np.array([[(x + 0.5) * 16, (y + 0.5) * 16, *s] for y in range(h) for x in range(w) for s in sizes])
    offsets, logits = uniform(-2, 2, len(priors), 4), uniform(-3, 3, len(priors), 4)
    centre = priors[:, :2] + 0.1 * offsets[:, :2] * priors[:, 2:]
    boxes = xyxy(np.concatenate([centre, priors[:, 2:] * np.exp(0.2 * offsets[:, 2:])], 1))
    soft = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cases.append(case(['kind = "ssd"', "strides = [16]", f"anchors = [{sizes.tolist()}]"],
                      [("scores", logits), ("boxes", offsets)], 0.5, soft[:, 1:], boxes))

    # CenterNet's ctdet_decode and CenterFace's decode, on 8 rows of 16 cells of 4 pixels.
    h, w = 8, 16
    for logs in (False, True):
        heat, sizes, offsets = uniform(-4, 4, 2, h, w), uniform(0.2, 2, 2, h, w), uniform(0, 1, 2, h, w)
        heat += np.round(np.arange(heat.size).reshape(heat.shape) * 1e-4, 5)
        padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        around = np.max([padded[:, dy:dy + h, dx:dx + w] for dy in range(3) for dx in range(3)], 0)
        c, y, x = np.nonzero(heat == around)
        s, o = sizes[:, y, x], offsets[:, y, x]
        if logs:
            cx, cy, bw, bh = x + o[1] + 0.5, y + o[0] + 0.5, np.exp(s[1]), np.exp(s[0])
        else:
            cx, cy, bw, bh = x + o[0], y + o[1], s[0], s[1]
        boxes = xyxy(np.stack([cx, cy, bw, bh], 1)) * 4
        cases.append(case(['kind = "heatmap"', "logits = true", f'sizes = "{"log" if logs else "cells"}"'],
                          [("hm", heat), ("wh", sizes), ("reg", offsets)], 0.3, sigmoid(heat[c, y, x]), boxes, c))
    print(json.dumps(cases, separators=(",", ":")))


main()
