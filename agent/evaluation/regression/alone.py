"""Owns the models that are shown cut out, with nothing behind them."""

from __future__ import annotations

from math import cos, pi, radians, sin
from random import Random
from typing import Any

from agent.evaluation.regression.shapes import Point, ball, block, curve, drum, lathe, plate, smooth, tube
from agent.evaluation.regression.stage import grain, lamp, paint, put, sky


def _studio(height: float) -> None:
    """A soft key light from the left, a fill and a rim, made for something of about that height."""
    sky((0.95, 0.97, 1.0), 0.55)
    lamp("Key", (-2.2 * height, -2.6 * height, 3 * height), (0, 0, height / 2), height, 95 * height**2, (1, 0.96, 0.9))
    lamp(
        "Fill",
        (3 * height, -2 * height, 1.5 * height),
        (0, 0, height / 2),
        1.5 * height,
        26 * height**2,
        (0.88, 0.94, 1),
    )
    lamp("Rim", (height, 3 * height, 2.5 * height), (0, 0, height / 2), height, 50 * height**2)


# ── tea ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
def tea(random: Random) -> None:
    """A pot, a cup and two biscuits on a wooden tray."""
    put("Tray", block(4.6, 2.9, 0.16, 0.07), grain("Tray", (0.66, 0.45, 0.28), (0.52, 0.33, 0.19), 2.2, 0.45))
    for side in (-1, 1):
        put(
            f"Tray edge {side}",
            block(0.14, 2.9, 0.34, 0.06),
            paint("Edge", (0.45, 0.28, 0.16), 0.45),
            (2.26 * side, 0, 0),
        )
    glaze = paint("Glaze", (0.13, 0.42, 0.48), 0.12, coat_weight=0.8)
    outline = smooth([(0.45, 0), (0.52, 0.05), (0.85, 0.35), (0.95, 0.7), (0.78, 1.1), (0.45, 1.3)])
    pot = (-0.75, 0.1, 0.16)
    x, y, z = pot
    put("Pot", lathe([(0, 0), *outline, (0, 1.3)], 64), glaze, pot)
    lid = smooth([(0.47, 0), (0.46, 0.05), (0.25, 0.15), (0.07, 0.19), (0.06, 0.25), (0.13, 0.33), (0.1, 0.42)])
    put("Lid", lathe([(0, 0), *lid, (0, 0.44)], 64), glaze, (x, y, z + 1.3))
    spout = curve([(x + 0.7, y, z + 0.45), (x + 1.15, y, z + 0.65), (x + 1.3, y, z + 1.0), (x + 1.55, y, z + 1.22)])
    put("Spout", tube(spout, (0.26, 0.17, 0.12, 0.09), 24), glaze)
    grip = curve(
        [
            (x - 0.72, y, z + 1.1),
            (x - 1.2, y, z + 1.15),
            (x - 1.36, y, z + 0.75),
            (x - 1.1, y, z + 0.4),
            (x - 0.8, y, z + 0.35),
        ]
    )
    put("Grip", tube(grip, (0.08, 0.09, 0.08)), glaze)
    _cup((1.35, -0.55, 0.16))
    biscuit = paint("Biscuit", (0.80, 0.58, 0.32), 0.8, bump=0.5, bump_scale=18)
    put("Biscuit 1", drum(0.36, 0.13, 0.05), biscuit, (-0.35, -1.05, 0.16))
    put("Biscuit 2", drum(0.36, 0.13, 0.05), biscuit, (0.05, -0.98, 0.22), (0, random.uniform(-16, -10), 0))
    _studio(2.0)


def _cup(place: Point) -> None:
    x, y, z = place
    white = paint("Porcelain", (0.93, 0.92, 0.88), 0.15, coat_weight=0.5)
    dish = smooth([(0.25, 0), (0.3, 0.03), (0.62, 0.12), (0.63, 0.15), (0.3, 0.08)])
    put("Saucer", lathe([(0, 0), *dish, (0, 0.06)], 64), white, place)
    outer = smooth([(0.2, 0), (0.24, 0.03), (0.38, 0.28), (0.42, 0.55), (0.4, 0.56), (0.37, 0.5)])
    put("Cup", lathe([(0, 0), *outer, (0, 0.46)], 64), white, (x, y, z + 0.07))
    put("Tea", drum(0.36, 0.02, 0.004), paint("Tea", (0.50, 0.22, 0.06), 0.08), (x, y, z + 0.535))
    ear = curve([(x + 0.36, y, z + 0.52), (x + 0.6, y, z + 0.5), (x + 0.6, y, z + 0.28), (x + 0.33, y, z + 0.24)])
    put("Ear", tube(ear, (0.045, 0.045)), white)


