"""Owns the figures that come of a run's scene itself, beside what a data set knows of the true one: how near its shape
comes to a reference mesh, pictures of it once it is laid on that mesh, and pictures from views that no run was given.

The paper's rule keeps, of ICP and NDP, the one with the smaller Chamfer, and measures a picture of the result taken
with the reference's camera. NDP hides wrong geometry, so the same figures after ICP alone stand beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np

from agent.errors import RunError
from agent.evaluation.cameras import scaled
from agent.evaluation.data import Item, MeshFile, View
from agent.evaluation.evaluating import Added, Came, Measure, Picture
from agent.evaluation.finding import Run
from agent.evaluation.geometry.mesh import TriangleMesh
from agent.evaluation.geometry.mesh_file import read_mesh
from agent.evaluation.geometry.registration import FACTS as SHAPE
from agent.evaluation.geometry.registration import Registered, Registration, register
from agent.evaluation.kept import Kept
from agent.evaluation.matching import Subject
from agent.evaluation.score import MetricFacts, Score, Unavailable
from agent.evaluation.scoring import Sat, Scored, Sitting
from agent.evaluation.trivial import ANOTHER
from agent.evaluation.views import FinishedScene, opened
from agent.runs.journal import write_atomically
from protocol.errors import BlenderError

SEED = 0
SHAPES = "shape"
ALIGNED = {"icp": "laid on the reference mesh by ICP", "kept": "laid on the reference mesh by the paper's rule"}
NOVEL = "novel views"
ABOUT = {SHAPES: SHAPES, **ALIGNED, "novel": NOVEL}
"""What a metric's name ends with → the table of its own that it stands in."""


def scene_facts(metrics: Sequence[MetricFacts]) -> tuple[MetricFacts, ...]:
    """Those of shapes, then each of these metrics of a picture for each way in which a scene is looked at again."""
    shapes = (facts.model_copy(update={"about": SHAPES}) for facts in SHAPE)
    looks = (_looked(facts, how) for how in (*ALIGNED, "novel") for facts in metrics)
    return (*shapes, *looks)


def _looked(facts: MetricFacts, how: str) -> MetricFacts:
    taken = "mean over the novel views" if how == "novel" else "taken with the reference's camera"
    update = {"name": f"{facts.name}_{how}", "about": ABOUT[how], "variant": f"{facts.variant}; {taken}"}
    return facts.model_copy(update=update)


@dataclass(frozen=True)
class SceneScores:
    """Of finished runs; what was worked out once is kept below the evaluation's folder, pictures among it."""

    metrics: tuple[MetricFacts, ...]
    """Of a picture, those that `measure` gives."""
    size_px: int
    """Longer side of the pictures that are made."""
    out: Path

    @property
    def facts(self) -> tuple[MetricFacts, ...]:
        return scene_facts(self.metrics)

    def of(self, subject: Subject, runs: Sequence[tuple[str, Run]], another: Item | None, measure: Measure) -> Added:
        """Of one picture's runs, and of the trivial answers to it. `another`: what is known of another scene."""
        item = subject.item
        if item is None or (item.mesh is None and not any(view.camera for view in item.novel)):
            return Added()
        sight = _Sight(self, item, another, measure)
        came = {run.folder: sight.of(method, run) for method, run in runs}
        return Added(runs=came, trivial=sight.trivial())


