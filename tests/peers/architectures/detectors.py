"""Small detectors with the structure of well-known families, from their published descriptions.

None of the families' own code is used: only operators and their order are those of the families' exports.
"""

import torch
from torch import nn

from blocks import C2f, Csp, Focus, Lite, Psa, Pyramid, Shuffle, Spp, Sppf, conv

WIDTHS = (16, 32, 48)
CLASSES = 5


class Detector(nn.Module):
    """Backbone with three maps (strides 8, 16, 32), path aggregation, head."""

    def __init__(self, stem, stages, neck, head):
        super().__init__()
        self.stem, self.stages, self.neck, self.head = stem, nn.ModuleList(stages), neck, head

    def forward(self, images):
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return self.head(self.neck(maps))


def stages(block, last=nn.Identity):
    a, b, c = WIDTHS
    return (
        nn.Sequential(conv(8, a, 3, 2), block(a, a)),
        nn.Sequential(conv(a, b, 3, 2), block(b, b)),
        nn.Sequential(conv(b, c, 3, 2), block(c, c), last()),
    )


class AnchorHead(nn.Module):
    """YOLOv5: three anchors a cell, decoded in the graph to `[n, cells, 5 + classes]`."""

    def __init__(self):
        super().__init__()
        self.rows = 5 + CLASSES
        self.convs = nn.ModuleList(nn.Conv2d(c, 3 * self.rows, 1) for c in WIDTHS)
        self.register_buffer("anchors", torch.tensor([[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]]).float().view(3, 1, 3, 1, 1, 2))

    def forward(self, maps):
        out = []
        for i, (x, layer) in enumerate(zip(maps, self.convs)):
            x = layer(x)
            b, _, h, w = x.shape
            x = x.view(b, 3, self.rows, h, w).permute(0, 1, 3, 4, 2).contiguous()
            y, z = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack((z, y), 2).expand(1, 3, h, w, 2).float() - 0.5
            xy, wh, scores = x.sigmoid().split((2, 2, 1 + CLASSES), 4)
            xy, wh = (xy * 2 + grid) * 8 * 2**i, (wh * 2) ** 2 * self.anchors[i]
            out.append(torch.cat((xy, wh, scores), 4).view(b, 3 * h * w, self.rows))
        return torch.cat(out, 1)


def centres(maps, strides=(8, 16, 32)):
    """Centres `[2, cells]` and strides `[1, cells]` of all cells."""
    points, steps = [], []
    for x, stride in zip(maps, strides):
        h, w = x.shape[-2:]
        y, z = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
        points.append(torch.stack((z, y), -1).view(-1, 2))
        steps.append(torch.full((h * w, 1), float(stride)))
    return torch.cat(points).transpose(0, 1), torch.cat(steps).transpose(0, 1)


class DistributionHead(nn.Module):
    """YOLOv8 and YOLO11: sides as distributions over 16 bins, decoded in the graph to `[n, 4 + classes, cells]`."""

    def __init__(self, light=False):
        super().__init__()
        score = lambda c: (conv(c, c, 3, groups=c), conv(c, c)) if light else (conv(c, c, 3),)
        self.sides = nn.ModuleList(nn.Sequential(conv(c, 16, 3), nn.Conv2d(16, 64, 1)) for c in WIDTHS)
        self.scores = nn.ModuleList(nn.Sequential(*score(c), nn.Conv2d(c, CLASSES, 1)) for c in WIDTHS)
        self.bins = nn.Conv2d(16, 1, 1, bias=False)
        self.bins.weight.data[:] = torch.arange(16.0).view(1, 16, 1, 1)

    def forward(self, maps):
        rows = [torch.cat((side(x), score(x)), 1) for x, side, score in zip(maps, self.sides, self.scores)]
        x = torch.cat([r.view(r.shape[0], 64 + CLASSES, -1) for r in rows], 2)
        sides, scores = x.split((64, CLASSES), 1)
        b, _, n = sides.shape
        sides = self.bins(sides.view(b, 4, 16, n).transpose(2, 1).softmax(1)).view(b, 4, n)
        points, steps = centres(maps)
        near, far = sides.chunk(2, 1)
        a, z = points.unsqueeze(0) - near, points.unsqueeze(0) + far
        return torch.cat((torch.cat(((a + z) / 2, z - a), 1) * steps, scores.sigmoid()), 1)


