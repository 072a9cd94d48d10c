"""The usual hand-written loop: one picture, float32, channels first, torch.optim.

The benchmarks compare ``nst`` with this loop. It follows the tutorials, without their mistakes: it
computes the targets once, the weights need no gradient, and the network ends at the last used
layer. It has the losses of ``nst``, so that both minimise the same objective.

    python benchmarks/plain.py CONTENT STYLE OUT --weights vgg19.pth --evaluations 300
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

VGG19_LAYERS = {
    **{"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu4_1": 20, "relu4_2": 22, "relu5_1": 29}
}
CONTENT = {"relu4_2": 1.0}
STYLE = {"relu1_1": 0.2, "relu2_1": 0.2, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2}
HISTORY = 100  # torch's default


def plain_transfer(
    network: nn.Sequential,
    places: Mapping[str, int],
    content: torch.Tensor,
    style: torch.Tensor,
    *,
    alpha: float,
    beta: float,
    evaluations: int,
    optimiser: str,
    content_weights: Mapping[str, float] = CONTENT,
    style_weights: Mapping[str, float] = STYLE,
    report: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Redraw ``content`` in the style of ``style``, both 1 x 3 x h x w in [0, 1]."""
    used = {places[layer]: layer for layer in {**content_weights, **style_weights}}
    network = network[: max(used) + 1]

    def features(image: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {}
        for place, module in enumerate(network):
            image = module(image)
            if place in used:
                found[used[place]] = image
        return found

    with torch.no_grad():
        content_targets = features(content)
        style_targets = {layer: gram(value) for layer, value in features(style).items()}
    image = content.clone().requires_grad_(True)
    done = 0

    def evaluate() -> torch.Tensor:
        nonlocal done
        solver.zero_grad()
        image.data.clamp_(0, 1)
        found = features(image)
        loss = image.new_zeros(())
        for layer, weight in content_weights.items():
            target = content_targets[layer]
            error = (found[layer] - target).square().mean() / target.var(correction=0)
            loss = loss + alpha * weight * error
        for layer, weight in style_weights.items():
            target = style_targets[layer]
            error = (gram(found[layer]) - target).square().mean() / target.square().mean()
            loss = loss + beta * weight * error
        loss.backward()
        if report is not None:
            report(done, image.detach())
        done += 1
        return loss

    solver: torch.optim.Optimizer
    if optimiser == "lbfgs":
        solver = torch.optim.LBFGS(
            [image],
            max_iter=evaluations,
            max_eval=evaluations,
            tolerance_grad=0,  # all runs must have the same number of evaluations
            tolerance_change=0,
            history_size=HISTORY,
        )
        solver.step(evaluate)
    else:
        solver = torch.optim.Adam([image], lr=0.02)
        for _ in range(evaluations):
            solver.step(evaluate)
    return image.detach().clamp(0, 1)


def gram(features: torch.Tensor) -> torch.Tensor:
    """Return F Fᵀ / (h w)."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def with_normalisation(features: nn.Sequential) -> tuple[nn.Sequential, Mapping[str, int]]:
    """Put ImageNet's normalisation before torchvision's VGG-19."""
    scale = 1 / torch.tensor((0.229, 0.224, 0.225))
    first = nn.Conv2d(3, 3, 1)
    first.weight = nn.Parameter(torch.diag(scale)[:, :, None, None])
    first.bias = nn.Parameter(-torch.tensor((0.485, 0.456, 0.406)) * scale)
    network = nn.Sequential(first, *features).requires_grad_(False)
    return network, {layer: place + 1 for layer, place in VGG19_LAYERS.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Render one picture, and print the time of the optimisation."""
    # Imported here, as in a script of one picture: the imports count in each picture's time.
    import torchvision  # noqa: PLC0415
    from torchvision.io import ImageReadMode, read_image, write_png  # noqa: PLC0415
    from torchvision.transforms import functional  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--optimiser", choices=("lbfgs", "adam"), default="lbfgs")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--beta", type=float, default=100.0)
    parser.add_argument("--style-layers", nargs="+", default=list(STYLE))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    vgg = torchvision.models.vgg19()
    vgg.load_state_dict(torch.load(chosen.weights, map_location="cpu", weights_only=True))
    network, places = with_normalisation(vgg.features)

    def read(path: Path) -> torch.Tensor:
        image = read_image(str(path), ImageReadMode.RGB)[None] / 255
        scale = chosen.size / max(image.shape[-2:])
        size = [max(1, round(side * scale)) for side in image.shape[-2:]]
        fitted: torch.Tensor = functional.resize(image, size, antialias=True)
        return fitted.contiguous().to(device)

    started = time.perf_counter()
    result = plain_transfer(
        network.to(device).eval(),
        places,
        read(chosen.content),
        read(chosen.style),
        alpha=1.0,
        beta=chosen.beta,
        evaluations=chosen.evaluations,
        optimiser=chosen.optimiser,
        style_weights={layer: 1 / len(chosen.style_layers) for layer in chosen.style_layers},
    )
    write_png((result[0] * 255).round().to(torch.uint8).cpu(), str(chosen.output))
    print(f"{time.perf_counter() - started:.2f} s of optimisation")


if __name__ == "__main__":
    main()
