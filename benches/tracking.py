#!/usr/bin/env python3
"""Tracks and counts on the simulated conveyor, whose truth is known, next to a plain IoU tracker on the same detections.

HOTA as in Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021; IDF1 as in
Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016, at an IoU of 0.5.
Parts that hardly show are neither rewarded nor punished. Prints a Markdown table.
"""

import argparse
import collections
import json
import math
import pathlib
import subprocess
import tempfile

ALPHAS = [i / 20 for i in range(1, 20)]
LINE = 0.8
# What both trackers have in common: frames until a track is believed, and seconds that it is waited for.
CONFIRM, KEEP_S = 3, 2.0


def iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inter = max(w, 0) * max(h, 0)
    union = a[2] * a[3] + b[2] * b[3] - inter
    return inter / union if union > 0 else 0.0


def best_pairs(gains):
    """Pairs of keys so that the sum of their gains is largest, from `{(row, column): gain > 0}`."""
    pairs = []
    for rows, columns in components(gains):
        turned = len(rows) > len(columns)
        if turned:
            rows, columns = columns, rows
        cost = [[-gains.get((c, r) if turned else (r, c), 0.0) for c in columns] for r in rows]
        for row, column in enumerate(assignment(cost)):
            pair = (columns[column], rows[row]) if turned else (rows[row], columns[column])
            if pair in gains:
                pairs.append(pair)
    return pairs


def components(gains):
    """Rows and columns that hang together by gains."""
    of_row, of_column = collections.defaultdict(list), collections.defaultdict(list)
    for row, column in gains:
        of_row[row].append(column)
        of_column[column].append(row)
    seen = set()
    for start in of_row:
        if start in seen:
            continue
        rows, columns, todo = [], [], [(True, start)]
        seen.add(start)
        known = set()
        while todo:
            is_row, key = todo.pop()
            (rows if is_row else columns).append(key)
            for other in of_row[key] if is_row else of_column[key]:
                if is_row and other not in known:
                    known.add(other)
                    todo.append((False, other))
                elif not is_row and other not in seen:
                    seen.add(other)
                    todo.append((True, other))
        yield rows, columns


def assignment(cost):
    """The column of each row at the lowest total; as many columns as rows, or more (Jonker & Volgenant 1987)."""
    n, m = len(cost), len(cost[0])
    of_row, of_column, row_of = [0.0] * (n + 1), [0.0] * (m + 1), [n] * (m + 1)
    for row in range(n):
        row_of[m], column = row, m
        distance, before, done = [math.inf] * (m + 1), [m] * (m + 1), [False] * (m + 1)
        while row_of[column] != n:
            done[column], current, nearest, step = True, row_of[column], m, math.inf
            for c in range(m):
                if not done[c]:
                    reduced = cost[current][c] - of_row[current] - of_column[c]
                    if reduced < distance[c]:
                        distance[c], before[c] = reduced, column
                    if distance[c] < step:
                        nearest, step = c, distance[c]
            for c in range(m + 1):
                if done[c]:
                    of_row[row_of[c]] += step
                    of_column[c] -= step
                else:
                    distance[c] -= step
            column = nearest
        while column != m:
            row_of[column] = row_of[before[column]]
            column = before[column]
    columns = [0] * n
    for column in range(m):
        if row_of[column] != n:
            columns[row_of[column]] = column
    return columns


def measure(truth, tracks):
    """HOTA, its two factors, and IDF1, in percent. Both are lists of frames, each `{id: box}`."""
    overlaps = [{(t, p): v for t, a in real.items() for p, b in seen.items() if (v := iou(a, b)) > 0}
                for real, seen in zip(truth, tracks)]
    real_frames = collections.Counter(t for frame in truth for t in frame)
    seen_frames = collections.Counter(p for frame in tracks for p in frame)
    alignment = collections.Counter()
    for frame in overlaps:
        rows, columns = collections.Counter(), collections.Counter()
        for (t, p), v in frame.items():
            rows[t] += v
            columns[p] += v
        for (t, p), v in frame.items():
            alignment[t, p] += v / (rows[t] + columns[p] - v)
    for (t, p), v in alignment.items():
        alignment[t, p] = v / (real_frames[t] + seen_frames[p] - v)
    hits, matches = collections.Counter(), collections.defaultdict(collections.Counter)
    for frame in overlaps:
        for pair in best_pairs({pair: v * alignment[pair] for pair, v in frame.items()}):
            for alpha in ALPHAS:
                if frame[pair] >= alpha:
                    hits[alpha] += 1
                    matches[alpha][pair] += 1
    total = sum(real_frames.values()) + sum(seen_frames.values())
    scores = []
    for alpha in ALPHAS:
        tp = hits[alpha]
        associated = sum(n * n / (real_frames[t] + seen_frames[p] - n) for (t, p), n in matches[alpha].items())
        det, ass = tp / max(total - tp, 1), associated / max(tp, 1)
        scores.append((math.sqrt(det * ass), det, ass))
    together = collections.Counter(pair for frame in overlaps for pair, v in frame.items() if v >= 0.5)
    id_hits = sum(together[pair] for pair in best_pairs(together))
    hota, det, ass = (100 * sum(column) / len(ALPHAS) for column in zip(*scores))
    return {"hota": hota, "det": det, "ass": ass, "idf1": 100 * 2 * id_hits / max(total, 1)}


