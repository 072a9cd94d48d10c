"""A study after Katsushika Hokusai, *The Great Wave off Kanagawa* (1831): a woodblock print.

A print has no strokes: it has a few flat inks, crisp outlines, and the grain of the wood and of
the paper.  So this study cuts blocks: shapes bounded by smooth curves are filled with one ink each
and outlined in Prussian blue.  Water is drawn in bands that run along the wave; foam is grown from
its edge as branches of curling fingers.
"""

from collections.abc import Iterator

import numpy as np
from brush import (
    Array,
    Points,
    colour,
    curve,
    drag,
    grid,
    mix,
    noise,
    ramp,
    smoothstep,
    unit,
)
from PIL import Image, ImageDraw

SHAPE = (430, 640)
PLACES = grid(SHAPE)
FINE = 4  # the block is cut this much finer than the finished image

PAPER, CREAM = "#f6efda", "#efe3c4"
INK, DEEP, MIDDLE, PALE, MIST = "#14284d", "#1c3d6e", "#3f6c98", "#9dbfc9", "#cfdfd9"
WOOD, ROSE = "#dcbf90", "#d9a583"
SKY = ("#e6cf9f", "#ecdcb6", "#eee2c6", "#e3d8c0", "#a9a498", "#6f7274")

BACK = curve(
    -10 + 176j, 30 + 160j, 82 + 122j, 132 + 74j, 190 + 42j, 250 + 34j, 302 + 50j, 336 + 88j
)
LIP = curve(336 + 88j, 314 + 102j, 276 + 104j, 226 + 94j, 178 + 90j, 150 + 112j, 152 + 150j)
FACE = curve(276 + 108j, 260 + 146j, 256 + 190j, 266 + 236j, 290 + 280j, 322 + 304j)
BELLY = curve(152 + 120j, 116 + 170j, 84 + 214j, 52 + 262j, 20 + 306j, -10 + 330j)
TROUGH = curve(
    296 + 288j, 322 + 306j, 372 + 326j, 436 + 332j, 500 + 314j, 566 + 262j, 606 + 220j, 650 + 176j
)
HILL = curve(
    -10 + 352j,
    60 + 322j,
    120 + 300j,
    168 + 268j,
    208 + 240j,
    236 + 252j,
    276 + 292j,
    330 + 336j,
    400 + 384j,
    480 + 420j,
    560 + 440j,
)


class Block:
    """The block that is cut, or the print that it gives, and the hand that cuts it."""

    def __init__(self, ground: Array, rng: np.random.Generator) -> None:
        """Start from the printed ground, a picture of the finished size."""
        self.rng = rng
        pixels = Image.fromarray(np.round(ground * 255).astype(np.uint8))
        self.image = pixels.resize((SHAPE[1] * FINE, SHAPE[0] * FINE), Image.Resampling.BICUBIC)
        self.knife = ImageDraw.Draw(self.image)

    def shape(self, outlines: list[Points], ink: str, line: float = 0.9) -> None:
        """Print shapes that overlap as one: all outlines first, and then all insides over them."""
        for outline in outlines:
            self.line(np.append(outline, outline[0]), line * 2)
        for outline in outlines:
            self.knife.polygon(corners(outline), fill=ink)

    def line(self, path: Points, width: float, ink: str = INK) -> None:
        """Print a line."""
        if width > 0:
            self.knife.line(corners(path), fill=ink, width=round(width * FINE), joint="curve")

    def dot(self, centre: complex, radius: float, ink: str = PAPER) -> None:
        """Print a dot."""
        low, high = (centre - radius * (1 + 1j)) * FINE, (centre + radius * (1 + 1j)) * FINE
        self.knife.ellipse((low.real, low.imag, high.real, high.imag), fill=ink)

    def picture(self) -> Array:
        """Return the print at the finished size."""
        small = self.image.resize((SHAPE[1], SHAPE[0]), Image.Resampling.LANCZOS)
        return np.asarray(small) / 255


def corners(path: Points) -> list[tuple[float, float]]:
    """Return a path as Pillow wants it, on the scale of the block."""
    return [(point.real * FINE, point.imag * FINE) for point in path]


