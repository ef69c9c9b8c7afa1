"""Writes a checkpoint as the ONNX file of the package: batch norms folded, bytes 0..255 in, probabilities out."""

import argparse
import hashlib

import numpy as np
import onnx
import onnxruntime
import torch

from net import INPUT, STRIDES, Detector, cells, fold

OPSET = 13
LIMIT = 4 * 1024 * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="what train.py wrote")
    parser.add_argument("--out", required=True, help="the .onnx file to write")
    args = parser.parse_args()
    saved = torch.load(args.checkpoint, weights_only=True)
    model = Detector(len(saved["labels"]))
    model.load_state_dict(saved["model"])
    model = fold(model.eval())
    sample = torch.rand(1, 3, INPUT[1], INPUT[0]) * 255
    torch.onnx.export(
        model,
        (sample,),
        args.out,
        input_names=["images"],
        output_names=["output"],
        dynamic_axes={"images": {0: "batch"}, "output": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,
    )
    describe(args.out, saved["labels"])
    compare(model, args.out)
    with open(args.out, "rb") as f:
        content = f.read()
    if len(content) > LIMIT:
        raise SystemExit(f"{args.out} has {len(content)} bytes, more than {LIMIT}")
    print(f"epoch {saved['epoch']}, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def describe(path, labels):
    """Writes down the output's shape, which the exporter leaves open, and the names of the classes."""
    graph = onnx.load(path)
    _, anchors, columns = graph.graph.output[0].type.tensor_type.shape.dim
    anchors.dim_value, columns.dim_value = sum(cells(s) for s in STRIDES), 5 + len(labels)
    onnx.helper.set_model_props(graph, {"labels": ",".join(labels)})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def compare(model, path):
    """The file must say what the network says, for one frame and for several at once."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        images = torch.rand(batch, 3, INPUT[1], INPUT[0]) * 255
        with torch.no_grad():
            wanted = model(images).numpy()
        got = session.run(None, {"images": images.numpy()})[0]
        worst = float(np.abs(got - wanted).max())
        if got.shape != wanted.shape or worst > 1e-3:
            raise SystemExit(f"batch {batch}: the file differs from the network by {worst}")


if __name__ == "__main__":
    main()