# ── rocket ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def rocket(random: Random) -> None:
    """A toy rocket on its launch pad."""
    white, red = (
        paint("White", (0.92, 0.92, 0.90), 0.25, coat_weight=0.6),
        paint("Red", (0.80, 0.12, 0.10), 0.25, coat_weight=0.6),
    )
    steel, dark = paint("Steel", (0.70, 0.72, 0.75), 0.25, metallic=1.0), paint("Dark", (0.12, 0.13, 0.16), 0.5)
    body = smooth([(0.42, 0), (0.6, 0.5), (0.66, 1.1), (0.58, 1.75), (0.4, 2.2)])
    put("Body", lathe([(0, 0), *body, (0, 2.2)], 64), white, (0, 0, 0.75))
    nose = smooth([(0.4, 0), (0.25, 0.35), (0.09, 0.62), (0.04, 0.7)])
    put("Nose", lathe([(0, 0), *nose, (0, 0.72)], 64), red, (0, 0, 2.95))
    put("Band", lathe([(0.625, -0.08), (0.66, -0.07), (0.672, 0.07), (0.64, 0.08)], 64), red, (0, 0, 1.62))
    put("Nozzle", lathe([(0, 0.3), (0.2, 0.0), (0.26, 0.0), (0.24, 0.1), (0.4, 0.3), (0, 0.3)]), steel, (0, 0, 0.5))
    start = random.uniform(20, 40)
    fin = [(0.5, 0.05), (1.05, -0.55), (1.12, -0.5), (1.05, 0.15), (0.85, 0.6), (0.6, 0.95), (0.5, 0.9)]
    for step in range(4):
        put(f"Fin {step + 1}", plate(fin, 0.1), red, (0, 0, 1.0), (0, 0, start + 90 * step))
    for name, height, tilt, out in (("Porthole", 2.05, 4, 0.62), ("Lower porthole", 1.25, -1, 0.64)):
        put(
            f"{name} rim",
            lathe([(0.13, 0), (0.2, 0), (0.2, 0.08), (0.13, 0.08), (0.13, 0)]),
            steel,
            (0, -out, height),
            (90 - tilt, 0, 0),
        )
        put(
            f"{name} pane",
            drum(0.14, 0.05, 0.01),
            paint(f"{name} pane", (0.16, 0.42, 0.68), 0.05, coat_weight=1.0),
            (0, -out, height),
            (90 - tilt, 0, 0),
        )
    put("Pad", drum(1.35, 0.2, 0.06), paint("Pad", (0.50, 0.53, 0.56), 0.7, bump=0.4, bump_scale=20))
    put(
        "Pad ring",
        lathe([(0.7, 0), (0.78, 0), (0.78, 0.06), (0.7, 0.06), (0.7, 0)]),
        paint("Yellow", (0.95, 0.74, 0.12), 0.5),
        (0, 0, 0.18),
    )
    for level in range(6):
        put(f"Tower rung {level + 1}", block(0.34, 0.34, 0.05, 0.01), dark, (-1.0, 0.45, 0.5 + 0.42 * level))
    for number, (i, j) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
        put(f"Tower post {number + 1}", block(0.07, 0.07, 2.6, 0.01), steel, (-1.0 + 0.14 * i, 0.45 + 0.14 * j, 0.2))
    put("Tower arm", block(0.6, 0.1, 0.1, 0.02), dark, (-0.72, 0.4, 2.15))
    _studio(3.2)


