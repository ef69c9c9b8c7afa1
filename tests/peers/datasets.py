"""Reads a data set as its users do, and prints {"ID": [[label, left, top, width, height], ...]} in fractions of the picture,
with the split of each. Usage: datasets.py coco|azureml|labelstudio|yolo FOLDER"""

import json
import pathlib
import sys
import xml.etree.ElementTree

import cv2
import yaml
from pycocotools.coco import COCO

SPLITS = ("train", "val", "test")


def size(path):
    height, width = cv2.imread(str(path)).shape[:2]
    return width, height


def coco(folder):
    for split in SPLITS:
        data = COCO(folder / "annotations" / f"{split}.json")
        for image in data.loadImgs(data.getImgIds()):
            path = folder / image["file_name"]
            width, height = size(path)
            assert (image["width"], image["height"]) == (width, height)
            boxes = []
            for found in data.loadAnns(data.getAnnIds(imgIds=image["id"])):
                x, y, w, h = found["bbox"]
                assert abs(found["area"] - w * h) < 1e-6 and found["iscrowd"] == 0
                label = data.loadCats(found["category_id"])[0]["name"]
                boxes.append([label, x / width, y / height, w / width, h / height])
            yield split, path.stem, boxes


def azureml(folder):
    for split in SPLITS:
        table = yaml.safe_load((folder / split / "MLTable").read_text())
        assert table["type"] == "mltable"
        lines = folder / split / table["paths"][0]["file"]
        converted = table["transformations"][1]["convert_column_types"][0]
        assert converted == {"columns": "image_url", "column_type": "stream_info"}
        for line in lines.read_text().splitlines():
            entry = json.loads(line)
            prefix = "azureml://data/"
            assert entry["image_url"].startswith(prefix)
            path = folder / entry["image_url"][len(prefix) :]
            details = entry["image_details"]
            assert (details["format"], details["width"], details["height"]) == ("jpg", *size(path))
            boxes = []
            for found in entry["label"]:
                assert found["isCrowd"] == 0
                left, top, right, bottom = (found[key] for key in ("topX", "topY", "bottomX", "bottomY"))
                assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
                boxes.append([found["label"], left, top, right - left, bottom - top])
            yield split, path.stem, boxes


def labelstudio(folder):
    interface = xml.etree.ElementTree.parse(folder / "config.xml").getroot()
    image, rectangles = interface.find("Image"), interface.find("RectangleLabels")
    known = [label.get("value") for label in rectangles]
    for split in SPLITS:
        for task in json.loads((folder / f"{split}.json").read_text()):
            path = folder / task["data"][image.get("value").lstrip("$")].removeprefix("azureml://data/")
            # What people said stands above what the model saw; of what they only said is wrong there is nothing.
            given = task.get("annotations") or task["predictions"]
            assert len(given) == (task["data"]["verdict"] != "wrong")
            boxes = []
            for found in (found for one in given for found in one["result"]):
                assert (found["to_name"], found["from_name"]) == (image.get("name"), rectangles.get("name"))
                assert (found["original_width"], found["original_height"]) == size(path)
                value = found["value"]
                (label,) = value["rectanglelabels"]
                assert label in known and found["type"] == "rectanglelabels"
                boxes.append([label, *(value[key] / 100 for key in ("x", "y", "width", "height"))])
            yield split, path.stem, boxes


def yolo(folder):
    data = yaml.safe_load((folder / "data.yaml").read_text())
    for split in SPLITS:
        if split not in data:
            continue
        images = folder / data["path"] / data[split]
        for path in sorted(images.iterdir()):
            labels = pathlib.Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
            boxes = []
            for line in labels.read_text().splitlines():
                label, x, y, w, h = line.split()
                x, y, w, h = (float(value) for value in (x, y, w, h))
                boxes.append([data["names"][int(label)], x - w / 2, y - h / 2, w, h])
            yield split, path.stem, boxes


def main():
    readers = {"coco": coco, "azureml": azureml, "labelstudio": labelstudio, "yolo": yolo}
    # pycocotools speaks of what it does on stdout.
    out, sys.stdout = sys.stdout, sys.stderr
    found = {}
    for split, name, boxes in readers[sys.argv[1]](pathlib.Path(sys.argv[2])):
        assert name not in found
        found[name] = {"split": split, "boxes": boxes}
    print(json.dumps(found), file=out)


main()
