"""The formulas of the published recipes, written out independently.

This module uses no formula of the package. It computes the network, its inputs, its taps and the
losses in float64, from the table of recipes.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nst.config.layers import Architecture
from nst.network.extractor import Extractor

# ---------------------------------------------------------------- a network of VGG-19's shape

WIDTHS = ((4, 4), (6, 6), (8,) * 4, (8,) * 4, (8,) * 4)
SHAPED_AS_VGG19 = Architecture("small", WIDTHS, "zeros", "max", "random, for tests")

Weights = Mapping[str, tuple[Tensor, Tensor]]
Features = Mapping[str, Tensor]


def weights(network: Extractor) -> Weights:
    """Return a network's convolutions by name, as ``4_2``, in float64."""
    return {
        name.removeprefix("conv"): (one.weight.double(), one.bias.double())
        for name, one in network.convolutions.items()
    }


def features(vgg: Weights, value: Tensor, pool: Callable[..., Tensor]) -> Features:
    """Compute all layers, before and after the ReLU."""
    found = {}
    for name, (weight, bias) in vgg.items():
        if name in {"2_1", "3_1", "4_1", "5_1"}:
            value = pool(value, kernel_size=2, stride=2)
        value = functional.conv2d(value, weight, bias, padding=1)
        found[f"conv{name}"] = value
        value = functional.relu(value)
        found[f"relu{name}"] = value
    return found


def seen(
    vgg: Weights, prepare: Callable[[Tensor], Tensor], pool: Callable[..., Tensor], *rgb: Tensor
) -> list[Features]:
    """Compute all layers of several pictures."""
    return [features(vgg, prepare(one), pool) for one in rgb]


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of RGB
CAFFE_BGR = (103.939, 116.779, 123.68)


def imagenet(rgb: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(one, dtype=rgb.dtype)[:, None, None] for one in IMAGENET)
    return (rgb - mean) / deviation


def caffe(rgb: Tensor) -> Tensor:
    mean = torch.tensor(CAFFE_BGR, dtype=rgb.dtype)[:, None, None]
    return 255 * rgb[:, [2, 1, 0]] - mean


def gram(value: Tensor) -> Tensor:
    """Compute F Fᵀ of 1 x C x H x W."""
    flat = value[0].reshape(value.shape[1], -1)
    return flat @ flat.T


# ---------------------------------------------------------------- each recipe's own formula

FIRSTS = ("1_1", "2_1", "3_1", "4_1", "5_1")
CHANNELS = (64, 128, 256, 512, 512)  # of these layers of the real VGG-19


def gatys_error(one: Tensor, other: Tensor) -> Tensor:
    """Compute Σ (ΔG)² / (4 C² (HW)²), G = FFᵀ."""
    return (gram(one) - gram(other)).pow(2).sum() / (4 * one.numel() ** 2)


def gram_changes(g: Features, s: Features) -> list[Tensor]:
    """Compute ΔG at the first ReLU of each block, G = FFᵀ/HW."""
    pairs = [(g[f"relu{layer}"], s[f"relu{layer}"]) for layer in FIRSTS]
    return [gram(a) / a[0, 0].numel() - gram(b) / b[0, 0].numel() for a, b in pairs]


class Terms(NamedTuple):
    """The parts of a total loss, with all their weights."""

    content: Tensor
    style: Tensor
    variation: Tensor | float = 0.0