class _Sight:
    """One item's."""

    def __init__(self, asked: SceneScores, item: Item, another: Item | None, measure: Measure) -> None:
        self._asked, self._item, self._another, self._measure = asked, item, another, measure
        self._kept = Kept(asked.out / "kept")
        self._sats: dict[str, Sat] = {}
        """Beside the reference (""), and beside each novel view by its name: for the trivial answers in them."""
        self._target: TriangleMesh | str = _mesh(item.mesh)

    def of(self, method: str, run: Run) -> Came:
        """Whatever cannot be had is said so, figure by figure."""
        try:
            with opened(run.folder, kept=self._asked.out / "kept") as scene:
                return self._seen(scene, self._asked.out / "renders" / method / run.id)
        except (RunError, BlenderError, Unavailable) as error:
            return Came(scores=_none(self._asked.facts, str(error)))

    def _seen(self, scene: FinishedScene, folder: Path) -> Came:
        registered, shape = self._shape(scene)
        notes = [f"{name} counts as surroundings: {why}" for name, why in sorted(scene.mesh.left_out.items())]
        aligned, pictures = self._aligned(scene, registered, folder)
        novel, more, placed = self._from_novel_views(scene, registered, folder)
        return Came(scores=(*shape, *aligned, *novel), pictures=(*pictures, *more), notes=(*notes, *placed))

    # ── shape ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def _shape(self, scene: FinishedScene) -> tuple[Registered | None, tuple[Score, ...]]:
        own = TriangleMesh.joined((one.name, one.vertices, one.triangles) for one in scene.mesh.objects)
        return self._registered(own)

    def _registered(self, own: TriangleMesh) -> tuple[Registered | None, tuple[Score, ...]]:
        if isinstance(self._target, str):
            return None, _none(SHAPE, self._target)
        try:
            registered = _register(own, self._target, self._kept)
        except Unavailable as error:
            return None, _none(SHAPE, error.reason)
        return registered, registered.registration.scores()

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def _aligned(
        self, scene: FinishedScene, registered: Registered | None, folder: Path
    ) -> tuple[list[Score], list[Picture]]:
        scores, pictures = list[Score](), list[Picture]()
        camera = self._item.reference.camera
        for how in ALIGNED:
            reason = "there is no reference mesh to lay it on" if registered is None else ""
            reason = reason or ("the reference's camera is not known" if camera is None else "")
            reason = reason or (registered.registration.ndp_reason if registered and how == "kept" else "")
            if registered is None or camera is None or reason:
                scores += _named(_none(self._asked.metrics, reason), how)
                continue
            warped = None
            if how == "kept" and registered.registration.kept == "ndp" and registered.ndp:
                ndp = registered.ndp
                warped = {part.name: ndp.vertices_of(part.name).astype(np.float32) for part in ndp.parts}
            png = scene.render_from(scaled(camera, self._asked.size_px), registered.registration.icp_matrix, warped)
            scored = self._scored("", self._item.reference, _written(folder / f"{how}.png", png))
            scores += _named(scored.scores or _none(self._asked.metrics, scored.reason), how)
            pictures += [(ABOUT[how], shown) for caption, shown in scored.pictures if caption == "result"]
        return scores, pictures

    def _from_novel_views(
        self, scene: FinishedScene, registered: Registered | None, folder: Path
    ) -> tuple[list[Score], list[Picture], list[str]]:
        icp = registered.registration.icp_matrix if registered else None
        try:
            placed = scene.registered(self._item, icp)
        except Unavailable as error:
            return _named(_none(self._asked.metrics, error.reason), "novel"), [], []
        every, pictures = list[Sequence[Score]](), list[Picture]()
        for view in self._item.novel:
            if view.camera is not None:
                png = scene.render_from(scaled(view.camera, self._asked.size_px), placed.moved)
                scored = self._scored(view.name, view, _written(folder / f"{Path(view.name).stem}.png", png))
                every.append(scored.scores or _none(self._asked.metrics, scored.reason))
                pictures += _beside(view, scored)
        if not every:
            return _named(_none(self._asked.metrics, "there are no novel views"), "novel"), [], []
        said = {"by_mesh": "by ICP", "by_camera": "by its own camera, taken for the reference's"}[placed.how]
        return _named(_mean(every), "novel"), pictures, [f"for its novel views the scene is placed {said}"]

    def _scored(self, name: str, view: View, png: Path) -> Scored:
        sat = self._measure(Sitting(view=view, another=self._other_view(), renders=(png,), shown=1))
        self._sats.setdefault(name, sat)
        return sat.renders[0] if sat.renders else Scored(reason=sat.reason)

    def _other_view(self) -> View | None:
        return self._another.reference if self._another else None

    # ── trivial answers ───────────────────────────────────────────────────────────────────────────────────────────────
    def trivial(self) -> dict[str, tuple[Score, ...]]:
        """Pictures beside the reference and beside the novel views; and the shape of another scene."""
        found: dict[str, list[Score]] = {}
        beside_reference = self._sats.pop("", Sat())
        for how in ALIGNED:
            for name, scored in beside_reference.trivial:
                found.setdefault(name, []).extend(_named(scored.scores, how))
        others = list(self._sats.values())
        for name in dict.fromkeys(name for sat in others for name, _ in sat.trivial):
            every = [scored.scores for sat in others for known, scored in sat.trivial if known == name]
            found.setdefault(name, []).extend(_named(_mean(every), "novel"))
        if self._another and self._another.mesh and not isinstance(other := _mesh(self._another.mesh), str):
            found.setdefault(ANOTHER, []).extend(self._registered(other)[1])
        return {name: tuple(scores) for name, scores in found.items()}


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _mesh(file: MeshFile | None) -> TriangleMesh | str:
    """A reference mesh, or why there is none."""
    if file is None:
        return "there is no reference mesh"
    try:
        return read_mesh(file)
    except Unavailable as error:
        return error.reason


