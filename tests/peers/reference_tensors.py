#!/usr/bin/env python3
"""Write what ONNX Runtime makes of a model and a reproducible input, as small JSON summaries.

    reference_tensors.py OUT_DIR MODEL.onnx...

The input is uniform noise from Knuth's MMIX generator (24 bits a value), so that a test in any language can make
the same one. Of each output the summary keeps shape, mean, minimum, maximum and 64 values at fixed places: the
k-th sample is element `k * (count - 1) // 63`.

Needs onnxruntime and numpy.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime as ort

SAMPLES = 64
# Ranges of the inputs after each model's preprocessing.
RANGES = {
    "yolox_nano_416": (0.0, 255.0),
    "light_person_detector_192": (0.0, 255.0),
}
SEED = 20_240_601


def noise(seed: int, count: int, low: float, high: float) -> np.ndarray:
    state = seed
    bits = np.empty(count, dtype=np.float32)
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        bits[i] = state >> 40
    return np.float32(low) + np.float32(high - low) * (bits / np.float32(16777216.0))


def summary(name: str, value: np.ndarray) -> dict:
    flat = value.astype(np.float64).ravel()
    at = [k * (flat.size - 1) // (SAMPLES - 1) for k in range(SAMPLES)]
    return {
        "name": name,
        "shape": list(value.shape),
        "mean": float(flat.mean()),
        "min": float(flat.min()),
        "max": float(flat.max()),
        "samples": [float(flat[i]) for i in at],
    }


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    for path in map(pathlib.Path, sys.argv[2:]):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # old files list weights as inputs; a warning for each says so
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (source,) = session.get_inputs()
        shape = [n if isinstance(n, int) else 1 for n in source.shape]
        low, high = RANGES.get(path.stem, (-2.0, 2.0))
        image = noise(SEED, int(np.prod(shape)), low, high).reshape(shape)
        names = [o.name for o in session.get_outputs()]
        values = session.run(names, {source.name: image})
        text = json.dumps(
            {
                "model": path.stem,
                "made_with": f"onnxruntime {ort.__version__}",
                "input": {"name": source.name, "shape": shape, "seed": SEED, "low": low, "high": high},
                "outputs": [summary(n, v) for n, v in zip(names, values)],
            }
        )
        (out / f"{path.stem}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
