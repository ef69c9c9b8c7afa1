"""Writes a model package that costs next to nothing: `tiny_model.py FOLDER`.

It tells which of red, green and blue a picture has most of, by their means. For tests on emulated machines, on which a
real model takes seconds a frame. The ONNX file is written field by field, so that nothing has to be installed.
"""

import pathlib
import sys

SIDE = 32
PACKAGE = f"""name = "tiny"
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


def node(op, inputs, output):
    """NodeProto: input, output, op_type."""
    return b"".join(data(1, name) for name in inputs) + data(2, output) + data(4, op)


def value(name, shape):
    """ValueInfoProto: name, type { tensor_type { elem_type FLOAT, shape } }."""
    dimensions = b"".join(data(1, number(1, side)) for side in shape)
    return data(1, name) + data(2, data(1, number(1, 1) + data(2, dimensions)))


def model():
    """ModelProto: ir_version, graph { node, name, input, output }, opset_import { version }."""
    graph = data(1, node("GlobalAveragePool", ["image"], "means"))
    graph += data(1, node("Flatten", ["means"], "scores"))
    graph += data(2, "tiny") + data(11, value("image", [1, 3, SIDE, SIDE])) + data(12, value("scores", [1, 3]))
    return number(1, 8) + data(7, graph) + data(8, number(2, 13))


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True)
(folder / "model.onnx").write_bytes(model())
(folder / "model.toml").write_text(PACKAGE)
(folder / "labels.txt").write_text("red\ngreen\nblue\n")
