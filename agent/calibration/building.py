"""Owns how calibration scenes come into being: each scene and variant one transaction, each reference one render.

All of it is remembered by the journal; a Blender is started only for what is not on record.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from agent.calibration.kit import KIT
from agent.calibration.scenes import Scene, Variant
from agent.errors import RunError
from agent.picture import Reference, read_reference
from agent.runs.journal import digest_of, write_atomically
from agent.runs.run import Opened
from agent.tools.workbench import checked_picture
from protocol.models import RenderRequest, Value
from sandbox.snapshots import Edit, Snapshot
from sandbox.transaction import FACTORS, SceneSession

REFERENCE_SAMPLES = 128
"""More than any verifier's look takes, so that not even the true scene is pixel by pixel its reference."""


class SceneNotBuilt(RunError):
    """A scene or variant of the set cannot be made by this Blender, or changes what it does not declare."""


class _Render(Value):
    png: bytes


@dataclass
class Builder:
    """`with Builder(opened) as builder`: the scenes of the set as snapshots, made when they are asked for."""

    opened: Opened
    _session: SceneSession | None = None
    _lifetime: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, *_: object) -> None:
        self._lifetime.close()

    def reference(self, scene: Scene) -> Reference:
        """A render of the scene as it is, read as any picture is."""
        width, height = self._size()
        settings = {"width_px": width, "height_px": height, "samples": REFERENCE_SAMPLES}
        request = RenderRequest.model_validate({**settings, "transparent": scene.kind == "cutout"})
        truth = self.scene(scene)

        def render() -> _Render:
            with self.opened.console.waiting("rendering the reference"):
                _, payloads = self._at(truth).call(request, self.opened.config.limits.render_s)
            return _Render(png=checked_picture(payloads, width, height))

        made = self.opened.journal.step(f"reference/{truth.id}/{width}", _Render, render)
        path = self.opened.folder.path / "references" / f"{scene.name}.png"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, made.png)
        return read_reference(path, self.opened.config.target_px)

    def scene(self, scene: Scene) -> Snapshot:
        """The scene that the reference shows."""
        width, height = self._size()
        frame = f'bpy.context.scene["frame_px"] = ({width}, {height})\n'
        cut_out = f'bpy.context.scene["cut_out"] = {int(scene.kind == "cutout")}\n'
        source = f"{KIT}{scene.source}{frame}{cut_out}"
        required = scene.graph.required_objects()
        return self._made(scene.name, source, frozenset(FACTORS), None, required)

    def variant(self, scene: Scene, variant: Variant) -> Snapshot:
        """The scene with the variant's edit, which changes only the factors that it declares."""
        truth = self.scene(scene)
        if not variant.source:
            return truth
        return self._made(f"{scene.name}, {variant.name}", f"{KIT}{variant.source}", frozenset(variant.factors), truth)

    def _made(
        self,
        label: str,
        source: str,
        factors: frozenset[str],
        parent: Snapshot | None,
        required: frozenset[str] = frozenset(),
    ) -> Snapshot:
        index = 1 if parent is None else 2
        edit = Edit(index=index, label=label, stage="initialisation", round=0, source=source, seed=0)

        def make() -> Snapshot:
            self.opened.console.step("building", label)
            outcome = self._at(parent).edit(edit, factors, required)
            if outcome.snapshot is None or outcome.snapshot == parent:
                raise SceneNotBuilt(f"the calibration scene “{label}” cannot be built: {outcome.message}")
            return outcome.snapshot

        key = f"built/{label}/{digest_of(source, sorted(factors))}"
        return self.opened.journal.step(key, Snapshot, make)

    def _at(self, head: Snapshot | None) -> SceneSession:
        pool = self.opened.pool
        if self._session is None:
            self._session = self._lifetime.enter_context(pool.session(head))
        target = head or pool.root()
        if self._session.head.id != target.id:
            self._session.move_to(target)
        return self._session

    def _size(self) -> tuple[int, int]:
        long_px = self.opened.config.target_px
        return long_px, round(long_px * 3 / 4)
