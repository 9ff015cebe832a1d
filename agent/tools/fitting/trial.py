"""Owns looking at what is tried out: set values in the live scene, render small, count; and facts read strictly.

Everything that Blender answers is a claim until it is read here.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from agent.tools.workbench import Workbench
from protocol.errors import ProtocolViolated
from protocol.models import InspectReply, InspectRequest, RenderRequest
from sandbox.transaction import SceneSession

M = TypeVar("M", bound=BaseModel)
Floats = NDArray[np.float64]
Linear = NDArray[np.float32]


class Unfit(Exception):
    """What was asked for cannot be fitted; the message tells a model why."""


class Trial:
    """The live scene inside `Workbench.temporary()`, seen small."""

    def __init__(self, bench: Workbench, session: SceneSession, long_px: int, samples: int, most: int) -> None:
        self.bench, self._session = bench, session
        self._long_px, self._samples = long_px, samples
        self.most = most
        """Looks that it may take."""
        self.count = 0

    @property
    def left(self) -> int:
        return max(0, self.most - self.count)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a look in pixels."""
        return self.bench.run.reference.frame(self._long_px)

    def set(self, source: str) -> None:
        self._session.execute(source)

    def look(self, source: str = "") -> bytes:
        """PNG of the scene after `source`."""
        self._prepare(source)
        return self.bench.render(long_side_px=self._long_px, samples=self._samples)

    def light(self, source: str = "") -> Linear:
        """Scene-linear light of the scene after `source`: height × width × RGBA (premultiplied)."""
        self._prepare(source)
        width, height = self.size
        request = RenderRequest(
            width_px=width,
            height_px=height,
            samples=self.bench.run.config.look_samples,
            picture="linear",
            transparent=self.bench.run.reference.kind == "cutout",
        )
        limit_s = self.bench.run.config.limits.of(self.bench.stage.name).render_s
        payloads = self.bench.ask(request, limit_s)[1]
        return decoded(payloads[0] if payloads else b"", width, height)

    def _prepare(self, source: str) -> None:
        if source:
            self.set(source)
        self.count += 1


def decoded(payload: bytes, width: int, height: int) -> Linear:
    """Raises ProtocolViolated where it is no such picture."""
    if len(payload) != 16 * width * height:
        raise ProtocolViolated("render", f"{len(payload)} bytes where {16 * width * height} were asked")
    pixels = np.frombuffer(payload, "<f4").reshape(height, width, 4)[::-1]
    if not np.isfinite(pixels).all():
        raise ProtocolViolated("render", "light that is no number")
    return pixels


def inspected(bench: Workbench, kind: type[M], subject: str, name: str = "") -> M:
    """Facts of the scene, an object, a material or the world. Raises ProtocolViolated where they are none."""
    reply, _ = bench.ask(InspectRequest.model_validate({"subject": subject, "name": name}))
    assert isinstance(reply, InspectReply)
    try:
        return kind.model_validate(reply.what)
    except ValidationError as error:
        raise ProtocolViolated("inspect", f"no description of {subject} {name}: {error.errors()[0]['msg']}") from None
