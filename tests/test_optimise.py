import itertools
import math

import numpy as np
import pytest
import torch
from conftest import random_image

from nst.config.geometry import HISTORY
from nst.config.settings import Settings
from nst.method import optimisers
from nst.method.objective import SUMS, Losses
from nst.method.optimise import State, optimise
from nst.method.optimisers import LARGEST_STEP, PREFERENCE, TRUST, Adam, Lbfgs
from nst.method.spectrum import BANDS, energy_by_band
from nst.network.tensors import to_bytes


def bowl(targets: torch.Tensor, scales: torch.Tensor):
    """An objective whose minimum is known: a scaled squared distance, row by row."""

    def evaluate(images: torch.Tensor) -> Losses:
        return dict.fromkeys(SUMS, ((images - targets).square() * scales).sum((1, 2, 3)))

    return evaluate


def minimise(evaluate, start: torch.Tensor, optimiser, settings: Settings, watch=None) -> State:
    """Optimise from the first step."""
    return optimise(evaluate, State.at(start, optimiser), settings, watch)


TARGETS = torch.cat([random_image(seed, 8, 8) for seed in range(3)])
START = torch.full_like(TARGETS, 0.5)
EVEN = torch.ones(3, 1, 1, 1)


def test_every_row_reaches_its_own_minimum():
    outcome = minimise(bowl(TARGETS, EVEN), START, Lbfgs(), Settings(iterations=60))
    torch.testing.assert_close(outcome.images, TARGETS, atol=5e-3, rtol=0)


def test_a_row_whose_loss_is_not_a_number_is_reported_and_leaves_the_others_alone():
    def poisoned(images: torch.Tensor) -> Losses:
        far = (images[1] - START[1]).abs().max() > 0.15
        poison = torch.tensor([0.0, torch.nan if far else 0.0, 0.0])
        return dict.fromkeys(SUMS, bowl(TARGETS, EVEN)(images)["total"] + poison)

    outcome = minimise(poisoned, START, Lbfgs(), Settings(iterations=40))
    assert outcome.finite.tolist() == [True, False, True]
    assert outcome.images.isfinite().all()
    healthy = [0, 2]
    torch.testing.assert_close(outcome.images[healthy], TARGETS[healthy], atol=5e-3, rtol=0)


def test_a_gradient_that_is_not_finite_counts_too():
    def steep(images: torch.Tensor) -> Losses:
        edge = (images[1] - START[1]).square().sum().sqrt()  # 0 at the start, without a slope
        return dict.fromkeys(SUMS, images.square().sum((1, 2, 3)) + edge * torch.eye(3)[1])

    outcome = minimise(steep, START, Adam(), Settings(iterations=5, keep="last"))
    assert outcome.finite.tolist() == [True, False, True]
    assert torch.equal(outcome.images[1], START[1]), "the image does not move"
    assert (outcome.images[[0, 2]] != START[[0, 2]]).all()


@pytest.mark.parametrize("keep", ["last", "best"])
def test_an_image_that_no_step_has_looked_at_is_no_result_if_its_loss_is_not_a_number(keep):
    def cliff(images: torch.Tensor) -> Losses:
        parts = bowl(TARGETS, EVEN)(images)
        fallen = (images[:, 0, 0, 0] - START[:, 0, 0, 0]).abs() > 0.1  # about two steps of 0.05
        return dict.fromkeys(SUMS, torch.where(fallen, torch.nan, parts["total"]))

    outcome = minimise(cliff, START, Adam(0.05), Settings(iterations=3, keep=keep))
    assert torch.stack(outcome.trace).isfinite().all(), "only the last image has fallen"
    assert outcome.finite.all() == (keep == "best")
    assert outcome.finite.equal(outcome.losses["total"].isfinite())


def frequencies(shape: tuple[int, int]) -> torch.Tensor:
    """The frequency of each coefficient of the whole FFT, in cycles a pixel."""
    down, across = map(np.fft.fftfreq, shape)
    return torch.from_numpy(np.hypot(down[:, None], across))


def bands_of(shape: tuple[int, int]) -> torch.Tensor:
    """The band of each coefficient: they are equally wide on a logarithmic scale."""
    lowest = 1 / max(shape)
    place = (frequencies(shape).clamp(min=lowest) / lowest).log() / math.log(0.5 / lowest)
    return (place * BANDS + 1e-4).long().clamp(max=BANDS - 1)


