"""Frames of the simulated conveyor as arrays, placed in the model's input as `model.toml` says."""

import json
import os
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from net import INPUT

PAD = 114
ABSENT = -1.0  # in the last column of a padded row of boxes


@dataclass
class Sample:
    """One frame: its part of the input [h, w, 3] (RGB bytes), and boxes [n, 6]: x1 y1 x2 y2 class ignored."""

    picture: np.ndarray
    boxes: np.ndarray


def fit(image, size=INPUT):
    """The image scaled to fit into the input, its aspect ratio kept; what Ocellus does for `letterbox = "top-left"`."""
    height, width = image.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    scaled = (int(width * ratio + 1e-9), int(height * ratio + 1e-9))
    return cv2.resize(image, scaled, interpolation=cv2.INTER_LINEAR)


def read(path):
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def load(folder, limit=None):
    """The samples of a folder that `conveyor_frames` wrote, and the names of the classes."""
    with open(os.path.join(folder, "instances.json")) as f:
        coco = json.load(f)
    order = {c["id"]: i for i, c in enumerate(coco["categories"])}
    boxes = {}
    for a in coco["annotations"]:
        x, y, w, h = a["bbox"]
        row = (x, y, x + w, y + h, order[a["category_id"]], a["iscrowd"])
        boxes.setdefault(a["image_id"], []).append(row)
    samples = []
    for r in coco["images"][:limit]:
        picture = fit(read(os.path.join(folder, "images", r["file_name"])))
        truth = np.array(boxes.get(r["id"], []), np.float32).reshape(-1, 6)
        truth[:, [0, 2]] *= picture.shape[1] / r["width"]
        truth[:, [1, 3]] *= picture.shape[0] / r["height"]
        samples.append(Sample(picture, truth))
    return samples, [c["name"] for c in coco["categories"]]


class Batches:
    """Shuffled, flipped and recoloured batches, the same for the same seed."""

    def __init__(self, samples, batch, seed):
        self.samples, self.batch = samples, batch
        self.rng = np.random.default_rng(seed)
        self.most = max(len(s.boxes) for s in samples)

    def __len__(self):
        return len(self.samples) // self.batch

    def epoch(self):
        order = self.rng.permutation(len(self.samples))
        for i in range(len(self)):
            yield self.collate([self.samples[k] for k in order[i * self.batch : (i + 1) * self.batch]])

    def collate(self, samples):
        """Inputs 0..1 as [N, 3, H, W], and boxes as [N, most, 6]."""
        images = np.full((len(samples), INPUT[1], INPUT[0], 3), PAD, np.float32)
        boxes = np.zeros((len(samples), self.most, 6), np.float32)
        boxes[..., 5] = ABSENT
        for k, sample in enumerate(samples):
            picture, truth = self.augment(sample)
            height, width = picture.shape[:2]
            images[k, :height, :width] = picture
            boxes[k, : len(truth)] = truth
        # Stays channels-last in memory, which is what convolutions on a CPU like best.
        return torch.from_numpy(images / np.float32(255)).permute(0, 3, 1, 2), torch.from_numpy(boxes)

    def augment(self, sample):
        rng = self.rng
        picture, truth = sample.picture, sample.boxes.copy()
        height, width = picture.shape[:2]
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
            truth[:, [0, 2]] = width - truth[:, [2, 0]]
        if rng.random() < 0.5:
            picture = picture[::-1]
            truth[:, [1, 3]] = height - truth[:, [3, 1]]
        gain = rng.uniform(0.78, 1.22) * rng.uniform(0.96, 1.04, 3)
        offset = rng.uniform(-10, 10)
        return (picture * gain.astype(np.float32) + np.float32(offset)).clip(0, 255), truth
