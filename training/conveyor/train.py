"""Trains the conveyor model from scratch on frames of the simulator. See README.md for the exact command lines."""

import argparse
import copy
import math
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

from data import Batches, load
from net import Detector, anchors, decode

RADIUS = 1.5  # candidates: anchors within so many strides of an object's centre
TOP = 10


def pairwise_iou(a, b):
    """[B, G, 4] and [B, A, 4] -> [B, G, A]."""
    low = torch.maximum(a[:, :, None, :2], b[:, None, :, :2])
    high = torch.minimum(a[:, :, None, 2:], b[:, None, :, 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(-1)[:, :, None]
    area_b = (b[..., 2:] - b[..., :2]).prod(-1)[:, None, :]
    return inter / (area_a + area_b - inter + 1e-6)


@torch.no_grad()
def assign(raw, boxes, gts, points, strides):
    """SimOTA for a whole batch. Returns per anchor the object's index (-1 for none) and its IoU, and a mask of
    anchors that must not count as background, because they lie in an ignored object."""
    real, ignored = gts[..., 5] == 0, gts[..., 5] == 1
    rect = gts[..., :4]
    centre = (rect[..., :2] + rect[..., 2:]) / 2
    delta = (points[None, None] - centre[:, :, None]).abs().amax(-1)
    near = (delta < RADIUS * strides) & real[..., None]
    inside = (points[None, None] > rect[:, :, None, :2]).all(-1) & (points[None, None] < rect[:, :, None, 2:]).all(-1)
    spare = (inside & ignored[..., None]).any(1)
    iou = pairwise_iou(rect, boxes) * real[..., None]
    prob = (raw[..., 5:].sigmoid() * raw[..., 4:5].sigmoid()).sqrt().clamp(1e-4, 1 - 1e-4)
    absent = torch.log1p(-prob)
    index = gts[..., 4].long()[:, :, None].expand(-1, -1, prob.shape[1])
    own = torch.gather(prob.transpose(1, 2), 1, index)
    own_absent = torch.gather(absent.transpose(1, 2), 1, index)
    class_cost = -own.log() - (absent.sum(-1)[:, None] - own_absent)
    cost = class_cost - 3.0 * (iou + 1e-8).log() + 1e5 * (~near) + 1e3 * (~inside)
    wanted = (iou * near).topk(TOP, -1).values.sum(-1).int().clamp(min=1)
    lowest, which = cost.topk(TOP, -1, largest=False)
    chosen = (torch.arange(TOP) < wanted[..., None]) & (lowest < 1e5) & real[..., None]
    match = torch.zeros_like(cost, dtype=torch.bool).scatter_(-1, which, chosen)
    best, owner = cost.masked_fill(~match, float("inf")).min(1)
    owner = torch.where(best.isfinite(), owner, torch.full_like(owner, -1))
    overlap = torch.gather(iou, 1, owner.clamp(min=0)[:, None]).squeeze(1)
    return owner, overlap, spare


def loss_of(raw, gts, corners, strides):
    boxes = decode(raw, corners, strides)
    owner, overlap, spare = assign(raw.detach(), boxes.detach(), gts, (corners + 0.5) * strides[:, None], strides)
    positive = owner >= 0
    count = positive.sum().clamp(min=1)
    counted = (positive | ~spare).float()
    obj = (F.binary_cross_entropy_with_logits(raw[..., 4], positive.float(), reduction="none") * counted).sum()
    frame = torch.arange(len(raw))[:, None].expand_as(owner)[positive]
    target = gts[frame, owner[positive]]
    label = F.one_hot(target[:, 4].long(), raw.shape[-1] - 5).float() * overlap[positive][:, None].clamp(min=0.05)
    cls = F.binary_cross_entropy_with_logits(raw[..., 5:][positive], label, reduction="sum")
    p, t = boxes[positive], target[:, :4]
    inter = (torch.minimum(p[:, 2:], t[:, 2:]) - torch.maximum(p[:, :2], t[:, :2])).clamp(min=0).prod(-1)
    union = (p[:, 2:] - p[:, :2]).prod(-1) + (t[:, 2:] - t[:, :2]).prod(-1) - inter + 1e-6
    hull = (torch.maximum(p[:, 2:], t[:, 2:]) - torch.minimum(p[:, :2], t[:, :2])).prod(-1) + 1e-6
    box = (1 - inter / union + (hull - union) / hull).sum()
    return (5 * box + obj + cls) / count, (box / count, obj / count, cls / count)


def load_all(folders, limit):
    samples, labels = [], None
    for folder in folders:
        more, named = load(folder, limit)
        if labels not in (None, named):
            raise SystemExit(f"{folder} has other classes than {folders[0]}")
        samples, labels = samples + more, named
    return samples, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, nargs="+", help="folders that conveyor_frames wrote")
    parser.add_argument("--out", required=True, help="checkpoint to write, after every epoch")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="take no more frames than this of each folder")
    parser.add_argument("--bf16", action="store_true", help="faster on CPUs with AMX or AVX-512 BF16")
    args = parser.parse_args()
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)

    samples, labels = load_all(args.data, args.limit)
    batches = Batches(samples, args.batch, args.seed)
    model = Detector(len(labels)).to(memory_format=torch.channels_last)
    print(f"{len(samples)} frames, {sum(p.numel() for p in model.parameters())} parameters", flush=True)
    ema = copy.deepcopy(model).eval()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}], lr=args.lr
    )
    corners, strides = anchors()
    total, warm, step = args.epochs * len(batches), 150, 0
    start = time.monotonic()
    for epoch in range(args.epochs):
        model.train()
        sums = np.zeros(3)
        for images, gts in batches.epoch():
            rate = min(1.0, (step + 1) / warm) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / total)))
            for group in optimizer.param_groups:
                group["lr"] = args.lr * rate
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                raw = model(images)
            loss, parts = loss_of(raw.float(), gts, corners, strides)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 20.0)
            optimizer.step()
            step += 1
            decay = 0.999 * (1 - math.exp(-step / 400))
            with torch.no_grad():
                for a, b in zip(ema.state_dict().values(), model.state_dict().values()):
                    if a.dtype.is_floating_point:
                        a.lerp_(b, 1 - decay)
                    else:
                        a.copy_(b)
            sums += [float(v.detach()) for v in parts]
            if step % 50 == 0:
                took = time.monotonic() - start
                print(f"step {step}/{total} {took:.0f} s, left {took / step * (total - step):.0f} s, "
                      f"loss {float(loss.detach()):.3f}", flush=True)
        box, obj, cls = sums / len(batches)
        print(f"epoch {epoch + 1}/{args.epochs}: box {box:.4f} obj {obj:.4f} cls {cls:.4f}", flush=True)
        torch.save({"model": ema.state_dict(), "labels": labels, "epoch": epoch + 1}, args.out)


if __name__ == "__main__":
    main()
