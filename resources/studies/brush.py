"""A small painting engine: bristled strokes that follow a flow field, coarse to fine.

The method is that of A. Hertzmann, "Painterly rendering with curved brush strokes of multiple
sizes", SIGGRAPH 1998.  A painting starts from a *reference*, the colours that one wants to see,
and a *flow*, the directions that the brush should take.  Layers of strokes are then laid over
each other, from a wide brush to a narrow one.  A stroke takes the colour of the reference where
it starts, follows the flow, and ends where the reference has become another colour, which is what
keeps the edges of the picture.

Three things are added to the paper's method.  The colour of each stroke is jittered on its own, so
that neighbours can be told apart.  Each stroke is a bundle of hairs, some lighter, some darker,
some running dry.  And a stroke leaves paint of some thickness behind, which is lit from the upper
left in the end, as impasto is.

Points of the picture are complex numbers, x + iy in pixels of the finished image (y points down),
so a direction is a unit number, a quarter turn is a factor of i, and a path is a vector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb, rgb2hsv

Array = NDArray[np.float64]  # a picture (height, width, 3), a map (height, width), a colour (3,)
Mask = NDArray[np.bool_]  # (height, width)
Points = NDArray[np.complex128]  # a path, a field of directions, or a grid of places

SUPERSAMPLE = 2  # the canvas is this much finer than the finished image
SAMPLING = 0.6  # distance of a stroke's samples in canvas pixels; below 0.7 leaves no holes
STEP = 2.0  # how far a traced path goes per step, in finished pixels


@dataclass(frozen=True)
class Brush:
    """A brush, and how it is used; lengths are in pixels of the finished image."""

    width: float
    length: float = 20.0  # of the strokes of a layer; a stroke drawn by hand has its own
    spacing: float = 5.0  # mean distance between the strokes of a layer
    jitter: tuple[float, float, float] = (0.01, 0.06, 0.06)  # of hue, saturation and value
    streaks: float = 0.07  # how much lighter or darker single hairs are
    dryness: float = 0.25  # how many hairs run dry towards the end: half of them at 0.5
    opacity: float = 1.0
    body: float = 1.0  # thickness of the paint
    tolerance: float = 0.2  # colour distance at which a stroke ends


class Canvas:
    """The wet painting: its colours, and the thickness of the paint."""

    def __init__(self, ground: Array, rng: np.random.Generator) -> None:
        """Cover the canvas with the ground, a picture of the finished size."""
        self.rng = rng
        self.colour = enlarge(ground)
        self.height = np.zeros(self.colour.shape[:2])
        self.stencil: Mask | None = None  # if set, paint lands only where it is true
        # Hairs of all strokes are cut from this one sheet: fine across, drawn out along.
        self._hairs = noise((256, 1024), (0.9, 30), rng) + 0.5 * noise((256, 1024), (0.7, 7), rng)

    def layer(
        self, reference: Array, flow: Points, brush: Brush, where: Mask | None = None
    ) -> None:
        """Cover the canvas, or where the mask allows a stroke to start, with strokes."""
        seeds = scatter(reference.shape[:2], brush.spacing, self.rng)
        if where is not None:
            seeds = seeds[pick(where, seeds)]
        paths = trace(seeds, flow, int(brush.length / STEP))
        lengths = cut(paths, reference, brush.tolerance, self.rng)
        colours = jittered(pick(reference, seeds), brush.jitter, self.rng)
        widths = brush.width * self.rng.uniform(0.7, 1.25, len(seeds))
        for path, length, colour, width in zip(paths, lengths, colours, widths, strict=True):
            self.stroke(path[:length], width, colour, brush)

    def glaze(self, picture: Array, cover: Array) -> None:
        """Spread flat colour over the opening of the stencil, as thick as its cover says."""
        rows, columns = np.nonzero(self.stencil)
        at = rows // SUPERSAMPLE, columns // SUPERSAMPLE
        self.colour[rows, columns] = mix(self.colour[rows, columns], picture[at], cover[at])

    def stroke(self, path: Points, width: float, colour: Array, brush: Brush) -> None:
        """Draw the brush along the path once."""
        spine, along = resample(path * SUPERSAMPLE)
        half = width * SUPERSAMPLE / 2
        across = np.linspace(-1, 1, max(3, int(2 * half / SAMPLING)))
        normal = 1j * unit(np.gradient(spine))
        # Both ends are round: the brush is narrow over the first and the last half-width.
        reach = np.minimum(along, along[-1] - along) / half
        taper = np.sqrt(np.clip(0.15 + reach, 0, 1))
        cells = spine[:, None] + (normal * taper * half)[:, None] * across
        hairs = self._cut_hairs(cells.shape)
        # Hairs run dry one after the other: the further along, the more of them miss.
        worn = (along / max(along[-1], 1e-9)) ** 2
        wet = hairs > -3.5 + 7 * brush.dryness * worn[:, None]
        ridge = 0.6 + 0.4 * np.abs(across) + 0.35 * hairs
        self._deposit(cells, wet, colour * (1 + brush.streaks * hairs[..., None]), brush, ridge)

    def _cut_hairs(self, shape: tuple[int, ...]) -> Array:
        """Cut a piece of (along, across) from the sheet of hairs, wrapping around its edges."""
        top, left = self.rng.integers(0, self._hairs.shape)
        rows = (top + np.arange(shape[1])) % self._hairs.shape[0]
        columns = (left + np.arange(shape[0])) % self._hairs.shape[1]
        return self._hairs[rows, columns[:, None]]

    def _deposit(self, cells: Points, wet: Mask, paint: Array, brush: Brush, ridge: Array) -> None:
        """Leave the paint of a stroke's cells in the pixels they fall on."""
        x, y = np.floor(cells.real).astype(int), np.floor(cells.imag).astype(int)
        rows, columns = self.height.shape
        kept = wet & (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        if self.stencil is not None:
            kept[kept] = self.stencil[y[kept], x[kept]]
        x, y = x[kept], y[kept]
        # A pixel that several cells fall on takes the last one; so opacity counts only once.
        old = self.colour[y, x]
        self.colour[y, x] = old + brush.opacity * (paint[kept] - old)
        self.height[y, x] = brush.body * ridge[kept]

    def finish(self, relief: float) -> Array:
        """Light the relief of the paint from the upper left and return the finished picture."""
        surface = gaussian_filter(self.height, 0.35 * SUPERSAMPLE)
        down, right = np.gradient(surface)
        lit = self.colour * (1 + relief * np.tanh(down + right)[..., None])
        return shrink(np.clip(lit, 0, 1))


def enlarge(picture: NDArray) -> NDArray:
    """Bring a picture of the finished size to the canvas's size."""
    return picture.repeat(SUPERSAMPLE, axis=0).repeat(SUPERSAMPLE, axis=1)


def shrink(picture: Array) -> Array:
    """Bring a picture of the canvas's size to the finished size."""
    rows, columns = picture.shape[0] // SUPERSAMPLE, picture.shape[1] // SUPERSAMPLE
    return picture.reshape(rows, SUPERSAMPLE, columns, SUPERSAMPLE, 3).mean(axis=(1, 3))


def scatter(shape: tuple[int, ...], spacing: float, rng: np.random.Generator) -> Points:
    """Return places in random order: a grid whose points are each moved within their cell."""
    seeds = grid(shape)[:: max(1, int(spacing)), :: max(1, int(spacing))].ravel()
    moves = rng.uniform(0, spacing, (2, len(seeds)))
    return rng.permutation(seeds + moves[0] + 1j * moves[1])


def trace(seeds: Points, flow: Points, steps: int) -> Points:
    """Follow the flow from every seed; return one path per row."""
    paths = [seeds]
    for _ in range(max(2, steps)):
        paths.append(paths[-1] + STEP * pick(flow, paths[-1]))
    return np.stack(paths, axis=1)


def cut(paths: Points, reference: Array, tolerance: float, rng: np.random.Generator) -> list[int]:
    """Return how many points of each path to paint: up to another colour, or a random length."""
    colours = pick(reference, paths)
    same = np.linalg.norm(colours - colours[:, :1], axis=-1) < tolerance
    reach = np.cumprod(same, axis=1).sum(axis=1)
    wanted = rng.uniform(0.55, 1.0, len(paths)) * paths.shape[1]
    return np.clip(np.minimum(reach, wanted), 3, None).astype(int).tolist()


def jittered(colours: Array, jitter: tuple[float, float, float], rng: np.random.Generator) -> Array:
    """Move every colour by a random amount in hue, saturation and value."""
    hsv = rgb2hsv(np.clip(colours, 0, 1)[None])[0] + rng.normal(0, jitter, colours.shape)
    hsv[:, 0] %= 1
    return hsv2rgb(np.clip(hsv, 0, 1)[None])[0]


def resample(path: Points) -> tuple[Points, Array]:
    """Return the path at even, close distances, and the arc length at each of its points."""
    marks = np.concatenate([[0], np.cumsum(np.abs(np.diff(path)))])
    along = np.linspace(0, marks[-1], max(4, int(marks[-1] / SAMPLING)))
    return np.interp(along, marks, path), along


def pick(field: NDArray, places: Points) -> NDArray:
    """Look a picture, a map or a field up at places, the nearest inside if one lies outside."""
    x = np.clip(places.real, 0, field.shape[1] - 1).astype(int)
    y = np.clip(places.imag, 0, field.shape[0] - 1).astype(int)
    return field[y, x]


def grid(shape: tuple[int, ...]) -> Points:
    """Return the place of every pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return x + 1j * y


def unit(vectors: Points) -> Points:
    """Scale vectors to length one."""
    return vectors / np.maximum(np.abs(vectors), 1e-9)


def noise(
    shape: tuple[int, ...], sigma: float | tuple[float, float], rng: np.random.Generator
) -> Array:
    """Return smooth noise of zero mean and unit variance, seamless across the edges."""
    values = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return (values - values.mean()) / values.std()


def drag(values: Array, flow: Points, steps: int) -> Array:
    """Smear a map along the flow: line integral convolution, which makes it streak with it."""
    total = values.copy()
    for direction in (1, -1):
        places = grid(values.shape)
        for _ in range(steps):
            places = places + direction * STEP * pick(flow, places)
            total += pick(values, places)
    return (total - total.mean()) / total.std()


def colour(name: str) -> Array:
    """Return a colour written as in HTML."""
    return np.array(ImageColor.getrgb(name)) / 255


def ramp(values: Array, *names: str) -> Array:
    """Colour a map whose values run from 0 to 1 with a ramp of equally spaced colours."""
    stops = np.array([colour(name) for name in names])
    at = np.clip(values, 0, 1) * (len(stops) - 1)
    return np.stack([np.interp(at, np.arange(len(stops)), part) for part in stops.T], axis=-1)


def smoothstep(values: Array, low: float, high: float) -> Array:
    """Go smoothly from 0 where the values are low to 1 where they are high."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(first: NDArray, second: NDArray, share: Array) -> NDArray:
    """Blend two pictures, the second one by its share at every pixel."""
    share = share[..., None] if first.ndim == share.ndim + 1 else share
    return first + (second - first) * share


def curve(*points: complex, count: int = 80) -> Points:
    """Return a smooth path through the points."""
    marks = np.concatenate([[0], np.cumsum(np.abs(np.diff(points)) ** 0.5)])
    return CubicSpline(marks, points)(np.linspace(0, marks[-1], count))


def inside(shape: tuple[int, ...], outline: Points | list[complex]) -> Mask:
    """Return the pixels inside a closed outline."""
    image = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(image).polygon([(p.real, p.imag) for p in outline], fill=1)
    return np.asarray(image)
