"""The method: compute cells that differ in their weights, start and seed.

Gatys, Ecker and Bethge (2016), for a batch. ``transfer`` is the whole method.
``nst.method.resilience`` adds batches, second attempts and checkpoints for long jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn import functional

from nst.config.layers import Taps
from nst.config.settings import Settings
from nst.method.colours import restore_colours
from nst.method.objective import SUMS, Losses, Objective, measure_targets
from nst.method.optimise import State, Watch, optimise
from nst.method.optimisers import Adam, Lbfgs, Optimiser, Pyramid
from nst.method.regions import keep_photograph, put_together
from nst.method.stages import Images, Stage, prepare_stages
from nst.method.start import finest_detail, start_image
from nst.network.extractor import DTYPES, Extractor, choose_precision
from nst.network.tensors import Float, Tensor, from_bytes, to_bytes


def transfer(
    extractor: Extractor,
    images: Images,
    cells: Sequence[Settings],
    *,
    caution: float = 1.0,
    state: State | None = None,
    watch: Watch | None = None,
) -> State:
    """Redraw a content in the style of another picture, once for each of ``cells``, side by side.

    The cells may differ in ``nst.method.resilience.VARIED`` and in nothing else. ``caution`` in
    (0, 1] scales the optimiser's steps. With ``state``, the optimisation resumes from it.
    ``watch`` is called after each step. The returned state has the final images and their losses,
    nan where a cell does not compare a layer of the batch.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
    """
    shared = cells[0]
    device = next(extractor.parameters()).device
    dtype = DTYPES[choose_precision(shared.precision, device)]
    network = extractor.adapted(shared.pooling, shared.input, dtype, shared.padding)
    targets = None
    for number, stage in enumerate(prepare_stages(images, shared, device)):  # small to large
        if state is not None and number < state.stage:
            continue  # finished before the interruption
        if state is None or number > state.stage:
            state = begin_stage(stage, cells, make_optimiser(stage.settings, caution), state)
        if targets is None or stage.only != "style":
            # Content features, 1 c h w for each content layer; for each region, its style's
            # statistic in each style layer, such as moments, 1 c c.
            regions = stage.regions
            if shared.style_rotations:
                regions = [region.rotated() for region in regions]
            targets = measure_targets(
                network, stage.target, regions, cells, stage.halvings, so_far=state.enlarged
            )
        # b 3 h w -> losses of b each
        objective = Objective(network, targets, cells, stage.only, state.step_number)
        state = optimise(objective, state, stage.settings, watch)  # b 3 h w, and their losses
    assert state is not None, "there is always a last size"
    assert targets is not None, "it was measured there"
    if stage.only is not None:
        with torch.no_grad():
            state = replace(state, losses=Objective(network, targets, cells)(state.images))
    return with_photograph(replace(state, losses=own_losses(state.losses, targets.taps)), stage)


def own_losses(losses: Losses, taps: Sequence[Taps]) -> Losses:
    """Replace by nan each cell's losses at layers and octaves that only other cells compare."""

    def is_own(name: str) -> list[bool]:
        role, _, tap = name.partition(" ")
        return [name in SUMS or tap in getattr(one, role) for one in taps]

    return {
        name: loss.where(torch.tensor(is_own(name), device=loss.device), torch.nan)
        for name, loss in losses.items()
    }


def begin_stage(
    stage: Stage, cells: Sequence[Settings], optimiser: Optimiser, before: State | None
) -> State:
    """Return the first state of a stage, given the last state of the stage before."""
    start = start_images(stage, cells, None if before is None else before.images)
    state = State.at(start.clamp(0, 1) if cells[0].clamp else start, optimiser, before)
    if cells[0].content_target == "matched" and before is not None:
        # The stage that minimises only the style loss has the size of the stage before.
        same_size = stage.only == "style"
        state.enlarged = before.enlarged if same_size else _resized(before.images, stage.content)
    return state


def with_photograph(state: State, stage: Stage) -> State:
    """Return a state with the kept parts of the photograph restored.

    These parts are its colours, if the settings ask for them, and its pixels in the kept regions.
    The losses remain those from before the restoration.
    """

    def restored(images: Tensor) -> Tensor:
        colours = stage.settings.colours
        coloured = restore_colours(images, stage.original, stage.regions, colours)
        return keep_photograph(coloured, stage.original, stage.regions)

    device = state.images.device
    snapshots = {
        number: to_bytes(restored(from_bytes(levels).to(device)))
        for number, levels in state.snapshots.items()
    }
    return replace(state, images=restored(state.images), snapshots=snapshots)


def start_images(
    stage: Stage, cells: Sequence[Settings], before: Float[Tensor, "b 3 _h _w"] | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Return the pictures to start from: the settings' start, or the pictures ``before``.

    A picture that grows, from the previous size or from a smaller file, keeps the finer detail of
    its usual start. Without it, the first steps would only sharpen a blurred picture. After
    ``coarse_stages`` a picture is only enlarged, as published; ``start: detail`` adds the content's
    detail at all sizes but the last.
    """
    size, file = stage.content.shape[-2:], stage.start
    if before is not None and before.shape[-2:] == size:
        return before
    if before is None and cells[0].start == "file" and file is not None:
        before = None if file.shape[-2:] == size else file.expand(len(cells), -1, -1, -1)
    if before is not None and not cells[0].growth:
        enlarged = functional.interpolate(before, size=size, mode="bicubic").clamp(0, 1)
        adds_detail = cells[0].start == "detail" and stage.coarse
        return enlarged + finest_detail(stage.content) if adds_detail else enlarged

    file = file if before is None else None

    def start(cell: Settings) -> Tensor:
        if before is not None and cell.start == "file":
            cell = replace(cell, start="recoloured")  # has the detail that the file lacks
        return put_together(
            stage.regions,
            stage.content,
            lambda style: start_image(cell, stage.content, style, file),
        )

    fresh = torch.cat([start(cell) for cell in cells])
    if before is None:
        return fresh
    return (fresh + _resized(before - _resized(fresh, before), fresh)).clamp(0, 1)


def _resized(images: Tensor, like: Tensor) -> Tensor:
    """Resize images to the size of ``like``."""
    size = like.shape[-2:]
    return functional.interpolate(images, size=size, mode="bicubic", antialias=True)


def make_optimiser(settings: Settings, caution: float = 1.0) -> Optimiser:
    """Build the optimiser that the settings of a stage ask for."""
    if settings.optimiser == "lbfgs":
        return Lbfgs(caution)
    rate = settings.learning_rate * caution
    betas = (settings.adam_beta1, settings.adam_beta2)
    adam = Adam(rate, betas, settings.adam_epsilon, settings.optimiser)
    return Pyramid(adam) if settings.parametrisation == "pyramid" else adam
