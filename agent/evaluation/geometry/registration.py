"""Owns comparing the shape of a result with a reference mesh: as it stands, after ICP, and after NDP.

The paper keeps whichever of the two registrations has the smaller Chamfer. NDP bends anything into anything, so that
this nearly always keeps NDP and hides wrong geometry: the figures of ICP alone are for reading beside it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from agent.evaluation.data import Matrix
from agent.evaluation.geometry.chamfer import FSCORE_REACH, SAMPLES, Nearness, nearness
from agent.evaluation.geometry.icp import YAW_STARTS, align
from agent.evaluation.geometry.mesh import Surface, TriangleMesh, surface_of
from agent.evaluation.geometry.ndp import bend
from agent.evaluation.score import MetricFacts, Score, Unavailable
from protocol.models import Value


class Registration(Value):
    """Chamfers as fractions of the reference's diagonal, F-scores 0 to 1; for a journal."""

    chamfer_before: float
    chamfer_icp: float
    chamfer_ndp: float | None
    fscore_before: float
    fscore_icp: float
    fscore_ndp: float | None
    chamfer_floor: float
    """Of two samplings of the reference: nothing can score less, but for luck."""
    kept: Literal["icp", "ndp"] | None
    """The paper's rule: the smaller Chamfer; None where NDP has none."""
    ndp_reason: str = ""
    """Why NDP has no figures."""
    icp_matrix: Matrix
    """The similarity that ICP found, for points of the result's world."""
    notes: tuple[str, ...] = ()
    """What was left out of the two meshes."""
    seed: int
    seconds: float

    @property
    def chamfer_kept(self) -> float | None:
        return {"icp": self.chamfer_icp, "ndp": self.chamfer_ndp, None: None}[self.kept]

    @property
    def fscore_kept(self) -> float | None:
        return {"icp": self.fscore_icp, "ndp": self.fscore_ndp, None: None}[self.kept]

    def scores(self) -> tuple[Score, ...]:
        """One for each of `FACTS`, in their order."""
        values = ((facts.name, getattr(self, facts.name)) for facts in FACTS)
        return tuple(
            Score(metric=name, value=value, reason=self.ndp_reason if value is None else "") for name, value in values
        )


@dataclass(frozen=True, eq=False)
class Registered:
    """The figures, and the result's mesh as each registration leaves it: same objects, faces and order of vertices."""

    registration: Registration
    icp: TriangleMesh
    ndp: TriangleMesh | None

    @property
    def kept(self) -> TriangleMesh | None:
        """By the paper's rule."""
        return {"icp": self.icp, "ndp": self.ndp, None: None}[self.registration.kept]


def register(source: TriangleMesh, target: TriangleMesh, seed: int = 0) -> Registered:
    """Of a result (source) and a reference (target), both in Blender's axes; raises Unavailable.

    Takes some 10 s of one core, and a second more for each 40,000 vertices of the source.
    """
    begun = time.monotonic()
    own, reference = _surface("the result", source), _surface("the reference", target)
    before = nearness(own, reference, seed)
    matrix = align(own, reference, seed)
    aligned = source.moved(matrix)
    placed = surface_of(aligned)
    icp = nearness(placed, reference, seed)
    bent, ndp, reason = _bent(aligned, placed, reference, seed)
    registration = Registration(
        chamfer_before=before.chamfer,
        chamfer_icp=icp.chamfer,
        chamfer_ndp=ndp and ndp.chamfer,
        fscore_before=before.fscore,
        fscore_icp=icp.fscore,
        fscore_ndp=ndp and ndp.fscore,
        chamfer_floor=nearness(reference, reference, seed).chamfer,
        kept=None if ndp is None else "ndp" if ndp.chamfer < icp.chamfer else "icp",
        ndp_reason=reason,
        icp_matrix=matrix.tolist(),
        notes=_notes("the result", own) + _notes("the reference", reference),
        seed=seed,
        seconds=time.monotonic() - begun,
    )
    return Registered(registration, aligned, bent)


def _bent(
    mesh: TriangleMesh, surface: Surface, target: Surface, seed: int
) -> tuple[TriangleMesh | None, Nearness | None, str]:
    """(bent mesh, its figures, "") or (None, None, why not)."""
    try:
        bent = mesh.with_vertices(bend(surface, target, seed)(mesh.vertices))
        return bent, nearness(surface_of(bent), target, seed), ""
    except Unavailable as error:
        return None, None, error.reason


def _surface(what: str, mesh: TriangleMesh) -> Surface:
    try:
        return surface_of(mesh)
    except Unavailable as error:
        raise Unavailable(f"{what}: {error.reason}") from error


def _notes(what: str, surface: Surface) -> tuple[str, ...]:
    return tuple(f"{what}: {note}" for note in surface.notes)


# ── what is said beside the figures ───────────────────────────────────────────────────────────────────────────────────
_CHAMFER = "mean distance to the nearest point, there and back, over the diagonal of the reference's box"
_FSCORE = f"harmonic mean of both shares of points within {FSCORE_REACH:g} of the diagonal of the reference's box"
_VARIANTS = {
    "before": ("as it stands", "as it stands in the world of the reference's cameras"),
    "icp": ("after ICP", f"after ICP with one scale, best of {YAW_STARTS} turns about the up axis and none"),
    "ndp": ("after NDP", "after ICP, then the Neural Deformation Pyramid (9 levels, Sim3): bends wrong shapes right"),
    "kept": ("the paper's rule", "after ICP or NDP, whichever has the smaller Chamfer"),
}


def _facts(figure: str, state: str) -> MetricFacts:
    title, variant = _VARIANTS[state]
    chamfer = figure == "chamfer"
    return MetricFacts(
        name=f"{figure}_{state}",
        title=f"{'Chamfer' if chamfer else 'F-score'}, {title}",
        better="lower" if chamfer else "higher",
        variant=f"{variant}; {_CHAMFER if chamfer else _FSCORE}",
        size=f"{SAMPLES:,} points of each surface",
        background="none: shapes, not pictures",
        worst=2.0 if chamfer else 0.0,  # a whole diagonal off, there and back
    )


FACTS: tuple[MetricFacts, ...] = tuple(
    _facts(figure, state) for figure in ("chamfer", "fscore") for state in ("before", "icp", "ndp", "kept")
)
