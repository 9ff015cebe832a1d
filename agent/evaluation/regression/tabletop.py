"""Owns the models that stand on a table before a wall."""

from __future__ import annotations

from math import cos, pi, radians, sin
from random import Random
from typing import Any

from agent.evaluation.regression.shapes import (
    Point,
    Shape,
    ball,
    block,
    copies,
    curve,
    drum,
    lathe,
    plate,
    smooth,
    tube,
)
from agent.evaluation.regression.stage import bulb, glass, glow, grain, lamp, paint, put, sky


def _room(top: Any, wall: Any, depth: float) -> None:
    """A table top at height 0, and a wall behind it."""
    put("Table", block(26, 12, 0.4, 0.03), top, (0, depth - 6, -0.4), support=True)
    put("Wall", block(44, 0.3, 14, 0.01), wall, (0, depth + 0.15, -2), support=True)


# ── chess ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def chess(random: Random) -> None:
    """Five pieces in the middle of a game."""
    wood = grain("Table", (0.42, 0.27, 0.16), (0.30, 0.18, 0.10), 1.6, 0.35)
    _room(wood, paint("Wall", (0.56, 0.62, 0.60), 0.9), 4.3)
    frame = paint("Frame", (0.23, 0.12, 0.07), 0.3, coat_weight=0.5)
    light, dark = paint("Light square", (0.90, 0.82, 0.66), 0.35), paint("Dark square", (0.36, 0.19, 0.11), 0.35)
    put("Board", block(6.9, 6.9, 0.24, 0.05), frame, (0, 0.2, 0))
    square = block(0.8, 0.8, 0.03, 0.004)
    for name, material, odd in (("Light squares", light, 1), ("Dark squares", dark, 0)):
        places = [_square(i, j, 0.22) for i in range(8) for j in range(8) if (i + j) % 2 == odd]
        put(name, copies(square, places), material)
    ivory = paint("Ivory", (0.93, 0.88, 0.76), 0.25, coat_weight=0.4)
    ebony = paint("Ebony", (0.10, 0.09, 0.10), 0.2, coat_weight=0.6)
    _king("White king", ivory, _square(4, 1))
    _pawn("White pawn", ivory, _square(3, 2))
    _rook("White rook", ivory, _square(6, 2))
    _knight("Black knight", ebony, _square(2, 4), random.uniform(-12, 12))
    _pawn("Black pawn", ebony, _square(5, 4))
    _queen("Black queen", ebony, _square(4, 5))
    sky((0.85, 0.92, 1.0), 0.35)
    lamp("Window", (-6, -3, 7), (0, 0, 0.5), 2.5, 1100, (1, 0.95, 0.86))
    lamp("Room", (6, -6, 5), (0, 0, 0.5), 4, 260, (0.85, 0.93, 1))


def _square(column: int, row: int, height: float = 0.25) -> Point:
    return 0.8 * (column - 3.5), 0.8 * (row - 3.5) + 0.2, height


_FOOT = ((0, 0), (0.31, 0), (0.33, 0.03), (0.32, 0.09), (0.26, 0.13), (0.27, 0.17), (0.2, 0.24))


def _pawn(name: str, material: Any, place: Point) -> None:
    body = [*_FOOT, (0.12, 0.5), (0.11, 0.6), (0.2, 0.64), (0.2, 0.67), (0.1, 0.7)]
    head = [(0.175 * cos(a), 0.84 + 0.175 * sin(a)) for a in (-0.9, -0.5, 0, 0.5, 0.9, 1.3)]
    put(name, lathe([*body, *head, (0, 1.015)]), material, place)


def _rook(name: str, material: Any, place: Point) -> None:
    tower = [
        *_FOOT,
        (0.18, 0.4),
        (0.17, 0.75),
        (0.24, 0.83),
        (0.27, 0.86),
        (0.27, 1.0),
        (0.2, 1.0),
        (0.2, 0.92),
        (0, 0.92),
    ]
    put(name, lathe(tower), material, place)
    for step in range(6):
        turn = 2 * pi * step / 6
        x, y, z = place
        spot = (x + 0.235 * cos(turn), y + 0.235 * sin(turn), z + 0.97)
        put(f"{name} merlon {step + 1}", block(0.075, 0.15, 0.13, 0.015), material, spot, (0, 0, step * 60))


