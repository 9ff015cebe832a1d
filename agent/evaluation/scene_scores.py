"""Owns the figures that come of a run's scene itself, beside what a data set knows of the true one: how near its shape
comes to a reference mesh, pictures of it once it is laid on that mesh, and pictures from views that no run was given.

The paper's rule keeps, of ICP and NDP, the one with the smaller Chamfer, and measures a picture of the result taken
with the reference's camera. NDP hides wrong geometry, so the same figures after ICP alone stand beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np

from agent.errors import InputUnreadable, RunError
from agent.evaluation.cameras import scaled
from agent.evaluation.canvas import resized
from agent.evaluation.data import Camera, Item, Matrix, MeshFile, View
from agent.evaluation.datasets import reference_of
from agent.evaluation.evaluating import AddedScores, AddedToRun, Measure, Picture
from agent.evaluation.finding import Run
from agent.evaluation.geometry.mesh import TriangleMesh, surface_of
from agent.evaluation.geometry.mesh_file import read_mesh
from agent.evaluation.geometry.registration import FACTS as SHAPE
from agent.evaluation.geometry.registration import Registered, Registration, register
from agent.evaluation.kept import Kept
from agent.evaluation.matching import Subject
from agent.evaluation.open_scene import SceneFailed
from agent.evaluation.outlines import mask_of, outline_facts, outline_scores
from agent.evaluation.scene_mesh import Vertices
from agent.evaluation.score import MetricFacts, Score, Unavailable
from agent.evaluation.scoring import Scored, ToMeasure
from agent.evaluation.trivial import ANOTHER
from agent.evaluation.views import FinishedScene, opened
from agent.picture import Mask
from agent.runs.journal import write_atomically
from protocol.errors import BlenderError

SEED = 0
VERSION = "1"
"""Of registration: other figures need another, for they are kept."""
SHAPES = "shape"
ALIGNED = {"icp": "laid on the reference mesh by ICP", "kept": "laid on the reference mesh by the paper's rule"}
NOVEL = "novel views"
ABOUT = {SHAPES: SHAPES, **ALIGNED, "novel": NOVEL}
"""What a metric's name ends with → the table of its own that it stands in."""


def scene_facts(metrics: Sequence[MetricFacts]) -> tuple[MetricFacts, ...]:
    """Those of shapes, then each of these metrics of a picture for each way in which a scene is looked at again."""
    shapes = (facts.model_copy(update={"about": SHAPES}) for facts in SHAPE)
    looks = (_looked(facts, how) for how in (*ALIGNED, "novel") for facts in metrics)
    return (*outline_facts(metrics), *shapes, *looks)


def _looked(facts: MetricFacts, how: str) -> MetricFacts:
    taken = "mean over the novel views" if how == "novel" else "taken with the reference's camera"
    update = {
        "name": f"{facts.name}_{how}",
        "base": facts.name,
        "about": ABOUT[how],
        "variant": f"{facts.variant}; {taken}",
    }
    return facts.model_copy(update=update)


@dataclass(frozen=True)
class SceneScores:
    """Of runs; what was worked out once is kept below the evaluation's folder, pictures among it."""

    metrics: tuple[MetricFacts, ...]
    """Of a picture, those that `measure` gives."""
    size_px: int
    """Longer side of the pictures that are made."""
    out: Path

    @property
    def facts(self) -> tuple[MetricFacts, ...]:
        return scene_facts(self.metrics)

    def of(self, subject: Subject, seen: frozenset[Path], another: Item | None, measure: Measure) -> AddedScores:
        """Of one picture's runs, and of the trivial answers to it. `another`: what is known of another scene."""
        item = subject.item
        if item is None or not (item.mesh or item.reference.mask or any(view.camera for view in item.novel)):
            return AddedScores()
        sight = _Sight(self, item, another, measure)
        came = {
            run.folder: sight.of(method, run) if run.folder in seen else sight.lost() for method, run in subject.runs
        }
        return AddedScores(runs=came, trivial=sight.trivial())