def paint(rng: np.random.Generator) -> Array:
    """Print the study."""
    block = Block(sky(rng), rng)
    fuji(block)
    great_wave(block)
    swell(block)
    boat(block, curve(366 + 300j, 420 + 326j, 500 + 308j, 560 + 262j, 590 + 222j), 15, WOOD)
    near_wave(block)
    boat(block, curve(258 + 326j, 300 + 372j, 360 + 392j, 430 + 396j, 476 + 386j), 14, ROSE)
    corner_wave(block)
    spray(block)
    return printed(block.picture(), rng)


def sky(rng: np.random.Generator) -> Array:
    """Return the sky: beige, with pale clouds, and darkened towards the horizon by hand wiping."""
    height = PLACES.imag / 320
    reference = ramp(height + 0.02 * noise(SHAPE, (3, 60), rng), *SKY)
    puffs = noise(SHAPE, (12, 26), rng) - 3.2 * np.abs(height - 0.36) + 0.9 * height
    cloud = smoothstep(puffs, 0.15, 0.2) * (height < 0.75)
    return mix(reference, colour("#f3ead2"), 0.75 * cloud)


def fuji(block: Block) -> None:
    """Put Mount Fuji far away: a small blue cone with a cap of snow."""
    cone = np.concatenate(
        [
            curve(352 + 330j, 380 + 306j, 404 + 278j),
            [412 + 278j],
            curve(412 + 278j, 434 + 304j, 470 + 332j),
        ]
    )
    block.shape([cone], DEEP)
    snow = [
        404 + 278j,
        412 + 278j,
        424 + 293j,
        430 + 306j,
        422 + 301j,
        418 + 308j,
        412 + 299j,
        407 + 309j,
        402 + 300j,
        395 + 307j,
        392 + 299j,
        386 + 301j,
        396 + 289j,
    ]
    block.shape([np.array(snow)], PAPER, 0)


def bands(
    block: Block,
    first: Points,
    last: Points,
    inks: tuple[str, ...],
    count: int,
    *,
    ragged: float = 0.12,
) -> None:
    """Fill the strip between two paths with tapering bands that run along it."""
    for i in range(count):
        low, high = i / count, (i + block.rng.uniform(0.8, 1.0)) / count
        start, stop = block.rng.uniform(0, ragged), 1 - block.rng.uniform(0, ragged)
        part = slice(int(start * len(first)), int(stop * len(first)))
        swing = np.sin(np.pi * np.linspace(0.0, 1.0, len(first[part]))) ** 0.5
        near = first[part] + (last - first)[part] * low
        far = first[part] + (last - first)[part] * (low + (high - low) * swing)
        block.shape([np.concatenate([near, far[::-1]])], inks[i % len(inks)], 0.35)


def swell(block: Block) -> None:
    """Put the long swell that rises to the right, paper-white with blue streaks in its flank."""
    bottom = curve(286 + 440j, 372 + 440j, 436 + 440j, 566 + 440j, 650 + 440j)
    block.shape([np.concatenate([TROUGH, bottom[::-1]])], PAPER)
    foot = curve(
        290 + 330j,
        330 + 352j,
        372 + 374j,
        436 + 388j,
        500 + 382j,
        566 + 350j,
        606 + 326j,
        650 + 300j,
    )
    bands(block, TROUGH + 9j, foot, (DEEP, MIST, MIDDLE, PAPER, DEEP, PALE), 9, ragged=0.3)
    low = curve(300 + 352j, 380 + 392j, 470 + 404j, 560 + 388j, 650 + 322j, count=80)
    bands(
        block, low, low + 46j + np.linspace(0, 30j, 80), (DEEP, PAPER, MIDDLE, PALE), 7, ragged=0.4
    )
    for down in (3, 6):
        block.line(TROUGH + 1j * down, 0.6, MIDDLE)
    foam(block, TROUGH[52:] + 3j, 14, towards=1j)