def _queen(name: str, material: Any, place: Point) -> None:
    body = [*_FOOT, (0.14, 0.6), (0.12, 0.95), (0.2, 1.0), (0.2, 1.04), (0.13, 1.08), (0.25, 1.36), (0.2, 1.36)]
    put(name, lathe([*body, (0.17, 1.33), (0.08, 1.44), (0, 1.46)]), material, place)
    x, y, z = place
    put(f"{name} ball", ball(0.075), material, (x, y, z + 1.5))
    for step in range(8):
        turn = 2 * pi * step / 8
        put(
            f"{name} point {step + 1}",
            ball(0.045, 10, 16),
            material,
            (x + 0.225 * cos(turn), y + 0.225 * sin(turn), z + 1.38),
        )


def _king(name: str, material: Any, place: Point) -> None:
    body = [*_FOOT, (0.15, 0.65), (0.13, 1.05), (0.22, 1.1), (0.22, 1.14), (0.14, 1.18), (0.24, 1.5), (0.22, 1.54)]
    put(name, lathe([*body, (0.1, 1.62), (0, 1.63)]), material, place)
    x, y, z = place
    put(f"{name} cross, upright", block(0.07, 0.06, 0.28, 0.015), material, (x, y, z + 1.6))
    put(f"{name} cross, beam", block(0.2, 0.06, 0.07, 0.015), material, (x, y, z + 1.71))


def _knight(name: str, material: Any, place: Point, turn: float) -> None:
    put(f"{name} foot", lathe([*_FOOT, (0.2, 0.26), (0, 0.26)]), material, place)
    x, y, z = place
    put(f"{name} head", plate(_horse(), 0.19), material, (x, y, z + 0.24), (0, 0, turn - 25))


def _horse() -> list[tuple[float, float]]:
    """A horse's head that looks to the left, counter-clockwise."""
    spots = [(-0.16, 0.0), (0.2, 0.0), (0.23, 0.3), (0.2, 0.58), (0.1, 0.76), (0.0, 0.94), (-0.05, 0.8), (-0.15, 0.7),
             (-0.33, 0.48), (-0.33, 0.37), (-0.25, 0.35), (-0.12, 0.44), (-0.02, 0.4), (-0.12, 0.22)]  # fmt: skip
    loop = [*spots[-1:], *spots, *spots[:2]]
    path = curve([(x, 0, z) for x, z in loop], 3)
    return [(x, z) for x, _, z in path[3:-6]]


# ── desk ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def desk(random: Random) -> None:
    """Books, an apple and a cup of pencils."""
    _room(
        grain("Desk", (0.70, 0.53, 0.36), (0.58, 0.41, 0.26), 1.2, 0.4),
        paint("Wall", (0.80, 0.77, 0.70), 0.9, bump=0.1),
        2.4,
    )
    cream = paint("Paper", (0.93, 0.89, 0.78), 0.8)
    lying = (
        ((2.3, 1.6, 0.36), (0.15, 0.27, 0.42)),
        ((2.0, 1.45, 0.3), (0.66, 0.20, 0.17)),
        ((1.75, 1.25, 0.26), (0.88, 0.68, 0.28)),
    )
    height = 0.0
    for number, (size, color) in enumerate(lying):
        turn = random.uniform(-14, 14)
        _book(
            f"Book {number + 1}",
            size,
            paint(f"Cover {number + 1}", color, 0.5, coat_weight=0.15),
            cream,
            (0.85, 0.5, height),
            turn,
        )
        height += size[2]
    _apple((0.9, 0.45, height))
    for number, color in enumerate(((0.20, 0.42, 0.33), (0.75, 0.70, 0.62), (0.40, 0.22, 0.36), (0.83, 0.45, 0.20))):
        tall = (0.3 + 0.05 * (number % 2), 1.35, 1.9 + random.uniform(-0.25, 0.2))
        put(
            f"Standing book {number + 1}",
            block(*tall, 0.02),
            paint(f"Spine {number + 1}", color, 0.55),
            (-2.45 + 0.37 * number, 1.2, 0),
        )
    put("Bookend", block(0.08, 1.1, 1.3, 0.02), paint("Steel", (0.6, 0.62, 0.65), 0.3, metallic=1.0), (-0.92, 1.2, 0))
    _pencils(random, (-1.35, -0.45, 0))
    put("Rubber", block(0.5, 0.26, 0.17, 0.05), paint("Rubber", (0.90, 0.55, 0.58), 0.8), (-0.35, -0.75, 0), (0, 0, 28))
    sky((0.85, 0.92, 1.0), 0.4)
    lamp("Window", (-5.5, -4, 5.5), (0, 0, 0.8), 2.2, 1000, (1, 0.95, 0.87))
    lamp("Room", (5, -6, 4), (0, 0, 1), 4, 200, (0.9, 0.95, 1))


