"""A study after Claude Monet, *Impression, Sunrise* (1872): broken dabs in a blue-grey haze.

Nearly everything has the same lightness, so the picture lives on its short separate touches: they
lie level on the water, slant across the sky and stand upright in the harbour.  The only pure
colour is the orange of the sun and of its broken reflection, which is painted last.
"""

import numpy as np
from brush import (
    Array,
    Brush,
    Canvas,
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

SHAPE = (496, 640)
PLACES = grid(SHAPE)
HORIZON = 232
SUN = 388 + 152j

SKY = ("#7f8e92", "#94979a", "#b3a08c", "#cfa27a", "#a9a196", "#8a9da3", "#73909c")
HARBOUR = ("#4c6478", "#5f7c8c", "#7b949c", "#94a5a3")
WATER = ("#6f8b97", "#7f9a9e", "#7d978f", "#87997f", "#6a8478")
TOUCHES = ("#b9c4b2", "#5d7f92", "#a7a98c", "#4a6a7e", "#93b0b4", "#c3ad8e")
DARK = ("#1c2a33", "#263b45", "#142027")
GLOW = ("#f4702a", "#f78a3c", "#ef5a22", "#f9a55a")


def paint(rng: np.random.Generator) -> Array:
    """Paint the study."""
    reference, flow = sky(rng)
    harbour(reference, flow, rng)
    water(reference, flow, rng)
    canvas = Canvas(mix(reference, colour("#8d938c"), np.full(SHAPE, 0.3)), rng)
    on_water = PLACES.imag > HORIZON + 20
    for brush in (
        Brush(24, 70, 9, (0.008, 0.03, 0.03), streaks=0.06, opacity=0.8, body=0.8),
        Brush(14, 40, 8, (0.015, 0.05, 0.035), streaks=0.07, dryness=0.5, opacity=0.7, body=0.8),
        Brush(7.5, 24, 9, (0.025, 0.06, 0.045), streaks=0.07, dryness=0.7, opacity=0.7),
    ):
        canvas.layer(reference, flow, brush)
    canvas.layer(reference, flow, Brush(4.5, 15, 7, (0.03, 0.08, 0.075), opacity=0.85), on_water)
    masts(canvas)
    touches(canvas)
    sun(canvas)
    boats(canvas)
    return canvas.finish(relief=0.26)


def sky(rng: np.random.Generator) -> tuple[Array, Points]:
    """Return the colours of the sky, warm above and hazy below, and its slanting clouds."""
    flow = unit(1 - 0.38j + 0.2j * noise(SHAPE, 40, rng) * (PLACES.imag < HORIZON))
    clouds = drag(noise(SHAPE, 7, rng), flow, 26)
    height = PLACES.imag / HORIZON
    reference = ramp(0.08 + 0.82 * height + 0.13 * clouds, *SKY)
    glow = np.exp(-((np.abs(PLACES - SUN) / 110) ** 2)) * 0.4
    return mix(reference, colour("#d9a078"), glow), flow


def harbour(reference: Array, flow: Points, rng: np.random.Generator) -> None:
    """Add the blue silhouettes of ships, cranes and smoke that the haze leaves of the harbour."""
    x, y = PLACES.real, PLACES.imag
    skyline = HORIZON - 34 - 26 * noise(SHAPE, (1e3, 13), rng) * (np.abs(x - SUN.real) > 40)
    depth = smoothstep(y, skyline - 22, skyline + 22) * (1 - smoothstep(y, 246, 262))
    gap = 1 - 0.75 * np.exp(-(((x - 300) / 34) ** 2))
    tone = 0.42 + 0.2 * noise(SHAPE, (16, 5), rng) + 0.16 * np.sin(x / 90)
    reference[:] = mix(reference, ramp(tone, *HARBOUR), 0.82 * depth * gap)
    upright = (depth > 0.3) & (noise(SHAPE, 9, rng) > -0.2)
    flow[upright] = unit(0.12 * noise(SHAPE, 8, rng) + 1j)[upright]


def water(reference: Array, flow: Points, rng: np.random.Generator) -> None:
    """Add the level water with its soft mirror image of the harbour and of the warm sky."""
    y = PLACES.imag
    below = y > HORIZON + 18
    level = unit(1 + 0.1j * noise(SHAPE, 18, rng))
    ripples = drag(noise(SHAPE, (3, 6), rng), level, 9)
    depth = (y - HORIZON) / (SHAPE[0] - HORIZON)
    sea = ramp(depth * 0.9 + 0.16 * ripples, *WATER)
    warm = np.exp(-(((PLACES.real - SUN.real - 10) / 95) ** 2)) * 0.3 * (1 - 0.5 * depth)
    sea = mix(sea, colour("#c49a78"), np.clip(warm + 0.07 * ripples, 0, 1))
    reference[below] = sea[below]
    flow[below] = level[below]


def masts(canvas: Canvas) -> None:
    """Draw faint masts and chimneys, their smoke, and their trembling mirror images."""
    rng = canvas.rng
    faint = Brush(3, streaks=0.05, dryness=0.9, opacity=0.6)
    for x in (38, 74, 92, 128, 182, 196, 232, 246, 262, 470, 496, 528, 552, 604):
        tall = rng.uniform(50, 125) if x < 300 else rng.uniform(30, 70)
        foot = x + 240j
        tint = colour(rng.choice(["#45627a", "#53738a", "#3f5668"]))
        canvas.stroke(curve(foot, foot + rng.uniform(-3, 3) - 1j * tall), 3, tint, faint)
        for down in np.arange(20, tall * 0.8, 9):
            place = foot + 1j * down + rng.uniform(-5, 5)
            canvas.stroke(curve(place - 6, place + 7 + 1j), 3.5, tint, faint)
    for start in (150 + 200j, 86 + 188j):
        for _ in range(26):
            puff = start + rng.normal(0, 12) + 1j * rng.normal(-34, 24)
            bend = puff + 9 - 9j + rng.normal(0, 3)
            canvas.stroke(
                curve(puff, bend, puff + 22 - 12j),
                rng.uniform(4, 8),
                colour(rng.choice(["#5d7f98", "#7b97a6", "#4f6d86"])),
                faint,
            )


def touches(canvas: Canvas) -> None:
    """Scatter single dabs over the water: small and pale far away, longer and darker near."""
    rng = canvas.rng
    brush = Brush(4, streaks=0.08, dryness=0.5, opacity=0.85)
    for near in np.sort(rng.uniform(0, 1, 430)):
        place = complex(rng.uniform(0, SHAPE[1]), 262 + 232 * near)
        long = rng.uniform(5, 10) + 11 * near
        dark = rng.random() < 0.12 + 0.3 * near**2
        tint = colour(rng.choice(["#34525c", "#3e5a58", "#2d4654"] if dark else list(TOUCHES)))
        sag = 1j * rng.uniform(-1.5, 2.5)
        canvas.stroke(
            curve(place - long, place + sag, place + long + sag / 3), 1.8 + 2.6 * near, tint, brush
        )


def sun(canvas: Canvas) -> None:
    """Paint the sun as a few round touches, and its reflection as broken level ones."""
    rng = canvas.rng
    brush = Brush(5, streaks=0.05, dryness=0.2, body=1.4)
    for radius in (12, 8.5, 5, 2):
        turn = rng.uniform(0, 6) + np.linspace(0, 6.6, 40)
        canvas.stroke(SUN + radius * np.exp(1j * turn), 6, colour("#f2622a"), brush)
    for down in np.arange(262, 452, 4.2):
        near = (down - 262) / 190
        for _ in range(2 if near < 0.6 else 1):
            if rng.random() < 0.2 + 0.3 * near:
                continue
            place = SUN.real + rng.normal(0, 7 + 8 * near) + 1j * (down + rng.uniform(-2, 2))
            long = rng.uniform(6, 15)
            canvas.stroke(
                curve(place - long, place + 1.5j, place + long - 1j),
                rng.uniform(2.5, 4.4),
                colour(rng.choice(list(GLOW))),
                brush,
            )
    for _ in range(34):
        place = complex(rng.normal(430, 110), rng.uniform(12, 90))
        canvas.stroke(
            curve(place, place + 20 - 9j, place + 44 - 14j),
            rng.uniform(3, 7),
            colour(rng.choice(["#e3a26a", "#dd8d55", "#d8b08a"])),
            Brush(5, dryness=1.0, opacity=0.6),
        )


def boats(canvas: Canvas) -> None:
    """Paint the two small dark boats, their rowers and their broken mirror images."""
    rows = [(-34 + 4j * row, 2 + 3j + 4j * row, 34 - 2j + 4j * row) for row in range(4)]
    standing, head = (-12 - 2j, -11 - 16j, -10 - 30j), (-10 - 30j, -9.5 - 35j)
    sitting, oar = (8 - 2j, 9 - 12j, 8 - 18j), (-12 - 18j, -8j, 16 + 8j)
    marks = [(row, 6.0) for row in rows]
    marks += [(standing, 7.0), (head, 7.0), (sitting, 7.0), (oar, 2.5)]
    for down in np.arange(22, 62, 6):
        place = canvas.rng.normal(-2, 7) + 1j * down
        long = canvas.rng.uniform(8, 24) * (1 - down / 90)
        marks.append(((place - long, place + 1j, place + long), 3.6))
    brush = Brush(5, streaks=0.12, dryness=0.15)
    for middle, size in ((300 + 352j, 1.0), (186 + 298j, 0.72)):
        for points, width in marks:
            tint = colour(canvas.rng.choice(list(DARK)))
            canvas.stroke(middle + size * curve(*points), width * size, tint, brush)
