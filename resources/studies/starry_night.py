"""A study after Vincent van Gogh, *The Starry Night* (1889): strokes that show the wind.

The sky is one flow field: a current from left to right, two great spirals turning in it, and a
small ring around each star.  The field gives the strokes their direction and also drags noise into
streaks, which give the sky its long light and dark bands.
"""

from dataclasses import dataclass

import numpy as np
from brush import (
    Array,
    Brush,
    Canvas,
    Mask,
    Points,
    colour,
    curve,
    drag,
    enlarge,
    grid,
    inside,
    mix,
    noise,
    ramp,
    smoothstep,
    unit,
)

SHAPE = (507, 640)
PLACES = grid(SHAPE)

SKY = ("#101c4e", "#1d3580", "#2f55a4", "#5a86bd", "#9dbfcb", "#dfe4c8")
STAR = ("#f0a82c", "#f9df6c", "#f8ecb0", "#d6dea6", "#93bdb6", "#4f7fb5")
WIND = ("#b9d0c4", "#e6e8c8")
HILLS = ("#141f4a", "#24397a", "#3c5c9c", "#6b8fb4")
GROUND = ("#0c1722", "#16303a", "#2a4f55", "#53756a", "#8a9a68")
CYPRESS = ("#090d0d", "#131d16", "#23301c", "#3d3d20", "#5a3f20")

# centre, radius, turn (+1 is clockwise as seen) of the spirals, the larger one first
SPIRALS = ((318 + 168j, 112, 1), (436 + 238j, 62, 1), (30 + 150j, 70, -1))
# centre and radius of the light around the stars and, last, the moon
STARS = (
    (68 + 22j, 36),
    (148 + 16j, 17),
    (222 + 20j, 30),
    (262 + 34j, 19),
    (151 + 88j, 30),
    (391 + 44j, 38),
    (452 + 118j, 38),
    (210 + 166j, 25),
    (82 + 243j, 26),
    (30 + 231j, 17),
    (228 + 270j, 50),
    (574 + 82j, 78),
)
MOON = 580 + 80j
# height, rise to the right, and swell of the ranges of hills, the farthest first
RIDGES = ((352, 62, 16), (372, 30, 12), (404, 0, 7))


@dataclass
class Scene:
    """What is to be painted: the colour and the direction of the brush at every pixel."""

    reference: Array
    flow: Points

    def lay(self, where: Mask, reference: Array, flow: Points) -> None:
        """Put something in front of what is there."""
        self.reference = np.where(where[..., None], reference, self.reference)
        self.flow = np.where(where, flow, self.flow)


def paint(rng: np.random.Generator) -> Array:
    """Paint the study."""
    scene = Scene(*sky(rng))
    add_hills(scene, rng)
    add_bushes(scene, rng)
    cypress = add_cypress(scene, rng)
    ground = scene.reference * 0.55  # the dark between the strokes
    canvas = Canvas(ground, rng)
    for brush in (
        Brush(11, 60, 6, (0.008, 0.05, 0.05), streaks=0.10, body=0.6),
        Brush(6, 38, 6, (0.012, 0.06, 0.09), streaks=0.12, tolerance=0.25),
        Brush(3.8, 26, 5, (0.016, 0.06, 0.12), streaks=0.12, tolerance=0.22),
    ):
        canvas.layer(scene.reference, scene.flow, brush)
    near_stars = halo_map() > 0.25
    canvas.layer(
        scene.reference,
        scene.flow,
        Brush(3.2, 13, 4, (0.012, 0.07, 0.07), streaks=0.1, tolerance=0.3),
        near_stars,
    )
    ridges(canvas)
    moon(canvas)
    village(canvas)
    flames(canvas, cypress)
    return canvas.finish(relief=0.34)


def sky(rng: np.random.Generator) -> tuple[Array, Points]:
    """Return the colours of the sky with its stars, and the wind that blows there."""
    flow = wind(rng)
    streaks = drag(noise(SHAPE, 2.2, rng), flow, 22)
    broad = drag(noise(SHAPE, 7, rng), flow, 60)
    height = PLACES.imag / SHAPE[0]
    tone = 0.26 + 0.22 * height + 0.075 * streaks + 0.09 * broad + spiral_light()
    reference = ramp(tone, *SKY)
    # A pale band of wind lies over the hills, rising to the right.
    crest = 318 - 0.00026 * (PLACES.real - 150) ** 2 + 10 * np.sin(PLACES.real / 55)
    band = np.exp(-(((PLACES.imag - crest) / 24) ** 2)) * np.clip(0.55 + 0.3 * streaks, 0, 0.9)
    reference = mix(reference, ramp(0.5 + 0.3 * streaks, *WIND), band)
    return add_stars(reference, streaks), flow


