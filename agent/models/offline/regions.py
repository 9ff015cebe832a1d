"""Owns the partition of a masked picture into coloured regions: superpixels, merged where that costs least.

The energy is Mumford and Shah's for piecewise constant colour; two neighbours merge in the order of Koepfler, Lopez and
Morel ("A multiscale algorithm for image segmentation by variational method", 1994): least growth of the squared error
per length of the boundary that goes away. Superpixels are SLIC (Achanta et al. 2012). Does not know what a region
shows.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import segmentation

from agent.models.offline.colors import Floats, Labels, Mask

_slic: Any = segmentation.slic
LIGHTNESS_WEIGHT = 0.75
"""Lightness changes with shading inside one thing, hue less so."""
ALIKE = 150.0
"""Merging cost below which two regions are one however few there are."""


def partition(lab: Floats, mask: Mask, most: int, least_area: float) -> Labels:
    """Label image: 0 outside the mask, 1 … n inside; at most about `most` regions of at least `least_area` pixels."""
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    graph = _Graph.of(lab * [LIGHTNESS_WEIGHT, 1, 1], superpixels(lab, mask))
    graph.merge(most, least_area)
    return _renumbered(graph.labels())


def superpixels(lab: Floats, mask: Mask, count: int = 700) -> Labels:
    """SLIC inside the mask; one label per connected piece where a mask is too small for that."""
    wanted = int(min(count, mask.sum() / 24))
    if wanted >= 8:
        try:
            found = _slic(lab, n_segments=wanted, compactness=0.1, mask=mask.copy(), start_label=1, channel_axis=-1,
                          convert2lab=False, enforce_connectivity=True)  # fmt: skip
            return _complete(np.asarray(found, np.int32), mask)
        except (ValueError, IndexError, FloatingPointError):
            pass  # a mask too thin for its grid of seeds
    return np.asarray(ndimage.label(mask, np.ones((3, 3)))[0], np.int32)


def _complete(labels: Labels, mask: Mask) -> Labels:
    """Masked pixels that got no label take their own connected piece's number."""
    rest, _ = ndimage.label(mask & (labels == 0))
    return np.where(mask, np.where(labels > 0, labels, rest + labels.max()), 0).astype(np.int32)


def _renumbered(labels: Labels) -> Labels:
    """1 … n by falling area, ties by first pixel."""
    values, first, counts = np.unique(labels, return_index=True, return_counts=True)
    inside = [(-int(c), int(f), int(v)) for v, f, c in zip(values, first, counts, strict=True) if v > 0]
    table = np.zeros(int(labels.max()) + 1, np.int32)
    for number, (_, _, value) in enumerate(sorted(inside), start=1):
        table[value] = number
    return np.asarray(table[labels], np.int32)


@dataclass
class _Graph:
    """Regions and their common boundaries while they merge; a merged region points to the one it went into."""

    base: Labels
    area: Floats
    total: Floats
    shared: list[dict[int, float]]
    into: list[int] = field(default_factory=list)
    version: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, lab: Floats, base: Labels) -> _Graph:
        count = int(base.max()) + 1
        flat = base.ravel()
        area = np.bincount(flat, minlength=count).astype(np.float64)
        channels = [np.bincount(flat, weights=lab[..., c].ravel(), minlength=count) for c in range(3)]
        graph = cls(base, area, np.stack(channels, axis=1), _boundaries(base, count))
        graph.into, graph.version = list(range(count)), [0] * count
        return graph

    def cost(self, a: int, b: int) -> float:
        apart = self.total[a] / self.area[a] - self.total[b] / self.area[b]
        growth = self.area[a] * self.area[b] / (self.area[a] + self.area[b]) * float(apart @ apart)
        return float(growth / self.shared[a][b])

    def merge(self, most: int, least_area: float) -> None:
        alive = {r for r in range(1, len(self.area)) if self.area[r] > 0}
        heap = [self._entry(a, b, least_area) for a in alive for b in self.shared[a] if a < b]
        heapq.heapify(heap)
        while heap:
            cost, a, b, stamp = heapq.heappop(heap)
            if stamp != self._stamp(a, b):
                continue
            if len(alive) <= most and cost > ALIKE:
                break
            self._join(a, b)
            alive.discard(b)
            for other in self.shared[a]:
                heapq.heappush(heap, self._entry(min(a, other), max(a, other), least_area))

    def _entry(self, a: int, b: int, least_area: float) -> tuple[float, int, int, tuple[int, int]]:
        """Slivers go first: their cost is divided by how far they fall short."""
        short = min(1.0, float(min(self.area[a], self.area[b])) / least_area) ** 3
        return self.cost(a, b) * short, a, b, self._stamp(a, b)

    def _stamp(self, a: int, b: int) -> tuple[int, int]:
        return self.version[a], self.version[b]

    def _join(self, a: int, b: int) -> None:
        self.area[a] += self.area[b]
        self.total[a] += self.total[b]
        self.into[b] = a
        self.version[a] += 1
        self.version[b] = -1
        for other, length in self.shared[b].items():
            del self.shared[other][b]
            if other != a:
                joined = self.shared[a].get(other, 0.0) + length
                self.shared[a][other] = self.shared[other][a] = joined
        self.shared[b] = {}

    def labels(self) -> Labels:
        roots = np.arange(len(self.into))
        for region in range(len(self.into)):
            root = region
            while self.into[root] != root:
                root = self.into[root]
            roots[region] = root
        return np.asarray(roots[self.base], np.int32)


def _boundaries(base: Labels, count: int) -> list[dict[int, float]]:
    """For each region, its neighbours and the length of the boundary with each, in pixel sides."""
    shared: list[dict[int, float]] = [{} for _ in range(count)]
    for first, second in ((base[:, :-1], base[:, 1:]), (base[:-1], base[1:])):
        different = (first != second) & (first > 0) & (second > 0)
        pairs = np.sort(np.stack([first[different], second[different]], axis=1), axis=1)
        if not len(pairs):
            continue
        found, lengths = np.unique(pairs, axis=0, return_counts=True)
        for (a, b), length in zip(found.tolist(), lengths.tolist(), strict=True):
            shared[a][b] = shared[b][a] = shared[a].get(b, 0.0) + length
    return shared
