"""A study after Pablo Picasso's analytic cubism, *Seated Nude* (1909-10): facets and hatching.

The ground is a plane that is split again and again along a few slanting directions.  The figure is
built of larger and lighter facets over it.  Every facet is shaded from one of its edges to the
other, as if it were folded, and is hatched by the brush in a direction of its own; broken dark
contours are drawn over the edges.
"""

import numpy as np
from brush import (
    SUPERSAMPLE,
    Array,
    Brush,
    Canvas,
    colour,
    grid,
    inside,
    ramp,
)

SHAPE = (640, 500)
PLACES = grid(SHAPE)
Outline = list[complex]

UMBER = ("#15130f", "#2b261d", "#4b4130", "#6c5c40", "#8c7852")
GREY = ("#161717", "#2b2e2c", "#4b4d48", "#72736a", "#9d9b8c")
OLIVE = ("#15150f", "#2a291c", "#47442e", "#6b6542", "#8d845a")
OCHRE = ("#2c2118", "#574328", "#8b6f44", "#b59766", "#d8c598")
FLESH = ("#3b342a", "#6c6250", "#9c8f74", "#c3b593", "#e3d9ba")
CONTOUR = "#100e0b"
HATCHING = (
    Brush(12, 40, 8, (0.004, 0.03, 0.015), streaks=0.07, dryness=0.15, tolerance=0.3, body=0.7),
    Brush(5, 26, 5, (0.008, 0.06, 0.035), streaks=0.10, dryness=0.5, tolerance=0.12, opacity=0.8),
    Brush(2.6, 17, 6, (0.012, 0.08, 0.06), streaks=0.10, tolerance=0.10, opacity=0.85),
)

# The figure from back to front: the palette of each facet and its corners, on a 500 × 640 plane.
FIGURE: tuple[tuple[tuple[str, ...], Outline], ...] = (
    (UMBER, [330 + 60j, 420 + 84j, 408 + 330j, 322 + 340j]),  # back of the chair
    (OLIVE, [322 + 340j, 408 + 330j, 426 + 470j, 330 + 462j]),
    (UMBER, [60 + 420j, 128 + 392j, 150 + 520j, 84 + 560j]),  # arm of the chair
    (GREY, [190 + 48j, 262 + 34j, 288 + 96j, 226 + 118j]),  # hair
    (UMBER, [170 + 96j, 196 + 46j, 226 + 118j, 190 + 150j]),
    (FLESH, [190 + 100j, 228 + 84j, 240 + 150j, 206 + 168j]),  # face
    (OCHRE, [228 + 84j, 268 + 96j, 262 + 140j, 240 + 150j]),
    (GREY, [206 + 168j, 240 + 150j, 262 + 140j, 256 + 186j, 228 + 204j]),
    (FLESH, [226 + 118j, 240 + 112j, 250 + 158j, 232 + 164j]),  # nose
    (OCHRE, [212 + 196j, 256 + 178j, 266 + 234j, 222 + 246j]),  # neck
    (GREY, [110 + 262j, 216 + 222j, 232 + 280j, 140 + 318j]),  # shoulders
    (FLESH, [104 + 270j, 168 + 240j, 150 + 330j, 100 + 372j]),
    (FLESH, [256 + 226j, 352 + 262j, 330 + 318j, 252 + 290j]),
    (OCHRE, [320 + 250j, 366 + 286j, 360 + 372j, 318 + 330j]),
    (UMBER, [150 + 316j, 236 + 280j, 250 + 392j, 172 + 420j]),  # trunk
    (FLESH, [168 + 300j, 240 + 262j, 226 + 372j, 176 + 388j]),
    (OCHRE, [232 + 272j, 316 + 300j, 290 + 384j, 228 + 372j]),
    (GREY, [226 + 372j, 300 + 350j, 318 + 442j, 240 + 468j]),
    (FLESH, [196 + 380j, 262 + 362j, 268 + 450j, 214 + 468j]),
    (OCHRE, [170 + 410j, 216 + 392j, 222 + 470j, 178 + 478j]),
    (GREY, [98 + 366j, 146 + 340j, 150 + 454j, 108 + 470j]),  # left arm
    (FLESH, [106 + 440j, 150 + 430j, 232 + 470j, 218 + 502j, 110 + 478j]),
    (FLESH, [320 + 330j, 362 + 366j, 348 + 462j, 306 + 440j]),  # right arm
    (OCHRE, [346 + 440j, 316 + 420j, 226 + 486j, 240 + 514j]),
    (UMBER, [96 + 500j, 250 + 478j, 262 + 560j, 120 + 590j]),  # thighs
    (FLESH, [112 + 506j, 236 + 492j, 214 + 540j, 96 + 566j]),
    (GREY, [244 + 480j, 372 + 470j, 402 + 536j, 262 + 560j]),
    (FLESH, [262 + 492j, 384 + 484j, 362 + 524j, 256 + 540j]),
    (OCHRE, [96 + 560j, 150 + 548j, 168 + 640j, 104 + 640j]),  # shins
    (FLESH, [340 + 520j, 396 + 516j, 372 + 640j, 316 + 640j]),
    (UMBER, [180 + 560j, 262 + 548j, 276 + 640j, 190 + 640j]),
)


