"""V-Net and ResNet-34 of the method in PyTorch, for one channel and two classes, as their time and their scores are compared with ours.

`forward` returns logits and the features that the head reads. needs torch
"""
import torch.nn as nn
import torch.nn.functional as F


def unit(ci, co, k=3, s=1, p=1, bias=True):
    return [nn.Conv3d(ci, co, k, s, p, bias=bias), nn.BatchNorm3d(co), nn.ReLU(inplace=True)]


def stage(n, ci, co):
    return nn.Sequential(*[m for i in range(n) for m in unit(ci if i == 0 else co, co)])


def up(ci, co):
    return nn.Sequential(nn.ConvTranspose3d(ci, co, 2, 2), nn.BatchNorm3d(co), nn.ReLU(inplace=True))


class Decoder(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.ups = nn.ModuleList([up(2 * f * 2**i, f * 2**i) for i in (3, 2, 1, 0)])
        self.stages = nn.ModuleList([stage(n, f * 2**i, f * 2**i) for i, n in ((3, 3), (2, 3), (1, 2), (0, 1))])
        self.drop, self.head = nn.Dropout3d(0.5), nn.Conv3d(f, 2, 1)

    def forward(self, xs):
        x = xs[4]
        for u, s, skip in zip(self.ups, self.stages, reversed(xs[:4])):
            x = s(u(x) + skip)
        return self.head(self.drop(x)), x


class VNet(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.stages = nn.ModuleList([stage(n, 1 if i == 0 else f * 2**i, f * 2**i) for i, n in enumerate((1, 2, 3, 3, 3))])
        self.downs = nn.ModuleList([nn.Sequential(*unit(f * 2**i, f * 2 ** (i + 1), 2, 2, 0)) for i in range(4)])
        self.drop, self.decoder = nn.Dropout3d(0.5), Decoder(f)

    def forward(self, x):
        xs = [self.stages[0](x)]
        for down, s in zip(self.downs, self.stages[1:]):
            xs.append(s(down(xs[-1])))
        xs[4] = self.drop(xs[4])
        return self.decoder(xs)


class Block(nn.Module):
    def __init__(self, ci, co, s):
        super().__init__()
        self.body = nn.Sequential(*unit(ci, co, 3, s, 1, False), nn.Conv3d(co, co, 3, 1, 1, bias=False), nn.BatchNorm3d(co))
        self.short = nn.Sequential(nn.Conv3d(ci, co, 1, s, bias=False), nn.BatchNorm3d(co)) if s != 1 else nn.Identity()

    def forward(self, x):
        y = self.body(x)
        y += self.short(x)
        return F.relu(y, inplace=True)


class ResNet34(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.stem = nn.Sequential(*unit(1, f, 7, 1, 3, False))
        widths = [f * 2**i for i in range(5)]
        self.layers = nn.ModuleList([
            nn.Sequential(*[Block(widths[i] if j == 0 else widths[i + 1], widths[i + 1], 2 if j == 0 else 1) for j in range(n)])
            for i, n in enumerate((3, 4, 6, 3))])
        self.decoder = Decoder(f)

    def forward(self, x):
        xs = [self.stem(x)]
        for layer in self.layers:
            xs.append(layer(xs[-1]))
        return self.decoder(xs)


def drawn(net):
    """The network, its convolutions drawn anew as ours are."""
    for m in net.modules():
        if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(m.weight)
    return net