def _book(name: str, size: Point, cover: Any, paper: Any, place: Point, turn: float) -> None:
    """Two boards and a spine round its pages."""
    width, depth, height = size
    x, y, z = place
    put(f"{name} pages", block(width - 0.1, depth - 0.1, height - 0.08, 0.015), paper, (x, y, z + 0.04), (0, 0, turn))
    for part, low in (("back", 0.0), ("front", height - 0.05)):
        put(f"{name} {part}", block(width, depth, 0.05, 0.015), cover, (x, y, z + low), (0, 0, turn))
    angle, out = radians(turn), -depth / 2 + 0.025
    spot = (x - out * sin(angle), y + out * cos(angle), z)
    put(f"{name} spine", block(width, 0.05, height, 0.02), cover, spot, (0, 0, turn))


def _apple(place: Point) -> None:
    outline = [
        (0, 0.06),
        (0.12, 0.01),
        (0.3, 0.08),
        (0.43, 0.32),
        (0.42, 0.55),
        (0.28, 0.72),
        (0.12, 0.73),
        (0.03, 0.64),
        (0, 0.62),
    ]
    put("Apple", lathe(smooth(outline)), paint("Apple", (0.72, 0.13, 0.10), 0.25, coat_weight=0.3), place)
    x, y, z = place
    stem = curve([(x, y, z + 0.62), (x + 0.02, y, z + 0.74), (x + 0.08, y, z + 0.85)])
    put("Apple stem", tube(stem, (0.022, 0.018, 0.03)), paint("Bark", (0.28, 0.18, 0.10), 0.8))


def _pencils(random: Random, place: Point) -> None:
    cup = [(0, 0), (0.34, 0), (0.37, 0.04), (0.4, 0.9), (0.39, 0.93), (0.36, 0.9), (0.33, 0.08), (0, 0.08)]
    put("Cup", lathe(cup), paint("Enamel", (0.16, 0.42, 0.46), 0.2, coat_weight=0.6), place)
    colors = ((0.95, 0.76, 0.20), (0.80, 0.20, 0.16), (0.25, 0.45, 0.75), (0.30, 0.60, 0.30))
    wood, x, y, z = paint("Pencil wood", (0.87, 0.70, 0.50), 0.7), *place
    for number, color in enumerate(colors):
        lean, around = random.uniform(6, 11), 90 * number + random.uniform(-20, 20)
        length, tip = 1.35 + random.uniform(-0.1, 0.2), 0.16
        turn = (0, lean, around)
        foot = (x - 0.12 * cos(radians(around)), y - 0.12 * sin(radians(around)), z + 0.12)
        shaft = [(0, 0), (0.055, 0), (0.055, length)]
        put(
            f"Pencil {number + 1}",
            lathe([*shaft, (0, length)], 12),
            paint(f"Lacquer {number + 1}", color, 0.35),
            foot,
            turn,
        )
        point = [(0.055, length), (0.015, length + tip), (0, length + tip + 0.03)]
        put(f"Pencil {number + 1} tip", lathe(point, 12), wood, foot, turn)


