"""Owns which regions of a full picture are objects, given how far each pixel is from the background's colour model.

Three rules: an object differs in colour; it ends at edges (what fades into the background is light or shadow on it);
and what has the background's hue but is darker, and lies flat on the ground, is a hard shadow. Where nothing stands out
the border tells: regions that run along it are background (after Zhu et al., "Saliency optimization from robust
background detection", 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from agent.models.offline.colors import Floats, Labels, Mask
from agent.models.offline.regions import partition

LEAST_DISTANCE = 9.0
"""Lab distance from the background at which something is surely an object."""
WEAK_EDGE = 2.2
"""Lab change per pixel along a boundary below which one side fades into the other."""
SHADOW_HUE = 9.0
DEEPEST = -36.0
"""Lab lightness that a shadow takes away at most: blacker things are things."""
FLAT = 0.75
"""Height over width of what lies on the ground."""
BORDER_BOUND = 1.2
"""Length along the picture's border over the square root of the area: above it a region is background."""


@dataclass(frozen=True, eq=False)
class _Regions:
    labels: Labels
    count: int
    area: Floats

    @classmethod
    def of(cls, lab: Floats, most: int) -> _Regions:
        labels = partition(lab, np.ones(lab.shape[:2], bool), most, 0.0006 * lab.shape[0] * lab.shape[1])
        count = int(labels.max()) + 1
        return cls(labels, count, np.maximum(np.bincount(labels.ravel(), minlength=count), 1).astype(np.float64))

    def mean(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.labels.ravel(), weights=values.ravel(), minlength=self.count) / self.area)


def standing_out(lab: Floats, model: Floats, distance: Floats, ground: Mask) -> Mask:
    """Regions that differ from the background, end at edges, and are no shadows."""
    regions = _Regions.of(lab, 90)
    different = regions.mean(distance) > LEAST_DISTANCE
    different &= ~_faded(regions, lab, different)
    different &= ~_shadows(regions, lab - model, different, ground)
    return np.asarray(different[regions.labels])


def _faded(regions: _Regions, lab: Floats, different: Mask) -> Mask:
    """Different regions that, with those they go over into or in spite of them, end without an edge."""
    strength, length = _edges(regions, lab)
    weak = (length > 0) & (strength < WEAK_EDGE) & different[:, None] & different[None, :]
    _, piece = connected_components(weak, directed=False)
    faded = np.zeros(regions.count, bool)
    while True:
        background = ~different | faded
        background[0] = False
        rim = np.where(different[:, None] & background[None, :], length, 0)
        around = np.bincount(piece, weights=rim.sum(axis=1))
        total = np.bincount(piece, weights=(rim * strength).sum(axis=1))
        weakly = (around > 0) & (total < WEAK_EDGE * around)
        inner = np.where(different[:, None] & ~background[None, :], length, 0)
        alone = _mean_edge(rim, strength) < np.minimum(WEAK_EDGE, 0.5 * _mean_edge(inner, strength))
        more = different & ~faded & (weakly[piece] | (alone & rim.any(axis=1)))
        if not more.any():
            return faded
        faded |= more


def _mean_edge(length: Floats, strength: Floats) -> Floats:
    """Of each region, over the boundaries that have a length."""
    return np.asarray((length * strength).sum(axis=1) / np.maximum(length.sum(axis=1), 1))


def _edges(regions: _Regions, lab: Floats) -> tuple[Floats, Floats]:
    """Between each two regions the mean change of colour per pixel across their boundary, and its length."""
    change = np.sqrt(sum(ndimage.gaussian_gradient_magnitude(lab[..., c], 1.0) ** 2 for c in range(3)))
    total, length = np.zeros((regions.count,) * 2), np.zeros((regions.count,) * 2)
    labels = regions.labels
    for one, other, at in (
        (labels[:, :-1], labels[:, 1:], (change[:, :-1] + change[:, 1:]) / 2),
        (labels[:-1], labels[1:], (change[:-1] + change[1:]) / 2),
    ):
        apart = one != other
        pairs, along = (one[apart], other[apart]), at[apart]
        for a, b in (pairs, pairs[::-1]):
            np.add.at(total, (a, b), along)
            np.add.at(length, (a, b), 1.0)
    return total / np.maximum(length, 1), length


def _shadows(regions: _Regions, away: Floats, different: Mask, ground: Mask) -> Mask:
    """Darker than the ground but of its hue, in flat patches."""
    lightness, a, b = (regions.mean(away[..., c]) for c in range(3))
    candidate = different & (np.hypot(a, b) < SHADOW_HUE) & (lightness < 0) & (lightness > DEEPEST)
    candidate &= regions.mean(ground.astype(np.float64)) > 0.9
    candidate[0] = False
    pieces, _ = ndimage.label(candidate[regions.labels])
    shadows = np.zeros(regions.count, bool)
    for number, window in enumerate(ndimage.find_objects(pieces), start=1):
        high, wide = window[0].stop - window[0].start, window[1].stop - window[1].start
        if high < FLAT * wide:
            shadows[np.unique(regions.labels[window][pieces[window] == number])] = True
    return shadows


def all_but_border(lab: Floats) -> Mask:
    """Everything but the regions that run along the picture's border and have its usual colour."""
    regions = _Regions.of(lab, 40)
    border = np.ones(lab.shape[:2], bool)
    border[1:-1, 1:-1] = False
    usual = np.median(lab[border], axis=0)
    along = np.bincount(regions.labels[border], minlength=regions.count) / np.sqrt(regions.area)
    apart = np.linalg.norm([regions.mean(lab[..., c]) - usual[c] for c in range(3)], axis=0)
    background = (along > BORDER_BOUND) & (apart < 30)
    return np.asarray(~background[regions.labels])


def cleaned(mask: Mask) -> Mask:
    """Without specks and pinholes."""
    least = max(4, int(0.0008 * mask.size))
    opened = ndimage.binary_opening(mask, iterations=1) if min(mask.shape) > 16 else mask
    labels, count = ndimage.label(opened)
    if count:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        opened = (sizes >= least)[labels]
    holes, count = ndimage.label(~opened)
    if count:
        sizes = np.bincount(holes.ravel())
        sizes[0] = mask.size
        opened = opened | (sizes < least)[holes]
    return np.asarray(opened)
