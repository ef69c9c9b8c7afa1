"""Writes a model package that costs next to nothing: `tiny_model.py KIND FOLDER`.

KIND is `colour`, which tells which of red, green and blue a picture has most of, by their means, or `blobs`, which finds
what is coloured on a grey ground. For tests on emulated machines, on which a real model takes seconds a frame. The ONNX
file is written field by field, so that nothing has to be installed.
"""

import pathlib
import struct
import sys

SIDE = 32
COLOUR = f"""name = "colour"
version = "1.0.0"
task = "classify"
labels = "labels.txt"

[input]
size = [{SIDE}, {SIDE}]
letterbox = "stretch"
channels = "rgb"
scale = {1 / 255}

[head]
kind = "classify"
activation = "softmax"
top_k = 1
"""

# A map of cells of 4 x 4 pixels; what is found is so many cells wide and high.
WIDTH, HEIGHT, CELL, EXTENT = 160, 96, 4, 6.0
BLOBS = f"""name = "blobs"
version = "1.0.0"
task = "detect"
labels = "labels.txt"

[input]
size = [{WIDTH}, {HEIGHT}]
letterbox = "stretch"
channels = "rgb"
scale = {1 / 255}

[head]
kind = "heatmap"

[thresholds]
score = 0.3
nms = 0.3
"""


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def node(op, inputs, outputs, *attributes):
    """NodeProto: input, output, op_type, attribute."""
    names = b"".join(data(1, name) for name in inputs) + b"".join(data(2, name) for name in outputs)
    return data(1, names + data(4, op) + b"".join(data(5, attribute) for attribute in attributes))


def whole(name, value):
    """AttributeProto: name, i, type INT."""
    return data(1, name) + number(3, value) + number(20, 2)


def wholes(name, values):
    """AttributeProto: name, ints, type INTS."""
    return data(1, name) + b"".join(number(8, value) for value in values) + number(20, 7)


def constant(name, value):
    """TensorProto: data_type FLOAT, name, raw_data; a scalar."""
    return data(5, number(2, 1) + data(8, name) + data(9, struct.pack("<f", value)))


def value(name, shape):
    """ValueInfoProto: name, type { tensor_type { elem_type FLOAT, shape } }."""
    dimensions = b"".join(data(1, number(1, side)) for side in shape)
    return data(1, name) + data(2, data(1, number(1, 1) + data(2, dimensions)))


def model(nodes, inputs, outputs):
    """ModelProto: ir_version, graph { node, name, input, output }, opset_import { version }."""
    graph = b"".join(nodes) + data(2, "tiny")
    graph += b"".join(data(11, value(*one)) for one in inputs) + b"".join(data(12, value(*one)) for one in outputs)
    return number(1, 8) + data(7, graph) + data(8, number(2, 13))


def colour():
    nodes = [node("GlobalAveragePool", ["image"], ["means"]), node("Flatten", ["means"], ["scores"])]
    return model(nodes, [("image", [1, 3, SIDE, SIDE])], [("scores", [1, 3])])


def blobs():
    """CenterNet's three maps: how colourful each cell is, always the same extent, and no offset."""
    window = [wholes("kernel_shape", [CELL, CELL]), wholes("strides", [CELL, CELL])]
    across = [wholes("axes", [1]), whole("keepdims", 1)]
    nodes = [
        node("AveragePool", ["image"], ["cells"], *window),
        node("ReduceMax", ["cells"], ["most"], *across),
        node("ReduceMin", ["cells"], ["least"], *across),
        node("Sub", ["most", "least"], ["hm"]),
        node("Sub", ["hm", "hm"], ["nothing"]),
        node("Add", ["nothing", "extent"], ["side"]),
        node("Concat", ["side", "side"], ["wh"], whole("axis", 1)),
        node("Concat", ["nothing", "nothing"], ["reg"], whole("axis", 1)),
        constant("extent", EXTENT),
    ]
    rows, columns = HEIGHT // CELL, WIDTH // CELL
    maps = [("hm", [1, 1, rows, columns]), ("wh", [1, 2, rows, columns]), ("reg", [1, 2, rows, columns])]
    return model(nodes, [("image", [1, 3, HEIGHT, WIDTH])], maps)


KINDS = {"colour": (colour, COLOUR, ["red", "green", "blue"]), "blobs": (blobs, BLOBS, ["blob"])}
network, package, labels = KINDS[sys.argv[1]]
folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True)
(folder / "model.onnx").write_bytes(network())
(folder / "model.toml").write_text(package)
(folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
