"""Small pictures, drawn: things on nothing, things on a table, and what a user should never give but does."""

import numpy as np


def blocks(px=96):
    """A red disc, a green box and a blue post upon it, cut out."""
    y, x = np.mgrid[0:px, 0:px] / px
    picture = np.full((px, px, 4), (255, 255, 255, 0), np.uint8)
    picture[(x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.03] = (200, 40, 30, 255)
    picture[(abs(x - 0.7) < 0.15) & (abs(y - 0.6) < 0.2)] = (40, 160, 60, 255)
    picture[(abs(x - 0.7) < 0.03) & (abs(y - 0.3) < 0.11)] = (40, 60, 190, 255)
    return picture


def ring(px=96):
    """A ring through which nothing is seen, with a disc upon it."""
    y, x = np.mgrid[0:px, 0:px] / px - 0.5
    far = np.hypot(x, y)
    picture = np.full((px, px, 4), (255, 255, 255, 0), np.uint8)
    picture[(far < 0.45) & (far > 0.2)] = (90, 90, 200, 255)
    picture[np.hypot(x - 0.32, y) < 0.06] = (220, 200, 40, 255)
    return picture


def table(px=96):
    """A red ball and a blue box on a brown table before a grey wall."""
    y, x = np.mgrid[0:px, 0:px] / px
    picture = np.where((y < 0.35)[..., None], (170, 175, 185), (150, 110, 70)).astype(np.uint8)
    picture[(x - 0.35) ** 2 + (y - 0.6) ** 2 < 0.02] = (200, 30, 30)
    picture[(abs(x - 0.7) < 0.1) & (abs(y - 0.7) < 0.12)] = (30, 60, 190)
    return picture


def patchwork(px=128):
    """Eight by eight squares of as many colours."""
    colors = np.random.default_rng(1).integers(0, 255, (8, 8, 3))
    return np.kron(colors, np.ones((px // 8, px // 8, 1))).astype(np.uint8)


def awkward():
    """Name → (picture, kind)."""
    noise = np.random.default_rng(0)
    flat, holes = np.full((48, 48, 3), 90, np.uint8), noise.random((48, 48)) > 0.5
    return {
        "one pixel": (np.full((1, 1, 3), 120), "full"),
        "one colour": (np.full((48, 64, 3), (200, 30, 30)), "full"),
        "all white": (np.full((48, 48, 3), 255), "full"),
        "all black": (np.zeros((48, 48, 3)), "full"),
        "noise": (noise.integers(0, 255, (64, 64, 3)), "full"),
        "two pixels wide": (noise.integers(0, 255, (200, 2, 3)), "full"),
        "three pixels high": (noise.integers(0, 255, (3, 512, 3)), "full"),
        "very wide": (np.concatenate([np.full((8, 400, 3), 200), np.full((5, 400, 3), 40)]), "full"),
        "two halves": (np.concatenate([np.full((30, 64, 3), 200), np.full((34, 64, 3), 40)]), "full"),
        "nothing": (np.dstack([flat, np.zeros((48, 48))]), "cutout"),
        "everything": (np.dstack([flat, np.full((48, 48), 255)]), "cutout"),
        "one pixel of it": (np.dstack([flat, 255 * (np.arange(2304).reshape(48, 48) == 1000)]), "cutout"),
        "a line": (np.dstack([flat, np.where(np.arange(48)[:, None] == 20, 255, 0) * np.ones((48, 48))]), "cutout"),
        "dust": (np.dstack([noise.integers(0, 255, (48, 48, 3)), 255 * holes]), "cutout"),
    }