class IouTracker:
    """Each box goes to the track whose last box it overlaps most, by at least 0.3 (Bochinski et al. 2017)."""

    def __init__(self, fps):
        self.keep, self.next, self.tracks = KEEP_S * fps, 1, {}

    def step(self, boxes):
        pairs = sorted(((iou(track["box"], box), t, i) for t, track in self.tracks.items()
                        for i, box in enumerate(boxes)), reverse=True)
        taken = {}
        for overlap, t, i in pairs:
            if overlap >= 0.3 and i not in taken and t not in taken.values():
                taken[i] = t
        for i, box in enumerate(boxes):
            if i not in taken:
                taken[i] = self.next
                self.tracks[self.next] = {"frames": 0}
                self.next += 1
            track = self.tracks[taken[i]]
            track.update(box=box, frames=track["frames"] + 1, missed=0)
        for t in list(self.tracks):
            self.tracks[t]["missed"] += 0 if t in taken.values() else 1
            if self.tracks[t]["missed"] > self.keep:
                del self.tracks[t]
        return {taken[i]: box for i, box in enumerate(boxes) if self.tracks[taken[i]]["frames"] >= CONFIRM}


def crossings(frames):
    """Ids that were left of the line and then right of it."""
    left, passed = set(), set()
    for frame in frames:
        for key, box in frame.items():
            if box[0] + box[2] / 2 < LINE:
                left.add(key)
            elif key in left:
                passed.add(key)
    return len(passed)


def without_ignored(tracks, ignored, truth):
    """Boxes that lie on a part which does not count are left out."""
    def counts(box, hidden, real):
        most = max((iou(box, h) for h in hidden.values()), default=0)
        return most < 0.5 or most <= max((iou(box, r) for r in real.values()), default=0)
    return [{k: b for k, b in frame.items() if counts(b, hidden, real)}
            for frame, hidden, real in zip(tracks, ignored, truth)]


def read_truth(tool, seed, fps, frames, folder):
    subprocess.run([tool, "--seed", str(seed), "--fps", str(fps), "--count", str(frames), "--stride", "1",
                    "--format", "none", folder], check=True, stderr=subprocess.DEVNULL)
    data = json.loads((pathlib.Path(folder) / "instances.json").read_text())
    size = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    truth, ignored = [{} for _ in size], [{} for _ in size]
    for a in data["annotations"]:
        w, h = size[a["image_id"]]
        x, y, bw, bh = a["bbox"]
        frame = (ignored if a["iscrowd"] else truth)[a["image_id"] - 1]
        frame[a["part"]] = (x / w, y / h, bw / w, bh / h)
    return truth, ignored


def replay(binary, model, seed, fps, frames, folder):
    """For each frame its detections, best first, each with its track; and how many parts were counted."""
    config = pathlib.Path(folder) / "ocellus.toml"
    config.write_text(f"""device = "cpu"
[models.parts]
path = {json.dumps(str(model))}
[cameras.line]
source = "sim:conveyor"
[cameras.line.track]
confirm = {CONFIRM}
keep_s = {KEEP_S}
[[cameras.line.lines]]
name = "exit"
points = [[{LINE}, 0], [{LINE}, 1]]
direction = "right"
""")
    command = [binary, "replay", "--config", str(config), "--detections", "--frames", str(frames),
               f"sim:conveyor?seed={seed}&fps={fps}"]
    seen, counted = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            message = json.loads(line)
            if message["schema"] == "ocellus.detections/1":
                seen.append(message["objects"])
            elif message["schema"] == "ocellus.count/1":
                counted = message["crossed"]["right"]["total"]
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return seen, counted


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ocellus", required=True)
    arguments.add_argument("--truth", required=True, help="the example conveyor_frames, built")
    arguments.add_argument("--model", default="models/conveyor", type=pathlib.Path)
    arguments.add_argument("--seconds", type=int, default=430, help="of the simulation; some 500 parts pass in 430")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[9001])
    arguments.add_argument("--rates", type=float, nargs="+", default=[10, 5, 2])
    options = arguments.parse_args()
    print("| seed | frames a second | tracker | HOTA | DetA | AssA | IDF1 | counted | truly |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in options.seeds:
        for fps in options.rates:
            with tempfile.TemporaryDirectory() as folder:
                frames = int(options.seconds * fps)
                truth, ignored = read_truth(options.truth, seed, fps, frames, folder)
                seen, counted = replay(options.ocellus, options.model.resolve(), seed, fps, frames, folder)
            ours = [{o["track"]: o["box"] for o in reversed(objects) if "track" in o} for objects in seen]
            tracker = IouTracker(fps)
            plain = [tracker.step([o["box"] for o in objects]) for objects in seen]
            both = [{**hidden, **real} for hidden, real in zip(ignored, truth)]
            for name, tracks, count in (("Ocellus", ours, counted), ("IoU", plain, crossings(plain))):
                m = measure(truth, without_ignored(tracks, ignored, truth))
                print(f"| {seed} | {fps:g} | {name} | {m['hota']:.1f} | {m['det']:.1f} | {m['ass']:.1f} | "
                      f"{m['idf1']:.1f} | {count} | {crossings(both)} |", flush=True)


if __name__ == "__main__":
    main()