def _register(own: TriangleMesh, target: TriangleMesh, kept: Kept) -> Registered:
    """As kept, or worked out."""
    question = ("registration", _digest(own), _digest(target), str(SEED))
    if (known := kept.get(question)) is not None:
        try:
            said, bent = msgpack.unpackb(known)
            registration = Registration.model_validate_json(said)
            ndp = own.with_vertices(np.frombuffer(bent, np.float64).reshape(-1, 3)) if bent else None
            return Registered(registration, own.moved(np.asarray(registration.icp_matrix)), ndp)
        except (ValueError, TypeError, msgpack.UnpackException):
            pass  # of another version
    registered = register(own, target, SEED)
    bent = registered.ndp.vertices.tobytes() if registered.ndp else b""
    kept.put(question, bytes(msgpack.packb([registered.registration.model_dump_json(), bent])))
    return registered


def _digest(mesh: TriangleMesh) -> str:
    return hashlib.sha256(mesh.vertices.tobytes() + mesh.faces.tobytes()).hexdigest()


def _written(path: Path, png: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, png)
    return path


def _beside(view: View, scored: Scored) -> Iterator[Picture]:
    name = Path(view.name).stem
    for caption, shown in scored.pictures:
        if caption != "difference":
            yield (f"{name}, true" if caption == "reference" else name), shown


def _none(facts: Sequence[MetricFacts], reason: str) -> tuple[Score, ...]:
    return tuple(Score(metric=one.name, value=None, reason=reason) for one in facts)


def _named(scores: Sequence[Score], how: str) -> list[Score]:
    return [score.model_copy(update={"metric": f"{score.metric}_{how}"}) for score in scores]


def _mean(every: Sequence[Sequence[Score]]) -> list[Score]:
    """Of each metric over several pictures; none where one of them has none."""
    by_name: Mapping[str, list[Score]] = {}
    by_name = {score.metric: [] for scores in every for score in scores}
    for scores in every:
        for score in scores:
            by_name[score.metric].append(score)
    return [_mean_of(name, scores) for name, scores in by_name.items()]


def _mean_of(name: str, scores: Sequence[Score]) -> Score:
    values = [score.value for score in scores if score.value is not None]
    if len(values) < len(scores):
        reason = next(score.reason for score in scores if score.value is None)
        return Score(metric=name, value=None, reason=reason)
    return Score(metric=name, value=round(sum(values) / len(values), 6))