# ── lamp ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
def bedside(random: Random) -> None:
    """A shining lamp at dusk, with a clock and a glass of water."""
    _room(
        grain("Bedside table", (0.36, 0.22, 0.14), (0.26, 0.15, 0.09), 1.4, 0.35),
        paint("Wall", (0.42, 0.50, 0.56), 0.9, bump=0.1),
        2.0,
    )
    foot = smooth(
        [(0.02, 0), (0.6, 0.02), (0.66, 0.1), (0.5, 0.3), (0.62, 0.75), (0.5, 1.15), (0.2, 1.45), (0.13, 1.6)]
    )
    put(
        "Foot",
        lathe([(0, 0), *foot, (0, 1.6)]),
        paint("Glaze", (0.15, 0.35, 0.42), 0.15, coat_weight=0.8),
        (-0.35, 0.3, 0),
    )
    brass = paint("Brass", (0.88, 0.68, 0.36), 0.25, metallic=1.0)
    put("Neck", drum(0.07, 0.5, 0.015), brass, (-0.35, 0.3, 1.58))
    put(
        "Shade",
        lathe([(1.1, 0), (0.72, 1.15), (0.7, 1.15), (1.08, 0), (1.1, 0)]),
        glow("Shade", (1.0, 0.80, 0.52), 0.55),
        (-0.35, 0.3, 1.8),
    )
    bulb("Bulb", (-0.35, 0.3, 2.3), 150, (1.0, 0.74, 0.45), 0.2)
    _clock((1.25, -0.35, 0), brass, random.uniform(0, 360))
    tumbler = [(0, 0), (0.3, 0), (0.33, 0.03), (0.38, 0.85), (0.36, 0.87), (0.34, 0.85), (0.3, 0.1), (0, 0.08)]
    put("Tumbler", lathe(tumbler), glass("Glass", (0.93, 0.98, 0.97)), (-1.75, -0.4, 0))
    put(
        "Book",
        block(1.3, 0.95, 0.2, 0.03),
        paint("Cloth", (0.58, 0.16, 0.20), 0.7),
        (0.35, -1.05, 0),
        (0, 0, random.uniform(-18, -6)),
    )
    sky((0.35, 0.5, 0.85), 0.35)
    lamp("Dusk", (-5, -5, 5), (0, 0, 1), 3, 200, (0.62, 0.78, 1))


def _clock(place: Point, brass: Any, minute: float) -> None:
    x, y, z = place
    white, black = paint("Dial", (0.93, 0.92, 0.87), 0.5), paint("Hands", (0.08, 0.08, 0.09), 0.4)
    put("Clock", drum(0.5, 0.3, 0.06), brass, (x, y + 0.15, z + 0.58), (90, 0, 0))
    put("Dial", drum(0.43, 0.02, 0.005), white, (x, y - 0.145, z + 0.58), (90, 0, 0))
    for name, length, turn in (("Minute hand", 0.36, minute), ("Hour hand", 0.24, minute / 12 + 60)):
        tilt = radians(turn)
        spot = (x + length / 2 * sin(tilt), y - 0.175, z + 0.58 + length / 2 * cos(tilt) - length / 2)
        hand = plate([(-0.018, -length / 2), (0.018, -length / 2), (0.01, length / 2), (-0.01, length / 2)], 0.012)
        put(name, hand, black, (spot[0], spot[1], spot[2] + length / 2), (0, turn, 0))
    for side in (-1, 1):
        put(f"Leg {side}", tube([(x + 0.3 * side, y, z + 0.2), (x + 0.42 * side, y, z)], (0.05, 0.04)), brass)
        put(f"Bell {side}", ball(0.16), brass, (x + 0.25 * side, y, z + 1.1), (0, 20 * side, 0), (1, 1, 0.7))