def wind(rng: np.random.Generator) -> Points:
    """Return the flow of the sky: a wavy current, the spirals, and rings around the stars."""
    x, y = PLACES.real, PLACES.imag
    flow = 1 + 0.35j * np.sin(x / 70 + y / 90) + 0.18j * noise(SHAPE, 26, rng)
    for centre, radius, turn in SPIRALS:
        arm = PLACES - centre
        # Strokes turn around the centre and lean inwards a little, which makes a spiral of them.
        swirl = unit(turn * 1j * arm) - 0.32 * unit(arm)
        flow = mix(flow, 1.2 * swirl, np.exp(-((np.abs(arm) / radius) ** 4)))
    for centre, radius in STARS:
        arm = PLACES - centre
        flow = mix(flow, 1j * unit(arm), np.exp(-((np.abs(arm) / radius / 1.15) ** 6)))
    return unit(flow)


def spiral_light() -> Array:
    """Return how much lighter the arms of the spirals are than the rest of the sky."""
    light = np.zeros(SHAPE)
    for centre, radius, turn in SPIRALS:
        arm = PLACES - centre
        far = np.abs(arm) / radius
        phase = turn * np.angle(arm) + 3.1 * np.log(far + 0.12)
        light += 0.30 * np.exp(-(far**4)) * (0.25 + np.cos(phase)) + 0.1 * np.exp(-((far * 3) ** 2))
    return light


def halo_map() -> Array:
    """Return how near each pixel is to a star: 1 at its centre, 0 where its light ends."""
    near = [1 - np.abs(PLACES - centre) / radius for centre, radius in STARS]
    return np.clip(np.max(near, axis=0), 0, 1)


def add_stars(reference: Array, streaks: Array) -> Array:
    """Paint the stars: rings of light that go from white and yellow to the blue of the sky."""
    near = halo_map()
    rings = 0.07 * np.cos(near * 20) + 0.05 * streaks
    light = ramp(1 - near * 1.05 + rings, *STAR)
    return mix(reference, light, smoothstep(near, 0.0, 0.34) * 0.95)


def ridge_line(x: Array, base: float, rise: float, swell: float) -> Array:
    """Return how far down the top of a range of hills is."""
    return base - rise * smoothstep(x, 200, 660) - swell * np.sin(x / 46 + base)


def add_hills(scene: Scene, rng: np.random.Generator) -> None:
    """Put the blue hills and the fields before them."""
    x, y = PLACES.real, PLACES.imag
    streaks = noise(SHAPE, (2, 9), rng)
    for shape, tone in zip(RIDGES, (0.55, 0.30, -1.0), strict=True):
        ridge = ridge_line(x, *shape)
        slope = unit(1 + 1j * np.gradient(ridge, axis=1) * 1.6 + 0.2j * noise(SHAPE, 20, rng))
        depth = (y - ridge) / 70
        if tone > 0:
            hill = ramp(tone - 0.55 * smoothstep(depth, 0, 1) + 0.16 * streaks, *HILLS)
        else:
            hill = ramp(0.34 + 0.2 * streaks - 0.1 * depth, *GROUND)
        scene.lay(y > ridge, hill, slope)


def add_bushes(scene: Scene, rng: np.random.Generator) -> None:
    """Put round bushes between the houses, each with its own little swirl of strokes."""
    for _ in range(70):
        centre = complex(rng.uniform(250, 640), rng.uniform(392, 500))
        radius = rng.uniform(9, 19)
        arm = PLACES - centre
        lit = 0.46 - 0.33 * (arm.real + arm.imag) / radius + rng.uniform(-0.1, 0.16)
        scene.lay(np.abs(arm) < radius, ramp(lit, *GROUND), unit(1j * arm + 0.4 * arm))


def add_cypress(scene: Scene, rng: np.random.Generator) -> list[Points]:
    """Put the dark flame of the cypress in front of it all; return its outlines."""
    tall = np.concatenate(
        [
            curve(
                74 + 510j,
                86 + 440j,
                82 + 390j,
                96 + 350j,
                90 + 300j,
                104 + 240j,
                108 + 190j,
                120 + 140j,
                117 + 90j,
                129 + 14j,
            ),
            curve(
                129 + 14j,
                131 + 70j,
                140 + 110j,
                136 + 150j,
                150 + 200j,
                148 + 250j,
                164 + 310j,
                160 + 360j,
                178 + 410j,
                190 + 510j,
            ),
        ]
    )
    low = np.concatenate(
        [
            curve(146 + 510j, 158 + 430j, 176 + 380j, 172 + 340j, 187 + 282j),
            curve(
                187 + 282j, 196 + 330j, 216 + 356j, 222 + 390j, 244 + 420j, 250 + 450j, 290 + 510j
            ),
        ]
    )
    x, y = PLACES.real, PLACES.imag
    lean = 0.42 * np.sin(y / 24 + x / 17) + 0.25 * noise(SHAPE, 14, rng)
    flow = unit(-1j + lean)
    tone = 0.36 + 0.2 * drag(noise(SHAPE, 1.8, rng), flow, 16)
    for shape in (low, tall):
        scene.lay(inside(SHAPE, shape), ramp(tone, *CYPRESS), flow)
    return [low, tall]


