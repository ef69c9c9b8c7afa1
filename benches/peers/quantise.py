"""Quantises a model with ONNX Runtime's own tool, for `models.py`: QuantizeLinear and DequantizeLinear around each
operator, activations in uint8, weights in int8, one scale a channel where the model's opset has that.

    quantise.py MODEL OUT

Calibrated on noise, which decides what comes out but not how long it takes.
"""

import sys

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static


class Noise(CalibrationDataReader):
    def __init__(self, source: onnx.ValueInfoProto):
        extents = [d.dim_value or 1 for d in source.type.tensor_type.shape.dim]
        random = np.random.default_rng(1)
        self.left = [{source.name: random.uniform(0, 255, extents).astype(np.float32)} for _ in range(3)]

    def get_next(self):
        return self.left.pop() if self.left else None


def main() -> None:
    path, out = sys.argv[1:]
    model = onnx.load(path)
    opset = max(used.version for used in model.opset_import if used.domain in ("", "ai.onnx"))
    quantize_static(
        path,
        out,
        Noise(model.graph.input[0]),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=opset >= 13,
    )


if __name__ == "__main__":
    main()
