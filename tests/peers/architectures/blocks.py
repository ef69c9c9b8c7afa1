"""Convolutional blocks of the detectors in `detectors.py`, written from their published descriptions."""

import torch
from torch import nn
from torch.nn import functional as f


def conv(c_in, c_out, k=1, s=1, groups=1, act=nn.SiLU):
    """Convolution, batch norm, activation."""
    layers = [nn.Conv2d(c_in, c_out, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Bottleneck(nn.Module):
    def __init__(self, c, shortcut=True, k=(1, 3)):
        super().__init__()
        self.a, self.b, self.shortcut = conv(c, c, k[0]), conv(c, c, k[1]), shortcut

    def forward(self, x):
        y = self.b(self.a(x))
        return x + y if self.shortcut else y


class Csp(nn.Module):
    """C3 of YOLOv5, the CSP layer of YOLOX."""

    def __init__(self, c_in, c_out, n=1, shortcut=True):
        super().__init__()
        c = c_out // 2
        self.left, self.right, self.out = conv(c_in, c), conv(c_in, c), conv(2 * c, c_out)
        self.blocks = nn.Sequential(*(Bottleneck(c, shortcut) for _ in range(n)))

    def forward(self, x):
        return self.out(torch.cat((self.blocks(self.left(x)), self.right(x)), 1))


class C2f(nn.Module):
    """Split, bottlenecks in a row, everything concatenated (YOLOv8; with C3 blocks inside, YOLO11's C3k2)."""

    def __init__(self, c_in, c_out, n=1, shortcut=True, c3=False):
        super().__init__()
        self.c = c_out // 2
        self.enter, self.out = conv(c_in, 2 * self.c), conv((2 + n) * self.c, c_out)
        block = (lambda: Csp(self.c, self.c, 2)) if c3 else (lambda: Bottleneck(self.c, shortcut, (3, 3)))
        self.blocks = nn.ModuleList(block() for _ in range(n))

    def forward(self, x):
        parts = list(self.enter(x).split((self.c, self.c), 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.out(torch.cat(parts, 1))


class Sppf(nn.Module):
    """Three max pools of 5 in a row."""

    def __init__(self, c):
        super().__init__()
        self.enter, self.out, self.pool = conv(c, c // 2), conv(c * 2, c), nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.out(torch.cat(parts, 1))


class Spp(nn.Module):
    """Max pools of 5, 9 and 13 side by side (YOLOX)."""

    def __init__(self, c):
        super().__init__()
        self.enter, self.out = conv(c, c // 2), conv(c * 2, c)
        self.pools = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (5, 9, 13))

    def forward(self, x):
        x = self.enter(x)
        return self.out(torch.cat([x] + [pool(x) for pool in self.pools], 1))


class Psa(nn.Module):
    """Self-attention over the cells of the deepest map, with a convolution as position code (YOLO11)."""

    def __init__(self, c, heads=2):
        super().__init__()
        self.c, self.heads, self.dim = c // 2, heads, c // 2 // heads
        self.key = self.dim // 2
        self.enter, self.out = conv(c, c), conv(c, c)
        self.qkv = conv(self.c, self.c + 2 * self.key * heads, act=None)
        self.position, self.project = conv(self.c, self.c, 3, groups=self.c, act=None), conv(self.c, self.c, act=None)
        self.ffn = nn.Sequential(conv(self.c, 2 * self.c), conv(2 * self.c, self.c, act=None))

    def attention(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(x).view(b, self.heads, 2 * self.key + self.dim, h * w).split((self.key, self.key, self.dim), 2)
        weights = (q.transpose(-2, -1) @ k * self.key**-0.5).softmax(-1)
        y = (v @ weights.transpose(-2, -1)).view(b, c, h, w) + self.position(v.reshape(b, c, h, w))
        return self.project(y)

    def forward(self, x):
        a, b = self.enter(x).split((self.c, self.c), 1)
        b = b + self.attention(b)
        b = b + self.ffn(b)
        return self.out(torch.cat((a, b), 1))


class Focus(nn.Module):
    """Four neighbours into channels."""

    def __init__(self, c_out):
        super().__init__()
        self.conv = conv(12, c_out, 3)

    def forward(self, x):
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return self.conv(torch.cat(parts, 1))


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass, then the halves are shuffled (NanoDet)."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        c, act = c_out // 2, lambda: nn.LeakyReLU(0.1)
        self.stride = stride
        if stride > 1:
            self.left = nn.Sequential(conv(c_in, c_in, 3, stride, c_in, None), conv(c_in, c, act=act))
        c_right = c_in if stride > 1 else c
        self.right = nn.Sequential(conv(c_right, c, act=act), conv(c, c, 3, stride, c, None), conv(c, c, act=act))

    def forward(self, x):
        if self.stride == 1:
            a, b = x.chunk(2, 1)
            y = torch.cat((a, self.right(b)), 1)
        else:
            y = torch.cat((self.left(x), self.right(x)), 1)
        b, c, h, w = y.shape
        return y.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


class Lite(nn.Module):
    """Depthwise-separable unit with squeeze and excitation and hard swish (PicoDet's backbone)."""

    def __init__(self, c_in, c_out, stride, k=3):
        super().__init__()
        self.depth = conv(c_in, c_in, k, stride, c_in, nn.Hardswish)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(c_in, c_in // 4, 1), nn.ReLU(), nn.Conv2d(c_in // 4, c_in, 1), nn.Hardsigmoid()
        )
        self.point = conv(c_in, c_out, act=nn.Hardswish)

    def forward(self, x):
        x = self.depth(x)
        return self.point(x * self.squeeze(x))


class Pyramid(nn.Module):
    """Top-down and bottom-up path aggregation over three maps."""

    def __init__(self, channels, block, down=lambda c: conv(c, c, 3, 2), mode="nearest"):
        super().__init__()
        a, b, c = channels
        self.mode = mode
        self.up = nn.ModuleList((block(c + b, b), block(b + a, a)))
        self.down = nn.ModuleList((down(a), down(b)))
        self.join = nn.ModuleList((block(a + b, b), block(b + c, c)))

    def grow(self, x, like):
        if self.mode == "like":  # to the size of the finer map, whatever that is
            return f.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
        return f.interpolate(x, scale_factor=2.0, mode=self.mode)

    def forward(self, maps):
        a, b, c = maps
        b = self.up[0](torch.cat((self.grow(c, b), b), 1))
        a = self.up[1](torch.cat((self.grow(b, a), a), 1))
        b = self.join[0](torch.cat((self.down[0](a), b), 1))
        return a, b, self.join[1](torch.cat((self.down[1](b), c), 1))
