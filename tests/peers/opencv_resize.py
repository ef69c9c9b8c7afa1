#!/usr/bin/env python3
"""What OpenCV makes of small pictures: the fixture of the preprocessing tests.

    python3 tests/peers/opencv_resize.py > src/model/preprocess/opencv.rs && cargo fmt

needs opencv-python-headless and numpy. The pictures come from a formula that the tests repeat.
"""

import cv2
import numpy as np


def texture(count):
    """Byte i of a picture: neither smooth nor periodic in rows or columns."""
    i = np.arange(count, dtype=np.int64)
    return ((i * i * 31 + i * 89 + (i // 7) * 57) % 256).astype(np.uint8)


def array(name, doc, values):
    numbers = ", ".join(str(v) for v in values.reshape(-1))
    print(f"\n/// {doc}\npub const {name}: &[u8] = &[{numbers}];")


def main():
    print(f"//! Made with OpenCV {cv2.__version__} by `tests/peers/opencv_resize.py`; not edited by hand.")
    source = texture(9 * 7 * 3).reshape(7, 9, 3)
    for width, height in ((5, 4), (13, 10), (9, 3), (2, 15)):
        resized = cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR)
        array(
            f"RESIZED_{width}X{height}",
            f"`resize` with `INTER_LINEAR` of the 9x7 RGB picture to {width}x{height}.",
            resized,
        )
    planar = texture(8 * 9).reshape(9, 8)
    array("RGB_OF_I420", "`COLOR_YUV2RGB_I420` of the 8x6 picture.", cv2.cvtColor(planar, cv2.COLOR_YUV2RGB_I420))
    array("RGB_OF_NV12", "`COLOR_YUV2RGB_NV12` of the 8x6 picture.", cv2.cvtColor(planar, cv2.COLOR_YUV2RGB_NV12))
    packed = texture(8 * 6 * 2).reshape(6, 8, 2)
    array("RGB_OF_YUYV", "`COLOR_YUV2RGB_YUYV` of the 8x6 picture.", cv2.cvtColor(packed, cv2.COLOR_YUV2RGB_YUYV))
    nv12 = cv2.cvtColor(planar, cv2.COLOR_YUV2RGB_NV12)
    array(
        "NV12_RESIZED_5X4",
        "The 8x6 NV12 picture converted, then resized to 5x4.",
        cv2.resize(nv12, (5, 4), interpolation=cv2.INTER_LINEAR),
    )


if __name__ == "__main__":
    main()
