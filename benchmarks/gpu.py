"""Check and time the method on a GPU: correctness, waits, throughput.

This command takes at most ten minutes. It needs torch, torchvision, numpy, Pillow, pandas and
safetensors, but neither Snakemake nor an internet connection. Without a GPU, it prints a message
and runs only the parts that a CPU can run.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --minutes 5 --sizes 256 512
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import limit
import torch
from common import DEVICE, random_network, save_report, studies, synchronise
from limit import octaves_of, time_convolutions, time_step
from PIL import Image
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from nst.config.composition import Composition, Part
from nst.config.layers import KMEANS, VGG16_HED
from nst.config.registry import STATISTICS
from nst.config.settings import Settings
from nst.errors import UserError
from nst.method.checkpoint import Checkpoint
from nst.method.objective import Objective, measure_targets
from nst.method.optimise import State, take_step
from nst.method.optimisers import Lbfgs
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.method.transfer import transfer
from nst.network.extractor import Extractor
from nst.network.tensors import to_tensor

GPU = DEVICE.type == "cuda"
CPU = torch.device("cpu")
RECIPE = {**limit.RECIPE, "precision": "float32"}
SAMPLED = {"relaxed_emd"}
STROTSS: Row = {
    **{"content_loss": "self_similarity", "content_layers": {"sampled_hypercolumn": 1}},
    **{"style_loss": "relaxed_emd", "style_layers": {"sampled_hypercolumn": 1}},
    **{"optimiser": "rmsprop", "octaves": 1},
}
# The allowed difference from the CPU: for losses and gradient the largest difference, relative to
# the largest value; for pictures the mean. Two orders of summation in float32 differ by 1e-6 of a
# sum. L-BFGS amplifies this difference with each step, and a sign in absolute_sum's gradient can
# flip.
OF_LOSSES, OF_GRADIENT, OF_PICTURE = 1e-4, 1e-3, 1e-3
BATCHES = (1, 2, 4, 8, 16, 32)
STEPS = 8  # timed; the report has the median
WARMUP = 3  # untimed steps before them

Row = dict[str, Any]


def main() -> None:
    """Run parts until the time is up, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024] if GPU else [256])
    chosen = parser.parse_args()
    if not GPU:
        print(f"no GPU: torch sees only {DEVICE}. Checks on a GPU are skipped.", file=sys.stderr)
    until = time.monotonic() + 60 * chosen.minutes
    parts: list[tuple[str, Iterator[Row]]] = [
        ("agreement with the CPU", agreements() if GPU else iter(())),
        ("a killed batch", resumptions()),
        ("no memory", shortages() if GPU else iter(())),
        ("a step", operations()),
        ("eager and captured", captures(chosen.sizes) if GPU else iter(())),
        ("throughput", throughputs(chosen.sizes)),
    ]
    rows: list[Row] = []
    for part, found in parts:
        for row in as_long_as_it_works(found):
            rows.append({"part": part, **row})
            print_row(rows[-1])
            if time.monotonic() > until:
                print(f"time is up; skipping the rest of: {part}", file=sys.stderr)
                break
    save_report("gpu", {"rows": rows})
    if wrong := [row for row in rows if row.get("passed") is False]:
        sys.exit(f"{len(wrong)} of {len(rows)} rows did not pass")


