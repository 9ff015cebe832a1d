"""Owns the Neural Deformation Pyramid: bending one cloud of points onto another, coarse to fine, and the warp found.

After Li and Harada, "Non-rigid Point Cloud Registration with Neural Deformation Pyramid" (2022), written anew from its
description. Each of nine levels is a small network that sees every point at one frequency and moves it by a turn, a
scale and a shift of its own (the motion called Sim3); a level starts from what the level before has made of the points.

Needs torch, which is in the extra: `ndp.py` says so where it is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from agent.evaluation.geometry.mesh import Points
from agent.evaluation.score import Unavailable

LEVELS = 9
LOWEST_OCTAVE = -8
"""Level i, from 1, sees sines and cosines of the coordinates times 2^(this + i)."""
WIDTH = 128
HIDDEN_LAYERS = 2
HEAD_SCALE = 0.001
"""Of what the heads say, so that a level begins near the identity."""
LEARNING_RATE = 0.01
MOST_STEPS = 500
"""A level."""
ENOUGH = 1e-4
"""A level stops at this loss,"""
STILL_RATIO, STILL_STEPS = 0.001, 15
"""or after so many steps, not in a row, that changed it by less than this share."""
CHUNK_POINTS = 65_536


@dataclass(frozen=True, eq=False)
class Level:
    trunk: nn.Module
    turn: nn.Module
    shift: nn.Module
    scale: nn.Module
    frequency: float

    def seen(self, points: Tensor) -> Tensor:
        """N × 6."""
        return torch.cat((torch.sin(points * self.frequency), torch.cos(points * self.frequency)), dim=1)

    def move(self, points: Tensor, seen: Tensor) -> Tensor:
        features = self.trunk(seen)
        turned = _turned(points, HEAD_SCALE * self.turn(features))
        moved: Tensor = turned * (1.0 + HEAD_SCALE * self.scale(features)) + HEAD_SCALE * self.shift(features)
        return moved

    def parameters(self) -> Iterator[nn.Parameter]:
        for module in (self.trunk, self.turn, self.shift, self.scale):
            yield from module.parameters()


def _turned(points: Tensor, axis_angle: Tensor) -> Tensor:
    """Each point by its own turn about the origin (Rodrigues)."""
    angle = torch.sqrt((axis_angle * axis_angle).sum(dim=1, keepdim=True) + 1e-20)
    axis = axis_angle / angle
    along = (axis * points).sum(dim=1, keepdim=True)
    cosine = torch.cos(angle)
    return points * cosine + torch.cross(axis, points, dim=1) * torch.sin(angle) + axis * along * (1.0 - cosine)


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The warp found; applies to any points of the source's space."""

    levels: tuple[Level, ...]
    source_mean: Points
    target_mean: Points
    unit_m: float

    def warp(self, points: Points) -> Points:
        result = np.empty_like(points)
        with _torch_alone(), torch.no_grad():
            for begin in range(0, len(points), CHUNK_POINTS):
                chunk = points[begin : begin + CHUNK_POINTS]
                moved = _tensor((chunk - self.source_mean) / self.unit_m)
                for level in self.levels:
                    moved = level.move(moved, level.seen(moved))
                result[begin : begin + CHUNK_POINTS] = moved.numpy() * self.unit_m + self.target_mean
        return result


def fit(source: Points, target: Points, unit_m: float, seed: int) -> Pyramid:
    """Bends the source onto the target, both centred on their means, in units of `unit_m`; raises Unavailable."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    moved = _tensor((source - source_mean) / unit_m)
    goal = _Goal((target - target_mean) / unit_m)
    levels = []
    with _torch_alone():
        torch.manual_seed(seed)
        for number in range(1, LEVELS + 1):
            level = _new_level(2.0 ** (LOWEST_OCTAVE + number))
            moved = _optimised(level, moved, goal)
            levels.append(level)
    return Pyramid(tuple(levels), source_mean, target_mean, unit_m)


def _optimised(level: Level, points: Tensor, goal: _Goal) -> Tensor:
    """Where the level moves the points, once it has learned to."""
    optimiser = torch.optim.Adam(level.parameters(), lr=LEARNING_RATE)
    seen, still, before = level.seen(points), 0, 1e6
    for _ in range(MOST_STEPS):
        moved = level.move(points, seen)
        loss = goal.loss(moved)
        value = loss.item()
        still += abs(before - value) < before * STILL_RATIO
        if value < ENOUGH or still >= STILL_STEPS:
            return moved.detach()
        before = value
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return level.move(points, seen).detach()


class _Goal:
    """The cloud to reach. Who is nearest to whom is asked of a tree; what is differentiated are gathered distances."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._tensor = _tensor(points)
        self._tree = cKDTree(points)

    def loss(self, moved: Tensor) -> Tensor:
        """Mean distance to the nearest, there and back."""
        places = moved.detach().numpy().astype(np.float64)
        if not np.isfinite(places).all():
            raise Unavailable("the deformation pyramid came to places that are not finite")
        to_goal = torch.from_numpy(self._tree.query(places)[1])
        from_goal = torch.from_numpy(cKDTree(places, balanced_tree=False, compact_nodes=False).query(self._points)[1])
        there = _lengths(moved - self._tensor[to_goal])
        back = _lengths(moved[from_goal] - self._tensor)
        return there.mean() + back.mean()


def _lengths(vectors: Tensor) -> Tensor:
    return torch.sqrt((vectors * vectors).sum(dim=1) + 1e-12)  # whose slope at 0 is finite


def _new_level(frequency: float) -> Level:
    layers: list[nn.Module] = [_linear(6, WIDTH), nn.ReLU()]
    for _ in range(HIDDEN_LAYERS):
        layers += [_linear(WIDTH, WIDTH), nn.ReLU()]
    return Level(nn.Sequential(*layers), _linear(WIDTH, 3), _linear(WIDTH, 3), _linear(WIDTH, 1), frequency)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def _tensor(points: Points) -> Tensor:
    with np.errstate(over="ignore"):  # a vertex of no place, which no triangle that counts has
        return torch.from_numpy(points.astype(np.float32))


@contextmanager
def _torch_alone() -> Iterator[None]:
    """One thread, so that the same seed gives the same bits; the caller's random state and threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
