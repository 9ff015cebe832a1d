"""Owns the parts of inspected facts that fitting needs. Their whole shape: `blender_server/inspecting.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat

Vector = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Row = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
Matrix = tuple[Row, Row, Row, Row]


class CameraFacts(BaseModel):
    name: str
    type: str
    lens_mm: Annotated[FiniteFloat, Field(gt=0)]
    ortho_scale: Annotated[FiniteFloat, Field(gt=0)]
    sensor_fit: str
    fov_deg: tuple[FiniteFloat, FiniteFloat]
    """Horizontal and vertical; of an orthographic camera 0."""
    shift: tuple[FiniteFloat, FiniteFloat]
    """To the right and up, as parts of the side that the sensor is fitted to."""
    aspect: Annotated[FiniteFloat, Field(gt=0)]
    matrix_world: Matrix


class ThingFacts(BaseModel):
    name: str
    type: str
    parent: str | None = None
    world_box: tuple[Vector, Vector] | None = None
    materials: tuple[str | None, ...] = ()
    in_frame: FiniteFloat = 0.0


class LightFacts(BaseModel):
    name: str
    energy: FiniteFloat
    color: Vector
    hidden: bool


class ViewFacts(BaseModel):
    view_transform: str
    exposure: FiniteFloat
    gamma: Annotated[FiniteFloat, Field(gt=0)]


class SceneFacts(BaseModel):
    objects: tuple[ThingFacts, ...]
    camera: CameraFacts | None
    lights: tuple[LightFacts, ...]
    view: ViewFacts

    def below(self, name: str) -> set[str]:
        """Names of the object and of everything that is parented to it."""
        found, before = {name}, 0
        while len(found) > before:
            before = len(found)
            found |= {thing.name for thing in self.objects if thing.parent in found}
        return found


class ObjectFacts(BaseModel):
    name: str
    type: str
    data: str | None
    matrix_world: Matrix
    constraints: tuple[Any, ...] = ()


class NodeFacts(BaseModel):
    name: str
    type: str
    values: dict[str, Any]
    """Of inputs that nothing is linked to, and properties."""

    def color(self, socket: str) -> tuple[float, ...] | None:
        """Of an input; None where it is linked or none."""
        value = self.values.get(socket)
        return tuple(map(float, value)) if isinstance(value, list) and len(value) == 4 and _numbers(value) else None

    def number(self, socket: str) -> float | None:
        value = self.values.get(socket)
        return float(value) if isinstance(value, int | float) else None


class TreeFacts(BaseModel):
    """A material's, or the world's; of a scene without a world nothing."""

    name: str = ""
    color: Vector | None = None
    nodes: tuple[NodeFacts, ...] = ()
    links: tuple[str, ...] = ()


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(one, int | float) for one in values)
