#!/usr/bin/env python3
"""How many of the frames that a model gets wrong are among those that would be kept, next to as many drawn by chance.

The example `evidence_picks` says what would be kept of a clip, with each reason alone and with all. A frame is
wrong where the model misses something, or sees something that is not there, by the truth of the simulated conveyor or by
a stronger model: what that one is sure of (`SURE`) must be found, and what is found must be among what it deems possible
(`POSSIBLE`). By chance there would be the clip's own share of wrong frames, give or take the standard deviation of
drawing as many without putting back. Errors come in runs, one thing seen wrongly over many frames: how many runs have a
kept frame is told too, next to the mean of a thousand draws. Prints a Markdown table.
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import tempfile

import tracking

IOU, SURE, POSSIBLE = 0.5, 0.5, 0.15
# Smaller than what the model was trained on, so that it errs.
WIDTH, HEIGHT = 320, 180
# Runs of wrong frames that are less than this apart are one.
RUN_S = 1.0
OFF = {"band": [0.0, 0.0], "margin": 0.0, "flicker": False, "novelty": False, "rare": 0.0, "random": 0.0}
# The reasons one by one, and all that are on by default. What only rules or people can ask for is none of these.
REASONS = {
    "band": {"band": [0.3, 0.6]},
    "margin": {"margin": 0.15},
    "flicker": {"flicker": True},
    "novel": {"novelty": True},
    "rare": {"rare": 0.002},
    "all": {},
}


def configuration(model, profile, score, settings, per_minute):
    lines = ["device = \"cpu\"", "[models.m]", f"path = {json.dumps(str(model))}"]
    lines += [f"profile = {json.dumps(profile)}"] if profile else []
    lines += [f"score = {score}"] if score else []
    lines += ["[cameras.c]", "source = \"sim:conveyor\"", "[evidence]", "store = \"/nowhere\"",
              f"per_minute = {per_minute}"]
    return "\n".join(lines + [f"{key} = {json.dumps(value)}" for key, value in settings.items()]) + "\n"


def look(tool, configs, source, frames):
    """What was seen in each frame, and for each configuration the numbers of the frames that it would keep."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, config in enumerate(configs):
            files.append(pathlib.Path(folder) / f"{i}.toml")
            files[-1].write_text(config)
        command = [tool, "--frames", str(frames), source, *map(str, files)]
        seen, kept = [], [set() for _ in configs]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout:
                message = json.loads(line)
                if "frame" in message:
                    seen.append(message)
                else:
                    kept[message["config"]].add(message["kept"])
        if process.returncode:
            raise SystemExit(f"{command} failed")
        return seen, kept


def is_wrong(found, sure, possible):
    """Whether something that is surely there was not found, or something was that is not even possible.

    Each is a list of (label, box). A thing is found once.
    """
    def pairs(a, b):
        overlaps = {(i, j): tracking.iou(x[1], y[1]) for i, x in enumerate(a) for j, y in enumerate(b) if x[0] == y[0]}
        return tracking.best_pairs({key: value for key, value in overlaps.items() if value >= IOU})
    return len(pairs(sure, found)) < len(sure) or len(pairs(found, possible)) < len(found)


def things(message, least):
    return [(o["label"], o["box"]) for o in message["objects"] if o["score"] >= least]