# ── snowman ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def snowman(random: Random) -> None:
    """A snowman with hat, scarf and broom on a patch of snow."""
    snow = paint("Snow", (0.90, 0.92, 0.95), 0.7, bump=0.5, bump_scale=5)
    ground = smooth([(1.75, 0), (1.8, 0.06), (1.5, 0.16), (0.8, 0.24)])
    put("Ground", lathe([(0, 0), *ground, (0, 0.26)], 64), snow)
    for name, radius, height in (("Belly", 0.95, 1.02), ("Chest", 0.68, 2.15), ("Head", 0.48, 3.02)):
        put(name, ball(radius, 32, 48), snow, (0, 0, height), (0, 0, random.uniform(0, 360)), (1, 1, 0.94))
    coal = paint("Coal", (0.06, 0.06, 0.07), 0.6, bump=0.6, bump_scale=30)
    for side in (-1, 1):
        put(f"Eye {side}", ball(0.065, 12, 18), coal, (0.17 * side, -0.42, 3.14))
    for number, angle in enumerate((-30, -15, 0, 15, 30)):
        spot = (0.46 * sin(radians(angle)) * 0.9, -0.44 * cos(radians(angle)), 2.83 + 0.0001 * angle**2)
        put(f"Mouth {number + 1}", ball(0.036, 10, 16), coal, spot)
    for number, (height, out) in enumerate(((2.4, 0.63), (2.08, 0.68), (1.35, 0.89))):
        put(f"Button {number + 1}", ball(0.075, 12, 18), coal, (0, -out, height))
    put(
        "Carrot",
        tube([(0, -0.44, 3.02), (0.02, -0.7, 3.01), (0.05, -0.98, 2.97)], (0.1, 0.07, 0.012)),
        paint("Carrot", (0.93, 0.45, 0.10), 0.6, bump=0.3),
    )
    _hat(random)
    _scarf()
    bark = paint("Bark", (0.30, 0.20, 0.13), 0.85, bump=0.5, bump_scale=15)
    left = curve([(-0.6, 0, 2.25), (-1.0, -0.1, 2.45), (-1.35, -0.15, 2.75)])
    put("Left arm", tube(left, (0.05, 0.03)), bark)
    for number, spot in enumerate(((-1.45, -0.3, 2.95), (-1.55, -0.15, 2.75), (-1.3, -0.1, 3.0))):
        put(f"Twig {number + 1}", tube([(-1.3, -0.15, 2.7), spot], (0.025, 0.012), 8), bark)
    put("Right arm", tube(curve([(0.6, 0, 2.2), (1.0, -0.25, 2.1), (1.3, -0.3, 2.2)]), (0.05, 0.03)), bark)
    put(
        "Broomstick",
        tube([(1.38, -0.3, 0.9), (1.2, -0.32, 3.0)], (0.045, 0.04)),
        paint("Stick", (0.62, 0.42, 0.24), 0.6),
    )
    put(
        "Broom",
        lathe(smooth([(0.06, 0.75), (0.12, 0.7), (0.17, 0.5), (0.32, 0.02), (0.28, 0)][::-1])),
        paint("Straw", (0.82, 0.66, 0.32), 0.9, bump=0.8, bump_scale=40),
        (1.43, -0.3, 0.2),
        (0, -5, 0),
    )
    _studio(3.4)


def _hat(random: Random) -> None:
    felt, ribbon = paint("Felt", (0.10, 0.10, 0.13), 0.7), paint("Ribbon", (0.72, 0.10, 0.12), 0.5)
    turn = (0, random.uniform(5, 10), 0)
    brim = [(0, 0), (0.6, 0), (0.62, 0.02), (0.6, 0.05), (0.4, 0.06), (0.37, 0.6), (0.35, 0.63), (0, 0.63)]
    put("Hat", lathe(brim), felt, (0.02, 0, 3.4), turn)
    put("Hat ribbon", lathe([(0.39, 0.06), (0.415, 0.07), (0.405, 0.19), (0.385, 0.2)]), ribbon, (0.02, 0, 3.4), turn)


def _scarf() -> None:
    wool = paint("Wool", (0.75, 0.14, 0.15), 0.9, bump=0.7, bump_scale=25)
    ring = [(0.47 + 0.12 * cos(a), 2.66 + 0.11 * sin(a)) for a in (2 * pi * s / 16 for s in range(17))]
    put("Scarf", lathe(ring), wool, turn=(3, 0, 0))
    end = curve([(0.25, -0.5, 2.66), (0.34, -0.68, 2.4), (0.38, -0.75, 1.95), (0.42, -0.86, 1.7)])
    put("Scarf end", tube(end, (0.11, 0.13, 0.13), 12), wool, (0.1, 0.2, 0), (0, 0, 0), (0.9, 0.8, 1))


