"""Gives the skeletons weights and runs them on ONNX Runtime, for the tests of `crates/ocellus-onnx`.

    fill.py OUT [--half] [--sizes BATCHxHEIGHTxWIDTH,...] NAME...

Of each skeleton, in OUT/NAME: `model.onnx`, and for each size `K.input.npy` and `K.outputI.npy`. With `--half` all floats
inside the model have 16 bits, its inputs and outputs 32. Needs onnx, onnxruntime, numpy.
"""

import argparse
import lzma
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

SPECIFICATION = "drawn from mean, deviation, least, greatest: "
HERE = pathlib.Path(__file__).parent
# Operands that have 32 bits in every model: operator, input.
ALWAYS_SINGLE = {("Resize", 1), ("Resize", 2), ("Upsample", 1)}


def fill(tensor: onnx.TensorProto, random: np.random.Generator) -> None:
    if not tensor.doc_string.startswith(SPECIFICATION):
        return
    mean, deviation, least, greatest = map(float, tensor.doc_string[len(SPECIFICATION) :].split())
    values = random.normal(mean, deviation, tuple(tensor.dims)).clip(least, greatest).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def tensors(model: onnx.ModelProto):
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR)


def load(name: str) -> onnx.ModelProto:
    model = onnx.load_from_string(lzma.decompress((HERE / "skeletons" / f"{name}.onnx.xz").read_bytes()))
    random = np.random.default_rng(7)
    for tensor in tensors(model):
        fill(tensor, random)
    return model


def halve(model: onnx.ModelProto) -> None:
    """Rewrites a model to 16-bit floats, its inputs and outputs left as they are."""
    graph = model.graph
    single = {n.input[i] for n in graph.node for op, i in ALWAYS_SINGLE if n.op_type == op and len(n.input) > i}
    for tensor in tensors(model):
        owner = next((n.output[0] for n in graph.node if any(a.t is tensor for a in n.attribute)), tensor.name)
        if tensor.data_type == TensorProto.FLOAT and owner not in single:
            values = numpy_helper.to_array(tensor).clip(-65504, 65504).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                if node.output[0] not in single:
                    attribute.i = TensorProto.FLOAT16
    first, last = [], []
    for value in graph.input:
        inner = value.name + "_half"
        for node in graph.node:
            node.input[:] = [inner if i == value.name else i for i in node.input]
        first.append(onnx.helper.make_node("Cast", [value.name], [inner], to=TensorProto.FLOAT16))
    for value in graph.output:
        inner = value.name + "_half"
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            continue
        for node in graph.node:
            node.output[:] = [inner if o == value.name else o for o in node.output]
            node.input[:] = [inner if i == value.name else i for i in node.input]
        last.append(onnx.helper.make_node("Cast", [inner], [value.name], to=TensorProto.FLOAT))
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)


def shape(value: onnx.ValueInfoProto, size: tuple[int, ...] | None) -> list[int]:
    declared = [d.dim_value for d in value.type.tensor_type.shape.dim]
    asked = [size[0], 3, *size[1:]] if size else [1, 3, 64, 64]
    return [d or a for d, a in zip(declared, asked)]


def picture(extents: list[int], seed: int) -> np.ndarray:
    """Smooth noise of about unit deviation, as a normalised picture."""
    random = np.random.default_rng(seed)
    return random.normal(0, 1, extents).astype(np.float32)


def write(folder: pathlib.Path, model: onnx.ModelProto, sizes: list[tuple[int, ...] | None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = model.graph.input
    for k, size in enumerate(sizes):
        images = picture(shape(source, size), 11 + k)
        np.save(folder / f"{k}.input.npy", images)
        for i, values in enumerate(session.run(None, {source.name: images})):
            np.save(folder / f"{k}.output{i}.npy", np.ascontiguousarray(values.astype(np.float32)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--sizes", default="")
    parser.add_argument("names", nargs="+")
    asked = parser.parse_args()
    sizes = [tuple(int(n) for n in size.split("x")) for size in asked.sizes.split(",") if size]
    for name in asked.names:
        model = load(name)
        if asked.half:
            halve(model)
        write(asked.out / name, model, sizes or [None])


if __name__ == "__main__":
    main()
