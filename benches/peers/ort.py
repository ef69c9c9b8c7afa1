"""ONNX Runtime's time for one frame of a model: the peer that `models.py` compares with."""

import json
import statistics
import sys
import time

import numpy as np
import onnxruntime as ort


def main():
    path, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    shape = [n if isinstance(n, int) and n > 0 else 1 for n in source.shape]
    frame = np.random.default_rng(1).uniform(0, 255, shape).astype(np.float32)
    for _ in range(3):
        session.run(None, {source.name: frame})
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, {source.name: frame})
        times.append((time.perf_counter() - start) * 1e3)
    said = {"median_ms": statistics.median(times), "min_ms": min(times), "runs": len(times)}
    print(json.dumps({**said, "version": ort.__version__}))


if __name__ == "__main__":
    main()
