"""One peer, one model, one batch, one precision: prints one JSON object. Run by `benches/gpu.py`, each in a process of
its own, so that a peer that dies takes nothing with it.

    run.py webgpu|torch|compiled MODEL BATCH f32|f16 SECONDS

Timed is what a caller waits for: the input from host memory, the outputs back in host memory.
"""

import json
import pathlib
import statistics
import sys
import time

import numpy as np
from batch import batched, halved, outputs_on_cpu, picture, worst_difference


def webgpu(model, precision):
    """ONNX Runtime with its WebGPU plugin."""
    import onnxruntime as ort
    import onnxruntime_ep_webgpu as plugin

    ort.register_execution_provider_library("webgpu", plugin.get_library_path())
    device = next((d for d in ort.get_ep_devices() if d.ep_name == plugin.get_ep_name()), None)
    if device is None:
        raise SystemExit("the WebGPU plugin sees no device")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_provider_for_devices([device], {})
    model = halved(model) if precision == "f16" else model
    session = ort.InferenceSession(model.SerializeToString(), sess_options=options)
    name = session.get_inputs()[0].name
    return lambda frame: session.run(None, {name: frame}), f"ONNX Runtime {ort.__version__}, WebGPU plugin"


def torch_cuda(model, precision, compiled):
    """PyTorch on CUDA, the same graph through onnx2torch."""
    import torch
    from onnx2torch import convert

    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no CUDA device")
    dtype = torch.float16 if precision == "f16" else torch.float32
    net = convert(model).eval().to("cuda", dtype)
    if compiled:
        net = torch.compile(net)

    def run(frame):
        with torch.inference_mode():
            out = net(torch.from_numpy(frame).to("cuda", dtype))
            outs = out if isinstance(out, (tuple, list)) else [out]
            return [o.float().cpu().numpy() for o in outs]

    return run, f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}{', compiled' if compiled else ''}"


def timed(run, frame, seconds):
    """Milliseconds of each run after warming up."""
    for _ in range(5):
        run(frame)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run(frame)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def main():
    import onnx

    if len(sys.argv) != 6 or sys.argv[1] not in ("webgpu", "torch", "compiled") or sys.argv[4] not in ("f32", "f16"):
        raise SystemExit(__doc__)
    peer, path, batch, precision, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5])
    model = onnx.load(path)
    try:
        model = batched(model, batch)
    except ValueError as reason:
        raise SystemExit(str(reason)) from reason
    shape = [d.dim_value or batch for d in model.graph.input[0].type.tensor_type.shape.dim]
    frame = picture(shape)
    run, name = webgpu(model, precision) if peer == "webgpu" else torch_cuda(model, precision, peer == "compiled")
    off = worst_difference(outputs_on_cpu(model, frame), [np.asarray(o) for o in run(frame)])
    times = timed(run, frame, seconds)
    median = statistics.median(times)
    print(json.dumps({"name": name, "ms_per_frame": median / batch, "runs": len(times), "off_by": off}))


if __name__ == "__main__":
    main()