def as_long_as_it_works(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows, and turn an error into a last row, so that the other parts still run."""
    try:
        yield from rows
    except Exception as error:
        yield {"what": "stopped", "reason": repr(error), "passed": False}


def print_row(row: Row) -> None:
    """Print a line of the table."""
    part, what, *rest = row.items()
    figures = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in rest
    )
    print(f"{part[1]:24} {what[1]:40} {figures}", flush=True)


# ---------------------------------------------------------------- correctness


def agreements() -> Iterator[Row]:
    """Compare each loss and optimiser, regions and tiles with the CPU."""
    kinds: list[tuple[str, Row, bool]] = [
        (f"style_loss {name}", {"style_loss": name}, False) for name in set(STATISTICS) - SAMPLED
    ]
    kinds += [
        (f"tv_loss {name}", {"tv_loss": name, "tv_weight": 1.0}, False)
        for name in ("mean_square", "square_sum", "absolute_sum")
    ]
    kinds += [
        (f"content_loss {name}", {"content_loss": name}, False)
        for name in ("relative", "half_sum", "mean", "scaled", "cosine")
    ]
    kinds += [
        (f"optimiser {name}", {"optimiser": name}, False)
        for name in ("adam", "keras_adam", "rmsprop")
    ]
    kinds += [("both losses of samples", STROTSS, False)]
    kinds += [("two regions", {}, True), ("tiles of 64 px", {"tile_size": 64}, False)]
    for name, changes, regions in kinds:
        settings = Settings.from_mapping(
            {**RECIPE, "image_size": 128, "iterations": 5, "keep": "last", **changes}
        )
        yield {"what": name, **agreement(settings, pictures(regions=regions))}


def pictures(*, regions: bool) -> Images:
    """Return two studies; with ``regions``, the left half takes the content as its style."""
    images = studies()
    if not regions:
        return images
    style = images.style.parts[0].image
    mask = Image.new("RGB", images.content.size, "white")
    mask.paste("black", (0, 0, mask.width // 2, mask.height))
    parts = {"white": (Part("style", style),), "black": (Part("content", images.content),)}
    return Images(images.content, Composition(parts, mask))


def agreement(settings: Settings, images: Images) -> Row:
    """Return the differences from the CPU: losses, gradient, and the picture after 5 steps."""
    found = []
    for device in (CPU, DEVICE):
        network = random_network(KMEANS).to(device)
        outcome = transfer(network, images, [settings])
        gradient = gradient_of(settings, images, device)
        found.append((outcome.trace[0].cpu(), gradient, outcome.images.cpu()))
    (losses, gradients, images_made) = zip(*found, strict=True)
    apart = float((images_made[0] - images_made[1]).abs().mean())
    far = [relative_difference(*losses), relative_difference(*gradients), apart]
    limits = (OF_LOSSES, OF_GRADIENT, OF_PICTURE)
    passed = all(one <= limit for one, limit in zip(far, limits, strict=True))
    names = ("losses", "gradient", "picture after 5 steps")
    return {**dict(zip(names, far, strict=True)), "passed": passed}


def gradient_of(settings: Settings, images: Images, device: torch.device) -> Tensor:
    """Return the gradient at the content, with one region."""
    objective, content = objective_of(random_network(KMEANS).to(device), [settings], images)
    content.requires_grad_(True)
    (gradient,) = torch.autograd.grad(objective(content)["total"].sum(), content)
    return gradient.cpu()


def relative_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, divided by the largest value."""
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-20))


def objective_of(
    network: Extractor, cells: Sequence[Settings], images: Images
) -> tuple[Objective, Tensor]:
    """Return the objective of cells at their size, and a batch of contents to start from."""
    size = cells[0].image_size
    assert isinstance(size, int)
    device = next(network.parameters()).device
    adapted = network.adapted("average", "native", None, cells[0].padding)
    content = to_tensor(images.content.resize((size, size))).to(device)
    style = Region.whole(to_tensor(images.style.parts[0].image.resize((size, size))).to(device))
    targets = measure_targets(adapted, content, [style], cells)
    batch = content.expand(len(cells), -1, -1, -1).contiguous()
    return Objective(adapted, targets, cells), batch


def resumptions() -> Iterator[Row]:
    """Interrupt a batch, resume it from its checkpoint, and compare every bit."""
    network = random_network(KMEANS).to(DEVICE)
    recipe = {**RECIPE, "image_size": 128, "iterations": 12, "growth": 8}
    cells = [Settings.from_mapping({**recipe, "beta": beta}) for beta in (1, 5, 30)]
    with tempfile.TemporaryDirectory() as folder:
        began: list[int] = []  # the first step of each run

        def make(stop: int | None) -> list[Tensor]:
            kept = Checkpoint(Path(folder) / "batch.pt", ["a", "b", "c"])
            steps: list[int] = []

            def watch(_indices: object, taken: int, *_: object) -> None:
                if not steps:
                    began.append(taken)
                steps.append(taken)
                if taken == stop:
                    raise KeyboardInterrupt

            made = make_cells(
                network, studies(), cells, batch_size=3, progress=watch, checkpoint=kept
            )
            return [one.image.cpu() for one in made if one.image is not None]

        whole, resumed = make(None), []
        kept_at_once(True)
        try:
            make(11)
        except KeyboardInterrupt:
            resumed = make(None)
        finally:
            kept_at_once(False)
    same = list(map(torch.equal, whole, resumed))
    passed = began == [1, 1, 11] and same == [True] * 3
    yield {"what": "resumes bit-identically", "passed": passed}


def kept_at_once(wanted: bool) -> None:
    """Write a checkpoint after every step, or after half a minute as usual."""
    from nst.method import checkpoint  # noqa: PLC0415 - to change its constants

    checkpoint.SHORTEST_GAP, checkpoint.SHARE = (0.0, float("inf")) if wanted else (30.0, 0.03)


def shortages() -> Iterator[Row]:
    """Limit memory below a batch's peak, and check that the batch is halved."""
    network = random_network(KMEANS).to(DEVICE)
    cells = [
        Settings.from_mapping({**RECIPE, "image_size": 256, "iterations": 3, "beta": beta})
        for beta in range(1, 17)
    ]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    list(make_cells(network, studies(), cells, batch_size=16))
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    everything = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction(0.45 * peak / everything)
    sizes: set[int] = set()
    try:
        made = list(
            make_cells(
                network,
                studies(),
                cells,
                batch_size=16,
                progress=lambda indices, *_: sizes.add(len(indices)),
            )
        )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    passed = len(made) == 16 and max(sizes) < 16
    yield {
        "what": "16 cells in 0.45 of their memory",
        "largest batch": max(sizes),
        "passed": passed,
    }


