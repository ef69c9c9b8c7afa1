"""Runs the exported model as Ocellus runs it: letterbox, network, decode, NMS for each class."""

import numpy as np
import onnxruntime

from data import PAD, fit
from net import INPUT, STRIDES

MOST = 100  # detections a frame, as COCO counts them


def grid():
    """Per anchor the cell's corner in cells [A, 2] and its stride [A, 1]."""
    cells, strides = [], []
    for s in STRIDES:
        y, x = np.mgrid[0 : INPUT[1] // s, 0 : INPUT[0] // s]
        cells.append(np.stack((x, y), -1).reshape(-1, 2))
        strides.append(np.full((x.size, 1), s))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(boxes, scores, limit):
    """Indices of the boxes to keep, best first: none overlaps a better one by more than `limit` (IoU)."""
    order, kept = scores.argsort(kind="stable")[::-1], []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        inter = (high - low).clip(0).prod(-1)
        union = areas[best] + areas[rest] - inter
        order = rest[inter <= limit * np.maximum(union, 1e-9)]
    return kept


class Model:
    """An exported model on one CPU thread."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.cells, self.strides = grid()

    def prepare(self, image):
        """The network's input [1, 3, H, W] for RGB bytes [h, w, 3], and the part of it that the image fills (w, h)."""
        picture = fit(image)
        canvas = np.full((INPUT[1], INPUT[0], 3), PAD, np.float32)
        canvas[: picture.shape[0], : picture.shape[1]] = picture
        return np.ascontiguousarray(canvas.transpose(2, 0, 1))[None], (picture.shape[1], picture.shape[0])

    def run(self, tensor):
        return self.session.run(None, {"images": tensor})[0][0]

    def detect(self, image, score, nms):
        """Rows (class, score, x, y, w, h) with the box in pixels of the image, best first."""
        tensor, filled = self.prepare(image)
        raw = self.run(tensor)
        centre = (raw[:, :2] + self.cells) * self.strides
        half = np.exp(raw[:, 2:4]) * self.strides / 2
        low, high = (centre - half).clip(0, filled), (centre + half).clip(0, filled)
        scores = raw[:, 4:5] * raw[:, 5:]
        boxes = np.concatenate((low, high), 1)
        scale = np.tile(np.array(image.shape[1::-1], np.float32) / np.array(filled, np.float32), 2)
        found = []
        for label in range(scores.shape[1]):
            picked = np.flatnonzero(scores[:, label] > score)
            for k in suppress(boxes[picked], scores[picked, label], nms):
                x1, y1, x2, y2 = (boxes[picked[k]] * scale).tolist()
                found.append((label, float(scores[picked[k], label]), x1, y1, x2 - x1, y2 - y1))
        return sorted(found, key=lambda row: -row[1])[:MOST]