def by_bands(pairs: list[tuple[torch.Tensor, torch.Tensor]], gradient: torch.Tensor):
    """Scale each band of frequencies by the pairs' energy in it, near a power of the frequency."""
    bands = bands_of(gradient.shape[-2:])
    used = bands.unique()

    def in_bands(values: torch.Tensor) -> torch.Tensor:
        return torch.stack([values[..., bands == band].sum() for band in used])

    power = frequencies(bands.shape).clamp(min=1 / max(bands.shape)) ** -PREFERENCE
    half = torch.zeros_like(power)  # means are over half the plane
    half[:, : bands.shape[1] // 2 + 1] = 1
    guess = in_bands(power * half) / in_bands(half)
    steps, changes = (
        sum(in_bands(torch.fft.fft2(pair[which], norm="ortho").abs() ** 2) for pair in pairs)
        for which in (0, 1)
    )
    length = sum((step * change).sum() for step, change in pairs) / (guess * changes).sum()
    expected = length * guess
    scales = (steps / changes).sqrt().clamp(expected / TRUST, expected * TRUST).cummin(0).values
    coefficients = torch.fft.fft2(gradient) * scales[torch.bucketize(bands, used)]
    return torch.fft.ifft2(coefficients).real


def two_loops(pairs: list[tuple[torch.Tensor, torch.Tensor]], gradient: torch.Tensor):
    """The direction by Nocedal and Wright's algorithm 7.4, for one row."""
    result, factors = gradient, []
    for step, change in reversed(pairs):
        factors.append((step * result).sum() / (step * change).sum())
        result = result - factors[-1] * change
    result = by_bands(pairs, result)
    for (step, change), factor in zip(pairs, reversed(factors), strict=True):
        result = result + (factor - (change * result).sum() / (step * change).sum()) * step
    return -result


@pytest.mark.parametrize("remembered", [HISTORY[1], 4])
def test_lbfgs_takes_the_direction_of_the_two_loops_as_written(monkeypatch, remembered):
    monkeypatch.setattr(optimisers, "remembered_pairs", lambda pixels: remembered)
    curvature = torch.logspace(0, 2, 8 * 8 * 3).view(1, 3, 8, 8).double()
    optimiser = Lbfgs(caution=1e-3)  # short steps, so that no bound changes a direction
    images = START.double()
    met: list[tuple[torch.Tensor, torch.Tensor]] = []
    for number in range(3 * HISTORY[1]):
        gradient = curvature * (images - TARGETS.double())
        following = optimiser.step(images, gradient)
        met.append((images, gradient))
        if number:
            for row in range(3):
                one = slice(row, row + 1)
                pairs = [
                    (after[0][one] - before[0][one], after[1][one] - before[1][one])
                    for before, after in itertools.pairwise(met[-remembered - 1 :])
                ]
                expected = two_loops(pairs, gradient[one])
                found = following[one] - images[one]
                ratio = (found * expected).sum() / expected.square().sum()
                torch.testing.assert_close(found, ratio * expected, rtol=1e-6, atol=1e-12)
        images = following


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (6, 11), (9, 4)])
def test_the_energies_of_all_bands_are_the_picture_s(shape):
    images = torch.stack([random_image(seed, *shape)[0] for seed in range(3)]) - 0.3
    energies = energy_by_band(images)
    torch.testing.assert_close(energies.sum(1), images.square().sum((1, 2, 3)))
    whole = torch.fft.fft2(images, norm="ortho").abs().square().sum(1)
    for band in range(BANDS):
        expected = (whole * (bands_of(shape) == band)).sum((1, 2))
        torch.testing.assert_close(energies[:, band], expected, rtol=1e-4, atol=1e-5)


def test_lbfgs_leaves_out_the_pairs_without_positive_curvature_row_by_row():
    def along(sign: list[float]) -> torch.Tensor:
        """The last picture of a path whose third pair has the curvature ``sign``."""
        optimiser, images = Lbfgs(), START
        gradient = START - TARGETS
        signs = torch.tensor(sign).view(3, 1, 1, 1)
        for number in range(6):
            following = optimiser.step(images, gradient)
            moved = following - images
            gradient = gradient + (signs * moved if number == 2 else moved)
            images = following
        return images

    bent = along([1.0, -1.0, 1.0])
    straight = along([1.0, 1.0, 1.0])
    assert bent.isfinite().all()
    for row in (0, 2):
        torch.testing.assert_close(bent[row], straight[row], atol=1e-6, rtol=0)
    assert (bent[1] - straight[1]).abs().max() > 1e-3


def test_no_step_is_longer_than_the_bound():
    optimiser, images = Lbfgs(), START
    for seed in range(12):
        gradient = 1e6 * (random_image(seed, 8, 8) - 0.5).expand(3, -1, -1, -1)
        following = optimiser.step(images, gradient)
        assert (following - images).abs().max() <= LARGEST_STEP + 1e-6
        images = following.clamp(0, 1)


def test_the_image_after_the_last_step_may_be_the_best_and_none_is_looked_at_twice():
    visits = []

    def counted(images: torch.Tensor) -> Losses:
        visits.append(images.detach().clone())
        return bowl(TARGETS, EVEN)(images)

    outcome = minimise(counted, START, Lbfgs(), Settings(iterations=5))
    assert len(visits) == 5 + 1
    assert torch.equal(outcome.images, visits[-1])
    assert (outcome.losses["total"] < outcome.trace[-1][-1]).all()
    assert torch.equal(outcome.losses["total"], bowl(TARGETS, EVEN)(outcome.images)["total"])


