"""Owns the box as a library: one Blender for code that nobody has read, without the rest of SEIG. See docs/box.md."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from protocol.models import Gpu, InspectReply, InspectRequest, PresetView, RenderReply, RenderRequest, TargetView, View
from sandbox.confinement.choosing import choose
from sandbox.discovery import find_blender
from sandbox.limits import Limits
from sandbox.pool import OnFault, Pool
from sandbox.scratch import temporary_folder
from sandbox.snapshots import Edit, Snapshot, SnapshotStore
from sandbox.transaction import FACTORS, EditOutcome

log = logging.getLogger(__name__)

SCENE = frozenset(FACTORS) - {"host"}
"""Everything that a scene consists of: the widest scope that makes sense."""


class Box:
    """A scene in a Blender that code cannot break out of. For one thread at a time; a context manager.

    Raises SetupFailed when no Blender can be had; a fault of the code is an outcome, not an exception.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        blender: str | None = None,
        limits: Limits | None = None,
        standby: bool = True,
        level: str = "auto",
        require_level: str | None = None,
        gpu: Gpu = False,
        on_fault: OnFault | None = None,
    ) -> None:
        """`folder` keeps snapshots and logs; without one they are gone at the end. `blender` is a path, a version
        ("4.5") or "wheel"; without one the first that is found. `standby` trades memory for a quick recovery. `level`
        is how strongly Blender is confined ("L0" to "L3"; "auto": the best that holds here, as `box.level` tells);
        below `require_level` it does not start (SetupFailed). `gpu` lets Blender render
        with graphics cards, those of the best kind or of one ("CUDA"); what could not be had is logged."""
        self._folder, self._blender = folder, blender
        self._limits, self._standby, self._on_fault = limits or Limits(), standby, on_fault
        self._levels, self._gpu = (level, require_level), gpu
        self._lifetime = contextlib.ExitStack()
        self._edits = 0

    def __enter__(self) -> Box:
        with contextlib.ExitStack() as lifetime:
            folder = Path(self._folder or lifetime.enter_context(temporary_folder()))
            self.store = SnapshotStore(folder / "snapshots")
            blender = find_blender(self._blender)
            self.level = choose(*self._levels)
            logs = folder / "logs"
            pool = Pool(blender, self._limits, self.store, logs, self._standby, self._on_fault, self.level, self._gpu)
            self._session = lifetime.enter_context(lifetime.enter_context(pool).session())
            self._lifetime = lifetime.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lifetime.close()

    @property
    def snapshot(self) -> Snapshot:
        """The accepted state; pass it to `restore`, or find its file with `store.path(snapshot.id)`."""
        return self._session.head

    def run(
        self,
        code: str,
        scope: Iterable[str] = SCENE,
        *,
        required: Iterable[str] = (),
        timeout_s: float = 60.0,
        seed: int | None = None,
    ) -> EditOutcome:
        """Run code as one transaction: it is committed if it changed nothing outside `scope` (of FACTORS) and lost no
        `required` object; otherwise, and whatever else it does, the scene is as it was. The outcome's `kind` says
        which, its `message` why."""
        self._edits += 1
        edit = Edit(
            index=self._edits,
            label=f"edit {self._edits}",
            stage="box",
            round=1,
            source=code,
            seed=self._edits if seed is None else seed,
        )
        return self._session.edit(edit, frozenset(scope), frozenset(required), timeout_s)

    def render(
        self,
        view: View | None = None,
        *,
        width_px: int = 512,
        height_px: int = 512,
        timeout_s: float = 120.0,
        **settings: Any,
    ) -> bytes:
        """A PNG from a view (the scene's own camera, or the whole scene from three quarters where it has none).
        `settings` are those of RenderRequest: samples, engine, transparent, isolate, picture. Raises RequestFailed
        where it cannot be rendered, a ProcessFault where Blender was lost over it; the scene is kept in any case."""
        view = view or self._usual_view()
        request = RenderRequest(view=view, width_px=width_px, height_px=height_px, **settings)
        reply, payloads = self._session.call(request, timeout_s)
        for note in cast(RenderReply, reply).made.notes:
            log.warning("render: %s", note)
        return payloads[0]

    def inspect(self, subject: str = "scene", name: str = "") -> dict[str, Any]:
        """What the scene, an object or a material is: names, places, sizes, materials, modifiers, nodes."""
        request = InspectRequest.model_validate({"subject": subject, "name": name})
        return cast(InspectReply, self._session.call(request)[0]).what

    def restore(self, snapshot: Snapshot | str) -> None:
        """Go on from a snapshot, or from the id of one, of this box or of an earlier one with the same folder."""
        self._session.move_to(self.store.get(snapshot) if isinstance(snapshot, str) else snapshot)

    def _usual_view(self) -> View:
        return TargetView() if self.inspect().get("camera") else PresetView(side="three_quarter")