# ── house ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def house(random: Random) -> None:
    """A small house with a garden, as a model on a base."""
    put("Base", block(5.6, 4.6, 0.3, 0.08), paint("Base", (0.45, 0.33, 0.24), 0.7), (0, 0, -0.3))
    put(
        "Lawn",
        block(5.3, 4.3, 0.1, 0.04),
        paint("Grass", (0.36, 0.55, 0.22), 0.9, bump=0.8, bump_scale=20),
        (0, 0, -0.04),
    )
    plaster, beam = paint("Plaster", (0.92, 0.86, 0.72), 0.85, bump=0.15), paint("Beam", (0.33, 0.21, 0.13), 0.7)
    put(
        "Walls",
        plate([(-1.0, 0), (1.0, 0), (1.0, 1.4), (0, 2.5), (-1.0, 1.4)], 2.6),
        plaster,
        (-0.4, 0.35, 0.06),
        (0, 0, 90),
    )
    tiles = paint("Tiles", (0.70, 0.27, 0.18), 0.6, bump=0.5, bump_scale=10)
    for side in (-1, 1):
        middle = (-0.4, 0.35 + side * 0.62, 1.86)
        put(f"Roof {side}", block(3.1, 1.78, 0.12, 0.03), tiles, middle, (-side * 47.7, 0, 0))
    put("Ridge", tube([(-1.95, 0.35, 2.66), (1.15, 0.35, 2.66)], (0.08, 0.08)), tiles)
    put("Chimney", block(0.42, 0.42, 1.0, 0.02), paint("Brick", (0.56, 0.26, 0.20), 0.8, bump=0.4), (-1.1, 0.8, 2.0))
    put("Chimney top", block(0.54, 0.54, 0.1, 0.02), beam, (-1.1, 0.8, 2.98))
    put("Door", block(0.55, 0.1, 1.0, 0.02), paint("Door", (0.16, 0.36, 0.46), 0.4), (-0.4, -0.68, 0.06))
    put("Door knob", ball(0.04, 10, 16), paint("Brass", (0.88, 0.68, 0.36), 0.25, metallic=1.0), (-0.22, -0.75, 0.55))
    put("Step", block(0.8, 0.35, 0.1, 0.02), paint("Stone", (0.62, 0.60, 0.56), 0.8, bump=0.4), (-0.4, -0.85, 0.05))
    pane = paint("Pane", (0.22, 0.34, 0.42), 0.08, coat_weight=0.8)
    for number, x in enumerate((-1.25, 0.45)):
        put(f"Window {number + 1}", block(0.5, 0.06, 0.5, 0.01), pane, (x, -0.66, 0.62))
        _window_frame(f"Window {number + 1} frame", beam, (x, -0.69, 0.62))
    put("Gable window", drum(0.22, 0.06, 0.02), pane, (0.9, 0.35, 1.7), (0, 90, 0))
    put(
        "Gable window frame",
        lathe([(0.2, 0), (0.27, 0), (0.27, 0.1), (0.2, 0.1), (0.2, 0)]),
        beam,
        (0.9, 0.35, 1.7),
        (0, 90, 0),
    )
    for number in range(4):
        spot = (-0.4 + 0.12 * (number % 2), -1.2 - 0.28 * number, 0.05)
        put(
            f"Path {number + 1}",
            drum(0.19, 0.05, 0.02, 20),
            paint(f"Path {number + 1}", (0.68, 0.65, 0.60), 0.8),
            spot,
            (0, 0, 0),
            (1.2, 0.8, 1),
        )
    bark = paint("Bark", (0.36, 0.24, 0.15), 0.85)
    for number, (x, y, height) in enumerate(((1.85, 0.9, 1.5), (1.7, -1.0, 1.0), (-2.15, -1.1, 0.85))):
        _tree(f"Tree {number + 1}", (x, y, 0.05), height + random.uniform(-0.1, 0.15), bark, random)
    for number in range(9):
        put(
            f"Fence {number + 1}",
            block(0.1, 0.05, 0.42, 0.02),
            paint(f"Fence {number + 1}", (0.93, 0.92, 0.88), 0.6),
            (0.45 + 0.25 * number, -1.95, 0.05),
        )
    for height in (0.18, 0.34):
        put(
            f"Rail {height}",
            block(2.15, 0.04, 0.06, 0.01),
            paint(f"Rail {height}", (0.93, 0.92, 0.88), 0.6),
            (1.45, -1.92, height),
        )
    _studio(3.4)


def _window_frame(name: str, material: Any, place: Point) -> None:
    x, y, z = place
    for side in (-1, 0, 1):
        put(f"{name}, upright {side}", block(0.06, 0.06, 0.56, 0.01), material, (x + 0.25 * side, y, z - 0.03))
        put(f"{name}, beam {side}", block(0.56, 0.06, 0.06, 0.01), material, (x, y, z + 0.22 + 0.25 * side))


def _tree(name: str, place: Point, height: float, bark: Any, random: Random) -> None:
    x, y, z = place
    put(f"{name} trunk", tube([(x, y, z), (x, y, z + 0.5 * height)], (0.1, 0.07), 12), bark)
    leaf = paint(f"{name} leaves", (0.20 + random.uniform(-0.04, 0.06), 0.44, 0.18), 0.8, bump=0.9, bump_scale=9)
    for level in range(3):
        wide = height * (0.42 - 0.09 * level)
        cone = [(0, 0), (wide, 0), (wide, 0.04), (0.04, 0.52 * height), (0, 0.53 * height)]
        put(f"{name} tier {level + 1}", lathe(cone, 32), leaf, (x, y, z + height * (0.3 + 0.27 * level)))
