"""Persons and faces in pictures, by other means than the redaction uses: PicoDet in ONNX Runtime, and OpenCV's Haar
cascades. Usage: people.py PICODET.onnx PICTURE...; prints {"PICTURE": {"persons": [scores], "faces": count}}."""

import json
import math
import sys

import cv2
import numpy as np
import onnxruntime

SCORE = 0.4
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class Persons:
    """PicoDet: class scores after their sigmoid, and four distances of eight bins, for strides 8 to 64."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]

    def scores(self, picture):
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
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), SCORE, 0.6)
        return sorted((round(float(scores[i]), 3) for i in np.array(kept).reshape(-1)), reverse=True)


def faces(picture, cascades):
    grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    return max(len(cascade.detectMultiScale(grey, 1.1, 6, minSize=(28, 28))) for cascade in cascades)


def main():
    persons = Persons(sys.argv[1])
    names = ["haarcascade_frontalface_default.xml", "haarcascade_frontalface_alt2.xml"]
    cascades = [cv2.CascadeClassifier(cv2.data.haarcascades + name) for name in names]
    found = {}
    for path in sys.argv[2:]:
        picture = cv2.imread(path)
        if picture is None:
            sys.exit(f"{path} can't be decoded")
        found[path] = {"persons": persons.scores(picture), "faces": faces(picture, cascades)}
    print(json.dumps(found))


main()