def test_the_best_image_comes_with_its_own_losses():
    def rising(images: torch.Tensor) -> Losses:
        loss = (images - START).square().sum((1, 2, 3))
        sums = {"content": loss + 2, "style": loss + 3, "tv": loss + 4, "total": loss + 5}
        return {**sums, "style relu1_1": loss + 1}

    outcome = minimise(rising, START, Adam(float("1e-2")), Settings(iterations=3))
    assert torch.equal(outcome.images, START)
    found = [one.tolist() for one in outcome.losses.values()]
    assert found == [[number] * 3 for number in (2, 3, 4, 5, 1)]


def test_beyond_the_range_the_best_is_chosen_by_what_is_brought_back():
    """At 1.2 the loss is lowest, but clamped to 1 it is higher than at 0.9."""
    path = iter([1.2, 0.9, 0.9])

    class Led:
        def step(self, images, _gradient):
            return torch.full_like(images, next(path))

    def evaluate(images: torch.Tensor) -> Losses:
        value = images.mean((1, 2, 3))
        loss = torch.where(value > 1.1, 0.0, torch.where(value > 0.95, 5.0, 1.0)) + 0 * value
        return dict.fromkeys(SUMS, loss)

    outcome = minimise(evaluate, START, Led(), Settings(iterations=2, clamp=False))
    assert outcome.images.unique().tolist() == [pytest.approx(0.9)]
    assert outcome.losses["total"].tolist() == [1.0] * 3


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_without_a_usable_pair_a_step_does_not_depend_on_the_scale_of_the_loss(scale):
    optimiser, images = Lbfgs(), START
    for _ in range(3):  # always downhill and steeper, so no pair has positive curvature
        gradient = scale * (START + TARGETS - 2 * images)
        following = optimiser.step(images, gradient)
        assert (following - images).abs().amax((1, 2, 3)).tolist() == pytest.approx([0.01] * 3)
        images = following


def test_clamped_images_stay_in_range_and_free_ones_only_come_back_in_it():
    beyond = bowl(torch.full_like(TARGETS, 1.5), EVEN)
    seen: dict[bool, float] = {}
    for clamp in (True, False):

        def watch(images: torch.Tensor, clamp: bool = clamp) -> Losses:
            seen[clamp] = max(seen.get(clamp, 0.0), images.max().item())
            return beyond(images)

        outcome = minimise(watch, START, Adam(0.1), Settings(iterations=40, clamp=clamp))
        assert outcome.images.max() == 1
    assert seen[True] == 1
    assert seen[False] > 1.2


def test_snapshots_are_the_images_after_so_many_steps():
    def run(**options):
        return minimise(bowl(TARGETS, EVEN), START, Adam(), **options)

    outcome = run(settings=Settings(iterations=6, keep="last", snapshots=(0, 2, 6)))
    assert list(outcome.snapshots) == [0, 2, 6]
    assert torch.equal(outcome.snapshots[0], to_bytes(START))
    shorter = run(settings=Settings(iterations=2, keep="last"))
    assert torch.equal(outcome.snapshots[2], to_bytes(shorter.images))
    assert torch.equal(outcome.snapshots[6], to_bytes(outcome.images))


def test_the_average_of_the_images_is_brought_back():
    """Bias-corrected: the sum of decay ** age * image divided by the sum of the weights."""
    images = [START]

    def watch(state: State) -> None:
        images.append(state.images.clone())

    settings = Settings(iterations=6, keep="last", averaging=0.8, snapshots=(0, 6))
    outcome = minimise(bowl(TARGETS, EVEN), START, Adam(), settings, watch)
    ages = torch.arange(len(images) - 1, -1, -1)
    shares = (0.8**ages / (0.8**ages).sum()).view(-1, 1, 1, 1, 1)
    expected = (shares * torch.stack(images)).sum(0)
    torch.testing.assert_close(outcome.images, expected)
    assert torch.equal(outcome.snapshots[0], to_bytes(START))
    assert torch.equal(outcome.snapshots[6], to_bytes(outcome.images))
    assert torch.equal(outcome.losses["total"], bowl(TARGETS, EVEN)(outcome.images)["total"])


@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
@pytest.mark.parametrize(
    ("variant", "betas"),
    [("adam", (0.9, 0.99)), ("adam", (0.0, 0.999)), ("adam", (0.9, 0.0)), ("rmsprop", (0.9, 0.99))],
)
def test_an_optimiser_takes_the_steps_that_torch_s_takes(variant, epsilon, betas):
    ours, images = Adam(0.02, betas, epsilon, variant), START
    parameter = START.clone().requires_grad_()
    theirs = (
        torch.optim.Adam([parameter], 0.02, betas, epsilon)
        if variant == "adam"
        else torch.optim.RMSprop([parameter], 0.02, betas[1], epsilon)
    )
    for seed in range(10):
        gradient = random_image(seed, 8, 8).expand(3, -1, -1, -1) - 0.5
        images = ours.step(images, gradient)
        parameter.grad = gradient.clone()
        theirs.step()
        # Without β₂ a step, and so an image, may be as large as 1 / ε.
        torch.testing.assert_close(images, parameter.detach(), atol=1e-6, rtol=1e-6)