# ---------------------------------------------------------------- waits


def operations() -> Iterator[Row]:
    """Count the operations, kernels and waits in a step of the recipe."""
    for name, architecture in (("kmeans", KMEANS), ("vgg16_hed", VGG16_HED)):
        _, step = stepper(random_network(architecture).to(DEVICE), 256, 1)
        for _ in range(WARMUP):
            step()
        with Operations() as seen:
            step()
        counted = {"operations": seen.count}
        if GPU:
            with profile(activities=[ProfilerActivity.CUDA]) as launched:
                step()
                synchronise()
            counted["kernels"] = sum("LaunchKernel" in one.name for one in launched.events())
            counted["waits"] = waits(step)
        row: Row = {"what": f"{name}, 256 px, a step", **counted}
        if GPU:
            row["passed"] = counted["waits"] == 0
        yield row


class Operations(TorchDispatchMode):
    """Counts torch's operations, without views."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, _types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        """Count an operation, and run it."""
        self.count += not function.is_view
        return function(*arguments, **(options or {}))


def waits(step: Callable[[], object]) -> int:
    """Return how often a step waits for the GPU, counted by torch's warnings."""
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        step()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in noted)


def stepper(network: Extractor, size: int, batch: int) -> tuple[State, Callable[[], object]]:
    """Return the state of an L-BFGS optimisation, and a function that takes a step."""
    cells = [
        Settings.from_mapping({**RECIPE, "image_size": size, "beta": 1 + place})
        for place in range(batch)
    ]
    objective, content = objective_of(network, cells, studies())
    state = State.at(content, Lbfgs())
    return state, lambda: take_step(state, objective, Settings(iterations=1))


# ---------------------------------------------------------------- speed


def captures(sizes: Sequence[int]) -> Iterator[Row]:
    """Time eager steps and a replayed CUDA graph of a step, and compare the images."""
    for size, batch in itertools.product(sizes, (1, 16)):
        row: Row = {"what": f"vgg16_hed, {size} px, {batch} cells, a step"}
        network = random_network(VGG16_HED).to(DEVICE)
        replay: Callable[[], None] | None = None
        try:
            eager, step = stepper(network, size, batch)
            for _ in range(WARMUP):
                step()
            row["eager, s"] = median_of(step)
            replayed, step = stepper(network, size, batch)
            replay = captured(step)
            row["graph, s"] = median_of(replay)
            row["times as fast"] = row["eager, s"] / row["graph, s"]
            # Both took the same number of steps.
            apart = float((eager.images - replayed.images).abs().max())
            row |= {"largest difference": apart, "passed": apart <= OF_PICTURE}
        except torch.OutOfMemoryError:
            row["reason"] = "does not fit into the memory"
        except RuntimeError as error:
            row |= {"reason": repr(error.__context__ or error), "passed": False}
        replay = None  # frees its memory
        torch.cuda.empty_cache()
        yield row


def captured(step: Callable[[], object]) -> Callable[[], None]:
    """Capture a step as a CUDA graph after ``WARMUP`` steps; capturing runs no step."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARMUP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def median_of(call: Callable[[], object]) -> float:
    """Return the median time of a call."""
    seconds = []
    for _ in range(STEPS):
        synchronise()
        started = time.perf_counter()
        call()
        synchronise()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[len(seconds) // 2]


def throughputs(sizes: Sequence[int]) -> Iterator[Row]:
    """Time steps of growing batches, and compare with the convolutions alone."""
    precisions = ("float32", "bfloat16") if GPU else ("float32",)
    for size, precision in itertools.product(sizes, precisions):
        for batch in BATCHES if GPU else BATCHES[:2]:
            network = random_network(VGG16_HED).to(DEVICE)
            settings = Settings.from_mapping(
                {**RECIPE, "image_size": size, "iterations": STEPS, "precision": precision}
            )
            row: Row = {"what": f"vgg16_hed, {size} px, {precision}, {batch} cells"}
            try:
                bound = sum(
                    time_convolutions(network, layers, one, batch, settings)[0]
                    for one, layers in octaves_of(settings)
                )
                seconds = time_step(network, settings, batch)
            except SystemExit as full:
                yield {**row, "reason": str(full)}
                break
            except (torch.OutOfMemoryError, UserError):
                yield {**row, "reason": "does not fit into the memory"}
                break
            yield {**row, "steps/s": batch / seconds, "fraction of the bound": bound / seconds}


if __name__ == "__main__":
    main()