class EndToEndHead(nn.Module):
    """YOLO26 and YOLOv10: no distributions; the best rows chosen in the graph, `[n, 20, 6]`."""

    def __init__(self):
        super().__init__()
        self.sides = nn.ModuleList(nn.Sequential(conv(c, 16, 3), nn.Conv2d(16, 4, 1)) for c in WIDTHS)
        self.scores = nn.ModuleList(nn.Sequential(conv(c, c, 3), nn.Conv2d(c, CLASSES, 1)) for c in WIDTHS)

    def forward(self, maps):
        sides = torch.cat([s(x).flatten(2) for x, s in zip(maps, self.sides)], 2)
        scores = torch.cat([s(x).flatten(2) for x, s in zip(maps, self.scores)], 2).sigmoid().transpose(1, 2)
        points, steps = centres(maps)
        near, far = sides.chunk(2, 1)
        boxes = (torch.cat((points - near, points + far), 1) * steps).transpose(1, 2)
        _, rows = scores.amax(-1).topk(20, -1)
        rows = rows.unsqueeze(-1)
        boxes, scores = boxes.gather(1, rows.repeat(1, 1, 4)), scores.gather(1, rows.repeat(1, 1, CLASSES))
        best, flat = scores.flatten(1).topk(20, -1)
        picked = boxes.gather(1, (flat // CLASSES).unsqueeze(-1).repeat(1, 1, 4))
        return torch.cat((picked, best.unsqueeze(-1), (flat % CLASSES).unsqueeze(-1).float()), -1)


class DecoupledHead(nn.Module):
    """YOLOX: one branch for classes, one for box and objectness, `[n, cells, 5 + classes]`, decoded or not."""

    def __init__(self, decode):
        super().__init__()
        self.decode = decode
        self.stems = nn.ModuleList(conv(c, 16) for c in WIDTHS)
        pair = lambda: nn.ModuleList(nn.Sequential(conv(16, 16, 3), conv(16, 16, 3)) for _ in WIDTHS)
        head = lambda n: nn.ModuleList(nn.Conv2d(16, n, 1) for _ in WIDTHS)
        self.left, self.right, self.box, self.object, self.score = pair(), pair(), head(4), head(1), head(CLASSES)

    def forward(self, maps):
        out = []
        for i, x in enumerate(maps):
            x = self.stems[i](x)
            side = self.right[i](x)
            scores = self.score[i](self.left[i](x)).sigmoid()
            out.append(torch.cat((self.box[i](side), self.object[i](side).sigmoid(), scores), 1))
        rows = torch.cat([x.flatten(2) for x in out], 2).permute(0, 2, 1)
        if not self.decode:
            return rows
        points, steps = (t.transpose(0, 1) for t in centres(out))
        return torch.cat(((rows[..., :2] + points - 0.5) * steps, rows[..., 2:4].exp() * steps, rows[..., 4:]), -1)


class FocalHead(nn.Module):
    """NanoDet and PicoDet: scores and distributions over 8 bins, one output or one for each stride."""

    def __init__(self, c, act, split):
        super().__init__()
        self.split = split
        tower = lambda: nn.Sequential(conv(c, c, 5, groups=c, act=act), conv(c, c, act=act))
        self.towers = nn.ModuleList(tower() for _ in range(3))
        self.out = nn.ModuleList(nn.Conv2d(c, CLASSES + 32, 1) for _ in range(3))

    def forward(self, maps):
        scores, sides = [], []
        for x, tower, out in zip(maps, self.towers, self.out):
            score, side = out(tower(x)).split((CLASSES, 32), 1)
            scores.append(score.sigmoid().flatten(2).permute(0, 2, 1))
            sides.append(side.flatten(2).permute(0, 2, 1))
        if self.split:
            return (*scores, *sides)
        return torch.cat((torch.cat(scores, 1), torch.cat(sides, 1)), -1)


def yolov5():
    stem = nn.Sequential(nn.Conv2d(3, 8, 6, 2, 2), conv(8, 8, 3, 2))
    return Detector(stem, stages(Csp, lambda: Sppf(WIDTHS[2])), Pyramid(WIDTHS, lambda i, o: Csp(i, o, shortcut=False)), AnchorHead())


def yolov8():
    stem = nn.Sequential(conv(3, 8, 3, 2), conv(8, 8, 3, 2))
    return Detector(stem, stages(C2f, lambda: Sppf(WIDTHS[2])), Pyramid(WIDTHS, lambda i, o: C2f(i, o, shortcut=False)), DistributionHead())


def yolo11(head=None):
    block = lambda i, o: C2f(i, o, c3=True)
    last = lambda: nn.Sequential(Sppf(WIDTHS[2]), Psa(WIDTHS[2]))
    stem = nn.Sequential(conv(3, 8, 3, 2), conv(8, 8, 3, 2))
    return Detector(stem, stages(block, last), Pyramid(WIDTHS, block), head or DistributionHead(light=True))


def yolo26():
    return yolo11(EndToEndHead())


def yolox(decode=False):
    stem = nn.Sequential(Focus(8), conv(8, 8, 3, 2))
    return Detector(stem, stages(Csp, lambda: Spp(WIDTHS[2])), Pyramid(WIDTHS, Csp), DecoupledHead(decode))


def nanodet():
    act = lambda: nn.LeakyReLU(0.1)
    stem = nn.Sequential(conv(3, 8, 3, 2, act=act), nn.MaxPool2d(3, 2, 1))
    a = 32
    body = [nn.Sequential(Shuffle(i, a, 2), Shuffle(a, a, 1)) for i in (8, a, a)]
    block = lambda i, o: conv(i, o, act=act)
    return Detector(stem, body, Pyramid((a, a, a), block, mode="like"), FocalHead(a, act, split=False))


def picodet():
    stem = nn.Sequential(conv(3, 8, 3, 2, act=nn.Hardswish), Lite(8, 8, 2))
    a = 32
    body = [nn.Sequential(Lite(i, a, 2), Lite(a, a, 1, 5)) for i in (8, a, a)]
    block = lambda i, o: conv(i, o, act=nn.Hardswish)
    down = lambda c: conv(c, c, 5, 2, c, nn.Hardswish)
    return Detector(stem, body, Pyramid((a, a, a), block, down), FocalHead(a, nn.Hardswish, split=True))


class KeyPoints(nn.Module):
    """CenterNet: an encoder, transposed convolutions, heat map, size and offset; peaks by max pooling in the graph."""

    def __init__(self):
        super().__init__()
        relu = nn.ReLU
        self.encoder = nn.Sequential(conv(3, 8, 3, 2, act=relu), conv(8, 16, 3, 2, act=relu), conv(16, 32, 3, 2, act=relu), conv(32, 32, 3, 2, act=relu))
        up = lambda i, o: nn.Sequential(nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), relu())
        self.decoder = nn.Sequential(up(32, 16), up(16, 16))
        self.heads = nn.ModuleList(nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), relu(), nn.Conv2d(16, n, 1)) for n in (CLASSES, 2, 2))

    def forward(self, images):
        x = self.decoder(self.encoder(images))
        heat = self.heads[0](x).sigmoid()
        peaks = heat * (nn.functional.max_pool2d(heat, 3, 1, 1) == heat).float()
        return peaks, self.heads[1](x), self.heads[2](x)
