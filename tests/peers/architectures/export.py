"""Exports the architectures with random weights and keeps their skeletons, `skeletons/NAME.onnx.xz`.

    export.py [NAME...]

A skeleton is the ONNX file without its large weights: of those, name, type and shape stay, with the mean, deviation and
range that `fill.py` draws them from again. Needs torch, torchvision, transformers, onnx, onnxscript.
"""

import lzma
import pathlib
import sys
import tempfile
import warnings

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

import detectors as d
import families as f
from fill import SPECIFICATION

HERE = pathlib.Path(__file__).parent
KEPT = 512  # elements: smaller tensors stay as they are
BATCH, SIZE = {0: "batch"}, {0: "batch", 2: "height", 3: "width"}

# name: (model, side of the picture, exporter, open axes, operator set)
CATALOGUE = {
    "yolov5": (d.yolov5, 64, "script", {}, 12),
    "yolov8": (d.yolov8, 64, "script", {}, 17),
    "yolov8_open": (d.yolov8, 64, "script", SIZE, 17),
    "yolov8_dynamo": (d.yolov8, 64, "dynamo", {}, 18),
    "yolo11": (d.yolo11, 64, "script", {}, 17),
    "yolo11_batch": (d.yolo11, 64, "dynamo", BATCH, 18),
    "yolo26": (d.yolo26, 64, "script", {}, 17),
    "yolox": (d.yolox, 64, "script", {}, 11),
    "yolox_decoded": (lambda: d.yolox(True), 64, "dynamo", {}, 18),
    "nanodet": (d.nanodet, 64, "script", {}, 11),
    "nanodet_open": (d.nanodet, 64, "script", SIZE, 16),
    "picodet": (d.picodet, 64, "script", {}, 11),
    "centernet": (d.KeyPoints, 64, "script", {}, 13),
    "ssdlite": (lambda: f.SsdRaw(f.ssdlite()), 96, "script", {}, 13),
    "ssdlite_suppressed": (lambda: f.SsdFull(f.ssdlite()), 320, "script", {}, 13),
    "rt_detr": (lambda: f.rt_detr(anchor_image_size=[64, 64]), 64, "script", {}, 17),
    "rt_detr_dynamo": (f.rt_detr, 64, "dynamo", {}, 18),
    "rt_detr_v2": (lambda: f.rt_detr(True), 64, "script", {}, 17),
    "d_fine": (f.d_fine, 64, "script", {}, 17),
    "rf_detr": (f.rf_detr, 96, "dynamo", {}, 18),
    "yolos": (f.yolos, 64, "dynamo", {}, 18),
    "resnet": (f.resnet, 64, "script", BATCH, 17),
    "resnet_dynamo": (f.resnet, 64, "dynamo", {}, 18),
    "efficientnet": (f.efficientnet, 64, "script", {}, 17),
    "convnext": (f.convnext, 64, "script", {}, 17),
    "convnext_dynamo": (f.convnext, 64, "dynamo", BATCH, 20),
    "swin": (f.swin, 64, "script", {}, 17),
    "swin_v2": (lambda: f.swin(True), 64, "dynamo", {}, 18),
    "vit": (f.vit, 64, "script", {}, 17),
    "vit_dynamo": (f.vit, 64, "dynamo", {}, 18),
    "mobilenet_v3": (f.mobilenet, 64, "script", {}, 13),
    "deeplab_v3": (f.deeplab, 64, "dynamo", {}, 18),
    "lraspp_open": (f.lraspp, 64, "script", SIZE, 17),
    "segformer": (f.segformer, 64, "script", {}, 17),
    "segformer_open": (f.segformer, 64, "script", SIZE, 17),
    "dinov2": (f.dinov2, 70, "script", {}, 17),
    "dinov3": (f.dinov3, 64, "dynamo", {}, 18),
    "clip": (f.clip, 64, "dynamo", BATCH, 18),
    "siglip": (f.siglip, 64, "dynamo", {}, 18),
}


def spread(model: nn.Module) -> nn.Module:
    """Weights whose outputs differ from picture to picture: freshly initialised norms and biases say too little."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if hasattr(module, "running_var") and module.running_var is not None:
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.3, 0.8, generator=generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or parameter.std() == 0:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def export(name: str, path: pathlib.Path) -> None:
    make, side, exporter, axes, opset = CATALOGUE[name]
    torch.manual_seed(0)
    model = spread(make())
    images = torch.rand(2 if axes else 1, 3, side, side)
    with torch.no_grad():
        outputs = model(images)
    count = len(outputs) if isinstance(outputs, tuple) else 1
    names = [f"output{i}" for i in range(count)]
    common = dict(input_names=["images"], output_names=names, opset_version=opset)
    if exporter == "script":
        open_axes = {"images": axes} | {n: {0: "batch"} for n in names} if axes else None
        torch.onnx.export(model, (images,), str(path), dynamo=False, dynamic_axes=open_axes, **common)
    else:
        shapes = ({axis: torch.export.Dim(symbol) for axis, symbol in axes.items()},) if axes else None
        torch.onnx.export(model, (images,), str(path), dynamo=True, dynamic_shapes=shapes, external_data=False, **common)


def strip(tensor: onnx.TensorProto) -> None:
    """Replaces the values of a large float tensor by what they were drawn from."""
    values = numpy_helper.to_array(tensor)
    if values.dtype != np.float32 or values.size <= KEPT or not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        return
    if len(lzma.compress(values.tobytes())) < values.nbytes // 8:
        return  # a table, not weights
    numbers = (values.mean(), values.std(), values.min(), values.max())
    name, shape = tensor.name, list(values.shape)
    tensor.Clear()
    tensor.name, tensor.data_type = name, onnx.TensorProto.FLOAT
    tensor.dims.extend(shape)
    tensor.doc_string = SPECIFICATION + " ".join(f"{n:.5g}" for n in numbers)


def skeleton(path: pathlib.Path) -> bytes:
    model = onnx.load(path)
    del model.graph.value_info[:]
    model.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                strip(attribute.t)
    for tensor in model.graph.initializer:
        tensor.ClearField("metadata_props")
        strip(tensor)
    for value in [*model.graph.input, *model.graph.output]:
        value.ClearField("metadata_props")
    return lzma.compress(model.SerializeToString(), preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    warnings.filterwarnings("ignore")
    folder = HERE / "skeletons"
    folder.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CATALOGUE:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                path = pathlib.Path(scratch) / "model.onnx"
                export(name, path)
                packed = skeleton(path)
        except Exception as error:  # the next family may still be exported
            print(f"{name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
            continue
        (folder / f"{name}.onnx.xz").write_bytes(packed)
        print(f"{name}: {len(packed)} bytes", flush=True)


if __name__ == "__main__":
    main()