def gatys2015(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Like ``gatys2016``, at α/β = 1e-4."""
    later = gatys2016(vgg, generated, content, style)
    return later._replace(style=10 * later.style)


def gatys2016(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """α · ½ Σ (F - P)² + β Σ_l 1/5 Σ (G - A)² / (4 C² (HW)²), at α/β = 1e-3."""
    g, c, s = seen(vgg, imagenet, functional.avg_pool2d, generated, content, style)
    error = 0.5 * (g["conv4_2"] - c["conv4_2"]).pow(2).sum()
    total = sum(gatys_error(g[f"conv{layer}"], s[f"conv{layer}"]) / 5 for layer in FIRSTS)
    return Terms(error, 1e3 * total)


def gatys_pytorch(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Mean square at relu4_2 + Σ_l 1e3/C² · mean (ΔG)², G = FFᵀ/HW, C of the real VGG-19."""
    g, c, s = seen(vgg, caffe, functional.max_pool2d, generated, content, style)
    total = sum(
        1e3 / channels**2 * difference.pow(2).mean()
        for channels, difference in zip(CHANNELS, gram_changes(g, s), strict=True)
    )
    return Terms((g["relu4_2"] - c["relu4_2"]).pow(2).mean(), total)


def envision(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Σ_l mean (ΔF)² + 0.01 Σ_l mean (ΔG)², at outputs 0, 5, 10, 19 and 28 of torchvision's stack.

    These are convolutions, but the ReLU after each works in place, so the values read are those
    after it. The stack is cut off at 29, so the last convolution has no ReLU.
    """
    g, c, s = seen(vgg, lambda rgb: rgb, functional.max_pool2d, generated, content, style)
    layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1"]
    error = sum((g[layer] - c[layer]).pow(2).mean() for layer in layers)
    total = sum((gram(g[layer]) - gram(s[layer])).pow(2).mean() for layer in layers)
    return Terms(1 * error, 0.01 * total)


def content_init(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Σ_l mean (ΔF)² + 10 Σ_l Σ (ΔG)² / (C² (HW)²), at the first convolution of each block."""
    g, c, s = seen(vgg, imagenet, functional.max_pool2d, generated, content, style)
    layers = [f"conv{layer}" for layer in FIRSTS]
    error = sum((g[layer] - c[layer]).pow(2).mean() for layer in layers)
    return Terms(1 * error, 10 * sum(4 * gatys_error(g[layer], s[layer]) for layer in layers))


def udacity(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """mean (ΔF)² + 1e6 Σ_l w_l mean (ΔG)² / (C H W), at outputs of torchvision's whole stack.

    The outputs are 21 for the content, and 0, 5, 10, 19, 28 for the style, as in ``envision``.
    """
    g, c, s = seen(vgg, imagenet, functional.max_pool2d, generated, content, style)
    total = torch.zeros(())
    for block, weight in zip(FIRSTS, (1.0, 0.75, 0.2, 0.2, 0.2), strict=True):
        one, other = g[f"relu{block}"], s[f"relu{block}"]
        total = total + weight * (gram(one) - gram(other)).pow(2).mean() / one.numel()
    return Terms((g["relu4_2"] - c["relu4_2"]).pow(2).mean(), 1e6 * total)


def tensorflow(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """1e4 mean (ΔF)² at block5_conv2 + Σ_l 1e-2/5 mean (ΔG)², G = FFᵀ/HW, after the ReLU."""
    g, c, s = seen(vgg, caffe, functional.max_pool2d, generated, content, style)
    total = sum(1e-2 / 5 * difference.pow(2).mean() for difference in gram_changes(g, s))
    return Terms(1e4 * (g["relu5_2"] - c["relu5_2"]).pow(2).mean(), total)


def tensorflow_with_variation(
    vgg: Weights, generated: Tensor, content: Tensor, style: Tensor
) -> Terms:
    """The second run: adds 30 times the sum of the absolute differences of neighbours."""
    pixels = generated[0]
    variation = (pixels[:, 1:] - pixels[:, :-1]).abs().sum()
    variation = variation + (pixels[..., 1:] - pixels[..., :-1]).abs().sum()
    return tensorflow(vgg, generated, content, style)._replace(variation=30 * variation)


def coursera(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """10 Σ (ΔF)² / (4 H W C) + 40 Σ_l 0.2 Σ (ΔG)² / (4 C² (HW)²)."""
    g, c, s = seen(vgg, caffe, functional.avg_pool2d, generated, content, style)
    error = (g["conv4_2"] - c["conv4_2"]).pow(2).sum() / (4 * g["conv4_2"].numel())
    total = sum(0.2 * gatys_error(g[f"conv{layer}"], s[f"conv{layer}"]) for layer in FIRSTS)
    return Terms(10 * error, 40 * total)


def jcjohnson(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """5 mean (ΔF)² + 100 Σ_l mean (ΔG)² + 1e-3 · ½ Σ (Δx)², G = FFᵀ/CHW, on BGR from 0 to 255.

    One of the two C of the mean is that of the real VGG-19: see ``gatys_pytorch``.
    """
    g, c, s = seen(vgg, caffe, functional.max_pool2d, generated, content, style)
    total = sum(
        (difference / channels).pow(2).mean()
        for channels, difference in zip(CHANNELS, gram_changes(g, s), strict=True)
    )
    given = caffe(generated)
    down, across = given.diff(dim=2), given.diff(dim=3)
    variation = 1e-3 / 2 * (down.pow(2).sum() + across.pow(2).sum())
    return Terms(5 * (g["relu4_2"] - c["relu4_2"]).pow(2).mean(), 100 * total, variation)


def crowsonkb(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """0.015 s(ΔF) + Σ_l w_l s(ΔG) + 2 mean (Δx)², s(d) = Σ d² / Σ |d|, w = 256, 64, … of 341."""
    g, c, s = seen(vgg, imagenet, functional.max_pool2d, generated, content, style)

    def scaled(difference: Tensor) -> Tensor:
        return difference.pow(2).sum() / (difference.abs().sum() + 1e-8)

    total = sum(
        weight / 341 * scaled(difference)
        for weight, difference in zip((256, 64, 16, 4, 1), gram_changes(g, s), strict=True)
    )
    down, across = generated.diff(dim=2), generated.diff(dim=3)
    variation = 2 * (down.pow(2).mean() + across.pow(2).mean())
    return Terms(0.015 * scaled(g["relu4_2"] - c["relu4_2"]), total, variation)


BLOCKS = [f"relu{block}_{n + 1}" for block in (1, 2, 3, 4) for n in range(len(WIDTHS[block - 1]))]
SPLIT = [f"relu{name}" for name in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3")]
SPLIT += [f"relu{name}" for name in ("4_1", "4_2", "4_3")]


def unit(rows: Tensor) -> Tensor:
    return rows / rows.pow(2).sum(1, keepdim=True).clamp(min=1e-8).sqrt()


def columns(vgg: Weights, rgb: Tensor) -> Tensor:
    """Return hypercolumns as rows: every ReLU of four blocks over its C, at a quarter size."""
    size = [side // 4 for side in rgb.shape[-2:]]
    found = features(vgg, imagenet(rgb), functional.max_pool2d)
    resized = [
        functional.interpolate(
            found[name] / found[name].shape[1], size, mode="bilinear", align_corners=True
        )
        for name in BLOCKS
    ]
    return torch.cat(resized, 1)[0].flatten(1).T


def turned(rgb: Tensor) -> list[Tensor]:
    """Rotate by 0°, 90°, 180° and 270°."""
    return [torch.rot90(rgb, turns, (2, 3)) for turns in range(4)]


def nnst(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """1 - cos to the content's hypercolumns, each replaced by the nearest of the rotated styles'
    + the mean over ten layers of: 1 - cos to the nearest of a quarter of the features of each
    rotated style, plus (Δ mean)² over the variance.
    """
    wanted = torch.cat([columns(vgg, one) for one in turned(style)])
    given = columns(vgg, content)
    nearest = (unit(given - given.mean(0)) @ unit(wanted - wanted.mean(0)).T).argmax(1)
    error = 1 - (unit(columns(vgg, generated)) * unit(wanted[nearest])).sum(1).mean()
    g, *styles = seen(vgg, imagenet, functional.max_pool2d, generated, *turned(style))
    total = torch.zeros(())
    for layer in SPLIT:
        one = g[layer][0].flatten(1).T
        others = [s[layer][0].flatten(1).T for s in styles]
        rows = [unit(other - other.mean(0)) for other in others]
        order = torch.randperm(len(rows[0]), generator=torch.Generator().manual_seed(2021))
        rows = [row[order[: round(len(row) / 4)]] for row in rows]
        distance = 1 - (unit(one - one.mean(0)) @ torch.cat(rows).T).amax(1).mean()
        mean = sum(other.mean(0) for other in others) / 4
        variance = sum(other.var(0, correction=0).mean() for other in others) / 4
        total = total + (distance + (one.mean(0) - mean).pow(2).mean() / variance) / 10
    return Terms(error, total)


STROTSS = [f"relu{name}" for name in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4")]
STROTSS += ["relu4_4", "relu5_4"]


def spread(vgg: Weights, rgb: Tensor, count: int) -> Tensor:
    """Return RGB and ten layers, as rows, at the first ``count`` positions.

    The positions are the fractional parts of multiples of the inverse plastic number and its
    square. VGG-19 has one more layer in the third block than VGG-16, and its fourth and fifth
    blocks end with other layers.
    """
    found = {"rgb": rgb, **features(vgg, imagenet(rgb), functional.max_pool2d)}
    plastic = 1.324717957244746
    number = torch.arange(1, count + 1, dtype=torch.float64)
    parts = []
    for name in ("rgb", *STROTSS):
        value, halvings = found[name], 0 if name == "rgb" else int(name[4]) - 1
        x = number / plastic**2 % 1 * (rgb.shape[3] - 1) / 2**halvings / (value.shape[3] - 1)
        y = number / plastic % 1 * (rgb.shape[2] - 1) / 2**halvings / (value.shape[2] - 1)
        grid = (2 * torch.stack([x, y], 1) - 1)[None, None]  # from -1 to 1
        parts.append(functional.grid_sample(value, grid, padding_mode="border", align_corners=True))
    return torch.cat(parts, 1)[0, :, 0].T


def apart(one: Tensor, other: Tensor) -> Tensor:
    """Compute 1 - cos of each pair of rows."""
    lengths = one.pow(2).sum(1).sqrt()[:, None] * other.pow(2).sum(1).sqrt()
    return 1 - one @ other.T / lengths


def relaxed(distances: Tensor) -> Tensor:
    return torch.maximum(distances.amin(1).mean(), distances.amin(0).mean())


def strotss(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """2 · n · mean |D_x / Σ D_x - D_c / Σ D_c| at 1024 positions
    + the relaxed earth mover's distance to 5000 of the style's features, mean |Δμ|, mean |ΔΣ|,
    + half the relaxed distance of colours, by 1 - cos and length.
    """
    g, c = spread(vgg, generated, 1024), spread(vgg, content, 1024)
    ours, theirs = (apart(x, x) for x in (g, c))
    error = (ours / ours.sum(0) - theirs / theirs.sum(0)).abs().mean() * len(g)
    s = spread(vgg, style, 16 * 1024)
    s = s[torch.randperm(len(s), generator=torch.Generator().manual_seed(2021))[:5000]]
    spreads = [(x - x.mean(0)).T @ (x - x.mean(0)) / len(x) for x in (g, s)]
    total = relaxed(apart(g, s)) + (g.mean(0) - s.mean(0)).abs().mean()
    total = total + (spreads[0] - spreads[1]).abs().mean()
    a, b, d = 0.577350, 0.788675, 0.211325
    to_yuv = torch.tensor([[a, a, a], [-a, b, -d], [-a, -d, b]], dtype=torch.float64)
    ours, theirs = (x[:, :3] @ to_yuv.T for x in (g, s))
    squares = (ours[:, None] - theirs[None]).pow(2).sum(2).clamp(min=1e-5)
    palette = relaxed(apart(ours, theirs) + (squares / 3).sqrt())
    return Terms(2 * error, total + palette / 2)


def relative_gram(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """mean (ΔF)² / var F_c + 10 · the average over layers of mean (ΔG)² / mean G_s², G = FFᵀ/HW."""
    g, c, s = seen(vgg, imagenet, functional.max_pool2d, generated, content, style)
    target = c["relu4_2"]
    variance = (target - target.mean()).pow(2).mean()
    total = torch.zeros(())
    for layer, difference in zip(FIRSTS, gram_changes(g, s), strict=True):
        wanted = gram(s[f"relu{layer}"]) / s[f"relu{layer}"][0, 0].numel()
        total = total + difference.pow(2).mean() / wanted.pow(2).mean() / 5
    return Terms((g["relu4_2"] - target).pow(2).mean() / variance, 10 * total)


def halved(rgb: Tensor) -> Tensor:
    """Halve the size by [1 3 3 1] / 8: average neighbours three times, keep every second pixel."""
    rows = functional.pad(rgb, (1, 1, 1, 1), mode="replicate")
    for axis in (2, 3):
        size = rows.shape[axis]
        for _ in range(3):  # [1 1] three times is [1 3 3 1]
            rows = (rows.narrow(axis, 0, size - 1) + rows.narrow(axis, 1, size - 1)) / 2
            size -= 1
    return rows[..., ::2, ::2]


def covariance_error(one: Tensor, other: Tensor) -> Tensor:
    """Compare features standardised by the mean and deviation of the style, ``other``."""
    one, other = one[0].flatten(1), other[0].flatten(1)
    mean = other.mean(1, keepdim=True)
    deviation = (other - mean).pow(2).mean(1, keepdim=True).sqrt()
    one, other = ((value - mean) / (deviation + deviation.mean()) for value in (one, other))
    ours, theirs = (value @ value.T / value.shape[1] for value in (one, other))
    return (ours - theirs).pow(2).mean() / theirs.pow(2).mean() + one.mean(1).pow(2).mean()


def colour_error(one: Tensor, other: Tensor) -> Tensor:
    """Compare colours whitened along the principal axes of the style, ``other``."""
    one, other = one[0].flatten(1), other[0].flatten(1)
    mean = other.mean(1, keepdim=True)
    variances, axes = torch.linalg.eigh(torch.cov(other, correction=0))
    deviations = (variances + variances.sum() / 1000 + 1 / 255**2).sqrt()
    one, other = (axes.T @ (value - mean) / deviations[:, None] for value in (one, other))
    ours, theirs = (value @ value.T / value.shape[1] for value in (one, other))
    return (ours - theirs).pow(2).mean() / theirs.pow(2).mean() + one.mean(1).pow(2).mean()


def mirrored_features(vgg: Weights, value: Tensor) -> Features:
    """Compute the layers of a picture that is mirrored at its border.

    The margin of four pixels feeds three unpadded convolutions; the others pad by reflection.
    """
    found = {}
    value = torch.from_numpy(np.pad(value, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="symmetric"))
    for name, margin in (("1_1", 3), ("1_2", 2), ("2_1", 0), ("2_2", 0), ("3_1", 0)):
        if name in {"2_1", "3_1"}:
            value = functional.avg_pool2d(value, 2)
        if name in {"2_2", "3_1"}:
            value = functional.pad(value, (1, 1, 1, 1), mode="reflect")
        value = functional.relu(functional.conv2d(value, *vgg[name]))
        height, width = value.shape[2:]
        found[f"relu{name}"] = value[..., margin : height - margin, margin : width - margin]
    return found


def relative(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """The mean over three layers of (ΔF)² / var F_c
    + 5 · the mean of the layers' covariance errors, where the colour error has the weight of a
    tenth of a layer
    + 5 · the mean square of the differences of neighbours.

    Two of the layers are compared at two octaves, with weights 2/3 (full size) and 1/3 (half size).
    The third is compared at half size only.
    """

    def looked_at(rgb: Tensor) -> Features:
        return {"rgb": rgb, **mirrored_features(vgg, imagenet(rgb))}

    whole = [looked_at(x) for x in (generated, content, style)]
    half = [looked_at(halved(x)) for x in (generated, content, style)]
    error = total = torch.zeros(())
    for (g, c, s), octave, third in ((whole, 2 / 3, {}), (half, 1 / 3, {"relu3_1": 1 / 3})):
        shares = dict.fromkeys(("relu1_1", "relu2_1"), octave / 3) | third
        for layer, share in shares.items():
            variance = (c[layer] - c[layer].mean()).pow(2).mean()
            error = error + share * (g[layer] - c[layer]).pow(2).mean() / variance
            total = total + share * 3 / 3.1 * covariance_error(g[layer], s[layer])
        total = total + octave * 0.1 / 3.1 * colour_error(g["rgb"], s["rgb"])
    down, across = (generated.diff(dim=axis).pow(2).mean() for axis in (2, 3))
    return Terms(error, 5 * total, 5 * (down + across))


FORMULAS: Mapping[str, Callable[[Weights, Tensor, Tensor, Tensor], Terms]] = {
    one.__name__: one
    for one in (
        *(gatys2015, gatys2016, gatys_pytorch, envision, content_init, udacity, tensorflow),
        *(coursera, jcjohnson, crowsonkb, strotss, nnst, relative, relative_gram),
    )
}
