"""Batched optimisers: every cell of a batch has its own history and step.

An optimiser holds only tensors and numbers, so that a checkpoint can store it between steps.

``torch.optim.LBFGS`` treats a batch as one problem, so one cell's curvature changes another cell's
step. Here all state has a leading batch axis, and nothing is ever summed over it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol, runtime_checkable

import torch
from torch.nn import functional

from nst.config.geometry import remembered_pairs
from nst.method.spectrum import BANDS, energy_by_band, frequencies_of_bands, scale_bands
from nst.network.tensors import Bool, Float, Int, Tensor

FIRST_STEP = 0.01  # largest change of a pixel in the first step, on the [0, 1] scale
# Power of 1/frequency: the guess of the steps until the picture's own curvature is measured.
PREFERENCE = 0.5
TRUST = 10.0  # largest ratio of a band's measured step to the guess; 4 and 30 were no better
LARGEST_STEP = 0.1  # in any later step: without a line search, an unbounded step can diverge


@runtime_checkable  # the tests check annotations at run time
class Optimiser(Protocol):
    """Turns gradients into steps, one row per cell."""

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images."""
        ...


class Lbfgs:
    """L-BFGS (Nocedal and Wright, algorithm 7.4) without a line search, row by row.

    The initial inverse Hessian is a filter, not a multiple of the identity. Each band of
    frequencies has its own step length, ‖s‖ / ‖y‖ of the remembered pairs in this band (Dai,
    Al-Baali and Yang, 2015, for a whole vector). No band has a longer step than the bands below it.
    A picture's large forms and colours then move as readily as its fine detail. ``caution`` in
    (0, 1] scales the bounds on a step.

    A step has fixed shapes, reads no value on the host and changes its tensors in place, so that a
    GPU can replay it.
    """

    def __init__(self, caution: float = 1.0) -> None:
        self._caution = caution
        self._history: History | None = None

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images, each pixel at most ``LARGEST_STEP`` away.

        The pairs are computed from the evaluated images, so clamping between steps does no harm.
        It reaches a lower loss than clamping once at the end.
        """
        if self._history is None:
            self._history = History.starting_at(images, gradient)
        else:
            self._history.remember(images, gradient)
        direction = -self._apply_inverse_hessian(self._history, gradient)
        largest = direction.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
        # Without a usable pair, the direction scales with the loss.
        first = self._caution * FIRST_STEP / largest
        bounded = (self._caution * LARGEST_STEP / largest).clamp(max=1)
        known = self._history.usable.any(1)[:, None, None, None]
        return images + torch.where(known, bounded, first) * direction

    def _apply_inverse_hessian(self, history: History, gradient: Tensor) -> Tensor:
        """Run the two-loop recursion over the remembered pairs.

        The inner products are stored, so each loop is a small triangular system between two
        products with the whole history.
        """
        steps, changes = history.pairs  # b m n
        projections = history.solve(_dots(gradient, steps))
        result = _plus(gradient, -projections, changes)
        result = self._initial_inverse_hessian(history, result)
        corrections = history.curvatures * projections - _dots(result, changes)
        return _plus(result, history.solve(corrections, transposed=True), steps)

    def _initial_inverse_hessian(self, history: History, gradient: Tensor) -> Tensor:
        """Scale each band of frequencies by the step length of the remembered pairs in it."""
        height, width = gradient.shape[-2:]
        guess = frequencies_of_bands(height, width, -PREFERENCE, gradient.device)
        steps, changes = history.energies.sum(2)  # b bands
        # The guess, scaled to fit all pairs together by Σ s·y / Σ y·(guess y).
        curvatures = torch.where(history.usable, history.curvatures, 0.0)
        products = curvatures.sum(1, keepdim=True)
        expected = guess * products / (changes * guess).sum(1, keepdim=True)
        measured = (steps / changes).sqrt()
        measured = torch.where(measured.isfinite() & (measured > 0), measured, expected)
        scales = measured.clamp(expected / TRUST, expected * TRUST)
        # Never longer at a higher frequency: detail that the network hardly sees becomes grain.
        scales = torch.where(guess > 0, scales, torch.inf).cummin(1).values
        return scale_bands(gradient, torch.where(products > 0, scales, guess))


@dataclass
class History:
    """The last m pairs of a step s and a change of gradient y, in a ring, and the last point.

    ``usable`` marks the places whose pair has positive curvature, cell by cell. ``products`` has
    s_i·y_j in row i and column j; an entry is valid only if y_j is as new as s_i or newer.
    ``order`` lists the places in the ring, the oldest first.
    """

    last: Float[Tensor, "2 b 3 h w"]
    pairs: Float[Tensor, "2 b m n"]
    energies: Float[Tensor, "2 b m bands"]
    products: Float[Tensor, "b m m"]
    usable: Bool[Tensor, "b m"]
    order: Int[Tensor, " m"]

    @classmethod
    def starting_at(cls, images: Tensor, gradient: Tensor) -> History:
        """Return a history without pairs."""
        batch, values = len(images), images[0].numel()
        count = remembered_pairs(images[0, 0].numel())
        return cls(
            last=torch.stack([images, gradient]),
            pairs=gradient.new_zeros(2, batch, count, values),
            energies=gradient.new_zeros(2, batch, count, BANDS),
            products=gradient.new_zeros(batch, count, count),
            usable=gradient.new_zeros(batch, count, dtype=torch.bool),
            order=torch.arange(count, device=gradient.device),
        )

    def remember(self, images: Tensor, gradient: Tensor) -> None:
        """Replace the oldest pair by the pair that led to this point."""
        point = torch.stack([images, gradient])
        pair = point - self.last
        self.last.copy_(point)
        place = self.order[:1]
        self.pairs.index_copy_(2, place, pair.flatten(2)[:, :, None])
        products = _dots(pair[1], self.pairs[0])
        self.products.index_copy_(2, place, products[:, :, None])
        curvature = products.index_select(1, place)  # b 1
        energies = energy_by_band(pair.flatten(0, 1)).unflatten(0, pair.shape[:2])
        # Relative to the lengths of s and y, so that the scale of the loss does not matter. At a
        # minimum the product underflows, and its inverse would not be finite.
        lengths = energies.sum(2).sqrt().prod(0)
        usable = curvature > 1e-8 * lengths[:, None] + 1e-30
        self.usable.index_copy_(1, place, usable)
        self.energies.index_copy_(2, place, torch.where(usable, energies, 0.0)[:, :, None])
        self.order.copy_(self.order.roll(-1))

    @property
    def curvatures(self) -> Float[Tensor, "b m"]:
        """Return s·y of each pair."""
        return self.products.diagonal(dim1=1, dim2=2)

    def solve(
        self, right: Float[Tensor, "b m"], *, transposed: bool = False
    ) -> Float[Tensor, "b m"]:
        """Solve Σ s_i·y_j x_j = r_i for x, over all j as new as i or newer.

        x_i is 0 where pair i is not usable. With ``transposed``, solve Σ s_j·y_i x_j = r_i over all
        j as old as i or older.
        """
        usable = self.usable[:, self.order]
        products = self.products[:, self.order][:, :, self.order]
        # An unusable pair gets a row of the unit matrix.
        both = usable[:, :, None] & usable[:, None, :]
        system = torch.where(both, products, torch.eye(len(self.order), device=right.device))
        system = system.mT if transposed else system
        in_order = torch.where(usable, right[:, self.order], 0.0)[:, :, None]
        found = torch.linalg.solve_triangular(system, in_order, upper=not transposed)
        return torch.zeros_like(right).index_copy_(1, self.order, found[:, :, 0])


class Adam:
    """Adam (Kingma and Ba, 2015), algorithm 1; elementwise, so rows do not affect each other.

    A GPU can replay a step, as with ``Lbfgs``.

    ``keras_adam`` moves ε inside the bias correction, as ε̂ in the paper's section 2 and in
    TensorFlow. A large ε then counts for more in the first steps. ``rmsprop`` (Hinton, 2012) uses
    neither the mean of the gradients nor the correction.
    """

    def __init__(
        self,
        learning_rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
        variant: Literal["adam", "keras_adam", "rmsprop"] = "adam",
    ) -> None:
        self._learning_rate = learning_rate
        self._betas = (0.0, betas[1]) if variant == "rmsprop" else betas
        self._epsilon = epsilon
        self._variant = variant
        # The mean and the mean square of the gradients; the number of steps.
        self._state: tuple[Tensor, Tensor] | None = None

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images."""
        return images + self.change(gradient)

    def change(self, gradient: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return the change of values that have this gradient, of any shape."""
        if self._state is None:
            self._state = gradient.new_zeros(2, *gradient.shape), gradient.new_zeros(())
        (mean, square), steps = self._state
        steps.add_(1)
        mean.mul_(self._betas[0]).add_(gradient, alpha=1 - self._betas[0])
        square.mul_(self._betas[1]).addcmul_(gradient, gradient, value=1 - self._betas[1])
        correction, second = (_one_minus_power(beta, steps) for beta in self._betas)
        if self._variant == "rmsprop":
            second = torch.ones_like(second)
        epsilon = self._epsilon / second.sqrt() if self._variant == "keras_adam" else self._epsilon
        scale = (square / second).sqrt() + epsilon
        # A square that overflows would stop the pixel for good, unnoticed.
        scale = torch.where(scale.isfinite(), scale, torch.nan)
        change: Tensor = -self._learning_rate * (mean / correction) / scale
        return change


class Pyramid:
    """Adam on the levels of a Laplacian pyramid instead of on pixels.

    A picture is the sum of its levels, each enlarged to its size by bilinear interpolation. A step
    then moves large forms as readily as fine detail, and moves a flat area as a whole (Kolkin et
    al. 2022). The levels halve the longer side down to 2 or 3 px: 8 times at 512 px.
    """

    def __init__(self, adam: Adam) -> None:
        self._adam = adam

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images: synthesis is linear, so they change by the levels' changes."""
        gradients, matrices = [gradient], []
        height, width = gradient.shape[-2:]
        for _ in range(max(height, width).bit_length() - 2):
            smaller = max(1, height // 2), max(1, width // 2)
            down = _bilinear(smaller[0], height, gradient.dtype, gradient.device)
            across = _bilinear(smaller[1], width, gradient.dtype, gradient.device)
            matrices.append((down, across))
            gradients.append(down.T @ gradients[-1] @ across)  # the adjoint of the enlargement
            height, width = smaller
        flat = self._adam.change(torch.cat([one.flatten(1) for one in gradients], dim=1))
        sizes = [one[0].numel() for one in gradients]
        changes = [
            part.view_as(one) for part, one in zip(flat.split(sizes, 1), gradients, strict=True)
        ]
        change: Tensor = changes.pop()
        for down, across in reversed(matrices):
            change = changes.pop() + down @ change @ across.T
        return images + change


@cache
def _bilinear(
    small: int, large: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "large small"]:
    """Return the matrix that enlarges a side by bilinear interpolation."""
    unit = torch.eye(small, dtype=dtype, device=device)
    enlarged: Tensor = functional.interpolate(unit[None], large, mode="linear")
    matrix: Tensor = enlarged[0].T.contiguous()
    return matrix


def _one_minus_power(beta: float, steps: Tensor) -> Tensor:
    """Return 1 - β^t by expm1; a difference would lose digits in float32."""
    return -torch.expm1(steps * math.log(beta)) if beta else torch.ones_like(steps)


def _dots(vector: Float[Tensor, "b 3 h w"], rows: Float[Tensor, "b m n"]) -> Float[Tensor, "b m"]:
    """Return the inner products of a picture with each of m others.

    The vector is on the left: with it on the right, a batch takes five times as long on a CPU.
    """
    return (vector.flatten(1)[:, None] @ rows.mT)[:, 0]


def _plus(
    vector: Float[Tensor, "b 3 h w"], factors: Float[Tensor, "b m"], rows: Float[Tensor, "b m n"]
) -> Float[Tensor, "b 3 h w"]:
    """Add m pictures to another, each times a factor."""
    total = torch.baddbmm(vector.flatten(1)[:, None], factors[:, None], rows)
    return total.view(vector.shape)
