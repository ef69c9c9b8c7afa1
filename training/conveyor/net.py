"""The detector: a small residual backbone, a feature pyramid, and YOLOX heads on strides 8, 16 and 32.

Only convolutions, ReLU, addition, nearest upsampling, concatenation and sigmoid, so that any runtime can run it.
"""

import torch
from torch import nn
import torch.nn.functional as F

STRIDES = (8, 16, 32)
INPUT = (320, 192)  # width, height


def cells(stride, size=INPUT):
    """How many anchors a stride has: one a cell."""
    return (size[0] // stride) * (size[1] // stride)


class ConvBnRelu(nn.Sequential):
    def __init__(self, cin, cout, kernel=3, stride=1):
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(cout, eps=1e-3, momentum=0.03),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.squeeze = ConvBnRelu(channels, channels // 2, 1)
        self.expand = ConvBnRelu(channels // 2, channels, 3)

    def forward(self, x):
        return x + self.expand(self.squeeze(x))


class Head(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.cls_conv = ConvBnRelu(channels, channels)
        self.reg_conv = ConvBnRelu(channels, channels)
        self.cls = nn.Conv2d(channels, classes, 1)
        self.box = nn.Conv2d(channels, 4, 1)
        self.obj = nn.Conv2d(channels, 1, 1)
        for conv in (self.cls, self.obj):
            nn.init.constant_(conv.bias, -4.6)  # a probability of 0.01 at the start

    def forward(self, x):
        reg = self.reg_conv(x)
        return self.box(reg), self.obj(reg), self.cls(self.cls_conv(x))


class Detector(nn.Module):
    """Takes RGB 0..1 as [N, 3, H, W]; gives [N, A, 5 + C]: tx, ty, tw, th, then logits of objectness and classes."""

    def __init__(self, classes, width=(16, 32, 64, 96, 128), neck=48):
        super().__init__()
        self.classes = classes
        c1, c2, c3, c4, c5 = width
        self.stage2 = nn.Sequential(ConvBnRelu(3, c1, 3, 2), ConvBnRelu(c1, c2, 3, 2), Residual(c2))
        self.stage3 = nn.Sequential(ConvBnRelu(c2, c3, 3, 2), Residual(c3), Residual(c3))
        self.stage4 = nn.Sequential(ConvBnRelu(c3, c4, 3, 2), Residual(c4), Residual(c4))
        self.stage5 = nn.Sequential(ConvBnRelu(c4, c5, 3, 2), Residual(c5))
        self.lateral = nn.ModuleList(ConvBnRelu(c, neck, 1) for c in (c3, c4, c5))
        self.smooth = nn.ModuleList(ConvBnRelu(neck, neck) for _ in range(2))
        self.heads = nn.ModuleList(Head(neck, classes) for _ in STRIDES)
        self.exporting = False

    def forward(self, x):
        f3 = self.stage3(self.stage2(x))
        f4 = self.stage4(f3)
        f5 = self.stage5(f4)
        p5 = self.lateral[2](f5)
        p4 = self.smooth[1](self.lateral[1](f4) + F.interpolate(p5, scale_factor=2, mode="nearest"))
        p3 = self.smooth[0](self.lateral[0](f3) + F.interpolate(p4, scale_factor=2, mode="nearest"))
        levels = []
        for head, p, stride in zip(self.heads, (p3, p4, p5), STRIDES):
            box, obj, cls = head(p)
            if self.exporting:
                obj, cls = obj.sigmoid(), cls.sigmoid()
            rows = torch.cat((box, obj, cls), 1)
            # Numbers for all but the batch, so that an exported graph holds no arithmetic on shapes.
            levels.append(rows.reshape(-1, 5 + self.classes, cells(stride)))
        return torch.cat(levels, 2).transpose(1, 2)


def anchors(size=INPUT):
    """Per anchor the cell's corner in cells and its stride: [A, 2], [A]."""
    corners, strides = [], []
    for s in STRIDES:
        y, x = torch.meshgrid(torch.arange(size[1] // s), torch.arange(size[0] // s), indexing="ij")
        corners.append(torch.stack((x, y), -1).reshape(-1, 2).float())
        strides.append(torch.full((cells(s, size),), float(s)))
    return torch.cat(corners), torch.cat(strides)


def decode(raw, corners, strides):
    """Boxes as x1, y1, x2, y2 in input pixels."""
    centre = (raw[..., :2] + corners) * strides[:, None]
    half = raw[..., 2:4].clamp(max=8.0).exp() * strides[:, None] / 2
    return torch.cat((centre - half, centre + half), -1)


def fold(model):
    """The same function with every batch norm folded into its convolution, and bytes 0..255 as its input."""
    for module in model.modules():
        if isinstance(module, ConvBnRelu):
            module[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    with torch.no_grad():
        model.stage2[0][0].weight /= 255.0
    model.exporting = True
    return model
