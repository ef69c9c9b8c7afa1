"""Models for the peers: another batch written into an ONNX file, floats made 16 bits wide, both checked.

Exports fix their batch in the inputs and in the constants of `Reshape`. Whether rewriting these was sound is not
guessed: the rewritten model must give for copies of one picture what the file gives for that picture.
"""

import numpy as np


def rewritten(model, batch):
    """A copy of an `onnx.ModelProto` with this first extent of every input."""
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        if value.name not in weights:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    initialisers = [(tensor.name, tensor) for tensor in graph.initializer]
    constants = [(node.output[0], node.attribute[0].t) for node in graph.node if node.op_type == "Constant"]
    for name, tensor in initialisers + constants:
        if name in shapes:
            shape = numpy_helper.to_array(tensor).copy()
            if shape.ndim == 1 and shape.size > 1 and shape[0] == 1:
                shape[0] = batch
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    return model


def halved(model):
    """A copy with 16-bit floats inside; inputs and outputs stay as they are."""
    from onnxconverter_common import float16

    return float16.convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True)


def picture(shape, seed=1):
    """Reproducible noise in the range of pixels."""
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def outputs_on_cpu(model, frame):
    """What ONNX Runtime's CPU device gives."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: frame})


def worst_difference(expected, found):
    """The greatest difference relative to the range of the expected values, over all outputs."""
    worst = 0.0
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            return float("inf")
        spread = float(a.max() - a.min()) or 1.0
        worst = max(worst, float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) / spread)
    return worst


def batched(model, batch, tolerance=1e-3):
    """The model for `batch` pictures, or `ValueError` where that can't be had by rewriting."""
    if batch == 1:
        return model
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    frame = picture(shape)
    try:
        larger = rewritten(model, batch)
        found = outputs_on_cpu(larger, np.concatenate([frame] * batch))
    except Exception as reason:
        raise ValueError(f"bound to its batch: {str(reason).splitlines()[0]}") from reason
    expected = [np.concatenate([out] * batch) for out in outputs_on_cpu(model, frame)]
    if worst_difference(expected, found) > tolerance:
        raise ValueError("bound to its batch: the rewritten model gives something else")
    return larger
