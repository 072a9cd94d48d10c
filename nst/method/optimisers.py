"""Batched optimisers: every cell of a batch has its own history and step.

An optimiser holds tensors and numbers and nothing else, so that it can be saved on its way.

``torch.optim.LBFGS`` treats a batch as one problem, so that one cell's curvature bends another's
step. Here all state has a leading batch axis and nothing is ever summed over it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from nst.config.memory import remembered_pairs
from nst.method.spectrum import (
    energy_by_band,
    favour_low_frequencies,
    frequencies_of_bands,
    scale_bands,
)
from nst.network.shapes import Float, Tensor

FIRST_STEP = 0.01  # largest change of a pixel in the first step, on the [0, 1] scale
# Power of 1/frequency, as long as nothing is known of the picture's own curvature.
PREFERENCE = 0.5
TRUST = 10.0  # how far what was measured of a band may lead away from that; 4 and 30 did no better
LARGEST_STEP = 0.1  # and in any later one: without a line search, an unbounded step can diverge


@runtime_checkable  # the tests check annotations as the program runs
class Optimiser(Protocol):
    """Turns gradients into steps, one row per cell."""

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images."""
        ...


class Lbfgs:
    """L-BFGS (Nocedal and Wright, algorithm 7.4) without a line search, row by row.

    The initial inverse Hessian is not a multiple of the identity but a filter: each band of
    frequencies has a step of its own, ‖s‖ / ‖y‖ of what the remembered pairs have in it (Dai,
    Al-Baali and Yang, 2015, there for all of a vector), and none a longer one than those below it.
    A picture's large forms and colours then move as readily as its fine detail. ``caution`` in
    (0, 1] scales the bounds on a step.
    """

    def __init__(self, caution: float = 1.0) -> None:
        self._caution = caution
        # (s, y, 1 / s·y, the energies of s and y by band)
        self._pairs: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._last: tuple[Tensor, Tensor] | None = None

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images, each pixel at most ``LARGEST_STEP`` away.

        The pairs are of the images as they are met, so clamping them in between does no harm; it
        ends lower than clamping once at the end.
        """
        if self._last is not None:
            self._forget(remembered_pairs(images[0, 0].numel()) - 1)  # room first, for the next
            self._remember(images - self._last[0], gradient - self._last[1])
        self._last = (images, gradient)
        direction = -self._apply_inverse_hessian(gradient)
        largest = direction.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
        length = self._caution * FIRST_STEP / largest
        if self._pairs:
            bounded = (self._caution * LARGEST_STEP / largest).clamp(max=1)
            # Without a usable pair, the direction scales with the loss.
            known = torch.stack([pair[2] for pair in self._pairs]).amax(0) > 0
            length = torch.where(known, bounded, length)
        return images + length * direction

    def _forget(self, kept: int) -> None:
        """Keep the last pairs, so many of them."""
        del self._pairs[: max(0, len(self._pairs) - kept)]

    def _remember(self, step: Tensor, change: Tensor) -> None:
        """Keep a pair; for a cell where it shows no positive curvature, one that does nothing."""
        product = _dot(step, change)
        # Relative to their lengths, so that the scale of the loss does not matter. At a minimum the
        # product underflows, and its inverse would not be a number.
        lengths = _dot(step, step).sqrt() * _dot(change, change).sqrt()
        usable = product > 1e-8 * lengths + 1e-30
        energies = torch.stack([energy_by_band(step), energy_by_band(change)], dim=1)
        energies = torch.where(usable[..., 0], energies, 0.0)  # b 2 bands
        self._pairs.append((step, change, torch.where(usable, 1 / product, 0.0), energies))

    def _apply_inverse_hessian(self, gradient: Tensor) -> Tensor:
        """Run the two-loop recursion over the remembered pairs.

        As it is written. With the inner products kept, each loop is a small triangular system
        between two products with the whole history; on a CPU that took twice the time.
        """
        result = gradient
        projections = []
        for step, change, curvature, _ in reversed(self._pairs):
            projections.append(curvature * _dot(step, result))
            result = torch.addcmul(result, projections[-1], change, value=-1)
        result = self._initial_inverse_hessian(result)
        for (step, change, curvature, _), projection in zip(
            self._pairs, reversed(projections), strict=True
        ):
            result = torch.addcmul(result, projection - curvature * _dot(change, result), step)
        return result

    def _initial_inverse_hessian(self, gradient: Tensor) -> Tensor:
        """Give each band of frequencies the step that the remembered pairs took in it."""
        if not self._pairs:
            return favour_low_frequencies(gradient, PREFERENCE)
        height, width = gradient.shape[-2:]
        guess = frequencies_of_bands(height, width, -PREFERENCE, gradient.device)
        energies = torch.stack([pair[3] for pair in self._pairs]).sum(0).to(gradient.dtype)
        steps, changes = energies.unbind(1)
        # The guess in the length that suits all pairs together: Σ s·y over Σ y·(guess y).
        inverses = torch.stack([pair[2].flatten() for pair in self._pairs])
        products = torch.where(inverses > 0, 1 / inverses, 0.0).sum(0).unsqueeze(1)
        expected = guess * products / (changes * guess).sum(1, keepdim=True)
        measured = (steps / changes).sqrt()
        measured = torch.where(measured.isfinite() & (measured > 0), measured, expected)
        scales = measured.clamp(expected / TRUST, expected * TRUST)
        # Never more for a higher frequency: what the network hardly sees there would become grain.
        scales = torch.where(guess > 0, scales, torch.inf).cummin(1).values
        return scale_bands(gradient, torch.where(products > 0, scales, guess))


class Adam:
    """Adam (Kingma and Ba, 2015), algorithm 1; elementwise, so a row's path is its own.

    ``keras`` moves ε inside the bias correction, to where the paper's section 2 has it as ε̂ and
    TensorFlow computes it: a large ε then counts for more in the first steps.
    """

    def __init__(
        self,
        learning_rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
        *,
        keras: bool = False,
    ) -> None:
        self._learning_rate = learning_rate
        self._betas = betas
        self._epsilon = epsilon
        self._keras = keras
        self._steps = 0
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def step(
        self, images: Float[Tensor, "b 3 h w"], gradient: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b 3 h w"]:
        """Return the next images."""
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self._steps += 1
        first, second = self._betas
        self._mean = torch.lerp(gradient, self._mean, first)
        self._square = torch.lerp(gradient.square(), self._square, second)
        correction = 1 - first**self._steps
        second_correction = (1 - second**self._steps) ** 0.5
        epsilon = self._epsilon / second_correction if self._keras else self._epsilon
        scale = self._square.sqrt() / second_correction + epsilon
        moved: Tensor = images - self._learning_rate / correction * self._mean / scale
        return moved


def _dot(left: Float[Tensor, "b 3 h w"], right: Float[Tensor, "b 3 h w"]) -> Tensor:
    """Return each row's inner product, shaped to multiply images."""
    return (left * right).sum(dim=(1, 2, 3), keepdim=True)