def flames(canvas: Canvas, outlines: list[Points]) -> None:
    """Let dark flames lick upwards out of the edges of the cypress."""
    brush = Brush(4, streaks=0.25, dryness=0.3)
    for outline in outlines:
        middle = len(outline) // 2
        for side, edge in ((-1, outline[:middle]), (1, outline[middle:][::-1])):
            for start in range(0, middle - 12, 3):
                piece = edge[start : start + 16]
                lick = piece + side * canvas.rng.uniform(1, 7) * np.linspace(-0.5, 1, len(piece))
                tint = colour(canvas.rng.choice(["#101812", "#1b2618", "#0b100e", "#2c2c18"]))
                canvas.stroke(lick, canvas.rng.uniform(2.5, 5.5), tint, brush)


def ridges(canvas: Canvas) -> None:
    """Draw the tops of the hills as dark broken lines on both sides of the cypress."""
    brush = Brush(3, streaks=0.2, dryness=0.4)
    for shape in RIDGES[:2]:
        for start in (*range(-10, 70, 16), *range(226, 640, 16)):
            x = start + canvas.rng.uniform(-3, 3) + np.arange(20.0)
            path = x + 1j * ridge_line(x, *shape)
            canvas.stroke(path, canvas.rng.uniform(2.2, 4.2), colour("#0b1230"), brush)


def moon(canvas: Canvas) -> None:
    """Draw the sickle of the moon with strokes along its bend."""
    brush = Brush(4, streaks=0.1, dryness=0.1, body=1.3)
    turn = np.linspace(-1.75, 1.9, 60)
    for inset in np.linspace(0, 9, 7):
        # Every next arc is moved towards the open side, so they meet in the two horns.
        arc = MOON - inset * 1.6 + (27 - 0.45 * inset) * np.exp(1j * (turn + 0.25))
        for start in range(0, 48, 12):
            tint = colour(canvas.rng.choice(["#f2a51e", "#f6b92f", "#e8931c", "#f9cf52"]))
            canvas.stroke(arc[start : start + 15], 3.6, tint, brush)


def village(canvas: Canvas) -> None:
    """Paint the houses with short strokes and dark outlines, and the church with its spire."""
    for left, base, width in (
        (300, 466, 40),
        (404, 448, 34),
        (452, 470, 46),
        (520, 456, 40),
        (566, 480, 50),
        (396, 494, 46),
        (330, 496, 40),
        (486, 500, 52),
        (590, 446, 36),
    ):
        house(canvas, complex(left, base), width)
    tower = 360 + 446j
    wall(
        canvas,
        [tower - 14, tower + 26, tower + 26 - 24j, tower + 6 - 38j, tower - 14 - 24j],
        ("#7f9cba", "#6a88ac", "#9ab3c4"),
    )
    wall(
        canvas,
        [tower - 1 - 30j, tower + 11 - 30j, tower + 6 - 124j, tower + 4 - 124j],
        ("#4f6f9f", "#6787b0", "#3f5d90"),
    )


def house(canvas: Canvas, corner: complex, width: float) -> None:
    """Paint one house seen from its long side, with a lit window."""
    tall = 0.36 * width
    eaves = corner - 1j * tall
    wall(canvas, [corner, corner + width, eaves + width, eaves], ("#2f4a6c", "#3b5a7c", "#5d7f98"))
    roofs = (("#5c4a3c", "#74543c", "#4a3d38"), ("#3b5680", "#4f6f96", "#2c4468"))
    wall(
        canvas,
        [
            eaves - 3,
            eaves + width + 3,
            eaves + 0.82 * width - 0.4j * width,
            eaves + 0.18 * width - 0.4j * width,
        ],
        roofs[int(width / 2) % 2],
    )
    window = corner + canvas.rng.uniform(0.25, 0.75) * width - 0.2j * tall
    canvas.stroke(curve(window, window - 0.5j * tall), 5, colour("#f6d24c"), Brush(5, dryness=0.1))


def wall(canvas: Canvas, corners: list[complex], tints: tuple[str, ...]) -> None:
    """Fill a polygon with strokes along its first side, and draw around it."""
    rng, count = canvas.rng, len(corners)
    canvas.stencil = enlarge(inside(SHAPE, corners))
    low, high = np.min(np.imag(corners)), np.max(np.imag(corners))
    left, right = np.min(np.real(corners)), np.max(np.real(corners))
    for y in np.arange(low, high + 2, 2.2):
        for x in np.arange(left - 4, right, 9):
            start = complex(x + rng.uniform(-3, 3), y)
            canvas.stroke(
                np.array([start, start + 12 + 1j * rng.normal()]),
                3.4,
                colour(rng.choice(list(tints))),
                Brush(3, streaks=0.12),
            )
    canvas.stencil = None
    for i, corner in enumerate(corners):
        canvas.stroke(
            curve(corner, corners[(i + 1) % count]), 2.0, colour("#0b1428"), Brush(2, dryness=0.2)
        )