def paint(rng: np.random.Generator) -> Array:
    """Paint the study."""
    canvas = Canvas(np.zeros((*SHAPE, 3)) + colour("#2a2720"), rng)
    for outline in split([-5 - 5j, 505 - 5j, 505 + 645j, -5 + 645j], 6, rng):
        add_facet(canvas, outline, ground_palette(rng), (0.0, 0.62), 0.5)
    for _ in range(34):
        add_facet(canvas, splinter(rng), ground_palette(rng), (0.03, 0.68), 0.55)
    for palette, outline in FIGURE:
        add_facet(canvas, outline, palette, (0.16, 1.05), 0.9)
        add_shards(canvas, outline, palette)
    for _ in range(14):
        stray_line(canvas)
    return canvas.finish(relief=0.22)


def ground_palette(rng: np.random.Generator) -> tuple[str, ...]:
    """Choose a palette for a facet of the ground."""
    return (UMBER, UMBER, UMBER, GREY, GREY, OLIVE, OLIVE, OCHRE)[rng.integers(8)]


def splinter(rng: np.random.Generator) -> Outline:
    """Return a slanting four-cornered facet somewhere on the ground."""
    middle = complex(rng.uniform(0, 500), rng.uniform(0, 640))
    axis = np.exp(1j * np.radians(rng.choice([28, 62, 90, 118, 152]) + rng.normal(0, 6)))
    long, wide = rng.uniform(35, 90), rng.uniform(14, 40)
    return [
        middle + axis * complex(long * sign + rng.normal(0, 9), wide * side)
        for sign, side in ((-1, -0.7), (1, -1), (1, 0.6), (-1, 1))
    ]


def split(outline: Outline, depth: int, rng: np.random.Generator) -> list[Outline]:
    """Split a polygon again and again by straight lines in cubism's few favourite directions."""
    size = np.ptp(np.real(outline)) * np.ptp(np.imag(outline))
    if depth == 0 or size < 2600:
        return [outline]
    angle = np.radians(rng.choice([28, 62, 90, 118, 152, 4]) + rng.normal(0, 7))
    normal = 1j * np.exp(1j * angle)
    middle = np.mean(outline) + rng.normal(0, 0.1) * np.sqrt(size) * normal
    side = [((corner - middle) * np.conj(normal)).real for corner in outline]
    parts: tuple[Outline, Outline] = ([], [])
    for i, (corner, here) in enumerate(zip(outline, side, strict=True)):
        parts[int(here > 0)].append(corner)
        after = side[(i + 1) % len(side)]
        if here * after < 0:
            crossing = corner + (outline[(i + 1) % len(outline)] - corner) * here / (here - after)
            parts[0].append(crossing)
            parts[1].append(crossing)
    return [piece for part in parts if len(part) > 2 for piece in split(part, depth - 1, rng)]