# ── fruit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def fruit(random: Random) -> None:
    """A bowl of fruit, a lemon cut off from it, and a glass carafe."""
    _room(
        paint("Cloth", (0.60, 0.66, 0.72), 0.85, bump=0.25, bump_scale=30), paint("Wall", (0.88, 0.80, 0.66), 0.9), 2.2
    )
    bowl = smooth(
        [
            (0.5, 0),
            (0.56, 0.06),
            (0.52, 0.14),
            (1.0, 0.4),
            (1.35, 0.82),
            (1.32, 0.86),
            (1.24, 0.78),
            (0.9, 0.46),
            (0.3, 0.24),
        ]
    )
    put(
        "Bowl",
        lathe([(0, 0), *bowl, (0, 0.22)]),
        paint("Bowl", (0.16, 0.28, 0.50), 0.2, coat_weight=0.7),
        (-0.35, 0.2, 0),
    )
    peel = {"bump": 0.5, "bump_scale": 24.0}
    orange, red = (
        paint("Orange", (0.95, 0.50, 0.08), 0.4, **peel),
        paint("Red apple", (0.70, 0.12, 0.10), 0.25, coat_weight=0.3),
    )
    green, yellow = (
        paint("Green apple", (0.55, 0.68, 0.22), 0.3, coat_weight=0.2),
        paint("Lemon", (0.96, 0.82, 0.20), 0.4, **peel),
    )
    placed = (
        ("Orange", orange, (-0.75, -0.15, 0.83), 0.43),
        ("Apple", red, (-0.05, -0.3, 0.82), 0.42),
        ("Pear apple", green, (0.2, 0.35, 0.86), 0.44),
    )
    for name, material, place, radius in (*placed, ("Second orange", orange, (-0.55, 0.55, 0.85), 0.45)):
        jitter = random.uniform(-0.04, 0.04)
        put(
            name,
            ball(radius),
            material,
            (place[0] + jitter, place[1], place[2]),
            (20, 35, random.uniform(0, 360)),
            (1, 1, 0.94),
        )
    _bananas((-0.3, 0.1, 1.22))
    put("Lemon", _lemon(), yellow, (1.2, -0.85, 0.29), (0, 90, 35 + random.uniform(-15, 15)))
    for number in range(7):
        row, column = divmod(number, 4)
        spot = (-1.75 + 0.23 * column + 0.12 * row, -0.75 + 0.2 * row + random.uniform(-0.03, 0.03), 0.13)
        put(
            f"Grape {number + 1}",
            ball(0.13, 16, 24),
            paint(f"Grape {number + 1}", (0.32, 0.12, 0.30), 0.2, coat_weight=0.4),
            spot,
        )
    wall = smooth([(0.5, 0), (0.56, 0.08), (0.56, 0.75), (0.42, 1.15), (0.2, 1.5), (0.2, 1.75), (0.3, 2.0)])
    inside = [(r - 0.05, z + 0.05 if r > 0.3 else z) for r, z in reversed(wall)]
    put("Carafe", lathe([(0, 0), *wall, *inside, (0, 0.06)]), glass("Glass", (0.86, 0.97, 0.92)), (1.75, 0.75, 0))
    sky((0.85, 0.92, 1.0), 0.4)
    lamp("Window", (-5, -4.5, 6), (0, 0, 0.6), 2.2, 1000, (1, 0.95, 0.86))
    lamp("Room", (6, -4, 4), (0, 0, 0.8), 3.5, 220, (0.9, 0.95, 1))


def _lemon() -> Shape:
    return lathe(
        smooth(
            [
                (0, -0.42),
                (0.07, -0.38),
                (0.14, -0.31),
                (0.28, -0.12),
                (0.29, 0.08),
                (0.16, 0.29),
                (0.07, 0.36),
                (0, 0.41),
            ]
        )
    )


def _bananas(place: Point) -> None:
    skin, tip = paint("Banana", (0.95, 0.78, 0.20), 0.45), paint("Banana tip", (0.25, 0.18, 0.10), 0.8)
    x, y, z = place
    for number, turn in enumerate((-16, 8)):
        arc = [radians(angle) for angle in range(30, 151, 15)]
        side = radians(turn)
        spots = [
            (x + 0.95 * cos(a) * cos(side), y + 0.95 * cos(a) * sin(side) - 0.22 * number, z - 0.52 + 0.75 * sin(a))
            for a in arc
        ]
        put(f"Banana {number + 1}", tube(curve(spots, 4), (0.05, 0.12, 0.16, 0.17, 0.16, 0.13, 0.06)), skin)
        put(f"Banana {number + 1} tip", ball(0.055, 10, 16), tip, spots[0])