class _Sight:
    """What can be seen of one item."""

    def __init__(self, asked: SceneScores, item: Item, another: Item | None, measure: Measure) -> None:
        self._asked, self._item, self._another, self._measure = asked, item, another, measure
        self._kept = Kept(asked.out / "kept")
        self._target = _mesh(item.mesh)
        self._outlines = tuple(outline_facts(asked.metrics))
        self._mask = mask_of(item.reference, asked.size_px)
        self._novel = [view for view in item.novel if view.camera is not None]

    def of(self, method: str, run: Run) -> AddedToRun:
        """Whatever cannot be had is said so, figure by figure."""
        try:
            with opened(run.folder, kept=self._asked.out / "kept") as scene:
                return self._looked_at(scene, self._asked.out / "renders" / _folder_name(method, run))
        except InputUnreadable as error:
            return self.lost(str(error))
        except (RunError, BlenderError) as error:  # this machine's doing
            return AddedToRun(scores=_none(self._asked.facts, str(error)))

    def lost(self, reason: str = "the run has no scene") -> AddedToRun:
        """Of a run without a scene that can be seen: its own doing, in all that could have been had of one."""
        shape = _none(SHAPE, reason, is_fault=True) if not isinstance(self._target, str) else ()
        aligned = self._everywhere(reason, ALIGNED) if shape and self._item.reference.camera else ()
        outline = _none(self._outlines, reason, is_fault=True) if self._mask is not None else ()
        return AddedToRun(
            scores=(*outline, *shape, *aligned, *(self._everywhere(reason, ("novel",)) if self._novel else ()))
        )

    def _everywhere(self, reason: str, ways: Iterable[str]) -> list[Score]:
        return [score for how in ways for score in _named(_none(self._asked.metrics, reason, is_fault=True), how)]

    def _looked_at(self, scene: FinishedScene, folder: Path) -> AddedToRun:
        outline = self._outline(scene)
        registered, shape = self._shape(scene)
        notes = [f"{name} does not count: {why}" for name, why in sorted(scene.mesh.left_out.items())]
        if registered:
            floor = registered.registration.chamfer_floor
            notes += [*registered.registration.notes, f"Chamfer of two samplings of its reference: {floor:.4f}"]
        aligned, pictures = self._aligned(scene, registered, folder)
        novel, more, placed = self._from_novel_views(scene, registered, folder)
        return AddedToRun(
            scores=(*outline, *shape, *aligned, *novel), pictures=(*pictures, *more), notes=(*notes, *placed)
        )

    def _outline(self, scene: FinishedScene) -> tuple[Score, ...]:
        if self._mask is None:
            return ()
        height_px, width_px = self._mask.shape
        try:
            seen = scene.object_mask(width_px, height_px)
        except SceneFailed as error:
            return _none(self._outlines, str(error), is_fault=True)
        if seen is None:
            return _none(self._outlines, "the scene has no camera", is_fault=True)
        return outline_scores(self._outlines, self._mask, seen)

    # ── shape ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _shape(self, scene: FinishedScene) -> tuple[Registered | None, tuple[Score, ...]]:
        own = scene.mesh.joined()
        if isinstance(self._target, str):
            return None, _none(SHAPE, self._target)
        try:
            surface_of(own)
        except Unavailable as error:
            return None, _none(SHAPE, f"the result: {error.reason}", is_fault=True)
        registered = _register(own, self._target, self._kept)
        return registered, registered.registration.scores()

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _aligned(
        self, scene: FinishedScene, registered: Registered | None, folder: Path
    ) -> tuple[list[Score], list[Picture]]:
        scores, pictures = list[Score](), list[Picture]()
        for how in ALIGNED:
            scored = self._aligned_by(how, scene, registered, folder)
            scores += _named(scored, how) if isinstance(scored, tuple) else _named(scored.scores, how)
            if isinstance(scored, Scored):
                pictures += [(ABOUT[how], shown) for caption, shown in scored.pictures if caption == "result"]
        return scores, pictures

    def _aligned_by(
        self, how: str, scene: FinishedScene, registered: Registered | None, folder: Path
    ) -> Scored | tuple[Score, ...]:
        camera = self._item.reference.camera
        if isinstance(self._target, str) or camera is None:
            reason = self._target if isinstance(self._target, str) else "the reference's camera is not known"
            return _none(self._asked.metrics, reason)
        if registered is None:
            return _none(self._asked.metrics, "the result has no shape to lay on the reference mesh", is_fault=True)
        if how == "kept" and registered.registration.ndp_reason:
            return _none(self._asked.metrics, registered.registration.ndp_reason)
        warped = None
        if how == "kept" and registered.registration.kept == "ndp" and registered.ndp:
            ndp = registered.ndp
            warped = {part.name: ndp.vertices_of(part.name).astype(np.float32) for part in ndp.parts}
        place = registered.registration.icp_matrix
        return self._taken(scene, self._item.reference, camera, folder / f"{how}.png", place, warped)

    def _from_novel_views(
        self, scene: FinishedScene, registered: Registered | None, folder: Path
    ) -> tuple[list[Score], list[Picture], list[str]]:
        if not self._novel:
            return _named(_none(self._asked.metrics, "there are no novel views"), "novel"), [], []
        try:
            placed = scene.placement(self._item, registered.registration.icp_matrix if registered else None)
        except (Unavailable, ValueError) as error:
            is_fault = self._item.reference.camera is not None
            return _named(_none(self._asked.metrics, str(error), is_fault=is_fault), "novel"), [], []
        every, pictures = list[Sequence[Score]](), list[Picture]()
        for view in self._novel:
            assert view.camera is not None
            scored = self._taken(scene, view, view.camera, folder / f"{Path(view.name).stem}.png", placed.moved, None)
            every.append(scored if isinstance(scored, tuple) else scored.scores)
            pictures += _beside(view, scored) if isinstance(scored, Scored) else ()
        said = {"by_mesh": "by ICP", "by_camera": "by its own camera, taken for the reference's"}[placed.how]
        return _named(_mean(every), "novel"), pictures, [f"for its novel views the scene is placed {said}"]

    def _taken(
        self,
        scene: FinishedScene,
        view: View,
        camera: Camera,
        path: Path,
        moved: Matrix,
        warped: Mapping[str, Vertices] | None,
    ) -> Scored | tuple[Score, ...]:
        """A picture of the scene, measured beside a view."""
        try:
            png = scene.render_from(scaled(camera, self._asked.size_px), moved, warped)
        except SceneFailed as error:
            return _none(self._asked.metrics, str(error), is_fault=True)
        except ValueError as error:
            return _none(self._asked.metrics, str(error))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, png)
        measured = self._measure(ToMeasure(view=view, another=None, renders=(path,), shown=1, with_trivial=False))
        scored = measured.renders[0] if measured.renders else Scored(reason=measured.reason)
        return scored if scored.scores else _none(self._asked.metrics, scored.reason)

    # ── trivial answers ───────────────────────────────────────────────────────────────────────────────────────────────
    def trivial(self) -> dict[str, tuple[Score, ...]]:
        """Pictures beside the reference and beside the novel views; and the shape of another scene."""
        found: dict[str, list[Score]] = {}
        if self._item.reference.camera and not isinstance(self._target, str):
            for name, scored in self._answers(self._item.reference):
                found.setdefault(name, []).extend(score for how in ALIGNED for score in _named(scored.scores, how))
        every: dict[str, list[Sequence[Score]]] = {}
        for view in self._novel:
            for name, scored in self._answers(view):
                every.setdefault(name, []).append(scored.scores)
        for name, scores in every.items():
            found.setdefault(name, []).extend(_named(_mean(scores), "novel"))
        if self._mask is not None and self._another and (mask := self._mask_of_another()) is not None:
            found.setdefault(ANOTHER, []).extend(outline_scores(self._outlines, self._mask, mask))
        other = _mesh(self._another.mesh) if self._another else ""
        if not isinstance(self._target, str) and not isinstance(other, str):
            found.setdefault(ANOTHER, []).extend(_register(other, self._target, self._kept).registration.scores())
        return {name: tuple(scores) for name, scores in found.items()}

    def _mask_of_another(self) -> Mask | None:
        """Of another scene, as large as this one's."""
        assert self._another is not None and self._mask is not None
        try:
            mask = reference_of(self._another.reference, self._asked.size_px).mask
        except InputUnreadable:
            return None
        return None if mask is None else resized(mask, *self._mask.shape[::-1])

    def _answers(self, view: View) -> tuple[tuple[str, Scored], ...]:
        another = self._another.reference if self._another else None
        return self._measure(ToMeasure(view=view, another=another, renders=(), shown=0)).trivial


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _mesh(file: MeshFile | None) -> TriangleMesh | str:
    """A reference mesh that has a surface, or why nothing can be laid on one."""
    if file is None:
        return "there is no reference mesh"
    try:
        mesh = read_mesh(file)
        surface_of(mesh)
    except Unavailable as error:
        return error.reason
    return mesh


