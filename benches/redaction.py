"""Redaction on the CPU next to OpenCV on one thread: a whole picture blurred (three box filters of the same size) and
pixelated (made smaller by areas, and larger again), in turns in one run. The time of Ocellus has its copies of the picture
in it. Prints a Markdown table of milliseconds, the best of all rounds, and ratios."""

import argparse
import json
import subprocess
import time

import cv2
import numpy as np

SIZES = [(96, 160), (320, 180), (640, 360), (1280, 720), (1920, 1080)]


def blur(picture):
    side = 2 * -(-max(picture.shape) // 6) + 1
    for _ in range(3):
        picture = cv2.blur(picture, (side, side), borderType=cv2.BORDER_REPLICATE)


def pixelate(picture):
    height, width = picture.shape[:2]
    side = -(-max(width, height) // 8)
    small = cv2.resize(picture, (-(-width // side), -(-height // side)), interpolation=cv2.INTER_AREA)
    cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def best(work, picture, times):
    least = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work(picture)
        least = min(least, (time.perf_counter() - start) * 1e3)
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", required=True, help="the example redaction_speed")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print("| pixels | OpenCV, blur | Ocellus | ratio | OpenCV, pixelate | Ocellus | ratio |\n|---|---|---|---|---|---|---|")
    for width, height in SIZES:
        picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        theirs, ours = {}, {}
        for _ in range(args.rounds):
            for name, work in (("blur", blur), ("pixelate", pixelate)):
                theirs[name] = min(theirs.get(name, float("inf")), best(work, picture, 5))
            run = subprocess.run([args.speed, f"{width}x{height}", "5"], stdout=subprocess.PIPE, check=True)
            for name, taken in json.loads(run.stdout).items():
                ours[name] = min(ours.get(name, float("inf")), taken)
        cells = [f"{theirs[n]:.2f} | {ours[n]:.2f} | {ours[n] / theirs[n]:.2f}" for n in ("blur", "pixelate")]
        print(f"| {width}x{height} | " + " | ".join(cells) + " |", flush=True)


main()
