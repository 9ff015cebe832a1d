"""Owns a finished run's scene under evaluation: opened in the box, taken out as triangles, rendered from any camera.

Nothing is written into the run's folder, which may be read-only or a stranger's: its settings say only how its picture
was made, while the box is held to those of whoever evaluates. What a Blender is asked, and what is kept of it:
`open_scene.py`; what a camera is in another world: `cameras.py`; which objects count: `scene_mesh.py`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from agent.config import Config
from agent.delivery import Result
from agent.errors import InputUnreadable, UsageError
from agent.evaluation import scene_mesh
from agent.evaluation.cameras import by_camera, projected, view_of
from agent.evaluation.data import Camera, Item, Matrix
from agent.evaluation.kept import Kept
from agent.evaluation.measures import object_ids
from agent.evaluation.open_scene import OpenScene, SceneFailed
from agent.evaluation.scene_mesh import ObjectMesh, SceneMesh, Vertices
from agent.evaluation.score import Unavailable
from agent.evaluation.similarity import applied, inverse
from agent.opening import begun_as
from agent.picture import Mask, Reference, read_reference
from agent.runs.folder import RunFolder
from agent.scene_graph import SceneGraph
from agent.tools.workbench import checked_picture
from agent.which_blender import to_evaluate
from protocol.errors import NOT_FOUND, RequestFailed
from protocol.models import (
    OwnCamera,
    RenderReply,
    RenderRequest,
    SurfacesReply,
    SurfacesRequest,
    Value,
)
from sandbox.calling import command
from sandbox.discovery import Blender
from sandbox.pool import Pool

log = logging.getLogger(__name__)

EDGES_PX = 128
"""Long side of the picture that tells what reaches from edge to edge."""


class Placement(Value):
    """How a reconstruction's world comes to lie on its reference's."""

    how: Literal["by_mesh", "by_camera"]
    moved: Matrix
    """A similarity, from the reconstruction's world to the reference's."""


@contextlib.contextmanager
def opened(
    folder: Path,
    *,
    config: Config | None = None,
    blender: str | None = None,
    pool: Pool | None = None,
    kept: Path | None = None,
) -> Iterator[FinishedScene]:
    """A finished run's delivered scene, for as long as the block lasts.

    A Blender is started when the first answer needs one: the one that made the scene, else a newer one, or what
    `blender` names; in a `pool` that is open already, or in one of its own under `config`'s limits and level. `kept` is
    a folder for answers. Raises UsageError for a run that is not finished, InputUnreadable for one that is damaged,
    NodeUnfit or SetupFailed where there is no Blender for it; of what is asked of the scene SceneFailed.
    """
    run = RunFolder(folder)
    scene, result = _delivered(run)
    with contextlib.ExitStack() as lifetime:
        own = config or Config()
        used = pool.blender if pool else to_evaluate(scene, blender)
        box = OpenScene(scene, own, used, pool, Kept(kept) if kept else None, lifetime)
        yield FinishedScene(run, result, used, box)


def _delivered(run: RunFolder) -> tuple[Path, Result]:
    """The scene of a run that is finished, and what it says of itself."""
    run.first_entry()
    again = f"The run writes it again from its record: {command('resume', run.path)}"
    if not run.result.is_file():
        message = f"{run.path} is not finished, so there is nothing to evaluate."
        raise UsageError(message, f"Go on with it first: {command('resume', run.path)}")
    try:
        result = Result.model_validate_json(run.result.read_bytes())
    except (OSError, ValueError) as error:
        raise InputUnreadable(f"{run.result} is damaged: it is no result of a run.", again) from error
    if not run.scene.is_file():
        raise InputUnreadable(f"{run.scene} is not there, or is no file.", again)
    return run.scene, result


class FinishedScene:
    """One delivered scene. For one thread at a time; use `opened`."""

    def __init__(self, run: RunFolder, result: Result, blender: Blender, box: OpenScene) -> None:
        self._run, self.blender, self._box = run, blender, box
        self._made_as = begun_as(run)[1]
        made = result.render.samples if result.render else 0
        self._samples = made if made > 0 else self._made_as.final_samples

    @functools.cached_property
    def reference(self) -> Reference:
        """The picture as the run saw it."""
        return read_reference(self._run.reference, self._made_as.target_px)

    @property
    def frame_px(self) -> tuple[int, int]:
        """Width and height of the run's own picture."""
        return self.reference.frame(self._made_as.target_px)

    # ── its camera and its surfaces ───────────────────────────────────────────────────────────────────────────────────
    @functools.cached_property
    def camera(self) -> Camera | None:
        """The one that the run's own picture is taken with; None where it has none with a perspective."""
        own = self._surfaces[0].camera
        return _camera_of(own, *self.frame_px) if own else None

    @functools.cached_property
    def mesh(self) -> SceneMesh:
        """What a render shows, after modifiers, with instances, in the world of the scene."""
        reply, objects = self._surfaces
        if self.reference.kind == "cutout":
            return scene_mesh.everything(objects)
        above = {one.name: one.above for one in reply.objects}
        return scene_mesh.counted(objects, above, self._graph(), self._edge_to_edge())

    @functools.cached_property
    def _surfaces(self) -> tuple[SurfacesReply, tuple[ObjectMesh, ...]]:
        width_px, height_px = self.frame_px
        reply, payloads = self._box.ask(SurfacesRequest(aspect=width_px / height_px))
        with self._box.blamed():
            return cast(SurfacesReply, reply), scene_mesh.read_objects(cast(SurfacesReply, reply), payloads)

    def _graph(self) -> SceneGraph | None:
        """None where it cannot be read: then names in the scene itself have to do."""
        try:
            if not self._run.scene_graph.is_file():
                return None
            return SceneGraph.model_validate_json(self._run.scene_graph.read_bytes())
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read: %s", self._run.scene_graph, error)
            return None

    def _edge_to_edge(self) -> frozenset[str]:
        """Nothing where there is no camera to see it with."""
        width_px, height_px = self.reference.frame(EDGES_PX)
        seen = self._object_ids(width_px, height_px)
        return scene_mesh.at_both_edges(*seen) if seen else frozenset()

    def object_mask(self, width_px: int, height_px: int) -> Mask | None:
        """Where its own camera sees an object that counts; None where it has no camera."""
        if (seen := self._object_ids(width_px, height_px)) is None:
            return None
        ids, names = seen
        counted = {one.name for one in self.mesh.objects}
        return np.isin(ids, [number for number, name in enumerate(names, start=1) if name in counted])

    def _object_ids(self, width_px: int, height_px: int) -> tuple[NDArray[np.uint32], Sequence[str]] | None:
        """Of each pixel which object it shows, as a number from 1 on, and their names; None without a camera."""
        try:
            reply, payloads = self._box.ask(
                RenderRequest(width_px=width_px, height_px=height_px, samples=1, picture="object_id")
            )
        except SceneFailed as error:
            if isinstance(error.__cause__, RequestFailed) and error.__cause__.code == NOT_FOUND:
                return None
            raise
        with self._box.blamed():
            png = checked_picture(payloads, width_px, height_px)
        return object_ids(png, width_px, height_px), cast(RenderReply, reply).objects

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def render_from(
        self, camera: Camera, moved: Matrix | None = None, warped: Mapping[str, Vertices] | None = None
    ) -> bytes:
        """PNG (RGBA) of the camera's size, made as the run's own picture: engine, samples, film.

        `moved`: a similarity from the scene's world to the camera's, of everything with lights and world. `warped`:
        object → its vertices in the camera's world, as many as in `mesh`, in the place of its own; what is not named
        stays as it is. ValueError for vertices, matrices or cameras that cannot be.
        """
        request = RenderRequest(
            view=view_of(camera, moved),
            width_px=camera.width_px,
            height_px=camera.height_px,
            samples=self._samples,
            transparent=self.reference.kind == "cutout",
        )
        back = inverse(moved) if moved else None
        own = {name: self._own(name, each, back) for name, each in sorted((warped or {}).items())}
        _, payloads = self._box.ask(request, own)
        with self._box.blamed():
            return checked_picture(payloads, camera.width_px, camera.height_px)

    def _own(self, name: str, vertices: Vertices, back: Matrix | None) -> Vertices:
        """Vertices of an object in the scene's own world."""
        known = next((one for one in self._surfaces[1] if one.name == name), None)
        if known is None or vertices.shape != known.vertices.shape or not np.isfinite(vertices).all():
            wanted = f"{known.vertices.shape} finite" if known else "no"
            raise ValueError(f"{vertices.shape} vertices of {name!r}, which has {wanted} ones")
        if back is not None:
            vertices = applied(back, vertices.astype(np.float64))  # type: ignore[assignment]
        return np.ascontiguousarray(vertices, dtype="<f4")

    def placement(self, item: Item, icp: Matrix | None) -> Placement:
        """How the scene comes into the item's world: by what a registration of the meshes found; without one by the
        rule of `cameras.by_camera`. Raises Unavailable where neither is possible."""
        if icp is not None:
            return Placement(how="by_mesh", moved=icp)
        novel = [view.camera for view in item.novel if view.camera is not None]
        if item.reference.camera is None or not novel:
            raise Unavailable("there are no cameras to see it from")
        if self.camera is None:
            raise Unavailable("the scene has no perspective camera")
        moved = by_camera(self.camera, self._depth_m(self.camera), item.reference.camera, novel)
        return Placement(how="by_camera", moved=moved)

    def _depth_m(self, camera: Camera) -> float:
        """Of the middle of the objects that count, before the scene's own camera."""
        vertices = self.mesh.joined().vertices
        if not len(vertices):
            raise Unavailable("no object of the scene counts, so nothing tells how far away it is")
        depths = projected(camera, vertices)[:, 2]
        return float(depths.min() + depths.max()) / 2


def _camera_of(own: OwnCamera, width_px: int, height_px: int) -> Camera:
    right, left, top, _bottom = own.edges
    focal_px = width_px / (right - left)
    return Camera(
        to_world=own.to_world,
        focal_px=focal_px,
        center_px=(-left * focal_px, top * focal_px),
        width_px=width_px,
        height_px=height_px,
    )
