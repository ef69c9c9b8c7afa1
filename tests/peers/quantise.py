"""Quantises skeletons of `architectures/` with ONNX Runtime's own tools, for the tests of `crates/ocellus-onnx`.

    quantise.py OUT FORM:NAME...

FORM is `tensor`, `channel`, `unsigned` (static, with QuantizeLinear and DequantizeLinear), `operators` (QLinear operators of
the standard), `contributed` (those of ONNX Runtime too) or `dynamic`. Writes OUT/FORM:NAME/model.onnx, `0.input.npy`, `0.outputI.npy` as ONNX Runtime computes them without fusing, and
`0.step.npy`: the step of the coarsest output. Needs onnx, onnxruntime, numpy.
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

sys.path.insert(0, str(pathlib.Path(__file__).parent / "architectures"))
from fill import load, picture, shape  # noqa: E402

STATIC = {
    "tensor": dict(quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8),
    "channel": dict(quant_format=QuantFormat.QDQ, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=True),
    "unsigned": dict(
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
        extra_options={"WeightSymmetric": False, "ActivationSymmetric": False},
    ),
    "operators": dict(
        quant_format=QuantFormat.QOperator,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "MatMul"],
    ),
    "contributed": dict(quant_format=QuantFormat.QOperator, activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8),
}


class Pictures(CalibrationDataReader):
    def __init__(self, name, extents):
        self.left = [{name: picture(extents, seed)} for seed in range(100, 104)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantise(form: str, source: pathlib.Path, out: pathlib.Path, value: onnx.ValueInfoProto) -> None:
    if form == "dynamic":
        quantize_dynamic(source, out, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul", "Gemm", "Conv"])
    else:
        quantize_static(source, out, Pictures(value.name, shape(value, None)), **STATIC[form])


def step(model: onnx.ModelProto) -> float:
    """The scale of the last quantisation, of the outputs' own where they have one."""
    scales = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    outputs = {o.name for o in model.graph.output}
    last = [n for n in model.graph.node if n.op_type == "DequantizeLinear" and outputs & set(n.output)]
    return max((float(scales[n.input[1]].max()) for n in last), default=0.0)


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    for task in sys.argv[2:]:
        form, name = task.split(":")
        folder = out / task
        folder.mkdir(parents=True)
        model = load(name)
        with tempfile.TemporaryDirectory() as scratch:
            source = pathlib.Path(scratch) / "model.onnx"
            onnx.save(model, source)
            quantise(form, source, folder / "model.onnx", model.graph.input[0])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        value = model.graph.input[0]
        images = picture(shape(value, None), 11)
        np.save(folder / "0.input.npy", images)
        for i, values in enumerate(session.run(None, {value.name: images})):
            np.save(folder / f"0.output{i}.npy", np.ascontiguousarray(values.astype(np.float32)))
        quantised = onnx.load(folder / "model.onnx")
        np.save(folder / "0.step.npy", np.array([step(quantised)], np.float32))


if __name__ == "__main__":
    main()