def add_facet(
    canvas: Canvas,
    outline: Outline,
    palette: tuple[str, ...],
    tones: tuple[float, float],
    drawn: float,
) -> None:
    """Paint one facet over what is there, shaded across from one of its edges, and hatched."""
    rng = canvas.rng
    edge = int(rng.integers(len(outline)))
    along = outline[(edge + 1) % len(outline)] - outline[edge]
    along /= max(abs(along), 1e-9)
    depth = np.abs(((PLACES - outline[edge]) * np.conj(1j * along)).real)
    where = inside(SHAPE, outline)
    fold = np.clip(depth / max(1.0, depth[where].max(initial=0)), 0, 1)
    low, high = np.array(tones) + rng.normal(0, 0.07, 2)
    fall = rng.choice([0.55, 1.0])
    shade = ramp(high - (high - low) * fold**fall, *palette)
    canvas.stencil = inside(canvas.height.shape, [corner * SUPERSAMPLE for corner in outline])
    # Passage: at its far end a facet lets what lies behind it through.
    canvas.glaze(shade, 0.95 - 0.7 * fold**2)
    hatch = np.full(SHAPE, along * np.exp(1j * rng.choice([0.0, 1.57, 0.5, -0.5])))
    for brush in HATCHING:
        canvas.layer(shade, hatch, brush, where & (rng.random(SHAPE) > 0.8 * fold**2))
    canvas.stencil = None
    for i, corner in enumerate(outline):
        share = 1.0 if i == edge else 0.5
        draw_edge(canvas, corner, outline[(i + 1) % len(outline)], share * drawn)


def add_shards(canvas: Canvas, outline: Outline, palette: tuple[str, ...]) -> None:
    """Break a facet of the figure into smaller ones, some of which slip out of their place."""
    rng = canvas.rng
    for piece in split(outline, 2, rng):
        if rng.random() < 0.5:
            slip = complex(*rng.normal(0, 3, 2))
            tint = palette if rng.random() < 0.7 else (OCHRE, GREY, FLESH)[rng.integers(3)]
            add_facet(canvas, [corner + slip for corner in piece], tint, (0.1, 1.0), 0.6)


def draw_edge(canvas: Canvas, start: complex, stop: complex, weight: float) -> None:
    """Draw an edge by hand: bowed a little, of uneven weight, and not always all the way."""
    rng = canvas.rng
    if rng.random() > 0.3 + 0.7 * weight:
        return
    first, last = rng.uniform(-0.05, 0.25 * (1.3 - weight)), rng.uniform(0.8, 1.06)
    along = np.linspace(first, last, 24)
    bow = 0.010j * rng.normal() * np.sin(np.pi * along)
    path = start + (stop - start) * (along + bow)
    # A dark line with a soft smudge beside it, as where charcoal was painted over.
    smudge = Brush(6, streaks=0.1, dryness=0.9, opacity=0.35, body=0.4)
    line = Brush(2, streaks=0.1, dryness=0.3, opacity=0.92, body=0.3)
    canvas.stroke(path, rng.uniform(4, 9) * weight, colour(CONTOUR), smudge)
    canvas.stroke(path, rng.uniform(1.2, 3.2) * (0.3 + 0.7 * weight), colour(CONTOUR), line)


def stray_line(canvas: Canvas) -> None:
    """Draw one of the long lines that tie the figure to the ground."""
    rng = canvas.rng
    middle = complex(rng.uniform(60, 440), rng.uniform(60, 600))
    reach = rng.uniform(20, 70) * np.exp(1j * np.radians(rng.choice([62, 118, 90, 28, 152])))
    draw_edge(canvas, middle - reach, middle + reach, 0.8)