def great_wave(block: Block) -> None:
    """Put the great wave: its white back, the blue hollow, and the claws of its crest."""
    body = np.concatenate([BACK, LIP[:8], FACE, [322 + 440j, -10 + 440j]])
    block.shape([body], PAPER, 1.2)
    hollow = np.concatenate([LIP[10:], BELLY, [-10 + 440j, 322 + 440j], FACE[::-1]])
    block.shape([hollow], DEEP)
    bands(
        block,
        FACE,
        curve(150 + 112j, 122 + 170j, 96 + 230j, 84 + 290j, 90 + 350j, 104 + 400j),
        (MIDDLE, DEEP, INK, DEEP, PALE, DEEP, INK),
        17,
    )
    for down in (4, 8, 13):
        block.line(BACK[6:56] + down * (0.5 + 1j), 0.6, MIDDLE)
    foam(block, curve(132 + 190j, 118 + 222j, 92 + 262j, 64 + 300j), 26, towards=1 + 0.8j)
    foam(block, BELLY[4:70], 30, towards=1 + 0.6j, ridge=0.5)
    foam(block, LIP[16:], 30, towards=0.25 + 1j, ridge=0.4)
    block.line(BACK[:68], 1.6)
    crest = curve(262 + 78j, 296 + 84j, 318 + 104j, 322 + 124j)
    foam(block, crest, 46, towards=0.55 + 1j)
    foam(block, curve(256 + 58j, 292 + 66j, 318 + 88j), 46, towards=1 + 0.75j, ridge=0.5)
    foam(block, curve(272 + 50j, 300 + 62j, 316 + 80j), 30, towards=1 + 0.1j, ridge=0.3)


def near_wave(block: Block) -> None:
    """Put the nearer wave, peaked as Fuji is."""
    bottom = np.array([560 + 440j, -10 + 440j])
    block.shape([np.concatenate([HILL, bottom])], PAPER, 1.2)
    flank = curve(214 + 262j, 236 + 300j, 284 + 350j, 350 + 398j, 420 + 432j, 480 + 450j)
    bands(
        block,
        curve(232 + 262j, 270 + 300j, 322 + 342j, 396 + 392j, 470 + 424j, 540 + 442j),
        flank,
        (PALE, PAPER, DEEP, PAPER, MIDDLE),
        5,
    )
    bands(
        block,
        curve(250 + 336j, 262 + 380j, 300 + 412j, 350 + 440j),
        curve(196 + 330j, 206 + 380j, 232 + 420j, 262 + 450j),
        (DEEP, MIDDLE, DEEP, PALE),
        6,
    )
    for down in (4, 8):
        block.line(HILL[:52] + 1j * down, 0.6, MIDDLE)
    foam(
        block,
        curve(212 + 288j, 180 + 316j, 150 + 330j, 110 + 350j, 60 + 362j),
        24,
        towards=0.4 + 1j,
    )
    foam(block, curve(250 + 330j, 222 + 350j, 200 + 372j, 176 + 392j), 18, towards=1 + 1j)


def corner_wave(block: Block) -> None:
    """Put the wave that breaks in the lower left corner."""
    top = curve(-10 + 380j, 30 + 366j, 80 + 372j, 124 + 396j, 160 + 440j)
    block.shape([np.append(top, -10 + 440j)], DEEP)
    bands(
        block,
        top + 6j,
        curve(-10 + 440j, 10 + 446j, 40 + 450j, 60 + 450j, 80 + 450j),
        (INK, DEEP, MIDDLE, DEEP),
        8,
    )
    foam(block, top[6:74], 24, towards=0.3 + 1j)


def foam(block: Block, edge: Points, size: float, towards: complex, ridge: float = 0.0) -> None:
    """Let claws of foam break out of an edge, pale ones behind white ones; cover their roots."""
    length = np.abs(np.diff(edge)).sum()
    for at in np.linspace(0, len(edge) - 1, max(3, int(length / size * 2.2))).astype(int):
        for ink, scale in ((PALE, 1.1), (PAPER, 1.0)):
            heading = np.angle(towards) + block.rng.normal(0, 0.35)
            reach = size * scale * block.rng.uniform(0.7, 1.2)
            bend = block.rng.choice([-1, 1], p=[0.25, 0.75])
            block.shape(list(claw(edge[at], heading, reach, bend, block.rng)), ink, 0.75)
    block.line(edge, size * ridge, PAPER)