def _register(own: TriangleMesh, target: TriangleMesh, kept: Kept) -> Registered:
    """As kept, or worked out."""
    question = ("registration", VERSION, _digest(own), _digest(target), str(SEED))
    if (known := kept.get(question)) is not None:
        try:
            said, bent = msgpack.unpackb(known)
            registration = Registration.model_validate_json(said)
            ndp = own.with_vertices(np.frombuffer(bent, np.float64).reshape(-1, 3))
            return Registered(registration, own.moved(np.asarray(registration.icp_matrix)), ndp)
        except (ValueError, TypeError, msgpack.UnpackException):
            pass  # of another version
    registered = register(own, target, SEED)
    if registered.ndp:  # what lacked a package may be had the next time
        bent = registered.ndp.vertices.tobytes()
        kept.put(question, bytes(msgpack.packb([registered.registration.model_dump_json(), bent])))
    return registered


def _digest(mesh: TriangleMesh) -> str:
    return hashlib.sha256(mesh.vertices.tobytes() + mesh.faces.tobytes()).hexdigest()


def _folder_name(method: str, run: Run) -> str:
    """Of a run's pictures: whatever the method is called, and one for each of several runs of a name."""
    digest = hashlib.sha256(f"{method}/{run.folder}".encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', f'{method}-{run.id}')[:80]}-{digest}"


def _beside(view: View, scored: Scored) -> Iterator[Picture]:
    name = Path(view.name).stem
    for caption, shown in scored.pictures:
        if caption != "difference":
            yield (f"{name}, true" if caption == "reference" else name), shown


def _none(facts: Sequence[MetricFacts], reason: str, *, is_fault: bool = False) -> tuple[Score, ...]:
    return tuple(Score(metric=one.name, value=None, reason=reason, is_fault=is_fault) for one in facts)


def _named(scores: Sequence[Score], how: str) -> list[Score]:
    return [score.model_copy(update={"metric": f"{score.metric}_{how}"}) for score in scores]


def _mean(every: Sequence[Sequence[Score]]) -> list[Score]:
    """Of each metric over several pictures; none where one of them has none."""
    by_name: dict[str, list[Score]] = {score.metric: [] for scores in every for score in scores}
    for scores in every:
        for score in scores:
            by_name[score.metric].append(score)
    return [_mean_of(name, scores) for name, scores in by_name.items()]


def _mean_of(name: str, scores: Sequence[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if len(values) < len(scores):
        lacking = next(score for score in scores if score.value is None)
        return Score(metric=name, value=None, reason=lacking.reason, is_fault=lacking.is_fault)
    return Score(metric=name, value=round(sum(values) / len(values), 6))
