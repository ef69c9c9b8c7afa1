"""Writes the ONNX standard's backend tests that are in scope for inference, one folder a case.

usage: onnx_cases.py FOLDER
FOLDER/<case>/model.onnx, in_<k>.npy, out_<k>.npy and case.json: {"operator": …, "rtol": …, "atol": …}

Parameters that exporters write as constants (axes, shapes, sizes, …) are made initialisers. Left out are tests with
text, sequences, optional values, training, and types that no vision model has.
"""
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

warnings.filterwarnings("ignore")
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

OPERATORS = set("""
Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization BitShift Cast CastLike Ceil Celu CenterCropPad
Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu
Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool
Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf
IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool
MaxUnpool Mean Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear Range
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round ScatterElements ScatterND Selu Shape Shrink Sigmoid
Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh
ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor If Loop Attention RMSNormalization
RotaryEmbedding
""".split())
TYPES = {
    TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8,
    TensorProto.FLOAT16, TensorProto.DOUBLE,
}
PARAMETERS = {"roi", "scales", "axes", "shape", "sizes", "pads", "depth", "values", "axis", "k", "trip_count", "cond"}
DATA = Path(onnx.__file__).parent / "backend/test/data"


def in_scope(case):
    values = list(case.model.graph.input) + list(case.model.graph.output)
    return (
        all(v.type.HasField("tensor_type") for v in values)
        and {v.type.tensor_type.elem_type for v in values} <= TYPES
        and {n.op_type for n in case.model.graph.node} <= OPERATORS
    )


def array(x, value):
    x = numpy_helper.to_array(x) if isinstance(x, TensorProto) else np.asarray(x)
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type), order="C")


def write(root, name, operator, model, inputs, outputs, rtol=1e-3, atol=1e-7):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    for kind, values in ("in", inputs), ("out", outputs):
        for k, x in enumerate(values):
            np.save(folder / f"{kind}_{k}.npy", x)
    (folder / "case.json").write_text(json.dumps({"operator": operator, "rtol": rtol, "atol": atol}))


def node_case(root, case, operator):
    given, expected = case.data_sets[0]
    graph, kept, fed = case.model.graph, [], []
    for k, (value, x) in enumerate(zip(list(graph.input), given)):
        x = array(x, value)
        if k > 0 and (x.dtype in (np.int64, np.int32) or value.name in PARAMETERS):
            graph.initializer.append(numpy_helper.from_array(x, value.name))
        else:
            kept.append(value)
            fed.append(x)
    outputs = [array(x, value) for x, value in zip(expected, graph.output)]
    del graph.input[:]
    graph.input.extend(kept)
    write(root, case.name.removeprefix("test_"), operator, case.model, fed, outputs, case.rtol, case.atol)


def values(files):
    return [numpy_helper.to_array(onnx.load_tensor(str(file))) for file in files]


def stored_cases(root, group):
    """Cases of a folder of the package: `<case>/model.onnx` and `<case>/test_data_set_0/{input,output}_<k>.pb`."""
    for folder in sorted((DATA / group).glob("test_*")):
        data = folder / "test_data_set_0"
        model = onnx.load(folder / "model.onnx")
        parts = [sorted(data.glob(f"{kind}_*.pb"), key=lambda f: int(f.stem.split("_")[1])) for kind in ("input", "output")]
        tensors = all(v.type.HasField("tensor_type") and v.type.tensor_type.elem_type in TYPES
                      for v in list(model.graph.input) + list(model.graph.output))
        if tensors and all(parts[1:]):
            name = f"{group}_{folder.name.removeprefix('test_')}"
            write(root, name, f"({group})", model, *map(values, parts))


def light_cases(root):
    """Whole networks without weights of their own, on a ramp from 0 to 1, as the package's own runner feeds them."""
    for file in sorted((DATA / "light").glob("*.onnx")):
        model = onnx.load(file)
        initialised = {tensor.name for tensor in model.graph.initializer}
        inputs = []
        for value in model.graph.input:
            if value.name not in initialised:
                shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
                count = np.prod(shape)
                inputs.append((np.arange(count).reshape(shape) / count).astype(np.float32))
        write(root, file.stem, "(light)", model, inputs, values([file.with_name(f"{file.stem}_output_0.pb")]))


def main(root):
    cases = collect_testcases(None)
    operators = {case.name: case.model.graph.node[0].op_type for case in cases}
    for case in cases:
        if in_scope(case):
            node_case(root, case, operators.get(case.name.removesuffix("_expanded"), operators[case.name]))
    for group in "pytorch-converted", "pytorch-operator", "simple":
        stored_cases(root, group)
    light_cases(root)
    print(sum(1 for _ in root.iterdir()), "cases")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