def claw(
    base: complex, heading: float, size: float, bend: int, rng: np.random.Generator
) -> Iterator[Points]:
    """Yield the outlines of a claw of foam: a palm, and hooked fingers spread around it."""
    palm = hook(base, heading, 0.6 * size, bend * 0.5)
    yield finger(palm, 0.5 * size)
    for at, spread in (
        (0.25, -1.35),
        (0.55, -0.8),
        (0.8, -0.3),
        (0.9, 0.25),
        (0.7, 0.8),
        (0.4, 1.3),
    ):
        root = palm[int(at * len(palm))]
        reach = size * rng.uniform(0.5, 0.72)
        turn = heading + bend * spread + rng.normal(0, 0.1)
        yield finger(hook(root, turn, reach, bend * rng.uniform(2.4, 3.2)), 0.27 * reach)


def hook(base: complex, heading: float, length: float, curl: float) -> Points:
    """Return a path that starts straight and curls more and more."""
    along = np.linspace(0, 1, 22)
    steps = np.exp(1j * (heading + curl * along**3)) * length / len(along)
    return base + np.cumsum(steps)


def finger(spine: Points, width: float) -> Points:
    """Return the outline of a finger around a path: round at its root, pointed at its tip."""
    along = np.linspace(0, 1, len(spine))
    half = 0.5 * width * np.minimum(1, 5 * along + 0.1) * (1 - along**2.5) + 0.2
    side = 1j * unit(np.gradient(spine)) * half
    return np.concatenate([spine + side, (spine - side)[::-1]])


def boat(block: Block, keel: Points, depth: float, ink: str) -> None:
    """Put a slender boat, and its rowers crouching in a row."""
    along = np.linspace(0, 1, len(keel))
    rim = keel - 1j * depth * np.sin(np.pi * np.clip(along * 0.9 + 0.06, 0, 1)) ** 0.7
    for at in np.linspace(0.42, 0.88, 13):
        place = rim[int(at * len(rim))] - 1j + complex(*block.rng.normal(0, 0.8, 2))
        block.dot(place, 4.6, INK)
        block.dot(place, 4.0, DEEP)
        block.dot(place + 1 - 4j, 2.2, INK)
        block.dot(place + 1 - 4j, 1.6, CREAM)
    block.shape([np.concatenate([keel, rim[::-1]])], ink, 0.8)
    for share in (0.35, 0.65):
        block.line(keel + (rim - keel) * share, 0.5)


def spray(block: Block) -> None:
    """Scatter drops: in the hollow of the great wave, and falling from its crest."""
    rng = block.rng
    for at in rng.integers(0, len(FACE), 260):
        place = FACE[at] + (BELLY[at] - FACE[at]) * rng.uniform(0, 1)
        block.dot(place + complex(*rng.normal(0, 5, 2)), rng.choice([0.7, 1.0, 1.4, 2.0]))
    for _ in range(150):
        place = 322 + 190j + complex(rng.normal(0, 42), rng.normal(0, 48))
        if place.real > 278:
            block.dot(place, rng.choice([0.8, 1.1, 1.6, 2.1]))


def printed(picture: Array, rng: np.random.Generator) -> Array:
    """Print on paper: the grain of the wood shows in the inks, the fibres of the paper in all."""
    level = unit(1 + 0.10j * noise(SHAPE, (30, 90), rng))
    grain = drag(noise(SHAPE, (0.6, 1.5), rng), level, 24)
    fibres = drag(noise(SHAPE, 0.6, rng), unit(1j + noise(SHAPE, 25, rng)), 4)
    worn = noise(SHAPE, 14, rng)
    dark = 1 - picture.mean(axis=2)
    texture = (0.009 + 0.08 * dark) * grain + 0.014 * fibres + 0.015 * worn
    return np.clip(mix(picture * (1 + texture[..., None]), colour(CREAM), 0.05 * dark), 0, 1)