def belt_truth(tool, seed, fps, frames, leaning):
    """By frame the parts that count, and all parts; a part with a visible defect is that defect."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([tool, "--seed", str(seed), "--fps", str(fps), "--count", str(frames), "--stride", "1",
                        "--leaning", str(leaning), "--size", f"{WIDTH}x{HEIGHT}", "--format", "none", folder], check=True, stderr=subprocess.DEVNULL)
        data = json.loads((pathlib.Path(folder) / "instances.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    size = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    sure, possible = [[] for _ in size], [[] for _ in size]
    for a in data["annotations"]:
        w, h = size[a["image_id"]]
        x, y, bw, bh = a["bbox"]
        thing = (names[a["category_id"]], (x / w, y / h, bw / w, bh / h))
        possible[a["image_id"] - 1].append(thing)
        if not a["iscrowd"]:
            sure[a["image_id"] - 1].append(thing)
    return sure, possible


def runs(wrong, times):
    """Wrong frames that follow each other, as sets."""
    found, last = [], None
    for frame in sorted(wrong):
        if last is None or times[frame] - times[last] > RUN_S:
            found.append(set())
        found[-1].add(frame)
        last = frame
    return found


def by_chance(total, wrong, kept):
    """Mean and standard deviation of the wrong ones among so many that are drawn (hypergeometric)."""
    share = wrong / total
    variance = kept * share * (1 - share) * (total - kept) / max(total - 1, 1)
    return kept * share, math.sqrt(variance)


def met(found, kept):
    return sum(1 for run in found if run & kept)


def measure(name, seen, wrong, picked):
    """The rows of a scene."""
    times = [message["at"] for message in seen]
    spells = runs(wrong, times)
    draw = random.Random(1)
    for reason, frames in picked.items():
        mean, deviation = by_chance(len(seen), len(wrong), len(frames))
        draws = [met(spells, set(draw.sample(range(len(seen)), len(frames)))) for _ in range(1000)]
        yield (name, len(seen), len(wrong), reason, len(frames), len(frames & wrong), mean, deviation,
               met(spells, frames), sum(draws) / len(draws), len(spells))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--picks", required=True, help="the example evidence_picks, built")
    arguments.add_argument("--truth", required=True, help="the example conveyor_frames, built")
    arguments.add_argument("--samples", type=pathlib.Path, required=True)
    arguments.add_argument("--frames", type=int, default=1400)
    arguments.add_argument("--per-minute", type=int, default=20)
    arguments.add_argument("--scenes", nargs="+", help="words in the names of those to look at; all by default")
    options = arguments.parse_args()
    models, video = options.samples / "models", options.samples / "video"
    yolox = (models / "yolox_nano_416.onnx", "yolox")
    scenes = []
    for leaning in (0, 1):
        name = "belt, leaning parts" if leaning else "belt, flat parts"
        source = f"sim:conveyor?seed=9001&fps=10&width={WIDTH}&height={HEIGHT}&leaning={leaning}"
        scenes.append((name, source, (pathlib.Path("models/conveyor").resolve(), None, None), leaning))
    if video.is_dir():
        small = (models / "light_person_detector_192.onnx", "yolox", 0.3)
        nano = (models / "nanodet_m_320.onnx", "nanodet", 0.3)
        scenes.append(("people, small detector", str(video / "one-by-one-person-detection.mp4"), small, yolox))
        scenes.append(("bottles, NanoDet", str(video / "bottle-detection.mp4"), nano, yolox))
        scenes.append(("worker, NanoDet", str(video / "worker-zone-detection.gif"), nano, yolox))
    scenes = [scene for scene in scenes if not options.scenes or any(word in scene[0] for word in options.scenes)]
    print("| scene | frames | wrong | reason | kept | wrong of these | by chance | runs met | by chance | of |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, source, model, oracle in scenes:
        configs = [configuration(*model, settings if reason == "all" else {**OFF, **settings}, options.per_minute)
                   for reason, settings in REASONS.items()]
        seen, kept = look(options.picks, configs, source, options.frames)
        picked = dict(zip(REASONS, kept))
        if isinstance(oracle, tuple):
            true, _ = look(options.picks, [configuration(*oracle, 0.05, OFF, 1)], source, options.frames)
            labels = {"person"} if "people" in name else None
            keep = lambda boxes: [b for b in boxes if labels is None or b[0] in labels]
            sure, possible = [[keep(things(m, least)) for m in true] for least in (SURE, POSSIBLE)]
        else:
            sure, possible = belt_truth(options.truth, 9001, 10, len(seen), oracle)
        found = [things(message, 0) for message in seen]
        wrong = {i for i, f in enumerate(found) if is_wrong(f, sure[i], possible[i])}
        for row in measure(name, seen, wrong, picked):
            print("| {} | {} | {} | {} | {} | {} | {:.1f} ± {:.1f} | {} | {:.1f} | {} |".format(*row), flush=True)


if __name__ == "__main__":
    main()
